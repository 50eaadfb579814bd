"""``flatlab grade``: what it refuses, says and returns; the grading itself is replaced."""

import json
import zipfile
from dataclasses import replace

import nbformat
import pytest
from batch_books import CHAPTER, desk
from click.testing import CliRunner
from nbformat.v4 import new_code_cell, new_notebook

from flatlab.course import grading
from flatlab.course.batch import Journal, many, run
from flatlab.course.batch.one import ungraded
from flatlab.course.batch.opened import Opened
from flatlab.course.cli import main
from flatlab.course.execute import dumps
from flatlab.course.layout import Layout

STUB = "# exercise: f\ndef f():\n    # YOUR CODE HERE\n    raise NotImplementedError()"


def notebook(source: str = STUB) -> str:
    """A chapter of one exercise."""
    metadata = {"nbgrader": {"grade_id": "f", "solution": True, "grade": False, "locked": False}}
    return dumps(new_notebook(cells=[new_code_cell(source, id="f", metadata=metadata)]))


@pytest.fixture
def course(tmp_path, monkeypatch):
    """A checkout with one chapter; whatever is handed in earns 1 of f's 2 points."""
    root = tmp_path / "course"
    layout = Layout(root)
    texts = {
        root / "nbgrader_config.py": "",
        layout.source(CHAPTER): "# a source",
        layout.solution(CHAPTER): notebook(),
        layout.release(CHAPTER): notebook(),
    }
    for path, text in texts.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.chdir(root)
    made = desk(tmp_path)
    told = []

    def graded(desk_, handed, limits, sandbox, seed):
        told.append((handed.student, limits, sandbox))
        record = ungraded(handed, "", desk_.kit)
        for entry in record["scores"].values():
            entry |= {"score": 1.0, "needs_look": False, "nbgrader": 1.0, "decided": 1.0}
        rest = {"status": "graded", "manual": [], "notebook": notebook(), "exercises": {}}
        return {**record, **rest, "digest": desk_.digest(handed.data, limits, sandbox, seed)}

    for module in (many, run):
        monkeypatch.setattr(module, "available", lambda: None)
        monkeypatch.setattr(module, "make_desk", lambda *_: made)
    monkeypatch.setattr(many, "grade_at", graded)
    monkeypatch.setattr(run.reports, "write", lambda *_, **__: [])
    return root, told


def hand_in(root, *students):
    for student in students:
        path = root / "submitted" / student / CHAPTER / f"{CHAPTER}.ipynb"
        path.parent.mkdir(parents=True)
        path.write_text(notebook(f"# exercise: f\ndef f():\n    return {student!r}"))


def grade(*words):
    return CliRunner().invoke(main, ["grade", *words], catch_exceptions=False)


def test_it_grades_once_and_says_what_it_wrote(course):
    root, told = course
    hand_in(root, "ada", "bob")
    first = grade("submitted", "-j", "1")
    assert first.exit_code == 0, first.output
    assert first.output.startswith("sandbox: each submission in bubblewrap; limits: 120 s a cell")
    assert f"{CHAPTER}: 2 submissions" in first.output
    assert "graded 2, kept 0 as they were" in first.output
    assert "gradebook: 2 new, 0 changed, 0 as they were" in first.output
    assert "a person has to look at 0 submissions" in first.output
    assert (root / "graded" / "gradebook.db").is_file()
    kept = root / "graded" / "autograded" / "ada" / CHAPTER / f"{CHAPTER}.ipynb"
    assert json.loads(kept.read_text())["cells"]
    again = grade("submitted", "-j", "1")
    assert "graded 0, kept 2 as they were" in again.output
    assert [student for student, _, _ in told] == ["ada", "bob"]
    path = root / "submitted" / "bob" / CHAPTER / f"{CHAPTER}.ipynb"
    path.write_text(notebook("# exercise: f\ndef f():\n    return 'better'"))
    assert "graded 1, kept 1 as they were" in grade("submitted", "-j", "1").output


def test_what_a_person_has_to_see_is_named(course):
    root, _ = course
    hand_in(root, "ada")
    (root / "submitted" / "notes.ipynb").write_text('{"cells": []}')
    done = grade("submitted", "-j", "1")
    assert done.exit_code == 0
    assert "of no known chapter: 1 submission\n" in done.output
    assert "gradebook: 1 new" in done.output
    assert "a person has to look at 1 submission:\n  unknown-" in done.output
    assert "Neither its cells nor its name say which chapter it is." in done.output
    done = grade("submitted", "-j", "1", "--chapter", "00")  # taken for the one asked for
    assert f"{CHAPTER}: 2 submissions" in done.output


