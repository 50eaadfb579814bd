"""What replicas of data-parallel training must agree on before SAM's first step."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn
from torch import distributed as dist


def is_data_parallel(model: nn.Module | None) -> bool:
    return isinstance(model, nn.parallel.DistributedDataParallel)


def gradients_stay_local(model: Any) -> AbstractContextManager:
    """Inside, backward through a DistributedDataParallel model does not average gradients."""
    return model.no_sync() if is_data_parallel(model) else contextlib.nullcontext()


def average_gradients(parameters: Sequence[Tensor], group: dist.ProcessGroup | None) -> None:
    """`.grad` becomes its mean over the replicas; where it is missing or sparse, zeros are filled in.

    Every replica sends the same tensors, whichever gradients it lacks.
    """
    if not (dist.is_available() and dist.is_initialized()):
        raise RuntimeError(
            "norm='global' averages gradients over replicas, but there are none: call "
            "torch.distributed.init_process_group first, or use norm='replica'"
        )
    for w in parameters:
        if w.grad is None:
            w.grad = torch.zeros_like(w)
        elif w.grad.layout != torch.strided:
            w.grad = w.grad.to_dense()
    grads = [w.grad for w in parameters]
    works = [dist.all_reduce(g, group=group, async_op=True) for g in grads]
    for work in works:
        work.wait()
    torch._foreach_div_(grads, dist.get_world_size(group))


def share_overflow(parameters: Sequence[Tensor], group: dist.ProcessGroup | None) -> None:
    """If a replica's gradients overflowed, make all replicas' do.

    Each GradScaler then sees it, so that all skip the step and keep the same scale.
    """
    finite = all(bool(torch.isfinite(_entries(w.grad)).all()) for w in parameters)
    flag = torch.tensor(0.0 if finite else 1.0, device=parameters[0].device)
    dist.all_reduce(flag, op=dist.ReduceOp.MAX, group=group)
    if flag:
        parameters[0].grad.mul_(torch.inf)  # inf, or NaN where it was 0


def _entries(gradient: Tensor) -> Tensor:
    return gradient if gradient.layout == torch.strided else gradient.coalesce().values()
