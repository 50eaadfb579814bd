"""What stored outputs may not hold."""

import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

from flatlab.course.execute import alt_text, output_problems

PNG = {"image/png": "iVBORw0KGgo="}
ALT = "A falling line that reaches zero at ten steps."


def problems(*outputs, identity="experiment-x", count=1):
    cell = new_code_cell("1", id=identity, outputs=list(outputs), execution_count=count)
    return output_problems(new_notebook(cells=[cell]), "01-x")


def picture(**metadata):
    return new_output("display_data", data=PNG, metadata=metadata)


@pytest.mark.parametrize(
    ("output", "message"),
    [
        (new_output("error", ename="ValueError", evalue="no", traceback=[]), "ValueError: no"),
        (new_output("stream", name="stderr", text="careful"), "wrote to stderr"),
        (new_output("stream", text="<object object at 0x7f3a5c0d1e20>"), "a memory address"),
        (
            new_output("execute_result", data={"text/plain": "at 0x7f3a5c0d1e20"}),
            "a memory address",
        ),
        (new_output("stream", text="saved in /home/me/runs"), "a path of this machine"),
        (picture(), "a figure with alt text ''"),
        (picture(**{"image/png": {"alt": "A plot"}}), "a figure with alt text 'A plot'"),
    ],
)
def test_outputs_that_are_refused(output, message):
    (problem,) = problems(output)
    assert problem.startswith("01-x, cell 'experiment-x': ")
    assert message in problem


@pytest.mark.parametrize("metadata", [{"image/png": {"alt": ALT}}, {"alt": ALT}])
def test_outputs_that_are_fine(metadata):
    assert alt_text(picture(**metadata)) == ALT
    assert problems(picture(**metadata), new_output("stream", text="3 at 0.5\n")) == []


def test_a_cell_that_never_ran():
    assert "was not executed" in problems(count=None)[0]


def test_a_widget_needs_its_static_twin():
    assert "static twin" in problems(identity="widget-x")[0]
    assert problems(picture(alt=ALT), identity="widget-x") == []
