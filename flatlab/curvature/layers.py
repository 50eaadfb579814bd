"""How the layers with parameters act on directions of their parameters.

A layer turns its input a into z = layer(a), and its output-gradient delta into the weights'
gradient. Write a dot for the derivative along some direction. For a Linear layer, sample i has

    H_i v on the weight = delta'_i a_i^T + delta_i a'_i^T,     on the bias = delta'_i

so H_i v is known from the pairs (a, delta) and (a', delta'), n (in + out) numbers; see
`sample_directions` for what is done with it. Norm layers' scale and shift are few and are kept per
sample. Results are added into what is there already wherever that saves a pass over memory.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from flatlab.curvature.layer import Layer, Tangent, write
from flatlab.curvature.sample_directions import (
    Reshaped,
    SampleDirections,
    Scaled,
    Viewed,
    on_positions,
)

_NORMS = (
    nn.BatchNorm1d,
    nn.BatchNorm2d,
    nn.BatchNorm3d,
    nn.InstanceNorm1d,
    nn.InstanceNorm2d,
    nn.InstanceNorm3d,
    nn.GroupNorm,
    nn.LayerNorm,
    nn.RMSNorm,
)


class LinearLayer(Layer):
    def apply(self, x: Tensor, W: Tensor, into: Tensor | None = None) -> Tensor:
        if into is None:
            return F.linear(x, W)
        return _add_product(into, x, W.T)

    def adjoint(self, d: Tensor, W: Tensor, into: Tensor | None = None) -> Tensor:
        if into is None:
            return d @ W
        return _add_product(into, d, W)

    def weight_gradient(self, d: Tensor, x: Tensor, out: Tensor, add: bool) -> None:
        if add:
            out.addmm_(rows(d).T, rows(x))
        else:
            torch.mm(rows(d).T, rows(x), out=out)

    def bias_gradient(self, d: Tensor) -> Tensor:
        return rows(d).sum(0)

    def add_bias(self, z: Tensor, b: Tensor) -> Tensor:
        return z.add_(b)

    def push(
        self,
        a_dot: Tensor | None,
        V: Tensor | None,
        b: Tensor | None,
        own: SampleDirections | None,
        room: Tensor | None = None,
    ) -> Tensor | None:
        if own is not None or V is None or b is None or room is None:
            return super().push(a_dot, V, b, own)
        torch.addmm(b, rows(self.a), V.T, out=rows(room))
        return room if a_dot is None else self.apply(a_dot, self.W, room)

    def pull(
        self,
        delta_dot: Tensor,
        V: Tensor | None,
        own: SampleDirections | None,
        room: Tensor | None = None,
    ) -> Tensor:
        if room is None:
            return super().pull(delta_dot, V, own)
        torch.mm(rows(delta_dot), self.W, out=rows(room))
        mu = room if V is None else self.adjoint(self.delta, V, room)
        return mu if own is None else own.backward(mu)

    def per_sample(self, tangent: Tangent) -> SampleDirections:
        n = len(self.a)
        parts = (self.a, self.delta, tangent.gradient)
        a, delta, gradient = (t.reshape(n, -1, t.shape[-1]) for t in parts)
        slope = None if tangent.input is None else tangent.input.reshape(a.shape)
        inner = on_positions(a, delta, gradient, slope, self.has_weight, self.has_bias)
        return Viewed(inner, self.delta.shape, a.shape)


def rows(x: Tensor) -> Tensor:
    """(anything, width) as a matrix; a view where it can be, and always for a contiguous x."""
    return x if x.ndim == 2 else x.reshape(-1, x.shape[-1])


def _add_product(into: Tensor, x: Tensor, W: Tensor) -> Tensor:
    """Add x W to `into`, in place; `rows` of a transposed one would be a copy."""
    if into.ndim == 2 or into.is_contiguous():
        rows(into).addmm_(rows(x), W)
        return into
    return into.add_(x @ W)


class ConvLayer(Layer):
    """A Conv2d as a Linear layer on its unfolded input, per group; zero padding only."""

    def __init__(self, module: nn.Conv2d, x: Tensor, has_weight: bool, has_bias: bool):
        super().__init__(module, x, has_weight, has_bias)
        padding = module.padding
        if padding == "same":
            padding = tuple(
                d * (k - 1) // 2 for d, k in zip(module.dilation, module.kernel_size, strict=True)
            )
        elif padding == "valid":
            padding = (0, 0)
        self.geometry = (module.stride, padding, module.dilation)

    def apply(self, x: Tensor, W: Tensor, into: Tensor | None = None) -> Tensor:
        stride, padding, dilation = self.geometry
        z = F.conv2d(x, W, None, stride, padding, dilation, self.module.groups)
        return z if into is None else into.add_(z)

    def adjoint(self, d: Tensor, W: Tensor, into: Tensor | None = None) -> Tensor:
        x = self._backward(d, self.a, W, (True, False, False))[0]
        return x if into is None else into.add_(x)

    def weight_gradient(self, d: Tensor, x: Tensor, out: Tensor, add: bool) -> None:
        write(out, self._backward(d, x, self.W, (False, True, False))[1], add)

    def bias_gradient(self, d: Tensor) -> Tensor:
        return d.sum((0, 2, 3))

    def add_bias(self, z: Tensor, b: Tensor) -> Tensor:
        return z.add_(b.view(-1, 1, 1))

    def per_sample(self, tangent: Tangent) -> SampleDirections:
        unfolded = self._unfold(self.a)
        delta, slope = self._positions(self.delta), self._positions(tangent.gradient)
        a_slope = None if tangent.input is None else self._unfold(tangent.input)
        inner = on_positions(unfolded, delta, slope, a_slope, self.has_weight, self.has_bias)
        return Reshaped(inner, self._from_positions, self._fold)

    def _backward(self, d: Tensor, x: Tensor, W: Tensor, mask: tuple[bool, bool, bool]):
        stride, padding, dilation = self.geometry
        return torch.ops.aten.convolution_backward(
            d, x, W, None, stride, padding, dilation, False, (0, 0), self.module.groups, mask
        )

    def _window(self) -> dict:
        stride, padding, dilation = self.geometry
        size = self.module.kernel_size
        return {"kernel_size": size, "stride": stride, "padding": padding, "dilation": dilation}

    def _unfold(self, x: Tensor) -> Tensor:
        """(n groups, T, in/group k k)."""
        columns = F.unfold(x, **self._window())
        return columns.view(len(x) * self.module.groups, -1, columns.shape[-1]).transpose(1, 2)

    def _fold(self, x: Tensor) -> Tensor:
        columns = x.transpose(1, 2).reshape(len(self.a), -1, x.shape[1])
        return F.fold(columns, self.a.shape[2:], **self._window())

    def _positions(self, z: Tensor) -> Tensor:
        """(n groups, T, out/group) from (n, out, height, width)."""
        groups = self.module.groups
        return z.reshape(len(z) * groups, z.shape[1] // groups, -1).transpose(1, 2)

    def _from_positions(self, z: Tensor) -> Tensor:
        return z.transpose(1, 2).reshape(self.delta.shape)


class NormLayer(Layer):
    """The scale and shift of a norm layer; its input `a` is what the layer has normalized."""

    def __init__(self, module: nn.Module, x: Tensor, has_weight: bool, has_bias: bool):
        super().__init__(module, x, has_weight, has_bias)
        trailing = isinstance(module, (nn.LayerNorm, nn.RMSNorm))
        own = (
            x.ndim - self.W.ndim if trailing else 2
        )  # where the parameter's dimensions end or start
        self._shape = self.W.shape if trailing else (-1, *[1] * (x.ndim - 2))
        self._summed = tuple(range(1, own) if trailing else range(own, x.ndim))

    def inlet_of(self, x: Tensor) -> Tensor:
        return normalized(self.module, x)

    def apply(self, x: Tensor, W: Tensor, into: Tensor | None = None) -> Tensor:
        W = W.view(self._shape)
        return x * W if into is None else into.addcmul_(x, W)

    def adjoint(self, d: Tensor, W: Tensor, into: Tensor | None = None) -> Tensor:
        return self.apply(d, W, into)

    def weight_gradient(self, d: Tensor, x: Tensor, out: Tensor, add: bool) -> None:
        write(out, self._sum(d * x).sum(0), add)

    def bias_gradient(self, d: Tensor) -> Tensor:
        return self._sum(d).sum(0)

    def add_bias(self, z: Tensor, b: Tensor) -> Tensor:
        return z.add_(b.view(self._shape))

    def per_sample(self, tangent: Tangent) -> SampleDirections:
        weight = bias = None
        if self.has_weight:
            weight = tangent.gradient * self.a
            if tangent.input is not None:
                weight = weight + self.delta * tangent.input
            weight = self._spread(self._sum(weight))
        if self.has_bias:
            bias = self._spread(self._sum(tangent.gradient))
        return Scaled(self.a, self.delta, weight, bias)

    def _sum(self, x: Tensor) -> Tensor:
        """Over all but samples and the parameter's own dimensions: (n, *W.shape)."""
        return x.sum(self._summed) if self._summed else x

    def _spread(self, x: Tensor) -> Tensor:
        """(n, *W.shape) back to the shape of the layer's input, by broadcasting."""
        shape = [1 if i in self._summed else size for i, size in enumerate(self.a.shape)]
        return x.view(shape)


