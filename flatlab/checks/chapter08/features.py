"""Random Fourier features, entry by entry and by the kernel that many of them tend to."""

from __future__ import annotations

import math

import numpy as np
import torch

from flatlab.checks.answers import array, compare
from flatlab.checks.core import Exercise, WrongAnswer
from flatlab.checks.toys import normal

random_fourier_features = Exercise(
    "random_fourier_features",
    remaining=("a single feature", "one point of one number", "the kernel of many features"),
)

NAMES = ("x", "frequencies", "phases")
HINTS = (
    (
        "shapes cannot be multiplied",
        "x is (n, d) and frequencies (d, N): which product of the two is (n, N)?",
    ),
    (
        "doesn't match the broadcast shape",
        "`+=` writes into the tensor on its left, which has another shape: write a + b instead.",
    ),
    (
        "must match the size of tensor",
        (
            "x @ frequencies, the matrix product, has the shape (n, N). phases has one entry for each of its "
            "columns."
        ),
    ),
    (
        "must be Tensor, not float",
        "torch.cos and torch.sqrt take tensors; math.sqrt takes single numbers, such as 2 / N.",
    ),
    ("only one element tensors", "math.cos takes single numbers; torch.cos takes tensors."),
    ("converted to Scalar", "math.cos takes single numbers; torch.cos takes tensors."),
    ("only 0-dimensional arrays", "math.cos takes single numbers; torch.cos takes tensors."),
)


def features_of(x: np.ndarray, frequencies: np.ndarray, phases: np.ndarray) -> np.ndarray:
    """sqrt(2/N) cos(x frequencies + phases): (n, N) (Rahimi and Recht, 2007, algorithm 1)."""
    return math.sqrt(2 / len(phases)) * np.cos(x @ frequencies + phases)


def feature_mistakes(x: np.ndarray, frequencies: np.ndarray, phases: np.ndarray) -> list[tuple]:
    """What wrong features equal, and what was done."""
    (n, d), count = x.shape, len(phases)
    factor, product = math.sqrt(2 / count), x @ frequencies
    waves = np.cos(product + phases)
    return [
        (waves, "The factor sqrt(2/N) is missing."),
        (math.sqrt(2) / count * waves, "The factor is sqrt(2) / N: N stands under the root too."),
        (
            2 / math.sqrt(count) * waves,
            (
                "The factor is 2 / sqrt(N): the 2 stands under the root too. 2 / N ** 0.5 takes the power "
                "first: (2 / N) ** 0.5."
            ),
        ),
        (2 / count * waves, "The factor is 2 / N: its root is missing."),
        (
            1 / math.sqrt(count) * waves,
            "The factor is sqrt(1/N): the 2 is missing, which makes up for cos^2, whose mean is 1/2.",
        ),
        (
            math.sqrt(2 * count) * waves,
            "The factor is sqrt(2 N): divide by N.",
        ),
        (
            math.sqrt(2 / n) * waves,
            "Under the root stands the number of points, n: N is the number of features.",
        ),
        (
            math.sqrt(2 / d) * waves,
            "Under the root stands d, how many numbers a point has: N is the number of features.",
        ),
        (factor * np.sin(product + phases), "It takes the sine: the features are cosines."),
        (factor * np.cos(product), "The phases are missing."),
        (factor * np.cos(product - phases), "The phases are subtracted: they are added."),
        (factor * (np.cos(product) + phases), "The phases are added after the cosine."),
        (factor * np.cos(product) + phases, "The phases are added after the cosine."),
        (
            factor * np.cos(x @ (frequencies + phases)),
            (
                "The phases are added to the frequencies, and then multiplied by x: add them after the "
                "product."
            ),
        ),
        (
            factor * np.cos(product + 2 * np.pi * phases),
            "The phases are multiplied by 2 pi: they are angles already, between 0 and 2 pi.",
        ),
        (
            factor * np.cos(2 * np.pi * product + phases),
            "The product is multiplied by 2 pi: x @ frequencies is an angle already.",
        ),
        (
            factor * np.cos(2 * np.pi * (product + phases)),
            "The angle is multiplied by 2 pi: x @ frequencies + phases is an angle already.",
        ),
        (
            factor * np.cos(np.radians(product + phases)),
            "The angle is turned from degrees to radians: it is in radians already.",
        ),
        (
            math.sqrt(2 / (d * count)) * waves,
            "Under the root stands d N, all entries of frequencies: N alone.",
        ),
        (factor**2 * waves**2, "The features are squared: the kernel is a product of two of them."),
        (
            waves / np.linalg.norm(waves, axis=1, keepdims=True),
            "Each row is divided by its own length: the factor is sqrt(2/N), the same for all rows.",
        ),
        (
            factor * np.maximum(product + phases, 0),
            "These are ReLU features: the ones here are cosines.",
        ),
        (
            np.cos(factor * (product + phases)),
            "The factor stands inside the cosine: it multiplies the feature.",
        ),
        (
            np.zeros_like(waves),
            "All features are 0. In Python 2 // N is a whole number, 0 for N > 2.",
        ),
    ]


