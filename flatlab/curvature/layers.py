"""How the layers with parameters act on per-sample weight directions.

A layer turns its input a into z = layer(a), and its output-gradient delta into the weights'
gradient. Write a dot for the derivative along some direction. For a Linear layer, sample i has

    H_i v on the weight = delta'_i a_i^T + delta_i a'_i^T,     on the bias = delta'_i

so H_i v is known from the pairs (a, delta) and (a', delta'), n (in + out) numbers. Applying such a
direction U_i to an input, U_i a_i = delta'_i (a_i . a_i) + delta_i (a'_i . a_i), needs inner
products only. With T positions a sample (tokens, or a convolution's pixels) U_i is a sum of T such
terms: it is then applied through T x T inner products or built as an (n, out, in) tensor, whichever
is smaller. Norm layers' scale and shift are few and are kept per sample.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

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


@dataclass
class Tangent:
    """The derivatives of one layer's input and output-gradient along a direction."""

    input: Tensor | None  # a', shaped as the input; None for zeros
    gradient: Tensor  # delta', shaped as the output


class Layer:
    """One call of a module with parameters: z = layer(a), with its gradient delta once known.

    `has_weight` and `has_bias` say which parameters take part; the others are constants.
    """

    def __init__(self, module: nn.Module, x: Tensor, has_weight: bool, has_bias: bool):
        self.module, self.has_weight, self.has_bias = module, has_weight, has_bias
        self.inlet = self.inlet_of(x)  # a, attached to what came before it
        self.a = self.inlet.detach()
        self.W = module.weight.detach()
        self.delta: Tensor  # set by the backward pass

    def inlet_of(self, x: Tensor) -> Tensor:
        """What the parameters multiply, from the module's input."""
        return x

    def apply(self, x: Tensor, W: Tensor) -> Tensor:
        """The layer without bias, with weights W: linear in both."""
        raise NotImplementedError

    def adjoint(self, d: Tensor, W: Tensor) -> Tensor:
        """The transpose of x -> apply(x, W)."""
        raise NotImplementedError

    def weight_gradient(self, d: Tensor, x: Tensor) -> Tensor:
        """The transpose of W -> apply(x, W), summed over samples."""
        raise NotImplementedError

    def bias_gradient(self, d: Tensor) -> Tensor:
        raise NotImplementedError

    def add_bias(self, z: Tensor, b: Tensor) -> Tensor:
        raise NotImplementedError

    def per_sample(self, tangent: Tangent) -> SampleDirections:
        """H_i v for every sample i, from the tangents along v."""
        raise NotImplementedError

    def reduce(self, tangent: Tangent) -> tuple[Tensor | None, Tensor | None]:
        """sum_i H_i v on (weight, bias)."""
        weight = bias = None
        if self.has_weight:
            weight = self.weight_gradient(tangent.gradient, self.a)
            if tangent.input is not None:
                weight += self.weight_gradient(self.delta, tangent.input)
        if self.has_bias:
            bias = self.bias_gradient(tangent.gradient)
        return weight, bias


class SampleDirections:
    """A direction U_i of the layer's weight and u_i of its bias for each sample i."""

    def forward(self) -> Tensor:
        """U_i a_i + u_i, shaped as the layer's output."""
        raise NotImplementedError

    def backward(self) -> Tensor:
        """U_i^T delta_i, shaped as the layer's input."""
        raise NotImplementedError


class LinearLayer(Layer):
    def apply(self, x: Tensor, W: Tensor) -> Tensor:
        return F.linear(x, W)

    def adjoint(self, d: Tensor, W: Tensor) -> Tensor:
        return d @ W

    def weight_gradient(self, d: Tensor, x: Tensor) -> Tensor:
        return d.reshape(-1, d.shape[-1]).T @ x.reshape(-1, x.shape[-1])

    def bias_gradient(self, d: Tensor) -> Tensor:
        return d.reshape(-1, d.shape[-1]).sum(0)

    def add_bias(self, z: Tensor, b: Tensor) -> Tensor:
        return z + b

    def per_sample(self, tangent: Tangent) -> SampleDirections:
        n = len(self.a)
        views = [t.reshape(n, -1, t.shape[-1]) for t in (self.a, self.delta, tangent.gradient)]
        slope = None if tangent.input is None else tangent.input.reshape(views[0].shape)
        kind = _choose(views[0], views[1])
        inner = kind(*views, slope, self.has_weight, self.has_bias)
        return _Reshaped(inner, lambda z: z.view(self.delta.shape), lambda x: x.view(self.a.shape))


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

    def apply(self, x: Tensor, W: Tensor) -> Tensor:
        return F.conv2d(x, W, None, *self.geometry, self.module.groups)

    def adjoint(self, d: Tensor, W: Tensor) -> Tensor:
        return self._backward(d, self.a, W, (True, False, False))[0]

    def weight_gradient(self, d: Tensor, x: Tensor) -> Tensor:
        return self._backward(d, x, self.W, (False, True, False))[1]

    def bias_gradient(self, d: Tensor) -> Tensor:
        return d.sum((0, 2, 3))

    def add_bias(self, z: Tensor, b: Tensor) -> Tensor:
        return z + b.view(-1, 1, 1)

    def per_sample(self, tangent: Tangent) -> SampleDirections:
        unfolded = self._unfold(self.a)
        delta, slope = self._positions(self.delta), self._positions(tangent.gradient)
        kind = _choose(unfolded, delta)
        a_slope = None if tangent.input is None else self._unfold(tangent.input)
        inner = kind(unfolded, delta, slope, a_slope, self.has_weight, self.has_bias)
        return _Reshaped(inner, self._from_positions, self._fold)

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

    def apply(self, x: Tensor, W: Tensor) -> Tensor:
        return x * W.view(self._shape)

    def adjoint(self, d: Tensor, W: Tensor) -> Tensor:
        return d * W.view(self._shape)

    def weight_gradient(self, d: Tensor, x: Tensor) -> Tensor:
        return self._sum(d * x).sum(0)

    def bias_gradient(self, d: Tensor) -> Tensor:
        return self._sum(d).sum(0)

    def add_bias(self, z: Tensor, b: Tensor) -> Tensor:
        return z + b.view(self._shape)

    def per_sample(self, tangent: Tangent) -> SampleDirections:
        weight = bias = None
        if self.has_weight:
            weight = tangent.gradient * self.a
            if tangent.input is not None:
                weight = weight + self.delta * tangent.input
            weight = self._spread(self._sum(weight))
        if self.has_bias:
            bias = self._spread(self._sum(tangent.gradient))
        return _Scaled(self.a, self.delta, weight, bias)

    def _sum(self, x: Tensor) -> Tensor:
        """Over all but samples and the parameter's own dimensions: (n, *W.shape)."""
        return x.sum(self._summed) if self._summed else x

    def _spread(self, x: Tensor) -> Tensor:
        """(n, *W.shape) back to the shape of the layer's input, by broadcasting."""
        shape = [1 if i in self._summed else size for i, size in enumerate(self.a.shape)]
        return x.view(shape)


