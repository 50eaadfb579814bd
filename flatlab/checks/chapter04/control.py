"""The Gaussian control: noise of the same scale in every coordinate, and nothing else."""

from __future__ import annotations

import math

import numpy as np
import torch

from flatlab.checks.answers import array, close
from flatlab.checks.chapter01.products import seeded
from flatlab.checks.chapter04 import laws
from flatlab.checks.core import Exercise
from flatlab.checks.toys import normal

matched_gaussian = Exercise(
    "matched_gaussian",
    remaining=("coordinates without noise", "noise that is left as it was"),
)

HINTS = (
    (
        "must match the size of tensor",
        "The scales are one for each coordinate, over the minibatches: dim 0, shape (p,).",
    ),
    (
        "got an unexpected keyword argument 'generator'",
        "torch.randn takes generator=; randn_like not.",
    ),
    ("randn_like", "torch.randn_like takes no generator: torch.randn(noise.shape, generator=...)."),
    (
        "std >= 0.0",
        "torch.normal got a negative standard deviation: is it the root of a mean square?",
    ),
)


def scales_of(noise: np.ndarray) -> np.ndarray:
    """The root of each column's mean square: (p,)."""
    return np.sqrt(np.mean(noise**2, axis=0))


def _mistaken_scales(noise: np.ndarray) -> list[tuple]:
    """Scales (p,) or (k, 1) that a wrong control has, and what was done."""
    k = len(noise)
    right = scales_of(noise)
    ones = np.ones_like(right)
    return [
        (
            ones * math.sqrt(float(np.mean(noise**2))),
            (
                "Every coordinate has the same scale, that of all entries together. The control needs one "
                "scale for each coordinate: the mean over the minibatches only, dim 0."
            ),
        ),
        (ones, "Every coordinate has scale 1: multiply by the scales of the noise."),
        (
            right**2,
            "The scales are squared: a normal draw is multiplied by the root of the mean square.",
        ),
        (np.sqrt(right), "The root is taken twice: a standard deviation is a scale already."),
        (
            np.mean(np.abs(noise), axis=0),
            "The scales are means of |noise|; the control has the same mean square.",
        ),
        (
            np.abs(noise).max(axis=0),
            "The scales are the largest |noise|; take the root of the mean square.",
        ),
        (right * math.sqrt(k), "The squares are added up over the minibatches: take their mean."),
        (right / math.sqrt(k), "The scales are divided by the root of k once too often."),
        (right / k, "The scales are divided by k once too often."),
        (right * math.sqrt(2), "The variance is twice that of the noise."),
        (
            np.sqrt(np.mean(noise**2, axis=1, keepdims=True)),
            (
                "Each row has a scale of its own, that of its minibatch: the mean runs over the "
                "minibatches, dim 0."
            ),
        ),
    ]


def control_verdict(noise: np.ndarray, control: np.ndarray) -> str | None:
    """None where the control is normal, independent, and of each column's scale."""
    right = scales_of(noise)
    if np.isnan(control).any():
        share = 100 * np.isnan(control).mean()
        return f"Of the control {share:.1f} % is NaN: is something divided by a scale of 0?"
    if not np.isfinite(control).all():
        return "The control holds infinite entries."
    if close(control, noise, 1e-6):
        return "This is the noise itself: the control is drawn anew, from a normal law."
    if np.allclose(np.sort(control, axis=0), np.sort(noise, axis=0), rtol=1e-5, atol=0):
        return (
            "It holds the noise's own entries in another order: they keep their tails. Draw from a "
            "normal law."
        )
    if np.allclose(np.sort(control, axis=None), np.sort(noise, axis=None), rtol=1e-5, atol=0):
        return "It holds the noise's own entries in another order. Draw from a normal law."
    live = right > 0
    z = control[:, live] / right[live]
    if _fits_in_the_mean(z):
        return _copies(z) or _shape(z) or _together(z, noise[:, live] / right[live])
    if _fits((control[:, live] - noise[:, live]) / right[live]):
        return "It is the noise plus a normal number: the control is drawn without the noise in it."
    for scale, message in _mistaken_scales(noise):
        live_scale = scale[live] if scale.ndim == 1 else scale
        if _fits(control[:, live] / live_scale):
            return _copies(z) or message
    return _copies(z) or _otherwise(z)