def test_an_empty_notebook_of_nobody_alone_is_named(course):
    root, told = course
    (root / "submitted").mkdir()
    (root / "submitted" / f"{CHAPTER}.ipynb").touch()
    done = grade("submitted", "-j", "1")
    assert done.exit_code == 0 and told == []
    assert "gradebook: 1 new" in done.output
    assert "Its path does not say whose it is." in done.output


def test_without_a_sandbox_it_is_refused_unless_asked(course, monkeypatch):
    root, told = course
    hand_in(root, "ada")
    for module in (many, run):
        monkeypatch.setattr(module, "available", lambda: "bubblewrap is not installed")
    refused = grade("submitted")
    assert refused.exit_code == 1 and "bubblewrap is not installed" in refused.output
    assert told == [] and not (root / "graded").exists()
    done = grade("submitted", "-j", "1", "--no-sandbox", "--limit", "memory=2048")
    assert done.exit_code == 0 and "no sandbox: they run as you" in done.output
    assert [(limits.memory, sandbox) for _, limits, sandbox in told] == [(2048, False)]


def test_a_second_run_on_the_same_folder_is_refused(course):
    root, told = course
    hand_in(root, "ada")
    with Journal(root / "graded").held():
        refused = grade("submitted", "-j", "1")
    assert refused.exit_code == 1 and "Another run writes to" in refused.output and told == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--limit", "speed=3"], "No limit is called 'speed'"),
        (["--limit", "memory=much"], "The limit memory is 'much'"),
        (["--limit", "memory=0"], "give a positive number"),
        (["--backend", "dask"], "go together"),
        (["--scheduler", "tcp://localhost:1"], "go together"),
        (["--chapter", "77"], "No single chapter is called '77'"),
        (["--gradebook", "nonsense"], "The gradebook nonsense cannot be used"),
        (["--gradebook", "postgresql+none://u:geheim@h/d"], "postgresql+none://u:***@h/d cannot"),
    ],
)
def test_what_makes_no_sense_is_refused(course, words, said):
    root, _ = course
    hand_in(root, "ada")
    done = grade("submitted", "-j", "1", *words)
    assert done.exit_code != 0 and said in done.output


def test_a_folder_without_notebooks_is_refused(course):
    root, _ = course
    (root / "submitted").mkdir()
    done = grade("submitted")
    assert done.exit_code == 1 and "holds no notebook and no zip archive" in done.output


def test_a_line_says_why_a_person_has_to_look():
    entry = {"needs_look": True, "nbgrader": 4.0, "decided": 0.0}
    record = {"status": "graded", "scores": {"check-f": entry}, "manual": []}
    assert run.look(record) == "check-f (nbgrader 4, decided 0)"
    assert run.look(record, {"check-f": 2.0}) == ""
    told = "check-f: points of an earlier attempt; check-f (nbgrader 4, decided 0)"
    assert run.look(record, {"check-f": None}) == told
    record["scores"]["check-f"] = {**entry, "needs_look": False}
    assert run.look(record) == ""
    record["manual"] = [{"where": "exercise f", "text": "Two answers,\n  one graded."}]
    assert run.look(record) == "exercise f: Two answers, one graded."
    assert run.look(record, {"check-f": 0.0}) == ""  # a person has graded it since
    record |= {"status": "manual", "scores": {"check-f": entry, "open-why": entry}}
    assert run.look(record, {"check-f": 1.0}) == "not graded"
    assert run.look(record, {"check-f": 1.0, "open-why": 1.0}) == ""  # without a machine


def test_another_attempt_is_known_by_what_the_first_left(course):
    root, _ = course
    desks = {CHAPTER: desk(root)}
    desks[CHAPTER] = replace(desks[CHAPTER], release=notebook())

    def opened(text, chapter=CHAPTER):
        return Opened.of({"student": "ada", "chapter": chapter, "notebook": text}, desks, root)

    first = opened(notebook("x = 1"))
    assert not first.is_anew()
    first.keep()
    assert not first.is_anew() and opened(notebook("x = 2")).is_anew()
    unread = opened(None)  # one that could not be run
    assert unread.is_anew()
    unread.keep()  # formgrader shows the release, to give points on
    assert unread.path.read_text() == notebook() and not unread.is_anew()
    opened(None, "unknown-1").keep()
    assert [path.parent.name for path in root.rglob("autograded/**/*.ipynb")] == [CHAPTER]


