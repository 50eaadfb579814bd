"""The made-up class, what is said of its results, and what came in late."""

import json
import re
from dataclasses import replace
from datetime import datetime, timezone

import nbformat
import pytest
from tiny_chapter import NAME, course

from flatlab.course.batch.late import timed
from flatlab.course.build import build
from flatlab.course.choice import Choice
from flatlab.course.handout import Course
from flatlab.course.layout import Layout, Refused
from flatlab.course.rebuild import Handed
from flatlab.course.rehearse import MadeUp, _class, _result, rehearse

DUE = datetime(2026, 11, 6, 17, 0, tzinfo=timezone.utc)


@pytest.fixture(scope="module")
def layout(tmp_path_factory):
    layout = Layout(course(tmp_path_factory.mktemp("course")))
    build(None, execute=False, root=layout.root)
    return layout


@pytest.fixture
def due(layout):
    """The course with a date for its chapter."""
    return Course(
        layout, {NAME: Choice(NAME, ("gradient_step",), ("why",), {}, DUE)}, "course.toml"
    )


def cells(one: MadeUp) -> dict[str, str]:
    """Grade id -> text."""
    found = nbformat.reads(one.data.decode(), as_version=4).cells
    return {cell.metadata.get("nbgrader", {}).get("grade_id", ""): cell.source for cell in found}


def test_the_class_hands_in_what_it_says(layout):
    students = {one.student: one for one in _class(Course(layout), NAME)}
    assert list(students) == ["right", "wrong-1", "wrong-2", "half", "blank", "bare", "cut"]
    assert not any(one.late for one in students.values())
    right = cells(students["right"])
    assert "return w + downhill" in right["gradient_step"]
    assert "BEGIN SOLUTION" not in right["gradient_step"]
    assert "The gradient points uphill" in right["open-why"]
    assert "w + learning_rate * gradient" in cells(students["wrong-1"])["gradient_step"]
    assert students["blank"].data == layout.release(NAME).read_bytes()
    assert set(cells(students["bare"])) == {""}  # no ids
    with pytest.raises(json.JSONDecodeError):
        json.loads(students["cut"].data)
    assert students["right"].data.startswith(students["cut"].data)
    assert b"# exercise: gradient_step" in students["cut"].data
    wanted = {name: one.points for name, one in students.items()}
    assert wanted["right"] == wanted["bare"] == wanted["half"] == {"gradient_step": 2.0}
    assert wanted["wrong-1"] == wanted["blank"] == {"gradient_step": 0.0}
    assert wanted["cut"] is None


def test_without_cases_nobody_makes_a_mistake(layout):
    without = Layout(layout.root, checkout=layout.root / "nowhere")
    assert [one.student for one in _class(Course(without), NAME)] == [
        *("right", "half", "blank", "bare", "cut"),
    ]


def test_one_is_late_where_there_is_a_date(due):
    assert [one.student for one in _class(due, NAME) if one.late] == ["blank"]


def record(score, late=False, look=False):
    entry = {"score": score, "max": 2.0, "needs_look": look, "nbgrader": 2.0, "decided": score}
    return {"status": "graded", "scores": {"check-f": entry}, "manual": [], "late": late}


