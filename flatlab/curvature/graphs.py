"""Keeping, cutting and rebuilding the graphs that products run through.

Parameters and data stay fixed during a Lanczos run, so a graph built once serves every product. It
costs memory in proportion to its samples: graphs are kept up to a bound, one batch (X, y) too large
for it is cut into parts, and what does not fit is rebuilt for each product.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from flatlab.curvature.empirical_loss import EmpiricalLoss, uses_batch_statistics
from flatlab.curvature.samples import keeps_samples_apart, not_the_mean, spread

MEMORY = 2**30  # bytes, the default bound for kept graphs
_PARTS = 8  # of the bound: one part is built while seven are kept


class Graphs:
    """The graphs of all batches, iterated as (number of samples, graph), once for each product.

    `build(X, y)` makes one; `bytes_per_sample(X)` estimates what it holds. Batches of an iterable
    are all kept or none, since another pass need not bring them in the same order.
    """

    def __init__(
        self,
        objective: EmpiricalLoss,
        build: Callable[[Tensor, Any], Any],
        bytes_per_sample: Callable[[Tensor], float],
        memory: float,
    ):
        self.objective, self.build = objective, build
        self.bytes_per_sample, self.memory = bytes_per_sample, memory
        self.steady = False  # whether somebody vouches that nothing changes
        self._kept: list[tuple[int, Any]] = []
        self._complete = False  # whether the kept graphs are all there are
        self._snapshot: Snapshot | None = None
        self._parts: list[tuple[Tensor, Any]] | None = None
        self._room = 0  # how many of the parts' graphs can be kept
        self._cost: float | None = None  # bytes per sample

    def __iter__(self) -> Iterator[tuple[int, Any]]:
        """Inside `EmpiricalLoss.undisturbed` only."""
        if not self.steady:
            self._refresh()
        if self._complete:
            yield from self._kept
        elif self.objective.single_batch:
            yield from self._over_parts()
        else:
            yield from self._over_batches()

    def settle(self) -> None:
        """Look for changes now, and not again until `steady` is False."""
        self._refresh()
        self.steady = True

    def _refresh(self) -> None:
        if self._snapshot is None or not self._snapshot.is_current():
            self.release()
            self._snapshot = Snapshot(self.objective)

    def release(self) -> None:
        """Forget all graphs."""
        self._kept, self._complete = [], False
        self._parts = self._snapshot = None

    def _over_parts(self) -> Iterator[tuple[int, Any]]:
        if self._parts is None:
            self._parts, self._room = self._cut()
        yield from self._kept
        for X, y in self._parts[len(self._kept) :]:
            entry = (len(X), self.build(X, y))
            if len(self._kept) < self._room:
                self._kept.append(entry)
            yield entry
        self._complete = len(self._kept) == len(self._parts)

    def _cut(self) -> tuple[list[tuple[Tensor, Any]], int]:
        """The parts of the one batch, and how many of their graphs can be kept."""
        ((X, y),) = self.objective.batches()
        cost = max(self.bytes_per_sample(X), 1)
        if cost * len(X) <= self.memory or not self._may_cut(X, y):
            return [(X, y)], 1
        size = max(int(self.memory / _PARTS / cost), 1)
        room = max(int(self.memory / (size * cost)) - 1, 0)
        return list(zip(X.split(size), y.split(size), strict=True)), room

    def _may_cut(self, X: Tensor, y: Any) -> bool:
        """Whether L is a mean over samples, so that parts of the batch add up to it."""
        if not torch.is_tensor(y) or any(
            map(uses_batch_statistics, self.objective.model.modules())
        ):
            return False
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a loss that single samples do not suit
            few = spread(X)
            if not keeps_samples_apart(self.objective, few, self.objective.forward(None, few)):
                return False
            prediction = torch.cat([self.objective.forward(None, x) for x in X.split(1024)])
            return not_the_mean(self.objective, X, y, prediction) is None

    def _over_batches(self) -> Iterator[tuple[int, Any]]:
        self._kept, room, n = [], self.memory, 0
        for X, y in self.objective.batches():
            if self._cost is None:
                self._cost = max(self.bytes_per_sample(X), 1)
            room -= len(X) * self._cost
            entry = (len(X), self.build(X, y))
            if room > 0:
                self._kept.append(entry)
            else:
                self._kept = []
            n += len(X)
            yield entry
        self._complete = room > 0
        self._check_count(n)

    def _check_count(self, n: int) -> None:
        known = self.objective.n_samples
        if known is not None and n != known:
            raise ValueError(
                f"data gave {known} samples on an earlier pass and {n} now: it must be re-iterable "
                "and the same every time (a list, or a DataLoader)"
            )
        self.objective.n_samples = n


class Snapshot:
    """Tells whether anything that a kept graph depends on has changed.

    Version counters see in-place changes and `data_ptr` replaced storages, but neither sees a
    write through `.data`; parameters and buffers are therefore also compared with copies. What a loader
    reads from anywhere but a TensorDataset is not watched.
    """

    def __init__(self, objective: EmpiricalLoss):
        self.objective = objective
        self.stamp = self._stamp()
        self.copies = [t.detach().clone() for t in self._tensors()]

    def is_current(self) -> bool:
        pairs = zip(self._tensors(), self.copies, strict=True)
        return self.stamp == self._stamp() and all(torch.equal(p, c) for p, c in pairs)

    def _tensors(self) -> list[Tensor]:
        model = self.objective.model
        return [*model.parameters(), *model.buffers()]

    def _stamp(self) -> tuple:
        model, data = self.objective.model, self.objective.data
        data = getattr(getattr(data, "dataset", None), "tensors", data)  # a TensorDataset's
        tensors = self._tensors()
        if isinstance(data, (list, tuple)):
            tensors += [t for t in tree_leaves(data) if torch.is_tensor(t)]
        # A tensor made in inference mode counts no versions: it is never known to be the same.
        versions = tuple(
            object() if t.is_inference() else (id(t), t.data_ptr(), t._version) for t in tensors
        )
        return versions, tuple(module.training for module in model.modules())


def forward_bytes(objective: EmpiricalLoss, X: Tensor) -> float:
    """Bytes of all that the forward pass computes, for one sample."""
    few = X[:2]  # batch norm in train mode needs two
    with torch.no_grad(), _CountBytes() as count:
        objective.forward(None, few)
    return count.total / len(few)


class _CountBytes(TorchDispatchMode):
    """Adds up the sizes of all new tensors; views are free."""

    def __init__(self):
        super().__init__()
        self.total = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        if not func.is_view:
            self.total += sum(t.nbytes for t in tree_leaves(result) if torch.is_tensor(t))
        return result
