"""Every damage, on every chapter: each answer that is still there comes back, the rest is named."""

import inspect
import random
from pathlib import Path

import damage_cells
import damage_files
import nbformat
import pytest
from damage_notebooks import OWN, Sheet, meaning, students
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flatlab.course.layout import Layout
from flatlab.course.rebuild import Release, rebuild

pytestmark = pytest.mark.grading

LAYOUT = Layout.find(Path(__file__).parent)
CHAPTERS = [name for name in LAYOUT.chapters() if LAYOUT.release(name).is_file()]
SEEDS = 4


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


def judge(sheet: Sheet, truth: dict, release: Release) -> tuple[list[str], int, int, int]:
    """What is wrong with the rebuilt sheet; counts: recoverable, recovered, destroyed, named."""
    rebuilt = rebuild(sheet.bytes(), release)
    named = {case["name"] for case in rebuilt.manual}
    labels = {key: key.removeprefix("open-") for key in truth}
    wrong, recovered = [], 0
    sure = [key for key in truth if key not in sheet.destroyed | sheet.unsure]
    for key in sure:
        outcome = next(e["outcome"] for e in rebuilt.report if e["name"] == labels[key])
        if meaning(rebuilt.notebook, key) != truth[key]:
            wrong.append(f"{key}: not what was handed in ({outcome})")
        elif outcome in ("lost", "damaged"):
            wrong.append(f"{key}: there, but called {outcome}")
        else:
            recovered += 1
    missing = [key for key in truth if key not in sure and labels[key] not in named]
    wrong += [
        f"{key}: destroyed, and not named" for key in missing if not blank(truth, key, release)
    ]
    return wrong, len(sure), recovered, len(truth) - len(sure), len(named)


def blank(truth: dict, key: str, release: Release) -> bool:
    """Was there nothing to destroy?"""
    return meaning(release.notebook, key) == truth[key]


@pytest.mark.parametrize("name", OPERATORS)
def test_damage_is_undone(name, chapter, record_property):
    release, truth = chapter
    counts, wrong = [0, 0, 0, 0], []
    for student, (sheet, meanings) in truth.items():
        for seed in range(SEEDS):
            damaged = OPERATORS[name](sheet, random.Random(seed))
            found, *numbers = judge(damaged, meanings, release)
            counts = [a + b for a, b in zip(counts, numbers, strict=True)]
            wrong += [f"{student}, seed {seed}: {text}" for text in found]
    record_property("damage", (name, *counts))
    assert not wrong, "\n".join(wrong)
