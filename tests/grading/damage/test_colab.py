"""Colab without Colab: the setup cell, every chapter, the checks and the way back to the grader."""

import re
import subprocess
from pathlib import Path

import nbformat
import pytest
from colab import ADDRESS, Colab, opened, saved
from damage_judge import judge, meanings
from damage_notebooks import students
from nbformat.v4 import new_code_cell
from nbgrader.validator import Validator
from outside import output

from flatlab.course.assemble import assemble
from flatlab.course.batch.one import grade
from flatlab.course.layout import Layout
from flatlab.course.rebuild import Release
from flatlab.course.source import read_chapter

pytestmark = [pytest.mark.notebooks, pytest.mark.beside]

LAYOUT = Layout.find(Path(__file__).parent)
FIRST, *REST = LAYOUT.chapters()
every_chapter = pytest.mark.parametrize(
    "chapter", [FIRST, *(pytest.param(name, marks=pytest.mark.extended) for name in REST)]
)
ANSI = re.compile(r"\x1b\[[0-9;]*m")
WHERE = "import importlib.util as u; s = u.find_spec('flatlab'); print(s and s.origin)"


@pytest.fixture(scope="module")
def colab(tmp_path_factory) -> Colab:
    return Colab(tmp_path_factory.mktemp("colab"), LAYOUT.root)


def setup_of(chapter: str) -> str:
    """The setup cell of the chapter's release where the course has an address."""
    notebook = assemble(read_chapter(LAYOUT.source(chapter)), ADDRESS)
    return next(cell.source for cell in notebook.cells if cell.id == "setup")


@pytest.fixture(scope="module")
def installed(colab):
    """Where flatlab was before the first chapter's setup cell ran, and the cells, which ran twice."""
    before = output(colab.python, WHERE, env=colab.environment, cwd=colab.content)
    notebook = nbformat.v4.new_notebook()
    probe = "import importlib.util, sys\nprint(importlib.util.find_spec('nbgrader'), 'google.colab' in sys.modules)"
    notebook.cells = [new_code_cell(text) for text in (setup_of(FIRST), setup_of(FIRST), probe)]
    return before, colab.run(notebook).cells


def errors(cell) -> list[str]:
    """What went wrong in a code cell, as text."""
    found = []
    for out in cell.get("outputs", []):
        if out.output_type == "error":
            found.append(ANSI.sub("", "\n".join(out.traceback)))
        elif out.output_type == "stream" and out.name == "stderr":
            found.append(out.text)
    return found


def printed(cell) -> str:
    return "".join(o.text for o in cell.get("outputs", []) if o.get("name") == "stdout")


def test_the_setup_cell_installs_flatlab_once(colab, installed):
    before, (first, again, probe) = installed
    assert before == "None"
    assert "%pip install" in first.source
    assert errors(first) == errors(again) == []
    assert "restart the kernel" in printed(first)  # what %pip ends with
    assert printed(again) == ""
    assert printed(probe).split() == ["None", "True"]
    where = Path(output(colab.python, WHERE, env=colab.environment, cwd=colab.content))
    assert where.is_relative_to(colab.folder)


def test_the_doctor_asks_for_nothing_that_colab_does_without(colab, installed):
    """In a process of its own, as chapter 00 calls it."""
    report = subprocess.run(
        [colab.python, "-m", "flatlab", "doctor"],
        env=colab.environment,
        cwd=colab.content,
        capture_output=True,
        text=True,
        check=False,
    ).stdout
    for name in ("JupyterLab", "nbgrader"):
        assert re.search(
            rf"^  optional  {name} +not here, and not needed in Colab$", report, re.MULTILINE
        )
    assert report.endswith("\nAll that the course needs works.\n")


@every_chapter
def test_an_untouched_release_runs_to_its_end(chapter, colab, installed):
    release = nbformat.read(LAYOUT.release(chapter), as_version=4)
    cells = {cell.id: cell for cell in colab.run(opened(release, setup_of(chapter))).cells}
    assert {name: found for name, cell in cells.items() if (found := errors(cell))} == {}
    code = [cell for cell in cells.values() if cell.cell_type == "code" and cell.source.strip()]
    assert all(cell.execution_count for cell in code)
    checks = [name for name in cells if name.startswith("check-")]
    assert checks
    for name in checks:
        assert "not written yet." in printed(cells[name]), name
    for name, cell in cells.items():
        if re.search(r"^if ready\(", cell.source, flags=re.MULTILINE):
            assert "waits for" in printed(cell), name


