"""What chapter 03's claims measure on networks: minima, curves and schedules over eta and S."""

import copy
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from ledger.runs import Experiment
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

import flatlab
from flatlab import curvature, models
from flatlab.data import Dataset, relabel
from flatlab.noise import Cycle
from flatlab.sweeps import Outcome, Run, sweep

EPOCHS = 48  # of the longest curve on file
BATCHES = (32, 64, 128)
HALVINGS = range(4)  # eta / S = the largest, and 2, 4, 8 times less
PEAK = range(17, 2, -1)  # eta / S = 2^-17 ... 2^-3
MEMORY_RATES = (0.05, 0.1, 0.2)
LEVELS = (0.3, 0.7)  # of memorization, between which accuracies are compared
LOW, RATIO, PHASE = 0.02, 8, 2  # the low learning rate, high over low noise, epochs of a phase
SCHEDULES = ("baseline", "discrete η", "discrete S", "triangle η", "constant, high noise")
PARTNERS = {  # of the minimum of eta = 0.1, S = 16 on a line: eta, S
    "S = 128": (0.1, 128),
    "η = 0.0125": (0.0125, 16),
    "β = 1/2": (0.05, 8),
    "β = 1/4": (0.025, 4),
}


@dataclass(frozen=True)
class Phases:
    """High for `first` steps, then low for `second`, and again."""

    first: int
    second: int
    high: int
    low: int

    def __call__(self, step: int) -> int:
        return self.high if step % (self.first + self.second) < self.first else self.low


def images(n_train: int, n_test: int = 10_000) -> Dataset:
    return flatlab.load_dataset("fashion_mnist", n_train, n_test, download=False)


def build(hidden: Sequence[int], batch_norm: bool, generator: torch.Generator) -> nn.Module:
    return models.mlp((784, *hidden, 10), batch_norm=batch_norm, generator=generator)


SMALL = partial(build, (64, 64), False)


def trained(network, data: Dataset, runs: Sequence[Run], **options) -> list[Outcome]:
    return sweep(network, cross_entropy, data.train, runs, progress=False, **options)


def hessian(model: nn.Module, data: Dataset) -> curvature.Hessian:
    return curvature.Hessian(model, cross_entropy, data.train)


def norm(model: nn.Module, data: Dataset) -> float:
    """The Frobenius norm of the Hessian, 10 probes."""
    return curvature.frobenius_norm(hessian(model, data), probes=10).value


def at_unit_length(model: nn.Sequential, data: Dataset) -> nn.Sequential:
    """The same function, with weights of length 1 into every neuron before a batch norm."""
    twin = copy.deepcopy(model)
    with torch.no_grad():
        for layer, after in itertools.pairwise(twin):
            if isinstance(after, nn.BatchNorm1d):
                length = layer.weight.norm(dim=1)
                layer.weight /= length[:, None]
                for moved in (layer.bias, after.running_mean):
                    moved /= length
                after.running_var /= length**2
        x = data.test[0]
        apart = (twin(x) - model(x)).norm() / model(x).norm()
    if apart > 0.01:  # the eps of batch norm is all that may differ
        raise RuntimeError(f"the rescaled network is another function: {apart:.2g}")
    return twin


def accuracy(model: nn.Module, data: Dataset) -> float:
    return 100 * flatlab.training.evaluate(model, cross_entropy, data.test).accuracy


def width(
    layers: int, init_scale: float, largest: float, epochs: int, stop_loss: float, seed: int
) -> dict[str, float]:
    """Minima at four values of eta / S, each at three batch sizes: Hessian norm and test accuracy.

    4 layers: width 64, batch norm, and the norm at unit length, too. 20 layers: width 32, none.
    `largest`: the largest eta / S. Every 4 epochs the runs whose training loss is at most `stop_loss`
    are ended.
    """
    data = images(1024)
    network = partial(build, (64,) * 3 if layers == 4 else (32,) * (layers - 1), layers == 4)
    found = {}
    for size in BATCHES:
        rates = [largest * size / 2**k for k in HALVINGS]
        runs = [Run(rate, size, seed=seed, init_scale=init_scale) for rate in rates]
        every = 4 * math.ceil(1024 / size)
        ends = trained(
            network, data, runs, epochs=epochs, stop_loss=stop_loss, evaluate_every=every
        )
        for k, end in zip(HALVINGS, ends, strict=True):
            model, name = end.model(network), f"{size}_{k}"
            found[f"loss_{name}"] = float(end.history.train_loss[-1])
            found[f"norm_{name}"] = math.nan if end.diverged else norm(model, data)
            found[f"accuracy_{name}"] = accuracy(model, data)
            if layers == 4 and not end.diverged:
                found[f"unit_{name}"] = norm(at_unit_length(model, data), data)
    return found


