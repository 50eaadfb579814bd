"""A folder gives back runs of the same sweep, and of no other."""

import functools
from dataclasses import dataclass

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from flatlab import models
from flatlab.grokking import modular_table, progress_measures
from flatlab.sweeps import Run, sweep
from flatlab.sweeps.told import structure, told

X = torch.randn(40, 5, generator=torch.Generator().manual_seed(0))
Y = torch.randint(3, (40,), generator=torch.Generator().manual_seed(1))


class Scaled:
    def __init__(self, factor):
        self.factor = factor

    def __call__(self, prediction, y):
        return cross_entropy(self.factor * prediction, y)

    def method(self, prediction, y):
        return self(prediction, y)


@dataclass(frozen=True)
class Decay:
    k: float

    def __call__(self, step):
        return 1 / (1 + self.k * step)


class Outer(nn.Module):
    """Its activation shows in no parameter and in no printed line."""

    def __init__(self, generator, activation):
        super().__init__()
        self.body, self.activation = models.mlp((5, 3), generator=generator), activation

    def forward(self, x):
        return self.activation(self.body(x))


def closure(factor):
    return lambda prediction, y: cross_entropy(factor * prediction, y)


LOSSES = {
    "options": lambda k: nn.CrossEntropyLoss(label_smoothing=k / 10),
    "weights": lambda k: nn.CrossEntropyLoss(weight=torch.tensor([1.0, 1.0, k])),
    "closure": closure,
    "default": lambda k: lambda prediction, y, k=k: cross_entropy(k * prediction, y),
    "partial": lambda k: functools.partial(cross_entropy, label_smoothing=k / 10),
    "object": Scaled,
    "method": lambda k: Scaled(k).method,
}
BUILDS = {
    "activation": lambda k: (
        lambda g: models.mlp((5, 3, 3), activation=[nn.ReLU, nn.Tanh][k - 1], generator=g)
    ),
    "option": lambda k: lambda g: nn.Sequential(models.mlp((5, 3), generator=g), nn.Softplus(k)),
    "own attribute": lambda k: lambda g: Outer(g, [torch.tanh, torch.relu][k - 1]),
}


def losses(folder, loss_fn=cross_entropy, schedule=None, build=None):
    build = build or BUILDS["activation"](1)
    runs = (
        [Run(schedule=schedule)]
        if not isinstance(schedule, list)
        else [Run(schedule=s) for s in schedule]
    )
    made = sweep(build, loss_fn, (X, Y), runs, steps=4, folder=folder, progress=False)
    return [outcome.history.train_loss.tolist() for outcome in made]


def assert_kept_apart(tmp_path, settings, one, other):
    """The other sweep is run, not read; the first is read when it is asked for again."""
    first = losses(tmp_path, **settings(one))
    assert losses(tmp_path, **settings(other)) == losses(None, **settings(other)) != first
    files = sorted(tmp_path.iterdir())
    assert losses(tmp_path, **settings(one)) == first
    assert sorted(tmp_path.iterdir()) == files and len(files) == 2


@pytest.mark.parametrize("kind", LOSSES)
def test_losses(tmp_path, kind):
    assert_kept_apart(tmp_path, lambda k: {"loss_fn": LOSSES[kind](k)}, 1, 3)


@pytest.mark.parametrize("kind", BUILDS)
def test_networks_with_equal_weights(tmp_path, kind):
    assert_kept_apart(tmp_path, lambda k: {"build": BUILDS[kind](k)}, 1, 2)


def test_schedules_of_one_text(tmp_path):
    def schedules():
        return [lambda step, k=k: 1 / (1 + k * step) for k in (0, 5)]

    first = losses(tmp_path, schedule=schedules())
    assert first[0] != first[1]
    assert len(list(tmp_path.iterdir())) == 2
    assert losses(tmp_path, schedule=schedules()) == first
    assert_kept_apart(tmp_path / "objects", lambda k: {"schedule": Decay(k)}, 1, 2)


def test_what_the_package_makes_is_told_by_what_it_captures():
    table = modular_table(5)
    tellings = [
        told(progress_measures(table, rows, frequencies=[k]))
        for rows, k in ((table.results < 3, 1), (table.results < 3, 2), (table.results < 2, 1))
    ]
    assert len(set(tellings)) == 3


def test_what_is_told_holds_no_addresses_and_ends():
    loop = []
    loop.append(loop)
    for value in (closure(2), Scaled(2).method, LOSSES["partial"](1), nn.Tanh(), loop, len, Scaled):
        assert " at 0x" not in told(value)
    assert told(closure(2)) == told(closure(2)) != told(closure(3))
    generator = torch.Generator().manual_seed(0)
    nets = [models.mlp((2, 3, 1), generator=generator) for _ in range(2)]
    assert structure(nets[0]) == structure(nets[1])
    assert told(nets[0]) != told(nets[1])
