"""The learning rate of fast geometric ensembling, read at every step of whole cycles."""

from __future__ import annotations

import numpy as np
import torch

from flatlab.checks.answers import array, compare
from flatlab.checks.chapter04.refusals import refusal, refusal_verdict
from flatlab.checks.core import Exercise

fge_learning_rate = Exercise(
    "fge_learning_rate",
    remaining=("a cycle of two steps", "a step far into training", "a cycle without a middle"),
)

HINTS = (
    (
        "ValueError",
        "Refuse an odd cycle, or one below 2, and nothing else: low and high may be the same.",
    ),
    ("ZeroDivisionError", "t = (step % cycle + 1) / cycle; nothing else is divided by."),
    ("not callable", "Python needs a * between a number and a parenthesis."),
    ("local variable", "Which branch does t = 1/2 take? One of the two must have it."),
)


def right_cycle(steps: np.ndarray, cycle: int, low: float, high: float) -> np.ndarray:
    """The rate at each of ``steps``, from a table of one cycle: straight down, then straight up."""
    half = cycle // 2
    down = np.linspace(high, low, half + 1)[1:]
    table = np.concatenate([down, np.linspace(low, high, half + 1)[1:]])
    return np.array([table[int(step) % cycle] for step in steps])


def cycle_mistakes(steps: np.ndarray, cycle: int, low: float, high: float) -> list[tuple]:
    """What wrong schedules give, and what each got wrong."""
    place, gap = steps % cycle, high - low
    right = right_cycle(steps, cycle, low, high)
    t = (place + 1) / cycle
    falling, rising = (1 - 2 * t) * high + 2 * t * low, (2 - 2 * t) * low + (2 * t - 1) * high
    last = right_cycle(np.array([cycle - 1]), cycle, low, high)
    behind = "It is a step behind: step 0 has t = 1/cycle. Is the + 1 missing, or is step counted from 1?"
    free = (steps + 1) / cycle
    beyond = np.where(
        free <= 0.5,
        (1 - 2 * free) * high + 2 * free * low,
        (2 - 2 * free) * low + (2 * free - 1) * high,
    )
    return [
        (low + gap * np.abs(1 - 2 * place / cycle), behind),
        (
            right_cycle(steps - 2, cycle, low, high),
            "It is two steps behind: steps are counted from 0, so t = (step % cycle + 1) / cycle.",
        ),
        (
            right_cycle(steps + 1, cycle, low, high),
            "It is a step ahead: t = (step % cycle + 1) / cycle. Is 1 added twice?",
        ),
        (
            low + high - right,
            "low and high are exchanged: it comes from high, and is at low in the cycle's middle.",
        ),
        (
            low + gap * np.abs(1 - 2 * (steps % (cycle + 1)) / cycle),
            "Its cycle has cycle + 1 steps: (step % cycle + 1), not step % (cycle + 1).",
        ),
        (
            np.where(t <= 0.5, falling, (1 - 2 * t) * low + 2 * t * high),
            "Behind the middle it goes above high: there 2t - 1 runs from 0 to 1, not 2t.",
        ),
        (
            np.full(len(steps), high),
            "Every step has the rate high. Is t a whole number, by // instead of /?",
        ),
        (np.full(len(steps), low), "Every step has the rate low."),
        (np.where(steps < cycle, right, last), "It cycles once, and stays where it is then."),
        (
            beyond,
            "It leaves the range from low to high after the first cycle: step % cycle starts again.",
        ),
        (falling, "It falls on below low: the second half of the cycle goes back up to high."),
        (
            rising,
            "The formula of the second half is used for all t: the first half comes down from high.",
        ),
        (
            np.where(t <= 0.5, rising, falling),
            "Each half has the other's formula: is the comparison with 1/2 turned around?",
        ),
        (
            np.where(t <= 0.5, falling, high + low - rising),
            "In the middle it jumps to high and falls once more: the second half goes back up.",
        ),
        (high - gap * t, "It falls for a whole cycle and jumps up: low is reached at t = 1/2."),
        (
            low + gap * t,
            "It rises for a whole cycle and jumps down: it comes down from high to low at t = 1/2, and back.",
        ),
        (
            high - gap * (1 - np.abs(1 - 2 * t)) / 2,
            "It turns halfway between high and low: at t = 1/2 it must be low.",
        ),
        (
            low + high * np.abs(1 - 2 * t),
            "It falls by the whole of high: from high to low it is high - low.",
        ),
        (high * np.abs(1 - 2 * t), "low is missing: it falls to 0."),
        (
            low + gap * (1 + np.cos(2 * np.pi * t)) / 2,
            "It swings like a cosine; each half is a straight line.",
        ),
        (
            np.where(
                place + 1 / cycle <= 0.5,
                high + 2 * (place + 1 / cycle) * (low - high),
                low + (2 * (place + 1 / cycle) - 1) * gap,
            ),
            "step % cycle + 1 / cycle divides the 1 only: (step % cycle + 1) / cycle.",
        ),
        (
            low + gap * np.abs(1 - 2 * (place + 1 / cycle)),
            "step % cycle + 1 / cycle divides the 1 only: (step % cycle + 1) / cycle.",
        ),
        (
            np.where(t <= 0.5, falling, (2 - 2 * t) * low + 2 * t - 1 * high),
            "In the second half 2 * t - 1 * high lacks parentheses: (2t - 1) high.",
        ),
        (
            np.where(t <= 0.5, 1 - 2 * t * high + 2 * t * low, rising),
            "In the first half 1 - 2 * t * high lacks parentheses: (1 - 2t) high.",
        ),
        (
            np.where(t <= 0.5, falling, low + gap * t),
            "Behind the middle it jumps: the second half starts at low, and 2t - 1 runs from 0 to 1.",
        ),
        (
            right / high,
            "It is divided by high: the learning rate itself is asked for, not a factor.",
        ),
        (
            low * (high / low) ** np.abs(1 - 2 * t),
            "It goes down in powers; each half is a straight line in the rate itself.",
        ),
    ]


