"""What comes out of the sandbox is taken only where it has the form of a result."""

import json

import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from flatlab.course.grading import Limits, results, run
from flatlab.course.grading.kit import Kit
from flatlab.course.grading.outputs import Gate, settle
from flatlab.course.grading.supervise import Outcome

KIT = Kit("00-x", b"", {"check-a": 2.0, "why": 4.0}, ("why",), {"check-a": "whole test"}, "/course")


def notebook():
    graded = {"nbgrader": {"grade_id": "check-a", "grade": True, "solution": False, "points": 2}}
    cells = [new_code_cell("1", id="first"), new_code_cell("test", id="c", metadata=graded)]
    return new_notebook(cells=[*cells, new_markdown_cell("text", id="t")])


def record(**changes) -> dict:
    good = {"event": "cell", "cell": 1, "status": "ok", "error": "", "message": "", "done": []}
    return {**good, "seconds": 0.5, "score": 2.0, **changes}


def take(*records) -> results.Told:
    lines = [r if isinstance(r, bytes) else json.dumps(r).encode() for r in records]
    return results.read(lines, notebook(), KIT)


def test_a_good_record_is_taken():
    told = take({"event": "start", "cell": 1}, record(), {"event": "end"})
    assert told.nonsense == 0 and told.ended and told.running is None
    assert told.cells[1]["id"] == "check-a" and told.cells[1]["score"] == 2.0


@pytest.mark.parametrize(
    "bad",
    [
        b"\xff\xfe",
        b"[" * 100_000,
        b"null",
        record(cell=7),
        record(cell=True),
        record(cell=2),  # a text
        record(status="full marks"),
        record(score=3),
        record(score=float("nan")),
        record(score=-1),
        record(score="2"),
        record(score=10**400),
        record(seconds=10**400),
        record(score=None),
        record(message=["a", "list"]),
        record(done=None),
        {"event": "score", "id": "check-z", "score": 1},
        {"event": "score", "id": "why", "score": 4},  # a person's
        {"event": "gain", "score": 100},
        {"event": "notebook", "text": '{"cells": []}'},
        {"event": "notebook", "text": "../../etc/passwd"},
    ],
    ids=range(21),
)
def test_anything_else_is_counted_and_left(bad):
    told = take(bad)
    assert told.nonsense == 1
    assert (told.cells, told.scores, told.outputs) == ({}, {}, {})


def test_the_first_record_of_a_cell_stands():
    told = take(record(score=0.0), record(score=2.0))
    assert told.cells[1]["score"] == 0.0 and told.nonsense == 1


def test_long_and_broken_text_is_brought_to_form():
    found = take(record(message="x" * 10**6, error="\ud800", seconds=-5)).cells[1]
    assert len(found["message"]) == 4000 and found["error"] == "?" and found["seconds"] == 0.0


def made_outputs(outputs: list) -> dict:
    cells = [{"outputs": []}, {"outputs": outputs, "source": "forged"}, {}]
    return take({"event": "notebook", "text": json.dumps({"cells": cells})})


def test_the_notebook_is_our_own_with_outputs_from_inside():
    stream = {"output_type": "stream", "name": "stdout", "text": ["a", "b"], "path": "/etc"}
    told = made_outputs([stream])
    made = results.merged_notebook(notebook(), told.outputs, KIT)
    assert [cell.source for cell in made.cells] == ["1", "whole test", "text"]
    assert made.cells[1].outputs == [new_output("stream", name="stdout", text="ab")]


@pytest.mark.parametrize(
    "output",
    [
        {"output_type": "pickle", "data": "x"},
        {"output_type": "display_data", "data": "text", "metadata": {}},
        {"output_type": "display_data", "data": [], "metadata": {}},
        {"output_type": "error"},
    ],
)
def test_outputs_of_another_form_are_left(output):
    told = made_outputs([output])
    assert told.outputs == {} and told.nonsense == 1


def message(kind: str, **content) -> dict:
    return {"msg_type": kind, "content": content}


def test_a_gate_lets_in_a_beginning_and_every_error():
    gate = Gate(1000)
    long = message("stream", name="stdout", text="x" * 5000)
    assert gate.admits(message("stream", name="stdout", text="short"))
    assert gate.admits(long) and 500 < len(long["content"]["text"]) < 1100
    assert not gate.admits(message("stream", name="stdout", text="more"))
    assert not gate.admits(message("display_data", data={}, metadata={}))
    error = message("error", ename="E", evalue="v" * 10**6, traceback=["t" * 10**6])
    assert gate.admits(error) and len(error["content"]["evalue"]) == 20_000
    assert gate.admits(message("status", execution_state="idle"))
    assert gate.notes() == ["output cut"]


def test_a_silent_gate_lets_in_the_state_alone():
    gate = Gate(1000, silent=True)
    assert gate.admits(message("status", execution_state="idle"))
    assert not gate.admits(message("stream", name="stdout", text="a"))
    assert not gate.admits(message("comm_open", data={}))


@pytest.mark.parametrize(
    ("text", "kept"), [("1.5", True), ("'done'", True), ("3", False), ("-1", False), ("nan", False)]
)
def test_a_value_that_nbgrader_cannot_take_becomes_an_error(text, kept):
    cell = notebook().cells[1]
    cell.outputs = [new_output("execute_result", data={"text/plain": text})]
    settle(cell, graded=True)
    assert cell.outputs[0].output_type == ("execute_result" if kept else "error")


def test_stderr_of_a_graded_cell_is_ordinary_text():
    for graded, name in ((True, "stdout"), (False, "stderr")):
        cell = notebook().cells[1]
        cell.outputs = [new_output("stream", name="stderr", text="a warning")]
        settle(cell, graded=graded)
        assert cell.outputs[0].name == name


def test_a_time_in_which_nothing_can_run_is_no_crash(monkeypatch):
    monkeypatch.setattr(run, "_run", lambda *_, **__: Outcome())
    result = run.grade_one(notebook(), KIT, limits=Limits(total_seconds=1), sandbox=False)
    assert result["runs"] == 1 and result["scores"]["check-a"]["score"] is None
