"""Risk curves over the number of features or of samples, each fit built on the one before.

Let A hold what grows as columns: features of fixed samples, or samples of fixed features. Up to as
many columns as rows, one QR decomposition serves all counts, since the factors of the first g columns
lie in those of all; inverse iteration tells whether they are dependent. Beyond, the Gram matrix A A'
keeps its size and grows by the new columns' products; a Cholesky decomposition solves it. Squaring
loses half the digits, so each solution is tested by one step of refinement, and where that moves it by
more than 1e-6, or the columns are dependent, the fit is done again from the singular values
(``ridge_fit``), which tells the rank.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from flatlab.arguments import checked_count, checked_not_negative
from flatlab.descent.features import RandomFeatures
from flatlab.descent.fits import ridge_fit
from flatlab.evaluation import class_labels

_MOVED = 1e-6  # relative; a refinement that moves a solution further distrusts it
Data = tuple[Tensor, Tensor]


@dataclass(frozen=True, eq=False)
class Curve:
    """Risks over counts (c,) and penalties (l,): mean squares over samples and outputs, as ``nn.MSELoss``."""

    counts: tuple[int, ...]  # (c,) features or samples
    penalties: tuple[float, ...]  # (l,)
    train_risk: Tensor  # (c, l) float64
    test_risk: Tensor  # (c, l)
    test_error: Tensor  # (c, l) share of wrong classes, NaN where the targets are no one-hot rows
    norm: Tensor  # (c, l) of the coefficients, for features scaled as ``RandomFeatures`` gives them
    # (c,) whether a fit without penalty, or one done again, found the features linearly dependent
    singular: tuple[bool, ...]
    threshold: int  # the count at which features and samples are equal in number

    def peak(self, penalty: int = 0) -> int:
        """The count with the largest test risk, for the penalty at this place."""
        return self.counts[int(self.test_risk[:, penalty].argmax())]


def feature_curve(
    features: RandomFeatures,
    train: Data,
    test: Data,
    counts: Sequence[int],
    penalties: Sequence[float] = (0.0,),
) -> Curve:
    """Fits on the first N features for each N in ``counts``: |F_N b - y|^2 + penalty |b|^2.

    A penalty of 0 stands for the fit of minimum norm. ``train`` X (n, ...), y (n, k) or (n,); ``test`` likewise.
    Features are computed in X's dtype, all else in float64 on X's device. Source: Belkin, Hsu, Ma and
    Mandal, 2019, figure 2.

    Raises:
        ValueError: counts that do not ascend, are below 1 or more than were drawn; a negative penalty;
            shapes that do not fit together; NaN or inf.
    """
    X, y, X_test, y_test = _checked(train, test)
    counts, penalties = _counts(counts, features.most, "features drawn"), _penalties(penalties)
    scale = math.sqrt(counts[-1])  # off: the scale of all features would depend on their number
    F = features(X, counts[-1]).double() * scale
    F_test = features(X_test, counts[-1]).double() * scale
    grown, rows = _Growing(F, counts), []
    for N in counts:
        for penalty in penalties:
            b = grown.on_columns(N, penalty * N, y)
            b, singular = _trusted(b, F[:, :N], y, penalty * N)
            norm = math.sqrt(N) * float(torch.linalg.vector_norm(b))
            rows.append((*_risks(F[:, :N] @ b, y, F_test[:, :N] @ b, y_test), norm, singular))
    return _curve(counts, penalties, rows, len(y))


def sample_curve(
    features: RandomFeatures,
    count: int,
    train: Data,
    test: Data,
    sizes: Sequence[int],
    penalties: Sequence[float] = (0.0,),
) -> Curve:
    """Fits of ``count`` features on the first n samples for each n in ``sizes``.

    Otherwise as ``feature_curve``; ``Curve.threshold`` is ``count``. Source: Nakkiran et al., 2020, "Deep double
    descent", section 7. Raises ValueError likewise, for sizes beyond the training set.
    """
    X, y, X_test, y_test = _checked(train, test)
    sizes, penalties = _counts(sizes, len(X), "training samples"), _penalties(penalties)
    F, F_test = (features(part, count).double() for part in (X[: sizes[-1]], X_test))
    grown, rows = _Growing(F.T, sizes), []
    for n in sizes:
        for penalty in penalties:
            b, singular = _trusted(grown.on_rows(n, penalty, y[:n]), F[:n], y[:n], penalty)
            norm = float(torch.linalg.vector_norm(b))
            rows.append((*_risks(F[:n] @ b, y[:n], F_test @ b, y_test), norm, singular))
    return _curve(sizes, penalties, rows, count)


class _Growing:
    """Fits with the first g columns of A (f, most), g ascending. None stands for: not to be trusted."""

    def __init__(self, A: Tensor, counts: Sequence[int]) -> None:
        self.A, self.f = A, len(A)
        self.small = max([g for g in counts if g <= self.f], default=0)
        self.outer, self.grown = torch.zeros(self.f, self.f, dtype=A.dtype, device=A.device), 0

    @functools.cached_property
    def factors(self) -> tuple[Tensor, Tensor]:
        return torch.linalg.qr(self.A[:, : self.small])

    @functools.cached_property
    def inner(self) -> Tensor:
        """A'A of the columns up to the number of rows."""
        part = self.A[:, : self.small]
        return part.T @ part

    def on_columns(self, g: int, shift: float, y: Tensor) -> Tensor | None:
        """argmin over b (g, k) of |A_g b - y|^2 + shift |b|^2, y (f, k)."""
        part = self.A[:, :g]
        if g > self.f:
            solution = self._solved(self._outer(g), shift, y)
            return None if solution is None else part.T @ solution
        if shift:
            return self._solved(self.inner[:g, :g], shift, part.T @ y)
        R = self._triangle(g)
        if R is None:
            return None
        return torch.linalg.solve_triangular(R, self.factors[0][:, :g].T @ y, upper=True)

    def on_rows(self, g: int, shift: float, y: Tensor) -> Tensor | None:
        """argmin over b (f, k) of |A_g' b - y|^2 + shift |b|^2, y (g, k); of minimum norm."""
        part = self.A[:, :g]
        if g > self.f:
            return self._solved(self._outer(g), shift, part @ y)
        if shift:
            solution = self._solved(self.inner[:g, :g], shift, y)
            return None if solution is None else part @ solution
        R = self._triangle(g)
        if R is None:
            return None
        return self.factors[0][:, :g] @ torch.linalg.solve_triangular(R.T, y, upper=False)

    def _outer(self, g: int) -> Tensor:
        new = self.A[:, self.grown : g]
        self.outer.addmm_(new, new.T)
        self.grown = g
        return self.outer

    def _triangle(self, g: int) -> Tensor | None:
        """The first g columns' triangular factor, unless they are dependent or nearly so.

        Its diagonal would not tell: it lies above the smallest singular value, by far in bad cases.
        """
        R = self.factors[1][:g, :g]
        limit = 10 * self.f * torch.finfo(R.dtype).eps * torch.linalg.matrix_norm(R)
        return R if _least(R) > limit else None  # NaN is not

    def _solved(self, matrix: Tensor, shift: float, right: Tensor) -> Tensor | None:
        matrix = matrix.clone()
        matrix.diagonal().add_(shift)
        L, failed = torch.linalg.cholesky_ex(matrix)
        limit = 10 * len(L) * torch.finfo(L.dtype).eps * torch.linalg.matrix_norm(matrix)
        if failed or not _least(L.T).square() > limit:  # a step of refinement may miss that
            return None
        solution = torch.cholesky_solve(right, L)
        change = torch.cholesky_solve(right - matrix @ solution, L)
        moved = torch.linalg.vector_norm(change) <= _MOVED * torch.linalg.vector_norm(solution)
        return solution + change if moved else None


