"""What was handed in: notebooks in a folder or an archive, each with its student and chapter."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from flatlab.course.rebuild import code
from flatlab.course.rebuild.archive import (
    SIGNATURE,
    ArchiveRefused,
    Limits,
    NoNotebook,
    is_handed_in,
    notebooks,
)
from flatlab.course.rebuild.reading import Cell, read
from flatlab.course.rebuild.release import Release, marker_key

_LONGEST = 180  # bytes of a student's name; file systems take 255 for one with its ending
_IGNORED = (".ipynb_checkpoints", "__MACOSX", "__pycache__")

# Moodle's assign (with and without folders): Full Name_4711_assignsubmission_file_[/]FILE
_MOODLE = re.compile(
    r"^(?P<name>[^/]{1,255}?)_(?P<number>\d{1,20})_assignsubmission_(?:file|onlinetext)_?/?"
    r"(?P<file>.*)$"
)
# Canvas's content_zipper.rb: doejane[_LATE]_USER_ATTACHMENT_FILE; anon_x9 for an anonymous user.
# A date in the name of a class's archive is no user.
_CANVAS = re.compile(
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


def collect(
    source: Path, releases: Mapping[str, Release], limits: Limits | None = None
) -> list[Handed]:
    """The notebooks at ``source``: a file, a folder or a zip as Moodle, Canvas or nbgrader make it.

    ``releases``: chapter -> its release; a notebook's content says which chapter it is, its name
    where the content does not. Of several by one student for one chapter the last attempt counts.
    Who has handed in, on a platform, but no notebook is there with a ``problem``.
    Raises ``ArchiveRefused`` for an archive with a zip slip, links, or more than ``limits``;
    ``FileNotFoundError`` where there is nothing.
    """
    source = Path(source)
    if not source.exists():
        raise FileNotFoundError(f"{source} is not there: give a notebook, a folder or a zip.")
    found, others = [], []
    for path, content in _files(source, limits):
        handed = sender(path, releases)
        if isinstance(content, NoNotebook):
            others.append(handed)
            continue
        if isinstance(content, ArchiveRefused):
            found.append(replace(handed, problem=str(content)))
            continue
        handed = replace(handed, data=content)
        found.append(_with_chapter(handed, releases))
    return latest(_told_apart(found)) + _without_notebook(others, found)


def _without_notebook(others: list[Handed], found: list[Handed]) -> list[Handed]:
    """One for each who is known by a platform's names and whose files are all of another kind."""
    there = {_whose(handed) for handed in found}
    files: dict[tuple[str, str], list[Handed]] = defaultdict(list)
    for handed in others:
        if handed.platform and _whose(handed) not in there:
            files[_whose(handed)].append(handed)
    return [
        replace(
            several[0],
            problem=f"No notebook: {', '.join(PurePosixPath(one.path).name for one in several[:5])}.",
        )
        for several in files.values()
    ]


def _whose(handed: Handed) -> tuple[str, str]:
    """Moodle's participant; Canvas's number is an attachment's."""
    return handed.student, handed.number if handed.platform == "moodle" else ""


def sender(path: str, chapters: Mapping[str, Release]) -> Handed:
    """What ``path`` tells of the student: by nbgrader's, Moodle's or Canvas's scheme.

    Names are looked for from outside: what lies inside an archive, a student may have written.
    """
    parts = PurePosixPath(path).parts
    inner = range(1, len(parts) - 1)
    own = [i for i in inner if parts[i] in chapters and not _named_archive(parts[i - 1])]
    for part in parts[: own[0]] if own else parts:
        if match := _MOODLE.match(part):
            name = match["name"].strip()
            return Handed(path, b"", folder_name(name), name, "moodle", match["number"])
        match = _CANVAS.match(part) if _named_archive(part) or not own else None
        if match:
            late = bool(match["late"])
            user, name = match["user"], match["name"] or ""
            return Handed(path, b"", user, name, "canvas", match["number"], late)
    if own:
        return Handed(path, b"", folder_name(parts[own[0] - 1]), platform="nbgrader")
    return Handed(path, b"", folder_name(_above(parts, chapters)))


def _above(parts: tuple[str, ...], chapters: Mapping[str, Release]) -> str:
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


def chapter_of(cells: tuple[Cell, ...], path: str, releases: Mapping[str, Release]) -> str:
    """The chapter that the cells, or else the file's name, say; empty where neither does."""
    scores = {name: _shared(cells, release) for name, release in releases.items()}
    best = max(scores.values(), default=0)
    winners = [name for name, score in scores.items() if score == best]
    if best and len(winners) == 1:
        return winners[0]
    words = re.sub(r"[^a-z0-9]+", "-", PurePosixPath(path).name.lower())
    for fits in (
        [name for name in releases if name in words],
        [name for name in releases if name.split("-", 1)[-1] in words],
        [name for name in releases if re.search(rf"(^|\D){name[:2]}(\D|$)", words)],
    ):
        if len(fits) == 1:
            return fits[0]
    return ""


