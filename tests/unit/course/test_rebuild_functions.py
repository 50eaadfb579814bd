"""An exercise of two functions, which may stand in other cells than their own."""

import copy

import nbformat
import pytest
from nbformat.v4 import new_code_cell
from tiny_chapter import CONFIG, NAME, SOURCE

from flatlab.course.assemble import assemble
from flatlab.course.rebuild import Release, rebuild
from flatlab.course.release import make_release
from flatlab.course.source import CODE_KINDS, TEXT_KINDS, parse

MARKER = "# exercise: gradient_step"
STEP = "def gradient_step(w, gradient, learning_rate):\n    return w - learning_rate * gradient"
OTHER = "def uphill(w):\n    return w + 1"
LATER = "def uphill(w):\n    return w + 2"
STUB = "def uphill(w):\n    # YOUR CODE HERE\n    raise NotImplementedError()"
_SECOND = "def uphill(w):\n    ### BEGIN SOLUTION\n    return w + 1\n    ### END SOLUTION\n"


@pytest.fixture(scope="module")
def release() -> Release:
    head, check = "    ### END SOLUTION\n\n\n", '# %% check="gradient_step"'
    assert SOURCE.count(head + check) == 1
    source = SOURCE.replace(head + check, f"{head}{_SECOND}\n\n{check}")
    solved = assemble(parse(source, NAME, {**CODE_KINDS, **TEXT_KINDS}))
    return Release(nbformat.reads(make_release(solved, NAME, CONFIG), as_version=4))


@pytest.fixture
def handed(release):
    return copy.deepcopy(release.notebook)


def place(notebook, identity: str = "gradient_step") -> int:
    ids = [c.metadata.get("nbgrader", {}).get("grade_id") for c in notebook.cells]
    return ids.index(identity)


def again(notebook, release):
    return rebuild(nbformat.writes(notebook).encode(), release)


def run(notebook) -> dict:
    """What the cells from the exercise to its check define, own cells before it included."""
    space: dict = {}
    for cell in notebook.cells[: place(notebook, "check-gradient_step")]:
        mine = cell.id.startswith("own-") or cell is notebook.cells[place(notebook)]
        if cell.cell_type == "code" and mine:
            exec(cell.source, space)  # noqa: S102 - this test's own text
    return space


def test_the_stub_asks_for_both(release):
    slot = release.slots[place(release.notebook)]
    assert slot.targets == {"gradient_step", "uphill"}


@pytest.mark.parametrize("body", [f"{STEP}\n\n\n{OTHER}", f"{STEP}\n\n\n{STUB}"])
def test_one_cell_comes_back_as_it_is(body, handed, release):
    handed.cells[place(handed)].source = f"{MARKER}\n{body}"
    rebuilt = again(handed, release)
    assert rebuilt.notebook == handed
    assert rebuilt.manual == []


def test_one_of_them_in_an_own_cell_is_as_good(handed, release):
    handed.cells[place(handed)].source = f"{MARKER}\n{STEP}"
    handed.cells.insert(place(handed), new_code_cell(f"import math\n\n{OTHER}"))
    rebuilt = again(handed, release)
    assert [c.source for c in rebuilt.notebook.cells] == [c.source for c in handed.cells]
    assert rebuilt.manual == []


@pytest.mark.parametrize("body", [STEP, f"{STEP}\n\n\n{STUB}", f"{STUB}\n\n\n{STEP}"])
@pytest.mark.parametrize("where", ["above", "below", "end", "setup"])
def test_an_own_cell_counts_wherever_it_stands_and_its_stub_does_not(where, body, handed, release):
    handed.cells[place(handed)].source = f"{MARKER}\n{body}"
    if where == "setup":
        handed.cells[place(handed, "setup")].source += f"\n\n{OTHER}"
    else:
        at = {"above": place(handed), "below": place(handed) + 1, "end": len(handed.cells)}[where]
        handed.cells.insert(at, new_code_cell(OTHER))
    rebuilt = again(handed, release)
    space = run(rebuilt.notebook)
    assert space["uphill"](1) == 2 and space["gradient_step"](5, 2, 0.5) == 4
    assert rebuilt.manual == []


def test_two_versions_of_one_are_a_case(handed, release):
    handed.cells[place(handed)].source = f"{MARKER}\n{STEP}"
    at = place(handed)
    handed.cells[at + 1 : at + 1] = [new_code_cell(OTHER), new_code_cell(LATER)]
    rebuilt = again(handed, release)
    assert run(rebuilt.notebook)["uphill"](1) in (2, 3)
    (case,) = rebuilt.manual
    assert (case["name"], case["reason"]) == ("gradient_step", "ambiguous")
    assert "all the functions" in case["instructor"] and LATER in case["texts"]


def test_it_is_found_in_another_exercises_merged_cell(handed, release):
    """The lower half of a cell that was split and merged into the one above."""
    at = place(handed)
    handed.cells[at].source = f"{MARKER}\n{STEP}"
    handed.cells[at].metadata.pop("nbgrader")
    handed.cells[at - 1].source += f"\n\n{OTHER}"
    space = run(again(handed, release).notebook)
    assert space["uphill"](1) == 2 and space["gradient_step"](5, 2, 0.5) == 4


def test_two_cells_that_no_compiler_takes(handed, release):
    handed.cells[place(handed)].source = f"{MARKER}\nnonlocal q\n{STEP}"
    handed.cells.append(new_code_cell(f"nonlocal q\n{OTHER}"))
    assert again(handed, release).report
