"""What risk is made of, and where a model class begins to interpolate."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class BiasVariance:
    """The mean square error over seeds, parted: risk = bias + variance."""

    risk: float  # mean over seeds, samples and outputs of (prediction - target)^2
    bias: float  # of (mean prediction - target)^2; with noisy targets it holds their noise too
    variance: float  # of (prediction - mean prediction)^2
    seeds: int

    @property
    def unbiased_bias(self) -> float:
        """The bias less what the mean over few seeds adds to it, variance / (seeds - 1)."""
        return self.bias - self.variance / (self.seeds - 1)

    @property
    def unbiased_variance(self) -> float:
        """variance * seeds / (seeds - 1)."""
        return self.variance * self.seeds / (self.seeds - 1)


def bias_variance(predictions: Tensor, targets: Tensor) -> BiasVariance:
    """The squared bias and the variance of predictions (s, n, ...) of s seeds for targets (n, ...), float64.

    A seed is what is drawn anew: the training set, the features, the initialization. Source: Geman,
    Bienenstock and Doursat, 1992, section 2.3. Raises ValueError for fewer than two seeds or shapes that do not fit.
    """
    if predictions.ndim < 2 or predictions.shape[1:] != targets.shape or targets.numel() == 0:
        raise ValueError(
            f"the predictions have shape {tuple(predictions.shape)} and the targets "
            f"{tuple(targets.shape)}: give the predictions of each seed for the same targets, (s, n, ...)"
        )
    seeds = len(predictions)
    if seeds < 2:
        raise ValueError(f"there are predictions of {seeds} seed: a variance needs at least two")
    predictions, targets = predictions.detach().double(), targets.detach().double()
    mean = predictions.mean(0)
    return BiasVariance(
        risk=float((predictions - targets).square().mean()),
        bias=float((mean - targets).square().mean()),
        variance=float((predictions - mean).square().mean()),
        seeds=seeds,
    )


def interpolation_threshold(
    counts: Sequence[int], train_risk: Sequence[float], tolerance: float = 1e-8
) -> int | None:
    """The smallest count from which on the training risk is at most ``tolerance``; None if it never is.

    ``counts``: ascending, such as numbers of features. A risk that is NaN is not below. Raises ValueError for lengths
    that differ, counts that do not ascend, or a negative tolerance.
    """
    counts = [int(count) for count in counts]
    risks = torch.as_tensor(train_risk, dtype=torch.float64).reshape(-1).tolist()
    if len(counts) != len(risks):
        raise ValueError(
            f"there are {len(counts)} counts and {len(risks)} risks: give one for each"
        )
    if any(later <= earlier for earlier, later in itertools.pairwise(counts)):
        raise ValueError("the counts must ascend: sort them, and the risks with them")
    if not tolerance >= 0:
        raise ValueError(f"tolerance is {tolerance}: give a risk of at least 0")
    found = None
    for count, risk in zip(reversed(counts), reversed(risks), strict=True):
        if not risk <= tolerance:
            break
        found = count
    return found
