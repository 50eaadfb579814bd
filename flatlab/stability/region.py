"""The sharpness-non-uniformity diagram: which minima the two bounds leave to SGD."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from flatlab import plots
from flatlab.stability.theorem import non_uniformity_bound, sharpness_bound

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def plot_stability_region(
    learning_rate: float,
    batch_size: int,
    n: int,
    points: Mapping[str, Any] | Sequence[tuple[float, float]] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """The sharpness-non-uniformity diagram: where SGD can stay (Wu, Ma and E, 2018, Figure 3).

    Shaded: 0 <= a <= 2 / eta and 0 <= s <= the non-uniformity bound, necessary for Theorem 1. Inside it, the
    line (1 - eta a)^2 + eta^2 (n-B)/(B(n-1)) s^2 = 1, exact in one dimension. Without a second bound
    (B = n) the shade reaches the top. `points`: pairs (a, s), or names with one pair or several.
    Returns the axes; a new figure is made if `ax` is None. Raises ValueError for bad arguments.
    """
    a_max, s_max = (
        sharpness_bound(learning_rate),
        non_uniformity_bound(learning_rate, batch_size, n),
    )
    groups = points if isinstance(points, Mapping) else {"": [] if points is None else points}
    groups = {name: _checked_points(name, group) for name, group in groups.items()}
    measured = torch.cat([torch.zeros(1, 2, dtype=torch.float64), *groups.values()])
    width, height = 1.25 * a_max, 1.25 * (s_max if s_max < math.inf else 2 * a_max)
    width = max(width, 1.1 * float(measured[:, 0].max()))
    height = max(height, 1.1 * float(measured[:, 1].max()))
    drawn: Any = plots.figure(width=5, height=4)[1] if ax is None else ax
    top = min(s_max, height)
    drawn.fill_between([0, a_max], 0, top, color=plots.COLORS["sky"], alpha=0.25, linewidth=0)
    drawn.plot([a_max, a_max], [0, top], color=plots.COLORS["blue"], linestyle="--")
    if s_max < math.inf:
        drawn.plot([0, a_max], [s_max, s_max], color=plots.COLORS["blue"], linestyle="--")
        a = torch.linspace(0, a_max, 201, dtype=torch.float64)
        s = s_max * (1 - (1 - learning_rate * a) ** 2).clamp(min=0).sqrt()
        drawn.plot(a, s, color=plots.COLORS["blue"], linestyle="-", linewidth=1)
    markers = "osD^vP*X"
    for k, (name, group) in enumerate(groups.items()):
        drawn.plot(
            *group.T, marker=markers[k % len(markers)], linestyle="none", markersize=6,
            color=list(plots.COLORS.values())[(k + 1) % len(plots.COLORS)], label=name or None,
        )  # fmt: skip
    drawn.set(xlim=(0, width), ylim=(0, height), xlabel="sharpness a", ylabel="non-uniformity s")
    drawn.set_title(f"learning rate {learning_rate:g}, batch size {batch_size} of {n}", fontsize=10)
    if any(groups):
        drawn.legend()
    return drawn


def _checked_points(name: str, group: Any) -> Tensor:
    values = torch.as_tensor(group, dtype=torch.float64)
    values = values.reshape(1, 2) if values.shape == (2,) else values
    if len(values) == 0:
        return torch.zeros(0, 2, dtype=torch.float64)
    if values.ndim != 2 or values.shape[1] != 2 or not torch.isfinite(values).all():
        raise ValueError(f"points {name!r} must be finite pairs (sharpness, non-uniformity)")
    return values
