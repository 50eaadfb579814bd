"""Symmetric alpha-stable laws."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from flatlab.arguments import WHOLE, seeded


def sample_stable(
    alpha: float,
    size: int | Sequence[int],
    generator: torch.Generator | None = None,
) -> Tensor:
    """Draws of S-alpha-S(1), the law with characteristic function exp(-|t|^alpha): shape size, float64.

    With V uniform on (-pi/2, pi/2) and W exponential of mean 1 (Chambers, Mallows and Stuck, 1976),

        X = sin(alpha V) / cos(V)^(1/alpha) * (cos((1 - alpha) V) / W)^((1 - alpha)/alpha).

    alpha = 2 is N(0, 2), alpha = 1 is Cauchy. For alpha < 2 the variance is infinite, for alpha <= 1
    there is no mean. The draws lie on the generator's device; `generator=None` means a new one seeded 0.
    Very small alpha gives draws beyond float64, which come as +-inf. Raises ValueError unless
    0 < alpha <= 2.
    """
    check_alpha(alpha)
    generator = seeded(generator)
    shape = (size,) if isinstance(size, WHOLE) else tuple(size)
    draw: Any = {"generator": generator, "dtype": torch.float64, "device": generator.device}
    v = math.pi * (torch.rand(shape, **draw) - 0.5)
    w = -torch.log1p(-torch.rand(shape, **draw))  # rand is below 1, so w is finite
    # rand may be 0: v at -pi/2, where cos is a rounding error, and w at 0. Keep both off.
    tiny = torch.finfo(torch.float64).tiny
    cos_v, w = v.cos().clamp_min(tiny), w.clamp_min(tiny)
    if alpha == 1:
        return v.sin() / cos_v
    # In logarithms: the two powers overflow long before their product does.
    log_size = ((1 - alpha) * v).cos().log() * ((1 - alpha) / alpha) - cos_v.log() / alpha
    log_size = log_size - w.log() * ((1 - alpha) / alpha) + (alpha * v).sin().abs().log()
    return log_size.exp().copysign(v)


def check_alpha(alpha: float) -> None:
    if not 0 < alpha <= 2:
        raise ValueError(f"alpha is {alpha}: a stable law has a tail index in (0, 2]")
