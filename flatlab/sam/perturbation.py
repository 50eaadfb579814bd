"""Parameters moved to w + e, and put back bit for bit.

w + e - e is not w in floating point, so both are kept: one copy of the parameters, whose memory is kept
from step to step. On a CPU w + e is written there and the parameter's `.data` points to it for a
while, which saves two passes through memory. In place, on a copy of w, go a GPU's parameters (one
kernel for all) and those that share memory with something else, which would not see the change.
For p = 2 the arithmetic is `torch._foreach_*` or `out=`; other p need room for a few tensors as
large as the largest parameter.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import reduce
from itertools import groupby

import torch
from torch import Tensor

from flatlab.sam.ascent import HALF, Measure, gathered, measured, wide

# Outside, squares of float32 numbers overflow or lose digits, and the gradient is divided by its
# largest entry first.
_SQUARES_FIT = (1e-12, 1e18)
# CPU builds of torch 2.6 may lack it: then no parameter counts as alone, and all go in place.
_use_count = getattr(torch._C, "_storage_Use_Count", lambda memory: 3)


@dataclass
class Moved:
    """A parameter that takes part, its gradient, and its group's settings."""

    gradient: Tensor  # of a sparse gradient the coalesced values
    rho: float  # negative where the group maximizes
    adaptive: bool
    rows: tuple[Tensor, ...] | None  # where a sparse gradient's values belong
    source: Tensor  # w
    target: Tensor  # w + e in the end; where not `apart`, w before
    apart: bool  # whether target is memory of its own that the parameter will point to

    @classmethod
    def of(cls, parameter: Tensor, group: dict, room: Tensor, apart: bool) -> Moved:
        gradient, rows = parameter.grad.detach(), None
        if gradient.layout == torch.sparse_coo:
            gradient = gradient.coalesce()
            gradient, rows, apart = gradient.values(), tuple(gradient.indices()), False
        rho = -group["rho"] if group.get("maximize") else group["rho"]
        w = parameter.detach()
        source, target = (w, room) if apart else (room, w)
        return cls(gradient, rho, group["adaptive"], rows, source, target, apart)

    @property
    def weights(self) -> Tensor:
        """w where the gradient has entries."""
        return self.source if self.rows is None else self.source[self.rows]

    def scaled(self) -> Tensor:
        """The gradient, times w where adaptive."""
        return wide(self.weights) * wide(self.gradient) if self.adaptive else self.gradient

    def move(self, measure: Measure) -> None:
        step = measure.unit(self.scaled())
        if self.adaptive:
            step = step * self.weights
        if self.rows is None:
            torch.add(self.source, step, alpha=self.rho, out=self.target)
        else:
            step = (self.rho * step).to(self.target.dtype)
            self.target.index_put_(self.rows, step, accumulate=True)


class Perturbation:
    """The present perturbation of some parameters, and the memory that it keeps for copies."""

    def __init__(self) -> None:
        self._room: dict[Tensor, Tensor] = {}
        self._buffers: list[tuple[Tensor, Tensor]] = []
        # Parameters, w, and whether they point elsewhere for now.
        self._away: list[tuple[Tensor, Tensor, bool]] | None = None

    @property
    def active(self) -> bool:
        return self._away is not None

    @torch.no_grad()
    def apply(
        self, parameters: list[Tensor], groups: list[dict], p: float, buffers: list[Tensor]
    ) -> None:
        """Move parameters[i], whose settings are groups[i], and remember `buffers` as they are.

        Raises FloatingPointError if a gradient is not finite; then, as after any other error, the
        parameters are as they were.
        """
        moved = [
            Moved.of(w, group, self._room_for(w), _is_alone(w))
            for w, group in zip(parameters, groups, strict=True)
        ]
        places = [place for m in moved if not m.apart and (place := m.target.data_ptr())]
        if len(set(places)) < len(places):
            raise ValueError(
                "two parameters share one memory, and each would be moved by both gradients: make "
                "them one, as in second.weight = first.weight, and build the optimizer anew"
            )
        _copy([(m.source, m.target) for m in moved if not m.apart])
        self._buffers = [(buffer, buffer.clone()) for buffer in buffers]
        # Without the gradients, whose memory the second pass needs.
        self._away = [(w, m.source, m.apart) for w, m in zip(parameters, moved, strict=True)]
        try:
            _move(moved, p)
            for w, m in zip(parameters, moved, strict=True):
                if m.apart:
                    w.data = m.target
        except BaseException:
            self.undo()
            raise
        torch.clear_autocast_cache()  # of half-precision copies of w

    @torch.no_grad()
    def undo(self) -> None:
        """Put parameters and buffers back, exactly."""
        away, self._away = self._away or [], None
        for w, source, apart in away:
            if apart:
                w.data = source
        _copy([(w, source) for w, source, apart in away if not apart])
        for buffer, copy in self._buffers:
            buffer.copy_(copy)
        self._buffers = []
        torch.clear_autocast_cache()

    def __reduce__(self) -> tuple:
        return Perturbation, ()  # a copy has other parameters to move

    def _room_for(self, w: Tensor) -> Tensor:
        room = self._room.get(w)
        if (
            room is None
            or room.shape != w.shape
            or room.dtype != w.dtype
            or room.device != w.device
        ):
            room = self._room[w] = torch.empty_like(w, requires_grad=False)
        return room


