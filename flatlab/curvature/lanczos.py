"""Extreme eigenpairs of a symmetric operator, each with its error bound.

The Lanczos method projects A on the Krylov space of one vector, where it becomes a small matrix T;
the eigenvalues of T at the ends of the spectrum soon agree with A's, and how well can be read off T.
The algorithm knows only `.shape .dtype .device` and `@`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from flatlab.arguments import seeded
from flatlab.curvature.interface import (
    check_count,
    check_operator,
    normal_vector,
    steady,
)
from flatlab.curvature.krylov import ROUNDING, LanczosProcess

BASIS_MEMORY = 2**30  # bytes, the default bound for the Lanczos basis
DENSE_SIZE = 128  # up to here the whole matrix costs less than care would


class ConvergenceError(RuntimeError):
    """An iterative method stopped before it could certify its answer."""


@dataclass(frozen=True)
class Eigenpairs:
    """Eigenvalues with what is known about their errors."""

    values: Tensor  # (k,) float64 on the CPU, best first: descending, or descending in magnitude
    vectors: Tensor  # (p, k) orthonormal columns, the operator's dtype and device
    residuals: Tensor  # (k,) float64, |A v - theta v|: some eigenvalue lies within it of values[i]
    iterations: int  # products with A
    tol: float  # the tolerance, relative to |value|
    converged: bool  # every residual met the tolerance


def require_converged(pairs: Eigenpairs, name: str) -> Eigenpairs:
    """`pairs` itself; raises ConvergenceError, with what was reached, if it has not converged."""
    if not pairs.converged:
        value, residual = float(pairs.values[0]), float(pairs.residuals[0])
        raise ConvergenceError(
            f"{name} = {value:.6g} is certified to {residual:.1e} only, not to {pairs.tol:.2g} * "
            f"|{name}| = {pairs.tol * abs(value):.1e}, after {pairs.iterations} products: "
            "raise max_iter or tol, or take what there is from top_eigenpairs"
        )
    return pairs


@torch.inference_mode(False)
@torch.no_grad()  # a plain tensor may require a gradient
def top_eigenpairs(
    op,
    k: int = 1,
    tol: float = 1e-3,
    max_iter: int | None = None,
    which: str = "algebraic",
    generator: torch.Generator | None = None,
    *,
    start: Tensor | None = None,
    memory: float | None = None,
    method: str = "auto",
) -> Eigenpairs:
    """The k largest eigenvalues of a symmetric operator, algebraic or in magnitude, and vectors.

    `op` is anything with `.shape .dtype .device` and `@`: a `Hessian`, or a symmetric tensor. (An
    operator that is the difference of larger terms may tell their size as `rounding_scale`.)
    Lanczos stops when the residual |A v - theta v| = |beta_m s_m| (Paige, 1971) of each wanted Ritz
    pair is at most tol * |theta|, or at the rounding level of A's own products for an eigenvalue
    that is tiny beside the largest. After `max_iter` products (default: 20 k + 200) it returns what
    there is with `converged=False`.

    What the certificate promises: in exact arithmetic *an* eigenvalue of A lies within `residual`
    of theta (the error is of the order of its square where that eigenvalue stands alone). Not
    promised: that no larger one was missed (the start would have to be orthogonal to its vector),
    nor multiplicity: one Krylov space sees one copy of a repeated eigenvalue, further copies only
    after an invariant subspace is exhausted. A cluster narrower than tol may be met at any of its
    members, its vector anywhere in the cluster's span.

    `start` (p,) or (p, j): vectors of a similar operator, such as the same Hessian some steps of
    training ago; a random part is mixed in, so that nothing is out of reach. `memory`: bytes for
    the basis, beyond which it is compressed to its best Ritz vectors (thick restart); default 1 GiB
    or 2 k + 8 vectors, whichever is more. `method`: "lanczos", "dense" (p products with the unit
    vectors and `eigh`, which sees multiplicities), or "auto": dense up to p = 128.

    `generator=None` means a new one seeded 0. Raises ValueError (k, tol, max_iter, which, shape,
    start, memory, method, an operator that is not symmetric), TypeError (dtype),
    FloatingPointError (NaN or inf).
    """
    _check_arguments(op, k, tol, max_iter, which, method)
    limit = 20 * k + 200 if max_iter is None else max(max_iter, k)
    capacity = _capacity(op, k, limit, memory)
    if method == "dense" or (method == "auto" and op.shape[0] <= min(DENSE_SIZE, limit)):
        with steady(op):
            return _dense_eigenpairs(op, k, tol, which)
    generator = seeded(generator, op.device)
    process = LanczosProcess(op, _starting_vector(op, start, generator), capacity)
    with steady(op):
        pairs = _run(process, k, tol, which, limit, generator)
    vectors = process.lift(pairs.coefficients)
    return Eigenpairs(
        pairs.values, vectors, pairs.residuals, process.products, tol, pairs.certified
    )


def _run(
    process: LanczosProcess, k: int, tol: float, which: str, limit: int, generator: torch.Generator
) -> _RitzPairs:
    while True:
        process.step()
        m, last = process.size, process.products == limit
        if m >= k and (m <= 48 or m % 8 == 0 or last or process.full or process.broke_down):
            pairs = _ritz_pairs(process, k, tol, which)
            if pairs.done or last:
                return pairs
        if process.full and m < process.op.shape[0]:
            kept = _ritz_pairs(process, max(k, (process.capacity + k) // 2), tol, which)
            process.compress(kept.values, kept.coefficients)
        if process.broke_down:
            process.restart(generator)


@dataclass(frozen=True)
class _RitzPairs:
    values: Tensor  # (k,)
    residuals: Tensor  # (k,)
    coefficients: Tensor  # (m, k)
    certified: bool
    done: bool  # certified, and no repeated eigenvalue is left to look for


def _ritz_pairs(process: LanczosProcess, k: int, tol: float, which: str) -> _RitzPairs:
    """The k best Ritz pairs, with residuals and whether they meet the tolerance."""
    m, rounding = process.size, ROUNDING * process.eps * process.scale
    values, S = torch.linalg.eigh(process.T[:m, :m])
    best = _order(values, which)[:k]
    residuals = (process.beta * S[-1, best]).abs()
    values = values[best]
    certified = bool((residuals <= (tol * values.abs()).clamp(min=rounding)).all())
    complete = m == process.op.shape[0]
    done = certified and (complete or _segment_adds_nothing(process, k, tol, which))
    return _RitzPairs(values, residuals, S[:, best], certified, done)


def _segment_adds_nothing(process: LanczosProcess, k: int, tol: float, which: str) -> bool:
    """Whether, once a Krylov space is exhausted, the next one cannot enter the k best."""
    if process.segment == 0:
        return not process.exhausted
    cut, rounding = process.segment, ROUNDING * process.eps * process.scale
    if cut < k or not process.whole_segment:
        return False
    known = torch.linalg.eigvalsh(process.T[:cut, :cut])
    known = known[_order(known, which)][k - 1]
    values, S = torch.linalg.eigh(process.T[cut : process.size, cut : process.size])
    top = _order(values, which)[0]
    value = values[top]
    settled = (process.beta * S[-1, top]).abs() <= max(tol * float(value.abs()), rounding)
    if which == "magnitude":
        known, value = known.abs(), value.abs()
    return bool(settled and value <= known + max(tol * float(known.abs()), rounding))


def _dense_eigenpairs(op, k: int, tol: float, which: str) -> Eigenpairs:
    p = op.shape[0]
    identity = torch.eye(p, dtype=op.dtype, device=op.device)
    matrix = torch.stack([op @ row for row in identity], 1).cpu().double()
    if not torch.isfinite(matrix).all():
        raise FloatingPointError("a product of the operator holds NaN or inf")
    scale = float(torch.linalg.vector_norm(matrix, dim=0).max())
    scale = max(scale, getattr(op, "rounding_scale", 0.0))
    eps = torch.finfo(op.dtype).eps
    error = float((matrix - matrix.T).abs().max())
    if error > 4 * eps**0.5 * scale:
        raise ValueError(f"the operator is not symmetric: it differs from A' by {error:.1e}")
    values, vectors = torch.linalg.eigh((matrix + matrix.T) / 2)
    best = _order(values, which)[:k]
    values, vectors = values[best], vectors[:, best]
    residuals = torch.linalg.vector_norm(matrix @ vectors - vectors * values, dim=0)
    bound = (tol * values.abs()).clamp(min=ROUNDING * eps * scale * math.sqrt(p))
    converged = bool((residuals <= bound).all())
    vectors = vectors.to(op.dtype).to(op.device)
    return Eigenpairs(values, vectors, residuals, p, tol, converged)


def _starting_vector(op, start: Tensor | None, generator: torch.Generator) -> Tensor:
    """A random vector; with earlier ones their sum and a tenth of it."""
    z = normal_vector(op, generator)
    if start is None:
        return z
    shape = tuple(start.shape)
    if start.ndim not in (1, 2) or shape[0] != op.shape[0] or not torch.isfinite(start).all():
        raise ValueError(
            f"start must be finite, of shape ({op.shape[0]},) or ({op.shape[0]}, j), not {shape}"
        )
    total = start.to(z).reshape(len(z), -1).sum(1)
    norm = torch.linalg.vector_norm
    return total + 0.1 * norm(total) / norm(z) * z if norm(total) > 0 else z


def _capacity(op, k: int, limit: int, memory: float | None) -> int:
    """How many basis vectors there is room for."""
    p, size = op.shape[0], op.shape[0] * torch.finfo(op.dtype).bits // 8
    rows = max(int(BASIS_MEMORY // size), 2 * k + 8) if memory is None else int(memory // size)
    needed = min(k + 3, p)
    if rows < needed:
        raise ValueError(
            f"memory = {memory:.3g} bytes is room for {rows} Lanczos vectors of {size:.3g} bytes; "
            f"k = {k} needs at least {needed}, and few more make it slow"
        )
    return min(rows, limit, p)


def _order(values: Tensor, which: str) -> Tensor:
    return (values.abs() if which == "magnitude" else values).argsort(descending=True)


def _check_arguments(op, k: int, tol: float, max_iter: int | None, which: str, method: str) -> None:
    check_operator(op)
    check_count("k", k)
    if k > op.shape[0]:
        raise ValueError(f"k = {k} eigenpairs of an operator of size {op.shape[0]} were asked for")
    if max_iter is not None:
        check_count("max_iter", max_iter)
    if which not in ("algebraic", "magnitude"):
        raise ValueError(f"which must be 'algebraic' or 'magnitude', not {which!r}")
    if method not in ("auto", "lanczos", "dense"):
        raise ValueError(f"method must be 'auto', 'lanczos' or 'dense', not {method!r}")
    finest = ROUNDING * torch.finfo(op.dtype).eps
    if not finest <= tol < 1:
        raise ValueError(
            f"tol = {tol} cannot be certified in {op.dtype}: choose it between {finest:.0e} and 1"
            + (", or use float64" if op.dtype == torch.float32 else "")
        )
