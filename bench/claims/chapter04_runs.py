"""What chapter 04's claims measure: tail indices of gradient noise beside their controls, exits."""

import math

import torch
from ledger.runs import Experiment
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, multi_margin_loss

import flatlab
from flatlab import models, tails

DATA = ("fashion_mnist", "cifar10")
LOSSES = (cross_entropy, multi_margin_loss)
RATE, SIZE = 0.1, 32  # of training
ROWS = 60  # minibatches of an estimate
MOMENTS = (0, 1, 3, 10, 30, 100, 200, 300, 600, 1000)  # steps at which an estimate is made


def noise(
    model: nn.Module, loss_fn, train: tuple[Tensor, Tensor], size: int, seed: int
) -> tuple[Tensor, int]:
    """Gradients of 60 minibatches of `size` minus the full gradient, as `in_blocks` cuts them.

    The minibatches go through permutations of the data; where these end, through new ones.
    """
    X, y = train
    generator = torch.Generator().manual_seed(seed)
    count = math.ceil(ROWS * size / len(X))
    order = torch.cat([torch.randperm(len(X), generator=generator) for _ in range(count)])
    rows = tails.batch_gradients(model, loss_fn, (X[order], y[order]), size, ROWS)
    full = tails.batch_gradients(model, loss_fn, train, len(X) // 2).mean(0)
    return tails.in_blocks(tails.gradient_noise(rows, full))


def estimates(found: Tensor, k1: int, seed: int) -> dict[str, float]:
    """The tail index of noise (k, p), row after row, and of three controls.

    `control`: Gaussian of the same variance in each coordinate. `covariance_control`: Gaussian of the
    same covariance. `shuffled`: each coordinate divided by its root mean square and all entries in
    random order, where neither scale nor correlation is left; `shuffled_control`: the same of the second
    control. `kurtosis`: mean over coordinates, and that of the second control.
    """
    generator = torch.Generator().manual_seed(seed)
    gaussian = tails.correlated_gaussian(found, generator)
    unit, unit_gaussian = (x / x.square().mean(0).sqrt() for x in (found, gaussian))
    order = torch.randperm(found.numel(), generator=generator)
    return {
        "alpha": tails.tail_index(found, k1),
        "control": tails.tail_index(tails.matched_gaussian(found, generator), k1),
        "covariance_control": tails.tail_index(gaussian, k1),
        "shuffled": tails.tail_index(unit.flatten()[order], k1),
        "shuffled_control": tails.tail_index(unit_gaussian.flatten()[order], k1),
        "kurtosis": float(unit.pow(4).mean()),
        "kurtosis_control": float(unit_gaussian.pow(4).mean()),
    }


def network(data: flatlab.data.Dataset, width: int, depth: int, seed: int) -> nn.Module:
    inputs = data.X_train[0].numel()
    generator = torch.Generator().manual_seed(seed)
    return models.mlp((inputs, *[width] * depth, 10), generator=generator)


def tail(
    data: int, loss: int, width: int, depth: int, batch_size: int, epochs: int, seed: int
) -> dict[str, float]:
    """Estimates after `epochs` epochs of SGD: DATA[data], LOSSES[loss], `depth` hidden layers."""
    images = flatlab.load_dataset(DATA[data], 1000, 10, download=False)
    model, loss_fn = network(images, width, depth, seed), LOSSES[loss]
    history = flatlab.fit(
        model, loss_fn, images.train, learning_rate=RATE, batch_size=SIZE, epochs=epochs,
        generator=torch.Generator().manual_seed(seed), progress=False, evaluate_every=10**6,
    )  # fmt: skip
    found, k1 = noise(model, loss_fn, images.train, batch_size, seed)
    kept = found.shape[1] / models.count_parameters(model)
    ends = {"train_loss": float(history.train_loss[-1]), "kept_percent": 100 * kept}
    return estimates(found, k1, seed) | ends


def iterations(width: int, depth: int, batch_size: int, seed: int) -> dict[str, float]:
    """The index and the covariance control along one run, cross-entropy, Fashion-MNIST."""
    images = flatlab.load_dataset("fashion_mnist", 1000, 10, download=False)
    model, found = network(images, width, depth, seed), {}

    def look(state) -> None:
        if state.step in MOMENTS:
            now, k1 = noise(model, cross_entropy, images.train, batch_size, seed)
            gaussian = tails.correlated_gaussian(now, torch.Generator().manual_seed(seed))
            found[f"alpha_{state.step}"] = tails.tail_index(now, k1)
            found[f"covariance_control_{state.step}"] = tails.tail_index(gaussian, k1)
            loss = flatlab.training.evaluate(model, cross_entropy, images.train).loss
            found[f"loss_{state.step}"] = loss

    flatlab.fit(
        model, cross_entropy, images.train, learning_rate=RATE, batch_size=SIZE, steps=MOMENTS[-1],
        generator=torch.Generator().manual_seed(seed), progress=False, evaluate_every=10**6,
        callbacks=[look],
    )  # fmt: skip
    return found


def exits(
    alpha: float, sigma: float, learning_rate: float, height: float, half_width: float, seed: int
) -> dict[str, float]:
    """Mean first exit time of 400 runs from the middle of L = h (x/r)^2 on [-r, r]."""

    def slope(x: Tensor) -> Tensor:
        return 2 * height / half_width**2 * x

    found = tails.first_exits(
        slope, -half_width, half_width, learning_rate, alpha, sigma, steps=60_000, runs=400,
        generator=torch.Generator().manual_seed(seed),
    )  # fmt: skip
    return {
        "mean_time": found.mean,
        "standard_error": found.standard_error,
        "exited_percent": 100 * float(found.exited.double().mean()),
    }


def recovered(alpha: float, size: int, seed: int) -> dict[str, float]:
    """The estimate from `size` independent draws of a stable law."""
    draws = tails.sample_stable(alpha, size, torch.Generator().manual_seed(seed))
    return {"estimate": tails.tail_index(draws)}


ESTIMATES = (
    *("alpha", "control", "covariance_control", "shuffled", "shuffled_control"),
    *("kurtosis", "kurtosis_control", "train_loss", "kept_percent"),
)
TAILS = Experiment(
    "04-tails",
    ("data", "loss", "width", "depth", "batch_size", "epochs"),
    ESTIMATES,
    tail,
    scale="laptop",
)
ITERATIONS = Experiment(
    "04-iterations",
    ("width", "depth", "batch_size"),
    tuple(f"{w}_{t}" for w in ("alpha", "covariance_control", "loss") for t in MOMENTS),
    iterations,
    scale="laptop",
)
EXITS = Experiment(
    "04-exits",
    ("alpha", "sigma", "learning_rate", "height", "half_width"),
    ("mean_time", "standard_error", "exited_percent"),
    exits,
)
STABLE = Experiment("04-stable", ("alpha", "size"), ("estimate",), recovered)
