"""``grade_one``: one rebuilt notebook through the sandbox to a checked record, without traces."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path

import nbformat
from nbformat import NotebookNode

import flatlab
from flatlab.course.grading import LINUX, results, sandbox
from flatlab.course.grading.kit import Kit, make_kit
from flatlab.course.grading.limits import Limits
from flatlab.course.grading.supervise import Outcome, supervise
from flatlab.course.grading.watch import threads_of_user
from flatlab.course.layout import Layout

MOST_RUNS = 3  # of one submission, where it ends the grading process itself
_WORKER = "flatlab.course.grading.worker"
_PACKAGE = Path(flatlab.__file__).resolve().parent


class GradingRefused(RuntimeError):
    """Nothing was run; the text says why and what to do."""


def grade_one(
    notebook: NotebookNode,
    chapter: str | Kit,
    *,
    limits: Limits | None = None,
    sandbox: bool = True,
    layout: Layout | None = None,
) -> dict:
    """What nbgrader's autograde gives for ``notebook``, a submission rebuilt from its release.

    ``chapter``: a kit of ``make_kit``, or a chapter's name in ``layout`` (default: the checkout
    around the current folder). The result is plain data:

    - ``scores``: grade id -> ``{"score": points or None, "max": points}``; None is left to a person
    - ``cells``: for each code cell that was begun its index, id, status (ok, error, interrupted,
      died, skipped, not run), error and message, seconds, what was done, score and max
    - ``manual``: what a person has to look at, a line each; ``notes``: what limits did
    - ``notebook``: the executed notebook as text, None where it did not come out
    - ``chapter``, ``sandbox``, ``runs``, ``seconds``

    Nothing is changed but a temporary folder, which is removed. What the submission's code can
    reach it may have forged: ``scores`` are what a process with that code in it said.
    Raises ``GradingRefused`` where there is no sandbox, ``Refused`` where there is no kit.
    """
    if (sandbox or not LINUX) and (reason := _no_sandbox()):
        raise GradingRefused(reason)
    kit = chapter if isinstance(chapter, Kit) else make_kit(layout or Layout.find(), chapter)
    limits, begin = limits or Limits(), time.monotonic()
    runs: list[tuple[Outcome, results.Told]] = []
    skip: list[int] = []
    left = limits.total_seconds
    while not runs or (len(runs) < MOST_RUNS and left > 1):
        outcome = _run(notebook, kit, replace(limits, total_seconds=left), skip, isolate=sandbox)
        left = limits.total_seconds - (time.monotonic() - begin)
        told = results.read(outcome.lines, notebook, kit)
        runs.append((outcome, told))
        # Ended in mid-cell from inside or from outside: once more without that cell.
        if told.ended or told.running is None or told.running in skip:
            break
        skip.append(told.running)
    return {
        "chapter": kit.chapter,
        **_record(runs, notebook, kit),
        "sandbox": sandbox,
        "runs": len(runs),
        "seconds": round(time.monotonic() - begin, 3),
    }


def _no_sandbox() -> str | None:
    return sandbox.available()


def _run(
    notebook: NotebookNode, kit: Kit, limits: Limits, skip: list[int], isolate: bool
) -> Outcome:
    """One worker with a folder of its own."""
    with tempfile.TemporaryDirectory(prefix="flatlab-grading-", ignore_cleanup_errors=True) as made:
        job, work = Path(made) / "job", Path(made) / "work"
        job.mkdir(mode=0o755)
        work.mkdir()
        drop_to = sandbox.stranger() if isolate else None
        counted = 0 if isolate else threads_of_user(os.getuid())
        settings = {
            "chapter": kit.chapter,
            "limits": limits.as_dict(),
            "skip": skip,
            "drop_to": drop_to,
            "threads_elsewhere": counted,
        }
        _fill(job, notebook, kit, settings, drop_to)
        words = [sys.executable, "-m", _WORKER]
        environment = clean_environment()
        if not isolate:
            own = {"HOME": str(work), "TMPDIR": str(work), "USER": "student"}
            words += [str(job), str(work)]
            environment |= own
            return supervise(words, environment, work, limits, ancestors=1, on_disk=True)
        mounts = sandbox.python_mounts(_PACKAGE, _data(), (Path(kit.root),))
        words += [sandbox.JOB, sandbox.WORK]
        line = sandbox.isolated(words, job, mounts, environment, limits)
        bare = {"PATH": os.defpath}
        return supervise(line, bare, work, limits, ancestors=3, on_disk=False)


def _fill(
    job: Path, notebook: NotebookNode, kit: Kit, settings: Mapping, drop_to: int | None
) -> None:
    """Write what the worker is given; the folder above keeps others out."""
    (job / "notebook.ipynb").write_text(nbformat.writes(notebook, version=4), encoding="utf-8")
    (job / "gradebook.db").write_bytes(kit.gradebook)
    (job / "settings.json").write_text(json.dumps(settings))
    (job / "passwd").write_text(sandbox.passwd(drop_to))
    for path in font_lists():
        shutil.copyfile(path, job / path.name)
    for path in job.iterdir():
        path.chmod(0o644)


def clean_environment() -> dict[str, str]:
    """All that a submission's processes see of this one's environment."""
    tools = Path(sys.executable).parent
    fixed = {
        "PATH": f"{tools}{os.pathsep}{os.defpath}",
        "PYTHONPATH": str(_PACKAGE.parent),
        "PYTHONNOUSERSITE": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "LANG": "C.UTF-8",
        "OMP_NUM_THREADS": "1",  # submissions run beside each other
        "OMP_WAIT_POLICY": "passive",
        "FLATLAB_PROGRESS": "off",
        "FLATLAB_FIGURES": "off",
        "CUDA_VISIBLE_DEVICES": "",
    }
    return {**fixed, "FLATLAB_DATA": str(_data())} if _data() else fixed


def _data() -> Path | None:
    """The data folder, where one is named."""
    named = os.environ.get("FLATLAB_DATA")
    return Path(named).resolve() if named else None


@cache
def font_lists() -> list[Path]:
    """matplotlib's list of this machine's fonts, which it else makes anew in every empty home."""
    import matplotlib.font_manager  # writes the list where there is none

    return sorted(Path(matplotlib.get_cachedir()).glob("fontlist-*.json"))


def _record(runs: list[tuple[Outcome, results.Told]], notebook: NotebookNode, kit: Kit) -> dict:
    """Several runs as one: what a cell earned first stays."""
    cells: dict[int, dict] = {}
    notes: list[str] = []
    manual: list[str] = []
    for outcome, told in runs:
        for index, cell in told.cells.items():
            cells.setdefault(index, cell)
        notes += outcome.notes
        manual += _unusual(outcome, told, notebook)
    last = runs[-1][1]
    earned = {cell["id"]: cell["score"] for cell in cells.values() if cell["id"] in kit.tests}
    scores = {}
    for name, most in kit.points.items():
        value = earned.get(name) if name in kit.tests else last.scores.get(name)
        if name in kit.tests and value is None:
            manual.append(f"{name} has no score: the run did not come to it.")
        if name in last.scores and len(runs) == 1 and last.scores[name] != value:
            manual.append(f"{name}: nbgrader stored {last.scores[name]}, its run earned {value}.")
        scores[name] = {"score": value, "max": most}
    made = None
    if last.outputs:
        made = nbformat.writes(results.merged_notebook(notebook, last.outputs, kit), version=4)
    return {
        "scores": scores,
        "cells": [cells[index] for index in sorted(cells)],
        "manual": manual,
        "notes": notes,
        "notebook": made,
    }


def _unusual(outcome: Outcome, told: results.Told, notebook: NotebookNode) -> list[str]:
    """What a person has to look at in one run."""
    found = []
    if count := told.nonsense + outcome.strange:
        found.append(f"{count} lines of the grading process's record were no record.")
    if told.ended:
        return found
    where = ""
    if told.running is not None:
        cell = notebook.cells[told.running]
        name = cell.metadata.get("nbgrader", {}).get("grade_id", "") or cell.get("id", "")
        where = f" in cell {told.running} ({name})"
    why = outcome.stopped or told.failure or f"it was ended from inside. {outcome.log[-1500:]}"
    return [*found, f"The grading process did not come to its end{where}: {why.strip()}"]
