"""The barrier on the line between two networks."""

from __future__ import annotations

import numpy as np
import torch

from flatlab.checks.answers import array, compare
from flatlab.checks.core import Exercise
from flatlab.checks.toys import normal

barrier = Exercise(
    "barrier",
    remaining=("no barrier: a loss that sags", "a loss that is NaN", "the two ends alone"),
)

HINTS = (
    ("must match the size of tensor", "s has as many entries as losses: one for each point."),
    ("ZeroDivisionError", "s = i / (m - 1), where m is the number of losses."),
    ("linspace", "torch.linspace(0, 1, m) takes the number of points, len(losses)."),
    ("ambiguous", "max of Python compares one by one; torch.max, or .max(), takes a tensor."),
    ("0-d tensor", "losses holds m losses, one for each point of the line."),
)

DIP = (
    "The absolute value is taken, so that a dip counts as a barrier: take the maximum of loss minus "
    "line."
)
INSIDE = (
    "A barrier is never negative: the two ends belong to the points, and there loss and line agree."
)


def chord(losses: np.ndarray) -> np.ndarray:
    """The straight line between the losses at the ends, at each point."""
    s = np.arange(len(losses)) / (len(losses) - 1)
    return (1 - s) * losses[0] + s * losses[-1]


def height(losses: np.ndarray) -> float:
    """max_i L_i - ((1 - s_i) L_first + s_i L_last) (Entezari et al., 2022, definition 2.1)."""
    return float((losses - chord(losses)).max())


def height_mistakes(losses: np.ndarray) -> list[tuple]:
    """What wrong barriers equal, and what was done."""
    m, first, last, top = len(losses), losses[0], losses[-1], losses.max()
    above, peak = losses - chord(losses), int(losses.argmax())
    i = np.arange(m)
    backwards = losses - chord(losses)[::-1]
    wrong = [
        (top, "This is the highest loss itself: what is it above?"),
        (
            top - max(first, last),
            (
                "This is the highest loss above one end, the higher one. The barrier is counted from "
                "the straight line "
                "between the two end losses."
            ),
        ),
        (
            top - min(first, last),
            (
                "This is the highest loss above one end, the lower one. The barrier is counted from "
                "the straight line "
                "between the two end losses."
            ),
        ),
        (
            top - (first + last) / 2,
            (
                "This is the highest loss above the mean of the two ends. At each point the loss is "
                "compared with "
                "the straight line there."
            ),
        ),
        (top - losses.mean(), "The mean of all losses is subtracted."),
        (top - np.median(losses), "The median of all losses is subtracted."),
        (top - losses.min(), "The lowest loss is subtracted, wherever it is."),
        (
            above[peak],
            (
                "It looks where the loss is highest. The barrier is where loss minus line is highest: subtract "
                "first, then take the maximum."
            ),
        ),
        (above[m // 2], "It looks at the midpoint only: the maximum runs over all points."),
        *([(above[1:-1].max(), INSIDE)] if m > 2 else []),
        (
            (losses - ((1 - (i / m - 1)) * first + (i / m - 1) * last)).max(),
            "s is i / m - 1: the division comes first. i / (m - 1).",
        ),
        (above.sum(), "The heights are added up: take their maximum."),
        (above.mean(), "The heights are averaged: take their maximum."),
        (above.argmax(), "This is the place of the maximum, not its height: max, not argmax."),
        (
            above.argmax() / (m - 1),
            "This is the place of the maximum, not its height: max, not argmax.",
        ),
        (np.abs(above).max(), DIP),
        (-height(losses), "The sign is turned: loss minus line."),
        ((-above).max(), "The sign is turned: loss minus line, not line minus loss."),
        (
            backwards.max(),
            "The ends of the straight line are exchanged: s = 0 belongs to the first loss.",
        ),
        (
            (losses - (first + (last - first) * i / m)).max(),
            "s does not reach 1 at the last point: s_i = i / (m - 1).",
        ),
        (
            (losses - (first + (last - first) * (i + 1) / m)).max(),
            "s does not begin at 0: s_i = i / (m - 1).",
        ),
        (
            height(losses) / max(first, last),
            "It is divided by a loss at an end: a barrier is in units of the loss.",
        ),
        (
            height(losses) / ((first + last) / 2),
            "It is divided by the mean loss of the ends: a barrier is in units of the loss.",
        ),
        (
            (losses - first - last).max(),
            "Both end losses are subtracted in full, without their shares.",
        ),
        (
            (losses - (1 - i / (m - 1)) * first + i / (m - 1) * last).max(),
            "The share of the last loss is added: losses - (... + ...) needs its parentheses.",
        ),
    ]
    return [(float(value), message) for value, message in wrong]


@barrier.check("a wall between ends of unlike height")
class Wall:
    hints = HINTS
    measured = ("after",)

    def draw(self, generator):
        """Two humps and a dip: the highest loss near the higher end, the barrier near the lower one."""
        a, b, c = (0.1 * torch.rand(3, generator=generator, dtype=torch.float64)).tolist()
        losses = [2.3 + a, 2.9 + b, 4.8 + a, 2.7 - b, 3.1 + c, 1.8, 4.9 + a + b, 5.6 + c, 4.05 + b]
        return {"losses": losses}

    def call(self, student, inputs):
        losses = torch.tensor(inputs["losses"], dtype=torch.float64)
        return {"barrier": array(student(losses), ()), "after": losses}

    def verdict(self, inputs, outputs):
        losses = np.asarray(inputs["losses"], dtype=float)
        told = ", ".join(f"{loss:.3g}" for loss in losses)
        wrong = compare(
            outputs["barrier"],
            height(losses),
            1e-5,
            height_mistakes(losses),
            f"For the losses {told} the barrier is {{expected}}; yours is {{got}}.",
        )
        if wrong is None and not np.array_equal(outputs["after"], losses):
            return (
                "The losses that were passed in have changed: `-=` writes into the caller's tensor."
            )
        return wrong


@barrier.check("losses drawn at random, and their mirror image")
class Mirrored:
    hints = HINTS

    def draw(self, generator):
        """Around 6, with a dip that is deeper than the barrier is high."""
        losses = 6 + normal(generator, 12).abs()
        losses[5] -= 5.5
        return {"losses": losses, "shift": 5.0}

    def call(self, student, inputs):
        losses = torch.tensor(inputs["losses"])
        found = [losses.clone(), losses.flip(0), losses + inputs["shift"]]
        return {"barriers": [array(student(each), ()) for each in found]}

    def verdict(self, inputs, outputs):
        losses = np.asarray(inputs["losses"])
        forward, backward, lifted = (float(value) for value in outputs["barriers"])
        if not abs(forward - backward) < 1e-4:
            return (
                f"From the first network to the second the barrier is {forward:.4g}, on the way back "
                f"{backward:.4g}: both ways have the same one."
            )
        if not abs(forward - lifted) < 1e-4:
            return (
                f"With {inputs['shift']:g} added to every loss the barrier goes from {forward:.4g} to "
                f"{lifted:.4g}: only differences of losses should enter."
            )
        dip = float(np.abs(losses - chord(losses)).max())
        return compare(
            forward,
            height(losses),
            1e-4,
            [(dip, DIP)],
            "The barrier of 12 losses is {expected}; yours is {got}.",
        )
