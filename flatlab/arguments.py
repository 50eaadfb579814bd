"""Argument checks that say what is wrong and what to give instead."""

import math
from collections.abc import Sequence
from typing import TypeGuard

import numpy as np
import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

WHOLE = (int, np.int32, np.int64)  # NumPy's narrower ones would overflow


def is_whole(value: object, least: int) -> TypeGuard[int]:
    """Whether it is a whole number, Python's or NumPy's, of at least ``least``; True is none."""
    return isinstance(value, WHOLE) and not isinstance(value, bool) and bool(value >= least)


def checked_count(name: str, value: object, most: int | None = None) -> int:
    if not is_whole(value, 1):
        raise ValueError(f"{name} is {value!r}: give a whole number of at least 1")
    if most is not None and value > most:
        raise ValueError(f"{name} is {value}, and the data hold only {most} samples")
    return int(value)


def checked_positive(name: str, value: float) -> None:
    if not 0 < value < math.inf:
        raise ValueError(f"{name} is {value}: give a positive number")


def checked_not_negative(name: str, value: float) -> None:
    if not 0 <= value < math.inf:
        raise ValueError(f"{name} is {value}: give a number of at least 0")


def checked_limit(steps: int | None, epochs: int | None, per_epoch: int | None) -> tuple[int, str]:
    if (steps is None) == (epochs is None):
        raise ValueError("give exactly one of steps and epochs: it bounds the run")
    if steps is not None:
        return checked_count("steps", steps), "steps"
    if per_epoch is None:
        raise ValueError("batch_size is a schedule: bound the run by steps, not by epochs")
    return checked_count("epochs", epochs) * per_epoch, "epochs"


def checked_interval(evaluate_every: int | None, per_epoch: int | None) -> int:
    """Steps between evaluations: by default an epoch, or 10 steps of the full batch."""
    if evaluate_every is None:
        if per_epoch is None:
            raise ValueError("batch_size is a schedule: say in evaluate_every how many steps apart")
        return 10 if per_epoch == 1 else per_epoch
    return checked_count("evaluate_every", evaluate_every)


def seeded(
    generator: torch.Generator | None, device: torch.device | str = "cpu"
) -> torch.Generator:
    """The generator itself; for None a new one on ``device`` seeded 0, so that results repeat."""
    return torch.Generator(device).manual_seed(0) if generator is None else generator


def checked_generator(generator: torch.Generator | None) -> torch.Generator:
    generator = seeded(generator)
    if generator.device.type != "cpu":
        raise ValueError(
            f"the generator lives on {generator.device}: give a CPU one, so that the minibatches "
            "are the same on every device"
        )
    return generator


def checked_optimizer(
    model: nn.Module, optimizer: Optimizer | None, learning_rate: float | None, momentum: float
) -> Optimizer:
    if (optimizer is None) == (learning_rate is None):
        raise ValueError("give exactly one of learning_rate (for SGD) and optimizer")
    own = {id(p) for p in model.parameters()}
    if optimizer is not None:
        if momentum:
            raise ValueError("momentum belongs to learning_rate: set it in the optimizer instead")
        if any(id(p) not in own for group in optimizer.param_groups for p in group["params"]):
            raise ValueError(
                "the optimizer holds parameters that are not the model's: build it from "
                "model.parameters(), after any change of the model's device or layers"
            )
        return optimizer
    checked_positive("learning_rate", learning_rate)
    if not 0 <= momentum < 1:
        raise ValueError(f"momentum is {momentum}: give a number from 0 up to, not including, 1")
    trained = [p for p in model.parameters() if p.requires_grad]
    return torch.optim.SGD(trained, lr=learning_rate, momentum=momentum, fused=can_fuse(model))


def can_fuse(model: nn.Module) -> bool:
    """Whether torch's fused optimizers may train it: they take a parameter's memory for one piece.

    `torch.empty_like` keeps the strides of what is one piece, in whatever order, and of nothing else.
    They take no sparse gradients either.
    """
    return not any(getattr(module, "sparse", False) for module in model.modules()) and all(
        p.device.type in ("cpu", "cuda")
        and p.is_floating_point()
        and p.stride() == torch.empty_like(p).stride()
        for p in model.parameters()
        if p.requires_grad
    )


def checked_scheduler(scheduler: object, optimizer: Optimizer) -> LRScheduler | None:
    if scheduler is None:
        return None
    if not isinstance(scheduler, (LRScheduler, ReduceLROnPlateau)):
        if not callable(scheduler):
            raise TypeError(f"scheduler must be a torch scheduler, not {type(scheduler).__name__}")
        scheduler = scheduler(optimizer)
    if getattr(scheduler, "optimizer", None) is not optimizer:
        raise ValueError(
            "the scheduler steers another optimizer: build it from the one given to fit, or pass "
            "a function, scheduler=lambda optimizer: ..."
        )
    return scheduler


def checked_classes(classes: Sequence[str | int] | None, names: tuple[str, ...]) -> list[int]:
    """Indices into ``names`` of ``classes``, names or indices; None stands for all."""
    if classes is None:
        return list(range(len(names)))
    kept = []
    for c in classes:
        if c in names:
            c = names.index(c)
        if not is_whole(c, 0) or c >= len(names):
            raise ValueError(
                f"there is no class {c!r}: choose from {', '.join(names)}, by name or by index "
                f"0 to {len(names) - 1}"
            )
        kept.append(int(c))
    if not kept or len(set(kept)) < len(kept):
        raise ValueError(f"classes is {list(classes)}: name at least one, and each only once")
    return kept
