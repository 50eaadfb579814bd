"""Curves between two networks in weight space, trained so that the loss stays low along them.

A curve is itself a module, for any network: its forward pass in training mode draws one t and runs the network
with the weights phi(t) through ``torch.func.functional_call``, so that ``fit`` trains it, one t
a minibatch, and no layer needs a version for curves. Source: Garipov et al. (2018), section 3, as are both kinds of curve.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from flatlab.arguments import checked_count, is_whole
from flatlab.curves.flat import checked_alike, flatten
from flatlab.isolation import call_with

_PANELS, _NODES = 32, 8  # of the quadrature of a Bezier curve's length


class Curve(nn.Module):
    """phi(t) = sum_k b_k(t) w_k, t in [0, 1], with phi(0) = `first` and phi(1) = `second`, both fixed.

    The bends w_1, ..., w_(K-1), (K - 1, p), are the only parameters and start equally spaced on the
    straight line, a single one at its midpoint. ``fit(curve, loss_fn, data, ...)`` minimizes E L(phi(t))
    over t ~ U(0, 1): each minibatch draws one t from the random state that `fit` seeds by its
    generator. In evaluation mode the forward pass, and so the losses of the history, are those of t = 1/2; with
    batch norm they use statistics gathered over all t, which ``losses_along`` re-estimates at each.

    The networks are copied, never changed; modes and buffers are those of `first`. Raises ValueError for
    networks that differ in architecture, dtype, device or frozen parameters.
    """

    ends: Tensor  # a buffer, (2, p)

    def __init__(self, first: nn.Module, second: nn.Module, bends: int) -> None:
        super().__init__()
        self.space = checked_alike([first, second])
        self.network = copy.deepcopy(first).requires_grad_(False)
        ends = torch.stack([flatten(first), flatten(second)])
        self.register_buffer("ends", ends)
        shares = torch.arange(1, bends + 1).to(ends)[:, None] / (bends + 1)
        start = (1 - shares) * ends[0] + shares * ends[1]
        self.bends = nn.Parameter(start, requires_grad=bends > 0)

    def coefficients(self, ts: Tensor) -> Tensor:
        """b_k(t), (m, K + 1) for ts (m,), float64."""
        raise NotImplementedError

    def arc_length(self, ts: Tensor | Sequence[float]) -> Tensor:
        """The length of phi from 0 to each of ts: (m,), float64, in the units of the weights."""
        raise NotImplementedError

    def corners(self) -> Tensor:
        """w_0, ..., w_K: (K + 1, p)."""
        return torch.cat([self.ends[:1], self.bends, self.ends[1:]])

    def point(self, t: float) -> Tensor:
        """phi(t), (p,), differentiable in the bends. Raises ValueError for t outside [0, 1]."""
        b = self.coefficients(checked_ts([t]))[0].to(self.ends)
        return b[[0, -1]] @ self.ends + b[1:-1] @ self.bends

    def network_at(self, t: float) -> nn.Module:
        """A network of its own with the weights phi(t).

        Its batch-norm statistics belong to no t: see ``flatlab.curvature.reestimate_batch_norm``.
        """
        return self.space.network(self.network, self.point(t))

    def bend(self, k: int = 0) -> nn.Module:
        """A network of its own with the weights of the k-th bend (of a Bezier curve, off the curve)."""
        return self.space.network(self.network, self.bends[k])

    def forward(self, X: Tensor) -> Tensor:
        t = float(torch.rand(())) if self.training else 0.5
        return call_with(self.network, self.space.split(self.point(t)), X)


class PolygonalChain(Curve):
    """Straight segments of equal share in t: b_k(t) = max(0, 1 - |K t - k|).

    With one bend theta: 2(t theta + (1/2 - t) w_1) for t <= 1/2, else 2((t - 1/2) w_2 + (1 - t) theta) (Garipov et al.,
    2018). Without bends it is the straight line, and nothing to train.
    """

    def __init__(self, first: nn.Module, second: nn.Module, bends: int = 1) -> None:
        if not is_whole(bends, 0):
            raise ValueError(f"bends is {bends!r}: give a whole number of at least 0")
        super().__init__(first, second, int(bends))

    def coefficients(self, ts: Tensor) -> Tensor:
        segments = len(self.bends) + 1
        apart = segments * ts[:, None] - torch.arange(segments + 1, dtype=ts.dtype)
        return (1 - apart.abs()).clamp(min=0)

    def arc_length(self, ts: Tensor | Sequence[float]) -> Tensor:
        sides = torch.linalg.vector_norm(_steps(self), dim=1)
        passed = len(sides) * checked_ts(ts)[:, None] - torch.arange(len(sides))
        return passed.clamp(0, 1) @ sides


class Bezier(Curve):
    """A Bezier curve of any degree n: b_k(t) = C(n, k) (1 - t)^(n - k) t^k.

    Of degree 2: (1 - t)^2 w_1 + 2 t (1 - t) theta + t^2 w_2 (Garipov et al., 2018); 1 is the straight line.
    """

    def __init__(self, first: nn.Module, second: nn.Module, degree: int = 2) -> None:
        super().__init__(first, second, checked_count("degree", degree) - 1)

    def coefficients(self, ts: Tensor) -> Tensor:
        return _bernstein(ts, len(self.bends) + 1)

    def arc_length(self, ts: Tensor | Sequence[float]) -> Tensor:
        # phi' = n sum_k b_k(t) (w_(k+1) - w_k) with b of degree n - 1: its norm needs only inner products
        ts, steps = checked_ts(ts), _steps(self)
        n, gram = len(steps), steps @ steps.T
        nodes, shares = (torch.from_numpy(a) for a in np.polynomial.legendre.leggauss(_NODES))
        places = (torch.arange(_PANELS)[:, None] + (nodes + 1) / 2).flatten() / _PANELS
        b = _bernstein((ts[:, None] * places).flatten(), n - 1)
        speeds = n * ((b @ gram) * b).sum(1).clamp(min=0).sqrt()
        return ts * (speeds.view(len(ts), -1) @ shares.repeat(_PANELS)) / (2 * _PANELS)


def checked_ts(ts: Tensor | Sequence[float]) -> Tensor:
    """ts (m,) in float64 on the CPU. Raises ValueError unless they are numbers in [0, 1], at least one."""
    values = torch.as_tensor(ts, dtype=torch.float64, device="cpu").detach()
    if values.ndim != 1 or not len(values):
        raise ValueError(f"ts has shape {tuple(values.shape)}: give a list of at least one number")
    outside = values[~((values >= 0) & (values <= 1))]
    if len(outside):
        raise ValueError(f"t is {float(outside[0])}: the curve is defined for t from 0 to 1")
    return values


def _bernstein(ts: Tensor, n: int) -> Tensor:
    k = torch.arange(n + 1, dtype=torch.float64)
    counts = torch.tensor([math.comb(n, j) for j in range(n + 1)], dtype=torch.float64)
    return counts * ts[:, None] ** k * (1 - ts[:, None]) ** (n - k)


def _steps(curve: Curve) -> Tensor:
    """w_(k+1) - w_k, (K, p), float64, on the CPU."""
    return curve.corners().detach().cpu().double().diff(dim=0)
