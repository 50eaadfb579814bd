"""Tables of a binary operation modulo p, the data on which grokking was found (Power et al., 2022)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from flatlab.arguments import is_whole
from flatlab.data import split_rows

Operation = Callable[[Tensor, Tensor], Tensor]
OPERATIONS = ("add", "subtract", "multiply", "divide")


@dataclass(frozen=True, eq=False)
class ModularTable:
    """All equations a o b = c modulo p, in the order of a, then of b."""

    p: int
    operation: str  # one of OPERATIONS, or the name of your own function
    pairs: Tensor  # (m, 2) int64: a and b
    results: Tensor  # (m,) int64 in 0 ... p - 1: c

    def __len__(self) -> int:
        return len(self.pairs)

    def data(self, rows: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Pairs and results, as ``fit`` and ``sweep`` take them; of these rows, or all."""
        if rows is None:
            return self.pairs, self.results
        return self.pairs[rows], self.results[rows]


def modular_table(p: int, operation: str | Operation = "add") -> ModularTable:
    """The table of a o b mod p over all a, b in 0 ... p - 1.

    ``operation``: "add" a + b, "subtract" a - b, "multiply" a b, "divide" a b^-1 (p prime, b > 0, hence
    p (p - 1) rows instead of p^2), or a function of a and b, both (m,) int64, such as
    ``lambda a, b: a**2 + a * b``; its results are taken mod p.

    Source: Power, Burda, Edwards, Babuschkin and Misra, 2022, "Grokking", appendix A.1.1.

    Raises:
        ValueError: p below 2; another name; division with a p that is not prime; a function whose
            results are no whole numbers, one a pair.
    """
    if not is_whole(p, 2):
        raise ValueError(f"p is {p!r}: give a whole number of at least 2, the number of elements")
    p = int(p)
    numbers = torch.arange(p)
    pairs = torch.cartesian_prod(numbers, numbers)
    if callable(operation):
        name = getattr(operation, "__name__", type(operation).__name__)
        return ModularTable(p, name, pairs, _own_results(operation, pairs, name) % p)
    if operation not in OPERATIONS:
        raise ValueError(
            f"there is no operation {operation!r}: choose from {', '.join(OPERATIONS)}, or give a "
            "function of a and b"
        )
    if operation == "divide":
        if any(p % divisor == 0 for divisor in range(2, int(p**0.5) + 1)):
            raise ValueError(
                f"p is {p}, which is not prime, so some b has no inverse and a / b no value: give a "
                "prime p for division, or choose another operation"
            )
        pairs = pairs[pairs[:, 1] > 0]
    a, b = pairs.T
    if operation == "add":
        results = a + b
    elif operation == "subtract":
        results = a - b
    elif operation == "multiply":
        results = a * b
    else:
        inverses = torch.tensor([pow(int(n), p - 2, p) for n in numbers])  # Fermat: b^(p-1) = 1
        results = a * inverses[b]
    return ModularTable(p, operation, pairs, results % p)


def split_table(
    table: ModularTable, fraction: float, generator: torch.Generator | None = None
) -> tuple[Tensor, Tensor]:
    """Row numbers (int64) of a random training set, round(fraction m) of the m equations, and of the rest.

    Both parts are in the table's order. ``generator``: on the CPU; None stands for one seeded 0. The
    split of seed s equals that of a sweep's ``Run(train_fraction=fraction, seed=s)``. Raises
    ValueError for a fraction that leaves either part empty.
    """
    return split_rows(len(table), fraction, generator)


def _own_results(operation: Operation, pairs: Tensor, name: str) -> Tensor:
    results = operation(pairs[:, 0].clone(), pairs[:, 1].clone())
    whole = torch.is_tensor(results) and not (
        results.is_floating_point() or results.is_complex() or results.dtype == torch.bool
    )
    if not whole or results.shape != (len(pairs),):
        got = f"{results.dtype} of shape {tuple(results.shape)}" if torch.is_tensor(results) else ""
        raise ValueError(
            f"{name}(a, b) must return whole numbers of shape ({len(pairs)},), one for each pair, but "
            f"gave {got or type(results).__name__}: use operations on integer tensors (// for division)"
        )
    return results.long()
