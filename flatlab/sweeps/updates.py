"""The updates of ``torch.optim``'s SGD and AdamW for stacked runs, each with its own settings."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from flatlab.sweeps.runs import Run

Stack = dict[str, Tensor]  # name -> (runs, ...)


class SGD:
    """w <- w - eta m with m <- mu m + gradient + lambda w: eta, mu, lambda (runs,) each run's own."""

    def __init__(self, runs: Sequence[Run], parameters: Stack) -> None:
        self.momentum = _column(parameters, [run.momentum for run in runs])
        self.decay = _column(parameters, [run.weight_decay for run in runs])
        self.decays = any(run.weight_decay for run in runs)
        self.speed: Stack = {}
        if any(run.momentum for run in runs):
            self.speed = {k: torch.zeros_like(v) for k, v in parameters.items()}

    @torch.no_grad()
    def apply(self, parameters: Stack, gradients: Mapping[str, Tensor], rates: Tensor) -> None:
        for name, value in parameters.items():
            change, shape = gradients[name], _beside(value)
            if self.decays:
                change = change + self.decay.view(shape) * value
            if self.speed:
                change = self.speed[name].mul_(self.momentum.view(shape)).add_(change)
            value.sub_(rates.view(shape) * change)

    def keep(self, index: Tensor) -> None:
        self.momentum, self.decay = self.momentum[index], self.decay[index]
        self.speed = {k: v.index_select(0, index) for k, v in self.speed.items()}


class AdamW:
    """w <- (1 - eta lambda) w - eta m' / (sqrt(v') + 1e-8), with bias-corrected m' and v'.

    eta and lambda (runs,) are each run's own; the betas are those of all runs of the stack. Loshchilov
    and Hutter, 2019, algorithm 2.
    """

    EPS = 1e-8  # torch's default

    def __init__(self, runs: Sequence[Run], parameters: Stack) -> None:
        self.betas = runs[0].betas
        self.decay = _column(parameters, [run.weight_decay for run in runs])
        self.first = {k: torch.zeros_like(v) for k, v in parameters.items()}
        self.second = {k: torch.zeros_like(v) for k, v in parameters.items()}
        self.updates = 0

    @torch.no_grad()
    def apply(self, parameters: Stack, gradients: Mapping[str, Tensor], rates: Tensor) -> None:
        self.updates += 1
        one, two = self.betas
        root = math.sqrt(1 - two**self.updates)
        scale = rates * (root / (1 - one**self.updates))
        kept = 1 - rates * self.decay
        for name, value in parameters.items():
            gradient, shape = gradients[name], _beside(value)
            first = self.first[name].lerp_(gradient, 1 - one)
            second = self.second[name].mul_(two).addcmul_(gradient, gradient, value=1 - two)
            change = first / second.sqrt().add_(self.EPS * root)
            value.mul_(kept.view(shape)).sub_(change.mul_(scale.view(shape)))

    def keep(self, index: Tensor) -> None:
        self.decay = self.decay[index]
        self.first = {k: v.index_select(0, index) for k, v in self.first.items()}
        self.second = {k: v.index_select(0, index) for k, v in self.second.items()}


def update_of(runs: Sequence[Run], parameters: Stack) -> SGD | AdamW:
    """The update of runs that share an optimizer."""
    return (AdamW if runs[0].optimizer == "adamw" else SGD)(runs, parameters)


def _column(parameters: Stack, values: list[float]) -> Tensor:
    value = next(iter(parameters.values()))
    return torch.tensor(values, dtype=value.dtype, device=value.device)


def _beside(value: Tensor) -> tuple[int, ...]:
    """The shape of a number for each run that multiplies `value` (runs, ...)."""
    return (-1, *[1] * (value.ndim - 1))
