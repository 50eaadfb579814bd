"""What is put into a record: scores by the rule, one list of flags, one of what a person must see."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from flatlab.course.grading import Kit

SILENT = {"unwritten", "absent", "skipped"}  # kinds of failed checks that saw no answer
# rebuild's reasons: the score for such an answer waits for a person; of a lost one there is none
UNSURE = {"ambiguous", "damaged", "lost", "incomplete"}


def scored(
    run: Mapping, verdict: Mapping, differing: list[dict], cases: Iterable[Mapping], kit: Kit
) -> dict:
    """``status``, ``scores``, ``exercises`` and ``flags`` of a submission that was run."""
    reasons: dict[tuple[str, str], set[str]] = {}
    for case in cases:  # one answer may have several
        reasons.setdefault((case["subject"], case["name"]), set()).add(case["reason"])
    differ = {flag["exercise"] for flag in differing}
    scores = {}
    for name, most in kit.points.items():
        inside = run["scores"][name]["score"]
        kind, _, exercise = name.partition("-")
        found = reasons.get(("open" if kind == "open" else "exercise", exercise), set())
        decided = verdict["exercises"].get(exercise, {}).get("earned")
        score = inside if name in kit.by_hand else _smaller(inside, decided)
        scores[name] = {
            "score": None if "lost" in found else score,
            "max": most,
            "nbgrader": inside,
            "decided": None if name in kit.by_hand else decided,
            "needs_look": bool(found & UNSURE) or (name not in kit.by_hand and exercise in differ),
        }
    ran = any(cell["status"] != "not run" for cell in run["cells"])
    return {
        "status": "graded" if ran else "manual",
        "scores": scores,
        "exercises": {
            name: {**exercise, "misconception": misconception(exercise)}
            for name, exercise in verdict["exercises"].items()
        },
        "flags": [*differing, *verdict["flags"]],
    }


def _smaller(inside: float | None, decided: float | None) -> float | None:
    """The score rule: the smaller one; where either is missing, a person decides."""
    return None if inside is None or decided is None else min(inside, decided)


def unscored(kit: Kit | None, cases: list[dict]) -> dict:
    """The same fields, and the run's, for a submission of which nothing was run."""
    empty = {"score": None, "nbgrader": None, "decided": None, "needs_look": True}
    return {
        "status": "manual",
        "scores": {name: {**empty, "max": most} for name, most in kit.points.items()}
        if kit
        else {},
        "exercises": {},
        "flags": [],
        "manual": cases,
        "notes": [],
        "cells": [],
        "notebook": None,
    }


def cases(rebuilt: Iterable[Mapping], run: Iterable[str], failure: str) -> list[dict]:
    """Rebuild's cases, the run's lines and a verdict that failed, in one form."""
    found = [
        {
            "where": f"{case['subject']} {case['name']}",
            "reason": case["reason"],
            "text": case["instructor"],
            "found": case["texts"],
        }
        for case in rebuilt
    ]
    found += [{"where": "run", "reason": "run", "text": line} for line in run]
    if failure:
        found.append({"where": "verdict", "reason": "no verdict", "text": failure})
    return found


def misconception(exercise: Mapping) -> str:
    """What the first visible check that failed says is wrong, as one line; "" where none did."""
    visible = [entry for entry in exercise["failed"] if not entry["hidden"]]
    if not visible or visible[0]["kind"] in SILENT:
        return ""
    head, _, text = visible[0]["message"].partition("\n")
    return (text.strip() or head).split("\n")[0].strip()
