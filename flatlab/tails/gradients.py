"""Gradients of minibatches, and the form in which the tail index of their noise is taken."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from flatlab.arguments import checked_count
from flatlab.evaluation import Batch, LossFn, as_tensors, scalar, trained_parameters
from flatlab.isolation import call_with, random_state


@torch.inference_mode(False)  # which turns gradients on too
def batch_gradients(
    model: nn.Module,
    loss_fn: LossFn,
    data: Batch | Iterable[Batch],
    batch_size: int,
    count: int | None = None,
) -> Tensor:
    """Gradient of the mean loss of each of `count` consecutive minibatches of the data: (count, p).

    Columns follow ``model.parameters()``, those that require no gradient left out. `count` is by default
    as many full batches as the data hold; a rest that fills no batch is not used. Parameters that do not
    enter the loss have zeros. The model is taken in its mode, with dropout if that is training; it, its buffers and
    gradients and the global random state stay as they are. Raises ValueError for less than two
    minibatches or more than there are, and for a model without parameters that require a gradient.
    """
    parameters = trained_parameters(model)
    X, y = as_tensors(data, model)
    most = len(X) // checked_count("batch_size", batch_size)
    count = most if count is None else checked_count("count", count)
    if not 2 <= count <= most:
        raise ValueError(
            f"count is {count}: the noise needs at least two minibatches, and {len(X)} samples hold "
            f"{most} of batch_size {batch_size}"
        )
    rows = torch.empty(count, sum(p.numel() for p in parameters)).to(parameters[0])
    with random_state(None, X.device):
        for k in range(count):
            part = slice(k * batch_size, (k + 1) * batch_size)
            buffers = {name: b.clone() for name, b in model.named_buffers()}
            loss = scalar(loss_fn(call_with(model, buffers, X[part]), y[part]))
            grads = torch.autograd.grad(loss, parameters, materialize_grads=True)
            rows[k] = torch.cat([g.flatten() for g in grads])
    return rows


def in_blocks(noise: Tensor) -> tuple[Tensor, int]:
    """Noise (k, p) without coordinates that are exactly 0 somewhere, cut to (k, m k1), and k1.

    k1 is the whole root of the number of entries (the authors take the largest divisor up to it; Simsekli et
    al., 2019), at most the number of coordinates. It divides each row, so `tail_index(noise, k1)` adds up k1 coordinates of
    one minibatch. The noise comes in float64: in float32 a normal number is now and then exactly
    0, and so are squares of small noise. Raises ValueError where fewer than two coordinates are left.
    """
    moving = noise[:, (noise != 0).all(0)].double()
    if moving.shape[1] < 2:
        raise ValueError(
            f"{moving.shape[1]} of {noise.shape[1]} coordinates have noise in every minibatch: there "
            "is nothing to add up"
        )
    k1 = min(math.isqrt(moving.numel()), moving.shape[1])
    return moving[:, : moving.shape[1] // k1 * k1].contiguous(), k1
