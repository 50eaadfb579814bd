"""How far an exercise is, by outputs that the real check gave."""

import nbformat
import pytest
from pupils import RIGHT, STUB, WRONG, answered, cell, fresh, ran, read_off, without

from flatlab.student.progress import progress, table
from flatlab.student.states import ANSWERED, FAILED, NOT_BEGUN, PASSED, stopped

NAME, QUESTION = "gradient_step", "open: two-curvatures"


def error(ename, evalue):
    return nbformat.v4.new_output("error", ename=ename, evalue=evalue, traceback=[])


@pytest.mark.parametrize("grading", ["", "validate"])
@pytest.mark.parametrize(
    ("body", "state", "message"),
    [(RIGHT, PASSED, ""), (WRONG, FAILED, "It goes uphill"), (STUB, NOT_BEGUN, "")],
)
def test_states_of_a_run_exercise(body, state, message, grading, monkeypatch):
    """A stub is a printed line in JupyterLab and a failed check while nbgrader validates."""
    monkeypatch.setenv("NBGRADER_EXECUTION", grading)
    found = read_off(ran(answered(body)))[1][NAME]
    assert found.state == state
    assert message in found.message
    if state == FAILED:
        assert found.message.startswith("(one step on three weights)\n  It goes uphill")
    else:
        assert found.message == ""


def test_an_answer_that_never_ran():
    assert read_off(answered(RIGHT))[1][NAME].message == "Not checked yet: run its check cell."
    assert read_off(fresh())[1][NAME].state == NOT_BEGUN


def test_an_answer_that_ran_again_after_its_check_is_not_passed():
    notebook = ran(answered(RIGHT))
    cell(notebook, NAME).execution_count = 3
    found = read_off(notebook)[1][NAME]
    assert found.state == FAILED
    assert "run the check once more" in found.message


def test_an_answer_that_does_not_run_says_so_instead_of_its_check():
    notebook = ran(answered(RIGHT))
    cell(notebook, NAME).outputs = [error("SyntaxError", "invalid syntax (3.py, line 4)\nmore")]
    cell(notebook, "check-" + NAME).outputs = [error("NameError", "name 'x' is not defined")]
    found = read_off(notebook)[1][NAME]
    assert found.state == FAILED
    assert found.message == "Its cell stopped with SyntaxError: invalid syntax (3.py, line 4)"


def test_a_check_that_took_too_long():
    notebook = ran(answered(RIGHT))
    cell(notebook, "check-" + NAME).outputs = [error("KeyboardInterrupt", "")]
    assert "too long" in read_off(notebook)[1][NAME].message


@pytest.mark.parametrize("change", ["deleted", "emptied", "commented out"])
def test_a_check_cell_that_checks_nothing_passes_nothing(change):
    notebook = ran(answered(RIGHT))
    check = cell(notebook, "check-" + NAME)
    if change == "deleted":
        without(notebook, check.id)
    else:
        check.source = "# " + check.source.replace("\n", "\n# ") if "comm" in change else ""
        check.outputs = []
    found = read_off(notebook)[1][NAME]
    assert found.state == FAILED
    assert "from a fresh notebook" in found.message


def test_of_two_functions_in_a_cell_both_must_pass():
    notebook = ran(answered(RIGHT))
    check = cell(notebook, "check-" + NAME)
    check.source += "\ncheck.other(other)"
    check.outputs[0].text += "○ other: not written yet.\n"
    found = read_off(notebook)[1][NAME]
    assert (found.state, found.message) == (FAILED, "other: not written yet.")
    check.outputs[0].text = check.outputs[0].text.replace("○ other: not written yet.", "✓ other: 1")
    assert read_off(notebook)[1][NAME].state == PASSED


@pytest.mark.parametrize("identity", [NAME, "check-" + NAME])
@pytest.mark.parametrize("kind", ["markdown", "raw"])
def test_an_answer_or_a_check_that_became_text_is_not_passed(identity, kind):
    notebook = ran(answered(RIGHT))
    changed = cell(notebook, identity)
    changed.cell_type = kind
    for key in ("outputs", "execution_count"):
        changed.pop(key)
    found = read_off(notebook)[1][NAME]
    assert found.state == FAILED
    assert "no code cell" in found.message


def test_an_open_question_is_answered_when_there_are_words():
    assert read_off(fresh())[1][QUESTION].state == NOT_BEGUN
    assert read_off(answered(words="  \n"))[1][QUESTION].state == NOT_BEGUN
    assert read_off(answered(words="Below 0.5."))[1][QUESTION].state == ANSWERED
    assert read_off(without(fresh(), "open-two-curvatures"))[1]["Open question"].state == FAILED


def test_other_cells_that_stopped_are_named():
    notebook = ran(answered(WRONG))
    chapter, _ = read_off(notebook)
    assert stopped(notebook, chapter) == []
    cell(notebook, "experiment-two-rates").outputs = [error("ValueError", "x\x1b[0m\ny")]
    notebook.cells.append(
        nbformat.v4.new_code_cell("1 / 0", outputs=[error("ZeroDivisionError", "")])
    )
    assert stopped(notebook, chapter) == [
        ("experiment: two-rates", "ValueError: x"),
        (f"cell {len(notebook.cells)}", "ZeroDivisionError"),
    ]


def test_progress_adds_up(tmp_path):
    for name, notebook in (
        ("00-start-here", ran(answered(RIGHT))),
        ("01-again", ran(answered(RIGHT, words="Below 0.5."))),
    ):
        (tmp_path / "notebooks" / name).mkdir(parents=True)
        nbformat.write(notebook, tmp_path / "notebooks" / name / f"{name}.ipynb")
    (tmp_path / "notebooks" / "02-broken").mkdir()
    (tmp_path / "notebooks" / "02-broken" / "02-broken.ipynb").write_text("{")
    inside = tmp_path / "notebooks" / "01-again"
    rows, problems = progress(inside)
    assert [" ".join(line.split()) for line in table(rows)] == [
        "chapter exercises points in reach minutes left",
        "00-start-here 1 of 1 1 of 2 4 of 15",
        "01-again 1 of 1 2 of 2 0 of 15",
        "all 2 of 2 3 of 4 4 of 30",
    ]
    assert len(problems) == 1
    assert "02-broken.ipynb is no notebook: it breaks at line 1, column 2" in problems[0]
