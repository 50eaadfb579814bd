"""Damaged submissions of a tiny chapter, rebuilt and graded: the points of the undamaged one."""

import random
from itertools import zip_longest

import pytest
from damage_judge import handed_in
from damage_notebooks import students
from damage_operators import OPERATORS, TO_CELLS, TO_FILES, composed
from tiny_chapter import NAME, course

from flatlab.course.build import build
from flatlab.course.grading import grade_one, make_kit
from flatlab.course.layout import Layout
from flatlab.course.rebuild import Release, rebuild

pytestmark = [pytest.mark.grading, pytest.mark.slow, pytest.mark.beside]

CHECK = "check-gradient_step"


@pytest.fixture(scope="module")
def tiny(tmp_path_factory, bubblewrap):
    """(the chapter's release, its kit, its students' sheets)."""
    layout = Layout(course(tmp_path_factory.mktemp("tiny")))
    build(None, execute=False, root=layout.root)
    return Release(layout.release(NAME)), make_kit(layout, NAME), students(layout, NAME)


def chains() -> list[list[str]]:
    """Every operator once: those to cells three by three, each three with one to files behind."""
    cells, files = sorted(TO_CELLS), sorted(TO_FILES)
    random.Random(0).shuffle(cells)
    threes = [cells[i : i + 3] for i in range(0, len(cells), 3)]
    pairs = zip_longest(threes, files)
    return [[*(three or []), *([file] if file else [])] for three, file in pairs]


EVERY = 3  # one chain in so many each time, the others in `make test-all`
CHAINS = [
    pytest.param(names, marks=pytest.mark.extended if number % EVERY else (), id="+".join(names))
    for number, names in enumerate(chains())
]


def damaged(names: list[str], sheet):
    """``sheet`` after ``names``, by the first seed that leaves its exercise where it can be found."""
    for seed in range(200):
        found = composed(names, sheet, seed)
        if "gradient_step" not in found.destroyed | found.unsure:
            return found
    raise AssertionError(f"{names} destroy the exercise, whatever the seed")


def points(data: bytes, release: Release, kit) -> float | None:
    """What ``grade_one`` gives for the exercise of a rebuilt submission."""
    return grade_one(rebuild(data, release).notebook, kit)["scores"][CHECK]["score"]


def test_all_operators_are_in_a_chain():
    assert sorted(name for names in chains() for name in names) == sorted(OPERATORS)


def test_undamaged_submissions_have_the_points_that_they_earn(tiny):
    release, kit, sheets = tiny
    assert points(sheets["right"].bytes(), release, kit) == 2
    assert points(sheets["mixed"].bytes(), release, kit) == 0  # a misconception


@pytest.mark.parametrize("names", CHAINS)
def test_a_damaged_submission_has_the_points_of_the_undamaged_one(names, tiny):
    release, kit, sheets = tiny
    sheet = damaged(names, sheets["helpers"])
    data = handed_in(sheet, {NAME: release}).data if sheet.path else sheet.bytes()
    assert points(data, release, kit) == 2
