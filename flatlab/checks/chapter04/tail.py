"""The estimator of the tail index, on samples whose sums are known."""

from __future__ import annotations

import math

import numpy as np
import torch

from flatlab.checks.answers import array, compare
from flatlab.checks.core import Exercise
from flatlab.checks.toys import normal

tail_index = Exercise(
    "tail_index",
    remaining=(
        "noise as a matrix, one row for each minibatch",
        "another scale",
        "a k1 that does not divide the sample",
    ),
)

HINTS = (
    (
        "must be Tensor, not int",
        "torch.log takes tensors; k1 is a plain number, so math.log(k1).",
    ),
    ("is invalid for input of size", "The entries are to stand in rows of k1: reshape(-1, k1)."),
    ("only one element tensors", "math.log takes one number; torch.log takes a tensor."),
    ("only 0-dimensional arrays", "math.log takes one number; torch.log takes a tensor."),
    ("math domain error", "The logarithm is of |Y| and |X|: take the absolute values."),
    ("view size is not compatible", "Use reshape, or contiguous() before view."),
)


def mean_log(x: np.ndarray) -> float:
    return float(np.log(np.abs(x)).mean())


def estimate(x: np.ndarray, k1: int) -> float:
    """1/alpha = (mean log|Y| - mean log|X|) / log k1, over consecutive blocks."""
    return math.log(k1) / (mean_log(x.reshape(-1, k1).sum(1)) - mean_log(x))


def index_mistakes(x: np.ndarray, k1: int) -> list[tuple]:
    """What wrong estimates equal, and what was done."""
    k2 = len(x) // k1
    blocks = x.reshape(k2, k1)
    y, log_x, log_k1 = blocks.sum(1), mean_log(x), math.log(k1)
    log_y = mean_log(y)
    rise = log_y - log_x
    of_means = math.log(np.abs(y).mean()) - math.log(np.abs(x).mean())
    apart = mean_log(x.reshape(k1, k2).sum(0)) - log_x
    swapped = mean_log(x.reshape(k1, k2).sum(1)) - log_x
    wrong = [
        (rise / log_k1, "This is 1/alpha: turn it over."),
        (-log_k1 / rise, "The sign is turned: the sums are larger, so mean log|Y| comes first."),
        (
            log_k1 / of_means,
            "This takes logarithms of means. The logarithm comes first, then the mean.",
        ),
        (1 / rise, "It is not divided by log k1: log of the sizes grows by log(k1)/alpha."),
        (rise, "This is mean log|Y| - mean log|X|; alpha is log k1 divided by it."),
        (
            1 / (log_y - log_x / log_k1),
            "mean log|Y| - mean log|X| / log k1 divides the last term only: parentheses.",
        ),
        (
            math.log(k2) / rise,
            "It divides by log k2, the number of sums; k1 is how many are added.",
        ),
        (k1 / rise, "It has k1 where log k1 belongs."),
        (
            log_k1 / apart,
            (
                "It adds entries that lie k2 apart; Y_j is the sum of k1 consecutive ones: rows of "
                "reshape(-1, k1), summed over dim 1."
            ),
        ),
        (
            log_k1 / swapped,
            "It makes k1 sums of k2 entries: it should be k2 sums of k1 entries each.",
        ),
        (
            log_k1 / (mean_log(x.reshape(k2, k1).sum(0)) - log_x),
            "It adds k2 entries that lie k1 apart: sum the rows of reshape(-1, k1) over dim 1, not 0.",
        ),
        (
            math.log(k2) / swapped,
            "k1 and k2 have changed places: k1 consecutive entries are added.",
        ),
        (
            log_k1 / (rise - log_k1),
            "It takes the means of the blocks. Y_j is their sum.",
        ),
        (
            log_k1 / (mean_log(np.abs(blocks).sum(1)) - log_x),
            "|X| is added up. The sum comes first, then the absolute value: signs must cancel.",
        ),
        (log_k1 / (2 * rise), "It is half of the estimate: is one of the sizes squared?"),
        (2 * log_k1 / rise, "It is twice the estimate."),
        (
            log_k1 / (k2 * log_y - k1 * k2 * log_x),
            "The logarithms are added up: take their means, over k2 sums and over k1 k2 entries.",
        ),
        (
            log_k1 / (log_y / k1 - log_x),
            "Both sums of logarithms are divided by K. There are only k2 sums Y: take .mean() of each.",
        ),
        (math.log10(k1) / rise, "log10 here, log there: both logarithms need the same base."),
        (math.log2(k1) / rise, "log2 here, log there: both logarithms need the same base."),
        (
            log_k1 / (math.log(abs(x.sum())) - log_x),
            "All entries are added to one number: .sum(1) adds each row of k1 entries.",
        ),
    ]
    return [(value, message) for value, message in wrong if math.isfinite(value)]


@tail_index.check("a sample of a heavy-tailed law")
class HeavySample:
    hints = HINTS

    def draw(self, generator):
        """Ratios of normal numbers, which are Cauchy, and a small shift: 60 = 6 x 10."""
        return {"x": 0.3 + normal(generator, 60) / normal(generator, 60), "k1": 6}

    def call(self, student, inputs):
        x = torch.tensor(inputs["x"])
        result = student(x, inputs["k1"])
        return {"alpha": array(result, ()), "after": x}

    def verdict(self, inputs, outputs):
        x, k1 = np.asarray(inputs["x"]), inputs["k1"]
        if np.isnan(outputs["alpha"]):
            return "The result is NaN: half of the entries are negative, so take log|X| and log|Y|."
        wrong = compare(
            outputs["alpha"],
            estimate(x.reshape(-1), k1),
            1e-3,
            index_mistakes(x.reshape(-1), k1),
            f"For {x.size} entries and k1 = {k1} the estimate is {{expected}}; yours is {{got}}.",
        )
        if wrong is None and not np.array_equal(outputs["after"], x):
            return "The x that was passed in has changed. Work on a copy, such as x.abs()."
        return wrong


@tail_index.check("blocks whose sums are known")
class KnownSums:
    """Blocks a (1, 1, 1, -1) add up to 2a = 4^(1/2) a; blocks a (2 + r, 2 - r) to 4a = 2^(1/0.5) a.

    Nine 1 and seven -1, times a, add up to 2a = 16^(1/4) a: an estimate may be above 2.
    """

    hints = HINTS

    def draw(self, generator):
        scales = torch.exp(2 * normal(generator, 15, 1)) * torch.sign(normal(generator, 15, 1))
        root = math.sqrt(3)
        blocks = ([1.0, 1.0, 1.0, -1.0], [2 + root, 2 - root], [1.0] * 9 + [-1.0] * 7)
        return {
            "samples": [
                (scales * torch.tensor(block, dtype=torch.float64)).flatten() for block in blocks
            ],
            "k1": [4, 2, 16],
            "alphas": [2.0, 0.5, 4.0],
        }

    def call(self, student, inputs):
        pairs = zip(inputs["samples"], inputs["k1"])
        return {"alphas": [array(student(torch.tensor(x), int(k1)), ()) for x, k1 in pairs]}

    def verdict(self, inputs, outputs):
        for got, alpha, k1 in zip(outputs["alphas"], inputs["alphas"], inputs["k1"], strict=True):
            if not abs(got - alpha) <= 2e-3 * alpha:
                return (
                    f"Where every sum of k1 = {k1} entries is {k1}^(1/{alpha:g}) times as large as its "
                    f"entries (in the mean of the logarithms), alpha is {alpha:g}; yours is {got:.4g}."
                )
        return None
