"""The order in which samples are drawn: permutations, cut into batches."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from flatlab.arguments import checked_count

BatchSize = int | Callable[[int], int] | None


class Batches:
    """Endless batches of sample indices for one run or several in lockstep, (runs, size) each.

    A run goes through a permutation drawn by its generator, then through a new one; the last batch of
    a permutation may be smaller. `size` is a number, None for all n samples, or a function of the
    step, counted from 0. Permutations are drawn on the CPU, so they are the same on every device.
    """

    def __init__(
        self,
        n: int,
        size: BatchSize,
        generators: Sequence[torch.Generator],
        device: torch.device | str = "cpu",
    ) -> None:
        self.n, self.generators, self.device = n, list(generators), device
        self.scheduled = callable(size)
        self.size: Any = size if self.scheduled else n if size is None else size
        if not self.scheduled:
            checked_count("batch_size", self.size, n)
        self.begin = n
        self.order: Tensor | None = None
        self.seen = [0]  # samples that a run has seen after 0, 1, ... batches of a schedule

    @property
    def per_epoch(self) -> int | None:
        """Batches in one pass over the data; None where their size is scheduled."""
        return None if self.scheduled else math.ceil(self.n / self.size)

    def draw(self) -> Tensor | None:
        """Indices (runs, size) of the next step, or None for all samples in their order."""
        if self.size == self.n:
            return None
        size = self.size
        if self.scheduled:
            step = len(self.seen) - 1
            size = checked_count(f"batch_size({step})", size(step), self.n)
        if self.begin >= self.n:
            orders = [torch.randperm(self.n, generator=g) for g in self.generators]
            self.order, self.begin = torch.stack(orders).to(self.device), 0
        batch = self.order[:, self.begin : self.begin + size]
        self.begin += size
        if self.scheduled:
            self.seen.append(self.seen[-1] + batch.shape[1])
        return batch

    def epochs(self, step: int) -> float:
        """Passes over the data that ``step`` batches make; of a schedule, those drawn."""
        return self.seen[step] / self.n if self.scheduled else step / self.per_epoch

    def keep(self, runs: Sequence[int]) -> None:
        """Go on with these runs alone."""
        self.generators = [self.generators[r] for r in runs]
        if self.order is not None:
            self.order = self.order[list(runs)]
