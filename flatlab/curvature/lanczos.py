"""Extreme eigenpairs of a symmetric operator by the Lanczos method.

The method projects A on the Krylov space of one random vector, where A becomes a small tridiagonal
matrix T. In floating point the basis loses orthogonality exactly when a Ritz pair converges, and
copies of it ("ghosts") appear; so every new vector is orthogonalized against the whole basis,
twice, which is enough (Giraud et al., 2005). An invariant subspace found early (low rank, repeated
eigenvalues, the zero matrix) ends the recursion: it goes on from a new random vector orthogonal to
the basis, uncoupled in T, until that vector's own space has nothing more to add. The algorithm
knows only `.shape .dtype .device` and `@`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from flatlab.curvature.random_vectors import check_count, check_operator, normal_vector, seeded

_ROUNDING = 32  # times the machine epsilon and the operator's norm: what products are good for


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


def top_eigenpairs(
    op,
    k: int = 1,
    tol: float = 1e-3,
    max_iter: int | None = None,
    which: str = "algebraic",
    generator: torch.Generator | None = None,
) -> Eigenpairs:
    """The k largest eigenvalues of a symmetric operator, algebraic or in magnitude, and vectors.

    `op` is anything with `.shape .dtype .device` and `@`: a `Hessian`, or a symmetric tensor. (An
    operator that is the difference of larger terms may tell their size as `rounding_scale`.)
    It stops when the residual |A v - theta v| = |beta_m s_m| (Paige, 1971) of each wanted Ritz
    pair is at most tol * |theta|, or at the rounding level of A's own products for an eigenvalue
    that is tiny beside the largest. After `max_iter` products (default: min(p, 20 k + 200)) it
    returns what there is with `converged=False`.

    What the certificate promises: in exact arithmetic *an* eigenvalue of A lies within `residual`
    of theta (the error is of the order of its square where that eigenvalue stands alone). Not
    promised: that no larger one was missed (the random start would have to be orthogonal to its
    vector), nor multiplicity: one Krylov space sees one copy of a repeated eigenvalue, further
    copies only after an invariant subspace is exhausted. A cluster narrower than tol may be met
    at any of its members, its vector anywhere in the cluster's span.

    `generator=None` means a new one seeded 0. Raises ValueError (k, tol, max_iter, which, shape,
    an operator that is not symmetric), TypeError (dtype), FloatingPointError (NaN or inf).
    """
    _check_arguments(op, k, tol, max_iter, which)
    p = op.shape[0]
    limit = min(p, 20 * k + 200 if max_iter is None else max(max_iter, k))
    generator = seeded(generator, op.device)
    process = LanczosProcess(op, normal_vector(op, generator), limit)
    while True:
        process.step()
        m = process.size
        if m >= k and (m <= 48 or m % 8 == 0 or m == limit or process.broke_down):
            pairs = process.ritz_pairs(k, tol, which)
            if pairs.done or m == limit:
                break
        if process.broke_down:
            process.restart(generator)
    vectors = process.lift(pairs.coefficients)
    return Eigenpairs(
        pairs.values, vectors, pairs.residuals, process.products, tol, pairs.certified
    )


@dataclass(frozen=True)
class _RitzPairs:
    values: Tensor  # (k,)
    residuals: Tensor  # (k,)
    coefficients: Tensor  # (m, k)
    certified: bool
    done: bool  # certified, and no repeated eigenvalue is left to look for


class LanczosProcess:
    """An orthonormal basis Q (m, p), one vector a row, and T = Q A Q' (m, m), grown step by step."""

    def __init__(self, op, start: Tensor, limit: int):
        self.op, self.limit = op, limit
        self.eps = torch.finfo(op.dtype).eps
        self.basis = start.new_empty((min(limit, 32), len(start)))
        self.basis[0] = start / torch.linalg.vector_norm(start)
        self.T = torch.zeros((limit, limit), dtype=torch.float64)
        self.size = 0  # columns of T that are known
        self.products = 0
        self.segment = 0  # where the recursion last began afresh
        self.beta = 0.0  # coupling to the vector not yet multiplied
        self.scale = 0.0  # largest |A q| so far: rounding in the products is relative to it
        self.broke_down = False  # nothing is left to go on with
        self.exhausted = False  # hardly anything is: the Krylov space is all but invariant

    def step(self) -> None:
        """Multiply the newest basis vector by A: one more column of T, one more vector."""
        m = self.size
        if self.exhausted:
            self.segment = m
        product = self.op @ self.basis[m]
        self.products += 1
        norm = float(torch.linalg.vector_norm(product))
        if not norm < float("inf"):
            raise FloatingPointError(f"the operator's product {self.products} holds NaN or inf")
        self.scale = max(self.scale, norm, getattr(self.op, "rounding_scale", 0.0))
        coefficients = self._orthogonalize(product, m + 1)
        self._check_symmetry(coefficients)
        self.T[m, m] = coefficients[m]
        self.size = m + 1
        beta = float(torch.linalg.vector_norm(product))
        self.broke_down = beta <= _ROUNDING * self.eps * self.scale or self.size == len(product)
        self.exhausted = self.broke_down or beta <= self.eps**0.5 * self.scale
        self.beta = 0.0 if self.broke_down else beta
        if not self.broke_down and self.size < self.limit:
            vector = product / beta
            if self.exhausted:  # what is left is small enough for its rounding to matter
                self._orthogonalize(vector, self.size)
                vector /= torch.linalg.vector_norm(vector)
            self._append(vector)
            self.T[m, m + 1] = self.T[m + 1, m] = beta

    def restart(self, generator: torch.Generator) -> None:
        """After a breakdown: go on from a random vector orthogonal to the basis."""
        for _ in range(10):
            vector = normal_vector(self.op, generator)
            vector /= torch.linalg.vector_norm(vector)
            self._orthogonalize(vector, self.size)
            norm = torch.linalg.vector_norm(vector)
            if norm > 1e3 * self.eps:
                vector /= norm
                self._orthogonalize(vector, self.size)
                self._append(vector / torch.linalg.vector_norm(vector))
                return
        raise FloatingPointError("no direction orthogonal to the Lanczos basis could be found")

    def ritz_pairs(self, k: int, tol: float, which: str) -> _RitzPairs:
        """The k best Ritz pairs of T, with residuals and whether they meet the tolerance."""
        m, rounding = self.size, _ROUNDING * self.eps * self.scale
        values, S = torch.linalg.eigh(self.T[:m, :m])
        best = _order(values, which)[:k]
        residuals = (self.beta * S[-1, best]).abs()
        values = values[best]
        certified = bool((residuals <= (tol * values.abs()).clamp(min=rounding)).all())
        done = certified and (m == self.op.shape[0] or self._segment_adds_nothing(k, tol, which))
        return _RitzPairs(values, residuals, S[:, best], certified, done)

    def lift(self, coefficients: Tensor) -> Tensor:
        """Ritz vectors (p, k) from their coefficients (m, k) in the basis."""
        rows = coefficients.T.to(device=self.basis.device, dtype=self.basis.dtype)
        vectors = (rows @ self.basis[: self.size]).T
        return vectors / torch.linalg.vector_norm(vectors, dim=0)

    def _segment_adds_nothing(self, k: int, tol: float, which: str) -> bool:
        """Whether, once a Krylov space is exhausted, the next one cannot enter the k best."""
        if self.segment == 0:
            return not self.exhausted
        if self.segment < k:
            return False
        known = torch.linalg.eigvalsh(self.T[: self.segment, : self.segment])
        known = known[_order(known, which)][k - 1]
        block = self.T[self.segment : self.size, self.segment : self.size]
        values, S = torch.linalg.eigh(block)
        top = _order(values, which)[0]
        value, rounding = values[top], _ROUNDING * self.eps * self.scale
        settled = (self.beta * S[-1, top]).abs() <= max(tol * float(value.abs()), rounding)
        if which == "magnitude":
            known, value = known.abs(), value.abs()
        return bool(settled and value <= known + max(tol * float(known.abs()), rounding))

    def _orthogonalize(self, vector: Tensor, m: int) -> Tensor:
        """Remove from `vector`, in place and twice, its part in the first m basis vectors."""
        Q, total = self.basis[:m], 0
        for _ in range(2):
            part = Q @ vector
            vector -= part @ Q
            total = total + part
        return total.to("cpu", torch.float64)

    def _append(self, vector: Tensor) -> None:
        if self.size == len(self.basis):
            larger = vector.new_empty((min(self.limit, 2 * self.size), len(vector)))
            larger[: self.size] = self.basis
            self.basis = larger
        self.basis[self.size] = vector

    def _check_symmetry(self, coefficients: Tensor) -> None:
        """A q_m has no part in q_j, j < m - 1, when A is symmetric."""
        expected = self.T[: len(coefficients) - 1, self.size]
        error = float((coefficients[:-1] - expected).abs().max()) if len(expected) else 0.0
        if error > 4 * self.eps**0.5 * self.scale:
            raise ValueError(
                f"the operator is not symmetric: two sides of q'Aq differ by {error:.1e} with "
                f"|Aq| up to {self.scale:.1e}; Lanczos needs A = A' (is it the same at every product?)"
            )


def _order(values: Tensor, which: str) -> Tensor:
    return (values.abs() if which == "magnitude" else values).argsort(descending=True)


def _check_arguments(op, k: int, tol: float, max_iter: int | None, which: str) -> None:
    check_operator(op)
    check_count("k", k)
    if k > op.shape[0]:
        raise ValueError(f"k = {k} eigenpairs of an operator of size {op.shape[0]} were asked for")
    if max_iter is not None:
        check_count("max_iter", max_iter)
    if which not in ("algebraic", "magnitude"):
        raise ValueError(f"which must be 'algebraic' or 'magnitude', not {which!r}")
    finest = _ROUNDING * torch.finfo(op.dtype).eps
    if not finest <= tol < 1:
        raise ValueError(
            f"tol = {tol} cannot be certified in {op.dtype}: choose it between {finest:.0e} and 1"
            + (", or use float64" if op.dtype == torch.float32 else "")
        )
