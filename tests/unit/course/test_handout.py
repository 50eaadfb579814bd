"""What is handed out by a course.toml: chosen exercises, other points, dates; nothing leaks."""

from datetime import datetime, timezone
from pathlib import Path

import nbformat
import pytest
from click.testing import CliRunner
from leaks import leaks, secret_and_visible
from tiny_chapter import NAME, course

from flatlab.course import contract_text
from flatlab.course.batch.desk import make_desk
from flatlab.course.batch.merge import merge, opened
from flatlab.course.build import build
from flatlab.course.choice import Choice
from flatlab.course.cli import main
from flatlab.course.handout import chosen, handed_out, lay_out
from flatlab.course.layout import Layout, Refused
from flatlab.course.source import CODE_KINDS, TEXT_KINDS, parse, read_chapter
from flatlab.course.verdict.chapter import read as read_verdict

ROOT = Path(__file__).resolve().parents[3]
REAL = Layout(ROOT)
FIRST = "01-sharp-and-flat"
DUE = datetime(2026, 11, 6, 17, 0, tzinfo=timezone.utc)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """The tiny chapter, built."""
    layout = Layout(course(tmp_path_factory.mktemp("course")))
    build(None, execute=False, root=layout.root)
    return layout


@pytest.fixture(scope="module")
def part(tmp_path_factory):
    """Chapter 01 with two exercises of seven, other points, a date and no open question."""
    choice = Choice(FIRST, ("hvp", "power_iteration"), (), {"hvp": 6}, DUE)
    return lay_out(REAL, {FIRST: choice}, tmp_path_factory.mktemp("part"))


def graded(path: Path) -> dict[str, float]:
    """Grade id -> points in a notebook."""
    cells = nbformat.read(path, as_version=4).cells
    found = [cell.metadata.get("nbgrader", {}) for cell in cells]
    return {facts["grade_id"]: facts["points"] for facts in found if facts.get("grade")}


def test_only_what_is_chosen_is_graded_and_with_its_points(part):
    wanted = {"check-hvp": 6, "check-power_iteration": 3}
    assert graded(part.release(FIRST)) == graded(part.solution(FIRST)) == wanted
    text = part.release(FIRST).read_text(encoding="utf-8")
    assert "Hessian-vector product   ●●●○ · 6 points · 12 min" in text
    assert "**Due** Friday 6 November 2026, 17:00 (UTC+00:00)." in text
    assert "Open question" not in text and "Open question" in REAL.release(FIRST).read_text()


def test_the_other_exercises_are_given(part):
    cells = nbformat.read(part.release(FIRST), as_version=4).cells
    (given,) = [c for c in cells if "def frobenius_norm(" in c.source]
    assert "NotImplementedError" not in given.source and given.metadata.jupyter.source_hidden
    place = cells.index(given)
    assert cells[place + 1].source.strip() == "check.frobenius_norm(frobenius_norm)"
    assert not cells[place + 1].metadata.get("nbgrader")
    texts = "\n".join(c.source for c in cells if c.cell_type == "markdown")
    assert "### Exercise 5 · Frobenius norm from probes (given)\n\n*Given: " in texts


def test_nothing_that_is_graded_leaks(part):
    found, looked_for = leaks(part.source(FIRST), part.release(FIRST))
    assert found == [] and looked_for > 40
    whole, _ = secret_and_visible(REAL.source(FIRST).read_text(encoding="utf-8"))
    hidden = [line for line in whole if "check." in line and ".grade(" in line]
    text = part.release(FIRST).read_text(encoding="utf-8")
    assert len(hidden) == 7 and not any(line in text for line in hidden)


def test_the_contract_holds_but_for_the_count(part):
    """Of the text it finds only that exercises and a question are missing, as was wished."""
    said = contract_text.problems(read_chapter(part.source(FIRST)))
    assert [s for s in said if "its heading says Exercise" not in s] == [
        f"{FIRST}: 2 exercises; 5 to 8 wanted.",
        f"{FIRST}: no open question.",
    ]


def test_links_lead_to_what_is_handed_out():
    text = REAL.source(FIRST).read_text(encoding="utf-8")
    choice = Choice(
        FIRST, tuple(c.name for c in read_chapter(REAL.source(FIRST)).of("exercise")), ()
    )
    alone, both = chosen(text, choice, {FIRST}), chosen(text, choice, {FIRST, "00-start-here"})
    link = "[chapter 00](../00-start-here/00-start-here.ipynb)"
    assert link in text and link in both and link not in alone and "chapter 00" in alone


def test_the_verdict_reads_it(part):
    chapter = read_verdict(part.source(FIRST))
    assert [(g.name, g.points) for g in chapter.graded] == [("hvp", 6.0), ("power_iteration", 3.0)]


