"""Draws of symmetric stable laws, judged by their characteristic function."""

from __future__ import annotations

import math

import numpy as np
import torch

from flatlab.checks.answers import array
from flatlab.checks.chapter01.products import seeded
from flatlab.checks.chapter04 import laws
from flatlab.checks.core import Exercise

sample_stable = Exercise(
    "sample_stable",
    remaining=("alpha = 1 and alpha = 2", "a small alpha", "an alpha outside (0, 2]"),
)

HINTS = (
    (
        "must be tuple of ints, but found element of type tuple",
        "size may be a tuple: torch.rand(size) and torch.rand((3, 4)) both work.",
    ),
    ("iterable, not int", "size may be one whole number: torch.rand(size) takes it as it is."),
    ("has no len()", "size may be one whole number: torch.rand(size) takes it as it is."),
    ("must be Tensor, not float", "torch.cos takes tensors; math.cos takes single numbers."),
    ("only one element tensors", "math.cos takes single numbers; torch.cos takes tensors."),
    ("exponential_", "tensor.exponential_(generator=generator) fills a tensor that exists."),
)


def law_verdict(samples: list[np.ndarray], alphas: list[float]) -> str | None:
    """None where each sample is one of its stable law, else what it looks like."""
    lost = any(np.isnan(x).mean() > laws.LOST for x in samples)
    if lost and (message := laws.wrong_formula(samples, alphas)):
        return f"Many draws are NaN, a negative number raised to a power. It looks as if {message}"
    for x, alpha in zip(samples, alphas, strict=True):
        if message := _no_sample(x, alpha):
            return message
    gaps = [laws.deviation(x, alpha) for x, alpha in zip(samples, alphas, strict=True)]
    if max(gaps) <= laws.ERRORS:
        return None
    message = laws.wrong_formula(samples, alphas) or _same_shape(samples, alphas)
    message = message or laws.one_exponential(samples, alphas)
    if message:
        return f"For alpha = {_listed(alphas)} the draws look as if {message}"
    if all(laws.normal_law(x) for x in samples) and min(alphas) < 2:
        return "The draws look normal whatever alpha is: where do the heavy tails come from?"
    k = int(np.argmax(gaps))
    t = laws.worst_point(samples[k], alphas[k])
    x = t * samples[k][np.isfinite(samples[k])]
    return (
        f"For alpha = {alphas[k]:g} the mean of cos({t:g} X) over {len(x)} draws should be "
        f"exp(-{t:g}^alpha) = {math.exp(-(t ** alphas[k])):.3f} and that of sin({t:g} X) 0; yours are "
        f"{np.cos(x).mean():.3f} and {np.sin(x).mean():.3f}. Compare with the formula factor by factor."
    )


def _listed(alphas: list[float]) -> str:
    return ", ".join(f"{alpha:g}" for alpha in alphas)


def _no_sample(x: np.ndarray, alpha: float) -> str | None:
    """What is wrong with numbers that cannot be draws of any stable law."""
    lost, undefined = 1 - np.isfinite(x).mean(), np.isnan(x).mean()
    if undefined > laws.LOST:
        return (
            f"For alpha = {alpha:g}, {100 * undefined:.0f} % of the draws are NaN: a negative number "
            "was raised to a power. V must lie between -pi/2 and pi/2, where the cosines of V and of "
            "(1 - alpha) V are positive; W must be positive, minus the logarithm of a number in (0, 1)."
        )
    if lost > laws.LOST:
        return f"For alpha = {alpha:g}, {100 * lost:.1f} % of the draws are infinite: is W ever 0?"
    if len(np.unique(x)) == 1:
        return f"All {len(x)} draws are the same number: give torch.rand the size."
    if len(np.unique(x)) < len(x) / 2:
        return (
            f"Of {len(x)} draws only {len(np.unique(x))} differ: each needs a V and a W of its own."
        )
    if np.min(x) >= 0 or np.max(x) <= 0:
        sign = "positive" if np.min(x) >= 0 else "negative"
        return (
            f"All draws are {sign}: the law is symmetric. Each draw has a V of its own, uniform "
            "between -pi/2 and pi/2; torch.rand gives numbers between 0 and 1."
        )
    return None


