"""Loss and error at many points of weight space at once, and along a curve.

The points are linear combinations of a few corners, so only the coefficients of all of them are held; their
weights are made for a handful at a time, and ``torch.func.vmap`` sends these through the
network together, batch norm re-estimated for each.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import vmap

from flatlab.arguments import checked_count
from flatlab.curvature.batch_norm import (
    BATCH,
    batch_norm_layers,
    checked_batch_norm,
    even_parts,
    gathering,
)
from flatlab.curvature.empirical_loss import uses_batch_statistics
from flatlab.curves.flat import Space
from flatlab.curves.paths import Curve, checked_ts
from flatlab.evaluation import Batch, LossFn, accuracy, as_tensors, class_labels, one_tensor, scalar
from flatlab.isolation import call_with, random_state

_SAMPLES = 4096  # predictions made at once, over all points of a handful


@dataclass(frozen=True)
class CurveLosses:
    """What was measured along a curve; a loss may be inf or NaN and is kept as it came."""

    ts: Tensor  # (m,) float64, on the CPU, as all of these
    losses: Tensor  # (m,) mean loss
    errors: Tensor  # (m,) fraction misclassified, in [0, 1]; NaN if the targets are no classes
    lengths: Tensor  # (m,) length of the curve from t = 0 to each t

    @property
    def barrier(self) -> float:
        """max_t L(phi(t)) - ((1 - s) L_first + s L_last), s running from 0 at the first t to 1 at the last.

        How far the loss rises above the line between the losses at the ends (Entezari et al., 2022); at least 0 up to rounding. NaN where a loss is.
        """
        span = self.ts[-1] - self.ts[0]
        s = (self.ts - self.ts[0]) / (span if span else 1)
        return float((self.losses - torch.lerp(self.losses[0], self.losses[-1], s)).max())


def losses_along(
    curve: Curve,
    loss_fn: LossFn,
    data: Batch | Iterable[Batch],
    ts: Tensor | Sequence[float] | None = None,
    *,
    batch_norm_data: Batch | Iterable[Batch] | None = None,
    points_at_once: int = 8,
) -> CurveLosses:
    """Mean loss and error of the networks phi(t) over `data`, in evaluation mode.

    Args:
        loss_fn: ``loss_fn(prediction, y)``, a mean over samples. They are taken in parts, whose losses
            are averaged by size: a sum or class weights would give another number.
        ts: rising numbers in [0, 1], (m,); None for 61 equally spaced ones.
        batch_norm_data: the training set, on which batch norm is re-estimated at every t. Needed
            exactly where the networks have batch norm.
        points_at_once: networks in one vectorized pass. With 1 nothing is vectorized, for networks
            and losses that ``torch.func.vmap`` cannot take.

    Nothing of the curve changes. Raises ValueError for t outside [0, 1] or not rising, for `batch_norm_data` that is
    missing or idle, for batch norm that keeps no running statistics, and for data that do not fit.
    """
    ts = checked_ts(torch.linspace(0, 1, 61, dtype=torch.float64) if ts is None else ts)
    if not (ts.diff() > 0).all():
        raise ValueError("ts must rise: give each t once, in order")
    found = losses_of_combinations(
        curve.network_at(0.0), curve.corners().detach(), curve.coefficients(ts), loss_fn, data,
        batch_norm_data, points_at_once,
    )  # fmt: skip
    return CurveLosses(ts, *found, curve.arc_length(ts))


def losses_of_combinations(
    network: nn.Module,
    corners: Tensor,
    coefficients: Tensor,
    loss_fn: LossFn,
    data: Batch | Iterable[Batch],
    batch_norm_data: Batch | Iterable[Batch] | None,
    points_at_once: int,
) -> tuple[Tensor, Tensor]:
    """Loss and error (m,) at the points coefficients (m, k) @ corners (k, p), other arguments as above."""
    checked_count("points_at_once", points_at_once)
    many = _Many(network, loss_fn, data, batch_norm_data)
    rows = coefficients.to(corners)
    with random_state(None, corners.device):  # the network may draw
        try:
            found = [many.losses(part @ corners) for part in rows.split(points_at_once)]
        except RuntimeError as error:
            if not any(word in str(error) for word in ("vmap", "Batching rule")):
                raise
            raise RuntimeError(f"{error} With points_at_once=1 nothing is vectorized.") from error
    return torch.cat([losses for losses, _ in found]), torch.cat([errors for _, errors in found])


class _Many:
    """Networks that differ in their weights alone, evaluated together."""

    def __init__(
        self,
        network: nn.Module,
        loss_fn: LossFn,
        data: Batch | Iterable[Batch],
        batch_norm_data: Batch | Iterable[Batch] | None,
    ) -> None:
        self.base, self.space, self.loss_fn = copy.deepcopy(network).eval(), Space(network), loss_fn
        self.X, self.y = as_tensors(data, network)
        self.labels = class_labels(self.y)
        if any(map(uses_batch_statistics, self.base.modules())):
            raise ValueError(
                "a batch-norm layer keeps no running statistics, so the losses would depend on "
                "points_at_once: build it with track_running_stats=True"
            )
        self.parts: tuple[Tensor, ...] = ()
        if batch_norm_data is not None:
            checked_batch_norm(network)
            self.parts = even_parts(as_tensors(batch_norm_data, network)[0], BATCH)
        elif batch_norm_layers(network):
            raise ValueError(
                "the network has batch norm, whose statistics change with the weights: give the training "
                "data as batch_norm_data, so that they are re-estimated at every point"
            )

    @torch.no_grad()
    def losses(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Mean loss and error (k,) at points (k, p)."""
        weights = self.space.split(points)
        buffers = {
            name: b.expand(len(points), *b.shape).clone() for name, b in self.base.named_buffers()
        }
        if self.parts:
            self.gather(weights, buffers)
        total = torch.zeros(len(points), dtype=torch.float64)
        right = torch.zeros(len(points), dtype=torch.float64)
        size = max(1, _SAMPLES // len(points))
        for X, y, labels in self.pieces(size):
            predictions = self.predict(weights, buffers, X)
            total += len(X) * self.mean_losses(predictions, y).cpu().double()
            hits = [accuracy(prediction, labels) for prediction in predictions]
            right += len(X) * torch.tensor(hits, dtype=torch.float64)
        return total / len(self.X), 1 - right / len(self.X)

    def gather(self, weights: dict[str, Tensor], buffers: dict[str, Tensor]) -> None:
        """Fill the batch-norm statistics among `buffers`, which belong to `weights`."""
        layers = batch_norm_layers(self.base)
        for name, module in self.base.named_modules():
            if module in layers:
                prefix = f"{name}." if name else ""
                buffers[f"{prefix}running_mean"].zero_()  # NaN would stay NaN under any momentum
                buffers[f"{prefix}running_var"].fill_(1)
        with gathering(self.base) as weigh:
            for part in self.parts:
                weigh(len(part))
                self.predict(weights, buffers, part)

    def pieces(self, size: int) -> Iterable[tuple[Tensor, Tensor, Tensor | None]]:
        for start in range(0, len(self.X), size):
            part = slice(start, start + size)
            yield self.X[part], self.y[part], None if self.labels is None else self.labels[part]

    def predict(self, weights: dict, buffers: dict, X: Tensor) -> Tensor:
        """Predictions (k, n, ...); batch norm in training mode updates `buffers` in place."""
        if len(next(iter(weights.values()))) == 1:
            state = {name: value[0] for name, value in {**weights, **buffers}.items()}
            return one_tensor(call_with(self.base, state, X)).unsqueeze(0)
        call = vmap(lambda w, b: one_tensor(call_with(self.base, (w, b), X)))
        return call(weights, buffers)

    def mean_losses(self, predictions: Tensor, y: Tensor) -> Tensor:
        if len(predictions) == 1:
            return scalar(self.loss_fn(predictions[0], y)).unsqueeze(0)
        return vmap(lambda prediction: scalar(self.loss_fn(prediction, y)))(predictions)
