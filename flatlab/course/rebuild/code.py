"""What a piece of Python defines, needs and means, told from its syntax tree alone.

Nothing here runs a student's code. IPython's own lines (``%``, ``!``, ``?``) count as ``pass``.
"""

from __future__ import annotations

import ast
import builtins
import re
import symtable
import warnings
from functools import lru_cache

MOST_CHARACTERS = 300_000
_MOST_BLOCKS = 40
_MAGIC = re.compile(r"(?m)^([ \t]*)(?:[%!?].*|[\w.]+\?+[ \t]*)$")
_FOREIGN = re.compile(r"\s*%%(?!(?:time|timeit|capture|prun)\b)\w")
_SHELL = re.compile(r"(?m)^([ \t]*)(\w[\w, \t]*?)=[ \t]*[!%].*$")
ENDS = re.compile(r"(?m)^[ \t]*(return|raise)\b")  # of a function
_BUILTINS = frozenset(dir(builtins)) | {"__name__", "get_ipython", "display", "In", "Out", "_"}


def without_magics(text: str) -> str:
    """``text`` with IPython's own lines as Python that does nothing."""
    return _SHELL.sub(r"\1\2= None", _MAGIC.sub(r"\1pass", text))


@lru_cache(maxsize=512)  # a tree takes hundreds of times its text
def _python(text: str) -> tuple[str, ast.Module] | None:
    """The Python in ``text`` with its tree; None where it is none."""
    if len(text) > MOST_CHARACTERS:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for made in (str, without_magics):
            try:
                attempt = made(text)
                return attempt, ast.parse(attempt)
            except (SyntaxError, ValueError, RecursionError, MemoryError):
                continue
    return None


def parses(text: str) -> bool:
    """Is ``text`` Python? Empty text is."""
    return _python(text) is not None


def foreign(text: str) -> bool:
    """Is ``text`` a cell that Jupyter hands to another program than Python, such as ``%%bash``?"""
    return _FOREIGN.match(text) is not None


def begins(text: str) -> bool:
    """Does ``text`` start as Python that binds a name, but for its last 100 lines at most?"""
    lines = text.split("\n")
    heads = ("\n".join(lines[:end]) for end in range(len(lines), max(len(lines) - 100, 0), -1))
    return any(parses(head) and binds(head) for head in heads)


def statements(text: str) -> list[tuple[str, ast.stmt]]:
    """The top-level statements with their source, decorators included; [] for what is no Python."""
    found = _python(text)
    if found is None:
        return []
    lines = found[0].split("\n")
    result = []
    for node in found[1].body:
        start = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", []))])
        result.append(("\n".join(lines[start - 1 : node.end_lineno]), node))
    return result


def nodes(text: str) -> list[ast.AST]:
    """All of the text's syntax tree; [] for what is no Python."""
    found = _python(text)
    return list(ast.walk(found[1])) if found else []


def only_defines(text: str) -> bool:
    """Are all of its statements imports and definitions, so that running it twice changes nothing?"""
    kinds = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.ClassDef)
    found = statements(text)
    return bool(found) and all(isinstance(node, kinds) for _, node in found)


def is_empty(text: str) -> bool:
    """No statement in it, or docstrings and ``pass`` alone."""
    return parses(text) and all(
        isinstance(node, ast.Pass)
        or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
        for _, node in statements(text)
    )


@lru_cache(maxsize=4096)
def names(text: str) -> tuple[frozenset[str], frozenset[str], frozenset[str]]:
    """The global names that ``text`` (binds, reads while it runs, reads from inside functions)."""
    found = _python(text)
    nothing: frozenset[str] = frozenset()
    if found is None:
        return nothing, nothing, nothing
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            table = symtable.symtable(found[0], "<submission>", "exec")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return nothing, nothing, nothing
    bound, now, later = set(), set(), set()
    for symbol in table.get_symbols():
        if symbol.is_assigned() or symbol.is_imported() or symbol.is_namespace():
            bound.add(symbol.get_name())
        if symbol.is_referenced():
            now.add(symbol.get_name())
    stack = [(child, False) for child in table.get_children()]
    while stack:
        child, deferred = stack.pop()
        deferred = deferred or child.get_type() == "function"
        for symbol in child.get_symbols():
            if symbol.is_global() and symbol.is_referenced():
                (later if deferred else now).add(symbol.get_name())
            if symbol.is_declared_global() and symbol.is_assigned():
                bound.add(symbol.get_name())
        stack += [(inner, deferred) for inner in child.get_children()]
    return frozenset(bound), frozenset(now) - _BUILTINS, frozenset(later) - _BUILTINS


def binds(text: str) -> frozenset[str]:
    """The global names that ``text`` binds."""
    return names(text)[0]


def needs(text: str) -> frozenset[str]:
    """The global names that ``text`` reads and does not bind, builtins apart."""
    bound, now, later = names(text)
    return (now | later) - bound


