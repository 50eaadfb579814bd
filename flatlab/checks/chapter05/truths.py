"""Gradients, ascent steps and Hessians of the checks' small losses, as flat float64 arrays."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from flatlab.checks.answers import tensors
from flatlab.checks.core import Record, WrongAnswer
from flatlab.checks.toys import Loss, dense_hessian, layers, leaves, network_loss, normal

Arrays = Sequence[np.ndarray]


def flat(arrays: Arrays) -> np.ndarray:
    return np.concatenate([np.ravel(a).astype(np.float64) for a in arrays])


def parts(vector: np.ndarray, like: Arrays) -> list[np.ndarray]:
    """A flat vector cut into the shapes of ``like``."""
    cuts = np.cumsum([np.size(a) for a in like])[:-1]
    pieces = np.split(vector, cuts)
    return [piece.reshape(np.shape(a)) for piece, a in zip(pieces, like, strict=True)]


def gradient(loss: Loss, params: Arrays, shift: np.ndarray | float = 0.0) -> np.ndarray:
    """The gradient at w + shift, flat; 0 for what does not enter the loss."""
    moved = leaves(parts(flat(params) + shift, params))
    grads = torch.autograd.grad(loss(moved), moved, materialize_grads=True)
    return flat([g.numpy() for g in grads])


def value(loss: Loss, params: Arrays, shift: np.ndarray | float = 0.0) -> float:
    with torch.no_grad():
        return float(loss(leaves(parts(flat(params) + shift, params))))


def hessian(loss: Loss, params: Arrays, shift: np.ndarray | float = 0.0) -> np.ndarray:
    return dense_hessian(loss, leaves(parts(flat(params) + shift, params)))


def ascent(g: np.ndarray, rho: float, p: float = 2.0) -> np.ndarray:
    """argmax of e.g over |e|_p <= rho; for p = 1 in equal parts where several |g_i| are largest."""
    size = np.abs(g)
    if not size.any():
        return np.zeros_like(g)
    if p == math.inf:
        return rho * np.sign(g)
    if p == 1:
        largest = size == size.max()
        return rho * np.sign(g) * largest / largest.sum()
    r, q = size / size.max(), p / (p - 1)
    return rho * np.sign(g) * r ** (q - 1) / np.sum(r**q) ** (1 / p)


def each(g: np.ndarray, like: Arrays, rho: float, p: float = 2.0) -> np.ndarray:
    """The ascent step of each tensor by itself, as if the others were not there."""
    return flat([ascent(np.ravel(part), rho, p) for part in parts(g, like)])


def dual_norm_ascent(grads: Sequence[torch.Tensor], rho: float, p: float) -> list[torch.Tensor]:
    """Exercise 1 as the checks lend it to later ones: differentiable, 0 for a gradient of 0."""
    peak = max(float(g.detach().abs().max()) for g in grads)
    if peak == 0:
        return [torch.zeros_like(g) for g in grads]
    r = [g / peak for g in grads]
    if p == math.inf:
        return [rho * a.sign() for a in r]
    if p == 1:
        count = sum((a.abs() == 1).sum() for a in r)
        return [rho * a.sign() * (a.abs() == 1) / count for a in r]
    if p == 2:
        length = sum(a.square().sum() for a in r).sqrt()
        return [rho * a / length for a in r]
    q = p / (p - 1)
    total = sum((a.abs() ** q).sum() for a in r) ** (1 / p)
    return [rho * a.sign() * a.abs() ** (q - 1) / total for a in r]


def listed(result: Any, params: Sequence[torch.Tensor], what: str = "It") -> list[np.ndarray]:
    """What came back as float64 arrays shaped like ``params``; a repeated tensor is refused."""
    found = [id(t) for t in result if torch.is_tensor(t)] if isinstance(result, list) else []
    if len(set(found)) < len(found):
        raise WrongAnswer(
            f"{what} returned a list that holds one tensor several times: `[x] * n` repeats x itself."
        )
    return tensors(result, [tuple(p.shape) for p in params], what)


def drawn_network(generator: torch.Generator) -> Record:
    """A tanh network of four tensors and its data."""
    return {
        "params": layers(generator, [4, 5, 3]),
        "x": normal(generator, 12, 4),
        "y": normal(generator, 12, 3),
    }


def loss_of(inputs: Record) -> Loss:
    return network_loss(inputs["x"], inputs["y"])


def with_grads(params: Sequence[torch.Tensor], number: float) -> None:
    """Give every parameter a ``.grad`` that holds this number."""
    for p in params:
        p.grad = torch.full_like(p, number)


def state(params: Sequence[torch.Tensor]) -> Record:
    """Parameters and their ``.grad`` after a call, as plain data."""
    return {
        "after": [p.detach() for p in params],
        "flags": [p.requires_grad for p in params],
        "has_grad": [p.grad is not None for p in params],
        "grads": [torch.zeros_like(p) if p.grad is None else p.grad for p in params],
    }


def kept_verdict(before: Arrays, outputs: Record, grad: float | None) -> str | None:
    """None where parameters and ``.grad`` are as they went in; ``grad`` is the number in it."""
    gaps = np.abs(flat(outputs["after"]) - flat(before))
    if gaps.any():
        small = np.nanmax(gaps) < 1e-5 * max(1.0, np.abs(flat(before)).max())
        if small:
            return (
                f"The caller's parameters are not as they were: {np.count_nonzero(gaps)} entries "
                f"differ, by {np.max(gaps):.2g} at most. Adding e and subtracting it again rounds. Work "
                "on copies, or keep one."
            )
        return (
            f"The caller's parameters have changed, by {np.max(gaps):.3g} at most: compute the gradient "
            "at a list of new tensors, w + e."
        )
    if not all(outputs["flags"]):
        return "The caller's parameters no longer require a gradient: work on copies of your own."
    if grad is None and any(outputs["has_grad"]):
        return (
            "The caller's parameters have a .grad now: .backward() writes it. "
            "torch.autograd.grad returns the gradient instead."
        )
    if grad is not None and not (
        all(outputs["has_grad"]) and (flat(outputs["grads"]) == grad).all()
    ):
        return (
            "The .grad of the caller's parameters has changed: .backward() adds to it, and clearing "
            "it loses what was there. torch.autograd.grad leaves it alone."
        )
    return None
