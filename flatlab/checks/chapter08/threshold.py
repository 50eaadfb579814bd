"""The count of features from which on the training risk is zero: measured, in any order."""

from __future__ import annotations

import math

import numpy as np
import torch

from flatlab.checks.answers import array
from flatlab.checks.core import Exercise, WrongAnswer

interpolation_threshold = Exercise(
    "interpolation_threshold",
    remaining=("a risk equal to the tolerance", "a risk that is NaN", "a single count"),
)

NOTHING = "None"
EMPTY = "No count may be left, where the curve never gets there: ask for that first, return None."
HINTS = (
    ("numel() == 0", EMPTY),
    ("empty", EMPTY),
    ("out of range", EMPTY),
    ("out of bounds", EMPTY),
    ("StopIteration", EMPTY),
    (
        "NoneType",
        "Where nothing was found there is None, which cannot be compared or computed with.",
    ),
    (
        "ambiguous",
        (
            "A comparison of tensors gives one answer for each entry: go through the entries, or use the "
            "comparison as an index."
        ),
    ),
)


def threshold(counts: np.ndarray, risks: np.ndarray, tolerance: float) -> float | None:
    """The smallest count so that at it and all larger ones the risk is at most the tolerance."""
    above = counts[~(risks <= tolerance)]  # NaN is not at most anything
    fitting = counts[counts > above.max()] if above.size else counts
    return float(fitting.min()) if fitting.size else None


def threshold_mistakes(counts: np.ndarray, risks: np.ndarray, tolerance: float) -> list[tuple]:
    """What wrong thresholds equal, and what was done; None stands for None."""
    order = np.argsort(counts)
    c, fits = counts[order], risks[order] <= tolerance
    right = threshold(counts, risks, tolerance)
    above = c[~fits]
    wrong = []
    if fits.any():
        first = c[fits][0]
        later = above[above > first]
        if later.size:
            wrong.append(
                (
                    first,
                    (
                        f"At {first:g} features the training risk is at most {tolerance:g}, but at "
                        f"{later[0]:g} it is above again. From the threshold on it stays below."
                    ),
                )
            )
    strict = threshold(counts, np.where(risks == tolerance, np.inf, risks), tolerance)
    wrong.append((strict, "A risk equal to the tolerance is at most the tolerance: `<=`, not `<`."))
    listed = risks <= tolerance
    if listed.any() and not np.array_equal(order, np.arange(len(order))):
        message = (
            "It takes the order in the list for that of the counts: they come in any order. Sort both, "
            "or compare counts."
        )
        wrong.append((counts[listed][0], message))
        last = np.flatnonzero(~listed)
        tail = counts[last[-1] + 1 :] if last.size else counts
        wrong.append((tail[0] if tail.size else None, message))
        wrong += [(np.sort(counts)[place], message) for place in _places(listed)]
        wrong += [(counts[place], message) for place in _places(fits)]
    if above.size:
        wrong.append(
            (
                above.max(),
                (
                    "This is the largest count whose risk is still above the tolerance: the threshold is the "
                    "next one."
                ),
            )
        )
        wrong.append((above.min(), "This is the smallest count whose risk is above the tolerance."))
    finite = np.where(np.isnan(risks), np.inf, risks)
    wrong.append(
        (
            counts[finite.argmin()],
            (
                "This is the count with the lowest training risk: the threshold is the smallest count from "
                "which on the risk is at most the tolerance."
            ),
        )
    )
    if right is not None:
        wrong.append(
            (
                risks[counts == right][0],
                "This is a training risk: return the count that it belongs to.",
            )
        )
        for place in (int(np.flatnonzero(c == right)[0]), int(np.flatnonzero(counts == right)[0])):
            wrong.append(
                (place, "This is the place in the list: return the count that stands there.")
            )
    return [(value, message) for value, message in wrong if value != right]


def _places(fits: np.ndarray) -> list[int]:
    """Where in a list of verdicts the first fit stands, and where the last run of fits begins."""
    last = np.flatnonzero(~fits)
    begin = int(last[-1]) + 1 if last.size else 0
    return [int(np.flatnonzero(fits)[0]), *([begin] if begin < len(fits) else [])]


