"""One step of descent with stable noise: the slope's part exactly, the noise's part by its law."""

from __future__ import annotations

import math

import numpy as np
import torch

from flatlab.checks.answers import array, compare
from flatlab.checks.chapter01.products import seeded
from flatlab.checks.chapter02.batches import lent
from flatlab.checks.chapter04 import laws
from flatlab.checks.core import Exercise
from flatlab.checks.toys import normal

levy_step = Exercise(
    "levy_step",
    remaining=("a matrix of weights", "Brownian noise, alpha = 2", "an alpha below 1"),
)

HINTS = (
    (
        "missing 1 required positional argument: 'generator'",
        "sample_stable takes (alpha, size, generator): pass the generator on.",
    ),
    (
        "must match the size of tensor",
        "Each weight needs a draw of its own: sample_stable(alpha, w.shape, generator).",
    ),
    ("argument: 'size'", "sample_stable takes (alpha, size, generator), and the size is w.shape."),
)


def sample_stable(alpha, size, generator):
    """S-alpha-S(1) by Chambers, Mallows and Stuck: what the check lends."""
    v = math.pi * (torch.rand(size, generator=generator, dtype=torch.float64) - 0.5)
    w = -torch.log1p(-torch.rand(size, generator=generator, dtype=torch.float64))
    second = torch.cos((1 - alpha) * v) / w.clamp_min(1e-300)
    return torch.sin(alpha * v) / torch.cos(v) ** (1 / alpha) * second ** ((1 - alpha) / alpha)


@levy_step.check("without noise it is gradient descent")
class NoNoise:
    hints = HINTS

    def draw(self, generator):
        return {"w": normal(generator, 5), "grad": normal(generator, 5)}

    def call(self, student, inputs):
        w, grad = torch.tensor(inputs["w"]), torch.tensor(inputs["grad"])
        with lent(student, sample_stable=sample_stable):
            step = array(student(w, grad, 0.3, 1.5, 0.0, seeded(0)), (5,))
        return {"step": step, "w": w, "grad": grad}

    def verdict(self, inputs, outputs):
        w, grad = np.asarray(inputs["w"]), np.asarray(inputs["grad"])
        wrong = compare(
            outputs["step"],
            w - 0.3 * grad,
            1e-5,
            [
                (w + 0.3 * grad, "Without noise it goes uphill: the slope is subtracted."),
                (w - grad, "Without noise it moves by the whole gradient: where is learning_rate?"),
                (w, "With sigma = 0 it does not move: sigma multiplies the noise alone."),
                (-0.3 * grad, "It returns the step alone. Where does w stand after it?"),
                (
                    w - 0.3 ** (1 / 1.5) * grad,
                    "The gradient is multiplied by eta^(1/alpha); that factor belongs to the noise.",
                ),
            ],
            "With sigma = 0 it goes to {got}; w - eta grad is {expected}.",
        )
        if wrong:
            return wrong
        return _changed(inputs, outputs)


def _changed(inputs: dict, outputs: dict) -> str | None:
    for name in ("w", "grad"):
        if not np.array_equal(outputs[name], inputs[name]):
            return (
                f"The {name} that was passed in has changed: `-=` and `+=` write into the caller's "
                "tensor. Return a new one."
            )
    return None


@levy_step.check("the size and the law of the noise")
class Noise:
    hints = HINTS
    cases = ((0.05, 1.5, 3.0),)  # learning rate, alpha, sigma
    shape = (20_000,)

    def draw(self, generator):
        """Weights and gradients that are small beside the noise, so that nothing is lost in it."""
        w, grad = normal(generator, *self.shape), normal(generator, *self.shape)
        return {"w": w, "grad": grad, "cases": [list(case) for case in self.cases], "seed": 9}

    def call(self, student, inputs):
        w, grad = torch.tensor(inputs["w"]), torch.tensor(inputs["grad"])
        steps = []
        with lent(student, sample_stable=sample_stable):
            for case in inputs["cases"]:
                step = student(w.clone(), grad.clone(), *case, seeded(inputs["seed"]))
                steps.append(array(step, tuple(w.shape)))
        return {"steps": steps}

    def verdict(self, inputs, outputs):
        w, grad = np.asarray(inputs["w"]), np.asarray(inputs["grad"])
        for case, step in zip(inputs["cases"], outputs["steps"], strict=True):
            if message := noise_verdict(step - (w - case[0] * grad), *case):
                return message
        return None