def test_the_releases_own_texts_make_no_other_attempt(course):
    """The instructor moves a date or changes the points of another question."""
    book, said = nbformat.reads(notebook("x = 1"), as_version=4), []
    locked = {"nbgrader": {"grade_id": "check-f", "solution": False, "locked": True}}
    for due in ("Monday", "Tuesday"):
        book.cells[1:] = [
            nbformat.v4.new_markdown_cell(f"Due {due}", id="a"),
            nbformat.v4.new_code_cell(f"# check: f · {len(due)} points", id="b", metadata=locked),
        ]
        record = {"student": "ada", "chapter": CHAPTER, "notebook": dumps(book)}
        said.append(Opened.of(record, {}, course[0]).is_anew())
        Opened.of(record, {}, course[0]).keep()
    assert said == [False, False]
    book.cells.append(nbformat.v4.new_code_cell("helper = 1", id="c"))
    assert Opened.of(record | {"notebook": dumps(book)}, {}, course[0]).is_anew()


def moodle(path, *participants):
    """A class's archive: (full name, number, what f returns)."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, number, value in participants:
            text = notebook(f"# exercise: f\ndef f():\n    return {value!r}")
            archive.writestr(f"{name}_{number}_assignsubmission_file_/{CHAPTER}.ipynb", text)


def test_two_of_one_name_stay_two_from_run_to_run(course):
    """Whoever was there first keeps the name; nobody gets the other's points."""
    root, told = course
    first, second = ("Li Wei", 108, 1), ("Li Wei", 120, 2)
    for name, people in (("a", [first]), ("b", [first, second]), ("c", [second]), ("d", [first])):
        moodle(root / f"{name}.zip", *people)
        done = grade(f"{name}.zip", "-j", "1")
        assert done.exit_code == 0, done.output
    assert [student for student, *_ in told] == ["Li-Wei", "Li-Wei-120"]  # each graded once
    journal = Journal(root / "graded")
    numbers = {name: journal.read(name, CHAPTER)["number"] for name in journal.students(CHAPTER)}
    assert numbers == {"Li-Wei": "108", "Li-Wei-120": "120"}
    assert (
        f"{CHAPTER}: 1 submission of earlier runs left out of the tables, not in d.zip"
        in done.output
    )
    moodle(root / "e.zip", first, second, ("Li Wei", 131, 3))
    grade("e.zip", "-j", "1", "--out", "new")
    assert set(Journal(root / "new").students(CHAPTER)) == {f"Li-Wei-{n}" for n in (108, 120, 131)}
    grade("c.zip", "-j", "1", "--out", "new")
    assert len(Journal(root / "new").students(CHAPTER)) == 3


@pytest.mark.parametrize("words", [["submitted"], ["submitted", "--no-sandbox"]])
def test_another_system_is_told_what_grading_needs(words, course, monkeypatch):
    monkeypatch.setattr(grading, "LINUX", False)
    hand_in(course[0], "ada")
    done = grade(*words)
    assert done.exit_code == 1 and done.output == f"{grading.NEEDS_LINUX}\n"


def test_a_scratch_notebook_is_not_taken_for_the_submission_beside_it(course):
    root, told = course
    hand_in(root, "ada")
    scratch = dumps(new_notebook(cells=[new_code_cell("1")]))
    (root / "submitted" / "ada" / CHAPTER / "Untitled.ipynb").write_text(scratch)
    (root / "submitted" / "bo").mkdir()
    for name in ("Untitled.ipynb", "Untitled1.ipynb"):  # nothing else of his is there
        (root / "submitted" / "bo" / name).write_text(scratch)
    result = grade("submitted", "-j", "1", "--chapter", CHAPTER[:2])
    assert f"{CHAPTER}: 2 submissions" in result.output
    assert "of no known chapter: 1 submission" in result.output
    assert [student for student, *_ in told] == ["ada", "bo"]
