"""What gives back all that a computation must borrow from the caller."""

import contextlib
from collections.abc import Iterable, Iterator
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


class RandomStates:
    """The states of the CPU, of ``device`` and of ``generators``, as they are when this is made."""

    def __init__(self, device: torch.device, generators: Iterable[torch.Generator] = ()):
        self.device, self.on_device = device, None
        self.on_cpu = torch.get_rng_state()
        self.generators = [(generator, generator.get_state()) for generator in generators]
        if device.type != "cpu":
            self.on_device = torch.get_device_module(device).get_rng_state(*self._where())

    def put_back(self) -> None:
        torch.set_rng_state(self.on_cpu)
        for generator, state in self.generators:
            generator.set_state(state)
        if self.on_device is not None:
            module = torch.get_device_module(self.device)
            module.set_rng_state(self.on_device, *self._where())

    def changed_since(self, before: "RandomStates") -> bool:
        pairs: list[tuple[Tensor | None, Tensor | None]]
        pairs = [(before.on_cpu, self.on_cpu), (before.on_device, self.on_device)]
        return any(a is not None and not torch.equal(a, b) for a, b in pairs)

    def _where(self) -> tuple[torch.device, ...]:
        return () if self.device.type == "mps" else (self.device,)


def generators_of(data: Any) -> list[torch.Generator]:
    """What a loader draws its order from, if that is not the global state."""
    batches = getattr(data, "batch_sampler", None)
    holders = (data, getattr(data, "sampler", None), batches, getattr(batches, "sampler", None))
    found = [getattr(holder, "generator", None) for holder in holders]
    return list({id(g): g for g in found if isinstance(g, torch.Generator)}.values())


@contextlib.contextmanager
def random_state(generator: torch.Generator | None, device: torch.device) -> Iterator[None]:
    """Seed the global state, from which dropout draws, by ``generator``; restore it after.

    None leaves the state as it is until it is restored.
    """
    seed = None if generator is None else int(torch.randint(2**62, (), generator=generator))
    before = RandomStates(device)
    try:
        if seed is not None:
            torch.default_generator.manual_seed(seed)  # torch.manual_seed would seed every device
            if device.type == "cuda":
                torch.cuda.default_generators[device.index or 0].manual_seed(seed)
            if device.type == "mps":
                torch.mps.manual_seed(seed)
        yield
    finally:
        before.put_back()
