"""Git's conflict markers, in the notebook's JSON or in one cell's text."""

from __future__ import annotations

import re

_START = re.compile(r"^<{7}( |$)")
_BASE = re.compile(r"^\|{7}( |$)")
_MIDDLE = re.compile(r"^={7}$")
_END = re.compile(r"^>{7}( |$)")


def has_conflict(text: str) -> bool:
    """Does ``text`` hold a line that begins or ends a conflict?"""
    return any(_START.match(line) or _END.match(line) for line in text.split("\n"))


def sides(text: str) -> tuple[str, str]:
    """``text`` with each conflict decided for the first side, and for the second.

    A conflict that is never ended runs to the end of the text; an END or a middle line without
    its beginning is dropped.
    """
    ours, theirs, state = [], [], ""
    for line in text.split("\n"):
        bare = line.rstrip("\r")
        if _START.match(bare):
            state = "ours"
        elif state and _BASE.match(bare):
            state = "base"
        elif state and _MIDDLE.match(bare):
            state = "theirs"
        elif _END.match(bare):
            state = ""
        else:
            if state in ("", "ours"):
                ours.append(line)
            if state in ("", "theirs"):
                theirs.append(line)
    return "\n".join(ours), "\n".join(theirs)
