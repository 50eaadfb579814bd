"""Ridge regression: its minimum, its limit, and the smaller of its two systems of equations."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from flatlab.checks.answers import close
from flatlab.checks.chapter02.batches import lent
from flatlab.checks.chapter04.refusals import refusal, refusal_verdict
from flatlab.checks.chapter08.fits import (
    HINTS,
    TURNED,
    Fitted,
    centered,
    coefficients,
    fit_verdict,
    matrix,
    minimum_norm,
    penalty_of,
    ridge,
    spread,
)
from flatlab.checks.core import Exercise
from flatlab.checks.guard import Meter
from flatlab.checks.toys import normal

ridge_fit = Exercise(
    "ridge_fit",
    remaining=(
        "targets in columns",
        "a penalty of 0 where features repeat",
        "a negative penalty",
    ),
)

LIMIT = (
    "With a penalty of 0 the matrix may have no inverse. Where do the coefficients go as the penalty "
    "goes to 0?"
)
RIDGE_HINTS = (
    ("ingular", LIMIT),
    ("positive-definite", LIMIT),
    ("positive definite", LIMIT),
    (
        "must match the size of tensor",
        (
            "The identity has the size of the matrix that it is added to: N for features.T @ features, n for "
            "features @ features.T."
        ),
    ),
    (
        "could not be broadcast",
        (
            "The identity has the size of the matrix that it is added to: N for features.T @ features, n for "
            "features @ features.T."
        ),
    ),
    *HINTS,
    ("ValueError", "A penalty of 0 or more is right: only a negative one is refused."),
)


def lent_minimum_norm_fit(features: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """The shortest least-squares fit, lent to answers that call it."""
    return torch.linalg.pinv(features) @ targets


def lent_ridge_fit(
    features: torch.Tensor, targets: torch.Tensor, penalty: float | torch.Tensor
) -> torch.Tensor:
    """The ridge fit, lent to answers that call it."""
    u, s, vh = torch.linalg.svd(features, full_matrices=False)
    return (vh.T * (s / (s**2 + penalty))) @ (u.T @ targets)


def everywhere(features: np.ndarray, targets: np.ndarray, penalty: float) -> np.ndarray:
    """The penalty added to every entry of the Gram matrix, the smaller one."""
    n, count = features.shape
    if count <= n:
        return np.linalg.solve(features.T @ features + penalty, features.T @ targets)
    return features.T @ np.linalg.solve(features @ features.T + penalty, targets)


def ridge_mistakes(features: np.ndarray, targets: np.ndarray, penalty: float) -> list[tuple]:
    """What wrong ridge fits equal, and what was done; ``penalty`` is positive."""
    n, count = features.shape

    def of(other: float) -> np.ndarray:
        return ridge(features, targets, other)

    shortest, right = minimum_norm(features, targets), of(penalty)
    u, s, vh = np.linalg.svd(features, full_matrices=False)
    wrong = [
        (shortest, "The penalty has no effect: this is the fit without one."),
        (
            of(penalty * n),
            (
                "The penalty is multiplied by n: here it stands beside the sum of the squares, not beside "
                "their mean."
            ),
        ),
        (
            of(penalty / n),
            (
                "The penalty is divided by n: it stands beside the sum of the squares, and so do the squares "
                "themselves."
            ),
        ),
        (of(penalty * count), "The penalty is multiplied by N, the number of features."),
        (of(penalty / count), "The penalty is divided by N, the number of features."),
        (of(2 * penalty), "The penalty counts twice: the derivatives of both terms have a 2."),
        (of(penalty / 2), "Half of the penalty counts: the derivatives of both terms have a 2."),
        (
            of(penalty**2),
            "The penalty is squared: lambda enters as it is. Rows added to the features hold its root.",
        ),
        (of(penalty**0.5), "The root of the penalty is taken: lambda enters as it is."),
        (
            everywhere(features, targets, penalty),
            (
                "The penalty is added to every entry of the matrix. penalty |b|^2 has the derivative "
                "2 penalty b: which matrix times b is penalty b?"
            ),
        ),
        (
            shortest / (1 + penalty),
            (
                "The fit without a penalty is divided by 1 + penalty, which is right only where all singular "
                "values are 1."
            ),
        ),
        (
            features.T @ targets,
            "This is features.T @ targets: its product with an inverse is missing.",
        ),
        (
            features.T @ targets / penalty,
            "This is features.T @ targets / penalty: features.T @ features is missing beside the penalty.",
        ),
        (-right, "The sign of every coefficient is turned."),
        (
            ridge(centered(features), targets, penalty),
            (
                "The mean of each feature is subtracted. There is no intercept here: features and targets are "
                "taken as they are."
            ),
        ),
        (
            ridge(features, centered(targets), penalty),
            "The mean of the targets is subtracted. There is no intercept here.",
        ),
    ]
    for factors, message in (
        (s / (s**2 - penalty), "The penalty is subtracted from the matrix: it is added."),
        (
            s / (s + penalty),
            (
                "The singular values are not squared: they are s in the features, s^2 in features.T @ "
                "features."
            ),
        ),
        (
            1 / (s**2 + penalty),
            "A factor s is missing for each singular value: features.T holds one too.",
        ),
        (
            1 / (s + penalty),
            "The penalty is added to the singular values: it stands beside their squares.",
        ),
        (
            s**2 / (s**2 + penalty),
            (
                "The factors are s^2 / (s^2 + penalty), those of the fitted values: the coefficients have s "
                "above."
            ),
        ),
    ):
        wrong.append(((vh.T * factors) @ (u.T @ targets), message))
    if count <= n:
        wrong.append(((vh * (s / (s**2 + penalty))) @ (u.T @ targets), TURNED))
    return wrong


def ridge_verdict(
    features: np.ndarray, targets: np.ndarray, penalty: float, got: np.ndarray
) -> str | None:
    """None where ``got`` is the ridge fit, else the likely cause."""
    right = ridge(features, targets, penalty)
    if not np.isfinite(got).all():
        return "It holds NaN or inf."
    if close(got, right, 1e-4):
        return None
    for value, message in ridge_mistakes(features, targets, penalty):
        if close(got, value, 1e-5) and not close(value, right, 3e-4):
            return message
    if other := penalty_of(features, targets, got):
        return f"This is the ridge fit of the penalty {other:.4g}; {penalty:g} was given."
    left = float(np.linalg.norm(features.T @ (targets - features @ got)))
    return (
        "At the minimum the derivative is 0: features.T @ residuals = penalty * coefficients. With yours "
        f"the left side has norm {left:.3g}, the right side {penalty * np.linalg.norm(got):.3g}."
    )


class Ridge(Fitted):
    """Not a check by itself: a subclass says which data."""

    hints = RIDGE_HINTS
    penalty = 0.7

    def draw(self, generator):
        return {**super().draw(generator), "penalty": self.penalty}

    def fitted(self, student, features, targets, inputs):
        with lent(student, minimum_norm_fit=lent_minimum_norm_fit):
            return student(features, targets, float(inputs["penalty"]))

    def judged(self, features, targets, got, inputs):
        return ridge_verdict(features, targets, float(inputs["penalty"]), got)


@ridge_fit.check("fewer features than samples")
class FewFeatures(Ridge):
    pass


@ridge_fit.check("more features than samples")
class ManyFeatures(Ridge):
    n, count, penalty = 5, 9, 0.3


@ridge_fit.check("a penalty of 0")
class NoPenalty(Ridge):
    """The limit: the minimum-norm fit."""

    n, count, penalty = 5, 9, 0.0

    def judged(self, features, targets, got, inputs):
        message = fit_verdict(features, targets, got)
        return message and f"With a penalty of 0 it should be the minimum-norm fit. {message}"


@ridge_fit.check("the smaller of two systems")
class SmallerSystem:
    hints = RIDGE_HINTS
    shapes = ((200, 5), (5, 200))

    def draw(self, generator):
        return {
            "features": [matrix(generator, n, count, spread(5)) for n, count in self.shapes],
            "targets": [normal(generator, n) for n, _ in self.shapes],
            "penalty": 0.5,
        }

    def call(self, student: Callable, inputs):
        largest = []
        for features, targets in zip(inputs["features"], inputs["targets"], strict=True):
            features, targets = torch.tensor(features), torch.tensor(targets)
            with lent(student, minimum_norm_fit=lent_minimum_norm_fit), Meter() as meter:
                fit = student(features, targets, float(inputs["penalty"]))
            coefficients(fit, features, targets)
            largest.append(meter.largest)
        return {"largest": largest}

    def verdict(self, inputs, outputs):
        for features, largest in zip(inputs["features"], outputs["largest"], strict=True):
            n, count = np.shape(features)
            if largest >= max(n, count) ** 2:
                return (
                    f"With n = {n} and N = {count} it makes a tensor of {largest} numbers; the features "
                    f"are {n * count}. One of the two systems has only {min(n, count)} equations."
                )
        return None


class Negative:
    """Not a check by itself: penalties that are refused."""

    def draw(self, generator):
        return {
            "features": normal(generator, 4, 3),
            "targets": normal(generator, 4),
            "penalties": [-1e-3, -2.0],
        }

    def call(self, student, inputs):
        features, targets = torch.tensor(inputs["features"]), torch.tensor(inputs["targets"])
        raised = [refusal(student, features, targets, float(p)) for p in inputs["penalties"]]
        return {"raised": raised}

    def verdict(self, inputs, outputs):
        for penalty, raised in zip(inputs["penalties"], outputs["raised"], strict=True):
            if message := refusal_verdict(raised, f"a penalty of {penalty:g}"):
                return message
        return None
