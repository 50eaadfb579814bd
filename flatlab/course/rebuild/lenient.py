"""JSON that stops in the middle, or has a hole: as much of it as can be read.

Reads left to right without going back, in time proportional to the text and without recursion,
so that no submission can stop a batch. A string ends at its line's end at the latest, because a
notebook's JSON holds no raw line breaks in strings: after a hole, reading is right again one line
later.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any

CUT = "flatlab_cut"  # set on a cell whose text is not all there
_TEXT_KEYS = ("source", "input")
_DEEPEST = 64
_TOKEN = re.compile(r'"[^"\\\n]*(?:\\.[^"\\\n]*)*(?P<end>"?)|[{}\[\]]|[:,]|[^\s"{}\[\]:,]+')
_CUT_ESCAPE = re.compile(r"\\(?:u[0-9a-fA-F]{0,3})?$")
_ESCAPES = re.compile(r'\\\\|\\(?!["\\/bfnrt]|u[0-9a-fA-F]{4})')  # a backslash, written or meant
_LITERALS = {"true": True, "false": False, "null": None}


@dataclass
class _Open:
    """A list or object that is not closed yet; ``key`` is the object's latest."""

    value: Any
    key: str | None = None
    waiting: bool = False  # for the value of ``key``
    parts: list = field(default_factory=list)


def loads(text: str) -> tuple[Any, bool]:
    """What can be read of ``text``, and whether it ended too early.

    Cells whose source was not read to its end carry the key ``CUT``. None where nothing is there.
    """
    stack: list[_Open] = []
    root: Any = None
    for token in _TOKEN.finditer(text):
        word = token.group()
        if word in "{[":
            value: Any = {} if word == "{" else []
            if len(stack) < _DEEPEST:
                _attach(stack, value)
            root = value if root is None else root
            stack.append(_Open(value))
        elif word in "}]":
            _close(stack, dict if word == "}" else list)
        elif word.startswith('"'):
            whole = bool(token.group("end")) and len(word) > 1
            _string(stack, _unquote(word[1:-1] if whole else word[1:]), whole)
        elif word not in ":," and stack:
            _attach(stack, _number(word))
    for entry in stack:
        if _is_cell(entry.value) and _text_missing(entry, stack):
            entry.value[CUT] = True
    return root, bool(stack)


def _attach(stack: list[_Open], value: Any) -> None:
    """``value`` into the innermost open list, or under the waiting key of the open object."""
    if not stack:
        return
    top = stack[-1]
    if isinstance(top.value, list):
        top.value.append(value)
    elif top.waiting:
        top.value[top.key] = value
        top.waiting = False


def _string(stack: list[_Open], text: str, whole: bool) -> None:
    """A string token: a key, a value, or the rest of a line that lost its end."""
    if not stack:
        return
    top = stack[-1]
    if isinstance(top.value, dict) and not top.waiting:
        top.key, top.waiting = text, whole
        return
    _attach(stack, text)
    if not whole:
        for entry in reversed(stack[-_DEEPEST:]):
            if _is_cell(entry.value) and entry.key in _TEXT_KEYS:
                entry.value[CUT] = True
                break


def _close(stack: list[_Open], kind: type) -> None:
    """Close the innermost ``kind`` and all that was left open in it; nothing without one."""
    for depth in range(len(stack) - 1, max(len(stack) - _DEEPEST, 0) - 1, -1):
        if isinstance(stack[depth].value, kind):
            del stack[depth:]
            return


def _is_cell(value: Any) -> bool:
    return isinstance(value, dict) and "cell_type" in value


def _text_missing(entry: _Open, stack: list[_Open]) -> bool:
    """Is the text of this unclosed cell unfinished, or not there at all?"""
    if not any(key in entry.value for key in _TEXT_KEYS):
        return True
    inside = entry is not stack[-1]
    return entry.key in _TEXT_KEYS and (inside or entry.waiting)


def _unquote(body: str) -> str:
    """The text of a JSON string; an escape that is none stays as it was written."""
    for attempt in (body, _ESCAPES.sub(r"\\\\", _CUT_ESCAPE.sub("", body))):
        try:
            return json.loads(f'"{attempt}"', strict=False)
        except ValueError:
            continue
    return body


def _number(word: str) -> Any:
    """A literal, a number of reasonable length, or None: no notebook's text depends on it."""
    if word in _LITERALS:
        return _LITERALS[word]
    try:
        return json.loads(word) if len(word) < 40 else None
    except ValueError:
        return None