def read_tensor(value: object) -> object:
    """A returned tensor, or None; a list would not do in the experiments."""
    if value is not None and not isinstance(value, torch.Tensor):
        raise WrongAnswer(f"It returned a {type(value).__name__}: one tensor (n, N) is needed.")
    return value


class Features:
    """Not a check by itself: a subclass says how many points, numbers and features."""

    hints = HINTS
    measured = ("after",)
    n, d, count = 4, 3, 5

    def draw(self, generator):
        phases = torch.rand(self.count, generator=generator, dtype=torch.float64)
        x, frequencies = normal(generator, self.n, self.d), normal(generator, self.d, self.count)
        return dict(zip(NAMES, (x, frequencies, 2 * math.pi * phases), strict=True))

    def call(self, student, inputs):
        given = [torch.tensor(inputs[name]) for name in NAMES]
        n, count = len(given[0]), len(given[2])
        features = read_tensor(student(*given))
        if np.shape(features) == (n, 2 * count):
            raise WrongAnswer(
                f"It returned shape ({n}, {2 * count}): with the phases each frequency has one feature, its "
                "cosine, and no sine besides."
            )
        if n != count and np.shape(features) == (count, n):
            raise WrongAnswer(
                f"It returned shape ({count}, {n}): it is transposed. A row for each point and a column "
                "for each feature are needed."
            )
        return {"features": array(features, (n, count)), "after": given}

    def verdict(self, inputs, outputs):
        given = [np.asarray(inputs[name]) for name in NAMES]
        got = outputs["features"]
        for name, before, after in zip(NAMES, given, outputs["after"], strict=True):
            if not np.array_equal(before, after):
                return (
                    f"It writes into the caller's {name}: `+=` and `*=` change a tensor in place. "
                    "Make a new one."
                )
        if len(got) > 1 and (got == got[:1]).all() and got.any():
            return f"All {len(got)} rows are the same: is it one tensor, put into a list {len(got)} times?"
        return compare(
            got,
            features_of(*given),
            1e-4,
            feature_mistakes(*given),
            "The first features of the first point should be {expected}; yours are {got}.",
        )


@random_fourier_features.check("five features of four points")
class FiveFeatures(Features):
    pass


class Kernel:
    """Not a check by itself: inner products of many features tend to exp(-|x - y|^2 / 2 sigma^2)."""

    hints = HINTS
    sigma, count = 1.5, 10_000

    def draw(self, generator):
        x = normal(generator, 4, 2)
        phases = torch.rand(self.count, generator=generator, dtype=torch.float64)
        frequencies = normal(generator, 2, self.count) / self.sigma
        return {"x": x, "frequencies": frequencies, "phases": 2 * math.pi * phases}

    def call(self, student, inputs):
        given = [torch.tensor(inputs[name]) for name in NAMES]
        features = read_tensor(student(*given))
        features = torch.as_tensor(array(features, (len(given[0]), len(given[2]))))
        return {"kernel": features @ features.T}

    def verdict(self, inputs, outputs):
        right = gaussian_kernel(np.asarray(inputs["x"]), self.sigma)
        far = float(np.abs(outputs["kernel"] - right).max())
        if not far < 6 / math.sqrt(self.count):  # six standard errors at least; NaN fails too
            return (
                "The inner products of many features should be those of the Gaussian kernel; one of "
                f"yours is off by {far:.3g}."
            )
        return None


def gaussian_kernel(x: np.ndarray, sigma: float) -> np.ndarray:
    """exp(-|x_i - x_j|^2 / (2 sigma^2)) for all pairs of rows."""
    squares = ((x[:, None] - x[None]) ** 2).sum(-1)
    return np.exp(-squares / (2 * sigma**2))
