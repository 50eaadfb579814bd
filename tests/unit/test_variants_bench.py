"""bench/variants.py: what differs from the stored outputs under a variant is found and told."""

import importlib

import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output, writes

from flatlab.course.assemble import COMPARE

pytestmark = [pytest.mark.slow, pytest.mark.beside]  # two kernels

SETUP = "# setup\nimport flatlab"
SAME = "print(len(flatlab.load_dataset('digits', 9).X_train))"
OTHER = "data = flatlab.load_dataset('digits', 9)\nprint('hello')\nprint(data.variant)"


@pytest.fixture
def bench(bench_is_importable):
    return importlib.import_module("variants")


def stored(identity: str, text: str, said: str, compare: bool = True):
    tags = {"tags": [COMPARE]} if compare else {}
    output = new_output("stream", name="stdout", text=said)
    return new_code_cell(text, id=identity, metadata=tags, outputs=[output], execution_count=1)


def test_cells_that_say_something_else_are_told(bench):
    cells = [
        new_code_cell(SETUP, id="setup"),
        stored("check-same", SAME, "9\n"),
        stored("other", OTHER, "hello\n0\n"),
        stored("not-compared", "print(2)", "1\n", compare=False),
    ]
    row = bench.compared(writes(new_notebook(cells=cells)), "77-x", 5)
    assert (row["cells"], row["checks"], row["error"]) == (2, 1, "")
    assert row["differ"] == {"other": ["- 0", "+ 5"]}
    table = bench.table([{"chapter": "77-x", "variant": 5, **row}])
    assert "| 77-x | 2 | 1 agree |" in table and "77-x, variant 5, other:\n- 0\n+ 5" in table


def test_a_chapter_that_stops_is_no_agreement(bench):
    cells = [new_code_cell(SETUP, id="setup"), stored("a", f"{SAME}\nassert False", "9\n")]
    row = bench.compared(writes(new_notebook(cells=cells)), "77-x", 5)
    assert "AssertionError" in row["error"]
    assert "stopped by an error" in bench.table([{"chapter": "77-x", "variant": 5, **row}])
