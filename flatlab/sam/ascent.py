"""The step of length rho that raises a linear function most, in any p-norm."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from flatlab.arguments import checked_not_negative

HALF = {torch.float16, torch.bfloat16}


def dual_norm_ascent(
    grads: Sequence[Tensor],
    rho: float,
    p: float = 2.0,
    params: Sequence[Tensor] | None = None,
) -> list[Tensor]:
    """argmax of e'g over |e|_p <= rho: e = rho sign(g) |g|^(q-1) / (|g|_q^q)^(1/p), 1/p + 1/q = 1.

    The norm is that of all tensors of `grads` together. p = 2: rho g / |g|_2. p = inf: rho sign(g).
    p = 1: all of rho on the largest |g_i|, in equal parts where several are largest (the limit
    p -> 1). g = 0 gives e = 0. With `params` w the ball is |e / w|_p <= rho instead, with
    solution e = w d for the d that belongs to w g; for p = 2, e = rho w^2 g / |w g|_2. It is
    invariant: w -> c w, g -> g / c per coordinate makes e -> c e.

    Returns new tensors shaped as `grads`, differentiable in `grads` and `params`. Raises ValueError
    for rho < 0, p < 1, or `params` of another number or shape; FloatingPointError for NaN or inf.

    Sources: Foret et al. (2021), eq. 2; Kwon et al. (2021), eq. 6, for `params`.

    >>> dual_norm_ascent([torch.tensor([3.0, -4.0])], rho=1.0)
    [tensor([ 0.6000, -0.8000])]
    """
    checked_not_negative("rho", rho)
    p = checked_p(p)
    scaled = list(grads)
    if params is not None:
        if [g.shape for g in grads] != [w.shape for w in params]:
            raise ValueError("params and grads differ: give one parameter for each gradient")
        scaled = [wide(w) * wide(g) for w, g in zip(params, grads, strict=True)]
    measure = measured(lambda: scaled, p)
    steps = [rho * measure.unit(s) for s in scaled]
    if params is None:
        return steps
    triples = zip(params, grads, steps, strict=True)
    return [(w * e).to(torch.result_type(w, g)) for w, g, e in triples]


def checked_p(p: float) -> float:
    if isinstance(p, bool) or not isinstance(p, (int, float)) or not p >= 1:
        raise ValueError(f"p is {p!r}: give the exponent of a norm, from 1 to math.inf")
    return float(p)


class Measure(NamedTuple):
    """What the unit step needs to know of all tensors s together."""

    p: float
    largest: float  # m = max |s_i|
    total: Tensor | None  # sum |s_i / m|^q; for p = 1 the number of largest entries

    def unit(self, s: Tensor) -> Tensor:
        """The part for one tensor s of argmax e's over |e|_p <= 1; zeros where s = 0 everywhere."""
        if s.dtype in HALF:
            return self.unit(wide(s)).to(s.dtype)
        if self.largest == 0:
            return torch.zeros_like(s)
        if math.isinf(self.p):
            return s.sign()
        if self.p == 1:
            return torch.where(s.abs() == self.largest, s.sign(), 0) / self.total.to(s)
        r = s / self.largest
        if self.p != 2:
            r = r.sign() * _power(r, 1 / (self.p - 1))  # q - 1 = 1 / (p - 1)
        return r / self.total.to(s) ** (1 / self.p)


def measured(scaled: Callable[[], Iterable[Tensor]], p: float) -> Measure:
    """The `Measure` of the tensors s that `scaled` makes, one at a time, whenever it is called.

    Powers are taken of s / max |s|, which cannot overflow. Raises FloatingPointError for NaN or inf.
    """
    peaks = [s.detach().abs().max() for s in scaled() if s.numel()]
    largest = float(gathered(peaks).max()) if peaks else 0.0
    if not math.isfinite(largest):
        raise FloatingPointError(f"a gradient holds {'NaN' if math.isnan(largest) else 'inf'}")
    if largest == 0 or math.isinf(p):
        return Measure(p, largest, None)
    if p == 1:
        parts = [(s.abs() == largest).sum() for s in scaled()]
    else:
        parts = [_power(wide(s) / largest, p / (p - 1)).sum() for s in scaled()]
    return Measure(p, largest, gathered(parts).sum())


def wide(s: Tensor) -> Tensor:
    """Half precision as float32: a sum of 65,520 ones is inf in float16."""
    return s.float() if s.dtype in HALF else s


def _power(r: Tensor, exponent: float) -> Tensor:
    """|r|^exponent with derivative 0, not inf, at r = 0."""
    if exponent == 2:
        return r.square()
    if not r.requires_grad:
        return r.abs().pow(exponent)
    zero = r == 0
    return torch.where(zero, 0, torch.where(zero, 1, r).abs().pow(exponent))


def gathered(numbers: Sequence[Tensor]) -> Tensor:
    """0-d tensors in one float64 vector on the CPU, waiting once for each device."""
    devices = {n.device for n in numbers}
    stacks = [torch.stack([n for n in numbers if n.device == d]) for d in devices]
    return torch.cat([stack.cpu().double() for stack in stacks])
