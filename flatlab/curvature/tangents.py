"""Per-sample second derivatives of a network, layer by layer.

The network is cut at the outputs z of its layers with parameters. What lies between the cuts
(activations, pooling, residual sums, the loss) holds no parameters, and autograd differentiates it;
the layers are linear in their parameters, and `layers` differentiates them. A direction that
differs from sample to sample then never has to exist as n x p numbers.

For x = G(z) between two cuts, with the cotangent mu on x, the pullback (dG/dz)' mu is kept as a
graph. One backward pass through it along the tangent z' gives both the tangent x' = (dG/dz) z' and,
G's second derivatives being symmetric, the second-order part of the next backward sweep.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from flatlab.curvature.empirical_loss import EmpiricalLoss, require_finite
from flatlab.curvature.layers import Layer, SampleDirections, Tangent, layer_kind

Shared = list[tuple[Tensor | None, Tensor | None]]  # (weight, bias) of each layer


class UnsupportedLayerError(NotImplementedError):
    """A layer whose per-sample Hessians are not known in factored form."""


class Architecture:
    """Which module owns which of the objective's parameters; raises for one that is not handled."""

    def __init__(self, objective: EmpiricalLoss):
        self.position = {name: i for i, name in enumerate(objective.names)}
        self.owners: dict[nn.Module, tuple[int | None, int | None]] = {}
        for prefix, module in objective.model.named_modules():
            own = [name for name, _ in module.named_parameters(prefix, recurse=False)]
            own = [name for name in own if name in self.position]
            if not own:
                continue
            kind = layer_kind(module)
            if kind is None:
                raise unsupported(
                    f"{type(module).__name__} '{prefix}'", "has parameters of its own"
                )
            slots = [self.position.get(f"{prefix}.{n}".lstrip(".")) for n in ("weight", "bias")]
            if sum(slot is not None for slot in slots) != len(own):
                raise unsupported(f"{type(module).__name__} '{prefix}'", f"has parameters {own}")
            self.owners[module] = (slots[0], slots[1])


