"""Descent with stable noise, and how long it stays in a well."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from flatlab.arguments import checked_count, checked_not_negative, checked_positive, seeded
from flatlab.tails.stable import check_alpha, sample_stable


def levy_step(
    w: Tensor,
    grad: Tensor,
    learning_rate: float,
    alpha: float,
    sigma: float,
    generator: torch.Generator | None = None,
) -> Tensor:
    """w - eta grad + eta^(1/alpha) sigma S with S ~ S-alpha-S(1) in each entry: a new tensor like w.

    The Euler step of dw = -grad dt + sigma dL^alpha (Simsekli et al., 2019, eq. 8). alpha = 2 is Brownian
    noise: S is N(0, 2) then, so the variance is 2 eta sigma^2 a step. `generator=None` means a new one
    seeded 0, hence the same noise at every call: give one for several steps. Raises ValueError unless
    eta > 0, 0 < alpha <= 2, sigma >= 0, the shapes agree and w holds real floating-point numbers.
    """
    check_alpha(alpha)
    checked_positive("learning_rate", learning_rate)
    checked_not_negative("sigma", sigma)
    if w.shape != grad.shape:
        raise ValueError(
            f"w has shape {tuple(w.shape)} and grad {tuple(grad.shape)}: they must be the same"
        )
    if not w.is_floating_point():
        raise ValueError(f"w is {w.dtype}, in which the noise would be rounded: give w.double()")
    noise = sample_stable(alpha, w.shape, generator).to(w)
    return w - learning_rate * grad + learning_rate ** (1 / alpha) * sigma * noise


@dataclass(frozen=True)
class Exits:
    """First exits of several runs from an interval.

    `times` (runs,), float64: eta times the steps until the first iterate outside, or until the end of
    the run where it never left. `exited` (runs,), bool: False for such a **censored** run.
    """

    times: Tensor
    exited: Tensor

    @property
    def mean(self) -> float:
        """Total time over number of exits: the maximum-likelihood mean of exponential exit times.

        Censored runs add their time and no exit. Infinite where no run left.
        """
        count = int(self.exited.sum())
        return float(self.times.sum()) / count if count else math.inf

    @property
    def standard_error(self) -> float:
        """mean / sqrt(number of exits); infinite where no run left."""
        count = int(self.exited.sum())
        return self.mean / math.sqrt(count) if count else math.inf


def first_exits(
    gradient: Callable[[Tensor], Tensor],
    low: float,
    high: float,
    learning_rate: float,
    alpha: float,
    sigma: float,
    steps: int,
    runs: int,
    start: float = 0.0,
    generator: torch.Generator | None = None,
) -> Exits:
    """Runs of `levy_step` from `start` until each leaves [low, high], at most `steps` steps.

    `gradient` maps positions (r,) to slopes (r,). A run outside is not stepped any further, so the
    loss outside the well does not matter. For a well of height h and width 2r, mean exit times grow
    as exp(h / sigma^2) with Brownian noise (alpha = 2) and as (r / sigma)^alpha with stable noise
    (Simsekli et al., 2019, section 2.2). `generator=None` means a new one seeded 0. Raises ValueError
    unless low < start < high, and for the arguments of `levy_step`.
    """
    if not low < start < high:
        raise ValueError(f"start is {start}: it must lie inside the well, from {low} to {high}")
    checked_count("steps", steps)
    checked_count("runs", runs)
    generator = seeded(generator)
    inside = torch.arange(runs)
    x = torch.full((runs,), float(start), dtype=torch.float64)
    times = torch.full((runs,), learning_rate * steps, dtype=torch.float64)
    for step in range(1, steps + 1):
        x = levy_step(x, gradient(x), learning_rate, alpha, sigma, generator)
        stays = (x >= low) & (x <= high)  # False for NaN and infinity
        times[inside[~stays]] = learning_rate * step
        inside, x = inside[stays], x[stays]
        if not len(x):
            break
    exited = torch.ones(runs, dtype=torch.bool)
    exited[inside] = False
    return Exits(times, exited)
