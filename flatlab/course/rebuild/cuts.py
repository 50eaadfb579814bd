"""Signs that a piece of Python was cut: in mid-word, in mid-line, before its last statement."""

from __future__ import annotations

import ast
import re

from flatlab.course.rebuild import code

_WORDS = "if|else|and|or|in|is|for"  # a line that they begin as a statement ends with a colon
_CONTINUES = re.compile(rf"\s*([*/|&^<>=,.:)\]}}]|({_WORDS})\b.*[^:\s]\s*(\n|$))")


def ends_oddly(text: str, known: frozenset[str]) -> bool:
    """Does ``text`` end in mid-word: a bare name in a function, or a name that nothing defines?"""
    last = text.rstrip().split("\n")[-1]
    if last[:1].isspace() and re.fullmatch(r"\s+[\w.]+", last):
        return True
    word = re.search(r"\b[A-Za-z_]\w*$", last)
    return word is not None and word[0] in code.needs(text) - known


def continues_a_line(text: str) -> bool:
    """Does ``text`` begin with what no statement begins with, so that it was cut in mid-line?"""
    return _CONTINUES.match(text) is not None


def oddness(text: str, known: frozenset[str]) -> int:
    """How unlikely it is that ``text`` was written so: unknown names, statements of no effect."""
    idle = [
        node
        for node in code.nodes(text)
        if isinstance(node, ast.Expr)
        and not isinstance(node.value, ast.Call | ast.Constant | ast.Await | ast.Yield)
    ]
    bare = [
        node
        for node in code.nodes(text)
        if isinstance(node, ast.FunctionDef)
        and isinstance(last := node.body[-1], ast.Return | ast.Raise)
        and (last.value if isinstance(last, ast.Return) else last.exc) is None
    ]
    return len(code.needs(text) - known) + len(idle) + len(bare)


def in_a_word(text: str, other: str, identifiers: frozenset[str]) -> bool:
    """Is a word of the course, one of ``identifiers``, parted between the end of ``text`` and ``other``?"""
    end, begin = re.search(r"\b[A-Za-z_]\w*$", text), re.match(r"\w+", other)
    return bool(end and begin) and end[0] not in identifiers and end[0] + begin[0] in identifiers
