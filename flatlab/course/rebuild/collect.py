"""What was handed in: notebooks in a folder or an archive, each with its student and chapter."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath

from flatlab.course.rebuild import code
from flatlab.course.rebuild.archive import (
    SIGNATURE,
    ArchiveRefused,
    Limits,
    NoNotebook,
    is_handed_in,
    names,
    notebooks,
)
from flatlab.course.rebuild.reading import Cell, read
from flatlab.course.rebuild.release import Release, marker_key
from flatlab.course.rebuild.senders import CANVAS, MOODLE, Handed, holds_class, sender

_IGNORED = (".ipynb_checkpoints", "__MACOSX", "__pycache__")


class OfAClass(ArchiveRefused):
    """An archive of which nobody can say whether a student or a platform has made it."""


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
    for path, content in _files(source, releases, limits):
        handed = sender(path, releases)
        if isinstance(content, NoNotebook):
            others.append(handed)
            continue
        if isinstance(content, OfAClass):
            found.append(Handed(path, b"", problem=str(content)))
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


def _files(
    source: Path, releases: Mapping[str, Release], limits: Limits | None
) -> Iterator[tuple[str, bytes | ArchiveRefused]]:
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
                yield from _archive(path, told, releases, limits)
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


def _archive(
    path: Path, told: str, releases: Mapping[str, Release], limits: Limits | None
) -> Iterator[tuple]:
    """The notebooks of an archive in a folder; its refusal, where it is refused."""
    if sender(told, releases).platform == "canvas" and holds_class(names(str(path)), releases):
        yield (
            told,
            OfAClass(
                f"{told} is named like a Canvas student's and holds what a whole class has handed in. Is it "
                "a class's? Then give it another name, or grade it alone."
            ),
        )
        return
    limits = limits or Limits()
    if "/" in told or MOODLE.match(told) or CANVAS.match(told):  # one student's
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
