"""Per-sample second derivatives of a network, layer by layer.

The network is cut at the outputs z of its layers with parameters. What lies between the cuts
(activations, pooling, residual sums, the loss) holds no parameters, and autograd differentiates it;
the layers are linear in their parameters, and `layers` differentiates them. A direction that
differs from sample to sample then never has to exist as n x p numbers.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import torch
from torch import Tensor, nn

from flatlab.curvature.empirical_loss import EmpiricalLoss, require_finite
from flatlab.curvature.layer import Layer, Tangent
from flatlab.curvature.layers import LinearLayer, fewest_dimensions, layer_kind
from flatlab.curvature.pullback import Pullback
from flatlab.curvature.sample_directions import SampleDirections
from flatlab.curvature.samples import check_samples

Shared = list[tuple[Tensor | None, Tensor | None]]  # (weight, bias) of each layer


class UnsupportedLayerError(NotImplementedError):
    """A layer whose per-sample Hessians are not known in factored form."""


class Architecture:
    """Which module owns which of the objective's parameters; raises for one that is not handled."""

    def __init__(self, objective: EmpiricalLoss):
        position = {
            id(p): i for i, p in enumerate(objective.parameters)
        }  # shared ones have two names
        self.owners: dict[nn.Module, tuple[int | None, int | None]] = {}
        for prefix, module in objective.model.named_modules():
            own = {n: position[id(p)] for n, p in module._parameters.items() if id(p) in position}
            if not own:
                continue
            kind = layer_kind(module)
            if kind is None:
                raise unsupported(
                    f"{type(module).__name__} '{prefix}'", "has parameters of its own"
                )
            slots = (own.pop("weight", None), own.pop("bias", None))
            if own:
                raise unsupported(f"{type(module).__name__} '{prefix}'", f"has parameters {[*own]}")
            self.owners[module] = slots


