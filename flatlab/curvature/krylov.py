"""The Lanczos process: an orthonormal basis of a Krylov space, grown one product at a time.

In floating point the basis loses orthogonality exactly when a Ritz pair converges, and copies of it
("ghosts") appear; so each new vector is orthogonalized against its two neighbors, where the
recurrence is, then against the whole basis, and once more where little of it is left: twice is
enough (Giraud, Langou and Rozloznik, 2005). An invariant subspace found early (low rank, repeated
eigenvalues, the zero matrix) ends the recurrence; it goes on from a random vector orthogonal to the
basis. A full basis is compressed to its best Ritz vectors, which leaves a projection of the same
kind (thick restart; Wu and Simon, 2000).
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from flatlab.curvature.interface import inner, norm, normal_vector
from flatlab.curvature.orthogonality import OrthogonalityLoss

ROUNDING = 32  # times the machine epsilon and the operator's norm: what products are good for


class LanczosProcess:
    """Q (m, p), one basis vector a row, and T = Q A Q' (m, m), for a symmetric operator A.

    `semiorthogonal` orthogonalizes only as often as keeps Q orthogonal to half the digits, which is
    enough for T (see `orthogonality`); for runs without `restart` and `compress`.
    """

    def __init__(self, op, start: Tensor, capacity: int, semiorthogonal: bool = False):
        self.op, self.capacity = op, capacity
        self.eps = torch.finfo(op.dtype).eps
        self._loss = OrthogonalityLoss(capacity, self.eps) if semiorthogonal else None
        self.basis = _room(start, capacity)
        self.basis[0] = start / norm(start)
        self._product = torch.empty_like(self.basis[0])  # for products, where they can use it
        self.T = torch.zeros((capacity, capacity), dtype=torch.float64)
        self.next: Tensor | None = self.basis[0]  # the vector to be multiplied next
        self.size = 0  # columns of T that are known
        self.products = 0
        self.segment = 0  # where the recurrence last began afresh
        self.whole_segment = True  # whether all of it since then is in the basis
        self.beta = 0.0  # coupling to the vector not yet multiplied
        self.scale = 0.0  # largest |A q| so far: rounding in the products is relative to it
        self.broke_down = False  # nothing is left to go on with
        self.exhausted = False  # hardly anything is: the Krylov space is all but invariant

    @property
    def full(self) -> bool:
        return self.size == self.capacity

    def step(self) -> None:
        """Multiply the newest vector by A: one more column of T, one more vector."""
        m = self.size
        if self.exhausted:
            self.segment, self.whole_segment = m, True
        product = self._multiply(self.next)
        self.products += 1
        length = norm(product)
        if not length < float("inf"):
            raise FloatingPointError(f"the operator's product {self.products} holds NaN or inf")
        self.scale = max(self.scale, length, getattr(self.op, "rounding_scale", 0.0))
        self.T[m, m] = self._subtract(product, m)
        self.size = m + 1
        beta = norm(product)
        if beta < 0.1 * length:
            self._project_out(product, self.size)
            beta = norm(product)
        noise = ROUNDING * self.eps * self.scale
        self.broke_down = beta <= noise or self.size == len(product)
        self.exhausted = self.broke_down or beta <= self.eps**0.5 * self.scale
        self.beta = 0.0 if self.broke_down else beta
        self.next = None
        if not self.broke_down:
            self._append(product, beta)

    def restart(self, generator: torch.Generator) -> None:
        """After a breakdown: go on from a random vector orthogonal to the basis."""
        for _ in range(10):
            vector = normal_vector(self.op, generator)
            vector /= norm(vector)
            self._orthogonalize(vector, self.size)
            length = norm(vector)
            if length > 1e3 * self.eps:
                vector /= length
                self._orthogonalize(vector, self.size)
                self._append(vector, norm(vector))
                return
        raise FloatingPointError("no direction orthogonal to the Lanczos basis could be found")

    def compress(self, values: Tensor, coefficients: Tensor) -> None:
        """Keep only the Ritz vectors with these values (j,) and coefficients (m, j)."""
        m, j = coefficients.shape
        rows = coefficients.T.to(self.basis.dtype).to(self.basis.device)
        for first in range(0, self.basis.shape[1], 1 << 16):  # in place
            part = slice(first, first + (1 << 16))
            self.basis[:j, part] = rows @ self.basis[:m, part]
        coupling = self.beta * coefficients[-1]
        self.T.zero_()
        self.T[:j, :j] = torch.diag(values)
        self.size = j
        self.whole_segment = self.segment == 0
        self.segment = j if self.segment else 0
        if self.next is not None:
            self._append(self.next, 1.0)
            self.T[:j, j] = self.T[j, :j] = coupling

    def lift(self, coefficients: Tensor) -> Tensor:
        """Ritz vectors (p, k), of norm 1, from their coefficients (m, k) in the basis."""
        rows = coefficients.T.to(self.basis.dtype).to(self.basis.device) @ self.basis[: self.size]
        for row in rows:
            row /= norm(row)
        return rows.T

    def _multiply(self, v: Tensor) -> Tensor:
        if not hasattr(self.op, "multiply_into"):
            return self._product.copy_(self.op @ v)  # v itself, perhaps, or what the operator keeps
        self._product = self.op.multiply_into(v, self._product)
        return self._product

    def _append(self, vector: Tensor, length: float) -> None:
        """Make vector / length the next one, in the basis if there is room; couple it in T."""
        m = self.size
        if m == self.capacity:
            self.next = vector / length
            return
        if m == len(self.basis):
            larger = self.basis.new_empty((min(self.capacity, 2 * m), self.basis.shape[1]))
            larger[:m] = self.basis
            self.basis = larger
        self.next = torch.div(vector, length, out=self.basis[m])
        self.T[m - 1, m] = self.T[m, m - 1] = self.beta

    def _subtract(self, product: Tensor, m: int) -> float:
        """Orthogonalize A q_m in place against q_0 .. q_m; the coefficient of q_m."""
        q = self.basis[m]
        alpha = float(inner(self.basis[m : m + 1], product))
        product.sub_(q, alpha=alpha)
        for j in torch.nonzero(self.T[:m, m]).flatten().tolist():  # q_{m-1}, or all after a restart
            product.sub_(self.basis[j], alpha=float(self.T[j, m]))
        if self._loss is not None:
            beta = norm(product)
            if beta > 0 and not self._loss.needed(m, alpha, beta, self.scale) and m > 3:
                return alpha
        rest = self._project_out(product, m + 1)
        if self._loss is not None and m > 3:
            return alpha + float(rest[m])
        # What is known of A q_m by symmetry is gone: what is left can only be rounding.
        error = float(rest[:m].abs().max()) if m else 0.0
        if error > 4 * self.eps**0.5 * self.scale:
            raise ValueError(
                f"the operator is not symmetric: two sides of q'Aq differ by {error:.1e} with "
                f"|Aq| up to {self.scale:.1e}; Lanczos needs A = A' (is it the same at every product?)"
            )
        return alpha + float(rest[m])

    def _orthogonalize(self, vector: Tensor, m: int) -> None:
        """Remove from `vector`, in place and twice, its part in the first m basis vectors."""
        self._project_out(vector, m)
        self._project_out(vector, m)

    def _project_out(self, vector: Tensor, m: int) -> Tensor:
        Q = self.basis[:m]
        part = inner(Q, vector)
        vector.addmv_(Q.T, part, alpha=-1)
        return part


def _room(like: Tensor, rows: int) -> Tensor:
    """Uninitialized rows. On a CPU memory costs nothing until it is touched; elsewhere start small.

    NumPy asks for huge pages, without which touching a new row takes longer than using it.
    """
    if like.device.type != "cpu":
        return like.new_empty((min(rows, 32), len(like)))
    return torch.from_numpy(np.empty((rows, len(like)), dtype=like[:0].numpy().dtype))
