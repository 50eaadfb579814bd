"""Loss and accuracy over a data set, and the form in which training takes its data.

Curvature and training both need the mean over *samples*, so batches of unequal size are weighted
by their sizes here and nowhere averaged as batches.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from flatlab.isolation import modes_restored, random_state

Batch = tuple[Tensor, Tensor]
LossFn = Callable[[Tensor, Tensor], Tensor]
_CHUNK = 4096  # samples in one evaluation forward pass


@dataclass(frozen=True)
class Evaluation:
    """Mean loss and accuracy over one data set."""

    loss: float
    accuracy: float  # fraction in [0, 1]; NaN if the targets are no classes


def evaluate(model: nn.Module, loss_fn: LossFn, data: Batch | Iterable[Batch]) -> Evaluation:
    """Mean loss and accuracy in evaluation mode; modes and global random state come back as they were.

    Args:
        loss_fn: ``loss_fn(prediction, y)``, a mean over samples. More than 4096 are taken in parts,
            whose losses are averaged by size: a sum or class weights would give another number.
        data: ``(X, y)`` or an iterable of such batches. Integer targets (n,) and one-hot rows
            (n, k) count as classes; with others the accuracy is NaN.

    Raises:
        TypeError, ValueError: data that is no such thing, is empty, or does not fit the model's
            dtype; a model that does not return one tensor, or a ``loss_fn`` not one number.
    """
    X, y = as_tensors(data, model)
    with modes_restored(model), random_state(None, X.device):
        model.eval()
        return evaluate_tensors(model, loss_fn, X, y, class_labels(y))


@torch.no_grad()
def evaluate_tensors(
    model: nn.Module, loss_fn: LossFn, X: Tensor, y: Tensor, labels: Tensor | None
) -> Evaluation:
    """``evaluate`` for checked tensors on the model's device, in the model's present mode."""
    loss, correct = 0.0, 0.0
    for start in range(0, len(X), _CHUNK):
        part = slice(start, start + _CHUNK)
        prediction = one_tensor(model(X[part]))
        size = len(X[part])
        loss += size * scalar(loss_fn(prediction, y[part])).item()
        correct += size * accuracy(prediction, None if labels is None else labels[part])
    return Evaluation(loss / len(X), correct / len(X))


def one_tensor(prediction: object) -> Tensor:
    """``prediction`` itself if it is a tensor, else a TypeError that says so."""
    if isinstance(prediction, Tensor):
        return prediction
    raise TypeError(f"the model must return one tensor, not {type(prediction).__name__}")


def scalar(loss: object) -> Tensor:
    """``loss`` itself if it is a tensor holding one number, else a TypeError that says so."""
    if isinstance(loss, Tensor) and loss.ndim == 0:
        return loss
    got = f"a tensor of shape {tuple(loss.shape)}" if isinstance(loss, Tensor) else repr(loss)
    raise TypeError(
        f"loss_fn(prediction, y) must return one number, a tensor of shape (), but gave {got}. "
        "Average over the samples (reduction='mean')."
    )


def accuracy(prediction: Tensor, labels: Tensor | None) -> float:
    """Fraction of rows of ``prediction`` (n, k) whose largest entry is at ``labels`` (n,), or NaN."""
    if labels is None or prediction.ndim != 2 or prediction.shape[1] < 2:
        return math.nan
    return (prediction.argmax(1) == labels).double().mean().item()


def class_labels(y: Tensor) -> Tensor | None:
    """Integer classes (n,) of integer targets (n,) or one-hot rows (n, k); None for others."""
    if y.ndim == 1 and not y.is_floating_point() and y.dtype != torch.bool:
        return y
    if y.ndim != 2 or y.shape[1] < 2:
        return None
    one_hot = ((y == 0) | (y == 1)).all() and (y.sum(1) == 1).all()
    return y.argmax(1) if one_hot else None


def as_tensors(data: Batch | Iterable[Batch], model: nn.Module) -> Batch:
    """One pair ``(X, y)`` on the model's device; batches are read once and joined.

    Raises:
        TypeError: not a pair of tensors, nor an iterable of such pairs.
        ValueError: empty data, lengths that differ, a dtype that is not the model's.
    """
    X, y = (t.clone() if t.is_inference() else t for t in _joined(data))  # a graph takes a copy
    if len(X) != len(y):
        raise ValueError(f"X has {len(X)} samples and y has {len(y)}: they must be paired")
    if len(X) == 0:
        raise ValueError("the data are empty: X has no samples")
    parameters = sorted(model.parameters(), key=lambda p: not p.requires_grad)  # trained ones first
    if not parameters:
        return X, y
    dtype, device = parameters[0].dtype, parameters[0].device
    if X.is_floating_point() and X.dtype != dtype:
        raise ValueError(
            f"X is {X.dtype} and the model is {dtype}: convert one, as in X.to({dtype})"
        )
    return X.to(device), y.to(device)


def trained_parameters(model: nn.Module) -> list[nn.Parameter]:
    """Those that require a gradient, shared ones once. Raises ValueError where there are none."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    if not parameters:
        raise ValueError("no parameter of the model requires a gradient: there is nothing to train")
    return parameters


def _joined(data: Any) -> Batch:
    if _is_batch(data):
        return tuple(data)
    wanted = "data must be a pair of tensors (X, y) or an iterable of such pairs"
    if isinstance(data, Tensor) or not isinstance(data, Iterable):
        raise TypeError(f"{wanted}, not {type(data).__name__}")
    with torch.random.fork_rng(devices=[]):  # iterating a DataLoader draws from the global state
        batches = list(data)
    if not batches:
        raise ValueError("the data are empty: there is no batch")
    for batch in batches:
        if not _is_batch(batch):
            raise TypeError(f"{wanted}: it holds a {type(batch).__name__} that is no such pair")
    return torch.cat([X for X, _ in batches]), torch.cat([y for _, y in batches])


def _is_batch(value: object) -> bool:
    return (
        isinstance(value, (tuple, list))
        and len(value) == 2
        and all(isinstance(part, Tensor) and part.ndim > 0 for part in value)
    )
