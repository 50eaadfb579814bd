"""The loss along one or two directions through the model's parameters.

A random direction shows curvature in the units of the parameters, which rescaling two ReLU layers
changes at will; rescaling each filter's direction to the norm of its weights (Li et al., 2018)
removes that. Nothing here changes the model: losses are evaluated on copies of the parameters.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from flatlab.arguments import seeded
from flatlab.curvature.empirical_loss import EmpiricalLoss, LossFunction


@dataclass(frozen=True)
class Landscape1D:
    """L(w + alpha d); a loss far out may be inf or NaN and is kept as it came."""

    alphas: Tensor  # (m,) float64, on the CPU
    losses: Tensor  # (m,)


@dataclass(frozen=True)
class Landscape2D:
    """L(w + x dx + y dy), laid out as matplotlib's `contour` takes it."""

    xs: Tensor  # (a,) float64, on the CPU
    ys: Tensor  # (b,)
    losses: Tensor  # (b, a), losses[j, i] at (xs[i], ys[j])


def random_direction(model: nn.Module, generator: torch.Generator | None = None) -> Tensor:
    """A standard normal direction (p,) over the parameters that require grad, in their order.

    `generator=None` means a new one on the model's device, seeded 0.
    """
    return torch.cat([block.reshape(-1) for block in _normal_blocks(model, generator)])


def filter_normalized_direction(
    model: nn.Module, generator: torch.Generator | None = None
) -> Tensor:
    """A random direction (p,), each filter d_ij rescaled to d_ij |w_ij| / |d_ij| (Li et al., 2018, eq. 1).

    A filter is one slice along the first dimension of a parameter: an output channel of a
    convolution, an output neuron of a linear layer. Parameters of one dimension (biases, the scale
    and shift of norm layers) get zeros. `generator` as in `random_direction`.
    """
    blocks = _normal_blocks(model, generator)
    weights = [p.detach() for p in model.parameters() if p.requires_grad]
    pairs = zip(blocks, weights, strict=True)
    return torch.cat([_rescale(block, weight).reshape(-1) for block, weight in pairs])


@torch.inference_mode(False)
def landscape_1d(
    model: nn.Module,
    loss_fn: LossFunction,
    data: Any,
    direction: Tensor,
    alphas: Tensor | Sequence[float],
) -> Landscape1D:
    """L(w + alpha d) at each alpha, for a flat direction d of shape (p,).

    Arguments as for `Hessian`. Raises ValueError or TypeError for a direction of another length,
    dtype or device, and for alphas that are not a non-empty list of finite numbers.
    """
    objective = EmpiricalLoss(model, loss_fn, data)
    _check_direction("direction", direction, objective)
    alphas = _axis("alphas", alphas)
    w = objective.flat_parameters()
    losses = torch.stack([objective.loss(w + float(a) * direction) for a in alphas])
    return Landscape1D(alphas, losses)


@torch.inference_mode(False)
def landscape_2d(
    model: nn.Module,
    loss_fn: LossFunction,
    data: Any,
    direction_x: Tensor,
    direction_y: Tensor,
    xs: Tensor | Sequence[float],
    ys: Tensor | Sequence[float],
) -> Landscape2D:
    """L(w + x dx + y dy) at each point of the grid xs x ys; arguments as for `landscape_1d`."""
    objective = EmpiricalLoss(model, loss_fn, data)
    _check_direction("direction_x", direction_x, objective)
    _check_direction("direction_y", direction_y, objective)
    xs, ys = _axis("xs", xs), _axis("ys", ys)
    w, rows = objective.flat_parameters(), []
    for y in ys:
        base = w + float(y) * direction_y
        rows.append(torch.stack([objective.loss(base + float(x) * direction_x) for x in xs]))
    return Landscape2D(xs, ys, torch.stack(rows))


def _normal_blocks(model: nn.Module, generator: torch.Generator | None) -> list[Tensor]:
    parameters = [p for p in model.parameters() if p.requires_grad]
    if not parameters:
        raise ValueError("the model has no parameters that require grad: there is no direction")
    generator = seeded(generator, parameters[0].device)
    draw: Any = {"device": generator.device, "generator": generator}
    return [torch.randn(p.shape, dtype=p.dtype, **draw).to(p.device) for p in parameters]


def _rescale(block: Tensor, weight: Tensor) -> Tensor:
    if weight.ndim <= 1:
        return torch.zeros_like(weight)
    dims = tuple(range(1, weight.ndim))
    norm = torch.linalg.vector_norm
    return block * (norm(weight, dim=dims, keepdim=True) / norm(block, dim=dims, keepdim=True))


def _check_direction(name: str, direction: Tensor, objective: EmpiricalLoss) -> None:
    if not torch.is_tensor(direction) or direction.shape != (objective.size,):
        got = tuple(direction.shape) if torch.is_tensor(direction) else type(direction).__name__
        raise ValueError(f"{name} must be a flat vector of shape ({objective.size},), not {got}")
    if direction.dtype != objective.dtype:
        raise TypeError(f"{name} is {direction.dtype}, the parameters are {objective.dtype}")
    if direction.device != objective.device:
        raise ValueError(f"{name} is on {direction.device}, the parameters on {objective.device}")


def _axis(name: str, values: Tensor | Sequence[float]) -> Tensor:
    axis = torch.as_tensor(values).detach().cpu().double()
    if axis.ndim != 1 or len(axis) == 0 or not torch.isfinite(axis).all():
        raise ValueError(f"{name} must be a non-empty list of finite numbers")
    return axis
