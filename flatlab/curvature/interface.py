"""What every algorithm asks of an operator, and random vectors for it.

Vectors come from a generator, never from the global random state.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

from flatlab.arguments import is_whole

_SUMMED = 1 << 16  # elements that are summed in their own dtype


def normal_vector(op, generator: torch.Generator) -> Tensor:
    """A standard normal vector (p,) in the operator's dtype, drawn where the generator lives."""
    z = torch.randn(op.shape[0], dtype=op.dtype, device=generator.device, generator=generator)
    return z.to(op.device)


def rademacher_vector(op, generator: torch.Generator) -> Tensor:
    """A vector (p,) of independent signs -1 and +1, each with probability 1/2."""
    z = torch.randint(0, 2, (op.shape[0],), device=generator.device, generator=generator)
    return (2 * z - 1).to(device=op.device, dtype=op.dtype)


def steady(op) -> AbstractContextManager:
    """The operator's own `steady()` context, in which it need not look for changes, if it has one."""
    return op.steady() if hasattr(op, "steady") else nullcontext()


def check_operator(op) -> None:
    """Raises unless `op` is square, not empty, and float32 or float64."""
    shape = tuple(op.shape)
    if len(shape) != 2 or shape[0] != shape[1] or shape[0] == 0:
        raise ValueError(f"a non-empty square operator is needed, this one has shape {shape}")
    if op.dtype not in (torch.float32, torch.float64):
        raise TypeError(
            f"the operator is {op.dtype}: eigenvalues and traces need float32 or float64 "
            "(half precision keeps 2 to 3 digits and loses orthogonality)"
        )


def check_count(name: str, value: int) -> None:
    """Raises ValueError unless `value` is an integer of at least 1."""
    if not is_whole(value, 1):
        raise ValueError(f"{name} must be an integer of at least 1, not {value!r}")


def inner(Q: Tensor, v: Tensor) -> Tensor:
    """Q v for Q (m, p): inner products with v (p,), as good as the dtype however long they are.

    One float32 sum over 10^6 numbers is wrong in its sixth digit, over 10^8 in its third; sums over
    parts, added in float64, are not.
    """
    if v.shape[0] <= _SUMMED:
        return torch.mv(Q, v)
    pieces = zip(Q.split(_SUMMED, 1), v.split(_SUMMED), strict=True)
    sums = torch.stack([torch.mv(q, piece) for q, piece in pieces])
    return sums.cpu().double().sum(0).to(v.dtype).to(v.device)


def norm(v: Tensor) -> float:
    """|v|, likewise."""
    parts = [torch.linalg.vector_norm(piece) for piece in v.split(_SUMMED)]
    return float(torch.linalg.vector_norm(torch.stack(parts).cpu().double()))