def peak(batch_size: int, epochs: int, seed: int) -> dict[str, float]:
    """Test accuracy over fifteen values of eta / S after the same number of epochs."""
    data, network = images(1024), partial(build, (64,) * 3, True)
    runs = [Run(batch_size * 2.0**-k, batch_size, seed=seed) for k in PEAK]
    ends = trained(network, data, runs, epochs=epochs, evaluate_every=10**6)
    return {
        f"accuracy_{k}": accuracy(end.model(network), data)
        for k, end in zip(PEAK, ends, strict=True)
    }


def interpolation(stop_loss: float, seed: int) -> dict[str, float]:
    """Curvature at both ends of lines from the minimum of eta = 0.1, S = 16, along the line."""
    data = images(1024)
    runs = [Run(0.1, 16, seed=seed)] + [Run(*pair, seed=seed) for pair in PARTNERS.values()]
    ends = trained(SMALL, data, runs, epochs=500, stop_loss=stop_loss)
    late = [end.run.told() for end in ends if end.history.stopped != "stop_loss"]
    if late:
        raise RuntimeError(f"the loss {stop_loss} was not reached in 500 epochs by {late}")
    first, *others = (end.model(SMALL) for end in ends)
    found = {"norm": norm(first, data)}
    for place, other in enumerate(others):
        line = flat(other) - flat(first)
        found[f"distance_{place}"] = float(line.norm())
        found[f"curvature_first_{place}"] = along(first, line, data)
        found[f"curvature_{place}"] = along(other, line, data)
        found[f"norm_{place}"] = norm(other, data)
    return found


def flat(model: nn.Module) -> Tensor:
    return nn.utils.parameters_to_vector(model.parameters()).detach()


def along(model: nn.Module, direction: Tensor, data: Dataset) -> float:
    """d'Hd / d'd."""
    return float(direction @ (hessian(model, data) @ direction) / direction.square().sum())


