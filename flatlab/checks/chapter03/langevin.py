"""One Euler-Maruyama step: its mean, its noise, and where that comes from."""

import math

import numpy as np
import torch

from flatlab.checks.answers import array, close, compare
from flatlab.checks.chapter01.products import seeded
from flatlab.checks.core import Exercise
from flatlab.checks.toys import normal

langevin_step = Exercise(
    "langevin_step", remaining=("a theta with two axes", "a theta without axes")
)

RATE, BATCH, SIGMA = 0.3, 5, 1.4
# what the standard deviation of the noise could be -> what to say of it
SPREADS = (
    (
        lambda eta, s, sigma: math.sqrt(eta / s) * sigma,
        (
            "The noise has sqrt(eta) where eta belongs. sqrt of the step size is right where time runs "
            "in steps of eta; here a step is one unit of time, and the noise of the gradient is "
            "multiplied by eta."
        ),
    ),
    (lambda eta, s, sigma: eta * sigma / s, "The noise is divided by S; it must be sqrt(S)."),
    (
        lambda eta, s, sigma: eta * sigma,
        "The noise does not depend on the batch size: divide by sqrt(S).",
    ),
    (lambda eta, s, sigma: sigma / math.sqrt(s), "The noise lacks the learning rate."),
    (
        lambda eta, s, sigma: eta * sigma * math.sqrt(s),
        "The noise grows with the batch size: divide by sqrt(S), do not multiply.",
    ),
    (
        lambda eta, s, sigma: eta * sigma**2 / math.sqrt(s),
        "The noise has sigma squared. sigma^2 is the variance of a sample's gradient, sigma its root.",
    ),
    (lambda eta, s, sigma: eta / math.sqrt(s), "The noise does not depend on sigma."),
    (
        lambda eta, s, sigma: eta**2 * sigma / math.sqrt(s),
        "The noise has eta squared: is the gradient's noise multiplied by eta twice?",
    ),
    (lambda eta, s, sigma: sigma, "The noise is sigma alone: neither eta nor S enters."),
)


HINTS = (
    (
        "randn_like",
        "Older torch gives randn_like no generator; torch.randn(theta.shape, ...) has it.",
    ),
    (
        "randn() received",
        "Write generator=generator: the shape comes first, everything else by name.",
    ),
    *(
        (
            text,
            "theta may have any shape: torch.randn(theta.shape, ...), neither len(theta) nor numel().",
        )
        for text in ("must match the size", "tuple index out of range")
    ),
    ("0-d", "theta may have any shape, none too: torch.randn(theta.shape, ...)."),
)


@langevin_step.check("sigma = 0: a step of gradient descent")
class NoNoise:
    hints = HINTS

    def draw(self, generator):
        return {"theta": normal(generator, 5), "grad": normal(generator, 5)}

    def call(self, student, inputs):
        theta, grad = torch.tensor(inputs["theta"]), torch.tensor(inputs["grad"])
        return {"landed": array(student(theta, grad, RATE, BATCH, 0.0, seeded(0)), (5,))}

    def verdict(self, inputs, outputs):
        theta, g = np.array(inputs["theta"]), np.array(inputs["grad"])
        return compare(
            outputs["landed"],
            theta - RATE * g,
            1e-5,
            mistakes=[
                (theta + RATE * g, "It goes uphill: the drift is minus eta times grad."),
                (-RATE * g, "It returns the step alone. Where does theta stand after it?"),
                (theta - g, "The drift lacks the learning rate."),
                (
                    theta - RATE / BATCH * g,
                    (
                        "The drift is divided by S. grad is the mean gradient already; S enters the "
                        "noise only."
                    ),
                ),
                (
                    theta - RATE / math.sqrt(BATCH) * g,
                    "The drift is divided by sqrt(S): S enters the noise only.",
                ),
                (theta - math.sqrt(RATE) * g, "The drift has sqrt(eta); it has eta."),
                (theta, "Without noise it does not move at all: where does grad enter?"),
            ],
            otherwise="With sigma = 0 the step goes to theta - eta grad = {expected}; yours to {got}.",
        )


