"""Parameters moved to w + e in place, and put back bit for bit.

w + e - e is not w in floating point, so w is copied. The copy's memory is kept from step to step. For
p = 2 the arithmetic is `torch._foreach_*` on all tensors at once, and the copy all that is added to
the gradient's own memory; other p need room for a few tensors as large as the largest parameter.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

import torch
from torch import Tensor

from flatlab.sam.ascent import Measure, gathered, measured

# Outside, squares of float32 numbers overflow or lose digits, and the gradient is divided by its
# largest entry first.
_SQUARES_FIT = (1e-12, 1e18)
_HALF = (torch.float16, torch.bfloat16)


@dataclass
class Moved:
    """A parameter that takes part, its gradient, and its group's settings."""

    parameter: Tensor
    gradient: Tensor  # of a sparse gradient the coalesced values
    rho: float  # negative where the group maximizes
    adaptive: bool
    rows: tuple[Tensor, ...] | None = None  # where a sparse gradient's values belong
    copy: Tensor | None = None

    @classmethod
    def of(cls, parameter: Tensor, group: dict) -> Moved:
        gradient, rows = parameter.grad.detach(), None
        if gradient.layout == torch.sparse_coo:
            gradient = gradient.coalesce()
            gradient, rows = gradient.values(), tuple(gradient.indices())
        rho = -group["rho"] if group.get("maximize") else group["rho"]
        return cls(parameter.detach(), gradient, rho, group["adaptive"], rows)

    @property
    def weights(self) -> Tensor:
        """The unperturbed parameter where the gradient has entries."""
        return self.copy if self.rows is None else self.copy[self.rows]

    def scaled(self) -> Tensor:
        """The gradient, times w where adaptive."""
        return self.weights * self.gradient if self.adaptive else self.gradient

    def move(self, measure: Measure) -> None:
        step = measure.unit(self.scaled())
        if self.adaptive:
            step = step * self.weights
        if self.rows is None:
            self.parameter.add_(step, alpha=self.rho)
        else:
            self.parameter.index_put_(self.rows, self.rho * step, accumulate=True)


class Perturbation:
    """The present perturbation of some parameters, and the memory that it keeps for copies."""

    def __init__(self) -> None:
        self._room: dict[Tensor, Tensor] = {}
        self._buffers: list[tuple[Tensor, Tensor]] = []
        self._away: list[tuple[Tensor, Tensor]] | None = None  # parameters and their copies

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
        moved = [Moved.of(*pair) for pair in zip(parameters, groups, strict=True)]
        for m, key in zip(moved, parameters, strict=True):
            m.copy = self._room_for(key)
        away = [(m.parameter, m.copy) for m in moved]  # no gradient: its memory is needed
        _copy(away, back=False)
        self._buffers = [(buffer, buffer.clone()) for buffer in buffers]
        self._away = away
        try:
            _move(moved, p)
        except BaseException:
            self.undo()
            raise

    @torch.no_grad()
    def undo(self) -> None:
        """Put parameters and buffers back, exactly."""
        away, self._away = self._away or [], None
        _copy(away, back=True)
        for buffer, copy in self._buffers:
            buffer.copy_(copy)
        self._buffers = []

    def __reduce__(self) -> tuple:
        return Perturbation, ()  # a copy has other parameters to move

    def _room_for(self, parameter: Tensor) -> Tensor:
        room = self._room.get(parameter)
        if room is None or (room.shape, room.dtype, room.device) != (
            parameter.shape,
            parameter.dtype,
            parameter.device,
        ):
            room = self._room[parameter] = torch.empty_like(parameter, requires_grad=False)
        return room


def _copy(away: list[tuple[Tensor, Tensor]], back: bool) -> None:
    if away:
        parameters, copies = map(list, zip(*away, strict=True))
        torch._foreach_copy_(*((parameters, copies) if back else (copies, parameters)))


def _move(moved: list[Moved], p: float) -> None:
    plain = [m for m in moved if not m.adaptive]
    adaptive = [m for m in moved if m.adaptive]
    if p == 2 and all(m.rows is None for m in moved):
        if adaptive:  # w becomes w g, in place
            torch._foreach_mul_([m.parameter for m in adaptive], [m.gradient for m in adaptive])
        length = _norm([m.gradient for m in plain] + [m.parameter for m in adaptive])
        if _SQUARES_FIT[0] <= length <= _SQUARES_FIT[1]:
            for rho, params, grads, _ in _by_rho(plain):
                torch._foreach_add_(params, grads, alpha=rho / length)
            for rho, params, _, copies in _by_rho(adaptive):  # w + (rho / |w g|) w (w g)
                torch._foreach_mul_(params, rho / length)
                torch._foreach_mul_(params, copies)
                torch._foreach_add_(params, copies)
            return
        _copy([(m.parameter, m.copy) for m in adaptive], back=True)
    measure = measured(lambda: (m.scaled() for m in moved), p)
    for m in moved:
        m.move(measure)


def _by_rho(moved: list[Moved]) -> Iterator[tuple[float, list, list, list]]:
    for rho, same in groupby(moved, key=lambda m: m.rho):
        lists = zip(*((m.parameter, m.gradient, m.copy) for m in same), strict=True)
        yield rho, *map(list, lists)


def _norm(tensors: list[Tensor]) -> float:
    """The 2-norm of all together."""
    half = any(t.dtype in _HALF for t in tensors)
    norms = torch._foreach_norm(tensors, 2, dtype=torch.float32 if half else None)
    length = float(torch.linalg.vector_norm(gathered(norms)))
    return 0.0 if math.isnan(length) else length