def _fits_in_the_mean(z: np.ndarray) -> bool:
    """Is the mean square of z 1, in all entries and in halves of the rows and columns?

    The tolerance is 6 standard errors of normal draws, and leaves room for dividing by k - 1.
    """
    if not np.isfinite(z).all():
        return False
    k, p = z.shape
    for part in (z, z[:, : p // 2], z[:, p // 2 :], z[: k // 2], z[k // 2 :]):
        room = laws.ERRORS * math.sqrt(2 / part.size)
        if not -room <= np.mean(part**2) - 1 <= room + 1.1 / (k - 1):
            return False
    return True


def _fits(z: np.ndarray) -> bool:
    """Is it 1 in single rows and columns too? This tells wrong scales apart."""
    if not _fits_in_the_mean(z):
        return False
    for axis in (
        0,
        1,
    ):  # (mean square - 1)^2 has the mean 2/terms and about 3 (2/terms)^2 as variance
        means = np.mean(z**2, axis=axis)
        chi = float(np.mean((means - 1) ** 2)) * z.shape[axis] / 2
        if chi > 1.1 + laws.ERRORS * math.sqrt(3 / len(means)):
            return False
    return True


def _copies(z: np.ndarray) -> str | None:
    if np.allclose(z, z[:1]):
        return "All rows are the same: draw a number for each minibatch and coordinate, (k, p)."
    if np.allclose(z, z[:, :1], rtol=1e-4):
        return (
            "Within a row all coordinates share one normal number: draw one for each entry, (k, p)."
        )
    return None


def _together(z: np.ndarray, unit: np.ndarray) -> str | None:
    """Do the coordinates move together as those of ``unit``, the noise over its scales?

    The sum of products of correlations has the mean 0 and this spread where z is independent.
    """
    k = len(z)
    own, drawn = unit.T @ unit / k, z.T @ z / k
    np.fill_diagonal(own, 0)
    room = laws.ERRORS * math.sqrt(2 * float(np.sum(own**2)) / k)
    if np.sum(own * drawn) > room:
        return (
            "The coordinates of the control are correlated as those of the noise: draw each entry "
            "independently, with the scale of its coordinate."
        )
    return None


def _shape(z: np.ndarray) -> str | None:
    """Of scale 1: is it also centered and normal?"""
    room = laws.ERRORS / math.sqrt(z.size)
    if abs(z.mean()) > room:
        return f"The control has mean {z.mean():.2f} standard deviations; it should be 0: randn, not rand."
    fourth = float(np.mean(z**4) / np.mean(z**2) ** 2)
    if fourth < 3 - room * math.sqrt(96) - 0.15:  # rescaled columns have 3k/(k + 2)
        return (
            f"The scales are right, but the law has lighter tails than a normal one (mean of z^4 = "
            f"{fourth:.2f}, not 3): torch.randn draws normal numbers."
        )
    if fourth > 3 + room * math.sqrt(96):
        return (
            f"The scales are right, but the tails are heavier than normal (mean of z^4 = {fourth:.2f}, "
            "not 3): are entries of the noise itself in it?"
        )
    return None


def _otherwise(z: np.ndarray) -> str:
    with np.errstate(all="ignore"):
        parts = [f"{np.mean(half**2):.3g}" for half in np.array_split(z, 2, axis=1)]
    return (
        "Divided by the noise's own scales, the control has mean square "
        f"{parts[0]} in the first half of the coordinates and {parts[1]} in the second; both should be 1."
    )


@matched_gaussian.check("one scale for each coordinate")
class OneScaleEach:
    hints = HINTS
    shape = (60, 400)

    def draw(self, generator):
        """Heavy-tailed noise whose coordinates grow from scale 0.1 to 100; its columns add up to 0."""
        k, p = self.shape
        signs = torch.sign(normal(generator, k, p))
        noise = signs * torch.exp(normal(generator, k, p)) * torch.logspace(-1, 2, p).double()
        return {"noise": noise - noise.mean(0), "seed": 7}

    def call(self, student, inputs):
        noise = torch.tensor(inputs["noise"])
        control = student(noise, seeded(inputs["seed"]))
        return {"control": array(control, tuple(noise.shape)), "after": noise}

    def verdict(self, inputs, outputs):
        return control_verdict(np.asarray(inputs["noise"]), outputs["control"])


@matched_gaussian.check("draws from the generator")
class FromGenerator(OneScaleEach):
    shape = (6, 5)

    def call(self, student, inputs):
        shape = tuple(inputs["noise"].shape)
        runs = []
        for seed in (3, 3, 4):
            control = student(torch.tensor(inputs["noise"]), seeded(seed))
            runs.append(array(control, shape))
        twice = seeded(5)
        first, second = (
            array(student(torch.tensor(inputs["noise"]), twice), shape) for _ in range(2)
        )
        return {"runs": runs, "first": first, "second": second}

    def verdict(self, inputs, outputs):
        first, again, other = outputs["runs"]
        if not np.array_equal(first, again):
            return "Two calls with the same seed differ: draw with generator=generator."
        if np.array_equal(first, other):
            return "Every generator gives the same control: draw with generator=generator."
        if np.array_equal(outputs["first"], outputs["second"]):
            return (
                "The second call with one generator repeats the first: it must go on where it stopped. "
                "Is a seed set inside the function?"
            )
        return None
