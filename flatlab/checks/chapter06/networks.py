"""Small networks with batch norm, and their statistics by a pass of the check's own."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from flatlab.checks.core import WrongAnswer
from flatlab.checks.toys import normal

MOMENTUM = 0.1
OTHER_MOMENTUM = 0.3  # of a second layer, in one check
SEEN = 7  # batches that the old statistics are said to come from


class Recording(nn.Dropout):
    """Dropout that counts how often it acted and lets everything through, so that results are fixed."""

    def __init__(self) -> None:
        super().__init__(0.5)
        self.acted = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.acted += self.training
        return x


def dense() -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(4, 5),
        nn.BatchNorm1d(5),
        nn.Tanh(),
        Recording(),
        nn.Linear(5, 3),
        nn.BatchNorm1d(3),
    ).double()


def convolutional() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(2, 3, 2),
        nn.BatchNorm2d(3),
        nn.ReLU(),
        nn.Sequential(nn.Conv2d(3, 2, 2), nn.BatchNorm2d(2)),
    ).double()


BUILD = {"dense": dense, "convolutional": convolutional}
SHAPES = {"dense": (8, 4), "convolutional": (6, 2, 4, 4)}


def norms(model: nn.Module) -> list[nn.Module]:
    return [m for m in model.modules() if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d)]


def drawn(generator: torch.Generator, kind: str, batches: int) -> dict:
    """Weights, old statistics and batches that lie apart from each other, as plain data."""
    model = BUILD[kind]()
    X = [1 + k + (1 + 0.5 * k) * normal(generator, *SHAPES[kind]) for k in range(batches)]
    return {
        "kind": kind,
        "weights": [normal(generator, *p.shape) for p in model.parameters()],
        "old": [
            part
            for m in norms(model)
            for part in (normal(generator, len(m.bias)), 0.5 + normal(generator, len(m.bias)) ** 2)
        ],
        "batches": torch.stack(X),
    }


def built(inputs: dict) -> nn.Module:
    """The network that the inputs describe, in training mode."""
    model = BUILD[inputs["kind"]]()
    with torch.no_grad():
        for p, value in zip(model.parameters(), inputs["weights"], strict=True):
            p.copy_(torch.as_tensor(value))
    set_statistics(model, inputs["old"])
    for module in norms(model):
        module.momentum = MOMENTUM
        module.num_batches_tracked.fill_(SEEN)
    return model


def set_statistics(model: nn.Module, values: Sequence[np.ndarray]) -> None:
    pairs = zip(values[::2], values[1::2], strict=True)
    for module, (mean, variance) in zip(norms(model), pairs, strict=True):
        module.running_mean.copy_(torch.as_tensor(mean))
        module.running_var.copy_(torch.as_tensor(variance))


def statistics(model: nn.Module) -> list[np.ndarray]:
    """Running mean and variance of each layer, one after the other."""
    found = []
    for module in norms(model):
        wanted = (module.num_features,)
        for name, part in (("mean", module.running_mean), ("var", module.running_var)):
            if not isinstance(part, torch.Tensor) or tuple(part.shape) != wanted:
                raise WrongAnswer(
                    f"running_{name} of a layer with {wanted[0]} units is no tensor of shape {wanted} now: "
                    "it holds one number for each unit that enters the layer."
                )
            found.append(part.detach().clone().numpy())
    return found


def of_batches(inputs: dict, training: bool = True) -> list[list[np.ndarray]]:
    """Mean and variance (n - 1) of what enters each layer, for each batch: seen by hooks.

    ``training``: whether the layers before it normalize by the batch, or by the old statistics.
    """
    model, found = built(inputs).train(training), []
    for module in norms(model):
        module.register_forward_pre_hook(lambda m, args: entering.append(args[0].detach()))
    for X in torch.as_tensor(np.asarray(inputs["batches"])):
        entering = []
        with torch.no_grad():
            model(X)
        rows = [x.transpose(0, 1).flatten(1) for x in entering]
        found.append([part.numpy() for x in rows for part in (x.mean(1), x.var(1))])
    return found


def counts(inputs: dict) -> list[int]:
    """Over how many numbers a batch's mean runs, in each layer."""
    model, found = built(inputs), []
    for module in norms(model):
        module.register_forward_pre_hook(
            lambda m, args: found.append(args[0].numel() // args[0].shape[1])
        )
    with torch.no_grad():
        model(torch.as_tensor(np.asarray(inputs["batches"])[0]))
    return found


def unscaled(inputs: dict) -> dict:
    """The same network, with the weight of each batch-norm layer 1 and its bias 0."""
    model = built(inputs)
    for layer in norms(model):
        layer.reset_parameters()
    return {**inputs, "weights": [p.detach().numpy() for p in model.parameters()]}
