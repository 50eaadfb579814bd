"""Training the networks of the claims, so that an interrupted run goes on where it stood."""

import hashlib
import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import nn

import flatlab
from flatlab import checkpoints
from flatlab.checkpoints import Recipe
from flatlab.data import Dataset

PIECE = 500  # full-batch steps between two saved states: ten to twenty seconds
STATES = Path(__file__).resolve().parents[2] / "build" / "reproduce"
LOSS = nn.functional.mse_loss
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
CHECKPOINTS = {
    "gd-0.1": Recipe(learning_rate=0.1, batch_size=1000, stop_loss=1e-4, seed=0),
    "gd-0.1-corrupted": Recipe(
        learning_rate=0.1, batch_size=1000, stop_loss=1e-2, seed=0, label_noise=0.2
    ),
}


@dataclass(frozen=True, eq=False)
class Trained:
    """The network a recipe leads to."""

    model: nn.Module
    steps: int
    stopped: str  # "stop_loss"; "steps" or "diverged" where the loss was not reached
    seconds: float  # of training, pieces before an interruption included


def train(recipe: Recipe, data: Dataset, most_steps: int = 200_000) -> Trained:
    """Train as the recipe says; a finished network is kept in build/reproduce/ for other claims.

    Full-batch runs are saved every PIECE steps and go on from there. Minibatch runs take a minute
    or two and start again instead: their order of samples belongs to one call of `fit`.
    """
    device = data.train[0].device
    path, model = state_path(recipe), recipe.start().to(device)
    steps, seconds, stopped = 0, 0.0, "steps"
    if path.exists():
        state = torch.load(path, weights_only=True, map_location=device)
        model.load_state_dict(state["model"])
        steps, seconds, stopped = state["steps"], state["seconds"], state["stopped"]
    full = recipe.batch_size == recipe.n_train
    while stopped == "steps" and steps < most_steps:
        history = flatlab.fit(
            model, LOSS, data.train, learning_rate=recipe.learning_rate,
            batch_size=None if full else recipe.batch_size,
            steps=min(PIECE, most_steps - steps) if full else most_steps,
            stop_loss=recipe.stop_loss, progress=False,
            generator=torch.Generator().manual_seed(recipe.seed),
        )  # fmt: skip
        steps, seconds = steps + int(history.step[-1]), seconds + float(history.seconds[-1])
        stopped = history.stopped
        state = {"model": model.state_dict(), "steps": steps, "seconds": seconds}
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.save(state | {"stopped": stopped}, path.with_suffix(".new"))
        path.with_suffix(".new").replace(path)  # whole or not at all
    return Trained(model, steps, stopped, seconds)


def dataset(recipe: Recipe) -> Dataset:
    """The recipe's data, on the GPU where there is one; nothing is downloaded."""
    return recipe.dataset(download=False, device=DEVICE)


def state_path(recipe: Recipe) -> Path:
    """Where a recipe's state is kept."""
    text = json.dumps(asdict(recipe), sort_keys=True)
    return STATES / f"{hashlib.sha256(text.encode()).hexdigest()[:16]}.pt"


def measures(model: nn.Module, data: Dataset) -> dict[str, float]:
    """Loss and accuracies (in [0, 1]), sharpness and non-uniformity."""
    train_set = flatlab.training.evaluate(model, LOSS, data.train)
    test_set = flatlab.training.evaluate(model, LOSS, data.test)
    return {
        "train_loss": train_set.loss,
        "train_accuracy": train_set.accuracy,
        "test_accuracy": test_set.accuracy,
        "sharpness": flatlab.sharpness(model, LOSS, data.train),
        "non_uniformity": flatlab.non_uniformity(model, LOSS, data.train),
    }


def minimum(recipe: Recipe, most_steps: int = 200_000) -> dict[str, float]:
    """Train and measure: one row of the ledger. Raises RuntimeError where the loss is not reached."""
    data = dataset(recipe)
    trained = train(recipe, data, most_steps)
    if trained.stopped != "stop_loss":
        raise RuntimeError(
            f"{recipe} ended after {trained.steps} steps ({trained.stopped}), above its stop loss: "
            "this run cannot be compared with runs trained to that loss"
        )
    began = time.perf_counter()
    found = row(trained.model, data, trained.steps)
    return found | {"seconds": trained.seconds + time.perf_counter() - began}


def row(model: nn.Module, data: Dataset, steps: int) -> dict[str, float]:
    """What is kept of a trained network."""
    found = measures(model, data)
    return {
        "steps": steps,
        "train_loss": found["train_loss"],
        "train_accuracy_percent": 100 * found["train_accuracy"],
        "test_accuracy_percent": 100 * found["test_accuracy"],
        "sharpness": found["sharpness"],
        "non_uniformity": found["non_uniformity"],
    }


def make_checkpoint(name: str) -> str:
    """Train a checkpoint's recipe, store it in float16, and say what that changed.

    Raises RuntimeError, and stores nothing, where rounding moves the sharpness by more than 1 %,
    an accuracy by more than 0.1 points or the loss by more than 1 %.
    """
    recipe = CHECKPOINTS[name]
    data = dataset(recipe)
    trained = train(recipe, data)
    if trained.stopped != "stop_loss":
        raise RuntimeError(f"{name} ended above its stop loss: {trained.stopped}")
    exact = measures(trained.model, data)
    model = checkpoints.rounded(trained.model)
    measured = measures(model, data)
    for key, percent in {"train_loss": 1.0, "sharpness": 1.0, "non_uniformity": 2.0}.items():
        if not abs(measured[key] - exact[key]) <= percent / 100 * exact[key]:
            raise RuntimeError(f"float16 moves {key} from {exact[key]:.5g} to {measured[key]:.5g}")
    for key in ("train_accuracy", "test_accuracy"):
        if not abs(measured[key] - exact[key]) <= 0.001:
            raise RuntimeError(f"float16 moves {key} from {exact[key]:.4f} to {measured[key]:.4f}")
    command = f"python bench/reproduce.py --checkpoint {name}"
    checkpoints.save(name, model, recipe, steps=trained.steps, measured=measured, command=command)
    lines = [f"{key}: {exact[key]:.6g} in float32, {measured[key]:.6g} in float16" for key in exact]
    return "\n".join([f"{name}: {trained.steps} steps, {trained.seconds:.0f} s", *lines])
