"""Records of made-up students for the reports' tests: the cases' answers, judged by the real checks.

The answers are this repository's own, so they run in the test's process: the sandbox's side of the
verdict makes what the sandbox would send, and the trusted side decides on it. nbgrader's scores are
made equal to the decided ones; a test that needs others changes them.
"""

from __future__ import annotations

import contextlib
import io
from functools import lru_cache
from pathlib import Path

import nbformat
import numpy as np

from flatlab.course.batch.told import misconception
from flatlab.course.layout import Layout
from flatlab.course.reports import questions
from flatlab.course.source import read_cases
from flatlab.course.verdict import child, decide, job
from flatlab.course.verdict import plan as planning
from flatlab.course.verdict.codec import encode
from flatlab.course.verdict.plan import Drawn, Plan

LAYOUT = Layout(Path(__file__).resolve().parents[3])
CHAPTERS = [name for name in LAYOUT.chapters() if LAYOUT.release(name).is_file()]
SEED = 20


@lru_cache(maxsize=4)
def plan(chapter: str) -> Plan:
    return planning.make(LAYOUT.source(chapter), SEED)


@lru_cache(maxsize=4)
def records(chapter: str) -> dict[str, dict]:
    """Student -> record: wrong-k has the k-th misconception of every exercise, right-k likewise."""
    answers: dict[str, dict[str, str]] = {"untouched": {}}
    count: dict[tuple, int] = {}
    for cell in read_cases(LAYOUT.cases(chapter)).of("misconception", "alternative"):
        key = (cell.kind, cell.name)
        count[key] = count.get(key, 0) + 1
        name = f"{'wrong' if cell.kind == 'misconception' else 'right'}-{count[key]}"
        answers.setdefault(name, {})[cell.name] = cell.text
    return {student: record(chapter, student, given) for student, given in answers.items()}


def record(chapter: str, student: str, answers: dict[str, str]) -> dict:
    """The record of one student, who wrote ``answers`` (exercise -> code) and nothing else."""
    made, notebook = plan(chapter), nbformat.read(LAYOUT.release(chapter), as_version=4)
    for cell in notebook.cells:
        name = cell.metadata.get("nbgrader", {}).get("grade_id", "")
        cell.source = f"# exercise: {name}\n{answers[name]}" if name in answers else cell.source
    lines = [
        f"{number} {place} {encode(_seen(drawn, made, answers.get(one.graded.name))).decode()}".encode()
        for number, one in enumerate(job.jobs(notebook, made))
        for place, drawn in enumerate(one.drawn)
    ]
    verdict = decide(notebook, LAYOUT.source(chapter), lambda folder: lines, SEED)
    exercises, flags = verdict["exercises"], verdict["flags"]
    scores = {}
    for question in questions.read(LAYOUT.release(chapter)).all:
        earned = None if question.by_hand else exercises[question.name]["earned"]
        scores[question.grade_id] = {
            "score": earned,
            "max": question.points,
            "nbgrader": earned,
            "decided": earned,
            "needs_look": False,
        }
    for exercise in exercises.values():
        exercise["misconception"] = misconception(exercise)
    return {
        "format": 1,
        "digest": "",
        "path": f"{student}/{chapter}/{chapter}.ipynb",
        "student": student,
        "name": f"Name of {student}",
        "platform": "nbgrader",
        "number": "",
        "late": False,
        "chapter": chapter,
        "status": "graded",
        "scores": scores,
        "exercises": exercises,
        "flags": flags,
        "manual": [],
        "rebuilt": [],
        "cells": [],
        "notes": [],
        "seed": SEED,
        "notebook": None,
        "seconds": {"rebuild": 0.1, "run": 6.0, "verdict": 3.0, "total": 9.1},
    }


def _seen(drawn: Drawn, made: Plan, answer: str | None) -> dict:
    """What the sandbox would send of one check."""
    if answer is None:
        return {"kind": "unwritten"}
    names = dict(made.chapter.namespace)
    with contextlib.redirect_stdout(io.StringIO()), np.errstate(all="ignore"):
        exec(answer, names)  # noqa: S102 - our own cases
        student = eval(drawn.planned.argument, names)
        told, topic = child._called(drawn.planned.check, student, drawn.inputs)
    return {"kind": "topic", "text": topic} if topic else told
