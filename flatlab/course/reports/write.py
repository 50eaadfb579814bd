"""``write``: a batch's records as tables, a page for each chapter and feedback for each student."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path

from flatlab.course import whole
from flatlab.course.layout import Layout
from flatlab.course.reports import render, rows, sheets
from flatlab.course.reports.questions import Questions, read
from flatlab.course.reports.rows import Row

_HEAVY = ("notebook", "cells")  # parts of a record that no report shows
_FOLDER = re.compile(r"[^\s/\\\0]+")


def write(
    records: Iterable[Mapping],
    folder: Path,
    *,
    layout: Layout | None = None,
    platform: str = "",
    by_hand: Mapping[tuple[str, str], Mapping[str, float | None]] | None = None,
) -> list[Path]:
    """Write what ``records`` tell below ``folder`` and return the paths written.

    ``records``: what ``flatlab.course.batch`` makes. ``layout``: the course (default: the checkout
    around the current folder), for the chapters' releases. ``platform``: "moodle" or "canvas" adds
    a table that it imports. ``by_hand``: (student, chapter) -> grade id -> points that a person
    gave since, which replace the machine's; None for points that an earlier attempt had.

    - ``CHAPTER.csv``: a row a submission, a column a question; empty where there is no score
    - ``CHAPTER.html``: the class, for the instructor
    - ``CHAPTER-PLATFORM.csv``: students whose exercises all have a settled score
    - ``CHAPTER-moodle-feedback.zip``: the feedback, as Moodle's upload takes it
    - ``feedback/STUDENT/CHAPTER/CHAPTER.html``: one student's page, as nbgrader lays it out
    - ``unplaced.csv``: what was handed in and is no known chapter, where there is such

    Raises ``ValueError`` for an unknown platform, a chapter that is not built and a student whose
    name is no folder's name, before anything is written. Files are replaced whole.
    """
    if platform and platform not in sheets.PLATFORMS:
        raise ValueError(f"No table for {platform!r}: choose {' or '.join(sheets.PLATFORMS)}.")
    layout, given = layout or Layout.find(), by_hand or {}
    chapters: dict[str, list[Row]] = defaultdict(list)
    known: dict[str, Questions] = {}
    unplaced = []
    for record in records:
        record = {key: value for key, value in record.items() if key not in _HEAVY}
        chapter, student = record.get("chapter") or "", record.get("student") or ""
        _refuse(student)
        if chapter not in layout.chapters():
            unplaced.append(record)
            continue
        if chapter not in known:
            known[chapter] = _questions(layout, chapter)
        chapters[chapter].append(rows.row(record, known[chapter], given.get((student, chapter))))
    files: dict[Path, str | bytes] = {}
    for chapter, found in sorted(chapters.items()):
        files |= _chapter(known[chapter], found, platform)
    if unplaced:
        files[Path("unplaced.csv")] = sheets.unplaced(unplaced)
    else:
        (Path(folder) / "unplaced.csv").unlink(missing_ok=True)
    for path, content in files.items():
        whole.write(Path(folder) / path, content, mode=0o644)
    return [Path(folder) / path for path in files]


def _chapter(questions: Questions, found: list[Row], platform: str) -> dict[Path, str | bytes]:
    """The files of one chapter: path -> content."""
    found = sorted(found, key=lambda row: (row.student, row.record.get("path", "")))
    name = questions.chapter
    files = {
        Path(f"{name}.csv"): sheets.per_question(questions, found),
        Path(f"{name}.html"): render.class_page(questions, found),
    }
    if platform:
        files[Path(f"{name}-{platform}.csv")] = sheets.for_platform(platform, questions, found)
    pages = [(row, render.feedback(row)) for row in found if row.student]
    files |= {render.feedback_path(row): page for row, page in pages}
    if platform == "moodle":
        files[Path(f"{name}-moodle-feedback.zip")] = sheets.moodle_feedback(name, pages)
    return files


def _questions(layout: Layout, chapter: str) -> Questions:
    release = layout.release(chapter)
    if not release.is_file():
        raise ValueError(f"{release} is missing: run `flatlab build {chapter[:2]}` first.")
    return read(release)


def _refuse(student: str) -> None:
    """A student's name becomes a folder's."""
    if student and (not _FOLDER.fullmatch(student) or set(student) == {"."}):
        raise ValueError(
            f"The student {student!r} cannot be a folder's name: use letters, digits, - _ and . only."
        )
