"""Generalized cross-validation by the hat matrix of each penalty, and what wrong scores equal."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np


def hat(features: np.ndarray, penalty: float) -> np.ndarray:
    """H with H targets = features @ ridge_fit: (n, n)."""
    gram = features.T @ features
    return features @ np.linalg.solve(gram + penalty * np.eye(len(gram)), features.T)


def gcv(features: np.ndarray, targets: np.ndarray, penalties: np.ndarray) -> np.ndarray:
    """(|y - Hy|^2 / n) / (1 - tr H / n)^2 for each penalty (Golub, Heath and Wahba, 1979): (m,)."""
    return scores(
        features, targets, penalties, lambda left, h, n: left / n / (1 - trace(h) / n) ** 2
    )


def trace(h: np.ndarray) -> float:
    return float(np.trace(h))


def scores(
    features: np.ndarray,
    targets: np.ndarray,
    penalties: np.ndarray,
    score: Callable,
    hat_of: Callable = hat,
) -> np.ndarray:
    """``score(sum of squared residuals, H, n)`` for each penalty: (m,)."""
    found = []
    for penalty in penalties:
        h = hat_of(features, penalty)
        left = float(((targets - h @ targets) ** 2).sum())
        found.append(score(left, h, len(features)))
    return np.array(found)


def filtered(factors: Callable) -> Callable:
    """A hat matrix U diag(factors(s, penalty)) U'."""

    def of(features: np.ndarray, penalty: float) -> np.ndarray:
        u, s, _ = np.linalg.svd(features, full_matrices=False)
        return (u * factors(s, penalty)) @ u.T

    return of


