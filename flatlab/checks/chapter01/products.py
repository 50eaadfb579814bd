"""A matrix that a student sees only through its products."""

import numpy as np
import torch

from flatlab.checks.core import WrongAnswer


class Product:
    """v -> A v for a student's function; counts its calls and follows the dtype of v."""

    def __init__(self, matrix: np.ndarray) -> None:
        self.matrix = torch.as_tensor(matrix)
        self.calls = 0
        self.columns = 0  # calls with a basis vector
        self.last: torch.Tensor | None = None
        self.repeated = False  # was the same vector asked for twice running?

    def __call__(self, v: torch.Tensor) -> torch.Tensor:
        if not isinstance(v, torch.Tensor) or v.shape != (len(self.matrix),):
            shape = tuple(v.shape) if isinstance(v, torch.Tensor) else type(v).__name__
            raise WrongAnswer(f"matvec was given {shape}; it takes one vector of shape (dim,).")
        self.calls += 1
        self.columns += int(torch.count_nonzero(v)) == 1
        self.repeated |= self.last is not None and torch.equal(self.last, v)
        self.last = v.detach().clone()
        return self.matrix.to(v.dtype) @ v


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)
