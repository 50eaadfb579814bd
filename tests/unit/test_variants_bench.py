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
    assert "| 77-x | 5 | 1 of 2 | 0 of 0 |" in table and "other:\n- 0\n+ 5" in table


def test_a_chapter_that_stops_is_no_agreement(bench):
    cells = [new_code_cell(SETUP, id="setup"), stored("a", f"{SAME}\nassert False", "9\n")]
    row = bench.compared(writes(new_notebook(cells=cells)), "77-x", 5)
    assert "AssertionError" in row["error"]
    assert "stopped by an error" in bench.table([{"chapter": "77-x", "variant": 5, **row}])


def test_orders_are_those_of_a_column_that_differ_by_more_than_a_fifth(bench):
    stored = ["     loss  λ", "SGD  0.5  10", "SAM  1.0  4.5", "SWA  0.55  4", "all: 3 runs"]
    assert bench.orders(stored, stored) == {"of": 4, "kept": 4, "lost": []}
    now = ["     loss  λ", "SGD  0.7  10", "SAM  0.6  12", "SWA  0.5  4", "all: 3 runs"]
    assert bench.orders(stored, now) == {
        "of": 4,
        "kept": 2,
        "lost": ["column 1: 0.5, 1 -> 0.7, 0.6", "column 2: 10, 4.5 -> 10, 12"],
    }


def test_a_table_with_a_line_less_has_no_orders_any_more(bench):
    found = bench.orders(["at 1: 5", "at 2: 7"], ["at 1: 5"])
    assert (found["of"], found["kept"]) == (2, 0)
    assert found["lost"][0] == "column 1: 1, 2 -> gone"


def test_minus_signs_exponents_and_thousands_are_numbers(bench):
    lines = ["a −1.5", "b 2e-3", "c 12,000", "d x1"]
    assert bench._tables(lines) == {(1, ()): [[-1.5], [0.002], [12000.0]]}
