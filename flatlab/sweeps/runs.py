"""What a run of a sweep is, and grids of them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import SGD, AdamW, Optimizer

from flatlab.arguments import can_fuse
from flatlab.batches import BatchSize
from flatlab.data import split_rows
from flatlab.history import History
from flatlab.isolation import random_state

_UP_TO_1 = "from 0 up to, not including, 1"


@dataclass(frozen=True)
class Run:
    """One run: the updates of ``torch.optim.SGD`` or ``AdamW`` with the batch's mean loss.

    sgd: w <- w - rate m, m <- momentum m + gradient + weight_decay w. adamw: decoupled weight decay,
    w <- (1 - rate weight_decay) w - rate m / (sqrt(v) + 1e-8), m and v the bias-corrected means of
    gradient and square with ``betas``. The rate at a step is learning_rate * schedule(step).

    ``batch_size``: None for the full batch; a function of the step, counted from 0, is a schedule.
    ``schedule``: None for 1. ``label_noise``: that fraction of the training labels is replaced, each by
    another class. ``train_fraction``: the run trains on that fraction of the data, drawn from its
    seed, and the rest is its test set unless the sweep is given one; None for all. ``init_scale``
    multiplies the initial weights (parameters of two or more dimensions). ``seed`` draws the
    initialization, the split, the labels and the order of samples.

    Runs with schedules go over the same steps in lockstep where the schedules compare equal, so
    give one function object, or dataclasses with ``__call__``, not a new lambda for each run.
    """

    learning_rate: float = 0.1
    batch_size: BatchSize = None
    seed: int = 0
    momentum: float = 0.0
    label_noise: float = 0.0
    init_scale: float = 1.0
    schedule: Callable[[int], float] | None = None
    optimizer: str = "sgd"
    weight_decay: float = 0.0
    betas: tuple[float, float] = (0.9, 0.999)
    train_fraction: float | None = None

    def __post_init__(self) -> None:
        part = 0.5 if self.train_fraction is None else self.train_fraction
        for name, value, good, wanted in (
            ("learning_rate", self.learning_rate, self.learning_rate > 0, "a positive number"),
            ("init_scale", self.init_scale, self.init_scale > 0, "a positive number"),
            ("momentum", self.momentum, 0 <= self.momentum < 1, f"a number {_UP_TO_1}"),
            ("label_noise", self.label_noise, 0 <= self.label_noise <= 1, "a fraction from 0 to 1"),
            ("weight_decay", self.weight_decay, self.weight_decay >= 0, "a number of at least 0"),
            ("train_fraction", part, 0 < part < 1, "a fraction between 0 and 1, or None for all"),
        ):
            if not (good and math.isfinite(value)):
                raise ValueError(f"{name} is {value!r}: give {wanted}")
        for name in ("seed", "batch_size"):  # NumPy's are no JSON, and another name in a folder
            if isinstance(getattr(self, name), np.integer):
                object.__setattr__(self, name, int(getattr(self, name)))
        if isinstance(self.seed, bool) or not isinstance(self.seed, int) or self.seed < 0:
            raise ValueError(f"seed is {self.seed!r}: give a whole number of at least 0")
        if self.optimizer not in ("sgd", "adamw"):
            raise ValueError(f"optimizer is {self.optimizer!r}: choose sgd or adamw")
        if len(self.betas) != 2 or not all(0 <= beta < 1 for beta in self.betas):
            raise ValueError(f"betas is {self.betas!r}: give two numbers, each {_UP_TO_1}")
        if self.momentum and self.optimizer == "adamw":
            raise ValueError("momentum belongs to sgd: adamw has the first of its betas instead")

    def rate(self, step: int) -> float:
        """The learning rate of the update at ``step``."""
        return self.learning_rate * (1.0 if self.schedule is None else self.schedule(step))

    def optimizer_of(self, model: nn.Module) -> Optimizer:
        """The torch optimizer that makes this run's updates of ``model``."""
        trained = [p for p in model.parameters() if p.requires_grad]
        rest: Any = {
            "lr": self.learning_rate,
            "weight_decay": self.weight_decay,
            "fused": can_fuse(model),
        }
        if self.optimizer == "adamw":
            return AdamW(trained, betas=self.betas, **rest)
        return SGD(trained, momentum=self.momentum, **rest)

    def split(self, n: int, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        """The rows of n samples that the run trains on, and those that it does not.

        `generator` is by default a new one with the run's seed; one that is given goes on to the labels.
        """
        if self.train_fraction is None:
            return torch.arange(n), torch.arange(0)
        generator = torch.Generator().manual_seed(self.seed) if generator is None else generator
        return split_rows(n, self.train_fraction, generator)

    def start(
        self, build: Callable[[torch.Generator], nn.Module]
    ) -> tuple[nn.Module, torch.Generator]:
        """The network before its first step, and the generator that goes on with its batches.

        Layers that draw from the global random state find it seeded by the run's seed; it comes back.
        """
        generator = torch.Generator().manual_seed(self.seed)
        with random_state(torch.Generator().manual_seed(self.seed), torch.device("cpu")):
            model = build(generator)
        if self.init_scale != 1:
            with torch.no_grad():
                for parameter in model.parameters():
                    if parameter.ndim > 1:
                        parameter.mul_(self.init_scale)
        return model, generator

    def told(self) -> str:
        """What tells this run from a default one, in words."""
        plain = Run()
        changed = [f.name for f in fields(self) if getattr(self, f.name) != getattr(plain, f.name)]
        return ", ".join(f"{name} {getattr(self, name)}" for name in changed) or "default run"


@dataclass(frozen=True, eq=False)
class Outcome:
    """How one run ended: its history, and its parameters and buffers, on the CPU."""

    run: Run
    history: History
    state: dict[str, Tensor]

    @property
    def diverged(self) -> bool:
        return self.history.stopped == "diverged"

    def model(self, build: Callable[[torch.Generator], nn.Module]) -> nn.Module:
        """The trained network, in evaluation mode."""
        model, _ = self.run.start(build)
        model.load_state_dict(self.state)
        return model.eval()

    def row(self) -> dict[str, object]:
        """The run's settings and its last evaluation, for a table; where both have a name, the setting."""
        own = {"stopped": self.history.stopped, "learning_rate": self.run.learning_rate}
        return {**vars(self.run), **self.history.last(), **own}


def grid(base: Run | None = None, **settings: Iterable) -> list[Run]:
    """Every combination: ``grid(learning_rate=[0.1, 0.2], seed=range(3))`` is six runs.

    The last setting changes fastest; what is not named is as in ``base``. Raises ValueError for a
    setting without values or of another name.
    """
    known = [f.name for f in fields(Run)]
    for name in settings:
        if name not in known:
            raise ValueError(f"a run has no setting {name!r}: choose from {', '.join(known)}")
    values = {name: list(given) for name, given in settings.items()}
    empty = [name for name, given in values.items() if not given]
    if empty:
        raise ValueError(f"{' and '.join(empty)} has no values: the grid is empty")
    combinations = itertools.product(*values.values())
    return [replace(base or Run(), **dict(zip(values, c, strict=True))) for c in combinations]
