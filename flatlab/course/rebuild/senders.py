"""Whose a submission is, by its path: the names that Moodle, Canvas and nbgrader give."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath

_LONGEST = 180  # bytes of a student's name; file systems take 255 for one with its ending

# Moodle's assign (with and without folders): Full Name_4711_assignsubmission_file_[/]FILE
MOODLE = re.compile(
    r"^(?P<name>[^/]{1,255}?)_(?P<number>\d{1,20})_assignsubmission_(?:file|onlinetext)_?/?"
    r"(?P<file>.*)$"
)
# Canvas's content_zipper.rb: doejane[_LATE]_USER_ATTACHMENT_FILE; anon_x9 for an anonymous user.
# A date in the name of a class's archive is no user.
CANVAS = re.compile(
    r"^(?:(?P<name>[^/A-Z]{1,255}?)_)??(?P<late>LATE_)?(?!20\d\d_\d\d_\d\d(?:\.zip)?$)"
    r"(?P<user>\d{1,20}|anon_\w{1,20}?)_(?P<number>\d{1,20})_"
    r"(?P<file>[^/]+)$"
)


@dataclass(frozen=True)
class Handed:
    """One notebook as it was handed in. Nothing of it has been run or changed.

    ``student``: what stays the same from chapter to chapter, fit for a folder's name: Canvas's
    user number, Moodle's full name (with the participant's number where two share it), nbgrader's
    folder; empty where the path does not say. ``problem``: why a person must look, or empty.
    """

    path: str
    data: bytes
    student: str = ""
    name: str = ""
    platform: str = ""  # nbgrader, moodle, canvas
    number: str = ""  # Moodle's participant, Canvas's attachment
    late: bool = False
    chapter: str = ""
    problem: str = ""
    earlier: tuple[str, ...] = ()  # paths of the attempts that this one replaces


def sender(path: str, chapters: Collection[str]) -> Handed:
    """What ``path`` tells of the student: by nbgrader's, Moodle's or Canvas's scheme.

    Names are looked for from outside: what lies inside an archive, a student may have written.
    """
    parts = PurePosixPath(path).parts
    inner = range(1, len(parts) - 1)
    own = [i for i in inner if parts[i] in chapters and not _named_archive(parts[i - 1])]
    for part in parts[: own[0]] if own else parts:
        if match := MOODLE.match(part):
            name = match["name"].strip()
            return Handed(path, b"", folder_name(name), name, "moodle", match["number"])
        may = _named_archive(part) or (not own and part is parts[-1])  # Canvas makes no folders
        if may and (found := _by_canvas(path, part, chapters)):
            return found
    if own:
        return Handed(path, b"", folder_name(parts[own[0] - 1]), platform="nbgrader")
    return Handed(path, b"", folder_name(_above(parts, chapters)))


def _by_canvas(path: str, part: str, chapters: Collection[str]) -> Handed | None:
    match = CANVAS.match(part)
    if match is None or part.startswith(tuple(chapters)):  # as `flatlab submit` names its zips
        return None
    user, name = match["user"], match["name"] or ""
    return Handed(path, b"", user, name, "canvas", match["number"], bool(match["late"]))


def holds_class(names: Iterable[str], chapters: Collection[str]) -> bool:
    """Is each of an archive's files in Moodle's scheme, or in nbgrader's and of several students?"""
    inside = [parts for name in names if (parts := PurePosixPath(name).parts)]
    if inside and all(MOODLE.match(parts[0]) for parts in inside):
        return True
    nbgrader = all(len(parts) > 2 and parts[1] in chapters for parts in inside)
    return nbgrader and len({parts[0] for parts in inside}) > 1


def _above(parts: tuple[str, ...], chapters: Collection[str]) -> str:
    """The folder in which a notebook, or the archive that holds it, was handed in.

    Of an archive in no folder its own name, or the folder inside it; empty for a chapter's name.
    """
    last = max((i for i, part in enumerate(parts[:-1]) if _named_archive(part)), default=None)
    if last is None:
        found = parts[-2] if len(parts) > 1 else ""
    elif last and not _named_archive(parts[last - 1]):
        found = parts[last - 1]
    else:
        found = parts[last] if parts[-2] in chapters else parts[-2]
    return "" if re.sub(r"( ?\(\d+\))?\.zip$", "", found) in chapters else found


def _named_archive(part: str) -> bool:
    """Is it an archive, going by its name? Of a notebook that something lies in, too."""
    return part.lower().endswith((".zip", ".ipynb"))


def folder_name(text: str) -> str:
    """``text`` as a folder's name: letters and their marks, digits, dots and hyphens, 200 bytes.

    A Mac writes ü as two characters: the name is the same.
    """
    kept = (c if _may_stand(c) else " " for c in unicodedata.normalize("NFC", text))
    name = re.sub(" +", "-", "".join(kept)).strip("-._")
    if len(name.encode()) > _LONGEST:  # and still no other student's
        told = hashlib.sha256(name.encode()).hexdigest()[:8]
        name = f"{name.encode()[:_LONGEST].decode(errors='ignore')}-{told}"
    return name


def _may_stand(character: str) -> bool:
    return (
        character.isalnum() or character in "_.-" or unicodedata.category(character).startswith("M")
    )
