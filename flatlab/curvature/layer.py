"""One call of a layer with parameters, and what every kind of layer does alike.

`layers` holds the kinds. Results are added into what is there already wherever that saves a pass
over memory.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from flatlab.curvature.sample_directions import SampleDirections


@dataclass
class Tangent:
    """The derivatives of one layer's input and output-gradient along a direction."""

    input: Tensor | None  # a', shaped as the input; None for zeros
    gradient: Tensor  # delta', shaped as the output


class Layer:
    """One call of a module with parameters: z = layer(a), with its gradient delta once known.

    `has_weight` and `has_bias` say which parameters take part; the others are constants.
    """

    def __init__(self, module: Any, x: Tensor, has_weight: bool, has_bias: bool):
        self.module, self.has_weight, self.has_bias = module, has_weight, has_bias
        self.inlet = self.inlet_of(x)  # a, attached to what came before it
        self.a = self.inlet.detach()
        self.W = module.weight.detach()
        self.delta: Tensor  # set by the backward pass

    def inlet_of(self, x: Tensor) -> Tensor:
        """What the parameters multiply, from the module's input."""
        return x

    def apply(self, x: Tensor, W: Tensor, into: Tensor | None = None) -> Tensor:
        """The layer without bias, with weights W: linear in both. Added to `into`, in place."""
        raise NotImplementedError

    def adjoint(self, d: Tensor, W: Tensor, into: Tensor | None = None) -> Tensor:
        """The transpose of x -> apply(x, W), likewise."""
        raise NotImplementedError

    def weight_gradient(self, d: Tensor, x: Tensor, out: Tensor, add: bool) -> None:
        """The transpose of W -> apply(x, W), summed over samples, written or added to `out`."""
        raise NotImplementedError

    def bias_gradient(self, d: Tensor) -> Tensor:
        raise NotImplementedError

    def add_bias(self, z: Tensor, b: Tensor) -> Tensor:
        """z + b, in place."""
        raise NotImplementedError

    def per_sample(self, tangent: Tangent) -> SampleDirections:
        """H_i v for every sample i, from the tangents along v."""
        raise NotImplementedError

    def push(
        self,
        a_dot: Tensor | None,
        V: Tensor | None,
        b: Tensor | None,
        own: SampleDirections | None,
        room: Tensor | None = None,
    ) -> Tensor | None:
        """The output's tangent from the input's and from directions of the parameters.

        It may be written to `room`, shaped as the output.
        """
        z = None if own is None else own.forward()
        if z is None and b is not None:
            z = self.add_bias(torch.zeros_like(self.delta), b)
        elif b is not None:
            z = self.add_bias(z, b)
        if V is not None:
            z = self.apply(self.a, V, z)
        return z if a_dot is None else self.apply(a_dot, self.W, z)

    def pull(
        self,
        delta_dot: Tensor,
        V: Tensor | None,
        own: SampleDirections | None,
        room: Tensor | None = None,
    ) -> Tensor:
        """The tangent of the input's cotangent W' delta; maybe in `room`, shaped as the input."""
        mu = self.adjoint(delta_dot, self.W)
        if V is not None:
            mu = self.adjoint(self.delta, V, mu)
        return mu if own is None else own.backward(mu)

    def reduce(
        self, tangent: Tangent, weight: Tensor | None, bias: Tensor | None, add: tuple[bool, bool]
    ) -> None:
        """sum_i H_i v, written to `weight` and `bias`, or added."""
        if weight is not None:
            self.weight_gradient(tangent.gradient, self.a, weight, add[0])
            if tangent.input is not None:
                self.weight_gradient(self.delta, tangent.input, weight, True)
        if bias is not None:
            write(bias, self.bias_gradient(tangent.gradient), add[1])


def write(out: Tensor, value: Tensor, add: bool) -> None:
    if add:
        out.add_(value)
    else:
        out.copy_(value)
