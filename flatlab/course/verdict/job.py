"""What goes into the sandbox: the worker, the package's ground floor, one job for each exercise."""

from __future__ import annotations

import ast
import json
import shutil
from dataclasses import dataclass
from pathlib import Path

from nbformat import NotebookNode

from flatlab.course.verdict import cells, package
from flatlab.course.verdict.chapter import Chapter, Graded
from flatlab.course.verdict.codec import encode
from flatlab.course.verdict.plan import Drawn, Plan

HERE = Path(__file__).parent
MOST_CODE = 2_000_000  # characters of all of a submission's code


@dataclass(frozen=True)
class Job:
    """One exercise of one submission."""

    graded: Graded
    cells: list[str]
    modules: dict[str, tuple[str, bool]]
    checks: list[dict]


def jobs(notebook: NotebookNode, plan: Plan) -> list[Job]:
    """One job for each exercise whose check cell ``notebook`` holds, in the chapter's order.

    Raises ``NotRebuilt`` where no check cell is there, ``ValueError`` for too much code.
    """
    chapter = plan.chapter
    before = cells.before_checks(notebook, chapter.release)
    exercises = [graded for graded in chapter.graded if graded.name in before]
    if not exercises:
        raise cells.NotRebuilt(f"It holds no check cell of {chapter.name}: rebuild it first.")
    if sum(len(cell.source) for cell in notebook.cells) > MOST_CODE:
        raise ValueError(f"The notebook holds more than {MOST_CODE:,} characters.")
    return [
        Job(
            graded,
            [text for _, text in before[graded.name]],
            plan.modules[graded.name],
            _checks(plan.drawn[graded.name]),
        )
        for graded in exercises
    ]


def lay_out(folder: Path, wanted: list[Job], chapter: Chapter, seconds: float) -> None:
    """Write into ``folder`` the worker and all that it reads."""
    (folder / "jobs").mkdir()
    shutil.copyfile(HERE / "worker.py", folder / "worker.py")
    package.lay_out(folder / "package")
    for name in ("codec", "child"):
        shutil.copyfile(HERE / f"{name}.py", folder / "package" / f"_flatlab_{name}.py")
    for number, job in enumerate(wanted):
        data = {"cells": job.cells, "modules": job.modules, "checks": job.checks}
        (folder / "jobs" / f"{number:04d}").write_text(json.dumps(data), encoding="utf-8")
    common = {
        "topics": package.rooms()[1],
        "prepare": _prepared(chapter.imports),
        "seconds": seconds,
        "sizes": [(len(job.cells), len(job.checks)) for job in wanted],
        "confine": None,  # a runner may ask for limits
    }
    (folder / "common.json").write_text(json.dumps(common), encoding="utf-8")


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
