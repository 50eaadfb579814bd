"""What goes into the sandbox: the worker, the package's ground floor, one job for each exercise."""

from __future__ import annotations

import ast
import json
import shutil
from pathlib import Path

from nbformat import NotebookNode

from flatlab.course.verdict import cells, package
from flatlab.course.verdict.chapter import Chapter, Graded
from flatlab.course.verdict.codec import encode
from flatlab.course.verdict.cut import call_halves
from flatlab.course.verdict.plan import Drawn, Plan

HERE = Path(__file__).parent
MOST_CODE = 2_000_000  # characters of all of a submission's code
# What the worker itself uses, and what a notebook's setup imports of the checks.
ALWAYS = [
    ("flatlab.checks.core", "plain"),
    ("flatlab.checks.core", "WrongAnswer"),
    ("flatlab.checks.guard", "TopicGuard"),
]
CHECKS = """
class CheckFailed(AssertionError):
    pass
def ready(*functions):
    return False
"""
CHAPTER = """
class _NotHere:
    def __call__(self, *functions):
        return None
    def grade(self, *functions):
        return None
def __getattr__(name):
    if name.startswith("__"):
        raise AttributeError(name)
    return _NotHere()
"""


def lay_out(folder: Path, notebook: NotebookNode, plan: Plan, seconds: float) -> list[Graded]:
    """Fill ``folder`` for the worker; the exercises in the order of their jobs.

    An exercise whose check cell the notebook lacks has no job.
    Raises ``NotRebuilt`` where no check cell is there, ``ValueError`` for too much code.
    """
    chapter = plan.chapter
    before = cells.before_checks(notebook, chapter.release)
    exercises = [graded for graded in chapter.graded if graded.name in before]
    if not exercises:
        raise cells.NotRebuilt(f"It holds no check cell of {chapter.name}: rebuild it first.")
    if sum(len(cell.source) for cell in notebook.cells) > MOST_CODE:
        raise ValueError(f"The notebook holds more than {MOST_CODE:,} characters.")
    for name in ("jobs", "records", "home"):
        (folder / name).mkdir()
    shutil.copyfile(HERE / "worker.py", folder / "worker.py")
    package.lay_out(folder / "package")
    shutil.copyfile(HERE / "codec.py", folder / "package" / "_flatlab_codec.py")
    sizes = []
    for number, graded in enumerate(exercises):
        drawn = plan.drawn[graded.name]
        texts = [text for _, text in before[graded.name]]
        job = {"cells": texts, "modules": _modules(chapter, graded), "checks": _checks(drawn)}
        (folder / "jobs" / f"{number:03d}").write_text(json.dumps(job), encoding="utf-8")
        sizes.append((len(texts), len(drawn)))
    common = {
        "topics": package.rooms()[1],
        "prepare": _prepared(chapter.imports),
        "seconds": seconds,
        "sizes": sizes,
    }
    (folder / "common.json").write_text(json.dumps(common), encoding="utf-8")
    return exercises


def _checks(drawn: tuple[Drawn, ...]) -> list[dict]:
    return [
        {
            "module": d.planned.module,
            "class": d.planned.kind,
            "argument": d.planned.argument,
            "inputs": json.loads(encode(d.inputs)),
        }
        for d in drawn
    ]


def _modules(chapter: Chapter, graded: Graded) -> dict[str, tuple[str, bool]]:
    """The exercise's ``call`` halves, and what stands for the rest of ``flatlab.checks``."""
    roots = [(check.module, check.kind) for check in graded.checks]
    modules = call_halves(ALWAYS + roots, graded.hidden_module)
    modules["flatlab.checks"] = (CHECKS, True)
    for name in [*modules, chapter.checks]:
        parts = name.split(".")
        for end in range(3, len(parts)):  # a chapter's parent packages
            modules.setdefault(".".join(parts[:end]), ("", True))
    text, is_package = modules.get(chapter.checks, ("", True))
    modules[chapter.checks] = (text + CHAPTER, is_package)
    return modules


def _prepared(imports: str) -> list[str]:
    """Modules that the setup cell imports and that are safe to import before the fork."""
    ground, _ = package.rooms()
    names = ["torch", "numpy"]
    for node in ast.parse(imports).body:
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif node.module == "flatlab":
            names += [f"flatlab.{alias.name}" for alias in node.names if alias.name in ground]
        elif node.module:
            names.append(node.module)
    return [name for name in names if name.split(".")[:2] != ["flatlab", "checks"]]
