"""Networks of one architecture as points in weight space: flat vectors and back.

A point holds the parameters that require a gradient, in the order of ``model.parameters()``, as everywhere in
the package. Frozen ones are constants, so they must agree between networks that share a space.
"""

from __future__ import annotations

import copy
import itertools
from types import BuiltinFunctionType, FunctionType

import torch
from torch import Tensor, nn

from flatlab.sweeps.told import told


class Space:
    """The weight space of a network: p numbers."""

    def __init__(self, network: nn.Module) -> None:
        trained = {name: p for name, p in network.named_parameters() if p.requires_grad}
        if not trained:
            raise ValueError(
                "no parameter of the network requires a gradient: there is no weight space"
            )
        if len({(p.dtype, p.device) for p in trained.values()}) > 1:
            raise ValueError(
                "the network's parameters have several dtypes or devices: convert it, as in "
                "network.float()"
            )
        self.shapes = {name: p.shape for name, p in trained.items()}

    def split(self, points: Tensor) -> dict[str, Tensor]:
        """Views of points (..., p) in the parameters' shapes (..., *shape), by name."""
        pieces = points.split([shape.numel() for shape in self.shapes.values()], dim=-1)
        lead = points.shape[:-1]
        items = zip(self.shapes.items(), pieces, strict=True)
        return {name: piece.reshape(*lead, *shape) for (name, shape), piece in items}

    def network(self, like: nn.Module, point: Tensor) -> nn.Module:
        """A copy of `like`, on its device, with the weights `point` (p,), which require a gradient."""
        network = copy.deepcopy(like)
        parameters = dict(network.named_parameters())
        with torch.no_grad():
            for name, value in self.split(point).items():
                parameters[name].copy_(value).requires_grad_()
        return network


def flatten(network: nn.Module) -> Tensor:
    """A copy of the trained parameters, (p,)."""
    return torch.cat([p.detach().reshape(-1) for p in network.parameters() if p.requires_grad])


def checked_alike(networks: list[nn.Module]) -> Space:
    """The space that the networks share. Raises ValueError unless they are of one architecture and dtype."""
    first, space = networks[0], Space(networks[0])
    for other in networks[1:]:
        _check_layers(first, other)
        _check_parameters(dict(first.named_parameters()), dict(other.named_parameters()))
    return space


def _check_layers(first: nn.Module, other: nn.Module) -> None:
    pairs = itertools.zip_longest(first.named_modules(), other.named_modules())
    for one, two in pairs:
        if one is None or two is None or one[0] != two[0] or _kind(one[1]) != _kind(two[1]):
            names = [name or "(the network)" for name, _ in filter(None, (one, two))]
            kinds = [_kind(pair[1]) if pair else "nothing" for pair in (one, two)]
            raise ValueError(
                f"the networks differ at layer {names[0]}: {kinds[0]} and {kinds[1]}. Give networks of one "
                "architecture: only their weights may differ"
            )
        mine, its = _settings(one[1]), _settings(two[1])
        apart = [k for k in mine.keys() | its.keys() if mine.get(k) != its.get(k)]
        if apart:
            raise ValueError(
                f"two layers {_kind(one[1])} differ in {', '.join(sorted(apart))}, which the points between "
                "the networks would take from the first: only their weights may differ"
            )


def _settings(module: nn.Module) -> dict[str, str]:
    """Numbers, names and functions that its printed line need not show, as attention's heads."""
    plain = (bool, int, float, str, FunctionType, BuiltinFunctionType)
    own = {k: v for k, v in vars(module).items() if k[0] != "_" and k != "training"}
    return {k: told(v) for k, v in own.items() if isinstance(v, plain)}


def _kind(module: nn.Module) -> str:
    return f"{type(module).__name__}({module.extra_repr()})"


def _check_parameters(first: dict[str, nn.Parameter], other: dict[str, nn.Parameter]) -> None:
    for name in first.keys() | other.keys():
        one, two = first.get(name), other.get(name)
        if one is None or two is None or one.shape != two.shape:
            shapes = [None if p is None else tuple(p.shape) for p in (one, two)]
            raise ValueError(
                f"parameter {name} has the shapes {shapes[0]} and {shapes[1]}: give networks of one "
                "architecture"
            )
        if (one.dtype, one.device) != (two.dtype, two.device):
            raise ValueError(
                f"parameter {name} is {one.dtype} on {one.device} in one network and {two.dtype} on "
                f"{two.device} in another: convert one, as in network.to({one.dtype})"
            )
        if one.requires_grad != two.requires_grad:
            raise ValueError(f"parameter {name} is frozen in one network only: freeze it in both")
        if not one.requires_grad and not torch.equal(one, two):
            raise ValueError(
                f"parameter {name} is frozen and differs between the networks: nothing joins the two "
                "values; let it require a gradient"
            )
