"""A rehearsal of the tiny chapter by a course.toml: released, graded, and held to what it should be."""

import csv

import pytest
from nbgrader.api import Gradebook
from tiny_chapter import CASES, NAME, course

from flatlab.course.build import build
from flatlab.course.layout import Layout
from flatlab.course.rehearse import rehearse

pytestmark = [pytest.mark.grading, pytest.mark.beside, pytest.mark.extended]

TERM = """[chapters.00]
questions = []
points.gradient_step = 3
due = 2026-11-06T18:00:00+01:00
"""
# The second mistake of the class is a right answer: the rehearsal has to say so, and of it alone.
NO_MISTAKE = CASES.replace("return w - gradient\n", "return w - learning_rate * gradient\n", 1)


@pytest.fixture(scope="module")
def rehearsed(tmp_path_factory, bubblewrap):
    """The folder of the rehearsal, its problems and its words."""
    layout = Layout(course(tmp_path_factory.mktemp("course"), cases=NO_MISTAKE))
    build(None, execute=False, root=layout.root)
    (layout.root / "course.toml").write_text(TERM)
    said: list[str] = []
    folder = tmp_path_factory.mktemp("rehearsal") / "new"
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(layout.root)
        problems = rehearse(said.append, jobs=2, out=folder)
    return folder, problems, "\n".join(said)


def test_what_should_not_be_is_said_and_nothing_else(rehearsed):
    _, problems, said = rehearsed
    (problem,) = problems
    assert problem.startswith(f"{NAME}, wrong-2 (a mistake in every exercise): 3 of 3 points;")
    assert problem.endswith("it should have gradient_step: 0")
    assert said.endswith("not all as it should be; look at " + str(rehearsed[0] / "graded"))
    assert f"course.toml: chapters {NAME}; 1 graded question" in said


def test_points_and_lateness_are_in_the_tables(rehearsed):
    graded = rehearsed[0] / "graded"
    with (graded / f"{NAME}.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = {row["student"]: row for row in csv.DictReader(file)}
    assert {row["max"] for row in rows.values()} == {"3"}
    assert {name: row["gradient_step"] for name, row in rows.items()} == {
        **dict.fromkeys(("right", "wrong-2", "half", "bare"), "3"),
        **dict.fromkeys(("wrong-1", "blank", "cut"), "0"),
    }
    assert [name for name, row in rows.items() if row["late"] == "yes"] == ["blank"]
    page = (graded / f"{NAME}.html").read_text(encoding="utf-8")
    assert "<b>1</b> late" in page and page.count(">late</span>") == 1


def test_points_and_date_are_in_the_gradebook(rehearsed):
    with Gradebook(f"sqlite:///{rehearsed[0] / 'graded' / 'gradebook.db'}") as book:
        assignment = book.find_assignment(NAME)
        assert assignment.max_score == 3 and f"{assignment.duedate:%d %H:%M}" == "06 17:00"
        assert book.find_submission(NAME, "right").score == 3
