"""How far a Lanczos basis has drifted from orthogonality, without looking at it.

In exact arithmetic the recurrence keeps q_j and q_k orthogonal; rounding starts an error that the
recurrence itself then amplifies, and that obeys a recurrence of its own in the entries of T (Simon,
1984, eq. 2.10). While all |q_j' q_k| stay below the root of the machine epsilon, T is as good as if
the basis were orthogonal; a long run then needs to be orthogonalized now and again only.
"""

from __future__ import annotations

import numpy as np


class OrthogonalityLoss:
    """Estimates omega[k] ~ |q_j' q_k|, k < j, along a Lanczos run with entries alpha and beta."""

    def __init__(self, capacity: int, eps: float):
        self.eps = eps
        self.alpha, self.beta = np.zeros(capacity), np.zeros(capacity + 1)
        self.previous, self.current = np.zeros(capacity + 1), np.zeros(capacity + 1)
        self.current[0] = 1.0
        self.again = False  # the step after an orthogonalization needs one too

    def needed(self, j: int, alpha: float, beta: float, scale: float) -> bool:
        """Take in step j, q_{j+1} = (A q_j - ..) / beta; whether q_{j+1} must be orthogonalized."""
        A, B = self.alpha, self.beta
        A[j], B[j + 1] = alpha, beta
        rounding = 16 * self.eps * scale / beta  # a product's error is several roundings
        omega = np.zeros_like(self.current)
        if j > 0:
            w = self.current
            drift = B[1 : j + 1] * w[1 : j + 1] + (A[:j] - alpha) * w[:j] - B[j] * self.previous[:j]
            drift[1:] += B[1:j] * w[: j - 1]
            omega[:j] = drift / beta + np.sign(drift) * rounding
        omega[j], omega[j + 1] = rounding, 1.0
        must = self.again or bool(np.abs(omega[: j + 1]).max() > self.eps**0.5)
        self.again = must and not self.again
        if must:
            omega[: j + 1] = self.eps
        self.previous, self.current = self.current, omega
        return must