class Cycles:
    """Not a check by itself: a subclass says which cycle."""

    hints = HINTS
    cycle = 6
    first = 0

    def draw(self, generator):
        low, gap = (0.5 + torch.rand(2, generator=generator, dtype=torch.float64)).tolist()
        steps = torch.arange(self.first, self.first + 3 * self.cycle)
        return {"steps": steps, "low": 0.01 * low, "high": 0.01 * low + 0.1 * gap}

    def call(self, student, inputs):
        low, high = inputs["low"], inputs["high"]
        values = [student(int(i), self.cycle, low, high) for i in inputs["steps"]]
        return {"values": [array(value, ()) for value in values]}

    def verdict(self, inputs, outputs):
        low, high, steps = inputs["low"], inputs["high"], np.asarray(inputs["steps"])
        got = np.array([float(value) for value in outputs["values"]])
        right = right_cycle(steps, self.cycle, low, high)
        mistakes = cycle_mistakes(steps, self.cycle, low, high)
        message = compare(got, right, 1e-5, mistakes, "different")
        if message != "different":
            return message
        k = int(np.abs(got - right).argmax())
        return (
            f"For cycle = {self.cycle}, low = {low:.3g}, high = {high:.3g} step {int(steps[k])} has the rate "
            f"{right[k]:.4g}; yours is {got[k]:.4g}."
        )


@fge_learning_rate.check("three cycles of eight steps")
class Eight(Cycles):
    cycle = 8


@fge_learning_rate.check("where high and low are reached")
class Turns:
    hints = HINTS

    def draw(self, generator):
        return {"cycles": [4, 6, 10, 20], "low": 0.02, "high": 0.3}

    def call(self, student, inputs):
        low, high, found = inputs["low"], inputs["high"], []
        for cycle in inputs["cycles"]:
            places = (int(cycle) // 2 - 1, int(cycle) - 1)
            rates = [array(student(i, int(cycle), low, high), ()) for i in places]
            found.append(np.array(rates))
        return {"found": found, "level": array(student(2, 8, high, high), ())}

    def verdict(self, inputs, outputs):
        for cycle, (middle, end) in zip(inputs["cycles"], outputs["found"], strict=True):
            if not abs(middle - inputs["low"]) < 1e-6:
                return (
                    f"In a cycle of {cycle} steps the one with t = 1/2, step {cycle // 2 - 1}, has the rate "
                    f"{float(middle):.4g}; it is low, {inputs['low']}."
                )
            if not abs(end - inputs["high"]) < 1e-6:
                return (
                    f"In a cycle of {cycle} steps the last, step {cycle - 1}, has the rate "
                    f"{float(end):.4g}; it "
                    f"is high, {inputs['high']}."
                )
        level, high = float(outputs["level"]), inputs["high"]
        if not abs(level - high) < 1e-6:
            return f"With low = high = {high} every rate is {high}; yours is {level:.4g}."
        return None


class NoMiddle:
    """Not a check by itself: cycles that have no middle."""

    def draw(self, generator):
        return {"cycles": [5, 1, 0, -4]}

    def call(self, student, inputs):
        return {"raised": [refusal(student, 3, int(c), 0.01, 0.1) for c in inputs["cycles"]]}

    def verdict(self, inputs, outputs):
        for cycle, raised in zip(inputs["cycles"], outputs["raised"], strict=True):
            if message := refusal_verdict(raised, f"cycle = {cycle}"):
                return message
        return None