@pytest.mark.parametrize("chapter", REAL.chapters())
def test_any_one_exercise_of_a_chapter_can_be_the_only_one(chapter, tmp_path):
    """What the build refuses is refused here too: a name that is missing, say."""
    exercises = [cell.name for cell in read_chapter(REAL.source(chapter)).of("exercise")]
    made = lay_out(REAL, {chapter: Choice(chapter, (exercises[-1],), ())}, tmp_path)
    assert list(graded(made.release(chapter))) == [f"check-{exercises[-1]}"]


def test_a_choice_of_everything_changes_nothing(tiny, tmp_path):
    text = tiny.source(NAME).read_text(encoding="utf-8")
    choice = Choice(NAME, ("gradient_step",), ("why",))
    assert chosen(text, choice, {NAME}) == text
    made = lay_out(tiny, {NAME: choice}, tmp_path)
    for where in ("source", "solution", "release"):
        assert getattr(made, where)(NAME).read_bytes() == getattr(tiny, where)(NAME).read_bytes()


def test_without_a_file_the_course_is_as_it_is(tiny):
    with handed_out(tiny) as given:
        assert given.layout == tiny and given.text == "" and given.due(NAME) is None


def test_the_checkouts_own_file_counts(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(Layout, "find", classmethod(lambda cls: tiny))
    own = tiny.root / "course.toml"
    own.write_text("[chapters.00]\nquestions = []\npoints.gradient_step = 5\n")
    try:
        done = CliRunner().invoke(main, ["release", "--out", str(tmp_path / "out")])
        with handed_out(tiny) as given:
            assert given.layout.checkout == tiny.root and given.layout.root != tiny.root
    finally:
        own.unlink()
    path = tmp_path / "out" / NAME / f"{NAME}.ipynb"
    assert done.exit_code == 0 and f"wrote {path}" in done.output, done.output
    assert f"course.toml: chapters {NAME}; 1 graded question\n" in done.output
    assert graded(path) == {"check-gradient_step": 5}


def test_release_refuses_the_courses_own_folders_and_bad_files(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(Layout, "find", classmethod(lambda cls: tiny))
    before = tiny.release(NAME).read_bytes()
    done = CliRunner().invoke(main, ["release", "--out", str(tiny.root / "notebooks")])
    assert done.exit_code == 1 and "give a folder that is not the course's own" in done.output
    assert tiny.release(NAME).read_bytes() == before
    wrong = tmp_path / "my.toml"
    wrong.write_text("[chapters.00]\nexercises = []\n")
    done = CliRunner().invoke(
        main, ["release", "--out", str(tmp_path / "out"), "--course", str(wrong)]
    )
    assert done.exit_code == 1 and "my.toml, line 2, chapters.00.exercises" in done.output
    assert not (tmp_path / "out").exists()


def test_points_and_date_are_in_the_gradebook(tiny, tmp_path):
    choice = Choice(NAME, ("gradient_step",), ("why",), {"gradient_step": 2.5, "why": 1}, DUE)
    made = lay_out(tiny, {NAME: choice}, tmp_path / "made")
    desk = make_desk(made, NAME)
    assert desk.kit.points == {"check-gradient_step": 2.5, "open-why": 1.0}
    assert desk.kit.root == str(tiny.root)  # which the sandbox hides
    book = f"sqlite:///{tmp_path / 'gradebook.db'}"
    merge([], book, {NAME: desk})
    with opened(book) as stored:
        assert stored.find_assignment(NAME).duedate is None
        assert stored.find_assignment(NAME).max_score == 3.5
    from dataclasses import replace

    merge([], book, {NAME: replace(desk, due=choice.due)})
    with opened(book) as stored:
        assert stored.find_assignment(NAME).duedate == DUE.replace(tzinfo=None)


def test_a_changed_source_that_breaks_is_refused(tiny, tmp_path):
    """Whatever the contract says of it, in its words."""
    text = tiny.source(NAME).read_text(encoding="utf-8")
    broken = Layout(course(tmp_path / "broken", source=text.replace("points=2", 'points="two"')))
    with pytest.raises(Refused, match="points"):
        lay_out(broken, {NAME: Choice(NAME, ("gradient_step",), ())}, tmp_path / "made")


def test_given_code_keeps_its_lines():
    text = REAL.source("00-start-here").read_text(encoding="utf-8")
    made = chosen(text, Choice("00-start-here", (), ()), {"00-start-here"})
    cells = parse(made, "00-start-here", {**CODE_KINDS, **TEXT_KINDS}).cells
    (given,) = [cell for cell in cells if "def gradient_step" in cell.text]
    assert given.kind == "folded" and given.text.endswith("    return w - learning_rate * gradient")
