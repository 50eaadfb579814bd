"""Where nbgrader's own score and the verdict differ."""

from __future__ import annotations

from collections.abc import Mapping

ROOM = 1e-9  # points


def compare(nbgrader_scores: Mapping[str, float | None], verdicts: Mapping) -> list[dict]:
    """One flag for each exercise on which the two differ; both numbers are in it.

    ``nbgrader_scores``: points by exercise or by the check cell's id (``check-NAME``).
    ``verdicts``: what ``decide`` returned. A flag holds ``exercise``, ``nbgrader``, ``decided``
    (None where there is no score), ``reason`` and ``detail``. No score is changed: a person decides.
    """
    scores = {name.removeprefix("check-"): points for name, points in nbgrader_scores.items()}
    exercises = verdicts["exercises"]
    flags = []
    for name in [*exercises, *(name for name in scores if name not in exercises)]:
        theirs = scores.get(name)
        ours = exercises[name]["earned"] if name in exercises else None
        if theirs is not None and ours is not None and abs(theirs - ours) <= ROOM:
            continue
        reason, detail = _why(theirs, ours, exercises.get(name, {}))
        flags.append(
            {
                "exercise": name,
                "nbgrader": theirs,
                "decided": ours,
                "reason": reason,
                "detail": detail,
            }
        )
    return flags


def _why(theirs: float | None, ours: float | None, exercise: Mapping) -> tuple[str, str]:
    if ours is None:
        why = exercise.get("message") or ""
        return "undecided", f"It is scored by nbgrader and has no verdict outside. {why}".strip()
    if theirs is None:
        return "unscored", "It has a verdict and no score from nbgrader."
    if theirs > ours:
        said = exercise.get("message") or "no message"
        return "higher inside", f"nbgrader gave more than was decided outside, which says: {said}"
    return "lower inside", (
        "nbgrader gave less than was decided outside: an error or stderr in the check cell, a cell "
        "past its time, or code that tells the two apart."
    )