@pytest.mark.parametrize(
    ("one", "got", "said", "wrong"),
    [
        (MadeUp("a", "", b"", {"f": 2.0}), record(2.0), "2 of 2 points", ""),
        (MadeUp("a", "", b"", {"f": 2.0}), record(0.0), "0 of 2 points", "it should have f: 2"),
        (MadeUp("a", "", b"", {"f": 0.0}), record(2.0), "2 of 2 points", "it should have f: 0"),
        (MadeUp("a", "", b"", {"f": 0.0}), record(None), "0 of 2 points", "it should have f: 0"),
        (
            MadeUp("a", "", b"", None),
            record(2.0),
            "2 of 2 points",
            "should have been asked to look",
        ),
        (MadeUp("a", "", b"", None), record(0.0, look=True), "a person has to look", ""),
        (MadeUp("a", "", b"", {"f": 2.0}, True), record(2.0, late=True), "points, late", ""),
        (MadeUp("a", "", b"", {"f": 2.0}, True), record(2.0), "2 of 2", "it should be late"),
        (MadeUp("a", "", b"", {"f": 2.0}), record(2.0, late=True), "late", "should not be late"),
        (MadeUp("a", "", b"", {"f": 2.0}), None, "not graded", "it should have a record"),
    ],
)
def test_results_are_held_to_what_they_should_be(one, got, said, wrong):
    told, problem = _result(one, got)
    assert said in told and wrong in problem and bool(wrong) == bool(problem)


def test_what_makes_no_sense_is_refused(layout, tmp_path, monkeypatch):
    monkeypatch.setattr(Layout, "find", classmethod(lambda cls: layout))
    (tmp_path / "a.txt").touch()
    assert rehearse(print, out=tmp_path) == [f"{tmp_path} is not empty: give a new folder."]
    (problem,) = rehearse(print, chapters=("77",))
    assert "No single chapter is called '77'" in problem


@pytest.mark.parametrize(
    ("stamp", "late"),
    [
        ("2026-11-06 17:00:00 UTC", False),
        ("2026-11-06 17:00:01.5 UTC", True),
        ("2026-11-06 17:30:00 Europe/Berlin", False),
        ("2026-11-06 09:30:00 America/Los_Angeles", True),
        ("2026-11-06 17:30:00 +0100", False),
        ("2026-11-06 12:30:00.25 -05:00", True),
        ("2026-11-06T17:30:00+01:00", False),
        ("2026-11-06 17:00:01", True),
        (None, False),
    ],
)
def test_late_is_what_the_timestamp_says(due, tmp_path, stamp, late):
    handed = Handed(f"ada/{NAME}/{NAME}.ipynb", b"{}", "ada", platform="nbgrader", chapter=NAME)
    folder = tmp_path / "ada" / NAME
    folder.mkdir(parents=True)
    if stamp:
        (folder / "timestamp.txt").write_text(stamp)
    assert timed(handed, tmp_path, due).late is late
    assert timed(handed, tmp_path, Course(due.layout)).late is False
    (folder / f"{NAME}.zip").touch()
    inside = replace(handed, path=f"ada/{NAME}/{NAME}.zip/{NAME}/{NAME}.ipynb")
    assert timed(inside, tmp_path, due).late is late


@pytest.mark.parametrize("own", [None, "2020-01-01 00:00:00 UTC", "x"])
def test_a_timestamp_that_the_student_wrote_does_not_count(due, tmp_path, own):
    inner = tmp_path / "ada" / NAME / "zz"
    inner.mkdir(parents=True)
    (inner.parent / "timestamp.txt").write_text("2026-11-09 09:00:00 UTC")
    if own:
        (inner / "timestamp.txt").write_text(own)
    path = f"ada/{NAME}/zz/{NAME}.ipynb"
    handed = Handed(path, b"{}", "ada", platform="nbgrader", chapter=NAME)
    assert timed(handed, tmp_path, due).late is True


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Friday evening, I think", "holds no date and time"),
        ("2026-11-06 18:00:00 CEST", "for CEST write UTC, an offset such as +0200 or"),
    ],
)
def test_a_timestamp_that_is_none_is_named(due, tmp_path, text, said):
    handed = Handed(f"ada/{NAME}/{NAME}.ipynb", b"{}", "ada", platform="nbgrader", chapter=NAME)
    (tmp_path / "ada" / NAME).mkdir(parents=True)
    (tmp_path / "ada" / NAME / "timestamp.txt").write_text(text)
    with pytest.raises(Refused, match=rf"timestamp.txt .*{re.escape(said)}"):
        timed(handed, tmp_path, due)
