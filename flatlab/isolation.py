"""What gives back all that a computation must borrow from the caller."""

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call


@contextlib.contextmanager
def modes_restored(model: nn.Module) -> Iterator[None]:
    """Give every module its present training flag back at the end."""
    modes = {module: module.training for module in model.modules()}
    try:
        yield
    finally:
        for module, training in modes.items():
            module.training = training


@contextlib.contextmanager
def gradients_restored(model: nn.Module) -> Iterator[None]:
    """Give every parameter the ``.grad`` back that it has now, the same tensor or None."""
    before = [(parameter, parameter.grad) for parameter in model.parameters()]
    try:
        yield
    finally:
        for parameter, gradient in before:
            parameter.grad = gradient


def call_with(model: nn.Module, tensors: Any, X: Tensor) -> Any:
    """``model(X)`` with these parameters and buffers by ``torch.func.functional_call``.

    That leaves them behind in a module which is reached by two paths (pytorch issue 164759), and what
    hooks make of them in attributes.
    """
    rooms: list[Any] = [room for m in model.modules() for room in (m._parameters, m._buffers)]
    own = [dict(room) for room in rooms]
    for m in model.modules():  # hooks of pruning and weight norm keep what they make as attributes
        rooms.append(vars(m))
        own.append({name: t for name, t in vars(m).items() if torch.is_tensor(t)})
    try:
        return functional_call(model, tensors, (X,))
    finally:
        for room, before in zip(rooms, own, strict=True):
            room.update(before)


@contextlib.contextmanager
def no_second_forward() -> Iterator[None]:
    """Raises ValueError where the backward pass calls modules, which have their own weights by then."""

    def refuse(module: nn.Module, args: Any) -> None:
        raise ValueError(
            "the model computes parts again in its backward pass (torch.utils.checkpoint), which would "
            "use its own weights, not the moved ones: switch checkpointing off for this measurement"
        )

    handle = nn.modules.module.register_module_forward_pre_hook(refuse)
    try:
        yield
    finally:
        handle.remove()


@contextlib.contextmanager
def random_state(generator: torch.Generator | None, device: torch.device) -> Iterator[None]:
    """Seed the global state, from which dropout draws, by ``generator``; restore it after.

    None leaves the state as it is until it is restored.
    """
    seed = None if generator is None else int(torch.randint(2**62, (), generator=generator))
    cuda = [device] if device.type == "cuda" else []
    mps_state = torch.mps.get_rng_state() if device.type == "mps" else None
    with torch.random.fork_rng(devices=cuda):
        if seed is not None:
            torch.default_generator.manual_seed(seed)  # torch.manual_seed would seed every device
            if cuda:
                torch.cuda.default_generators[device.index or 0].manual_seed(seed)
            if mps_state is not None:
                torch.mps.manual_seed(seed)
        try:
            yield
        finally:
            if mps_state is not None:
                torch.mps.set_rng_state(mps_state)
