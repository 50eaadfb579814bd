"""Hidden units in another order compute the same function: the order in which two networks agree best.

Weight matching (Ainsworth, Hayase and Srinivasa, 2023, "Git Re-Basin", algorithm 1): layer after layer the
units of one network are assigned to those of the other so that the inner product of all weights grows,
which shortens the straight line between them, until no layer gains.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from flatlab.arguments import checked_generator
from flatlab.curves.flat import checked_alike, flatten

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
# Each unit by itself, whatever its place; and, of whole maps, each channel by itself.
_UNITWISE = (nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.SELU, nn.CELU, nn.GELU, nn.SiLU, nn.Mish)
_UNITWISE += (nn.Tanh, nn.Sigmoid, nn.Softplus, nn.Hardtanh, nn.Hardswish, nn.Identity, nn.Dropout)
_MAPWISE = (nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d, nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d)
_MAPWISE += (nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d, nn.Dropout2d)


@dataclass(frozen=True)
class Alignment:
    """The second network with its hidden units in the order of the first's."""

    network: nn.Module  # a copy of the second: the same function, up to rounding
    permutations: tuple[Tensor, ...]  # of each hidden layer: unit j is the second's unit [j]
    distance_before: float  # |w_1 - w_2|
    distance_after: float  # |w_1 - w_2'|
    passes: int  # over all layers, the last of which changed nothing


class _Stage(NamedTuple):
    """A layer with weights, and the batch norm between it and the next one."""

    layer: Any  # Linear or a convolution
    norms: list[Any]


def align(
    first: nn.Module, second: nn.Module, generator: torch.Generator | None = None
) -> Alignment:
    """Permute the hidden units of `second` so that its weights lie close to those of `first`.

    Each step solves one layer exactly (``scipy.optimize.linear_sum_assignment``) with the others held: the result is a
    local maximum of <w_1, P w_2> over weights, biases, scales and shifts. Layers are visited in an order drawn from
    `generator`, on the CPU (None: one seeded 0). Neither network changes.

    Takes an ``nn.Sequential``, nested or not, of Linear and convolution layers without groups, with batch norm,
    activations, pooling and one Flatten between convolutions and Linear. Units that a frozen layer makes
    or reads keep their places.

    Raises:
        TypeError: a network whose order of layers cannot be known, or a layer that mixes its units or
            whose weights a hook makes, as for pruning.
        ValueError: networks of different architecture or dtype; weights that are not finite.
    """
    checked_alike([first, second])
    generator = checked_generator(generator)
    for name, network in (("first", first), ("second", second)):
        if not flatten(network).isfinite().all():
            raise ValueError(f"the {name} network holds NaN or inf: did its training diverge?")
    stages = _stages(second)
    matching, free = _Matching(_stages(first), stages), _free(stages)
    passes, improved = 0, len(free) > 0
    while improved:
        visited = torch.randperm(len(free), generator=generator).tolist()
        improved = sum(matching.improve(free[k]) for k in visited) > 0
        passes += 1
    aligned = copy.deepcopy(second)
    _permute(_stages(aligned), matching.orders)
    before, after = (
        float((flatten(first) - flatten(w)).double().norm()) for w in (second, aligned)
    )
    return Alignment(aligned, tuple(matching.orders), before, after, passes)


class _Matching:
    """The orders found so far, and the weights of both networks as (out, in, rest) in float64."""

    def __init__(self, first: Sequence[_Stage], second: Sequence[_Stage]) -> None:
        self.weights = [_weights(first), _weights(second)]
        self.own = [[_own(stage) for stage in stages] for stages in (first, second)]
        self.orders = [torch.arange(len(w)) for w in self.weights[0][:-1]]

    def improve(self, k: int) -> bool:
        """Reorder hidden layer k as well as the others' present orders allow; whether that gained."""
        from scipy.optimize import linear_sum_assignment

        gain = self.gain(k)
        order = torch.as_tensor(linear_sum_assignment(gain.numpy(), maximize=True)[1])
        rows = torch.arange(len(gain))
        better = gain[rows, order].sum() - gain[rows, self.orders[k]].sum()
        if not better > 1e-12 * gain.abs().max() * len(gain):
            return False
        self.orders[k] = order
        return True

    def gain(self, k: int) -> Tensor:
        """Inner product that matching unit i of the first with unit j of the second adds: (h, h)."""
        (a, b), (own_a, own_b) = self.weights, self.own
        into = b[k] if k == 0 else b[k][:, self.orders[k - 1]]
        out = b[k + 1] if k + 1 == len(self.orders) else b[k + 1][self.orders[k + 1]]
        gain = a[k].flatten(1) @ into.flatten(1).T + own_a[k] @ own_b[k].T
        return gain + a[k + 1].transpose(0, 1).flatten(1) @ out.transpose(0, 1).flatten(1).T


