"""Trained networks that come with the course, since training them takes longer than a chapter.

A checkpoint is two files in this folder: NAME.npy, the parameters as one float16 vector in the
order of ``model.parameters()``, and NAME.json with the recipe, the command that made it, what was
measured and the SHA-256 of NAME.npy, which is compared at every load.
"""

import hashlib
import io
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from flatlab import models
from flatlab.data import Dataset, load_dataset

FOLDER = Path(__file__).parent


class CheckpointError(RuntimeError):
    """A checkpoint's file is missing or not what was stored."""


@dataclass(frozen=True)
class Recipe:
    """How a network was trained: ``models.fnn`` from its seed's start by SGD without momentum.

    Mean squared error over samples and outputs on one-hot targets, on the first ``n_train`` images
    of Fashion-MNIST, until the loss over them is at most ``stop_loss``.
    """

    learning_rate: float
    batch_size: int  # n_train is gradient descent
    stop_loss: float
    seed: int
    label_noise: float = 0.0  # fraction of the training labels replaced by another class
    n_train: int = 1000

    def start(self) -> nn.Sequential:
        """The network before training."""
        return models.fnn(generator=torch.Generator().manual_seed(self.seed))

    def dataset(self, **options) -> Dataset:
        """The data it was trained on, whatever variant is in force: one-hot, the same labels replaced.

        ``options`` go to ``load_dataset``.
        """
        return load_dataset(
            "fashion_mnist", n_train=self.n_train, one_hot=True, label_noise=self.label_noise,
            generator=torch.Generator().manual_seed(self.seed), variant=0, **options,
        )  # fmt: skip


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A trained network and where it comes from."""

    name: str
    model: nn.Sequential  # float32, on the CPU
    recipe: Recipe
    steps: int  # updates made
    measured: dict[str, float]  # of this network: losses, accuracies in [0, 1], curvature
    command: str  # that made the file


def names() -> tuple[str, ...]:
    """The checkpoints that ``load`` knows."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.json")))


def load(name: str) -> Checkpoint:
    """The checkpoint of this name, a new copy of its network at every call.

    Raises:
        ValueError: there is none of this name.
        CheckpointError: a file is missing, damaged or not the one that its description names.
    """
    if name not in names():
        raise ValueError(f"there is no checkpoint {name!r}: choose one of {', '.join(names())}")
    about = _description(name)
    path = FOLDER / f"{name}.npy"
    repair = "get the file again (git checkout, or install flatlab anew), or retrain: "
    try:
        stored = path.read_bytes()
    except OSError as error:
        raise CheckpointError(
            f"{path.name} cannot be read ({error}): {repair}{about['command']}"
        ) from error
    if hashlib.sha256(stored).hexdigest() != about["sha256"]:
        raise CheckpointError(
            f"{path.name} is damaged: its {len(stored)} bytes do not have the SHA-256 that "
            f"{name}.json names. {repair.capitalize()}{about['command']}"
        )
    vector = torch.from_numpy(np.load(io.BytesIO(stored), allow_pickle=False)).float()
    recipe = Recipe(**about["recipe"])
    model = recipe.start()
    if vector.shape != (models.count_parameters(model),):
        raise CheckpointError(
            f"{path.name} holds {tuple(vector.shape)} numbers and the network has "
            f"{models.count_parameters(model)} parameters: {repair}{about['command']}"
        )
    vector_to_parameters(vector, model.parameters())
    return Checkpoint(name, model, recipe, about["steps"], about["measured"], about["command"])


def save(
    name: str,
    model: nn.Module,
    recipe: Recipe,
    *,
    steps: int,
    measured: dict[str, float],
    command: str,
) -> None:
    """Store ``rounded(model)`` and its description; ``measured`` is of that rounded network.

    Raises ValueError, before anything is written, where a parameter is not finite in float16.
    """
    vector = parameters_to_vector(model.parameters()).detach().cpu().half()
    if not torch.isfinite(vector).all():
        raise ValueError("a parameter is NaN, infinite or beyond float16's 65504: nothing is saved")
    buffer = io.BytesIO()
    np.save(buffer, vector.numpy(), allow_pickle=False)
    about = {
        "recipe": asdict(recipe),
        "steps": steps,
        "measured": measured,
        "command": command,
        "torch": str(torch.__version__),
        "sha256": hashlib.sha256(buffer.getvalue()).hexdigest(),
    }
    (FOLDER / f"{name}.npy").write_bytes(buffer.getvalue())
    (FOLDER / f"{name}.json").write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")


def rounded(model: nn.Module) -> nn.Module:
    """``model`` itself, its parameters rounded in place to float16's precision."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(parameter.half())
    return model


def _description(name: str) -> dict:
    path = FOLDER / f"{name}.json"
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
        missing = {"recipe", "steps", "measured", "command", "sha256"} - set(about)
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"{path.name} is not readable ({error}): get it again with git checkout, or install "
            "flatlab anew"
        ) from error
    if missing:
        raise CheckpointError(
            f"{path.name} lacks {', '.join(sorted(missing))}: get it again with git checkout, or "
            "install flatlab anew"
        )
    return about
