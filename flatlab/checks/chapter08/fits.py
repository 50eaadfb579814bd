"""Linear fits by their singular values, what wrong ones equal, and how a fit is read and drawn."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

from flatlab.checks.answers import array, close
from flatlab.checks.core import WrongAnswer
from flatlab.checks.toys import normal

ZERO = 1e-10  # of the largest singular value: what lies below is rounding
SHAPES = (
    "Write the shape beside each factor: features (n, N), targets (n,) or (n, k), coefficients (N,) "
    "or (N, k)."
)
COLUMNS = (
    "With targets (n, k), a tensor of shape (r,) divides along the last axis, column by column. To "
    "divide row by row it needs the shape (r, 1)."
)
HINTS = (
    ("size mismatch", SHAPES),
    ("shapes cannot be multiplied", SHAPES),
    ("inconsistent tensor size", SHAPES),
    ("Incompatible matrix sizes", SHAPES),
    ("Incompatible shapes", SHAPES),
    ("mismatch in its core dimension", SHAPES),
    ("must match the size of tensor", COLUMNS),
    ("could not be broadcast", COLUMNS),
    ("square matri", "features is (n, N): only a square matrix has an inverse."),
    ("must be square", "features is (n, N): only a square matrix has an inverse."),
)


TURNED = "vh is transposed already, as torch.linalg.svd returns it: vh.T stands in the inverse."


def spectral(features: np.ndarray, targets: np.ndarray, of: Callable) -> np.ndarray:
    """V diag(of(s)) U' targets over the singular values s that are not 0: (N,) or (N, k)."""
    u, s, vh = np.linalg.svd(features, full_matrices=False)
    kept = s > ZERO * s.max()
    return (vh[kept].T * of(s[kept])) @ (u[:, kept].T @ targets)


