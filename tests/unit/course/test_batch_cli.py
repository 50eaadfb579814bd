"""``flatlab grade``: what it refuses, says and returns; the grading itself is replaced."""

import json

import pytest
from batch_books import CHAPTER, desk
from click.testing import CliRunner
from nbformat.v4 import new_code_cell, new_notebook

from flatlab.course import grading
from flatlab.course.batch import Journal, many, run
from flatlab.course.batch.one import ungraded
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
    assert run.look(record, {"check-f"}) == ""
    record["scores"]["check-f"] = {**entry, "needs_look": False}
    assert run.look(record) == ""
    record["manual"] = [{"where": "exercise f", "text": "Two answers,\n  one graded."}]
    assert run.look(record) == "exercise f: Two answers, one graded."
    assert run.look(record, {"check-f"}) == ""  # a person has graded it since


def test_another_attempt_is_known_by_what_the_first_left(course):
    root, _ = course
    record = {"student": "ada", "chapter": CHAPTER, "notebook": notebook("x = 1")}
    assert not run._is_anew(root, record)
    run._keep_notebook(root, record)
    assert not run._is_anew(root, record)
    assert run._is_anew(root, record | {"notebook": notebook("x = 2")})
    run._keep_notebook(root, record | {"notebook": None})  # one that could not be run
    assert not list((root / "autograded").rglob("*.ipynb"))


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
