"""Every damage, on every chapter: each answer that is still there comes back, the rest is named."""

import random
from pathlib import Path

import pytest
from damage_judge import COLUMNS, judge, meanings
from damage_notebooks import students
from damage_operators import OPERATORS, TO_CELLS, TO_FILES, composed

from flatlab.course.layout import Layout
from flatlab.course.rebuild import Release

pytestmark = [pytest.mark.grading, pytest.mark.beside]

LAYOUT = Layout.find(Path(__file__).parent)
BUILT = {name: path for name in LAYOUT.chapters() if (path := LAYOUT.release(name)).is_file()}
RELEASES = {name: Release(path) for name, path in BUILT.items()}
SEEDS = [range(1), pytest.param(range(1, 4), marks=pytest.mark.extended)]
EVERY_TIME, ALL = 40, 150  # compositions of a chapter, of two and of three each
EXAMPLES = [range(EVERY_TIME), pytest.param(range(EVERY_TIME, ALL), marks=pytest.mark.extended)]


@pytest.fixture(scope="module", params=BUILT)
def chapter(request):
    """(the chapter's name, its students with their undamaged sheets and what these mean)."""
    sheets = students(LAYOUT, request.param)
    return request.param, {name: (sheet, meanings(sheet)) for name, sheet in sheets.items()}


@pytest.mark.parametrize("seeds", SEEDS, ids=["once", "again"])
@pytest.mark.parametrize("name", OPERATORS)
def test_damage_is_undone(name, seeds, chapter, record_property):
    place, truth = chapter
    counts, wrong = [0] * len(COLUMNS), []
    for student, (sheet, meant) in truth.items():
        for seed in seeds:
            found, numbers = judge(composed([name], sheet, seed), meant, place, RELEASES)
            counts = [a + b for a, b in zip(counts, numbers, strict=True)]
            wrong += [f"{student}, seed {seed}: {text}" for text in found]
    record_property("damage", (name, *counts))
    assert not wrong, "\n".join(wrong)


def test_an_answer_before_anothers_stub_is_named():
    """Found by other draws: it came back as the blank stub, and nobody was told."""
    place = "08-double-descent"
    names = ["split_in_three", "reorder_answers_last", "duplicate_at_the_end"]
    sheet = students(LAYOUT, place)["mixed"]
    found, _ = judge(composed(names, sheet, 54249), meanings(sheet), place, RELEASES)
    assert found == []


@pytest.mark.parametrize("examples", EXAMPLES, ids=["first", "further"])
@pytest.mark.parametrize("many", [2, 3], ids=["two", "three"])
def test_damages_together_are_undone(many, examples, chapter, record_property):
    """Drawn by ``random``: hypothesis mixes in constants of whatever modules earlier tests loaded."""
    place, truth = chapter
    counts, wrong = [0] * len(COLUMNS), []
    draw = random.Random(f"{place}, {many}")
    for number in range(examples.stop):
        last = draw.choice([sorted(TO_CELLS), sorted(TO_FILES)])
        names = [*draw.choices(sorted(TO_CELLS), k=many - 1), draw.choice(last)]
        student, seed = draw.choice(sorted(truth)), draw.randrange(2**16)
        if number not in examples:
            continue
        sheet, meant = truth[student]
        found, numbers = judge(composed(names, sheet, seed), meant, place, RELEASES)
        counts = [a + b for a, b in zip(counts, numbers, strict=True)]
        wrong += [f"{names}, {student}, seed {seed}: {text}" for text in found]
    record_property("damage", (f"{['two', 'three'][many - 2]} at random", *counts))
    assert not wrong, "\n".join(wrong)
