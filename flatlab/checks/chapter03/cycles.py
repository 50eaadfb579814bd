"""Cyclic schedules: whole cycles, read at every step."""

import numpy as np
import torch

from flatlab.checks.answers import NO_ASSERT, array, compare
from flatlab.checks.core import Exercise

cyclic_schedule = Exercise(
    "cyclic_schedule",
    remaining=("an odd period", "a step far into training", "a shape that is neither"),
)


def right_cycle(shape: str, steps: np.ndarray, period: int, low: float, high: float) -> np.ndarray:
    """The schedule at each of ``steps``, from a table of one period."""
    if shape == "discrete":
        table = [high] * (period // 2) + [low] * (period - period // 2)
    else:
        rise = np.minimum(np.arange(period), period - np.arange(period)) / (period / 2)
        table = low + (high - low) * rise
    return np.array([table[int(step) % period] for step in steps])


def cycle_mistakes(
    shape: str, steps: np.ndarray, period: int, low: float, high: float
) -> list[tuple]:
    """What wrong schedules give, and what each got wrong."""
    place, gap = steps % period, high - low
    right = right_cycle(shape, steps, period, low, high)
    once = np.where(
        steps < period, right, right_cycle(shape, np.array([period - 1]), period, low, high)
    )
    shared = [
        (low + high - right, EXCHANGED[shape]),
        (
            right_cycle(shape, steps + 1, period, low, high),
            "It is one step ahead: step counts from 0.",
        ),
        (
            right_cycle(shape, steps - 1, period, low, high),
            "It is one step behind: step counts from 0.",
        ),
        (np.full(len(steps), right[0]), "Every step has the same value."),
        (once, "It cycles once, and stays where it is then: step % period starts again."),
    ]
    if shape == "discrete":
        return [
            *shared,
            (
                np.where(place < period - period // 2, high, low),
                "Of an odd period the longer part is low: period // 2 steps are high.",
            ),
            (
                np.where(steps // period % 2 == 0, high, low),
                "A whole period is high, the next one low: a period holds both, one half each.",
            ),
            (np.where(steps // period % 2 == 0, low, high), "A period holds both, one half each."),
            (
                np.where(place <= period // 2, high, low),
                "One step too many is high: steps are counted from 0, so use <, not <=.",
            ),
            (np.where(steps % 2 == 0, high, low), "It changes in every step: the period is lost."),
        ]
    saw = low + gap * place / period
    return [
        *shared,
        (saw, "It rises for a whole period and jumps down: high is reached at period / 2."),
        (
            low + gap * place / (period - 1),
            "It rises for a whole period and jumps down: high is reached at period / 2.",
        ),
        (high - gap * place / period, "It falls for a whole period and jumps up."),
        (
            low + gap * np.minimum(place, period - place) / period,
            "It turns halfway between low and high: the rise takes half a period.",
        ),
        (
            low + gap * 2 * np.minimum(place, period - 1 - place) / period,
            "It never reaches high, and is low twice: at place t of the cycle the way back is period - t.",
        ),
        (
            low + gap * 2 * place / period,
            "It rises on after period / 2, above high: the second half goes back.",
        ),
        (
            low + gap * (1 - np.abs(2 * steps / period - 1)),
            "It falls on below low after the first cycle: step % period starts again.",
        ),
        (right - low, "low is missing: it starts at 0."),
        (
            low + high * (right - low) / gap,
            "It rises by high; from low to high it is high - low.",
        ),
        (
            low + gap * np.minimum(place, period - place) / (period // 2),
            "Of an odd period the middle lies between two steps: period / 2, not period // 2.",
        ),
        (
            right_cycle("discrete", steps, period, low, high),
            "For 'triangle' it gives the discrete cycle.",
        ),
        (
            low + gap * (1 + np.cos(np.pi + 2 * np.pi * place / period)) / 2,
            "It swings like a cosine; a triangle has straight sides.",
        ),
    ]


EXCHANGED = {
    "discrete": "low and high are exchanged: the first half of each period is high.",
    "triangle": "low and high are exchanged: each period starts at low and reaches high in its middle.",
}


class OneShape:
    """Not a check by itself: a subclass says which shape."""

    hints = (
        (
            "KeyError",
            "A shape that is neither gets a ValueError, and a KeyError is none: ask first.",
        ),
        (
            "UnboundLocalError",
            "No branch set it for this shape. What is neither shape needs an `else` that raises ValueError.",
        ),
        NO_ASSERT,
    )
    shape = "discrete"
    period = 6
    first = 0

    def draw(self, generator):
        low, gap = (0.5 + torch.rand(2, generator=generator, dtype=torch.float64)).tolist()
        steps = torch.arange(self.first, self.first + 3 * self.period)
        return {"steps": steps, "low": 0.1 * low, "high": 0.1 * low + gap}

    def call(self, student, inputs):
        low, high = inputs["low"], inputs["high"]
        values = [student(int(t), self.period, low, high, self.shape) for t in inputs["steps"]]
        return {"values": [array(value, ()) for value in values]}

    def verdict(self, inputs, outputs):
        low, high, steps = inputs["low"], inputs["high"], np.array(inputs["steps"])
        got = np.array(outputs["values"], dtype=float)
        right = right_cycle(self.shape, steps, self.period, low, high)
        mistakes = cycle_mistakes(self.shape, steps, self.period, low, high)
        message = compare(got, right, 1e-5, mistakes, "different")
        if message != "different":
            return message
        k = int(np.abs(got - right).argmax())
        return (
            f"For period {self.period}, low = {low:.3g}, high = {high:.3g} and {self.shape!r}, step "
            f"{int(steps[k])} has {right[k]:.3g}; yours is {got[k]:.3g}."
        )


@cyclic_schedule.check("three discrete cycles")
class Discrete(OneShape):
    pass


@cyclic_schedule.check("three triangles")
class Triangle(OneShape):
    shape = "triangle"
    period = 8