@lru_cache(maxsize=4096)
def variables(text: str) -> frozenset[str]:
    """The arguments and local variables of the functions in ``text``."""
    functions = [node for node in nodes(text) if isinstance(node, ast.FunctionDef)]
    inside = [inner for node in functions for inner in ast.walk(node)]
    stored = {n.id for n in inside if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    return frozenset(stored | {n.arg for n in inside if isinstance(n, ast.arg)})


def paragraphs(text: str) -> list[str]:
    """``text`` parted at empty lines so that Python stays together where it is Python."""
    blocks = [block for block in re.split(r"\n[ \t]*\n", text) if block.strip()][:_MOST_BLOCKS]
    found, at = [], 0
    while at < len(blocks):
        for end in range(len(blocks), at, -1):
            part = "\n\n".join(blocks[at:end])
            if parses(part) or end == at + 1:
                found.append(part)
                at = end
                break
    return found


def rebinds(text: str, name: str) -> bool:
    """Does ``text`` make ``name`` from the ``name`` that was there before it?"""
    for source, _ in statements(text):
        bound, now, _later = names(source)
        if name in now:
            return True
        if name in bound:
            return False
    return False


@lru_cache(maxsize=4096)
def meaning(text: str) -> str:
    """Equal for texts that differ in layout, comments and magics alone."""
    found = _python(text)
    if found is not None:
        try:
            return ast.dump(found[1])
        except RecursionError:
            pass
    return "\n".join(line.strip() for line in text.split("\n") if line.strip())


def is_unwritten(text: str, targets: frozenset[str]) -> bool:
    """Does ``text`` define ``targets``, whatever their arguments, only to raise what stubs do?"""
    functions = [n for _, n in statements(text) if isinstance(n, ast.FunctionDef)]
    asked = [node for node in functions if node.name in targets]
    return bool(asked) and not targets - {n.name for n in asked} and all(map(_only_raises, asked))


def written(text: str, targets: frozenset[str]) -> frozenset[tuple[str, str]]:
    """(name, meaning) of the statements that bind ``targets``, functions not yet written apart."""
    return frozenset(
        (name, meaning(source))
        for source, node in statements(text)
        if not (isinstance(node, ast.FunctionDef) and _only_raises(node))
        for name in binds(source) & targets
    )


def without_stubs(text: str, targets: frozenset[str]) -> str:
    """``text`` without those functions of ``targets`` that are not yet written."""
    lines = text.split("\n")
    for _, node in reversed(statements(text)):
        if isinstance(node, ast.FunctionDef) and node.name in targets and _only_raises(node):
            del lines[node.lineno - 1 : node.end_lineno]
    return "\n".join(lines).strip("\n") if len(lines) < text.count("\n") + 1 else text


def _only_raises(node: ast.FunctionDef) -> bool:
    body = [step for step in node.body if not _is_text(step)]
    if not body:
        return True
    error = body[0].exc if len(body) == 1 and isinstance(body[0], ast.Raise) else None
    name = error.func if isinstance(error, ast.Call) else error
    return isinstance(name, ast.Name) and name.id == "NotImplementedError"


def _is_text(node: ast.AST) -> bool:
    """Is it a statement of one string, as a docstring is?"""
    value = node.value if isinstance(node, ast.Expr) else None
    return isinstance(value, ast.Constant) and isinstance(value.value, str)


def defines(text: str, targets: frozenset[str]) -> frozenset[str]:
    """Those of ``targets`` that ``text`` defines at its left margin, Python or not."""
    if parses(text):
        return binds(text) & targets
    return frozenset(name for line in text.split("\n") if (name := _defined(line)) in targets)


_DEFINITION = re.compile(r"(?:async[ \t]+def|def|class)[ \t]+(\w+)|(\w+)[ \t]*(?::[^=]+)?=(?!=)")


def _defined(line: str) -> str:
    match = _DEFINITION.match(line)
    return (match[1] or match[2]) if match else ""


def first_definitions(text: str, targets: frozenset[str]) -> list[tuple[int, str]]:
    """(line, name) where ``text`` first defines each of ``targets``; lines count from 0.

    The line is the first of the comments and decorators right above the definition.
    """
    lines, found = text.split("\n"), {}
    for number, line in enumerate(lines):
        name = _defined(line)
        if name in targets and name not in found:
            while number and re.match(r"[@#]", lines[number - 1]):
                number -= 1
            found[name] = number
    return sorted((number, name) for name, number in found.items())


def returns(text: str, targets: frozenset[str]) -> bool:
    """Does each function of ``targets`` in ``text`` end with a result, or an error, on every way?"""
    functions = [n for _, n in statements(text) if isinstance(n, ast.FunctionDef)]
    return all(_concludes(node.body) for node in functions if node.name in targets)


def functions(text: str) -> tuple[str, ...]:
    """The names of the functions that ``text`` defines at its left margin, in order."""
    return tuple(n.name for _, n in statements(text) if isinstance(n, ast.FunctionDef))


def _concludes(body: list[ast.stmt]) -> bool:
    last = body[-1] if body else None
    if isinstance(last, ast.Return):
        return last.value is not None
    if isinstance(last, ast.If):
        return _concludes(last.body) and _concludes(last.orelse)
    if isinstance(last, ast.With):
        return _concludes(last.body)
    if isinstance(last, ast.Try):
        return _concludes(last.finalbody) or _concludes(last.orelse or last.body)
    if isinstance(last, ast.While):
        return isinstance(last.test, ast.Constant)
    return isinstance(last, ast.Raise)


_HEADED = re.compile(r"(?m)^#{1,6}[ \t]+(?=(?:async[ \t]+)?def[ \t]|class[ \t]|@|import |from )")


def repaired(text: str) -> str:
    """``text`` without a heading's # before its first statement, where that makes it Python."""
    bare = _HEADED.sub("", text, count=1)
    return bare if bare != text and parses(bare) else text
