"""Every built chapter, its exercises and its cases, to parametrize tests by.

The checks judge every case in each run (tests/unit/checks). Here, where a kernel or a sandbox runs each
submission, a few students hand in each time, and the others in `make test-all`.
"""

from pathlib import Path

import pytest
from harness import cases, exercises, submissions

from flatlab.course.layout import Layout

LAYOUT = Layout.find(Path(__file__).parent)
CHAPTERS = [name for name in LAYOUT.chapters() if LAYOUT.release(name).is_file()]
CASES = [case for chapter in CHAPTERS for case in cases(LAYOUT, chapter)]
EXERCISES = [(chapter, e.name) for chapter in CHAPTERS for e in exercises(LAYOUT, chapter)]
PARTS = ("each-time", "others")  # of a class: in `make test`, in `make test-all`
EVERY_TIME = ("solution", "untouched", "wrong-1", "wrong-2")


def part(student: str) -> str:
    """The part of a class in which this student is."""
    return "each-time" if student in EVERY_TIME else "others"


def handed_in(chapter: str, which: str) -> dict[str, str]:
    """Notebook texts by student, of one part of the chapter's class."""
    everybody = submissions(LAYOUT, chapter)
    return {student: text for student, text in everybody.items() if part(student) == which}


def of(kind: str) -> pytest.MarkDecorator:
    """Parametrize by all cases of this kind."""
    chosen = [case for case in CASES if case.kind == kind]
    marked = [pytest.param(c, marks=marks(part(c.student)), id=c.label) for c in chosen]
    return pytest.mark.parametrize("case", marked)


def marks(which: str) -> tuple:
    """The marks of a test of this part."""
    return () if which == "each-time" else (pytest.mark.extended,)


every_part = pytest.mark.parametrize(
    ("chapter", "which"),
    [
        pytest.param(chapter, which, marks=marks(which), id=f"{chapter}-{which}")
        for chapter in CHAPTERS
        for which in PARTS
    ],
)
