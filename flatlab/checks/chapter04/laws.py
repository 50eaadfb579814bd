"""Is a sample one of a symmetric stable law? Tests with known standard errors, and wrong formulas.

The law is defined by its characteristic function, E exp(itX) = exp(-|t|^alpha): means of cosines and
sines are bounded whatever the tails, so their standard errors are known exactly.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

POINTS = (0.1, 0.5, 1.0, 2.5)  # where the characteristic function is compared
ERRORS = 6.0  # standard errors that a right answer may be away: one in 10^8 samples is farther
LOST = 1e-3  # share of draws that rounding may turn into inf or NaN, as float32 does now and then
EULER = 0.5772156649015329


def deviation(x: np.ndarray, alpha: float) -> float:
    """The largest difference from exp(-|t|^alpha) at ``POINTS``, in standard errors."""
    return max(errors for errors, _ in _deviations(x, alpha))


def worst_point(x: np.ndarray, alpha: float) -> float:
    """The t of the largest deviation."""
    return max(_deviations(x, alpha))[1]


def _deviations(x: np.ndarray, alpha: float) -> list[tuple[float, float]]:
    """(standard errors, t) for the mean cosine and the mean sine at each of ``POINTS``."""
    x = x[np.isfinite(x)]
    found = []
    for t in POINTS:
        right, double = math.exp(-(t**alpha)), math.exp(-((2 * t) ** alpha))
        spread = ((1 + double) / 2 - right**2, (1 - double) / 2)
        gaps = (np.cos(t * x).mean() - right, np.sin(t * x).mean())
        for gap, variance in zip(gaps, spread, strict=True):
            found.append((abs(float(gap)) * math.sqrt(len(x) / variance), t))
    return found


def log_size(x: np.ndarray, alpha: float) -> tuple[float, float]:
    """Mean log|x| less that of the law, and its standard error: the log of a wrong scale.

    E log|X| = gamma (1/alpha - 1) and Var log|X| = pi^2 (1/(6 alpha^2) + 1/12).
    """
    x = x[np.isfinite(x) & (x != 0)]
    if not len(x):
        return math.inf, math.inf
    variance = math.pi**2 * (1 / (6 * alpha**2) + 1 / 12)
    gap = float(np.log(np.abs(x)).mean()) - EULER * (1 / alpha - 1)
    return gap, math.sqrt(variance / len(x))


def same_law(a: np.ndarray, b: np.ndarray) -> bool:
    """Two-sample Kolmogorov-Smirnov; a pair from one law is refused once in 10^4 times."""
    a, b = np.sort(a[np.isfinite(a)]), np.sort(b[np.isfinite(b)])
    if len(a) < 10 or len(b) < 10:
        return False
    both = np.concatenate([a, b])
    gap = np.searchsorted(a, both, "right") / len(a) - np.searchsorted(b, both, "right") / len(b)
    return bool(np.abs(gap).max() < 2.2 * math.sqrt(1 / len(a) + 1 / len(b)))


def normal_law(x: np.ndarray) -> bool:
    """Do the draws look like those of a normal law of some scale around 0?"""
    x = x[np.isfinite(x)]
    size = math.sqrt(float(np.mean(x**2))) if len(x) else math.nan
    reference = np.random.default_rng(5).normal(size=len(x))
    return bool(0 < size < math.inf) and same_law(x / size, reference)


def _slip(factor: Callable) -> Callable:
    """The second factor of the formula replaced."""
    return lambda a, v, w, u: np.sin(a * v) / np.cos(v) ** (1 / a) * factor(a, v, w, u)


def _second(a, v, w, u):
    return (np.cos((1 - a) * v) / w) ** ((1 - a) / a)


# (alpha, V, W, U with W = -log U) -> draws, and what to say where a sample looks like these
WRONG_FORMULAS = (
    (
        lambda a, v, w, u: np.sin(a * v) / np.cos(v) ** 1 / a * _second(a, v, w, u),
        "1/alpha had no parentheses: cos(V)**1/alpha is (cos(V)**1)/alpha in Python.",
    ),
    (
        _slip(lambda a, v, w, u: (np.cos((1 - a) * v) / w) ** (1 - a) / a),
        (
            "the second exponent had no parentheses: (...)**(1 - alpha)/alpha takes the power first "
            "and divides then."
        ),
    ),
    (
        lambda a, v, w, u: (
            np.sin(a * v) / np.cos(v) ** 1 / a * (np.cos((1 - a) * v) / w) ** (1 - a) / a
        ),
        "both exponents lack parentheses: x**1/alpha is (x**1)/alpha in Python.",
    ),
    (
        _slip(lambda a, v, w, u: 1.0),
        "the second factor is 1 or missing. In Python 1 - alpha/alpha is 0.",
    ),
    (
        _slip(lambda a, v, w, u: (np.cos(1 - a * v) / w) ** ((1 - a) / a)),
        "the second cosine is taken of 1 - alpha V, not of (1 - alpha) V.",
    ),
    (
        _slip(lambda a, v, w, u: (np.cos(a * v) / w) ** ((1 - a) / a)),
        "the second cosine is taken of alpha V, not of (1 - alpha) V.",
    ),
    (
        _slip(lambda a, v, w, u: (np.cos((1 - a) * v) / u) ** ((1 - a) / a)),
        "W is uniform. It must be exponential: minus the logarithm of a uniform number.",
    ),
    (
        lambda a, v, w, u: _formula(a, v, np.abs(np.random.default_rng(3).normal(size=len(u)))),
        (
            "W is the absolute value of a normal number. It must be exponential: minus the logarithm of a "
            "uniform one."
        ),
    ),
    (
        _slip(lambda a, v, w, u: 1 / _second(a, v, w, u)),
        "the second factor is upside down: cos((1 - alpha) V) is divided by W.",
    ),
    (
        _slip(lambda a, v, w, u: (np.cos((1 - a) * v) * w) ** ((1 - a) / a)),
        "the cosine is multiplied by W where it must be divided by it.",
    ),
    (
        _slip(lambda a, v, w, u: (np.cos((1 - a) * v) / w) ** (a / (1 - a))),
        "the second exponent is alpha/(1 - alpha), upside down.",
    ),
    (
        lambda a, v, w, u: np.sin(v) / np.cos(v) ** (1 / a) * _second(a, v, w, u),
        "sin(V) stands where sin(alpha V) belongs.",
    ),
    (
        lambda a, v, w, u: np.sin(a * v) / np.cos(v) * _second(a, v, w, u),
        "cos(V) is not raised to the power 1/alpha.",
    ),
    (
        lambda a, v, w, u: np.sin(a * v) / np.cos(v) ** a * _second(a, v, w, u),
        "cos(V) is raised to the power alpha, not 1/alpha.",
    ),
    (
        lambda a, v, w, u: _same_uniform(a, u),
        "V and W are made from the same random numbers. They must be independent: draw twice.",
    ),
    (
        lambda a, v, w, u: _formula(a, np.pi / 2 * (v / np.pi), w),
        "V lies between -pi/4 and pi/4; torch.rand is uniform on (0, 1), so pi (rand - 1/2).",
    ),
    (
        lambda a, v, w, u: _formula(a, v / np.pi, w),
        "V lies between -1/2 and 1/2: the factor pi is missing.",
    ),
    (
        lambda a, v, w, u: (np.sin(a * v) / np.cos(v)) ** (1 / a) * _second(a, v, w, u),
        "sin(alpha V) is under the power 1/alpha too: only cos(V) is, and the sine is often negative.",
    ),
    (
        _slip(lambda a, v, w, u: np.cos((1 - a) * v) / w ** ((1 - a) / a)),
        "the second power takes W alone: put the quotient cos((1 - alpha) V)/W in parentheses.",
    ),
)


def _formula(a, v, w):
    return np.sin(a * v) / np.cos(v) ** (1 / a) * _second(a, v, w, None)


def _same_uniform(a, u):
    return _formula(a, np.pi * (u - 0.5), -np.log(u))


def wrong_formula(samples: list[np.ndarray], alphas: list[float]) -> str | None:
    """What was done, where all samples look like draws from the same wrong formula."""
    rng = np.random.default_rng(11)
    for formula, message in WRONG_FORMULAS:
        fits = True
        for x, alpha in zip(samples, alphas, strict=True):
            v, u = np.pi * (rng.random(len(x)) - 0.5), 1 - rng.random(len(x))
            with np.errstate(all="ignore"):
                reference = np.asarray(formula(np.float64(alpha), v, -np.log(u), u), dtype=float)
            lost = np.isnan(x).mean() - np.isnan(reference).mean()
            fits = fits and abs(lost) < 0.02 and same_law(x, reference)
        if fits:
            return message
    return None


def one_exponential(samples: list[np.ndarray], alphas: list[float]) -> str | None:
    """What was done, where all draws of a sample have the same W, whatever it is."""
    rng = np.random.default_rng(12)
    for x, alpha in zip(samples, alphas, strict=True):
        reference = _formula(alpha, np.pi * (rng.random(len(x)) - 0.5), 1.0)
        size = np.median(np.abs(x)) / np.median(np.abs(reference))
        if not same_law(x, size * reference):
            return None
    return "W is the same number for all draws: give its torch.rand the size, as that of V."