def noise_verdict(noise: np.ndarray, rate: float, batch_size: int, sigma: float) -> str | None:
    """Is the noise (k,) normal, centered and of the right size? k: some ten thousand."""
    if not np.isfinite(noise).all():
        return "The result is not finite: it holds NaN or inf."
    spread = rate * sigma / math.sqrt(batch_size)
    size, count = float(noise.std()), len(noise)
    if np.ptp(noise) <= 1e-6 * np.abs(noise).max():
        if np.abs(noise).max() < 1e-9:
            return f"There is no noise, although sigma = {sigma}."
        return (
            "Every entry of theta gets the same noise: draw one number for each, "
            "torch.randn(theta.shape, ...)."
        )
    if abs(noise.mean()) > 6 * max(size, spread) / math.sqrt(count):
        return (
            f"The noise has the mean {noise.mean():.3g}, for a standard deviation of {size:.3g}; "
            "its mean is 0. torch.rand is never negative, torch.randn is normal."
        )
    kurtosis = float((noise**4).mean() / size**4)
    if abs(kurtosis - 3) > 0.25:
        return (
            f"The noise is not normal: mean of x^4 / variance^2 is {kurtosis:.2f} instead of 3. "
            "torch.randn draws normal numbers."
        )
    if abs(size / spread - 1) <= 0.03:
        return None
    for of, message in SPREADS:
        if abs(size / of(rate, batch_size, sigma) - 1) <= 0.03:
            return message
    return (
        f"With eta = {rate}, S = {batch_size}, sigma = {sigma} the noise of a step has the standard "
        f"deviation eta sigma / sqrt(S) = {spread:.4g}; yours has {size:.4g}."
    )


@langevin_step.check("the noise of one step")
class OneStep:
    hints = HINTS
    count = 40_000

    def draw(self, generator):
        start = normal(generator, 2)
        return {"theta": float(start[0]), "grads": [0.0, float(start[1])], "seed": 3}

    def call(self, student, inputs):
        theta = torch.full((self.count,), inputs["theta"], dtype=torch.float64)
        grad = torch.tensor(inputs["grads"], dtype=torch.float64).repeat(self.count // 2)
        moved = student(theta, grad, RATE, BATCH, SIGMA, seeded(inputs["seed"]))
        return {"landed": array(moved, (self.count,))}

    def verdict(self, inputs, outputs):
        drift = RATE * np.tile(inputs["grads"], self.count // 2)
        noise = outputs["landed"] - (inputs["theta"] - drift)
        flat, steep = np.abs(noise[::2]).max(), np.abs(noise[1::2]).max()
        if flat < 1e-6 * steep:
            return "The noise is multiplied by grad: where that is 0 there is none."
        return noise_verdict(noise, RATE, BATCH, SIGMA)


@langevin_step.check("five steps in a row, drawn from the generator")
class FiveSteps:
    hints = HINTS

    def draw(self, generator):
        return {"theta": normal(generator, 6), "grad": normal(generator, 6), "seeds": [7, 7, 8]}

    def call(self, student, inputs):
        first, paths = torch.tensor(inputs["theta"]), []
        grad = torch.tensor(inputs["grad"])
        for seed in inputs["seeds"]:
            generator, path = seeded(seed), [first]
            for _ in range(5):
                path.append(student(path[-1], grad, RATE, BATCH, SIGMA, generator))
            paths.append(array(path, (6, 6)))
        return {"paths": paths, "first": first, "grad_after": grad}

    def verdict(self, inputs, outputs):
        start = np.array(inputs["theta"])
        if not np.array_equal(outputs["first"], start):
            return (
                "The theta that was passed in has changed: `theta -= ...` writes into the caller's "
                "tensor, so that a list of five steps holds one tensor five times. Return a new one."
            )
        if not np.array_equal(outputs["grad_after"], inputs["grad"]):
            return "The grad that was passed in has changed: do not multiply it in place."
        run, again, other = outputs["paths"]
        if not np.array_equal(run, again):
            return "Two runs with the same seed differ: draw with generator=generator."
        noise = np.diff(run, axis=0) + RATE * np.array(inputs["grad"])
        if all(close(noise[k], noise[0], 1e-5) for k in range(1, 5)):
            return (
                "All five steps draw the same noise: is a new generator made, or this one seeded again, "
                "inside the function?"
            )
        if np.array_equal(run, other):
            return "Generators with different seeds give the same steps: draw from generator."
        return None