class LayeredBatch:
    """One batch, forward and backward once, ready for any number of tangents.

    It stands for the batch's mean loss; with `per_sample` for the sum of its samples' losses, each
    sample having directions of its own, which asks more of the network: no row may be anything
    but a sample, no layer called twice, and the loss a mean.
    """

    def __init__(
        self,
        objective: EmpiricalLoss,
        architecture: Architecture,
        X: Tensor,
        y: Any,
        per_sample: bool,
    ):
        self.objective, self.n, self.is_per_sample = objective, len(X), per_sample
        self.layers: list[Layer] = []
        self.slots: list[tuple[int | None, int | None]] = []
        self.outputs: list[Tensor] = []  # z, leaves of the graph between the cuts
        loss = self._forward(architecture, X, y)
        self.loss_pullback: Pullback | None = None
        self.pullbacks: list[Pullback | None] = [None] * len(self.layers)
        self._backward(self.n * loss if per_sample else loss)
        # Memory for tangents: fresh pages would cost as much as what is computed in them.
        self._rooms = [[_rooms(layer) for layer in self.layers] for _ in range(1 + per_sample)]

    # --- once ---------------------------------------------------------------------------------
    def _forward(self, architecture: Architecture, X: Tensor, y: Any) -> Tensor:
        names, versions = {m: p for p, m in self.objective.model.named_modules()}, []

        def cut(module: nn.Module, args: tuple, output: Tensor) -> Tensor:
            weight, bias = architecture.owners[module]
            self._check_call(names[module], module, (weight, bias), args, output)
            layer = layer_kind(module)(module, args[0], weight is not None, bias is not None)
            self.layers.append(layer)
            self.slots.append((weight, bias))
            self.outputs.append(output.detach().requires_grad_())
            versions.append((names[module], args[0], args[0]._version))
            return self.outputs[-1].clone()  # a later in-place activation must not meet a leaf

        weights = [p.detach().requires_grad_() for p in self.objective.parameters]
        # Before the hooks that the module has: what they make of its output lies between the cuts.
        owners = architecture.owners
        handles = [module.register_forward_hook(cut, prepend=True) for module in owners]
        try:
            prediction = self.objective.forward(weights, X)
        finally:
            for handle in handles:
                handle.remove()
        for name, x, version in versions:
            if x._version != version:
                raise unsupported(
                    f"'{name}'", "has an input that is overwritten in place afterwards"
                )
        loss = require_finite(self.objective.scalar_loss(prediction, y), "the loss")
        self.objective.refuse_direct_use(loss)
        if self.is_per_sample:
            check_samples(self.objective, X, y, prediction)
            self._check_rows(owners, X[: max(min(self.n // 3, 8), 1)], names)
        self._check_strays([loss, *(layer.inlet for layer in self.layers)], weights)
        return loss

    def _backward(self, total: Tensor) -> None:
        delta: list[Any] = [torch.zeros_like(z) for z in self.outputs]
        self.loss_pullback = self._pull(total, None, len(delta), delta)
        for i, layer in reversed(list(enumerate(self.layers))):
            layer.delta = require_finite(delta[i], "the gradient")
            if layer.inlet.requires_grad:
                mu = layer.adjoint(layer.delta, layer.W).requires_grad_()
                self.pullbacks[i] = self._pull(layer.inlet, mu, i, delta)
        pullbacks = [p for p in (*self.pullbacks, self.loss_pullback) if p is not None]
        readers = Counter(m for pullback in pullbacks for m in pullback.cuts)
        for pullback in pullbacks:
            pullback.alone = all(readers[m] == 1 for m in pullback.cuts)

    def _pull(self, x: Tensor, mu: Tensor | None, before: int, delta: list) -> Pullback | None:
        """(dx/dz_m)' mu for the earlier cuts m, as graphs; their values are added to delta."""
        if not x.requires_grad or before == 0:
            return None
        pulled = torch.autograd.grad(
            x, self.outputs[:before], mu, create_graph=True, allow_unused=True
        )
        cuts = [m for m, part in enumerate(pulled) if part is not None]
        if not cuts:  # x depends on the data only, which require a gradient
            return None
        for m in cuts:
            delta[m] = delta[m] + pulled[m].detach()
        return Pullback(x, mu, cuts, [self.outputs[m] for m in cuts], [pulled[m] for m in cuts])

    # --- for each direction -------------------------------------------------------------------
    def tangents(
        self, shared: Shared, per_sample: list[SampleDirections] | None = None
    ) -> list[Tangent]:
        """(a', delta') of every layer along shared (+ per-sample) directions of the parameters.

        They live in memory that the next sweep of the same kind, shared or per sample, uses again.
        """
        second: dict[int, Tensor] = {}
        own = per_sample or [None] * len(self.layers)
        a_dots: list[Tensor | None] = []
        z_dots: list[Tensor | None] = []
        rooms = self._rooms[per_sample is not None]
        for layer, pullback, directions, u, room in zip(
            self.layers, self.pullbacks, shared, own, rooms, strict=True
        ):
            a_dots.append(None if pullback is None else pullback.push(z_dots, second))
            z_dots.append(layer.push(a_dots[-1], *directions, u, room[0]))
        if self.loss_pullback is not None:
            self.loss_pullback.push(z_dots, second)
        for i, layer in reversed(list(enumerate(self.layers))):
            if i not in second:
                second[i] = torch.zeros_like(self.outputs[i])
            if self.pullbacks[i] is not None:
                mu_dot = layer.pull(second[i], shared[i][0], own[i], rooms[i][1])
                self.pullbacks[i].pull(mu_dot, second)
        return [Tangent(a_dot, second[i]) for i, a_dot in enumerate(a_dots)]

    def per_sample(self, tangents: list[Tangent]) -> list[SampleDirections]:
        """H_i v of every sample, from the tangents along v."""
        return [layer.per_sample(t) for layer, t in zip(self.layers, tangents, strict=True)]

    def reduce(self, tangents: list[Tangent], out: list[Tensor]) -> None:
        """sum_i H_i v into `out`, shaped as the parameters, from the tangents along v (or v_i)."""
        written: set[int | None] = set()
        for layer, slots, tangent in zip(self.layers, self.slots, tangents, strict=True):
            weight, bias = (None if slot is None else out[slot] for slot in slots)
            layer.reduce(tangent, weight, bias, (slots[0] in written, slots[1] in written))
            written.update(slots)
        for slot, part in enumerate(out):
            if slot not in written:
                part.zero_()

    def gradient(self, out: list[Tensor]) -> None:
        """The loss's gradient into `out`."""
        self.reduce([Tangent(None, layer.delta) for layer in self.layers], out)

    def shared(self, parts: list[Tensor]) -> Shared:
        """Per layer, the (weight, bias) pieces of a direction given in the parameters' order."""
        padded = [*parts, None]
        place = [[len(parts) if slot is None else slot for slot in slots] for slots in self.slots]
        return [(padded[weight], padded[bias]) for weight, bias in place]

    # --- checks -------------------------------------------------------------------------------
    def _check_call(
        self,
        name: str,
        module: nn.Module,
        slots: tuple[int | None, int | None],
        args: tuple,
        output: Any,
    ) -> None:
        label = f"{type(module).__name__} '{name}'"
        if len(args) != 1 or not torch.is_tensor(args[0]) or not torch.is_tensor(output):
            raise unsupported(label, "is not called with one tensor")
        if args[0].ndim < fewest_dimensions(module):
            raise unsupported(label, "gets an input without a dimension for samples")
        for key, slot in zip(("weight", "bias"), slots, strict=True):
            own = getattr(module, key, None)
            if slot is None and own is not None and own.requires_grad:  # constants are detached
                raise unsupported(label, f"has a {key} computed from other parameters")
        if not self.is_per_sample:
            return
        if any(layer.module is module for layer in self.layers):
            raise unsupported(label, "is called more than once in a forward pass")
        taken = {slot for pair in self.slots for slot in pair}
        if any(slot is not None and slot in taken for slot in slots):
            raise unsupported(label, "shares a parameter with another layer")
        if len(args[0]) != self.n or len(output) != self.n:
            raise unsupported(label, f"gets {len(args[0])} rows for {self.n} samples")

    @torch.no_grad()
    def _check_rows(self, owners: Any, few: Tensor, names: dict[nn.Module, str]) -> None:
        """Rows follow the samples: with fewer of them there are fewer. As many positions look the same."""

        def look(module: nn.Module, args: tuple, output: Any) -> None:
            if len(args[0]) != len(few):
                label = f"{type(module).__name__} '{names[module]}'"
                raise unsupported(label, f"gets {len(args[0])} rows for {len(few)} samples")

        handles = [module.register_forward_hook(look, prepend=True) for module in owners]
        try:
            self.objective.forward(None, few)
        finally:
            for handle in handles:
                handle.remove()

    def _check_strays(self, outputs: list[Tensor], weights: list[Tensor]) -> None:
        outputs = [x.sum() for x in outputs if x.requires_grad]
        if not outputs:
            return
        grads = torch.autograd.grad(outputs, weights, retain_graph=True, allow_unused=True)
        for name, grad in zip(self.objective.names, grads, strict=True):
            if grad is not None:
                raise unsupported(f"parameter '{name}'", "is used outside its module's own call")


def _rooms(layer: Layer) -> tuple[Tensor | None, Tensor | None]:
    """Room for a tangent of a linear layer's output and of its input's cotangent."""
    if not isinstance(layer, LinearLayer):
        return None, None
    room = layer.delta.new_empty(layer.delta.shape)  # contiguous, which delta and a need not be
    if not layer.inlet.requires_grad:
        return room, None
    return room, layer.a.new_empty(layer.a.shape)


def unsupported(what: str, why: str) -> UnsupportedLayerError:
    return UnsupportedLayerError(
        f"{what} {why}, which the layer-wise per-sample products do not handle: ask for the exact "
        "fallback, HessianVariance(..., method='vmap', chunk_size=16), which takes memory for "
        "chunk_size x p numbers"
    )
