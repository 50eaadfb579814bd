"""What a pass over the data may draw from: the global state, the device's, a loader's own generator."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor


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

    def changed_since(self, before: RandomStates) -> bool:
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