def minimum_norm(features: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """The shortest of all b that minimize |features b - targets|^2."""
    return spectral(features, targets, lambda s: 1 / s)


def ridge(features: np.ndarray, targets: np.ndarray, penalty: float) -> np.ndarray:
    """argmin |features b - targets|^2 + penalty |b|^2; for penalty 0 its limit."""
    return spectral(features, targets, lambda s: s / (s**2 + penalty))


def matrix(generator: torch.Generator, n: int, count: int, values: Sequence[float]) -> torch.Tensor:
    """An (n, count) matrix with these singular values and random singular vectors."""
    u, _ = torch.linalg.qr(normal(generator, n, len(values)))
    v, _ = torch.linalg.qr(normal(generator, count, len(values)))
    return u @ torch.diag(torch.tensor(values, dtype=torch.float64)) @ v.T


def spread(rank: int) -> list[float]:
    """Singular values from 0.6 to 2, well apart from each other."""
    return torch.linspace(0.6, 2, rank, dtype=torch.float64).tolist()


def coefficients(result: object, features: torch.Tensor, targets: torch.Tensor) -> np.ndarray:
    """What a fit returned, as an array of shape (N,) or (N, k)."""
    if hasattr(result, "solution"):
        raise WrongAnswer("It returned all that lstsq gives: the coefficients are its .solution.")
    shape, fitted = (features.shape[1], *targets.shape[1:]), tuple(targets.shape)
    if result is not None and not isinstance(result, torch.Tensor):
        raise WrongAnswer(
            f"It returned a {type(result).__name__}: a tensor of shape {shape} is needed."
        )
    got = None if result is None else tuple(result.shape)
    if got == fitted != shape:
        raise WrongAnswer(
            f"It returned shape {got}, that of the targets: are these the fitted values? Or is features.T @ "
            f"missing before a solution of n equations? The coefficients are asked for, of shape {shape}."
        )
    return array(result, shape)


def penalty_of(features: np.ndarray, targets: np.ndarray, b: np.ndarray) -> float | None:
    """The penalty whose ridge fit b is, where it is one: features' (targets - features b) = penalty b."""
    left = features.T @ (targets - features @ b)
    size = float((b * b).sum())
    penalty = float((left * b).sum()) / size if size > 0 else 0.0
    scale, largest = np.linalg.norm(features.T @ targets), np.linalg.norm(features, 2) ** 2
    if penalty > 1e-5 * largest and np.linalg.norm(left - penalty * b) < 1e-5 * scale:
        return penalty
    return None


def centered(x: np.ndarray) -> np.ndarray:
    return x - x.mean(axis=0)


def scaled_columns(features: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """The minimum-norm fit on columns of length 1, in the coefficients of the features as they are."""
    lengths = np.linalg.norm(features, axis=0)
    lengths[lengths == 0] = 1
    return (minimum_norm(features / lengths, targets).T / lengths).T


def fit_mistakes(features: np.ndarray, targets: np.ndarray) -> list[tuple]:
    """What wrong minimum-norm fits equal, and what was done."""
    n, count = features.shape
    right = minimum_norm(features, targets)
    intercept = "There is no intercept here: targets and features are taken as they are."
    wrong = [
        (np.zeros_like(right), "All coefficients are 0."),
        (-right, "The sign of every coefficient is turned."),
        (
            features.T @ targets,
            "This is features.T @ targets: its product with an inverse is missing.",
        ),
        (
            spectral(features, targets, lambda s: 1 / s**2),
            "It divides by the squares of the singular values: the inverse of u diag(s) vh has 1 / s.",
        ),
        (
            spectral(features, targets, np.ones_like),
            "The singular values are left out: each is turned over, 1 / s.",
        ),
        (
            spectral(features, targets, lambda s: 1 / np.sqrt(s)),
            (
                "It divides by the roots of the singular values: they are roots already, of the eigenvalues "
                "of features.T @ features."
            ),
        ),
        (
            minimum_norm(features, centered(targets)),
            f"The mean of the targets is subtracted. {intercept}",
        ),
        (
            minimum_norm(centered(features), targets),
            f"The mean of each feature is subtracted, or a column of ones was added. {intercept}",
        ),
        (right / n, "It is divided by n: a mean of squares has its minimum where the sum has it."),
        (right / count, "It is divided by N."),
    ]
    if not close(scaled := scaled_columns(features, targets), right, 1e-3):
        wrong.append(
            (
                scaled,
                (
                    "Each feature is divided by its length first: then another norm is the smallest, in which "
                    "the coefficients of long features count more."
                ),
            )
        )
    u, s, vh = np.linalg.svd(features, full_matrices=False)
    values = s[s > ZERO * s.max()]
    if len(values) == count:
        wrong.append(((vh / s) @ (u.T @ targets), TURNED))
    for kept in range(1, len(values)):
        least = values[kept - 1]
        wrong.append(
            (
                spectral(features, targets, lambda s, least=least: (s >= 0.999 * least) / s),
                (
                    f"It uses the {kept} largest of {len(values)} singular values. Only those are left out "
                    "that are 0 up to rounding, which is about 1e-16 of the largest."
                ),
            )
        )
    return wrong


def fit_verdict(
    features: np.ndarray, targets: np.ndarray, got: np.ndarray, tolerance: float = 1e-4
) -> str | None:
    """None where ``got`` is the minimum-norm fit, else the likely cause."""
    right = minimum_norm(features, targets)
    if not np.isfinite(got).all():
        return "It holds NaN or inf: was a singular value of 0 inverted?"
    if close(got, right, tolerance):
        return None
    for value, message in fit_mistakes(features, targets):
        if close(got, value, 1e-5) and not close(value, right, 3 * tolerance):
            return message
    if penalty := penalty_of(features, targets, got):
        return (
            f"This is the ridge fit of the penalty {penalty:.3g}, which makes the coefficients smaller: "
            "none is asked for here."
        )
    return _by_norm(features, targets, got, right)


def _by_norm(features: np.ndarray, targets: np.ndarray, got: np.ndarray, right: np.ndarray) -> str:
    """What norm and residual say of a fit that equals no known mistake."""
    n, count = features.shape
    norm, shortest = float(np.linalg.norm(got)), float(np.linalg.norm(right))
    left = float(((features @ got - targets) ** 2).sum())
    least = float(((features @ right - targets) ** 2).sum())
    if norm > 1e5 * shortest:
        return (
            f"The coefficients have norm {norm:.3g}; {shortest:.3g} is enough for the same fit. Something "
            "that is 0 up to rounding was inverted: here features.T @ features has no inverse."
        )
    if left <= least + 1e-6 * float((targets**2).sum()):
        unused = int((np.abs(got.reshape(count, -1)).max(axis=1) == 0).sum())
        if unused and unused >= count - n > 0:
            return (
                f"It fits as well as can be, but {unused} of the {count} coefficients are 0, and the norm "
                f"is {norm:.3g}. Spread over all features the norm can be {shortest:.3g}."
            )
        return (
            f"It fits as well as can be, but the norm of the coefficients is {norm:.3g}; the smallest "
            f"is {shortest:.3g}. What can be added to coefficients so that features @ coefficients stays? "
            "features.T @ features has no inverse here, and a descent keeps a part of a start other than 0."
        )
    if np.linalg.matrix_rank(features) < count:
        return (
            f"The sum of the squared residuals is {left:.3g}; the least is {least:.3g}, with coefficients "
            f"of norm {shortest:.3g}. features.T @ features has no inverse here: is one used?"
        )
    text = (
        f"The sum of the squared residuals is {left:.3g}; the least is {least:.3g}, with coefficients "
        f"of norm {shortest:.3g}, and yours have {norm:.3g}."
    )
    if n > count and left > 2 * float((targets**2).sum()):
        return f"{text} features @ features.T has no inverse where samples outnumber features: is one used?"
    if norm < shortest:
        return f"{text} Was a descent stopped too early?"
    return text


class Fitted:
    """Not a check by itself: a subclass says which data are fitted, and how the fit is judged."""

    hints = HINTS
    measured = ("after",)
    n, count, outputs, scale = 9, 4, (), 1.0

    def draw(self, generator):
        features = matrix(generator, self.n, self.count, spread(min(self.n, self.count)))
        targets = 1 + normal(generator, self.n, *self.outputs)
        return {"features": self.scale * features, "targets": targets}

    def call(self, student, inputs):
        features, targets = torch.tensor(inputs["features"]), torch.tensor(inputs["targets"])
        fit = coefficients(self.fitted(student, features, targets, inputs), features, targets)
        return {"fit": fit, "after": [features, targets]}

    def fitted(self, student, features, targets, inputs):
        return student(features, targets)

    def verdict(self, inputs, outputs):
        features, targets = np.asarray(inputs["features"]), np.asarray(inputs["targets"])
        for name, after in zip(("features", "targets"), outputs["after"], strict=True):
            if not np.array_equal(after, inputs[name]):
                return (
                    f"It writes into the caller's {name}: `-=` and `/=` change a tensor in place. Make a "
                    "new one."
                )
        return self.judged(features, targets, outputs["fit"], inputs)

    def judged(self, features, targets, got, inputs):
        return fit_verdict(features, targets, got)
