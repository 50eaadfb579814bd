"""Penalties on the Hessian, estimated by random probes and differentiable for training."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from flatlab.arguments import checked_count
from flatlab.evaluation import scalar


def hessian_penalty(
    loss: Tensor,
    params: Iterable[Tensor],
    generator: torch.Generator,
    probes: int = 1,
    kind: str = "trace",
) -> Tensor:
    """An estimate of tr(H) or |H|_F for H = d^2 loss / dw^2: a differentiable number, shape ().

    z are `probes` vectors of independent signs (Hutchinson, 1990). kind "trace": the mean of z'Hz,
    unbiased, exact for a diagonal H. kind "frobenius": the root of the mean of |Hz|^2, whose square
    is unbiased; its gradient at H = 0 is 0. One probe costs about two gradients, and as much again to
    differentiate. Add it to the loss, then call backward once:

        loss = loss_fn(model(X), y)
        (loss + strength * hessian_penalty(loss, model.parameters(), generator)).backward()

    `params` w are the tensors that the loss was computed from; those that need no gradient or do not enter
    are left out. The global random state and `.grad` are left as they are. The `generator` has to live as
    long as the training: made anew for each step, it would penalize one and the same z. The fused kernels of
    attention have no second derivative: with it, compute `model(X)` inside
    `torch.nn.attention.sdpa_kernel(SDPBackend.MATH)`.

    Raises TypeError for a loss that is not one number; ValueError for probes < 1, another kind, a
    loss without graph to a parameter, or one through PyTorch's weight norm.
    """
    checked_count("probes", probes)
    if kind not in ("trace", "frobenius"):
        raise ValueError(f"kind is {kind!r}: give 'trace' or 'frobenius'")
    scalar(loss)
    params = [w for w in params if w.requires_grad]
    if not loss.requires_grad or not params:
        raise ValueError(
            "the loss has no graph to a parameter that requires a gradient: compute it with gradients "
            "enabled, and do not detach it"
        )
    if not isinstance(generator, torch.Generator):
        raise TypeError("generator must be a torch.Generator that lives as long as the training")
    if any("WeightNormInterface" in node.name() for node in _nodes(loss)):
        raise ValueError(
            "the loss has passed PyTorch's weight norm, whose second derivative is wrong: "
            "compute g * v / v.norm(...) in the model instead"
        )
    with torch.enable_grad():
        grads = torch.autograd.grad(loss, params, create_graph=True, allow_unused=True)
        pairs = [(w, g) for w, g in zip(params, grads, strict=True) if g is not None]
        if not pairs:
            raise ValueError("none of params enters the loss: pass those that it was computed from")
        pairs = [(w, g) for w, g in pairs if g.requires_grad]  # else the loss is linear in w
        if not pairs:
            return torch.zeros_like(loss)
        mean = torch.stack([_probe(pairs, kind, generator) for _ in range(probes)]).mean()
        if kind == "frobenius":
            mean = torch.where(mean > 0, torch.where(mean > 0, mean, 1).sqrt(), 0 * mean)
    return mean


def _nodes(loss: Tensor) -> set[Any]:
    """All nodes of the graph."""
    found: set[Any] = set()
    ahead = {loss.grad_fn} - {None}
    while ahead:
        found |= ahead
        ahead = {after for node in ahead for after, _ in node.next_functions} - found - {None}
    return found


def _probe(pairs: list[tuple[Tensor, Tensor]], kind: str, generator: torch.Generator) -> Tensor:
    """z'Hz or |Hz|^2 for one z."""
    params, grads = zip(*pairs, strict=True)
    signs = [_signs(w, generator) for w in params]
    products = torch.autograd.grad(
        grads, params, signs, create_graph=True, allow_unused=True, materialize_grads=True
    )
    if kind == "trace":
        return sum((z * h).sum() for z, h in zip(signs, products, strict=True))  # type: ignore[return-value]  # not empty
    return sum(h.square().sum() for h in products)  # type: ignore[return-value]  # not empty


def _signs(w: Tensor, generator: torch.Generator) -> Tensor:
    z = torch.randint(0, 2, w.shape, device=generator.device, generator=generator)
    return (2 * z - 1).to(device=w.device, dtype=w.dtype)