@pytest.fixture(scope="module")
def runs(colab, installed):
    """A function: chapter -> its student ``mixed``'s sheet, and its notebook after Run All there.

    ``mixed`` hands in a misconception, a solution and a stub in turn.
    """
    done = {}

    def get(chapter: str):
        if chapter not in done:
            sheet = students(LAYOUT, chapter)["mixed"]
            notebook = nbformat.reads(sheet.text(), as_version=4)
            done[chapter] = sheet, colab.run(opened(notebook, setup_of(chapter)))
        return done[chapter]

    return get


@pytest.fixture(scope="module")
def validated(runs, tmp_path_factory):
    """A function: chapter -> what Validate says elsewhere of ``mixed``'s check cells.

    "" of one that passes, "unwritten" of a stub's, else the error.
    """
    done = {}

    def get(chapter: str) -> dict[str, str]:
        if chapter not in done:
            sheet, _ = runs(chapter)
            path = tmp_path_factory.mktemp("elsewhere") / f"{chapter}.ipynb"
            path.write_text(sheet.text(), encoding="utf-8")
            results = Validator().validate(str(path))
            assert set(results) <= {"failed"}
            failed = {f["source"]: ANSI.sub("", f["raw_error"]) for f in results.get("failed", [])}
            done[chapter] = {}
            for cell in nbformat.reads(sheet.text(), as_version=4).cells:
                if cell.id.startswith("check-"):
                    said = failed.get(cell.source.strip(), "")
                    unwritten = said.endswith("Not written yet.")
                    done[chapter][cell.id] = "unwritten" if unwritten else said
        return done[chapter]

    return get


@every_chapter
def test_visible_checks_say_what_validate_says_elsewhere(chapter, runs, validated):
    here, there = validated(chapter), {}
    for cell in runs(chapter)[1].cells:
        if cell.get("id", "").startswith("check-"):
            unwritten = "not written yet." in printed(cell)
            there[cell.id] = "unwritten" if unwritten else "\n".join(errors(cell))
    assert there == here
    assert "" in here.values() or chapter == FIRST  # some pass; the first chapter has one exercise
    assert any(said.startswith("✗") for said in here.values())


@every_chapter
def test_check_in_the_notebook_says_what_validate_says_elsewhere(chapter, colab, runs, validated):
    sheet, executed = runs(chapter)
    colab.open.write_bytes(saved(sheet, executed).bytes())
    notebook = nbformat.v4.new_notebook()
    notebook.cells = [new_code_cell("import flatlab\nflatlab.student.check();")]
    (cell,) = colab.run(notebook).cells
    assert errors(cell) == []
    lines = re.findall(r"^  (passed|failed|not begun) +(\w+) {2,}", printed(cell), re.MULTILINE)
    states = {"": "passed", "unwritten": "not begun"}
    here = validated(chapter)
    expected = {
        name.removeprefix("check-"): states.get(said, "failed") for name, said in here.items()
    }
    assert {name: state for state, name in lines} == expected
    for said in here.values():
        wanted = said.splitlines()[1:] if said.startswith("✗") else []
        assert all(line.strip() in printed(cell) for line in wanted), said


@every_chapter
def test_the_grader_finds_every_answer_in_what_colab_saves(chapter, runs):
    sheet, executed = runs(chapter)
    truth = meanings(sheet)
    wrong, _ = judge(
        saved(sheet, executed), truth, chapter, {chapter: Release(LAYOUT.release(chapter))}
    )
    assert truth
    assert wrong == []


@pytest.mark.extended
@pytest.mark.parametrize("chapter", LAYOUT.chapters()[:2])
def test_what_colab_saves_is_graded_as_what_was_handed_in(chapter, runs, bubblewrap):
    sheet, executed = runs(chapter)
    plain, through = (
        grade(data, chapter, layout=LAYOUT, seed=1)
        for data in (sheet.bytes(), saved(sheet, executed).bytes())
    )
    assert through["status"] == "graded"
    scores = [{k: s["score"] for k, s in r["scores"].items()} for r in (plain, through)]
    assert scores[0] == scores[1]
    assert 0 in scores[0].values()
