"""Every damage, on every chapter: each answer that is still there comes back, the rest is named."""

from pathlib import Path

import pytest
from damage_judge import COLUMNS, judge, meanings
from damage_notebooks import students
from damage_operators import OPERATORS, TO_CELLS, TO_FILES, composed
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from flatlab.course.layout import Layout
from flatlab.course.rebuild import Release

pytestmark = pytest.mark.grading

LAYOUT = Layout.find(Path(__file__).parent)
BUILT = {name: path for name in LAYOUT.chapters() if (path := LAYOUT.release(name)).is_file()}
RELEASES = {name: Release(path) for name, path in BUILT.items()}
SEEDS = 4
EXAMPLES = 150  # compositions of a chapter, of two and of three each


@pytest.fixture(scope="module", params=BUILT)
def chapter(request):
    """(the chapter's name, its students with their undamaged sheets and what these mean)."""
    sheets = students(LAYOUT, request.param)
    return request.param, {name: (sheet, meanings(sheet)) for name, sheet in sheets.items()}


@pytest.mark.parametrize("name", OPERATORS)
def test_damage_is_undone(name, chapter, record_property):
    place, truth = chapter
    counts, wrong = [0] * len(COLUMNS), []
    for student, (sheet, meant) in truth.items():
        for seed in range(SEEDS):
            found, numbers = judge(composed([name], sheet, seed), meant, place, RELEASES)
            counts = [a + b for a, b in zip(counts, numbers, strict=True)]
            wrong += [f"{student}, seed {seed}: {text}" for text in found]
    record_property("damage", (name, *counts))
    assert not wrong, "\n".join(wrong)


CELLS, FILES = st.sampled_from(sorted(TO_CELLS)), st.sampled_from(sorted(TO_FILES))
TWO = st.one_of(st.tuples(CELLS, CELLS), st.tuples(CELLS, FILES))
THREE = st.one_of(st.tuples(CELLS, CELLS, CELLS), st.tuples(CELLS, CELLS, FILES))


@pytest.mark.parametrize(("many", "names"), [("two", TWO), ("three", THREE)], ids=["two", "three"])
def test_damages_together_are_undone(many, names, chapter, record_property):
    place, truth = chapter
    counts, wrong = [0] * len(COLUMNS), []

    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(names=names, student=st.sampled_from(sorted(truth)), seed=st.integers(0, 2**16))
    def every_answer_comes_back(names, student, seed):
        sheet, meant = truth[student]
        found, numbers = judge(composed(names, sheet, seed), meant, place, RELEASES)
        counts[:] = [a + b for a, b in zip(counts, numbers, strict=True)]
        wrong.extend([f"{names}, {student}, seed {seed}: {text}" for text in found])

    every_answer_comes_back()
    record_property("damage", (f"{many} at random", *counts))
    assert not wrong, "\n".join(wrong)
