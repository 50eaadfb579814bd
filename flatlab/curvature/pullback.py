"""What lies between two layers of a network: x = G(z), without parameters.

With the cotangent mu on x, the pullback (dG/dz)' mu is kept as a graph. One backward pass through it
along the tangent z' gives both the tangent x' = (dG/dz) z' and, G's second derivatives being
symmetric, the second-order part sum_j mu_j (d^2 G_j / dz^2) z' of the next backward sweep.

Most of what lies between layers acts element by element (an activation); x' = D z' and the
second-order part K z' are then products with two fixed tensors, a fraction of the graph's cost. That
G is of that kind is found out, not assumed: D and K come from a vector without structure, and a
second vector must agree.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

_GOLDEN, _SILVER = 0.6180339887, 0.4142135624  # the golden ratio less 1, the root of 2 less 1


class Pullback:
    """mu -> (dG/dz_m)' mu for the cuts m that x depends on; `mu` is None if x is the loss itself."""

    def __init__(
        self, x: Tensor, mu: Tensor | None, cuts: list[int], z: list[Tensor], pulled: list[Tensor]
    ):
        self.x, self.mu, self.cuts, self.z, self.pulled = x, mu, cuts, z, pulled
        self.slope: Tensor | None = None  # D, if G acts element by element
        self.bend: Tensor | None = None  # K, if it does and is not piecewise linear
        self.curved = True  # whether G has second derivatives
        self.alone = (
            False  # whether nothing else reads the tangents of its cuts: they may be changed
        )
        if mu is not None:
            self._recognize()

    def push(self, z_dots: Sequence[Tensor | None], second: dict[int, Tensor]) -> Tensor | None:
        """x' = sum_m (dG/dz_m) z'_m; the second-order parts are added to `second`."""
        dots = [z_dots[m] for m in self.cuts]
        if self.slope is not None:
            if dots[0] is None:
                return None
            if self.bend is not None:
                self._add([self.bend * dots[0]], second)
            return dots[0].mul_(self.slope) if self.alone else dots[0] * self.slope
        x_dot, parts = self._push_graph(dots)
        self._add(parts, second)
        return x_dot

    def pull(self, mu_dot: Tensor, second: dict[int, Tensor]) -> None:
        """Add (dG/dz_m)' mu' to `second`; mu' may be changed."""
        if self.slope is not None:
            self._add([mu_dot.mul_(self.slope)], second)
        else:
            self._add(self._pull_graph(mu_dot), second)

    def _push_graph(self, dots: list[Tensor | None]) -> tuple[Tensor | None, list[Tensor | None]]:
        pairs = zip(self.pulled, dots, strict=True)
        live = [(part, dot) for part, dot in pairs if part.requires_grad and dot is not None]
        inputs = (self.z if self.curved else []) + ([] if self.mu is None else [self.mu])
        if not live or not inputs:
            return None, []
        outs, vectors = zip(*live, strict=True)
        grads = list(
            torch.autograd.grad(outs, inputs, vectors, retain_graph=True, allow_unused=True)
        )
        x_dot = None if self.mu is None else grads.pop()
        return x_dot, grads

    def _pull_graph(self, mu_dot: Tensor) -> list[Tensor]:
        return list(torch.autograd.grad(self.x, self.z, mu_dot, retain_graph=True))

    def _recognize(self) -> None:
        """Find out what G is from its action on a tangent, and a cotangent, without structure."""
        probes = [generic_like(t, _GOLDEN) for t in self.z]
        x_dot, second = self._push_graph(list(probes))
        self.curved = any(part is not None and bool(part.any()) for part in second)
        if x_dot is None or len(self.z) != 1 or self.x.shape != self.z[0].shape:
            return
        slope, other = x_dot.div_(probes[0]), self.mu.detach()
        if not _same(self.pulled[0].detach(), slope * other):
            return
        if not other.all():  # what mu is 0 at tells nothing: all, where the loss's slope is 0
            other = generic_like(other, _SILVER)
            if not _same(self._push_graph([other])[0], slope * other):
                return
        if self.curved:
            bend = second[0].div_(probes[0])
            if not _same(self._push_graph([other])[1][0], bend * other):
                return
            self.bend = bend
        self.slope = slope
        self.x = self.pulled = None  # the graph is not needed any more

    def _add(self, parts: list[Tensor | None], second: dict[int, Tensor]) -> None:
        for m, part in zip(self.cuts, parts, strict=False):
            if part is not None:
                second[m] = second[m] + part if m in second else part


def generic_like(t: Tensor, ratio: float) -> Tensor:
    """Positive numbers without structure: products of multiples of an irrational ratio modulo 1."""
    rows, columns = (_multiples(size, ratio, t) for size in (len(t), t[0].numel()))
    return torch.outer(rows, columns).view(t.shape)


def _multiples(size: int, ratio: float, like: Tensor) -> Tensor:
    numbers = torch.arange(size, dtype=torch.float32, device=like.device)
    return numbers.mul_(ratio).frac_().add_(0.5).to(like.dtype)


def _same(a: Tensor, b: Tensor) -> bool:
    """Equal element by element, up to the rounding of two ways to compute it.

    Where the terms of a derivative cancel, as in SiLU's, rounding is relative to their size.
    """
    size = b.abs()
    return bool(((a - b).abs() <= 16 * torch.finfo(a.dtype).eps * (size + size.mean())).all())
