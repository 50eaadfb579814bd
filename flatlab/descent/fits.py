"""Least squares on features (n, N), with N far below or far above n: minimum norm, ridge, cross-validation.

Everything comes from one thin singular value decomposition F = U diag(s) V', in float64, of the smaller side: the
longer one is taken off by a QR decomposition first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from flatlab.arguments import checked_not_negative


@dataclass(frozen=True, eq=False)
class Fit:
    """Coefficients of a least-squares fit, and how well determined they were."""

    coefficients: Tensor  # (N, k), or (N,) for targets (n,); float64
    singular_values: Tensor  # (min(n, N),) of the features, descending
    rank: int  # how many of them are above max(n, N) * 2.2e-16 * the largest

    @property
    def singular(self) -> bool:
        """Whether the features are linearly dependent beyond what n and N alone make them."""
        return self.rank < len(self.singular_values)

    @property
    def norm(self) -> float:
        """The coefficients' Euclidean (Frobenius) norm."""
        return float(torch.linalg.vector_norm(self.coefficients))

    def predict(self, features: Tensor) -> Tensor:
        """features (m, N) times coefficients, float64."""
        return features.double() @ self.coefficients


@dataclass(frozen=True, eq=False)
class RidgePath:
    """Ridge fits for several penalties, and their generalized cross-validation."""

    penalties: tuple[float, ...]  # (l,)
    coefficients: Tensor  # (l, N, k), or (l, N) for targets (n,)
    degrees_of_freedom: Tensor  # (l,) trace of the hat matrix, sum s^2 / (s^2 + penalty)
    gcv: Tensor  # (l,) the criterion; see `optimal_ridge`
    rank: int

    @property
    def best(self) -> int:
        """The place of the penalty with the smallest criterion."""
        return int(self.gcv.argmin())


def minimum_norm_fit(features: Tensor, targets: Tensor) -> Fit:
    """The least-squares coefficients of smallest norm, F^+ y, (N, k) for F (n, N) and y (n, k) or (n,).

    Singular values up to max(n, N) * 2.2e-16 * the largest count as zero, so that dependent
    features give the minimum-norm solution too; ``Fit.singular`` tells. Float64.

    Raises:
        ValueError: shapes that do not fit together, no samples or features, NaN or inf.
    """
    return ridge_fit(features, targets, 0.0)


def ridge_fit(features: Tensor, targets: Tensor, penalty: float) -> Fit:
    """The minimizer of |F b - y|^2 + penalty |b|^2 (sums, not means); its limit at 0 is ``minimum_norm_fit``.

    Raises ValueError for a negative penalty and what ``minimum_norm_fit`` refuses.
    """
    checked_not_negative("penalty", penalty)
    thin = _Thin(features, targets)
    return Fit(thin.coefficients(penalty), thin.s, thin.rank)


def ridge_path(features: Tensor, targets: Tensor, penalties: Sequence[float]) -> RidgePath:
    """``ridge_fit`` for all penalties from one decomposition, with the criterion of ``optimal_ridge``.

    Raises ValueError for no penalties, and what ``ridge_fit`` refuses.
    """
    penalties = tuple(float(penalty) for penalty in penalties)
    if not penalties:
        raise ValueError("there are no penalties: give at least one number of at least 0")
    for penalty in penalties:
        checked_not_negative("penalty", penalty)
    thin = _Thin(features, targets)
    return RidgePath(
        penalties,
        torch.stack([thin.coefficients(penalty) for penalty in penalties]),
        torch.tensor([thin.degrees_of_freedom(p) for p in penalties], dtype=torch.float64),
        torch.tensor([thin.gcv(p) for p in penalties], dtype=torch.float64),
        thin.rank,
    )


def optimal_ridge(features: Tensor, targets: Tensor, penalties: Sequence[float]) -> float:
    """The penalty of these with the smallest generalized cross-validation, n |y - A y|^2 / (n - tr A)^2.

    A is the hat matrix of the penalty. Where a fit without a penalty interpolates, both are 0 and the
    criterion is its limit, n |K^-1 y|^2 / (tr K^-1)^2 with K = F F'. Squares are summed over the
    outputs. Source: Golub, Heath and Wahba, 1979. Raises as ``ridge_path``.
    """
    path = ridge_path(features, targets, penalties)
    return path.penalties[path.best]


class _Thin:
    """F = U diag(s) V', the smaller side's decomposition, and the targets in its basis."""

    def __init__(self, features: Tensor, targets: Tensor) -> None:
        _check(features, targets)
        F = features.detach().double()
        y = targets.detach().to(F).reshape(len(targets), -1)
        self.n, self.shape = len(F), (F.shape[1], *targets.shape[1:])
        if F.shape[0] >= F.shape[1]:
            Q, R = torch.linalg.qr(F)
            U, self.s, self.V = torch.linalg.svd(R, full_matrices=False)
            U = Q @ U
        else:
            Q, R = torch.linalg.qr(F.T)
            U, self.s, V = torch.linalg.svd(R.T, full_matrices=False)
            self.V = V @ Q.T
        limit = max(F.shape) * torch.finfo(torch.float64).eps * self.s[0]
        self.rank = int((self.s > limit).sum())
        self.kept = self.s > limit
        self.y = U.T @ y  # (m, k)
        self.outside = float((y - U @ self.y).square().sum()) if self.n > len(self.s) else 0.0

    def coefficients(self, penalty: float) -> Tensor:
        s = self.s
        factors = torch.where(self.kept, s / (s.square() + penalty), 0.0)
        return (self.V.T @ (factors[:, None] * self.y)).reshape(self.shape)

    def degrees_of_freedom(self, penalty: float) -> float:
        square = self.s[self.kept].square()
        return float((square / (square + penalty)).sum())

    def gcv(self, penalty: float) -> float:
        """Numerator and denominator are those of (I - A), here both divided by the penalty's square where
        A has no other eigenvalue 0, which leaves a limit at 0."""
        square, y = self.s[self.kept].square(), self.y[self.kept]
        if self.rank == self.n:
            left = 1 / (square + penalty)
            return float(self.n * (left[:, None] * y).square().sum() / left.sum() ** 2)
        left = penalty / (square + penalty)
        outside = self.outside + float(self.y[~self.kept].square().sum())
        numerator = float((left[:, None] * y).square().sum()) + outside
        return self.n * numerator / (float(left.sum()) + self.n - self.rank) ** 2


def _check(features: Tensor, targets: Tensor) -> None:
    if features.ndim != 2 or targets.ndim not in (1, 2) or len(features) != len(targets):
        raise ValueError(
            f"the features have shape {tuple(features.shape)} and the targets {tuple(targets.shape)}: "
            "give features (n, N) and targets (n,) or (n, k) of the same samples"
        )
    if 0 in features.shape or 0 in targets.shape:
        raise ValueError(
            f"features {tuple(features.shape)} and targets {tuple(targets.shape)} hold no numbers: give "
            "at least one sample, one feature and one output"
        )
    for name, value in (("features", features), ("targets", targets)):
        if not torch.isfinite(value).all():
            raise ValueError(f"the {name} hold NaN or inf: look where they were made")