def noise_verdict(noise: np.ndarray, rate: float, alpha: float, sigma: float) -> str | None:
    """None where the entries are draws of eta^(1/alpha) sigma SaS(1), else what they are."""
    setting = f"For eta = {rate:g}, alpha = {alpha:g}, sigma = {sigma:g} the step is off."
    if np.isnan(noise).any():
        return f"{setting} The step holds NaN."
    rows = noise if noise.ndim == 2 else noise[:, None]
    if noise.size > 1 and np.ptp(noise) <= 1e-6 * np.abs(noise).max():
        return "Every weight gets the same noise: draw one S for each, of size w.shape."
    if noise.ndim == 2 and (np.ptp(rows, 0).max() < 1e-6 or np.ptp(rows, 1).max() < 1e-6):
        return "Whole rows or columns of weights get the same noise: draw S of size w.shape."
    right = rate ** (1 / alpha) * sigma
    x = noise.ravel()
    if laws.deviation(x / right, alpha) <= laws.ERRORS:
        return None
    for factor, message in _wrong_scales(rate, alpha, sigma):
        if abs(factor / right - 1) > 0.08 and laws.deviation(x / factor, alpha) <= laws.ERRORS:
            return f"{setting} {message}"
    if alpha < 2 and laws.normal_law(x):
        return f"{setting} The noise is normal: S is drawn from the stable law with that alpha."
    gap = laws.log_size(x / right, alpha)[0]
    if math.isfinite(gap) and laws.deviation(x / right * math.exp(-gap), alpha) <= laws.ERRORS:
        return (
            f"{setting} The noise is {math.exp(gap):.3g} times as large as eta^(1/alpha) sigma S should "
            "be; its law is right."
        )
    return (
        f"{setting} What the step adds to w - eta grad is not eta^(1/alpha) sigma S: its law is another. "
        "Is S drawn with this alpha, and added once?"
    )


def _wrong_scales(rate: float, alpha: float, sigma: float) -> list[tuple[float, str]]:
    """Factors that stand before S in wrong steps, and what was done."""
    normal_of_variance_one = [
        (
            math.sqrt(rate / 2) * sigma,
            "The noise is too small by the root of 2: S is N(0, 2) there, not N(0, 1).",
        )
    ]
    return [
        *(normal_of_variance_one if alpha == 2 else []),
        (
            rate * sigma,
            "The noise is eta sigma S, as if it were part of the gradient: it must be eta^(1/alpha).",
        ),
        (
            math.sqrt(rate) * sigma,
            "The noise has the root of eta, which belongs to alpha = 2: eta^(1/alpha).",
        ),
        (
            rate / alpha * sigma,
            "The noise has eta/alpha: `eta ** 1 / alpha` divides after the power. Parentheses.",
        ),
        (rate**alpha * sigma, "The noise has eta^alpha; it must be eta^(1/alpha)."),
        (sigma, "The noise does not depend on eta: the factor eta^(1/alpha) is missing."),
        (rate ** (1 / alpha), "The noise does not depend on sigma."),
        (
            rate ** (1 / alpha) * sigma ** (1 / alpha),
            "Here sigma is under the power 1/alpha too: only eta is.",
        ),
        (rate ** (1 / alpha) * sigma**2, "Here sigma is squared."),
        (rate ** (1 / alpha) * math.sqrt(sigma), "The root of sigma stands where sigma belongs."),
    ]


@levy_step.check("draws from the generator")
class FromGenerator:
    hints = HINTS

    def draw(self, generator):
        return {"w": normal(generator, 6), "grad": normal(generator, 6)}

    def call(self, student, inputs):
        runs = []
        with lent(student, sample_stable=sample_stable):
            for seed in (3, 3, 4):
                w, grad = torch.tensor(inputs["w"]), torch.tensor(inputs["grad"])
                runs.append(array(student(w, grad, 0.1, 1.2, 0.5, seeded(seed)), (6,)))
            twice = seeded(5)
            w, grad = torch.tensor(inputs["w"]), torch.tensor(inputs["grad"])
            first, second = (
                array(student(w.clone(), grad.clone(), 0.1, 1.2, 0.5, twice), (6,))
                for _ in range(2)
            )
            student(w, grad, 0.1, 1.2, 0.5, seeded(5))
        return {"runs": runs, "first": first, "second": second, "w": w, "grad": grad}

    def verdict(self, inputs, outputs):
        first, again, other = outputs["runs"]
        if not np.array_equal(first, again):
            return "Two calls with the same seed differ: draw with generator=generator."
        if np.array_equal(first, other):
            return "Every generator gives the same step: draw with generator=generator."
        if np.array_equal(outputs["first"], outputs["second"]):
            return (
                "The second step with one generator repeats the noise of the first: it must go on "
                "where it stopped. Is a seed set inside the function?"
            )
        return _changed(inputs, outputs)
