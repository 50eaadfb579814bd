"""The Gibbs density on a grid, against closed forms and its own integral."""

import numpy as np
import torch

from flatlab.checks.answers import array, compare
from flatlab.checks.core import Exercise

gibbs_density = Exercise(
    "gibbs_density", remaining=("losses in the thousands", "a loss far below 0")
)

SIGMA, NOISE = 1.3, 0.4


def density_mistakes(values: np.ndarray, grid: np.ndarray, sigma: float, n: float) -> list[tuple]:
    """What wrong densities equal, and what each got wrong; ``values`` are the losses."""

    def normal(exponent: np.ndarray) -> np.ndarray:
        weight = np.exp(exponent - exponent.max())
        return weight / trapezoid(weight, grid)

    exponent = -2 * values / (n * sigma**2)
    weight = np.exp(np.minimum(exponent, 300))
    right = normal(exponent)
    wrong = [
        (
            weight,
            "It is not normalized: its integral over the grid must be 1.",
        ),
        (
            right / right.sum(),
            (
                "Its values add up to 1; its integral must be 1. A density is a probability per length: "
                "the spacing of the grid enters."
            ),
        ),
        (
            -right,
            (
                "It is minus the density. torch.trapezoid takes the values first, then the grid: "
                "exchanged they give minus the integral."
            ),
        ),
        (right / right.max(), "Its largest value is 1; its integral must be 1."),
        (
            normal(-exponent),
            "It is largest where the loss is large: the exponent is minus 2 L / (n sigma^2).",
        ),
        (
            normal(exponent * sigma),
            "sigma enters as it is; it must be squared in the exponent: sigma^2 is a variance.",
        ),
        (normal(exponent / 2), "The 2 of the exponent is missing: 2 L / (n sigma^2)."),
        (normal(exponent / 4), "The 2 stands below the line: the exponent is 2 L / (n sigma^2)."),
        (normal(exponent * n), "The noise n = eta/S is missing from the exponent."),
        (
            normal(exponent * n**2),
            (
                "The loss is multiplied by n: more noise must make the density wider, so n stands below "
                "the line."
            ),
        ),
        (
            normal(exponent * sigma**4),
            (
                "sigma^2 multiplies the loss. In Python `a / n * b` is (a / n) * b: put n * sigma**2 in "
                "parentheses."
            ),
        ),
        (normal(exponent * n**2 * sigma**4), "The loss is multiplied by n sigma^2: divide by it."),
        (normal(exponent * sigma**2), "sigma is missing from the exponent."),
        (normal(exponent / n), "n is squared in the exponent; only sigma is."),
        (exponent, "This is the exponent: take exp of it, and normalize."),
    ]
    steps = np.diff(grid)
    if np.ptp(steps) > 1e-6 * steps.mean():  # on an even grid rectangles are right
        message = (
            "It is normalized as if all steps of the grid were equally long. This grid's are not: "
            "torch.trapezoid(values, grid) takes any."
        )
        for step in (steps[0], steps[-1], steps.mean()):
            wrong.append((right / (right * step).sum(), message))
    return wrong


def trapezoid(values: np.ndarray, grid: np.ndarray) -> float:
    """The integral of ``values`` over ``grid``; NumPy names its own differently in each version."""
    return float(((values[1:] + values[:-1]) / 2 * np.diff(grid)).sum())


def density_verdict(
    got: np.ndarray, values: np.ndarray, grid: np.ndarray, sigma: float, n: float
) -> str | None:
    """None where ``got`` is the normalized density for the losses ``values``."""
    if not np.isfinite(got).all():
        return (
            "It holds NaN or inf. Where all exponents are far below 0 every exp is 0, and 0/0 is NaN; "
            "far above 0 it is inf. What may be subtracted from all exponents before exp, without "
            "changing the density?"
        )
    exponent = -2 * values / (n * sigma**2)
    right = np.exp(exponent - exponent.max())
    right = right / trapezoid(right, grid)
    mistakes = density_mistakes(values, grid, sigma, n)
    total = trapezoid(got, grid)
    return compare(
        got,
        right,
        3e-3,
        mistakes,
        f"Its integral over the grid is {total:.4g} (1 is right), its largest value {got.max():.4g} at "
        f"x = {grid[got.argmax()]:.3g}; the density is largest, {right.max():.4g}, at x = "
        f"{grid[right.argmax()]:.3g}.",
    )


class OnGrid:
    """Not a check by itself: a subclass draws the losses at some numbers and the grid."""

    hints = (
        (
            "not callable",
            "loss is a function, called as loss(grid): is it overwritten, or a tensor called?",
        ),
        (
            "only one element tensors",
            "math.exp takes one number; torch.exp takes a tensor.",
        ),
        ("can only convert", "math.exp takes one number; torch.exp takes a tensor."),
        (
            "unsupported operand type(s)",
            "loss is a function: its values on the grid are loss(grid).",
        ),
    )
    sigma, noise = SIGMA, NOISE

    def losses(self, inputs: dict, x):
        """The loss at x, an array or a tensor."""
        raise NotImplementedError("a subclass says which loss")

    def call(self, student, inputs):
        grid = torch.tensor(inputs["grid"])

        def loss(x):
            return self.losses(inputs, x)

        return {"density": array(student(loss, self.sigma, self.noise, grid), tuple(grid.shape))}

    def verdict(self, inputs, outputs):
        grid = np.array(inputs["grid"])
        values = self.losses(inputs, grid)
        return density_verdict(outputs["density"], values, grid, self.sigma, self.noise)


@gibbs_density.check("a parabola: a normal density")
class Parabola(OnGrid):
    curvature, offset = 1.5, 0.05

    def draw(self, generator):
        center = float(2 * torch.rand((), generator=generator, dtype=torch.float64) - 1)
        grid = torch.linspace(center - 90, center + 40, 601, dtype=torch.float64)
        return {"center": center, "grid": grid}

    def losses(self, inputs, x):
        return self.offset + self.curvature / 2 * (x - inputs["center"]) ** 2

    def verdict(self, inputs, outputs):
        message = super().verdict(inputs, outputs)
        if message:
            return message
        variance = self.noise * self.sigma**2 / (2 * self.curvature)
        x = np.array(inputs["grid"]) - inputs["center"]
        normal = np.exp(-(x**2) / (2 * variance)) / np.sqrt(2 * np.pi * variance)
        return compare(outputs["density"], normal, 3e-3)


@gibbs_density.check("two wells, on a grid of uneven steps")
class TwoWells(OnGrid):
    def draw(self, generator):
        tilt = float(0.1 + 0.1 * torch.rand((), generator=generator, dtype=torch.float64))
        t = torch.linspace(0, 1, 601, dtype=torch.float64)
        return {"tilt": tilt, "grid": -2.5 + t + 4 * t**3}

    def losses(self, inputs, x):
        return (x**2 - 1) ** 2 / 2 + inputs["tilt"] * x
