"""Reading what the sandbox wrote, as one reads a stranger's: bounded, by fixed names, no links."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from flatlab.course.verdict.codec import MOST_BYTES, Malformed, decode

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
    "huge": False,
}
MOST_TEXT = 500


@dataclass(frozen=True)
class Record:
    """What one check's ``call`` saw."""

    kind: str  # one of KINDS, or malformed
    text: str = ""
    outputs: dict | None = None


class Records:
    """The records in a folder, held open from before the sandbox starts.

    Whatever is put at the folder's path afterwards, the folder itself is read.
    """

    def __init__(self, folder: int) -> None:
        self._folder = folder

    def get(self, index: int, number: int) -> Record:
        """Record ``number`` of exercise ``index``; a missing one says that the process ended."""
        try:
            data = self._bytes(f"{index}-{number}")
        except FileNotFoundError:
            return Record("died")
        except (OSError, Malformed) as error:
            return Record("malformed", str(error))
        try:
            return _checked(decode(data))
        except Malformed as error:
            return Record("malformed", str(error))

    def _bytes(self, name: str) -> bytes:
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        descriptor = os.open(name, flags, dir_fd=self._folder)
        with os.fdopen(descriptor, "rb") as file:
            facts = os.fstat(file.fileno())
            if not stat.S_ISREG(facts.st_mode) or facts.st_nlink != 1:
                raise Malformed("The record is no plain file.")
            data = file.read(MOST_BYTES + 1)
        if len(data) > MOST_BYTES:
            raise Malformed(f"The record has more than {MOST_BYTES:,} bytes.")
        return data


@contextlib.contextmanager
def opened(folder: Path) -> Iterator[Records]:
    """The records of ``folder``, which must exist."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield Records(descriptor)
    finally:
        os.close(descriptor)


def _checked(record: object) -> Record:
    if not isinstance(record, dict) or record.get("kind") not in KINDS:
        raise Malformed("The record has no known kind.")
    kind = record["kind"]
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
