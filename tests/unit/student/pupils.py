"""Notebooks of a made-up student: chapter 00's release, written in and run without a kernel."""

import contextlib
import io
from pathlib import Path

import nbformat

from flatlab.checks import CheckFailed, chapter00
from flatlab.student.chapter import Chapter, outline
from flatlab.student.states import State, states

RELEASES = Path(__file__).resolve().parents[3] / "notebooks"
FIRST = RELEASES / "00-start-here" / "00-start-here.ipynb"
STUB = "    # YOUR CODE HERE\n    raise NotImplementedError()"
RIGHT = "    return w - learning_rate * gradient"
WRONG = "    return w + learning_rate * gradient"


def fresh(path: Path = FIRST) -> nbformat.NotebookNode:
    return nbformat.read(path, as_version=4)


def cell(notebook, identity: str):
    (found,) = [c for c in notebook.cells if c.id == identity]
    return found


def without(notebook, identity: str):
    notebook.cells = [c for c in notebook.cells if c.id != identity]
    return notebook


def answered(body: str = RIGHT, words: str = ""):
    """Chapter 00 with this answer and these words to the open question."""
    notebook = fresh()
    exercise = cell(notebook, "gradient_step")
    assert STUB in exercise.source
    exercise.source = exercise.source.replace(STUB, body)
    question = cell(notebook, "open-two-curvatures")
    if words:
        question.source = question.source.replace("YOUR ANSWER HERE", words)
    return notebook


def ran(notebook):
    """The exercise and its check, with the outputs that the real check gives."""
    exercise, check = cell(notebook, "gradient_step"), cell(notebook, "check-gradient_step")
    space: dict = {"check": chapter00}
    exec(exercise.source, space)  # noqa: S102 - our own answers
    said, errors = io.StringIO(), []
    with contextlib.redirect_stdout(said):
        try:
            exec(check.source, space)  # noqa: S102
        except CheckFailed as error:
            errors = [
                nbformat.v4.new_output(
                    "error", ename="CheckFailed", evalue=str(error), traceback=[str(error)]
                )
            ]
    printed = said.getvalue()
    texts = [nbformat.v4.new_output("stream", name="stdout", text=printed)] if printed else []
    exercise.execution_count, check.execution_count = 1, 2
    check.outputs = [*texts, *errors]
    return notebook


def read_off(notebook) -> tuple[Chapter, dict[str, State]]:
    """The notebook's outline, and its states by the task's name."""
    chapter = outline(notebook, "it")
    return chapter, {state.name: state for state in states(notebook, chapter)}