def _is_alone(w: Tensor) -> bool:
    """Whether `w.data` may point elsewhere for a while: on a CPU, in memory of its own."""
    memory = w.untyped_storage()
    return (
        w.device.type == "cpu"
        and type(w) in (Tensor, torch.nn.Parameter)
        and memory.nbytes() == w.nbytes
        and _use_count(memory._cdata) <= 2  # w's and that of `memory`
        and not memory.is_shared()
    )


def _copy(pairs: list[tuple[Tensor, Tensor]]) -> None:
    """Into the first of each pair what the second holds."""
    if pairs:
        into, held = map(list, zip(*pairs, strict=True))
        torch._foreach_copy_(into, held)


def _move(moved: list[Moved], p: float) -> None:
    # float16 holds neither rho / |g| nor w g where they are large or small.
    if p == 2 and all(m.rows is None and m.gradient.dtype != torch.float16 for m in moved):
        plain = [m for m in moved if not m.adaptive]
        adaptive = [m for m in moved if m.adaptive]
        _scale_in_place([m for m in adaptive if not m.apart])
        for m in adaptive:
            if m.apart:
                torch.mul(m.source, m.gradient, out=m.target)
        length = _norm([m.gradient for m in plain] + [m.target for m in adaptive])
        if _SQUARES_FIT[0] <= length <= _SQUARES_FIT[1]:
            for rho, _, grads, targets in _by_rho([m for m in plain if not m.apart]):
                torch._foreach_add_(targets, grads, alpha=rho / length)
            for m in plain:
                if m.apart:
                    torch.add(m.source, m.gradient, alpha=m.rho / length, out=m.target)
            for rho, sources, _, targets in _by_rho(adaptive):  # w + (rho / |w g|) w (w g)
                torch._foreach_mul_(targets, rho / length)
                torch._foreach_mul_(targets, sources)
                torch._foreach_add_(targets, sources)
            return
    measure = measured(lambda: (m.scaled() for m in moved), p)
    for m in moved:
        m.move(measure)


def _scale_in_place(moved: list[Moved]) -> None:
    if moved:
        torch._foreach_mul_([m.target for m in moved], [m.gradient for m in moved])


def _by_rho(moved: list[Moved]) -> Iterator[tuple[float, list, list, list]]:
    for rho, same in groupby(moved, key=lambda m: m.rho):
        lists = zip(*((m.source, m.gradient, m.target) for m in same), strict=True)
        yield rho, *map(list, lists)


def _norm(tensors: list[Tensor]) -> float:
    """The 2-norm of all together."""
    kinds = {t.dtype for t in tensors}
    wide_enough = reduce(torch.promote_types, kinds, torch.float32) if kinds & HALF else None
    norms = torch._foreach_norm(tensors, 2, dtype=wide_enough)
    length = float(torch.linalg.vector_norm(gathered(norms)))
    return 0.0 if math.isnan(length) else length
