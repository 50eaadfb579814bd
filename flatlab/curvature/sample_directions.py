"""Directions of a layer's parameters that differ from sample to sample.

For a Linear layer H_i v on the weight is delta'_i a_i^T + delta_i a'_i^T, so that applying it to an
input, U_i a_i = delta'_i (a_i . a_i) + delta_i (a'_i . a_i), needs inner products only. With T
positions a sample (tokens, or a convolution's pixels) U_i is a sum of T such terms: it is then
applied through T x T inner products or built as an (n, out, in) tensor, whichever is smaller.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


class SampleDirections:
    """A direction U_i of the layer's weight and u_i of its bias for each sample i."""

    a: Tensor  # the layer's input, (m, T, in), where they are on positions

    def forward(self) -> Tensor:
        """U_i a_i + u_i, shaped as the layer's output."""
        raise NotImplementedError

    def backward(self, into: Tensor) -> Tensor:
        """U_i^T delta_i, shaped as the layer's input, added to `into` in place."""
        raise NotImplementedError


def on_positions(
    a: Tensor,
    delta: Tensor,
    delta_slope: Tensor,
    a_slope: Tensor | None,
    has_weight: bool,
    has_bias: bool,
) -> SampleDirections:
    """From (m, T, in) inputs and (m, T, out) output-gradients and their tangents."""
    positions = a.shape[1]
    kind = _Factored if positions**2 <= a.shape[2] * delta.shape[2] else _Dense
    return kind(a, delta, delta_slope, a_slope, has_weight, has_bias)


class Reshaped(SampleDirections):
    """Directions of a layer on positions, seen in the shapes of the module's input and output."""

    def __init__(
        self,
        inner: SampleDirections,
        to_output: Callable[[Tensor], Tensor],
        to_input: Callable[[Tensor], Tensor],
    ):
        self.inner, self.to_output, self.to_input = inner, to_output, to_input

    def forward(self) -> Tensor:
        return self.to_output(self.inner.forward())

    def backward(self, into: Tensor) -> Tensor:
        x = torch.zeros_like(self.inner.a)
        return into.add_(self.to_input(self.inner.backward(x)))


class Viewed(SampleDirections):
    """The same where those shapes are views of one another: nothing is copied."""

    def __init__(self, inner: SampleDirections, output: torch.Size, positions: torch.Size):
        self.inner, self.output, self.positions = inner, output, positions

    def forward(self) -> Tensor:
        return self.inner.forward().view(self.output)

    def backward(self, into: Tensor) -> Tensor:
        self.inner.backward(into.view(self.positions))
        return into


class _Factored(SampleDirections):
    """U_i = sum_t delta'_t a_t^T + delta_t a'_t^T through inner products of positions."""

    def __init__(self, a, delta, delta_slope, a_slope, has_weight: bool, has_bias: bool):
        self.a, self.delta, self.delta_slope, self.a_slope = a, delta, delta_slope, a_slope
        self.has_weight, self.has_bias = has_weight, has_bias

    def forward(self) -> Tensor:
        z = torch.zeros_like(self.delta)
        if self.has_bias:
            z += self.delta_slope.sum(1, keepdim=True)
        if self.has_weight:
            _mix(self.a, self.a, self.delta_slope, z)
            if self.a_slope is not None:
                _mix(self.a, self.a_slope, self.delta, z)
        return z

    def backward(self, into: Tensor) -> Tensor:
        if self.has_weight:
            _mix(self.delta, self.delta_slope, self.a, into)
            if self.a_slope is not None:
                _mix(self.delta, self.delta, self.a_slope, into)
        return into


def _mix(x: Tensor, y: Tensor, values: Tensor, into: Tensor) -> None:
    """Add sum_t (x_s . y_t) values_t, for each position s, to `into`: (m, T, .)."""
    if x.shape[1] == 1:
        into.addcmul_(torch.linalg.vecdot(x, y).unsqueeze(-1), values)
    else:
        into.baddbmm_(x @ y.transpose(1, 2), values)


class _Dense(SampleDirections):
    """U_i as an (m, out, in) tensor."""

    def __init__(self, a, delta, delta_slope, a_slope, has_weight: bool, has_bias: bool):
        self.a, self.delta, self.U = a, delta, None
        if has_weight:
            self.U = delta_slope.transpose(1, 2) @ a
            if a_slope is not None:
                self.U += delta.transpose(1, 2) @ a_slope
        self.u = delta_slope.sum(1, keepdim=True) if has_bias else None

    def forward(self) -> Tensor:
        z = torch.zeros_like(self.delta) if self.U is None else self.a @ self.U.transpose(1, 2)
        return z if self.u is None else z + self.u

    def backward(self, into: Tensor) -> Tensor:
        return into if self.U is None else into.baddbmm_(self.delta, self.U)


class Scaled(SampleDirections):
    """Per-sample directions of a norm layer's scale and shift, ready to broadcast."""

    def __init__(self, a: Tensor, delta: Tensor, weight: Tensor | None, bias: Tensor | None):
        self.a, self.delta, self.weight, self.bias = a, delta, weight, bias

    def forward(self) -> Tensor:
        z = torch.zeros_like(self.a) if self.weight is None else self.a * self.weight
        return z if self.bias is None else z + self.bias

    def backward(self, into: Tensor) -> Tensor:
        return into if self.weight is None else into.addcmul_(self.delta, self.weight)
