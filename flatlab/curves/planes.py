"""The plane through three networks, and the loss on it (Garipov et al., 2018, section 1, footnote)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from flatlab.curves.flat import Space, checked_alike, flatten
from flatlab.curves.losses import losses_of_combinations
from flatlab.evaluation import Batch, LossFn

_POINTS, _MARGIN = 21, 0.2  # a side of the grid; beyond the networks, in their extent


@dataclass(frozen=True)
class Plane:
    """w(x, y) = w_1 + x u + y v, with u and v orthonormal: distances in it are those of weight space.

    u points along w_2 - w_1, v along the part of w_3 - w_1 that is orthogonal to u.
    """

    origin: Tensor  # (p,) w_1; float64, on the CPU, as all of these
    u: Tensor  # (p,)
    v: Tensor  # (p,)
    networks: Tensor  # (3, 2) coordinates of the three networks
    template: nn.Module  # a copy of the first, whose weights the points replace

    def point(self, x: float, y: float) -> Tensor:
        """w(x, y), (p,)."""
        return self.origin + x * self.u + y * self.v

    def network_at(self, x: float, y: float) -> nn.Module:
        """A network of its own with the weights w(x, y); see ``Curve.network_at`` on batch norm."""
        return Space(self.template).network(self.template, self.point(x, y))

    def coordinates(self, points: Tensor) -> Tensor:
        """(x, y) of the orthogonal projections of points (..., p): (..., 2)."""
        apart = points.detach().cpu().double() - self.origin
        return torch.stack([apart @ self.u, apart @ self.v], dim=-1)

    def grid(self, points: int = _POINTS, margin: float = _MARGIN) -> tuple[Tensor, Tensor]:
        """xs and ys, (points,) each, from `margin` times the networks' extent below them to above."""
        low, high = self.networks.min(0).values, self.networks.max(0).values
        wide = margin * (high - low)
        steps = torch.linspace(0, 1, points, dtype=torch.float64)
        axes = (low - wide) + steps[:, None] * (high - low + 2 * wide)
        return axes[:, 0], axes[:, 1]


@dataclass(frozen=True)
class PlaneLosses:
    """What was measured on a grid, laid out as matplotlib's `contour` takes it."""

    xs: Tensor  # (a,) float64, on the CPU, as all of these
    ys: Tensor  # (b,)
    losses: Tensor  # (b, a), losses[j, i] at (xs[i], ys[j]); may be inf or NaN
    errors: Tensor  # (b, a) fraction misclassified, in [0, 1]; NaN if the targets are no classes


def plane_through(first: nn.Module, second: nn.Module, third: nn.Module) -> Plane:
    """The plane through three networks of one architecture: u = w_2 - w_1, v = (w_3 - w_1) - its projection on u,

    both normalized, in float64. The networks are not changed. Raises ValueError for networks that differ
    in architecture or dtype, and for three that lie on one line, two equal ones among them.
    """
    checked_alike([first, second, third])
    w = torch.stack([flatten(network) for network in (first, second, third)])
    rounding = 10 * torch.finfo(w.dtype).eps
    w = w.cpu().double()
    tolerance = rounding * float(torch.linalg.vector_norm(w, dim=1).max())
    u, to_third = w[1] - w[0], w[2] - w[0]
    width = torch.linalg.vector_norm(u)
    if not width > tolerance:
        raise ValueError("the first two networks have the same weights: they lie on no one plane")
    u = u / width
    v = to_third - (to_third @ u) * u
    v = v - (v @ u) * u  # once more: of a v much shorter than w_3 - w_1 rounding leaves little
    height = torch.linalg.vector_norm(v)
    if not height > tolerance:
        raise ValueError(
            f"the three networks lie on one line (the third is {float(height):.2g} off the line through the "
            "others): give a third elsewhere, such as the bend of a curve after training"
        )
    v = v / height
    places = torch.stack([(w - w[0]) @ u, (w - w[0]) @ v], dim=1)
    template = Space(first).network(first, w[0])
    return Plane(w[0], u, v, places, template)


def losses_on_plane(
    plane: Plane,
    loss_fn: LossFn,
    data: Batch | Iterable[Batch],
    xs: Tensor | Sequence[float] | None = None,
    ys: Tensor | Sequence[float] | None = None,
    *,
    batch_norm_data: Batch | Iterable[Batch] | None = None,
    points_at_once: int = 8,
) -> PlaneLosses:
    """Mean loss and error over `data` at each point of the grid xs x ys, in evaluation mode.

    `xs` (a,) and `ys` (b,) are by default ``plane.grid()``, 21 each; other arguments and errors as for
    ``losses_along``.
    """
    defaults = plane.grid()
    xs, ys = (
        _axis("xs", defaults[0] if xs is None else xs),
        _axis("ys", defaults[1] if ys is None else ys),
    )
    y, x = torch.meshgrid(ys, xs, indexing="ij")
    like = next(p for p in plane.template.parameters() if p.requires_grad)
    corners = torch.stack([plane.origin, plane.u, plane.v]).to(like)
    coefficients = torch.stack([torch.ones_like(x), x, y], dim=-1).view(-1, 3)
    losses, errors = losses_of_combinations(
        plane.template, corners, coefficients, loss_fn, data, batch_norm_data, points_at_once
    )
    return PlaneLosses(xs, ys, losses.view(y.shape), errors.view(y.shape))


def _axis(name: str, values: Tensor | Sequence[float]) -> Tensor:
    axis = torch.as_tensor(values, dtype=torch.float64, device="cpu").detach()
    if axis.ndim != 1 or not len(axis) or not axis.isfinite().all():
        raise ValueError(f"{name} must be a non-empty list of finite numbers")
    return axis
