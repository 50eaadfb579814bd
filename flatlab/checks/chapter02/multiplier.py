"""The mean-square multiplier in one dimension, against a count over all batches."""

import math

import numpy as np
import torch

from flatlab.checks.answers import array, compare
from flatlab.checks.chapter02.batches import batch_mean
from flatlab.checks.core import Exercise

mean_square_multiplier = Exercise(
    "mean_square_multiplier", remaining=("batches of one sample", "tensors that broadcast")
)

LEFT_TO_RIGHT = (
    "(n - B) / B * (n - 1) multiplies by n - 1: Python goes from left to right. Put what is below the "
    "line in parentheses, (n - B) / (B * (n - 1))."
)


def multiplier_mistakes(rate: float, a: float, s: float, b: int, n: int) -> list[tuple]:
    """What wrong formulas give, and what each got wrong."""
    mean, noise = (1 - rate * a) ** 2, (n - b) / (b * (n - 1))
    variance = rate**2 * s**2
    right = mean + noise * variance
    wrong = [
        (mean + noise * rate**2 * s, "s enters as it is; it must be squared: s^2 is a variance."),
        (mean + noise * rate * s**2, "The second term has eta; it must be eta squared."),
        (
            mean + variance / b,
            (
                "The noise is divided by B alone, as if a sample could be drawn twice. A batch holds "
                "different samples: (n - B)/(B (n - 1))."
            ),
        ),
        (mean + variance * (n - b) / (n - 1), "The noise is not divided by the batch size B."),
        (
            mean + variance,
            "The noise is not multiplied by (n - B)/(B (n - 1)), or that fraction is 1 whatever B is.",
        ),
        (
            mean + variance * (n - b) / (b * n - 1),
            "It divides by B n - 1: put n - 1 in parentheses, B * (n - 1).",
        ),
        (mean + variance * (n - b) / (b * n), "It divides by B n instead of B (n - 1)."),
        (mean - noise * variance, "The noise is subtracted; it adds to the spread."),
        (abs(1 - rate * a) + noise * variance, "The first term is |1 - eta a|, not its square."),
        (1 - rate * a + noise * variance, "The first term is 1 - eta a, not its square."),
        (mean + (n - b) / b * (n - 1) * variance, LEFT_TO_RIGHT),
        ((1 - a) ** 2 + noise * variance, "The first term is (1 - a)^2: eta is missing before a."),
        (math.sqrt(right), "This is the root of the multiplier, which belongs to the mean square."),
        (mean, "Only (1 - eta a)^2 is there: where does the noise enter?"),
        ((1 - rate * a**2) + noise * variance, "a is squared, and not 1 - eta a."),
    ]
    if b < n:
        inverted = "The fraction is upside down: the noise must vanish for B = n."
        wrong.append((mean + variance / noise, inverted))
    return wrong


@mean_square_multiplier.check("a count over all batches")
class AllBatches:
    hints = (
        ("type(s) for ^", "A power is ** in Python: ^ works on the bits of whole numbers."),
        (
            "converted",
            (
                "learning_rate, a and s may be tensors that broadcast: use ** and *, not float() or "
                "the functions of math."
            ),
        ),
    )

    def draw(self, generator):
        curvatures = 1.5 + 2 * torch.rand(6, generator=generator, dtype=torch.float64)
        return {"curvatures": curvatures, "learning_rate": 0.75, "batch_size": 2}

    def call(self, student, inputs):
        a, s = float(inputs["curvatures"].mean()), float(inputs["curvatures"].std())
        b, n = inputs["batch_size"], len(inputs["curvatures"])
        rate = inputs["learning_rate"]
        multiplier = array(student(rate, a, s, b, n), ())
        rates = rate * torch.ones(3, dtype=torch.float64)
        return {"multiplier": multiplier, "of_rates": array(student(rates, a, s, b, n), (3,))}

    def verdict(self, inputs, outputs):
        curvatures, b = inputs["curvatures"], inputs["batch_size"]
        rate, n = inputs["learning_rate"], len(curvatures)
        counted = batch_mean(curvatures, b, lambda a: (1 - rate * a) ** 2)
        return compare(
            outputs["multiplier"],
            counted,
            1e-4,
            multiplier_mistakes(rate, curvatures.mean(), curvatures.std(), b, n),
            f"For {n} samples and batches of {b}, all batches counted one by one give {{expected}}; "
            "yours is {got}.",
        )


@mean_square_multiplier.check("gradient descent, B = n")
class WholeBatch(AllBatches):
    hints = (
        *AllBatches.hints,
        ("ZeroDivisionError", "For B = n the noise is 0: n - B belongs above the line."),
    )

    def draw(self, generator):
        return {**super().draw(generator), "batch_size": 6}

    def verdict(self, inputs, outputs):
        if not np.isfinite(outputs["multiplier"]):
            return "For B = n it is not finite. The noise is 0 there: n - B belongs above the line."
        return super().verdict(inputs, outputs)
