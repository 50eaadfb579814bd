"""Batch-norm statistics for weights that no training run has passed through.

The running mean and variance of a batch-norm layer belong to the weights under which they were gathered. For an
average of weights or a point on a curve they are wrong, and the network computes another function
than its weights say, so they are gathered anew from the training data.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from flatlab.arguments import checked_count
from flatlab.evaluation import Batch, as_tensors
from flatlab.isolation import modes_restored

BATCH = 1024  # samples in one pass of gathering


def reestimate_batch_norm(
    model: nn.Module, data: Batch | Iterable[Batch], batch_size: int = BATCH
) -> None:
    """Set every batch-norm layer's running statistics to those of `data` under the present weights.

    One pass in which batch-norm layers, and they alone, are in training mode: running_mean and
    running_var become the means over batches, weighted by size, of each batch's mean and variance (divided by
    its count less one), as in the code of Garipov et al. (2018). `torch.optim.swa_utils.update_bn` instead
    lets dropout act, weights all batches alike, and says nothing if there is no batch norm. The samples are cut into equal
    parts of at most `batch_size`; modes and momenta come back as they were. Changes `model` in place; where
    anything goes wrong on the way, the statistics stay as they were.

    Raises ValueError for a model without batch-norm layers that keep running statistics, for data of
    another dtype than the model's, and for fewer than two samples.
    """
    checked_batch_norm(model)
    X, _ = as_tensors(data, model)
    parts = even_parts(X, batch_size)
    layers = batch_norm_layers(model)
    before = [(b, b.clone()) for layer in layers for b in layer.buffers(recurse=False)]
    with torch.no_grad(), gathering(model) as weigh:
        try:
            for layer in layers:
                layer.reset_running_stats()
            for part in parts:
                weigh(len(part))
                model(part)
        except BaseException:
            for buffer, copy in before:
                buffer.copy_(copy)
            raise


def batch_norm_layers(model: nn.Module) -> list[nn.modules.batchnorm._BatchNorm]:
    """The batch-norm layers of `model` that keep running statistics."""
    kind = nn.modules.batchnorm._BatchNorm
    return [m for m in model.modules() if isinstance(m, kind) and m.running_mean is not None]


def checked_batch_norm(model: nn.Module) -> None:
    """Raises ValueError unless the model has statistics to re-estimate."""
    if not batch_norm_layers(model):
        raise ValueError(
            "the model has no batch-norm layer with running statistics: there is nothing to "
            "re-estimate, so leave out the data for it"
        )


def even_parts(X: Tensor, batch_size: int) -> tuple[Tensor, ...]:
    """X (n, ...) in as few parts as `batch_size` allows, of sizes that differ by at most 1.

    A part of a single sample would have no variance; it arises only where it cannot be avoided.
    """
    checked_count("batch_size", batch_size)
    if len(X) < 2 or batch_size < 2:
        raise ValueError(
            f"there are {len(X)} samples in batches of {batch_size}: a variance needs at least two of both"
        )
    return torch.tensor_split(X, min(-(-len(X) // batch_size), len(X) // 2))


@contextlib.contextmanager
def gathering(model: nn.Module) -> Iterator[Callable[[int], None]]:
    """Batch norm in training mode, all else in evaluation mode; restored after.

    Yields a function to be called with the size of each batch before it goes through the model: it sets
    every layer's momentum so that the running statistics stay the mean over samples so far.
    """
    layers = batch_norm_layers(model)
    momenta, seen, size = [m.momentum for m in layers], dict.fromkeys(layers, 0), 0

    def weigh(samples: int) -> None:
        nonlocal size
        size = samples

    def count(module: Any, _: tuple) -> None:  # a layer may be called several times in a pass
        seen[module] += size
        module.momentum = size / seen[module]

    handles = [module.register_forward_pre_hook(count) for module in layers]
    with modes_restored(model):
        model.eval()
        for module in layers:
            module.training = True
        try:
            yield weigh
        finally:
            for handle in handles:
                handle.remove()
            for module, momentum in zip(layers, momenta, strict=True):
                module.momentum = momentum
