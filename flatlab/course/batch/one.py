"""``grade``: one submission from the bytes that were handed in to a record. Nothing is changed.

Rebuilt from its release, run by nbgrader in a sandbox, decided outside of it, compared. The score
of an exercise is the smaller one of nbgrader's and the decided one. Where the two differ, where one of
them is missing and where the answer could not be found for sure, a person has to look; a score that
cannot be told is None, never a silent 0.
"""

from __future__ import annotations

import hashlib
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from flatlab.course.batch import told
from flatlab.course.batch.desk import FORMAT, Desk, make_desk, read_release, releases
from flatlab.course.grading import Kit, Limits, grade_one
from flatlab.course.layout import Layout
from flatlab.course.rebuild import Handed, collect, rebuild
from flatlab.course.rebuild.collect import chapter_of
from flatlab.course.rebuild.reading import read
from flatlab.course.verdict import compare, decide
from flatlab.course.verdict.runners import limited, sandboxed

NOTHING = ("empty", "unreadable")  # what rebuild says of a file in which there is nothing to run


def grade(
    submission: bytes | Path,
    chapter: str | None = None,
    *,
    limits: Limits | None = None,
    sandbox: bool = True,
    seed: int | None = None,
    layout: Layout | None = None,
) -> dict:
    """The record of one submission: a notebook's bytes, its file, or a zip with one notebook.

    ``chapter``: its name or number; by default what the cells say, or else the file's name.
    ``seed``: of the inputs that the verdict draws, by default a new secret one. ``layout``: the
    checkout, by default around the current folder. The record is plain data:

    - ``status``: graded, or manual: nothing could be run, and ``manual`` says why
    - ``scores``: grade id -> ``score`` (None: left to a person), ``max``, ``nbgrader``,
      ``decided``, ``needs_look``
    - ``exercises``: as ``decide`` gives them, with ``misconception``, the visible check's words
    - ``flags``: where the scores differ, and what else was odd; ``manual``: what a person has to
      look at (``where``, ``reason``, ``text``); ``rebuilt``: rebuild's report
    - ``cells``, ``notes``, ``notebook`` (executed, as text): as ``grade_one`` gives them
    - ``variant``: the number in its ``flatlab.use_variant``, 0 where there is none
    - ``digest``, ``format``, ``path``, ``student``, ``name``, ``platform``, ``number``, ``late``,
      ``chapter``, ``seed``, ``submitted`` (sha256 of the bytes), ``seconds``

    No side effects. Raises ``Refused`` for a chapter that is not there or not built,
    ``GradingRefused`` where there is no sandbox, ``ValueError`` for a path with several notebooks;
    nothing that the submission holds raises.
    """
    layout = layout or Layout.find()
    known = releases(layout, layout.select([chapter] if chapter else None))
    handed = _handed(submission, known)
    if chapter:
        (name,) = layout.select([chapter])
        handed = replace(handed, chapter=name)
    if not handed.chapter:
        return ungraded(handed, handed.problem)
    desk = make_desk(layout, handed.chapter)
    return grade_at(desk, handed, limits or Limits(), sandbox, seed)


def _handed(submission: bytes | Path, known: dict) -> Handed:
    if isinstance(submission, bytes):
        chapter = chapter_of(read(submission).cells, "", known)
        problem = "" if chapter else "Its cells do not say which chapter it is."
        return Handed("", submission, chapter=chapter, problem=problem)
    found = collect(Path(submission), known)
    if len(found) != 1:
        raise ValueError(f"{submission} holds {len(found)} notebooks: grade them with grade_all.")
    return found[0]


def grade_at(desk: Desk, handed: Handed, limits: Limits, sandbox: bool, seed: int | None) -> dict:
    """As ``grade``, for a notebook of which the chapter is known."""
    begin = time.monotonic()
    digest = desk.digest(handed.data, limits, sandbox, seed)
    rebuilt = rebuild(handed.data, read_release(desk.release))
    spent = {"rebuild": time.monotonic() - begin}
    facts = {**base(handed), "digest": digest, "rebuilt": rebuilt.report}
    facts["variant"] = rebuilt.variant
    nothing = [entry for entry in rebuilt.report if entry["name"] in NOTHING]
    if nothing:
        case = {"where": "file", "reason": nothing[0]["name"], "text": nothing[0]["instructor"]}
        return {
            **facts,
            **told.unscored(desk.kit, [case]),
            "seed": seed,
            "seconds": _rounded(spent),
        }
    run = grade_one(rebuilt.notebook, desk.kit, limits=limits, sandbox=sandbox)
    spent["run"] = run["seconds"]
    verdict, failure = _verdict(desk, rebuilt.notebook, limits, sandbox, seed, run["seconds"])
    spent["total"] = time.monotonic() - begin
    spent["verdict"] = spent["total"] - spent["run"] - spent["rebuild"]
    given = {
        name: entry["score"]
        for name, entry in run["scores"].items()
        if name not in desk.kit.by_hand
    }
    differing = compare(given, verdict)
    return {
        **facts,
        **told.scored(run, verdict, differing, rebuilt.manual, desk.kit),
        "manual": told.cases(rebuilt.manual, run["manual"], failure),
        "notes": run["notes"],
        "cells": run["cells"],
        "notebook": run["notebook"],
        "seed": verdict["seed"],
        "seconds": _rounded(spent),
    }


def _verdict(
    desk: Desk, notebook, limits: Limits, sandbox: bool, seed: int | None, took: float
) -> tuple[dict, str]:
    """What ``decide`` says; where it cannot, no exercise at all and the reason.

    ``took``: seconds of the whole notebook. Its cells before an exercise run twice more for each,
    so it may use up to twice its ``total_seconds`` where they are slow.
    """
    needed = min(2 * len(desk.kit.tests) * took, 2 * limits.total_seconds)
    longer = replace(limits, total_seconds=max(limits.total_seconds, needed))
    runner = (sandboxed if sandbox else limited)(longer)
    with tempfile.TemporaryDirectory(prefix="flatlab-source-") as folder:
        source = Path(folder) / f"{desk.chapter}.py"
        source.write_text(desk.source, encoding="utf-8")
        try:
            return decide(notebook, source, runner, seed, limits.cell_seconds), ""
        except ValueError as error:  # too much code, no check cell, an answer that fails
            return {"exercises": {}, "flags": [], "seed": seed}, str(error)


def ungraded(handed: Handed, why: str, kit: Kit | None = None) -> dict:
    """The record of a submission of which nothing was run; without a digest it is run again."""
    case = {"where": "file", "reason": "not run", "text": why}
    rest = {"digest": "", "rebuilt": [], "seed": None, "seconds": {}}
    return {**base(handed), **told.unscored(kit, [case]), **rest}


def base(handed: Handed) -> dict:
    """What a record says of how it was handed in."""
    return {
        "format": FORMAT,
        "path": handed.path,
        "student": handed.student,
        "name": handed.name,
        "platform": handed.platform,
        "number": handed.number,
        "late": handed.late,
        "chapter": handed.chapter,
        "earlier": list(handed.earlier),
        "submitted": hashlib.sha256(handed.data).hexdigest(),
    }


def _rounded(spent: dict[str, float]) -> dict[str, float]:
    return {name: round(seconds, 3) for name, seconds in spent.items()}
