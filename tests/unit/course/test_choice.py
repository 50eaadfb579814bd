"""course.toml: what it says is read, and what is wrong with it is said with its line."""

from datetime import datetime, timedelta, timezone

import pytest
from tiny_chapter import NAME, course

from flatlab.course.choice import Choice, read
from flatlab.course.layout import Layout, Refused


@pytest.fixture(scope="module")
def layout(tmp_path_factory):
    return Layout(course(tmp_path_factory.mktemp("course")))


@pytest.fixture
def made(layout, tmp_path):
    """A function from a course.toml's text to what is read from it."""

    def get(text: str) -> dict[str, Choice]:
        path = tmp_path / "course.toml"
        path.write_text(text, encoding="utf-8")
        return read(path, layout).choices

    return get


def test_an_empty_file_is_the_whole_course(made):
    assert made("") == {NAME: Choice(NAME, ("gradient_step",), ("why",))}


def test_everything_that_can_be_said(made):
    choice = made(
        "[chapters.00]\n"
        'exercises = ["gradient_step"]\nquestions = []\n'
        "points.gradient_step = 2.5\ndue = 2026-11-06T18:00:00+01:00\n"
    )[NAME]
    zone = timezone(timedelta(hours=1))
    assert choice.exercises == ("gradient_step",) and choice.questions == ()
    assert choice.points == {"gradient_step": 2.5}
    assert choice.due == datetime(2026, 11, 6, 18, tzinfo=zone)


def test_a_table_in_other_words(made):
    choice = made(f'[chapters."{NAME}".points]\nwhy = 1\n')[NAME]
    assert choice.points == {"why": 1} and choice.exercises == ("gradient_step",)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "[chapters.00]\nduh = 1",
            "line 2, chapters.00.duh: unknown; allowed: exercises, questions",
        ),
        ("\ntitle = 'x'", "line 2, title: unknown; at the top only [chapters.NN]"),
        ("[chapters.07]", "line 1, chapters.07: No single chapter is called '07'"),
        ("chapters = 3", "line 1, chapters: write a table for each chapter"),
        ("[chapters]\n00 = 3", "line 2, chapters.00: write a table: [chapters.00]."),
        ("[chapters.00]\n\nexercises = 'x'", "line 3, chapters.00.exercises: 'x' is no list"),
        ("[chapters.00]\nexercises = ['hvp']", "there is no 'hvp'; allowed: ['gradient_step']"),
        ("[chapters.00]\nexercises = []", "at least one has to be graded"),
        ("[chapters.00]\nquestions = ['why', 'why']", "'why' is there 2 times"),
        ("[chapters.00]\npoints = 3", "line 2, chapters.00.points: 3 is no table"),
        (
            "[chapters.00]\npoints.hvp = 3",
            "line 2, chapters.00.points.hvp: nothing graded is called",
        ),
        ("[chapters.00]\nquestions = []\npoints.why = 3", "nothing graded is called 'why'"),
        (
            "[chapters.00.points]\nwhy = -1",
            "line 2, chapters.00.points.why: -1 is no number above 0",
        ),
        (
            "[chapters.00]\npoints = {why = true}",
            "line 2, chapters.00.points.why: True is no number",
        ),
        ("[chapters.00]\npoints.why = inf", "inf is no number above 0"),
        ("[chapters.00]\ndue = 2026-11-06", "is no date with time and zone: write 2026-"),
        ("[chapters.00]\ndue = 2026-11-06T18:00:00", "line 2, chapters.00.due"),
        ("[chapters.00]\ndue = 'Friday'", "Friday is no date"),
        (f"[chapters.00]\n[chapters.{NAME}]", f"line 2, chapters.{NAME}: a second table for"),
        ("[chapters.00", "course.toml is no TOML: "),
    ],
)
def test_what_is_wrong_is_said_with_its_place(made, text, said):
    with pytest.raises(Refused) as refused:
        made(text)
    assert said in str(refused.value)
    assert str(refused.value).startswith("course.toml")


def test_all_that_is_wrong_is_said_at_once(made):
    with pytest.raises(Refused) as refused:
        made("[chapters.00]\npoints.why = 0\ndue = 3\nlate = 2")
    assert len(refused.value.problems) == 3


def test_a_file_that_is_not_there_or_no_text(layout, tmp_path):
    with pytest.raises(Refused, match="cannot be read"):
        read(tmp_path / "none.toml", layout)
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(Refused, match="is no TOML"):
        read(tmp_path / "bytes.toml", layout)
