"""Reading what came out of the sandbox, as one reads a stranger's: bounded, plain data alone."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from flatlab.course.verdict.codec import Malformed, decode

# kind -> has it a text?
KINDS = {
    "outputs": False,
    "wrong": True,  # what came back could not be compared: the check's own words
    "error": True,  # an exception of the student's code
    "topic": True,  # a call into a topic module
    "missing": True,  # the function's name is not defined
    "object": True,  # it is no function: its type
    "unwritten": False,
    "timeout": False,
    "died": False,  # the process ended
    "skipped": False,  # after a check that died or took too long
    "huge": False,
}
MOST_TEXT = 500
_LINE = re.compile(rb"(\d{1,4}) (\d{1,4}) (.*)", re.DOTALL)


@dataclass(frozen=True)
class Record:
    """What one check's ``call`` saw."""

    kind: str  # one of KINDS, or malformed
    text: str = ""
    outputs: dict | None = None


def read(lines: Iterable[bytes], sizes: Sequence[int]) -> dict[tuple[int, int], Record]:
    """The records in ``lines`` (``JOB CHECK JSON``), by job and check; never raises.

    ``sizes``: how many checks each job has. A line that fits none is dropped; a check with two
    lines is malformed.
    """
    found: dict[tuple[int, int], Record] = {}
    for line in lines:
        match = _LINE.match(line)
        if match is None:
            continue
        key = int(match[1]), int(match[2])
        if key[0] >= len(sizes) or key[1] >= sizes[key[0]]:
            continue
        if key in found:
            found[key] = Record("malformed", "It has two records.")
            continue
        try:
            found[key] = _checked(decode(match[3]))
        except Malformed as error:
            found[key] = Record("malformed", str(error))
    return found


def _checked(record: object) -> Record:
    kind = record.get("kind") if isinstance(record, dict) else None
    if not isinstance(kind, str) or kind not in KINDS:
        raise Malformed("The record has no known kind.")
    wanted = {"kind"} | ({"text"} if KINDS[kind] else set())
    wanted |= {"outputs"} if kind == "outputs" else set()
    if set(record) != wanted:
        raise Malformed(f"The record has other entries than {sorted(wanted)}.")
    if kind == "outputs" and not isinstance(record["outputs"], dict):
        raise Malformed("The outputs have no names.")
    if KINDS[kind] and not isinstance(record["text"], str):
        raise Malformed("The record's text is no text.")
    return Record(kind, printable(record.get("text", "")), record.get("outputs"))


def printable(text: str) -> str:
    """``text`` without control characters but line breaks, and of bounded length."""
    return "".join(c for c in text if c.isprintable() or c == "\n")[:MOST_TEXT]
