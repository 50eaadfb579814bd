"""Every damage, on every chapter: each answer that is still there comes back, the rest is named."""

import ast
import inspect
import random
from collections import Counter
from pathlib import Path

import damage_cells
import damage_files
import nbformat
import pytest
from damage_notebooks import OWN, Sheet, meaning, students
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from flatlab.course.layout import Layout
from flatlab.course.rebuild import Release, rebuild

pytestmark = pytest.mark.grading

LAYOUT = Layout.find(Path(__file__).parent)
CHAPTERS = [name for name in LAYOUT.chapters() if LAYOUT.release(name).is_file()]
SEEDS = 4
EXAMPLES = 500  # compositions of a chapter


def operators(module) -> dict:
    """The module's operators: its public functions of a sheet and a generator."""
    return {
        name: function
        for name, function in vars(module).items()
        if inspect.isfunction(function)
        and function.__module__ == module.__name__
        and not name.startswith("_")
        and list(inspect.signature(function).parameters) == ["sheet", "rng"]
    }


OPERATORS = operators(damage_cells) | operators(damage_files)
TO_FILES = [
    *("nbformat_3", "byte_order_mark", "crlf", "utf_16", "latin_1", "read_as_windows", "nul_bytes"),
    *("compact_json", "trailing_commas", "truncate", "conflict_in_the_file", "zipped"),
]
COLUMNS = [
    *("recoverable", ("recovered", "recoverable"), ("named", "recoverable")),
    *("in doubt", ("recovered", "in doubt"), "destroyed", ("named", "destroyed")),
]
TO_CELLS = [name for name in OPERATORS if name not in TO_FILES]


@pytest.fixture(scope="module", params=CHAPTERS)
def chapter(request):
    """(the chapter's release, its students with their undamaged sheets and meanings)."""
    release = Release(LAYOUT.release(request.param))
    truth = {}
    for name, (sheet, _answers) in students(LAYOUT, request.param).items():
        notebook = nbformat.reads(sheet.text(), as_version=4)
        keys = [key for key in sheet.keys if not key.startswith(OWN)]
        truth[name] = (sheet, {key: meaning(notebook, key) for key in keys})
    return release, truth


def judge(sheet: Sheet, truth: dict, release: Release) -> tuple[list[str], list[int]]:
    """What is wrong with the rebuilt sheet, and counts in the order of the table's columns.

    What can be recovered must be; what is in doubt must be right or named for a person; what is
    destroyed must be named, unless there was nothing, or what is left is a whole answer by itself.
    """
    rebuilt = rebuild(sheet.bytes(), release)
    named = {case["name"] for case in rebuilt.manual}
    wrong, counts = [], Counter()
    for key, meant in truth.items():
        name = key.removeprefix("open-")
        outcome = next(e["outcome"] for e in rebuilt.report if e["name"] == name)
        right = same(meaning(rebuilt.notebook, key), meant, key, sheet)
        kind = "recoverable"
        if key in sheet.destroyed:
            kind = "destroyed"
            if name not in named and not (blank(truth, key, release) or plausible(sheet, key)):
                wrong.append(f"{key}: destroyed, and not named ({outcome})")
        elif key in sheet.unsure:
            kind = "in doubt"
            if not right and name not in named:
                wrong.append(f"{key}: in doubt, wrong, and not named ({outcome})")
        elif not right or outcome in ("lost", "damaged"):
            wrong.append(f"{key}: {'right' if right else 'not what was handed in'} ({outcome})")
        counts[kind] += 1
        counts["recovered", kind] += right
        counts["named", kind] += name in named
    return wrong, [counts[column] for column in COLUMNS]


def same(found: object, truth: object, key: str, sheet: Sheet) -> bool:
    """Is it what was handed in? An answer in words: all of it, other text beside it or not."""
    if found == truth or not key.startswith("open-") or truth == "YOURANSWERHERE":
        return found == truth
    cells = [c.source for c in sheet.cells for name, *_ in c.holds if name == key]
    parts = ["".join(line.split()) for text in cells for line in text.split("\n")]
    return all(part in found for part in parts if part and part in truth)


def blank(truth: dict, key: str, release: Release) -> bool:
    """Was there nothing to destroy?"""
    return meaning(release.notebook, key) == truth[key]


def plausible(sheet: Sheet, key: str) -> bool:
    """May a student have handed in what is left as it is: Python, or words that a person reads?"""
    parts = [cell.source for cell in sheet.cells for name, *_ in cell.holds if name == key]
    try:
        return bool(parts) and (key.startswith("open-") or all(map(ast.parse, parts)))
    except SyntaxError:
        return False


@pytest.mark.parametrize("name", OPERATORS)
def test_damage_is_undone(name, chapter, record_property):
    release, truth = chapter
    counts, wrong = [0] * len(COLUMNS), []
    for student, (sheet, meanings) in truth.items():
        for seed in range(SEEDS):
            damaged = OPERATORS[name](sheet, random.Random(seed))
            found, numbers = judge(damaged, meanings, release)
            counts = [a + b for a, b in zip(counts, numbers, strict=True)]
            wrong += [f"{student}, seed {seed}: {text}" for text in found]
    record_property("damage", (name, *counts))
    assert not wrong, "\n".join(wrong)


def composed(names: list[str], sheet: Sheet, seed: int) -> Sheet:
    """``sheet`` after the operators ``names``, one after another."""
    rng = random.Random(seed)
    for name in names:
        sheet = OPERATORS[name](sheet, rng)
    return sheet


CELLS, FILES = st.sampled_from(TO_CELLS), st.sampled_from(TO_FILES)
TWO = st.one_of(st.tuples(CELLS, CELLS), st.tuples(CELLS, FILES))
THREE = st.one_of(st.tuples(CELLS, CELLS, CELLS), st.tuples(CELLS, CELLS, FILES))


@pytest.mark.parametrize("many", [TWO, THREE], ids=["two", "three"])
def test_damages_together_are_undone(many, chapter, record_property):
    release, truth = chapter
    counts = [0] * len(COLUMNS)

    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(names=many, student=st.sampled_from(sorted(truth)), seed=st.integers(0, 2**16))
    def every_answer_comes_back(names, student, seed):
        sheet, meanings = truth[student]
        wrong, numbers = judge(composed(names, sheet, seed), meanings, release)
        counts[:] = [a + b for a, b in zip(counts, numbers, strict=True)]
        if wrong:
            WRONG.append((names, student, seed, wrong))

    WRONG: list = []
    every_answer_comes_back()
    record_property("damage", (f"{'two' if many is TWO else 'three'} at random", *counts))
    assert not WRONG, "\n".join(map(str, WRONG))