def _shared(cells: tuple[Cell, ...], release: Release) -> int:
    """How many of the release's named cells and texts are in ``cells``."""
    seen = set()
    for cell in cells:
        slot = release.by_id(cell.grade_id)
        seen |= {slot.index} if slot and slot.name else set()
        lines = cell.text.split("\n")
        for at, line in enumerate(lines):
            slot = release.by_marker(lines, at, False) if marker_key(line) else None
            block = release.block_at(lines, at) if line.strip() else None
            seen |= {found.index for found in (slot, block and block[0]) if found and found.name}
            seen |= {block[0].index} if block else set()
        defined = code.defines(cell.text, release.targets)
        seen |= {slot.index for slot in release.answers if slot.targets & defined}
    return len(seen)


def _files(source: Path, limits: Limits | None) -> Iterator[tuple[str, bytes | ArchiveRefused]]:
    """(path, content) of every notebook at ``source``, in the order of their paths."""
    if source.is_dir():
        for path in sorted(source.rglob("*")):
            told = path.relative_to(source).as_posix()
            if any(part in _IGNORED or part.startswith(".") for part in Path(told).parts):
                continue
            if path.is_dir():
                continue
            if not is_handed_in(path.name):
                yield told, NoNotebook(f"{told} is no notebook.")
            elif path.is_symlink() or not path.resolve().is_relative_to(source.resolve()):
                yield told, ArchiveRefused(f"{told} is a symbolic link: refused.")
            elif _is_archive(path):
                yield from _archive(path, told, limits)
            else:
                yield told, path.read_bytes()
    elif _is_archive(source):
        yield from notebooks(str(source), limits)
    else:
        yield source.name, source.read_bytes()


def _is_archive(path: Path) -> bool:
    """By its name, or by its first bytes: some rename an archive to .ipynb."""
    with path.open("rb") as file:
        return path.suffix.lower() == ".zip" or file.read(len(SIGNATURE)) == SIGNATURE


def _archive(path: Path, told: str, limits: Limits | None) -> Iterator[tuple]:
    """The notebooks of one student's archive in a folder; its refusal, where it is refused."""
    limits = limits or Limits()
    if "/" in told or _MOODLE.match(told) or _CANVAS.match(told):  # one student's
        limits = replace(limits, total=min(limits.total, limits.inner))
    try:
        found = [(f"{told}/{name}", data) for name, data in notebooks(str(path), limits)]
        yield from found or [(told, NoNotebook(f"{told} is empty."))]
    except ArchiveRefused as refused:
        yield told, refused


def _with_chapter(handed: Handed, releases: Mapping[str, Release]) -> Handed:
    cells = read(handed.data).cells
    chapter = chapter_of(cells, handed.path, releases)
    problem = ""
    if not chapter:
        problem = "Neither its cells nor its name say which chapter it is."
    elif not handed.student:
        problem = "Its path does not say whose it is."
    return replace(handed, chapter=chapter, problem=problem)


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


def _told_apart(found: list[Handed]) -> list[Handed]:
    """Two Moodle participants of one name get their numbers added.

    One participant has another number in each assignment, so two for one chapter are needed.
    """
    numbers = defaultdict(set)
    for handed in found:
        if handed.platform == "moodle" and handed.chapter:
            numbers[handed.student, handed.chapter].add(handed.number)
    shared = {student for (student, _), several in numbers.items() if len(several) > 1}
    return [
        replace(handed, student=f"{handed.student}-{handed.number}")
        if handed.student in shared
        else handed
        for handed in found
    ]


def latest(found: list[Handed]) -> list[Handed]:
    """The last attempt of each student at each chapter; files with a problem all stay."""
    kept: dict[tuple, Handed] = {}
    for place, handed in enumerate(found):
        known = handed.student and handed.chapter
        key = (handed.student, handed.chapter) if known else (place,)
        before = kept.get(key)
        if before is None:
            kept[key] = handed
            continue
        first, last = sorted((before, handed), key=_attempt)
        kept[key] = replace(last, earlier=(*before.earlier, *handed.earlier, first.path))
    return list(kept.values())


def _attempt(handed: Handed) -> tuple:
    """Canvas counts attachments up; elsewhere the name's copy number, then its order, decides."""
    copy = re.search(r"[-_( ](\d{1,3})\)?\.ipynb$", handed.path)
    number = int(handed.number) if handed.platform == "canvas" else 0
    return number, int(copy[1]) if copy else 0, handed.path
