"""Epsilon-sharpness: the largest rise within a ball."""

import numpy as np
import torch

from flatlab.checks.answers import array, compare
from flatlab.checks.core import Exercise
from flatlab.checks.toys import ball_maximum, joined, leaves, normal, quadratic, symmetric

epsilon_sharpness = Exercise(
    "epsilon_sharpness",
    remaining=("a maximum inside the ball, not on its surface", "a flat loss, where it is 0"),
)


def sharpness_outputs(student, loss, params, epsilon: float, steps: int = 200) -> dict:
    before = [p.detach().clone() for p in params]
    value = array(student(loss, params, epsilon, steps), ())
    moved = max(float((p.detach() - b).abs().max()) for p, b in zip(params, before, strict=True))
    return {"value": value, "moved": moved, "has_grad": any(p.grad is not None for p in params)}


@epsilon_sharpness.check("the bottom of a bowl")
class Bowl:
    def draw(self, generator):
        curvatures = torch.tensor([8.0, 1.0, 0.5, 6.0, 2.0, 0.1], dtype=torch.float64)
        return {"a": curvatures, "w": normal(generator, 6), "offset": 1.5, "epsilon": 0.3}

    def call(self, student, inputs):
        w = torch.tensor(inputs["w"])  # away from 0: the ball is around w
        bowl = quadratic(np.diag(inputs["a"]), np.zeros(6), inputs["offset"])
        loss = lambda params: bowl([joined(params) - w.to(params[0].dtype)])
        params = leaves([w[:3], w[3:].reshape(3, 1)])
        return sharpness_outputs(student, loss, params, inputs["epsilon"])

    def verdict(self, inputs, outputs):
        half, level = 0.5 * inputs["epsilon"] ** 2, 1 + inputs["offset"]
        if np.isnan(outputs["value"]):
            return (
                "At the bottom of the bowl the gradient is 0, and 0/0 is NaN. Start from a small "
                "random step away from w."
            )
        if abs(outputs["value"]) < 1e-9:
            return (
                "At the bottom of the bowl it gives 0: there the gradient is 0 and ascent never "
                "leaves. Start from a small random step away from w."
            )
        return compare(
            outputs["value"],
            half * 8 / level,
            0.03,
            mistakes=[
                (half * 8, "The division by 1 + L(w) is missing."),
                (half * 8 / inputs["offset"], "It divides by L(w); the formula has 1 + L(w)."),
                (
                    half * 14 / level,
                    (
                        "Each tensor moved by epsilon on its own. The ball is around "
                        "all parameters together: one norm, over all tensors."
                    ),
                ),
                (
                    (half * 8 + inputs["offset"]) / level,
                    "This is L(w') / (1 + L(w)): the formula has the rise L(w') - L(w).",
                ),
                (half * 8 / (level + half * 8), "It divides by 1 + L(w') instead of 1 + L(w)."),
                (
                    inputs["epsilon"] * 8 / 2 / level,
                    (
                        "It grows with epsilon, not with its square: is a root of the summed "
                        "squares missing?"
                    ),
                ),
            ],
            otherwise="In a bowl of largest curvature 8, with L(w) = 1.5 and epsilon = 0.3, it is "
            "{expected}; yours is {got}." + too_low_or_high(outputs["value"], half * 8 / level),
        )


def too_low_or_high(got: float, expected: float) -> str:
    if got > expected:
        return " That is more than the maximum: did a point leave the ball? Is that around w, not around 0?"
    return (
        " That is too low: a better point is in the ball. Does each step go up the gradient? "
        "If so: more steps, or longer ones?"
    )


@epsilon_sharpness.check("on a slope")
class Slope:
    def draw(self, generator):
        a = symmetric(generator, [6.0, 3.0, 1.0, 0.5, 0.2])
        # Away from the steepest curvature, so that one step along the gradient is not the answer.
        along = torch.tensor([1.0, 1.0, 0.8, 0.8, 0.8]) * torch.sign(normal(generator, 5))
        b = torch.linalg.eigh(a).eigenvectors @ along.to(a.dtype)
        return {"A": a, "b": b, "epsilon": 0.6}

    def call(self, student, inputs):
        params = leaves([np.zeros(2), np.zeros((3, 1))])
        loss = quadratic(inputs["A"], inputs["b"], offset=1.0)
        return sharpness_outputs(student, loss, params, inputs["epsilon"])

    def verdict(self, inputs, outputs):
        a, b, epsilon = inputs["A"], inputs["b"], inputs["epsilon"]
        step = epsilon * b / np.linalg.norm(b)
        expected = ball_maximum(a, b, epsilon) / 2
        return compare(
            outputs["value"],
            expected,
            0.03,
            mistakes=[
                (
                    (b @ step + step @ a @ step / 2) / 2,
                    (
                        "This is the rise after a single step along "
                        "the gradient: repeat the ascent, it bends."
                    ),
                ),
                (
                    epsilon * np.linalg.norm(b) / 2,
                    (
                        "This is the linear estimate epsilon ||g||. "
                        "Evaluate the loss at the point you found."
                    ),
                ),
            ],
            otherwise="On a slope it is {expected}, yours is {got}."
            + too_low_or_high(outputs["value"], expected),
        )


@epsilon_sharpness.check("parameters restored")
class Restored:
    def draw(self, generator):
        curvatures = [4.0] + [1.0] * 59  # so many that rounding shows
        return {"A": symmetric(generator, curvatures), "w": normal(generator, 60)}

    def call(self, student, inputs):
        params = leaves([inputs["w"]])
        return sharpness_outputs(
            student, quadratic(inputs["A"], 0 * inputs["w"]), params, 0.3, steps=5
        )

    def verdict(self, inputs, outputs):
        if outputs["moved"] > 0:
            return (
                f"Afterwards the parameters have moved by {outputs['moved']:.2g}. Restore them "
                "from a copy, bit for bit; adding and subtracting the step leaves rounding."
            )
        if outputs["has_grad"]:
            return "Afterwards the parameters carry a .grad: use torch.autograd.grad instead."
        return None
