"""Points of the chain and of the Bezier curve."""

from __future__ import annotations

import numpy as np
import torch

from flatlab.checks.answers import array, compare
from flatlab.checks.chapter04.refusals import refusal, refusal_verdict
from flatlab.checks.chapter06.formulas import WRONG_CHAINS, WRONG_PARABOLAS, chain, parabola
from flatlab.checks.core import Exercise, WrongAnswer
from flatlab.checks.toys import normal

polychain = Exercise(
    "polychain",
    remaining=("weights of any shape", "the bend itself, t = 1/2", "a t outside [0, 1]"),
)
bezier = Exercise(
    "bezier",
    remaining=("weights of any shape", "three points that coincide", "a t outside [0, 1]"),
)

TS = (0.06, 0.2, 0.37, 0.48, 0.55, 0.71, 0.83, 0.96)
NAMES = ("w1", "theta", "w2")
HINTS = (
    ("ValueError", "Every t in [0, 1] has a point on the curve, the ends 0 and 1 too."),
    (
        "'float' object is not callable",
        "Python needs a * between a number and a parenthesis: 2 * (...), not 2(...).",
    ),
    (
        "'Tensor' object is not callable",
        "Python needs a * before a parenthesis: theta * (...), not theta(...).",
    ),
    ("bitwise_xor", "In Python ^ is no power: write **."),
    ("for ^", "In Python ^ is no power: write **."),
    (
        "referenced before assignment",
        "Which branch does t = 1/2 take? One of the two must have it.",
    ),
    (
        "cannot access local variable",
        "Which branch does t = 1/2 take? One of the two must have it.",
    ),
)


def drawn(generator: torch.Generator, *shape: int) -> dict:
    """Two networks and a bend that lies nowhere near the line between them."""
    return {name: normal(generator, *shape) for name in NAMES}


def tensors(inputs: dict) -> list[torch.Tensor]:
    return [torch.tensor(inputs[name]) for name in NAMES]


def vector(value: object, shape: tuple[int, ...]) -> np.ndarray:
    """A returned tensor as an array; a list of numbers would not do in the experiments."""
    if value is not None and not isinstance(value, torch.Tensor):
        raise WrongAnswer(
            f"It returned a {type(value).__name__}: a tensor of shape {shape} is needed."
        )
    return array(value, shape)


class AlongCurve:
    """Not a check by itself: a subclass says which curve."""

    hints = HINTS
    ts = TS

    def draw(self, generator):
        return {"ts": list(self.ts), **drawn(generator, 5)}

    def call(self, student, inputs):
        shape = np.shape(inputs["w1"])
        points = [vector(student(t, *tensors(inputs)), shape) for t in inputs["ts"]]
        return {"points": points}

    def verdict(self, inputs, outputs):
        weights = [np.asarray(inputs[name]) for name in NAMES]

        def at(curve):
            return [curve(t, *weights) for t in inputs["ts"]]

        got, right = list(outputs["points"]), at(self.right)
        wrong = [(at(curve), message) for curve, message in self.mistakes]
        message = compare(got, right, 1e-5, wrong, "elsewhere")
        if message != "elsewhere":
            return message
        far = [float(np.abs(g - r).max()) for g, r in zip(got, right)]
        k = int(np.argmax(far))
        ends = "between w1 and theta" if inputs["ts"][k] <= 0.5 else "between theta and w2"
        if self.right is parabola:
            ends = "on the curve"
        return (
            f"At t = {inputs['ts'][k]:g} the point {ends} is off by up to {far[k]:.3g} in a weight. "
            f"{sum(value > 1e-5 for value in far)} of the {len(far)} values of t give a wrong point."
        )


class EndsAndInputs:
    """Not a check by itself: the curve starts at w1, ends at w2, and hands out new tensors."""

    hints = HINTS
    measured = ("called", "after")

    def draw(self, generator):
        return {"ts": [0.0, 0.3, 0.5, 0.8, 1.0], **drawn(generator, 4)}

    def call(self, student, inputs):
        ends, called, after = [], [], []
        for t in inputs["ts"]:
            weights = tensors(inputs)
            point = student(t, *weights)
            if t in (0, 1):
                ends.append(vector(point, (4,)))
            called.append(torch.stack(weights))
            if isinstance(point, torch.Tensor):
                point.detach().add_(1)  # so that a shared tensor shows itself
            after.append(torch.stack(weights))
        return {"ends": ends, "called": called, "after": after}

    def verdict(self, inputs, outputs):
        for t, name, end in zip((0, 1), ("w1", "w2"), outputs["ends"], strict=True):
            if not np.allclose(end, inputs[name], rtol=1e-5, atol=1e-6):
                return f"At t = {t} the curve is not at {name}."
        for t, called in zip(inputs["ts"], outputs["called"], strict=True):
            for k, name in enumerate(NAMES):
                if not np.array_equal(called[k], inputs[name]):
                    return (
                        f"At t = {t:g} the {name} that was passed in has changed: `*=` and `+=` write into "
                        "the caller's tensor."
                    )
        for t, later in zip(inputs["ts"], outputs["after"], strict=True):
            for k, name in enumerate(NAMES):
                if not np.array_equal(later[k], inputs[name]):
                    return (
                        f"At t = {t:g} it returns {name} itself, so that whoever changes the point changes "
                        f"{name}. Return a new tensor, such as {name}.clone()."
                    )
        return None


class Outside:
    """Not a check by itself: a t that the curve does not have."""

    def draw(self, generator):
        return {"ts": [-0.1, 1.2], **drawn(generator, 3)}

    def call(self, student, inputs):
        return {"raised": [refusal(student, t, *tensors(inputs)) for t in inputs["ts"]]}

    def verdict(self, inputs, outputs):
        for t, raised in zip(inputs["ts"], outputs["raised"], strict=True):
            if message := refusal_verdict(raised, f"t = {t:g}"):
                return message
        return None


@polychain.check("points of both segments")
class AlongChain(AlongCurve):
    right, mistakes = staticmethod(chain), WRONG_CHAINS


@polychain.check("its ends, and new tensors")
class ChainEnds(EndsAndInputs):
    pass


@bezier.check("points along the curve")
class AlongBezier(AlongCurve):
    right, mistakes = staticmethod(parabola), WRONG_PARABOLAS


@bezier.check("its ends, and new tensors")
class BezierEnds(EndsAndInputs):
    pass
