"""``flatlab progress``: what is done in every chapter, and what is left."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from flatlab.student.chapter import Chapter, outline
from flatlab.student.find import Unusable, chapters, only, read
from flatlab.student.states import DONE, State, states


@dataclass(frozen=True)
class Row:
    """A chapter's numbers, or all chapters' sums: (done, of all)."""

    chapter: str
    exercises: tuple[int, int]
    points: tuple[float, float]
    minutes: tuple[int, int]  # (left, of all)


def progress(start: Path) -> tuple[list[Row], list[str]]:
    """A row a chapter by the outputs saved in its notebook, and what could not be read."""
    rows, problems = [], []
    for name, paths in chapters(start).items():
        try:
            path = only(name, paths)
            notebook = read(path)
            chapter = outline(notebook, str(path))
        except Unusable as error:
            problems.append(str(error))
            continue
        rows.append(row(name, chapter, states(notebook, chapter)))
    return rows, problems


def row(name: str, chapter: Chapter, found: list[State]) -> Row:
    """The numbers of a chapter whose tasks are in these states."""
    done = [s for s in found if s.state in DONE]
    exercises = [s for s in found if not s.task.open]
    return Row(
        name,
        (sum(s in done for s in exercises), len(exercises)),
        (sum(s.task.points for s in done), sum(s.task.points for s in found)),
        (chapter.minutes_left({s.task.name for s in done}), chapter.minutes),
    )


def table(rows: list[Row]) -> Iterable[str]:
    """The rows and their sum as lines of text."""
    pairs = [(row.exercises, row.points, row.minutes) for row in rows]
    total = [tuple(map(sum, zip(*column, strict=True))) for column in zip(*pairs, strict=True)]
    every = [*rows, Row("all", *total)] if len(rows) > 1 else rows
    cells = [("chapter", "exercises", "points in reach", "minutes left")]
    for row in every:
        numbers = (row.exercises, row.points, row.minutes)
        cells.append((row.chapter, *(f"{part:g} of {whole:g}" for part, whole in numbers)))
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for line in cells:
        yield "  ".join(t.ljust(w) for t, w in zip(line, widths, strict=True)).rstrip()
