"""The noise of SGD: its covariance, its diffusion, the density it settles in, schedules of eta and S.

Three factors (Jastrzebski et al., 2017): the learning rate eta, the batch size S and the covariance C of
per-sample gradients. SGD is read as dtheta = -eta g dt + (eta / sqrt(S)) B dW with C = B B^T, a step
being dt = 1; eta and S then enter its stationary density through n = eta / S alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from flatlab.arguments import (
    checked_count,
    checked_not_negative,
    checked_positive,
    is_whole,
    seeded,
)
from flatlab.data import relabel


def noise_covariance(per_sample_grads: Tensor, batch_size: int, replacement: bool = True) -> Tensor:
    """Covariance of a minibatch's mean gradient, shape (p, p), for per-sample gradients (n, p).

    C / B with C = (1/n) sum_i (g_i - g)(g_i - g)^T for B samples drawn with replacement, and without
    (n - B) / (n - 1) times that, which is 0 for B = n. Raises ValueError for another shape, values that
    are not finite, a batch size below 1 or, without replacement, above n.
    """
    if per_sample_grads.ndim != 2 or len(per_sample_grads) < 2:
        raise ValueError(
            f"per_sample_grads has shape {tuple(per_sample_grads.shape)}: give one row for each of at "
            "least two samples, (n, p)"
        )
    if not per_sample_grads.isfinite().all():
        raise ValueError("a per-sample gradient holds NaN or infinity: did the run diverge?")
    n = len(per_sample_grads)
    checked_count("batch_size", batch_size)
    if not replacement and batch_size > n:
        raise ValueError(f"batch_size is {batch_size}, and there are only {n} samples to draw from")
    apart = per_sample_grads - per_sample_grads.mean(0)
    share = 1.0 if replacement else (n - batch_size) / (n - 1)
    return apart.T @ apart * (share / (n * batch_size))


def langevin_step(
    theta: Tensor,
    grad: Tensor,
    learning_rate: float,
    batch_size: int,
    sigma: float,
    generator: torch.Generator | None = None,
) -> Tensor:
    """theta - eta g + (eta / sqrt(S)) sigma N(0, I): one Euler-Maruyama step, dt = 1; a new tensor.

    The SDE of Jastrzebski et al. (2017, section 2) with C = sigma^2 I. `generator=None` means a new one
    seeded 0, hence the same noise at every call: give one for several steps. Raises ValueError unless
    eta > 0, sigma >= 0, S >= 1, the shapes agree and theta holds floating-point numbers.
    """
    checked_positive("learning_rate", learning_rate)
    checked_count("batch_size", batch_size)
    checked_not_negative("sigma", sigma)
    if theta.shape != grad.shape:
        raise ValueError(
            f"theta has shape {tuple(theta.shape)} and grad {tuple(grad.shape)}: they must be the same"
        )
    if not theta.is_floating_point():
        raise ValueError(f"theta is {theta.dtype}, which holds no noise: give theta.double()")
    generator = seeded(generator)
    draw: Any = {"generator": generator, "device": generator.device, "dtype": theta.dtype}
    noise = torch.randn(theta.shape, **draw).to(theta.device)
    return theta - learning_rate * grad + learning_rate / math.sqrt(batch_size) * sigma * noise


def gibbs_density(
    loss: Callable[[Tensor], Tensor] | Tensor, sigma: float, n: float, grid: Tensor
) -> Tensor:
    """exp(-2 L / (n sigma^2)) on `grid` (k,), normalized by the trapezoid rule: (k,), float64.

    The stationary density for C = sigma^2 I, n = eta / S (Jastrzebski et al., 2017, eq. 6). `loss`: L as a
    function of the grid, or its values there. Raises ValueError unless sigma > 0, n > 0, the grid rises and
    every loss is finite.
    """
    checked_positive("sigma", sigma)
    checked_positive("n", n)
    grid = grid.to(torch.float64)
    if grid.ndim != 1 or len(grid) < 2 or not (grid.diff() > 0).all():
        raise ValueError("grid must hold at least two rising numbers, (k,)")
    values = (loss(grid) if callable(loss) else loss).to(torch.float64)
    if values.shape != grid.shape or not values.isfinite().all():
        raise ValueError(
            f"the loss has shape {tuple(values.shape)}: it must be finite at each of the {len(grid)} "
            "points of the grid"
        )
    exponent = -2 * values / (n * sigma**2)
    weight = (exponent - exponent.max()).exp()  # the largest is 1: nothing overflows
    return weight / torch.trapezoid(weight, grid)


def basin_ratio(
    loss_a: float, hessian_a: Tensor, loss_b: float, hessian_b: Tensor, n: float, sigma: float
) -> float:
    """p_A / p_B = sqrt(det H_B / det H_A) exp(2 (L_B - L_A) / (n sigma^2)): a number.

    How much likelier SGD with noise n = eta / S ends near the minimum A than near B, each basin taken as
    a parabola (Jastrzebski et al., 2017, eq. 9). Computed in logarithms; inf or 0 only where the ratio itself
    leaves float64. A change of variables theta = f(phi) multiplies H by the Jacobian on both sides; applied to
    both minima alike it leaves the ratio as it is. Raises ValueError unless both Hessians are
    symmetric up to 1e-5 of their largest entry, of one shape and positive definite beyond the rounding of
    their dtype, both losses are finite, sigma > 0 and n > 0.
    """
    checked_positive("sigma", sigma)
    checked_positive("n", n)
    if not (math.isfinite(loss_a) and math.isfinite(loss_b)):
        raise ValueError(f"the losses are {float(loss_a)} and {float(loss_b)}: they must be finite")
    logs = [_log_det(name, h) for name, h in (("hessian_a", hessian_a), ("hessian_b", hessian_b))]
    if hessian_a.shape != hessian_b.shape:
        raise ValueError(
            f"the Hessians have shapes {tuple(hessian_a.shape)} and {tuple(hessian_b.shape)}"
        )
    log = (logs[1] - logs[0]) / 2 + 2 * (float(loss_b) - float(loss_a)) / (n * sigma**2)
    return math.exp(log) if log < 709.7827 else math.inf  # beyond, float64 has no number


def _log_det(name: str, hessian: Tensor) -> float:
    h = torch.atleast_2d(torch.as_tensor(hessian)).detach().cpu()
    h, given = h.double(), h.dtype
    if h.ndim != 2 or h.shape[0] != h.shape[1] or not len(h):
        raise ValueError(f"{name} has shape {tuple(h.shape)}: give a symmetric matrix (d, d)")
    if not (h - h.T).abs().max() <= 1e-5 * h.abs().max():  # also where an entry is NaN
        raise ValueError(
            f"{name} is not symmetric, or not finite: a Hessian is; symmetrize it as (A + A.T) / 2 if "
            "this is rounding"
        )
    values = torch.linalg.eigvalsh(h)
    # Rounding is told at unit diagonal: parameters of different scale are no flat directions.
    scale = h.diagonal().clamp_min(torch.finfo(h.dtype).tiny).sqrt()
    rounding = len(h) * torch.finfo(given if given.is_floating_point else h.dtype).eps
    if not (values[0] > 0 and torch.linalg.eigvalsh(h / scale.outer(scale))[0] > rounding):
        raise ValueError(
            f"{name} has the eigenvalue {float(values[0]):.3g}: at a minimum with a basin of its own all "
            "are positive, beyond rounding"
        )
    return float(values.log().sum())


def rescale_schedule(
    learning_rates: Sequence[float], batch_sizes: Sequence[int], c: float
) -> tuple[list[float], list[int]]:
    """(c eta, c S) for each entry: the same n = eta / S, so by the SDE the same density.

    Raises ValueError where the lengths differ, c is not positive, or a batch size would not be a whole
    number of at least 1.
    """
    if len(learning_rates) != len(batch_sizes):
        raise ValueError(
            f"there are {len(learning_rates)} learning rates and {len(batch_sizes)} batch sizes: give "
            "one of each for every step"
        )
    checked_positive("c", c)
    sizes = [round(c * size) for size in batch_sizes]
    for old, new in zip(batch_sizes, sizes, strict=True):
        if new < 1 or abs(new - c * old) > 1e-6:  # 0.29 * 100 is 28.999999999999996
            raise ValueError(f"batch size {old} times {c:g} is no whole number of at least 1")
    return [c * rate for rate in learning_rates], sizes


def corrupt_labels(
    y: Tensor, fraction: float, num_classes: int, generator: torch.Generator | None = None
) -> Tensor:
    """A copy of y (n,) with exactly round(fraction n) labels replaced, each by a different class.

    Raises ValueError unless 0 <= fraction <= 1, num_classes >= 2 and y holds classes 0 .. num_classes - 1.
    """
    if not 0 <= fraction <= 1:
        raise ValueError(f"fraction is {fraction}: give a number from 0 to 1")
    if y.ndim != 1 or y.is_floating_point():
        raise ValueError(f"y is {y.dtype} of shape {tuple(y.shape)}: give integer classes, (n,)")
    if num_classes < 2 or (len(y) and not (0 <= int(y.min()) and int(y.max()) < num_classes)):
        raise ValueError(f"y holds other classes than 0 to {num_classes - 1}, or there is only one")
    generator = seeded(generator)
    return relabel(y.cpu(), fraction, num_classes, generator)[0].to(y.device).clone()


def cyclic_schedule(step: int, period: int, low: float, high: float, shape: str) -> float:
    """The value at `step` of a cycle between low and high.

    "discrete": high in the first half of each period, low in the second (of an odd period the longer
    part is low). "triangle": from low up to high, reached at period / 2, and back, in straight lines.
    Raises ValueError for a period below 2, a negative step, low > high, or another shape.
    """
    if not is_whole(period, 2):
        raise ValueError(f"period is {period!r}: a cycle needs a whole number of at least 2 steps")
    if step < 0:
        raise ValueError(f"step is {step}: steps are counted from 0")
    if not low <= high:
        raise ValueError(f"low is {low} and high is {high}: low must not be larger")
    place = step % period
    if shape == "discrete":
        return high if place < period // 2 else low
    if shape == "triangle":
        return low + (high - low) * (1 - abs(2 * place / period - 1))
    raise ValueError(f"shape is {shape!r}: choose discrete or triangle")


@dataclass(frozen=True)
class Cycle:
    """``cyclic_schedule`` as a function of the step, for ``Run.schedule`` and batch sizes.

    `whole`: round to a whole number, for a batch size.
    """

    period: int
    low: float
    high: float
    shape: str = "discrete"
    whole: bool = False

    def __post_init__(self) -> None:
        self(0)

    def __call__(self, step: int) -> float:
        value = cyclic_schedule(step, self.period, self.low, self.high, self.shape)
        return round(value) if self.whole else value