def _least(R: Tensor) -> Tensor:
    """The smallest singular value of an upper triangle, by inverse iteration."""
    x, least = torch.ones_like(R[:, :1]), R.new_zeros(())
    for _ in range(3):
        x = torch.linalg.solve_triangular(R.T, x, upper=False)
        x = torch.linalg.solve_triangular(R, x, upper=True)
        least = torch.linalg.vector_norm(x).rsqrt()
        x = x * least.square()
    return least


def _trusted(b: Tensor | None, F: Tensor, y: Tensor, shift: float) -> tuple[Tensor, bool]:
    """b, or the fit from the singular values where there is none; whether these showed dependence."""
    if b is not None:
        return b, False
    fit = ridge_fit(F, y, shift)
    return fit.coefficients, fit.singular


def _risks(fitted: Tensor, y: Tensor, predicted: Tensor, y_test: Tensor) -> tuple[float, ...]:
    train = float((fitted - y).square().mean())
    test = float((predicted - y_test).square().mean())
    labels = class_labels(y_test)
    wrong = math.nan if labels is None else float((predicted.argmax(1) != labels).double().mean())
    return train, test, wrong


def _curve(
    counts: tuple[int, ...], penalties: tuple[float, ...], rows: list[tuple], threshold: int
) -> Curve:
    table = torch.tensor([row[:4] for row in rows], dtype=torch.float64)
    train, test, wrong, norm = table.reshape(len(counts), len(penalties), 4).unbind(2)
    told = [row[4] for row in rows]
    step = len(penalties)
    singular = tuple(any(told[i : i + step]) for i in range(0, len(told), step))
    return Curve(counts, penalties, train, test, wrong, norm, singular, threshold)


