"""Non-uniformity by power iteration."""

import numpy as np
import torch

from flatlab.checks.answers import array, compare
from flatlab.checks.chapter01.products import Product, seeded
from flatlab.checks.core import Exercise, WrongAnswer
from flatlab.checks.toys import symmetric

non_uniformity = Exercise(
    "non_uniformity",
    remaining=(
        "a Σ of zeros",
        "a Σ that rounding made slightly negative",
        "a Σ with very large entries",
    ),
)


class WatchedProduct(Product):
    """A product that remembers whether it gave 0 and was then asked for the product of a NaN."""

    def __init__(self, matrix: np.ndarray) -> None:
        super().__init__(matrix)
        self.gave_zero = self.nan_after_zero = False

    def __call__(self, v: torch.Tensor) -> torch.Tensor:
        product = super().__call__(v)
        self.nan_after_zero |= self.gave_zero and bool(torch.isnan(v).any())
        self.gave_zero = not product.any()
        return product


def counted(student, sigma: np.ndarray, steps: int, seed: int = 0) -> dict:
    """The student's s, and how many products it took."""
    product = WatchedProduct(sigma)
    s = array(student(product, len(sigma), steps, seeded(seed)), ())
    if np.isnan(s) and product.nan_after_zero:
        raise WrongAnswer(
            "v became NaN: Σv was 0 and was divided by its norm, 0. A NaN passes through the root and "
            "through max(nan, 0.0). Where the norm is 0, leave the loop: s is 0."
        )
    return {"s": s, "calls": product.calls, "columns": product.columns}


@non_uniformity.check("the root of the largest eigenvalue")
class LargestVariance:
    scale = 1.0
    steps = 60
    hints = (
        ("math domain error", "The root of a negative number: use max(value, 0.0)."),
        ("Numerical result out of range", "The numbers overflow: normalize v in every step."),
    )

    def draw(self, generator):
        eigenvalues = [self.scale * value for value in (40.0, 15.0, 8.0, *[1.0] * 19, 0.7)]
        return {"sigma": symmetric(generator, eigenvalues)}

    def call(self, student, inputs):
        return counted(student, inputs["sigma"], self.steps)

    def verdict(self, inputs, outputs):
        sigma, calls = inputs["sigma"], outputs["calls"]
        values = np.linalg.eigvalsh(sigma)
        if not np.isfinite(outputs["s"]):
            return "The result is inf or NaN: normalize the vector in every step."
        if calls <= 2:
            return (
                f"For {self.steps} steps it used {calls} products: does the loop run `steps` times?"
            )
        if outputs["columns"] == calls == len(sigma):
            return (
                f"It used {calls} products, one for each of the {calls} dimensions: this looks like "
                "building the whole matrix first."
            )
        if calls > 2 * self.steps + 2:
            return (
                f"It used {calls} products for {self.steps} steps, and a step takes two at most: keep "
                "Σv in a variable."
            )
        top = values[-1]
        return compare(
            outputs["s"],
            np.sqrt(top),
            5e-3,
            mistakes=[
                (top, "This is the largest eigenvalue of Σ: s is its root."),
                (top**2, "This is the largest eigenvalue of Σ, squared: s is its root."),
                (top**0.25, "The root is taken twice."),
                (np.sqrt(values[0]), "This belongs to the smallest eigenvalue."),
                (1.0, "It is 1: the norm of v after it was normalized, not of Σv."),
                (np.sqrt(np.linalg.norm(sigma)), "This is the root of the Frobenius norm."),
            ],
            otherwise="The root of Σ's largest eigenvalue is {expected}, yours is {got}."
            + (
                " No eigenvalue is that large: were several added up?"
                if outputs["s"] ** 2 > top
                else ""
            ),
        )


@non_uniformity.check("a random start from the generator")
class RandomStart:
    def draw(self, generator):
        return {"sigma": symmetric(generator, [5.0, 3.0, 2.0, 1.0, 0.5, 0.1])}

    def call(self, student, inputs):
        runs = [counted(student, inputs["sigma"], 2, seed) for seed in (3, 3, 4)]
        single = [counted(student, inputs["sigma"], 1, seed)["s"] for seed in range(8)]
        values = [run["s"] for run in runs]
        return {"values": values, "calls": runs[0]["calls"], "single": single}

    def verdict(self, inputs, outputs):
        first, again, other = (float(value) for value in outputs["values"])
        if outputs["calls"] > 6:
            return f"With steps=2 it used {outputs['calls']} products: does the loop run `steps` times?"
        if abs(first - again) > 1e-6:
            return "Two runs with the same seed differ: draw the start with generator=generator."
        top = float(np.sqrt(np.linalg.eigvalsh(inputs["sigma"])[-1]))
        if max(outputs["single"]) > top * (1 + 1e-4):
            return (
                f"With steps=1 it gives {max(outputs['single']):.4g}, above {top:.4g}, the root of the "
                "largest eigenvalue: does it start with a v of norm 1?"
            )
        if abs(first - other) < 1e-9:
            return (
                "The start is the same for every generator. A fixed start can be orthogonal to the "
                "eigenvector: draw it with torch.randn(dim, generator=generator)."
            )
        return None