class LayeredBatch:
    """One batch, forward and backward once, ready for any number of tangents."""

    def __init__(self, objective: EmpiricalLoss, architecture: Architecture, X: Tensor, y: Any):
        self.objective, self.n = objective, len(X)
        self.layers: list[Layer] = []
        self.slots: list[tuple[int | None, int | None]] = []
        self.outputs: list[Tensor] = []  # z, leaves of the graph between the cuts
        loss = self._forward(architecture, X, y)
        self.loss_pullback, self.pullbacks = [], [[] for _ in self.layers]
        self.cotangents: list[Tensor | None] = [None] * len(self.layers)
        self._backward(self.n * loss)

    # --- once ---------------------------------------------------------------------------------
    def _forward(self, architecture: Architecture, X: Tensor, y: Any) -> Tensor:
        names, versions = {m: p for p, m in self.objective.model.named_modules()}, []

        def cut(module: nn.Module, args: tuple, output: Tensor) -> Tensor:
            self._check_call(names[module], module, args, output)
            weight, bias = architecture.owners[module]
            layer = layer_kind(module)(module, args[0], weight is not None, bias is not None)
            self.layers.append(layer)
            self.slots.append((weight, bias))
            self.outputs.append(output.detach().requires_grad_())
            versions.append((names[module], args[0], args[0]._version))
            return self.outputs[-1].clone()  # a later in-place activation must not meet a leaf

        weights = [p.detach().requires_grad_() for p in self.objective.parameters]
        handles = [module.register_forward_hook(cut) for module in architecture.owners]
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
        self._check_mean(prediction, y, loss)
        self._check_strays([loss, *(layer.inlet for layer in self.layers)], weights)
        return loss

    def _backward(self, total: Tensor) -> None:
        delta: list[Any] = [torch.zeros_like(z) for z in self.outputs]
        self.loss_pullback = self._pull(total, None, len(delta), delta)
        for i, layer in reversed(list(enumerate(self.layers))):
            layer.delta = require_finite(delta[i], "the gradient")
            if layer.inlet.requires_grad:
                mu = layer.adjoint(layer.delta, layer.W).requires_grad_()
                self.cotangents[i] = mu
                self.pullbacks[i] = self._pull(layer.inlet, mu, i, delta)

    def _pull(self, x: Tensor, mu: Tensor | None, before: int, delta: list) -> list:
        """(dx/dz_m)' mu for the earlier cuts m, as graphs; their values are added to delta."""
        if not x.requires_grad or before == 0:
            return []
        pulled = torch.autograd.grad(
            x, self.outputs[:before], mu, create_graph=True, allow_unused=True
        )
        for m, part in enumerate(pulled):
            if part is not None:
                delta[m] = delta[m] + part.detach()
        return [(m, part) for m, part in enumerate(pulled) if part is not None]

    # --- for each direction -------------------------------------------------------------------
    def tangents(
        self, shared: Shared, per_sample: list[SampleDirections] | None = None
    ) -> list[Tangent]:
        """(a', delta') of every layer along shared (+ per-sample) directions of the parameters."""
        second: list[Any] = [None] * len(self.layers)
        z_dots: list[Tensor | None] = []
        a_dots: list[Tensor | None] = []
        for i, layer in enumerate(self.layers):
            a_dots.append(self._push(self.pullbacks[i], self.cotangents[i], z_dots, second))
            own = None if per_sample is None else per_sample[i]
            z_dots.append(_output_tangent(layer, a_dots[i], *shared[i], own))
        self._push(self.loss_pullback, None, z_dots, second)
        for i in reversed(range(len(self.layers))):
            if second[i] is None:
                second[i] = torch.zeros_like(self.outputs[i])
            own = None if per_sample is None else per_sample[i]
            self._pull_tangent(i, shared[i][0], own, second)
        return [Tangent(a, d) for a, d in zip(a_dots, second, strict=True)]

    def per_sample(self, tangents: list[Tangent]) -> list[SampleDirections]:
        """H_i v of every sample, from the tangents along v."""
        return [layer.per_sample(t) for layer, t in zip(self.layers, tangents, strict=True)]

    def reduce(self, tangents: list[Tangent]) -> list[Tensor | None]:
        """sum_i H_i v in the order of the parameters, from the tangents along v (or along v_i)."""
        parts: list[Tensor | None] = [None] * len(self.objective.parameters)
        for layer, slots, tangent in zip(self.layers, self.slots, tangents, strict=True):
            for slot, part in zip(slots, layer.reduce(tangent), strict=True):
                if slot is not None:
                    parts[slot] = part
        return parts

    def shared(self, parts: list[Tensor]) -> Shared:
        """Per layer, the (weight, bias) pieces of a direction given in the parameters' order."""
        padded = [*parts, None]
        place = [[len(parts) if slot is None else slot for slot in slots] for slots in self.slots]
        return [(padded[weight], padded[bias]) for weight, bias in place]

    def _push(self, pulled: list, mu: Tensor | None, z_dots: list, second: list) -> Tensor | None:
        """x' = sum_m (dx/dz_m) z'_m; the second-order parts for z are added to `second`."""
        live = [(part, z_dots[m]) for m, part in pulled if part.requires_grad]
        if not live:
            return None
        inputs = [self.outputs[m] for m, _ in pulled] + ([] if mu is None else [mu])
        outs, dots = zip(*live, strict=True)
        grads = torch.autograd.grad(outs, inputs, dots, retain_graph=True, allow_unused=True)
        for (m, _), part in zip(pulled, grads, strict=False):
            if part is not None:
                second[m] = part if second[m] is None else second[m] + part
        return None if mu is None else grads[-1]

    def _pull_tangent(
        self, i: int, V: Tensor | None, own: SampleDirections | None, second: list
    ) -> None:
        """Carry delta' of layer i through its transpose, to the cuts before it."""
        layer, earlier = self.layers[i], [m for m, _ in self.pullbacks[i]]
        if not earlier:
            return
        mu_dot = layer.adjoint(second[i], layer.W)
        if V is not None:
            mu_dot += layer.adjoint(layer.delta, V)
        if own is not None:
            mu_dot += own.backward()
        inputs = [self.outputs[m] for m in earlier]
        grads = torch.autograd.grad(layer.inlet, inputs, mu_dot, retain_graph=True)
        for m, part in zip(earlier, grads, strict=True):
            second[m] = part if second[m] is None else second[m] + part

    # --- checks -------------------------------------------------------------------------------
    def _check_call(self, name: str, module: nn.Module, args: tuple, output: Any) -> None:
        label = f"{type(module).__name__} '{name}'"
        if any(layer.module is module for layer in self.layers):
            raise unsupported(label, "is called more than once in a forward pass")
        if len(args) != 1 or not torch.is_tensor(args[0]) or not torch.is_tensor(output):
            raise unsupported(label, "is not called with one tensor")
        if len(args[0]) != self.n or len(output) != self.n:
            raise unsupported(label, f"gets {len(args[0])} rows for {self.n} samples")

    def _check_mean(self, prediction: Any, y: Any, loss: Tensor) -> None:
        """H_i is only defined if the batch's loss is the mean over samples: try it on two parts."""
        if not torch.is_tensor(prediction) or not torch.is_tensor(y):
            return
        with torch.no_grad():
            mean = self.objective.mean_of_parts(prediction, y)
        if mean is not None:
            raise ValueError(
                f"loss_fn gives {loss.item():.6g} on a batch but {mean:.6g} as the mean over its two "
                "parts: it must average over samples (reduction='mean', no class weights)"
            )

    def _check_strays(self, outputs: list[Tensor], weights: list[Tensor]) -> None:
        outputs = [x.sum() for x in outputs if x.requires_grad]
        if not outputs:
            return
        grads = torch.autograd.grad(outputs, weights, retain_graph=True, allow_unused=True)
        for name, grad in zip(self.objective.names, grads, strict=True):
            if grad is not None:
                raise unsupported(f"parameter '{name}'", "is used outside its module's own call")


def unsupported(what: str, why: str) -> UnsupportedLayerError:
    return UnsupportedLayerError(
        f"{what} {why}, which the layer-wise per-sample products do not handle: ask for the exact "
        "fallback, HessianVariance(..., method='vmap', chunk_size=16), which takes memory for "
        "chunk_size x p numbers"
    )


def _output_tangent(
    layer: Layer,
    a_dot: Tensor | None,
    V: Tensor | None,
    b: Tensor | None,
    own: SampleDirections | None,
) -> Tensor:
    terms = []
    if V is not None:
        terms.append(layer.apply(layer.a, V))
    if a_dot is not None:
        terms.append(layer.apply(a_dot, layer.W))
    if own is not None:
        terms.append(own.forward())
    z_dot = terms[0] if terms else torch.zeros_like(layer.delta)
    for term in terms[1:]:
        z_dot += term
    return z_dot if b is None else layer.add_bias(z_dot, b)
