"""Variants of chapter 01, graded: the same scores as of the plain notebook, and whose number it is."""

import re
from pathlib import Path

import nbformat
import pytest

from flatlab.course.batch.journal import Journal
from flatlab.course.batch.many import Way
from flatlab.course.batch.run import Options, run
from flatlab.course.execute import dumps
from flatlab.course.handout import answer, handed_out
from flatlab.course.layout import Layout
from flatlab.course.rehearse import transplant
from flatlab.course.source import read_cases, read_chapter

pytestmark = [pytest.mark.grading, pytest.mark.beside, pytest.mark.extended]

REAL = Layout.find(Path(__file__).parent)
CHAPTER = "01-sharp-and-flat"
LINE = re.compile(r"flatlab\.use_variant\((\d+)\)  # your own sample of the data")
TERM = """[chapters.01]
[variants]
students = "students.csv"
secret = "a secret of this test"
"""
LISTED = ("ada", "bob", "other")


@pytest.fixture(scope="module")
def graded(tmp_path_factory, bubblewrap):
    """The folder of results, the records by student, the numbers, and the words.

    All hand in the same answers, of which some are wrong. ``plain`` is not on the list and has the notebook
    that is handed out without variants; ``bob`` hands in ada's.
    """
    folder = tmp_path_factory.mktemp("term")
    (folder / "students.csv").write_text("id\n" + "\n".join(LISTED))
    (folder / "course.toml").write_text(TERM)
    with handed_out(REAL, folder / "course.toml") as course:
        texts = {name: course.notebook(CHAPTER, name) for name in ("", *LISTED)}
        numbers = dict(course.variants.numbers)
    source = read_chapter(REAL.source(CHAPTER))
    answers = {cell.name: answer(cell.text) for cell in source.of("exercise")}
    for case in read_cases(REAL.cases(CHAPTER)).of("misconception"):
        if case.name in list(answers)[1::3]:
            answers[case.name] = case.text
    damaged = {
        "plain": texts[""],
        "ada": texts["ada"],
        "bob": texts["ada"],
        "other": LINE.sub("flatlab.use_varint(1", texts["other"]),
    }
    for name, text in damaged.items():
        path = folder / "submitted" / name / CHAPTER / f"{CHAPTER}.ipynb"
        path.parent.mkdir(parents=True)
        notebook = transplant(nbformat.reads(text, as_version=4), answers)
        path.write_text(dumps(notebook), encoding="utf-8")
    said: list[str] = []
    options = Options(
        folder / "submitted", folder / "out", way=Way(2), course=folder / "course.toml"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(REAL.root)
        assert run(options, said.append) == []
    journal = Journal(folder / "out")
    records = {name: journal.read(name, CHAPTER) for name in damaged}
    return folder / "out", records, numbers, "\n".join(said)


def test_all_get_what_the_plain_notebook_gets(graded):
    _, records, _, _ = graded
    scores = {name: record["scores"] for name, record in records.items()}
    earned = [s["score"] for n, s in scores["plain"].items() if n.startswith("check-")]
    assert 0.0 in earned and sum(earned) > 0
    assert all(each == scores["plain"] for each in scores.values())
    assert all(
        record["exercises"].keys() == records["plain"]["exercises"].keys()
        for record in records.values()
    )
    assert all(record["flags"] == records["plain"]["flags"] for record in records.values())
    assert all(record["manual"] == [] for record in records.values())


def test_the_executed_notebooks_are_of_the_published_order(graded):
    _, records, _, _ = graded
    for name, record in records.items():
        assert "use_variant" not in record["notebook"], name


def test_a_neighbors_number_is_named_on_the_class_page_and_to_nobody_else(graded):
    out, records, numbers, said = graded
    variants = {name: record["variant"] for name, record in records.items()}
    assert variants == {
        "plain": 0,
        "other": 0,
        "ada": numbers["ada"],
        "bob": numbers["ada"],
    }
    page = (out / f"{CHAPTER}.html").read_text(encoding="utf-8")
    note = f"Its variant number {numbers['ada']} belongs to ada."
    assert page.count(note) == page.count("variant number") == 1
    assert "the data in 3 variants, one a student" in said
    feedback = list((out / "feedback").rglob("*.html"))
    assert len(feedback) == 4
    for path in feedback:
        text = path.read_text(encoding="utf-8")
        assert str(numbers["ada"]) not in text and "variant number" not in text
        assert "ada" in path.parts or not re.search(r"\bada\b", text)


def test_what_was_done_to_the_line_is_told_as_any_change_of_a_locked_cell(graded):
    _, records, _, _ = graded
    edited = {
        name: any(entry["name"] == "edited" for entry in record["rebuilt"])
        for name, record in records.items()
    }
    assert edited == {"plain": False, "ada": False, "bob": False, "other": True}
