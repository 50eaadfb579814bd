"""What goes into the sandbox: the worker, the package's ground floor, two jobs for each exercise."""

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
    """The visible or the hidden checks of one exercise of one submission."""

    graded: Graded
    hidden: bool
    cells: list[str]
    modules: dict[str, tuple[str, bool]]
    drawn: list[Drawn]


def jobs(notebook: NotebookNode, plan: Plan) -> list[Job]:
    """The jobs of the exercises whose check cell ``notebook`` holds, in the chapter's order.

    All visible checks come first: what a message of theirs repeats was then written before
    anything of a hidden check was in the sandbox's processes.
    Raises ``NotRebuilt`` where no check cell is there, ``ValueError`` for too much code.
    """
    chapter = plan.chapter
    if sum(len(cell.source) for cell in notebook.cells) > MOST_CODE:
        raise ValueError(f"The notebook holds more than {MOST_CODE:,} characters.")
    before = cells.before_checks(notebook, chapter.release)
    exercises = [graded for graded in chapter.graded if graded.name in before]
    if not exercises:
        raise cells.NotRebuilt(f"It holds no check cell of {chapter.name}: rebuild it first.")
    found = []
    for hidden in (False, True):
        for graded in exercises:
            drawn = [one for one in plan.drawn[graded.name] if one.planned.hidden == hidden]
            texts = [text for _, text in before[graded.name]]
            modules = plan.modules[graded.name, hidden]
            found += [Job(graded, hidden, texts, modules, drawn)] if drawn else []
    return found


def lay_out(folder: Path, wanted: list[Job], chapter: Chapter, seconds: float) -> None:
    """Write into ``folder`` the worker and all that it reads.

    ``folder``/jobs holds the jobs, one behind the other; a runner passes it on as an open file.
    """
    shutil.copyfile(HERE / "worker.py", folder / "worker.py")
    package.lay_out(folder / "package")
    for name in ("codec", "child"):
        shutil.copyfile(HERE / f"{name}.py", folder / "package" / f"_flatlab_{name}.py")
    texts = list(dict.fromkeys(text for job in wanted for text in job.cells))
    place = {text: number for number, text in enumerate(texts)}
    secret, told = [], []
    first = {job.graded.name: number for number, job in reversed(list(enumerate(wanted)))}
    for number, job in enumerate(wanted):
        data = json.dumps({"modules": job.modules, "checks": _checks(job.drawn)}).encode()
        secret.append(data)
        after = first[job.graded.name]
        told.append(
            {
                "cells": [place[text] for text in job.cells],
                "checks": len(job.drawn),
                "bytes": len(data),
                "after": after if after < number else None,  # the same exercise's visible checks
            }
        )
    common = {
        "topics": package.rooms()[1],
        "prepare": _prepared(chapter.imports),
        "seconds": seconds,
        "cells": texts,
        "jobs": told,
        "confine": None,  # a runner may ask for limits
    }
    (folder / "jobs").write_bytes(b"".join(secret))
    (folder / "common.json").write_text(json.dumps(common), encoding="utf-8")


def _checks(drawn: list[Drawn]) -> list[dict]:
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
