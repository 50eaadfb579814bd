"""A chapter's cells and cases without a notebook: what the checks say of an answer."""

import math
from pathlib import Path
from types import ModuleType

import pytest
import torch

from flatlab.checks import CheckFailed
from flatlab.course.source import read_cases, read_chapter

ROOT = Path(__file__).resolve().parents[3]
PASSED = "passed"


class Answered:
    """The chapter ``name``, whose checks are the module ``check``.

    ``more``: another file of cases in the same form. A chapter without a source yet is read from
    its exercises in solutions/parts.
    """

    def __init__(self, name: str, check: ModuleType, more: str = "", **setup: object) -> None:
        source = ROOT / "solutions" / f"{name}.py"
        parts = ROOT / "solutions" / "parts" / f"{name[:2]}-exercises.py"
        self.path = source if source.is_file() else parts
        self.chapter = read_chapter(self.path)
        folder = ROOT / "tests" / "grading" / "cases"
        self.cases = [read_cases(folder / f"{file}.py") for file in (name, more) if file]
        self.solutions = {cell.name: cell.text for cell in self.chapter.of("exercise")}
        self.checks = {cell.name: cell.text for cell in self.chapter.of("check")}
        self._setup = {"math": math, "torch": torch, "check": check, "__name__": "notebook"} | setup

    def notebook(self, answer: str) -> dict:
        """What a notebook with this answer, and right ones to the other exercises, defines."""
        names = dict(self._setup)
        for text in (*self.solutions.values(), answer):
            exec(text, names)  # noqa: S102 - a notebook's cells
        return names

    def graded(self, exercise: str, answer: str) -> str:
        """What visible and hidden checks say of an answer, ``passed`` where they say nothing."""
        try:
            exec(self.checks[exercise], self.notebook(answer))  # noqa: S102
        except CheckFailed as failure:
            return " ".join(str(failure).split())
        return PASSED

    def of(self, kind: str) -> pytest.MarkDecorator:
        """Parametrize by the cells of this kind of case."""
        cells = [cell for cases in self.cases for cell in cases.of(kind)]
        return pytest.mark.parametrize("cell", cells, ids=lambda c: f"{c.name}-{c.options['name']}")

    def problems(self) -> list:
        """What is wrong with the cases' and the chapter's form; empty where nothing is."""
        finished = "parts" not in self.path.parts
        found = [p for cases in self.cases for p in cases.problems]
        found += self.chapter.problems if finished else ()
        if {cell.name for cell in self.cases[0].of("misconception")} != set(self.solutions):
            found.append("not every exercise has misconceptions")
        if set(self.solutions) != set(self.checks):
            found.append("not every exercise has a check")
        return found
