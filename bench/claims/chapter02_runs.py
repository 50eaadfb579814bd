"""What chapter 02's claims measure: minima, escapes, the edge of stability with momentum, CIFAR-10."""

import math
import time

import torch
from ledger import networks
from ledger.networks import LOSS
from ledger.runs import Experiment

import flatlab
from flatlab import checkpoints, models
from flatlab.checkpoints import Recipe
from flatlab.curvature import track_sharpness
from flatlab.stability import EscapeSystem


def minimum(learning_rate: float, batch_size: int, stop_loss: float, seed: int) -> dict:
    """Train the 784-500-500-500-10 network from the seed's start, and measure where it ends."""
    return networks.minimum(Recipe(learning_rate, batch_size, stop_loss, seed))


def small_vgg(learning_rate: float, batch_size: int, stop_loss: float, seed: int) -> dict:
    """The small VGG on the first 1000 airplanes and automobiles of CIFAR-10, the same way."""
    began = time.perf_counter()
    data = flatlab.load_dataset(
        "cifar10", n_train=1000, classes=("airplane", "automobile"), one_hot=True, download=False,
        device=networks.DEVICE,
    )  # fmt: skip
    model = models.small_vgg(generator=torch.Generator().manual_seed(seed)).to(networks.DEVICE)
    history = flatlab.fit(
        model, LOSS, data.train, learning_rate=learning_rate, batch_size=batch_size, steps=100_000,
        stop_loss=stop_loss, generator=torch.Generator().manual_seed(seed), progress=False,
    )  # fmt: skip
    if history.stopped != "stop_loss":
        raise RuntimeError(
            f"the loss {stop_loss} was not reached: the run ended by {history.stopped}"
        )
    return networks.row(model, data, int(history.step[-1])) | {
        "seconds": time.perf_counter() - began
    }


def escape(
    learning_rate: float, batch_size: int, steps: int, corrupted: int, seed: int
) -> dict[str, float]:
    """SGD from gradient descent's solution: how soon its sharpness is below 10, and where it ends.

    Measured every 5 steps up to step 40, then every 20 until it is below 10. The seed draws the
    order of the samples; the start is a checkpoint of the package.
    """
    start = checkpoints.load("gd-0.1-corrupted" if corrupted else "gd-0.1")
    model, data = start.model.to(networks.DEVICE), networks.dataset(start.recipe)
    track = track_sharpness(LOSS, data.train, every=5, share=None, tol=1e-3)

    def early(state) -> None:
        if state.step <= 40 or (state.step % 20 == 0 and track.sharpness[-1] >= 10):
            track(state)

    history = flatlab.fit(
        model, LOSS, data.train, learning_rate=learning_rate, batch_size=batch_size, steps=steps,
        generator=torch.Generator().manual_seed(seed), progress=False, evaluate_every=10,
        callbacks=[early],
    )  # fmt: skip
    curve = dict(zip(track.steps, track.sharpness, strict=True))
    train_accuracy = 100 * history.train_accuracy
    end = flatlab.training.evaluate(model, LOSS, data.test)
    return {
        "sharpness_start": curve[0],
        "non_uniformity_start": start.measured["non_uniformity"],
        "sharpness_40": curve[40],
        "first_step_below_10": min((t for t in curve if curve[t] < 10), default=math.nan),
        "sharpness_end": flatlab.sharpness(model, LOSS, data.train),
        "train_accuracy_start_percent": float(train_accuracy[0]),
        "train_accuracy_lowest_percent": float(train_accuracy.min()),
        "train_accuracy_end_percent": float(train_accuracy[-1]),
        "test_accuracy_start_percent": 100 * start.measured["test_accuracy"],
        "test_accuracy_end_percent": 100 * end.accuracy,
    }


def escape_1d(learning_rate: float, steps: int, seed: int) -> dict[str, float]:
    """1000 runs of SGD, and gradient descent, from 1 + 1e-5 on the slides' two functions."""
    system = EscapeSystem()
    starts = torch.full((1000,), 1 + 1e-5, dtype=torch.float64)
    paths = system.trajectory(
        starts, learning_rate, steps, generator=torch.Generator().manual_seed(seed)
    )
    still = system.trajectory(starts[:1], learning_rate, steps, stochastic=False)
    offsets = paths[:5] - 1  # before any of them meets another piece of f
    growth = (offsets[-1].square().mean() / offsets[0].square().mean()) ** (1 / 4)
    return {
        "multiplier_at_1": system.multiplier(1, learning_rate),
        "multiplier_at_0": system.multiplier(0, learning_rate),
        "measured_growth_at_1": float(growth),
        "sgd_at_0_percent": float(100 * (paths[-1].abs() < 1e-6).double().mean()),
        "gd_offset_from_1": float((still[-1] - 1).abs().max()),
        "gd_factor": abs(1 - learning_rate * system.sharpness(1)),
    }


def edge(learning_rate: float, momentum: float, steps: int, seed: int) -> dict[str, float]:
    """Gradient descent with momentum: sharpness over the last fifth of the run, 20 measurements."""
    recipe = Recipe(learning_rate, 1000, 0.0, seed)
    data, model = networks.dataset(recipe), recipe.start().to(networks.DEVICE)
    track = track_sharpness(LOSS, data.train, every=max(1, steps // 100), share=None)

    def late(state) -> None:
        if state.step > 0.8 * steps:
            track(state)

    history = flatlab.fit(
        model, LOSS, data.train, learning_rate=learning_rate, momentum=momentum, steps=steps,
        progress=False, callbacks=[late],
    )  # fmt: skip
    values = torch.tensor(track.sharpness)
    return {
        "train_loss": float(history.train_loss[-1]),
        "sharpness": float(values.mean()),
        "sharpness_lowest": float(values.min()),
        "sharpness_highest": float(values.max()),
    }


MINIMUM_COLUMNS = (
    *("steps", "train_loss", "train_accuracy_percent", "test_accuracy_percent"),
    *("sharpness", "non_uniformity"),
)
RECIPE = ("learning_rate", "batch_size", "stop_loss")
MINIMA = Experiment("02-minima", RECIPE, MINIMUM_COLUMNS, minimum)
CIFAR = Experiment("02-cifar", RECIPE, MINIMUM_COLUMNS, small_vgg)
ESCAPES = Experiment(
    "02-escapes",
    ("learning_rate", "batch_size", "steps", "corrupted"),
    (
        *("sharpness_start", "non_uniformity_start", "sharpness_40", "first_step_below_10"),
        *("sharpness_end", "train_accuracy_start_percent", "train_accuracy_lowest_percent"),
        *("train_accuracy_end_percent", "test_accuracy_start_percent", "test_accuracy_end_percent"),
    ),
    escape,
)
ESCAPES_1D = Experiment(
    "02-escapes-1d",
    ("learning_rate", "steps"),
    (
        *("multiplier_at_1", "multiplier_at_0", "measured_growth_at_1", "sgd_at_0_percent"),
        *("gd_offset_from_1", "gd_factor"),
    ),
    escape_1d,
)
EDGES = Experiment(
    "02-edges",
    ("learning_rate", "momentum", "steps"),
    ("train_loss", "sharpness", "sharpness_lowest", "sharpness_highest"),
    edge,
)