def threshold_verdict(
    counts: np.ndarray, risks: np.ndarray, tolerance: float, got: float | str
) -> str | None:
    """None where ``got`` is the threshold, else the likely cause."""
    right = threshold(counts, risks, tolerance)
    if right is None:
        return _never(counts, got)
    if got == NOTHING:
        return (
            f"It returned None, which is for curves that never get there. From {right:g} features on this "
            f"one is at most {tolerance:g}. Is a return statement missing?"
        )
    if got == right:
        return None
    for value, message in threshold_mistakes(counts, risks, tolerance):
        if value is not None and got == value:
            return message
    return f"From {right:g} features on every training risk is at most {tolerance:g}; it returned {got:g}."


def _never(counts: np.ndarray, got: float | str) -> str | None:
    """The verdict on a curve without a threshold."""
    if got == NOTHING:
        return None
    if np.isnan(got):
        return "Where the curve never gets there it returned NaN: return None."
    if got in (-1, 0):
        return (
            f"Where the curve never gets there it returned {got:g}, with which one can go on computing as if "
            "it were a count: return None."
        )
    if np.isinf(got):
        return "Where the curve never gets there it returned an infinite number: return None."
    if got in (counts[0], counts.min()) and got != counts.max():
        return (
            f"Where the curve never gets there it returned the first count, {got:g}, as argmax does over a "
            "list without any True. Ask first whether there is one, and return None."
        )
    return (
        f"With the largest number of features, {counts.max():g}, the training risk is above the tolerance: "
        f"no count is followed by fits only. It returned {got:g}; return None."
    )


def read_count(value: object) -> float:
    """A count; 0 for None, which is said apart: outputs keep one form, whatever was found."""
    if value is None:
        return 0.0
    if isinstance(value, torch.Tensor | np.ndarray) and math.prod(value.shape) != 1:
        raise WrongAnswer(
            f"It returned {math.prod(value.shape)} numbers: one count is asked for, or None."
        )
    return float(array(value, ()))


class Curve:
    """Not a check by itself: a subclass says which risks, and in which order they are listed."""

    hints = HINTS
    measured = ("after",)
    tolerance = 0.01
    risks = (1.31, 0.62, 0.2, 0.004, 0.002, 0.0003)
    order = None

    def draw(self, generator):
        steps = torch.randint(10, 60, (len(self.risks),), generator=generator)
        place = list(self.order or range(len(self.risks)))
        risks = torch.tensor(self.risks, dtype=torch.float64)
        counts = 20 + steps.cumsum(0)
        return {"counts": counts[place], "risks": risks[place], "tolerance": self.tolerance}

    def call(self, student, inputs):
        counts, risks = torch.tensor(inputs["counts"]), torch.tensor(inputs["risks"])
        found = student(counts, risks, float(inputs["tolerance"]))
        return {"found": read_count(found), "none": found is None, "after": [counts, risks]}

    def verdict(self, inputs, outputs):
        counts, risks = np.asarray(inputs["counts"]), np.asarray(inputs["risks"])
        for name, before, after in zip(
            ("counts", "train_risks"), (counts, risks), outputs["after"], strict=True
        ):
            if not np.array_equal(before, after, equal_nan=True):
                return (
                    f"It writes into the caller's {name}: an assignment to entries changes a tensor in "
                    "place. Work on a copy."
                )
        got = NOTHING if outputs["none"] else float(outputs["found"])
        return threshold_verdict(counts, risks, float(inputs["tolerance"]), got)


@interpolation_threshold.check("a curve that comes down once")
class ComesDown(Curve):
    pass


@interpolation_threshold.check("a curve that dips too early")
class Dips(Curve):
    risks = (1.31, 0.62, 0.008, 0.007, 0.02, 0.006, 0.001, 0.0005)


@interpolation_threshold.check("a curve that never gets there")
class Never(Curve):
    risks = (1.31, 0.62, 0.11, 0.2, 0.4)


@interpolation_threshold.check("counts in any order")
class AnyOrder(Curve):
    risks = (1.31, 0.003, 0.62, 0.2, 0.006, 0.001, 0.0005)
    order = (1, 6, 4, 3, 0, 2, 5)
