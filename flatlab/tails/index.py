"""The noise of minibatch gradients, and how heavy its tails look."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from flatlab.arguments import is_whole, seeded


def gradient_noise(batch_gradients: Tensor, full_gradient: Tensor | None = None) -> Tensor:
    """U_k = (gradient of minibatch k) - (full gradient): shape (k, p), as `batch_gradients`.

    `full_gradient` (p,) is by default the mean of the rows, which it is where the batches are equal
    parts of the data (Simsekli, Sagun and Gurbuzbalaban, 2019, eq. 3). Raises ValueError for another
    shape, fewer than two rows, or entries that are not finite.
    """
    if batch_gradients.ndim != 2 or len(batch_gradients) < 2:
        raise ValueError(
            f"batch_gradients has shape {tuple(batch_gradients.shape)}: give one row for each of at "
            "least two minibatches, (k, p)"
        )
    if full_gradient is None:
        full_gradient = batch_gradients.mean(0)
    if full_gradient.shape != batch_gradients.shape[1:]:
        raise ValueError(
            f"full_gradient has shape {tuple(full_gradient.shape)}: the rows have "
            f"{batch_gradients.shape[1]} entries"
        )
    if not (batch_gradients.isfinite().all() and full_gradient.isfinite().all()):
        raise ValueError("a gradient holds NaN or infinity: did the run diverge?")
    return batch_gradients - full_gradient


def matched_gaussian(noise: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Gaussian noise of the same shape (k, p) with each coordinate's mean square over the k rows.

    The control for `tail_index`: coordinates of different scale alone pull the estimate below 2. A
    control as low as the estimate says that scales can explain it, not that they do: the mean
    squares of a heavy-tailed law differ by chance, and the control copies that. See `scale_agreement`.
    Drawn on the generator's device, returned with the dtype and device of `noise`; `generator=None`
    means a new one seeded 0. Raises ValueError unless `noise` is finite and has two dimensions.
    """
    _check_matrix(noise)
    generator = seeded(generator)
    draw: Any = {"generator": generator, "device": generator.device, "dtype": noise.dtype}
    normal = torch.randn(noise.shape, **draw)
    wide = noise.to(torch.promote_types(noise.dtype, torch.float32))  # float16's squares become 0
    return normal.to(noise) * wide.square().mean(0).sqrt().to(noise)


def correlated_gaussian(noise: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Gaussian noise of the same shape (k, p) with the covariance of the noise between coordinates.

    Each row is Gaussian with covariance U^T U / k, for U = `noise`: Z U / sqrt(k) with Z (k, k) standard
    normal. So it also keeps what `matched_gaussian` breaks, that coordinates of one minibatch move
    together. Sums of k1 entries that move together are k1 times as large, not sqrt(k1) times, which lowers
    `tail_index` towards 1 whatever the tails. Otherwise as `matched_gaussian`.
    """
    _check_matrix(noise)
    generator = seeded(generator)
    k = len(noise)
    draw: Any = {"generator": generator, "device": generator.device, "dtype": noise.dtype}
    return (torch.randn(k, k, **draw) / math.sqrt(k)).to(noise) @ noise


def exchanged(noise: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Noise (k, p) with the minibatches of each coordinate in an order of its own.

    Every coordinate keeps its values; what moves together is broken up. Independent noise of any law has
    the same `tail_index` before and after. Otherwise as `matched_gaussian`.
    """
    _check_matrix(noise)
    generator = seeded(generator)
    order = torch.rand(noise.shape, generator=generator, device=generator.device).argsort(0)
    return noise.gather(0, order.to(noise.device))


def scale_agreement(noise: Tensor) -> float:
    """Correlation over coordinates of the log variances of even and of odd rows of the noise (k, p).

    Near 1 where coordinates have scales of their own, near 0 where variances differ by chance, as those
    of a heavy-tailed law with one scale do. Each half is taken about its own mean: the mean over all rows
    would carry an outlier of one half into the other. Coordinates that are constant in one half are left
    out. Raises ValueError for less than four rows, and where fewer than three coordinates are left.
    """
    _check_matrix(noise)
    if noise.shape[0] < 4:
        raise ValueError(f"noise has {noise.shape[0]} rows: give at least four minibatches")
    halves = torch.stack([noise[start::2].double().var(0) for start in (0, 1)])
    halves = halves[:, halves.all(0)]
    if halves.shape[1] < 3:
        raise ValueError(
            f"{halves.shape[1]} of {noise.shape[1]} coordinates vary in both halves of the minibatches: "
            "give at least three"
        )
    return float(torch.corrcoef(halves.log())[0, 1])


def _check_matrix(noise: Tensor) -> None:
    if noise.ndim != 2 or not noise.isfinite().all():
        raise ValueError(
            f"noise has shape {tuple(noise.shape)}: give finite values, (minibatches, parameters)"
        )


def tail_index(x: Tensor, k1: int | None = None) -> float:
    """Estimate of alpha, for x from a symmetric stable law centered at 0: a number.

    With the K = k1 k2 entries of x in their order and Y_j the k2 sums of k1 consecutive ones,

        1 / alpha = (mean log|Y| - mean log|X|) / log k1

    (Mohammadi, Mohammadpour and Ogata, 2015, corollary 2.4; used on gradients by Simsekli et al.,
    2019): a sum of k1 draws is k1^(1/alpha) times as large. k1 is by default the largest divisor of K
    that is at most sqrt(K). The scale of x does not matter. It is an estimate: for light tails it may
    exceed 2, and where sums are not larger than their terms it is infinite or negative; such an
    estimate says that x is no stable sample.

    The entries must be draws of one law. Coordinates of different scale are not, and lower the
    estimate whatever their tails: see `matched_gaussian`.

    Raises ValueError where x is not finite, holds zeros, is constant, where k1 is not a divisor of K
    between 2 and K / 2, and where no divisor serves.
    """
    x = x.detach().flatten().to("cpu", torch.float64)
    if not x.isfinite().all():
        raise ValueError("x holds NaN or infinity: leave diverged runs out")
    k = len(x)
    k1 = _block(k) if k1 is None else _checked_block(k, k1)
    zeros = int((x == 0).sum())
    if zeros == k:
        raise ValueError("x is zero everywhere: there is no noise to look at")
    if zeros:
        raise ValueError(
            f"{zeros} of {k} entries of x are exactly 0 and have no logarithm: leave out coordinates "
            "without noise, such as those of dead units"
        )
    if (x == x[0]).all():
        raise ValueError(f"all {k} entries of x are equal: that is no noise")
    sums = x.reshape(-1, k1).sum(1)
    if (sums == 0).any():
        raise ValueError(
            f"sums of {k1} consecutive entries of x cancel to exactly 0: x is no continuous sample; "
            "shuffle it or choose another k1"
        )
    slope = float((sums.abs().log().mean() - x.abs().log().mean()) / math.log(k1))
    return 1 / slope if slope else math.inf


def _block(k: int) -> int:
    for k1 in range(math.isqrt(k), 1, -1):
        if k % k1 == 0:
            return k1
    raise ValueError(
        f"x has {k} entries, a number without a divisor from 2 up to its root: drop an entry or two"
    )


def _checked_block(k: int, k1: int) -> int:
    if not is_whole(k1, 2) or k1 > k // 2 or k % k1:
        raise ValueError(
            f"k1 is {k1!r}: give a divisor of the number of entries, {k}, from 2 to {k // 2}"
        )
    return k1