def score_mistakes(features: np.ndarray, targets: np.ndarray, penalties: np.ndarray) -> list[tuple]:
    """What wrong scores equal, and what was done."""
    n, count = features.shape
    columns = targets.reshape(n, -1)
    u, values, _ = np.linalg.svd(features, full_matrices=False)
    outside = float(((columns - u @ (u.T @ columns)) ** 2).sum())
    filters = values**2 / (values**2 + penalties[:, None])

    def of(score: Callable, hat_of: Callable = hat) -> np.ndarray:
        return scores(features, columns, penalties, score, hat_of)

    def right(left: float, h: np.ndarray, n: int) -> float:
        return left / n / (1 - trace(h) / n) ** 2

    wrong = [
        (
            of(lambda left, h, n: left / n),
            (
                "This is the training risk: it is divided by (1 - tr H / n)^2, without which the smallest "
                "penalty always wins."
            ),
        ),
        (
            of(lambda left, h, n: left),
            "These are sums of squared residuals, without a denominator.",
        ),
        (
            of(lambda left, h, n: left**0.5 / n / (1 - trace(h) / n) ** 2),
            "The numerator is the norm of the residuals over n: it is their norm squared, over n.",
        ),
        (
            of(lambda left, h, n: left / n / (1 - trace(h) / n)),
            "The denominator 1 - tr H / n is not squared.",
        ),
        (
            of(lambda left, h, n: left / n / (1 - trace(h)) ** 2),
            "The trace is not divided by n: 1 - tr H / n.",
        ),
        (
            of(lambda left, h, n: left / n / ((1 - trace(h)) / n) ** 2),
            "(1 - tr H) / n divides the 1 too: 1 - tr H / n.",
        ),
        (
            of(lambda left, h, n: left / n / (1 - trace(h) / count) ** 2),
            "The trace is divided by N, the number of features: by n, the number of samples.",
        ),
        (
            of(lambda left, h, n: left / n / (1 - count / n) ** 2),
            "N stands where the trace of H belongs: a penalty leaves fewer than N degrees of freedom.",
        ),
        (
            of(lambda left, h, n: left / (1 - trace(h) / n) ** 2),
            "The squared residuals are added up: divide by n.",
        ),
        (
            of(lambda left, h, n: left / (n - trace(h)) ** 2),
            "This is the sum of squares over (n - tr H)^2, which is n times too small.",
        ),
        (
            of(lambda left, h, n: left / n * (1 - trace(h) / n) ** 2),
            "It multiplies by (1 - tr H / n)^2: divide by it.",
        ),
        (
            of(lambda left, h, n: left / n / (1 + trace(h) / n) ** 2),
            "It divides by (1 + tr H / n)^2: the sign before the trace is minus.",
        ),
        (
            of(lambda left, h, n: left / n / (1 - trace(h @ h) / n) ** 2),
            (
                "It takes the trace of H squared: the sum of the factors s^2 / (s^2 + penalty), not of their "
                "squares."
            ),
        ),
        (
            np.array([_leave_one_out(hat(features, p), columns) for p in penalties]),
            (
                "This is leave-one-out: each residual is divided by its own 1 - H_ii. The generalized score "
                "divides by their mean."
            ),
        ),
        (
            np.array([_with_penalty(features, columns, p) for p in penalties]),
            "The penalty's own term is in the numerator: only the squared residuals belong there.",
        ),
        (
            of(lambda left, h, n: left / n)
            / (1 - (1 / (values**2 + penalties[:, None])).sum(1) / n) ** 2,
            (
                "It takes the trace of the inverse alone: H is features times the inverse times features.T."
            ),
        ),
        (of(lambda left, h, n: right(left, h, n) ** 0.5), "The root of the score is taken."),
        (
            of(lambda left, h, n: (left / n) ** 0.5 / (1 - trace(h) / n) ** 2),
            "The root of the mean squared residual is taken: its square is asked for.",
        ),
        (
            of(right, lambda x, p: hat(x, p * n)),
            "The penalties are multiplied by n: as in ridge_fit they stand beside the sum of the squares.",
        ),
        (
            of(right, lambda x, p: hat(x, p / n)),
            "The penalties are divided by n: as in ridge_fit they stand beside the sum of the squares.",
        ),
        (
            of(right, lambda x, p: hat(x, p**2)),
            "The penalties are squared: the singular values are.",
        ),
        (
            of(right, filtered(lambda s, p: s / (s + p))),
            "The factors are s / (s + penalty): s belongs to features, s^2 to features.T @ features.",
        ),
        (
            of(lambda left, h, n: left / n)
            / (1 - (values / (values + penalties[:, None])).sum(1) / n) ** 2,
            "The trace adds up s / (s + penalty): tr H is the sum of s^2 / (s^2 + penalty).",
        ),
        (
            of(right, filtered(lambda s, p: s / (s**2 + p))),
            "The factors are s / (s^2 + penalty), those of the coefficients. H has s^2 above the line.",
        ),
        (
            of(right, filtered(lambda s, p: p / (s**2 + p))),
            "The factors are penalty / (s^2 + penalty), those of what is left over: H has 1 minus them.",
        ),
    ]
    if columns.shape[1] > 1:
        wrong.append(
            (
                of(lambda left, h, n: right(left, h, n) / columns.shape[1]),
                (
                    "The squares are averaged over the outputs too, as .mean() does: the squares of all k are "
                    "added up, and divided by n."
                ),
            )
        )
    if outside > 1e-6 * float((columns**2).sum()):
        wrong.append(
            (
                of(lambda left, h, n: left / n) / ((1 - filters).sum(1) / n) ** 2,
                (
                    "In the denominator the directions that no feature reaches are missing: tr(1 - H) has a 1 for "
                    "each of the n - N, 1 - tr H / n counts them."
                ),
            )
        )
        inside = (((1 - filters) ** 2) @ ((u.T @ columns) ** 2).sum(1)) / n
        wrong.append(
            (
                inside / (1 - filters).mean(1) ** 2,
                (
                    "What no feature reaches is missing, above and below the line: there the residuals are the "
                    "targets, and 1 - H is 1."
                ),
            )
        )
        wrong.append(
            (
                of(lambda left, h, n: (left - outside) / n / (1 - trace(h) / n) ** 2),
                (
                    "What no feature reaches is missing: fewer features than samples leave a part of the "
                    "targets outside the columns of u, and it stays in the residuals."
                ),
            )
        )
    return wrong


def _with_penalty(features: np.ndarray, columns: np.ndarray, penalty: float) -> float:
    """The score with the whole of what ridge minimizes in the numerator."""
    n, h = len(features), hat(features, penalty)
    left = float(((columns - h @ columns) ** 2).sum())
    gram = features.T @ features + penalty * np.eye(features.shape[1])
    b = np.linalg.solve(gram, features.T @ columns)
    return (left + penalty * float((b**2).sum())) / n / (1 - trace(h) / n) ** 2


def _leave_one_out(h: np.ndarray, columns: np.ndarray) -> float:
    """The mean square of (y_i - (Hy)_i) / (1 - H_ii), over samples, added up over columns."""
    rows = (columns - h @ columns) / (1 - np.diag(h))[:, None]
    return float((rows**2).sum() / len(columns))