def _same_shape(samples: list[np.ndarray], alphas: list[float]) -> str | None:
    """What to say where only the scale is wrong, or where it depends on alpha in a known way."""
    gaps = [laws.log_size(x, alpha)[0] for x, alpha in zip(samples, alphas, strict=True)]
    if not all(math.isfinite(gap) for gap in gaps):
        return None
    pairs = list(zip(samples, alphas, gaps, strict=True))
    if any(laws.deviation(x * math.exp(-gap), alpha) > laws.ERRORS for x, alpha, gap in pairs):
        return None
    factors = ", ".join(f"{math.exp(gap):.3g}" for gap in gaps)
    return (
        f"every draw was multiplied by {factors}: the shape is right and the scale is not. The law has "
        "scale 1, which for alpha = 2 means the variance 2."
    )


def _shared(table: np.ndarray) -> bool:
    """Do means of log|x| over rows or columns vary more than those of independent draws?

    The ratio is 1 with a standard error of at most 0.15, and 12 where W is one for a column.
    """
    logs = np.log(np.abs(table), where=np.isfinite(table) & (table != 0), out=np.zeros(table.shape))
    return any(logs.mean(axis).var() * logs.shape[axis] > 2 * logs.var() for axis in range(2))


@sample_stable.check("two stable laws")
class TwoLaws:
    hints = HINTS
    alphas = (0.6, 1.8)
    size = 20_000

    def draw(self, generator):
        seeds = torch.randint(2**31, (len(self.alphas),), generator=generator)
        return {"alphas": list(self.alphas), "size": self.size, "seeds": seeds.tolist()}

    def call(self, student, inputs):
        size = inputs["size"]
        samples = [
            array(student(alpha, size, seeded(int(seed))), (size,))
            for alpha, seed in zip(inputs["alphas"], inputs["seeds"])
        ]
        return {"samples": samples}

    def verdict(self, inputs, outputs):
        return law_verdict(outputs["samples"], inputs["alphas"])


@sample_stable.check("one V and one W for each draw, from the generator")
class FromGenerator:
    hints = HINTS

    def draw(self, generator):
        return {"alpha": 1.5}

    def call(self, student, inputs):
        alpha = inputs["alpha"]
        runs = [array(student(alpha, 6, seeded(seed)), (6,)) for seed in (3, 3, 4)]
        table = array(student(alpha, (3, 4), seeded(3)), (3, 4))
        large = array(student(alpha, (100, 200), seeded(3)), (100, 200))
        twice = seeded(5)
        first, second = (array(student(alpha, 6, twice), (6,)) for _ in range(2))
        drawn = {"table": table, "large": large, "first": first, "second": second}
        return {"runs": runs, **drawn}

    def verdict(self, inputs, outputs):
        first, again, other = outputs["runs"]
        table = outputs["table"]
        if not np.array_equal(first, again, equal_nan=True):
            return (
                "Two calls with the same seed differ: draw V and W both with generator=generator."
            )
        if np.array_equal(first, other, equal_nan=True):
            return "Every generator gives the same draws: draw with generator=generator."
        if np.array_equal(outputs["first"], outputs["second"]):
            return (
                "The second call with one generator repeats the first: it must go on where it stopped. "
                "Is a seed set inside the function?"
            )
        if (table == table[:1]).all() or (table == table[:, :1]).all():
            return "For size (3, 4) whole rows or columns repeat: draw 12 pairs of V and W."
        if _shared(outputs["large"]):
            return (
                "In a table the entries of a row or column depend on each other: draw V and W both with "
                "the whole size, one of each for each entry."
            )
        return None