def normalized(module: nn.Module, x: Tensor) -> Tensor:
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
    return F.batch_norm(
        x, module.running_mean, module.running_var, None, None, False, 0.0, module.eps
    )


def layer_kind(module: nn.Module) -> type[Layer] | None:
    """The class that handles this module's parameters, None if there is none.

    A subclass with a forward pass of its own is another layer, and is not handled.
    """
    for base, kind in [(nn.Linear, LinearLayer), (nn.Conv2d, ConvLayer)]:
        if isinstance(module, base) and type(module).forward is base.forward:
            if kind is ConvLayer and not _simple_padding(module):
                return None
            return kind
    for base in _NORMS:
        if isinstance(module, base) and type(module).forward is base.forward:
            return NormLayer if getattr(module, "weight", None) is not None else None
    return None


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


def _choose(a: Tensor, d: Tensor) -> type[SampleDirections]:
    """Inner products of T x T positions, or the direction itself, out x in: the smaller."""
    positions = a.shape[1]
    return _Factored if positions**2 <= a.shape[2] * d.shape[2] else _Dense


class _Reshaped(SampleDirections):
    """Directions of a layer on positions, seen in the shapes of the module's input and output."""

    def __init__(self, inner, to_output, to_input):
        self.inner, self.to_output, self.to_input = inner, to_output, to_input

    def forward(self) -> Tensor:
        return self.to_output(self.inner.forward())

    def backward(self) -> Tensor:
        return self.to_input(self.inner.backward())


class _Factored(SampleDirections):
    """U_i = sum_t delta'_t a_t^T + delta_t a'_t^T through inner products of positions."""

    def __init__(self, a, delta, delta_slope, a_slope, has_weight: bool, has_bias: bool):
        self.a, self.delta, self.delta_slope, self.a_slope = a, delta, delta_slope, a_slope
        self.has_weight, self.has_bias = has_weight, has_bias

    def forward(self) -> Tensor:
        z = torch.zeros_like(self.delta)
        if self.has_weight:
            z = _mix(self.a, self.a, self.delta_slope)
            if self.a_slope is not None:
                z += _mix(self.a, self.a_slope, self.delta)
        return z + self.delta_slope.sum(1, keepdim=True) if self.has_bias else z

    def backward(self) -> Tensor:
        if not self.has_weight:
            return torch.zeros_like(self.a)
        x = _mix(self.delta, self.delta_slope, self.a)
        return x if self.a_slope is None else x + _mix(self.delta, self.delta, self.a_slope)


def _mix(x: Tensor, y: Tensor, values: Tensor) -> Tensor:
    """sum_t (x_s . y_t) values_t, for each position s: (m, T, .)."""
    if x.shape[1] == 1:
        return torch.linalg.vecdot(x, y).unsqueeze(-1) * values
    return (x @ y.transpose(1, 2)) @ values


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

    def backward(self) -> Tensor:
        return torch.zeros_like(self.a) if self.U is None else self.delta @ self.U


class _Scaled(SampleDirections):
    """Per-sample directions of a norm layer's scale and shift, ready to broadcast."""

    def __init__(self, a: Tensor, delta: Tensor, weight: Tensor | None, bias: Tensor | None):
        self.a, self.delta, self.weight, self.bias = a, delta, weight, bias

    def forward(self) -> Tensor:
        z = torch.zeros_like(self.a) if self.weight is None else self.a * self.weight
        return z if self.bias is None else z + self.bias

    def backward(self) -> Tensor:
        return torch.zeros_like(self.a) if self.weight is None else self.delta * self.weight
