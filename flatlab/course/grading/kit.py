"""What nbgrader needs to grade one chapter's submissions: made once, used for each of them.

nbgrader writes the gradebook after it has cleared the solutions, so its source cells are stubs and
tests. The hidden tests are among them: autograde puts them in place inside the sandbox, where the
submission's code can read them. The solutions are not.
"""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from dataclasses import dataclass
from pathlib import Path

from nbgrader.converters import GenerateAssignment
from nbgrader.converters.base import NbGraderException
from nbgrader.coursedir import CourseDirectory

from flatlab.course.grading.stamp import stamp
from flatlab.course.layout import Layout, Refused
from flatlab.course.release import course_config, quiet_log

_MARK = "BEGIN SOLUTION"


@dataclass(frozen=True)
class Kit:
    """A chapter as the sandbox gets it; plain data, so that it can be sent to other machines."""

    chapter: str
    gradebook: bytes  # SQLite, without students
    points: dict[str, float]  # grade id -> most points
    by_hand: tuple[str, ...]  # grade ids of open answers
    tests: dict[str, str]  # grade id -> the whole source of a check cell, hidden tests included
    root: str  # the checkout, of which the sandbox shows nothing but the package


def make_kit(layout: Layout, chapter: str) -> Kit:
    """The kit of ``chapter``, by nbgrader's own generate_assignment in a folder of its own.

    Raises ``Refused`` where the chapter is not built, nbgrader refuses it, or a solution would be
    in the kit.
    """
    solution = layout.solution(chapter)
    if not solution.is_file():
        raise Refused([f"{solution} is missing: run `flatlab build {chapter[:2]}` first."])
    with tempfile.TemporaryDirectory(prefix="flatlab-kit-") as folder:
        root = Path(folder)
        config = layout.root / "nbgrader_config.py"
        shutil.copyfile(config, root / config.name)
        source = root / "solutions" / chapter / f"{chapter}.ipynb"
        source.parent.mkdir(parents=True)
        shutil.copyfile(solution, source)
        _generate(root, chapter)
        book = root / "gradebook.db"
        _refuse_solutions(book, chapter)
        points, by_hand = _graded(book)
        tests = {name: text for name, text in _sources(book).items() if name in points}
        tests = {name: text for name, text in tests.items() if name not in by_hand}
        return Kit(
            chapter, book.read_bytes(), points, by_hand, tests, str(layout.checkout or layout.root)
        )


def _generate(root: Path, chapter: str) -> None:
    """nbgrader's generate_assignment by the settings in ``root``, gradebook and all."""
    stamp(f"sqlite:///{root / 'gradebook.db'}")
    log, words = quiet_log()
    config = course_config(root / "nbgrader_config.py", root)
    coursedir = CourseDirectory(config=config, log=log)
    coursedir.assignment_id = chapter
    try:
        GenerateAssignment(coursedir=coursedir, config=config, log=log).start()
    except (NbGraderException, SystemExit) as error:
        raise Refused([f"{chapter}: nbgrader refused it: {words.getvalue()[-2000:]}"]) from error


def _refuse_solutions(book: Path, chapter: str) -> None:
    """Belt and braces: nbgrader has cleared the solutions, or nothing is graded with this."""
    wrong = [name for name, source in _sources(book).items() if _MARK in source]
    if wrong:
        raise Refused(
            [f"{chapter}: nbgrader left solutions in {wrong}: check ClearSolutions' settings."]
        )


def _sources(book: Path) -> dict[str, str]:
    """The source cells by grade id."""
    with sqlite3.connect(book) as connection:
        cells = connection.execute("SELECT name, source FROM source_cell").fetchall()
    connection.close()
    return {name: source or "" for name, source in cells}


def _graded(book: Path) -> tuple[dict[str, float], tuple[str, ...]]:
    """Points by grade id, and which of them a person gives."""
    with sqlite3.connect(book) as connection:
        rows = connection.execute(
            "SELECT base_cell.name, grade_cells.max_score, grade_cells.cell_type FROM grade_cells "
            "JOIN base_cell ON base_cell.id = grade_cells.id"
        ).fetchall()
        answers = connection.execute(
            "SELECT name FROM base_cell JOIN solution_cells ON base_cell.id = solution_cells.id"
        ).fetchall()
    connection.close()
    written = {name for (name,) in answers}
    by_hand = tuple(sorted(name for name, _, kind in rows if kind != "code" or name in written))
    return {name: float(points) for name, points, _ in rows}, by_hand