def _free(stages: Sequence[_Stage]) -> list[int]:
    """The hidden layers whose units no frozen parameter makes or reads."""
    found = []
    for k, (stage, after) in enumerate(itertools.pairwise(stages)):
        layers = (stage.layer, *stage.norms, after.layer)
        found += [k] if all(p.requires_grad for layer in layers for p in layer.parameters()) else []
    return found


def _weights(stages: Sequence[_Stage]) -> list[Tensor]:
    found, width = [], None
    for stage in stages:
        w = stage.layer.weight.detach().cpu().double()
        units = w.shape[1] if width is None else width
        found.append(w.reshape(len(w), units, -1))  # behind Flatten a channel has several columns
        width = len(w)
    return found


def _own(stage: _Stage) -> Tensor:
    """Bias, scale and shift of each unit, (h, r)."""
    parts = [stage.layer.bias, *(p for norm in stage.norms for p in norm.parameters())]
    width = len(stage.layer.weight)
    columns = [p.detach().cpu().double().reshape(width, -1) for p in parts if p is not None]
    return torch.cat([torch.zeros(width, 0, dtype=torch.float64), *columns], dim=1)


@torch.no_grad()
def _permute(stages: Sequence[_Stage], orders: Sequence[Tensor]) -> None:
    for stage, after, order in zip(stages, stages[1:], orders, strict=False):
        for tensor in (stage.layer.weight, stage.layer.bias):
            _reorder(tensor, 0, order)
        for norm in stage.norms:
            for tensor in (norm.weight, norm.bias, norm.running_mean, norm.running_var):
                _reorder(tensor, 0, order)
        _reorder(after.layer.weight, 1, order)


def _reorder(tensor: Tensor | None, axis: int, order: Tensor) -> None:
    """In place, in blocks where a unit owns several consecutive entries."""
    if tensor is not None:
        blocks = tensor.unflatten(axis, (len(order), -1))
        picked = blocks.index_select(axis, order.to(tensor.device))
        tensor.copy_(picked.flatten(axis, axis + 1))


def _stages(network: nn.Module) -> list[_Stage]:
    """The layers with weights in their order. Raises TypeError where units would be mixed."""
    layers = list(_leaves(network))
    weighted = [i for i, m in enumerate(layers) if isinstance(m, (nn.Linear, *_CONVOLUTIONS))]
    if not weighted:
        raise TypeError("the network has neither Linear nor convolution layers: nothing to align")
    parameters = [id(p) for m in layers for p in m.parameters()]
    if len(set(parameters)) < len(parameters):
        raise TypeError("two layers share their weights, so one order would have to fit both")
    stages: list[_Stage] = []
    maps = False  # whether the units at this place are channels of maps
    for layer in layers[weighted[0] : weighted[-1] + 1]:
        if any(k.startswith(("weight_", "bias_")) for k, _ in layer.named_parameters()):
            raise TypeError(
                f"a hook makes a weight of {layer} before each pass (spectral_norm, weight_norm, "
                "pruning): make it a plain one, as torch.nn.utils.prune.remove does"
            )
        if type(layer) is nn.Linear and not (stages and maps):
            if stages and type(stages[-1].layer) is nn.Linear:
                _check_rows(stages[-1].layer, layer)
            stages.append(_Stage(layer, []))
        elif type(layer) in _CONVOLUTIONS and layer.groups == 1 and (maps or not stages):
            stages.append(_Stage(layer, []))
            maps = True
        elif type(layer) in _NORMS:
            stages[-1].norms.append(layer)
        elif type(layer) is nn.Flatten and (layer.start_dim, layer.end_dim) == (1, -1):
            maps = False
        elif not (type(layer) in _UNITWISE or (maps and type(layer) in _MAPWISE)):
            raise TypeError(
                f"{layer} after {stages[-1].layer if stages else 'the input'} is not known to treat "
                "every hidden unit by itself: align takes Linear and convolutions without groups, "
                "batch norm, common activations, pooling of maps, and Flatten before a Linear"
            )
    return stages


def _check_rows(before: nn.Linear, layer: nn.Linear) -> None:
    """Refuses what a Flatten has joined of several positions, where a unit's entries lie apart."""
    if layer.in_features != before.out_features:
        raise TypeError(
            f"{layer} reads several positions of the {before.out_features} units of {before}, joined by "
            "Flatten: align takes Linear layers that read each unit once"
        )


def _leaves(network: Any) -> Iterator[nn.Module]:
    if type(network).forward is nn.Sequential.forward:
        for module in network:
            yield from _leaves(module)
    elif any(True for _ in network.children()):
        raise TypeError(
            f"{type(network).__name__} is no nn.Sequential, so the order of its layers cannot be "
            "known: build the network as an nn.Sequential"
        )
    else:
        yield network