def normalized(module: Any, x: Tensor) -> Tensor:
    """A norm layer's output before its scale and shift."""
    if isinstance(module, nn.LayerNorm):
        return F.layer_norm(x, module.normalized_shape, None, None, module.eps)
    if isinstance(module, nn.RMSNorm):
        return F.rms_norm(x, module.normalized_shape, None, module.eps)
    if isinstance(module, nn.GroupNorm):
        return F.group_norm(x, module.num_groups, None, None, module.eps)
    if isinstance(module, nn.modules.instancenorm._InstanceNorm):
        batch = module.training or not module.track_running_stats
        mean, var = (None, None) if batch else (module.running_mean, module.running_var)
        return F.instance_norm(x, mean, var, None, None, batch, 0.0, module.eps)
    batch = module.training or module.running_mean is None
    mean, var = (None, None) if batch else (module.running_mean, module.running_var)
    return F.batch_norm(x, mean, var, None, None, batch, 0.0, module.eps)


def layer_kind(module: Any) -> type[Layer] | None:
    """The class that handles this module's parameters, None if there is none.

    A forward pass of a subclass's or an instance's own makes another layer, which is not handled.
    """
    if "forward" in vars(module):
        return None
    kinds: list[Any] = [(nn.Linear, LinearLayer), (nn.Conv2d, ConvLayer)]
    for base, kind in kinds:
        if isinstance(module, base) and type(module).forward is base.forward:
            if kind is ConvLayer and not _simple_padding(module):
                return None
            return kind
    for base in _NORMS:
        if isinstance(module, base) and type(module).forward is base.forward:
            return NormLayer if getattr(module, "weight", None) is not None else None
    return None


def fewest_dimensions(module: Any) -> int:
    """Of an input that has one for samples; PyTorch takes inputs without it as well."""
    if isinstance(module, (nn.LayerNorm, nn.RMSNorm)):
        return module.weight.ndim + 1
    if isinstance(module, nn.modules.instancenorm._InstanceNorm):
        return module._get_no_batch_dim() + 1
    return 4 if isinstance(module, nn.Conv2d) else 1


def working_bytes(module: nn.Module, z: Tensor) -> float:
    """What per-sample directions of this layer take beside its inputs and outputs, for a sample."""
    if not isinstance(module, nn.Conv2d):
        return 0.0
    positions, window = z.shape[2:].numel(), module.weight[0].numel()
    return z.element_size() * module.groups * (3 * window * positions + 2 * positions**2)


def _simple_padding(module: nn.Conv2d) -> bool:
    odd = all(
        d * (k - 1) % 2 == 0 for d, k in zip(module.dilation, module.kernel_size, strict=True)
    )
    return module.padding_mode == "zeros" and (module.padding != "same" or odd)
