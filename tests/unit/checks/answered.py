"""A chapter's cells and cases without a notebook: what the checks say of an answer.

``drawn``, ``apart``: what tests of a check's own ground truth need.
"""

import ast
import importlib
import math
import re
from pathlib import Path

import torch
from torch import nn

from flatlab.checks import CheckFailed
from flatlab.checks.answers import close
from flatlab.checks.core import Check, plain, run
from flatlab.course.assemble import assemble
from flatlab.course.source import Cell, read_cases, read_chapter
from flatlab.course.verdict import plan as planning

ROOT = Path(__file__).resolve().parents[3]
FOLDER = ROOT / "tests" / "grading" / "cases"
NAMES = sorted(path.stem for path in FOLDER.glob("[0-9]*.py"))
PASSED = "passed"


def drawn(check: Check, seed: int) -> dict:
    """The inputs of ``check`` for this seed, as arrays and numbers."""
    return plain(check.draw(torch.Generator().manual_seed(seed)))


def apart(right: object, mistakes: list[tuple[object, str]], tolerance: float = 1e-5) -> None:
    """Known mistakes differ from the truth, and from each other where they say another thing."""
    assert len(mistakes) > 1
    for k, (value, said) in enumerate(mistakes):
        assert not close(value, right, 3 * tolerance), said
        for other, message in mistakes[:k]:
            assert said == message or not close(value, other, tolerance), (said, message)


class Answered:
    """The chapter ``name`` with its cases, and those of ``more-NAME.py`` that run here alone."""

    def __init__(self, name: str) -> None:
        self.path = ROOT / "solutions" / f"{name}.py"
        self.chapter = read_chapter(self.path)
        self.cases = [read_cases(path) for path in sorted(FOLDER.glob(f"*{name}.py"))]
        self.solutions = {cell.name: cell.text for cell in self.chapter.of("exercise")}
        built = {cell.id: cell.source for cell in assemble(self.chapter).cells}
        self.checks = {cell.name: built[f"check-{cell.name}"] for cell in self.chapter.of("check")}
        calls = re.compile(r"check\.(\w+)\(\1\)")  # two in some cells
        self.asked = {name: calls.findall(text) for name, text in self.checks.items()}
        self.check = importlib.import_module(f"flatlab.checks.chapter{name[:2]}")
        self._setup = {"math": math, "torch": torch, "nn": nn, "check": self.check}

    def notebook(self, answer: str) -> dict:
        """What a notebook with this answer, and right ones to the other exercises, defines."""
        names = self._setup | {"__name__": "notebook"}
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

    def redrawn(self, exercise: str, answer: str, seed: int) -> str:
        """The same on inputs drawn with another seed, as the grader draws them."""
        checks = [getattr(self.check, name) for name in self.asked[exercise]]
        if any(set(one.hidden_checks) != set(one.remaining) for one in checks):
            self.graded(exercise, self.solutions[exercise])  # its cell brings the hidden checks
        names = self.notebook(answer)
        for one in checks:
            for aim, check in (one.visible | one.hidden_checks).items():
                if message := run(check, names[one.name], seed):
                    return " ".join(f"{aim}: {message}".split())
        return PASSED

    def sent(self) -> set[str]:
        """The functions and classes of the checks that go into the sandbox with a submission."""
        modules = planning.make(self.path, 0).modules.values()
        trees = [ast.parse(text) for parts in modules for text, _ in parts.values()]
        kinds = ast.ClassDef | ast.FunctionDef
        return {node.name for tree in trees for node in ast.walk(tree) if isinstance(node, kinds)}

    def of(self, kind: str) -> list[Cell]:
        """The cases of this kind."""
        return [cell for cases in self.cases for cell in cases.of(kind)]

    def problems(self) -> list:
        """What is wrong with the cases' and the chapter's form; empty where nothing is."""
        found = [p for cases in self.cases for p in cases.problems]
        found += self.chapter.problems
        if {cell.name for cell in self.cases[0].of("misconception")} != set(self.solutions):
            found.append("not every exercise has misconceptions")
        if set(self.solutions) != set(self.checks):
            found.append("not every exercise has a check")
        return found
