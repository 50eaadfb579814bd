"""Every built chapter, its exercises and its cases, to parametrize tests by."""

from pathlib import Path

import pytest
from harness import cases, exercises

from flatlab.course.layout import Layout

LAYOUT = Layout.find(Path(__file__).parent)
CHAPTERS = [name for name in LAYOUT.chapters() if LAYOUT.release(name).is_file()]
CASES = [case for chapter in CHAPTERS for case in cases(LAYOUT, chapter)]
EXERCISES = [(chapter, e.name) for chapter in CHAPTERS for e in exercises(LAYOUT, chapter)]


def of(kind: str) -> pytest.MarkDecorator:
    """Parametrize by all cases of this kind."""
    chosen = [case for case in CASES if case.kind == kind]
    return pytest.mark.parametrize("case", chosen, ids=lambda case: case.label)
