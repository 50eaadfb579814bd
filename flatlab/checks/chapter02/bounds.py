"""The two necessary bounds."""

import math
import warnings

import numpy as np
import torch

from flatlab.checks.answers import array, compare
from flatlab.checks.core import Exercise

sharpness_bound = Exercise("sharpness_bound", remaining=())
non_uniformity_bound = Exercise(
    "non_uniformity_bound",
    remaining=("batches of one sample", "all samples but one in a batch"),
)


def uniformity_limit(learning_rate: float, batch_size: int, n: int) -> float:
    """The s where eta^2 (n - B)/(B (n - 1)) s^2 = 1."""
    if batch_size == n:
        return math.inf
    return math.sqrt(batch_size * (n - 1) / (n - batch_size)) / learning_rate


@sharpness_bound.check("the largest curvature")
class LargestCurvature:
    def draw(self, generator):
        return {"rates": 10.0 ** -(3 * torch.rand(4, generator=generator, dtype=torch.float64))}

    def call(self, student, inputs):
        return {"bounds": [array(student(float(rate)), ()) for rate in inputs["rates"]]}

    def verdict(self, inputs, outputs):
        rates = inputs["rates"]
        return compare(
            outputs["bounds"],
            2 / rates,
            1e-5,
            mistakes=[
                (1 / rates, "At a = 1/eta one step lands on the minimum; a may be twice as large."),
                (rates / 2, "This is eta/2: solve |1 - eta a| <= 1 for a."),
                (2 * rates, "This is 2 eta: a larger learning rate must allow less sharpness."),
                (2 / rates**2, "It is divided by eta squared; a has the unit 1/eta."),
            ],
            otherwise="The largest a with (1 - eta a)^2 <= 1 is {expected} for four learning rates; "
            "yours is {got}.",
        )


@non_uniformity_bound.check("mini-batches")
class Bound:
    cases = ((0.5, 4, 1000), (0.1, 10, 50), (0.7, 3, 4))
    hints = (
        (
            "math domain error",
            "The root is of a negative number: below the line is (n - B), in parentheses.",
        ),
        ("ZeroDivisionError", "Is n - B below the line, and B = n asked for first?"),
    )

    def draw(self, generator):
        scale = 1 + torch.rand(len(self.cases), generator=generator, dtype=torch.float64)
        rates = [float(s) * case[0] for s, case in zip(scale, self.cases, strict=True)]
        return {"cases": [(r, b, n) for r, (_, b, n) in zip(rates, self.cases, strict=True)]}

    def call(self, student, inputs):
        return {"bounds": [array(student(*case), ()) for case in inputs["cases"]]}

    def verdict(self, inputs, outputs):
        cases = inputs["cases"]
        rate, b, n = (np.array(column, dtype=float) for column in zip(*cases, strict=True))
        ratio = b * (n - 1) / (n - b)
        right = [uniformity_limit(*case) for case in cases]
        if np.isinf(outputs["bounds"]).any():
            return "It is infinite for a batch smaller than n: only gradient descent is free of it."
        return compare(
            outputs["bounds"],
            right,
            1e-5,
            mistakes=[
                (ratio / rate**2, "This bounds s^2: take the root."),
                (ratio / rate, "The root of B(n-1)/(n-B) is missing."),
                (
                    np.sqrt(ratio / rate),
                    "1/eta stands under the root; it comes from eta^2, so it is 1/eta outside.",
                ),
                (
                    1 / np.sqrt(ratio) / rate,
                    "The fraction is upside down: smaller batches must allow less non-uniformity.",
                ),
                (
                    np.sqrt(b) / rate,
                    (
                        "sqrt(B)/eta is the bound when a sample can be drawn twice; a batch holds "
                        "different samples: B(n-1)/(n-B)."
                    ),
                ),
                (np.sqrt(ratio), "The factor 1/eta is missing."),
                (rate * np.sqrt(ratio), "It grows with eta; a larger learning rate allows less."),
                (np.sqrt(b * n / (n - b)) / rate, "It has B n where B (n - 1) belongs."),
                (np.sqrt((n - 1) / (n - b)) / rate, "The batch size B is missing above the line."),
                (
                    2 * np.sqrt(ratio) / rate,
                    "It is twice too large: the noise term alone is at most 1.",
                ),
            ],
            otherwise="The s at which the noise term alone is 1 is {expected}; yours is {got}.",
        )


@non_uniformity_bound.check("gradient descent, B = n")
class NoNoise:
    hints = (
        ("ZeroDivisionError", "n - B is 0 for gradient descent: ask for it, return math.inf."),
    )

    def draw(self, generator):
        return {"cases": [(0.5, 1000, 1000), (0.1, 2, 2)]}

    def call(self, student, inputs):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            bounds = [array(student(*case), ()) for case in inputs["cases"]]
        return {"bounds": bounds, "warnings": [str(w.message) for w in caught]}

    def verdict(self, inputs, outputs):
        if not np.isposinf(outputs["bounds"]).all():
            return (
                f"For B = n it gives {float(outputs['bounds'][0]):.4g}. Gradient descent has no noise: "
                "no non-uniformity is too large, and the bound is math.inf."
            )
        if outputs["warnings"]:
            return (
                f"For B = n it warns: {outputs['warnings'][0]}. Ask for B = n first and return "
                "math.inf."
            )
        return None