def curve(
    n_train: int, learning_rate: float, batch_size: int, epochs: int, cycle: int, seed: int
) -> dict[str, float]:
    """Training loss and test accuracy after each epoch.

    `cycle` 1: two epochs of four times the learning rate, two of the learning rate itself, and so
    on. 2: instead two epochs of a quarter of the batch size.
    """
    data, per_epoch = images(n_train, 2000), math.ceil(n_train / batch_size)
    run, steps, every = Run(learning_rate, batch_size, seed=seed), epochs * per_epoch, per_epoch
    if cycle == 1:
        schedule = Cycle(4 * per_epoch, 1.0, 4.0)
        run = Run(learning_rate, batch_size, seed=seed, schedule=schedule)
    if cycle == 2:
        phases = Phases(8 * per_epoch, 2 * per_epoch, batch_size // 4, batch_size)
        run, steps = Run(learning_rate, phases, seed=seed), epochs * per_epoch * 5 // 2
    [end] = trained(SMALL, data, [run], steps=steps, evaluate_every=every, test_data=data.test)
    past, found = end.history, {}
    for epoch in range(1, epochs + 1):
        [place] = np.flatnonzero(past.epoch == epoch)
        found[f"loss_{epoch}"] = float(past.train_loss[place])
        found[f"accuracy_{epoch}"] = 100 * float(past.test_accuracy[place])
    return found


def memorization(momentum: float, epochs: int, seed: int) -> dict[str, float]:
    """Test accuracy while between 30 and 70 % of the random labels (a quarter of all) are learned.

    784-256-256-10, S = 32, three values of eta / ((1 - momentum) S). The accuracy is interpolated
    between epochs against the share of the random labels predicted as they were drawn, made
    monotone, and averaged over the levels; NaN where 70 % are not reached.
    """
    data, network = images(1024, 2000), partial(build, (256, 256), False)
    noisy, index = relabel(data.y_train, 0.25, 10, torch.Generator().manual_seed(seed))

    def memorized(model: nn.Module) -> float:
        with torch.no_grad():
            right = model(data.X_train[index]).argmax(1) == noisy[index]
        return float(right.double().mean())

    runs = [
        Run(rate * (1 - momentum), 32, seed=seed, momentum=momentum, label_noise=0.25)
        for rate in MEMORY_RATES
    ]
    ends = trained(
        network, data, runs, epochs=epochs, test_data=data.test, metrics={"memorized": memorized}
    )
    found = {}
    for rate, end in zip(MEMORY_RATES, ends, strict=True):
        share = np.maximum.accumulate(end.history.metrics["memorized"])
        found[f"memorized_{rate:g}"] = float(share[-1])
        found[f"accuracy_{rate:g}"] = math.nan
        if share[-1] >= LEVELS[1]:
            within = np.interp(np.linspace(*LEVELS, 41), share, end.history.test_accuracy)
            found[f"accuracy_{rate:g}"] = 100 * float(within.mean())
    return found


def scheduled(schedule: int, epochs: int, seed: int) -> dict[str, float]:
    """784-64-64-10 after a cyclic schedule or a constant one: SCHEDULES[schedule]."""
    data = images(1024)
    size = 32
    epoch = len(data.X_train) // size
    discrete = Cycle(2 * PHASE * epoch, 1.0, float(RATIO))
    triangle = Cycle(2 * PHASE * epoch, 1.0, float(RATIO), "triangle")
    phases = Phases(PHASE * epoch * RATIO, PHASE * epoch, size // RATIO, size)
    run = {
        "baseline": Run(LOW, size, seed=seed),
        "discrete η": Run(LOW, size, seed=seed, schedule=discrete),
        "discrete S": Run(LOW, phases, seed=seed),
        "triangle η": Run(LOW, size, seed=seed, schedule=triangle),
        "constant, high noise": Run(RATIO * LOW, size, seed=seed),
    }[SCHEDULES[schedule]]
    cycles = epochs // (2 * PHASE)
    steps = epochs * epoch
    if callable(run.batch_size):
        steps = cycles * (phases.first + phases.second)
    [end] = trained(SMALL, data, [run], steps=steps, evaluate_every=10**6)
    model = end.model(SMALL)
    return {
        "loss": float(end.history.train_loss[-1]),
        "norm": norm(model, data),
        "accuracy_percent": accuracy(model, data),
    }


GRID = [f"{size}_{k}" for size in BATCHES for k in HALVINGS]
WIDTHS = Experiment(
    "03-width",
    ("layers", "init_scale", "largest", "epochs", "stop_loss"),
    tuple(f"{what}_{name}" for what in ("loss", "norm", "accuracy", "unit") for name in GRID),
    width,
    scale="laptop",
)
PEAKS = Experiment(
    "03-peak", ("batch_size", "epochs"), tuple(f"accuracy_{k}" for k in PEAK), peak, scale="laptop"
)
LINES = Experiment(
    "03-interpolation",
    ("stop_loss",),
    ("norm",)
    + tuple(
        f"{what}_{place}"
        for place in range(len(PARTNERS))
        for what in ("distance", "curvature_first", "curvature", "norm")
    ),
    interpolation,
    scale="laptop",
)
CURVES = Experiment(
    "03-curves",
    ("n_train", "learning_rate", "batch_size", "epochs", "cycle"),
    tuple(f"{what}_{e}" for what in ("loss", "accuracy") for e in range(1, EPOCHS + 1)),
    curve,
    scale="laptop",
)
MEMORIES = Experiment(
    "03-memorization",
    ("momentum", "epochs"),
    tuple(f"{what}_{rate:g}" for what in ("accuracy", "memorized") for rate in MEMORY_RATES),
    memorization,
    scale="laptop",
)
CYCLES = Experiment(
    "03-cyclic",
    ("schedule", "epochs"),
    ("loss", "norm", "accuracy_percent"),
    scheduled,
    scale="laptop",
)