def _checked(train: Data, test: Data) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """X, y (n, k), X_test, y_test (m, k), the targets in float64."""
    found: Any = []
    for X, y in (train, test):
        if X.ndim < 2 or y.ndim not in (1, 2) or len(X) != len(y) or len(X) == 0:
            raise ValueError(
                f"X has shape {tuple(X.shape)} and y {tuple(y.shape)}: give X (n, ...) and y (n,) or "
                "(n, k) of the same samples"
            )
        if y.ndim == 1 and not y.is_floating_point():
            raise ValueError(
                "y holds whole numbers (n,), and squares of class numbers mean nothing: give one-hot "
                "rows (n, k), or y.double() if they are quantities"
            )
        for name, value in (("X", X), ("y", y)):
            if not torch.isfinite(value).all():
                raise ValueError(f"{name} holds NaN or inf: look where it was made")
        found += [X, y.reshape(len(y), -1).to(X.device).double()]
    if found[0].shape[1:] != found[2].shape[1:] or found[1].shape[1:] != found[3].shape[1:]:
        raise ValueError(
            f"samples and targets of training have shapes {tuple(train[0].shape)}, {tuple(train[1].shape)} "
            f"and of the test {tuple(test[0].shape)}, {tuple(test[1].shape)}: only n may differ"
        )
    return tuple(found)


def _counts(counts: Sequence[int], most: int, what: str) -> tuple[int, ...]:
    counts = tuple(checked_count("a count", count) for count in counts)
    if not counts or any(b <= a for a, b in itertools.pairwise(counts)):
        raise ValueError(
            f"the counts are {list(counts)}: give at least one, each larger than the last"
        )
    if counts[-1] > most:
        raise ValueError(f"a count of {counts[-1]} is asked for and there are {most} {what}")
    return counts


def _penalties(penalties: Sequence[float]) -> tuple[float, ...]:
    if not len(penalties):
        raise ValueError("there are no penalties: give at least one, 0 for the minimum norm")
    for penalty in penalties:
        checked_not_negative("penalty", penalty)
    return tuple(float(penalty) for penalty in penalties)
