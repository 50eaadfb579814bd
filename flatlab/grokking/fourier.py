"""What a network that adds modulo p looks like to the discrete Fourier transform.

A network that has learned a + b mod p does it by rotations: its embeddings, and its logits as functions of
a + b, live on a few frequencies (Nanda et al., 2023). A network that has only memorized spreads
over all of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from flatlab.arguments import is_whole
from flatlab.grokking.losses import cross_entropy
from flatlab.grokking.tables import ModularTable

Loss = Callable[[Tensor, Tensor], Tensor]


def fourier_basis(p: int) -> Tensor:
    """The real Fourier basis of functions on 0 ... p - 1, one a row: (p, p) float64, orthonormal.

    Row 0 is 1 / sqrt(p); rows 2k - 1 and 2k are sqrt(2/p) cos(2 pi k x / p) and sqrt(2/p) sin(2 pi k x / p) for k
    from 1 to (p - 1) / 2; for even p the last row is (-1)^x / sqrt(p). Raises ValueError for p < 1.
    """
    if not is_whole(p, 1):
        raise ValueError(f"p is {p!r}: give a whole number of at least 1")
    x = torch.arange(p, dtype=torch.float64)
    rows = [torch.full((p,), 1 / math.sqrt(p), dtype=torch.float64)]
    for k in range(1, (p - 1) // 2 + 1):
        angle = 2 * math.pi * k * x / p
        rows += [math.sqrt(2 / p) * angle.cos(), math.sqrt(2 / p) * angle.sin()]
    if p % 2 == 0:
        rows.append((1 - 2 * (x % 2)) / math.sqrt(p))
    return torch.stack(rows)


def fourier_power(embedding: Tensor, by_column: bool = False) -> Tensor:
    """Power of each frequency 0 ... p // 2 in the columns of ``embedding`` (p, d): (p // 2 + 1,) float64.

    power[k] = sum over the basis functions f of frequency k, and over columns e, of (f . e)^2, so that the
    powers sum to the squared Frobenius norm (Parseval). ``by_column``: no sum over columns, (p // 2 + 1, d).
    Raises ValueError unless embedding is (p, d).
    """
    if embedding.ndim != 2 or embedding.shape[0] < 1:
        raise ValueError(
            f"the embedding has shape {tuple(embedding.shape)}: give (p, d), one row for each number"
        )
    p, d = embedding.shape
    squares = (fourier_basis(p) @ embedding.detach().cpu().double()).square()
    frequency = (torch.arange(p) + 1) // 2
    power = torch.zeros(p // 2 + 1, d, dtype=torch.float64).index_add_(0, frequency, squares)
    return power if by_column else power.sum(1)


def participation(power: Tensor) -> float:
    """(sum_k P_k)^2 / sum_k P_k^2 over the frequencies k > 0: how many of them carry the power.

    1 where one does, p // 2 where all do alike, 0 where there is no power. ``power``: of ``fourier_power``.
    Of columns (f, d), each column's number is averaged with its power as weight: neurons that have
    one frequency each give 1, though together they may have all. Raises ValueError for another
    shape or negative entries.
    """
    columns = power if power.ndim == 2 else power.unsqueeze(-1)
    waves = torch.stack([_waves_of(column) for column in columns.unbind(-1)], 1)
    total, squares = waves.sum(0), waves.square().sum(0)
    used = total > 0
    if not used.any():
        return 0.0
    total, squares = total[used], squares[used]
    return float((total.square() / squares * total).sum() / total.sum())


def key_frequencies(power: Tensor, share: float = 0.9) -> list[int]:
    """The fewest frequencies k > 0 that together hold ``share`` of the power, strongest first.

    Raises ValueError unless share lies in (0, 1], and for what is no power.
    """
    if not 0 < share <= 1:
        raise ValueError(f"share is {share}: give a fraction above 0, at most 1")
    waves = _waves_of(power)
    values, order = waves.sort(descending=True, stable=True)
    if not values.sum() > 0:
        return []
    before = values.cumsum(0) - values
    needed = int((before < share * values.sum() * (1 - 1e-12)).sum())
    return (order[:needed] + 1).tolist()


def restricted_loss(
    logits: Tensor,
    table: ModularTable,
    frequencies: Sequence[int],
    rows: Tensor | None = None,
    loss_fn: Loss = cross_entropy,
) -> float:
    """The loss with nothing but the key frequencies: how good the general solution is by itself.

    ``logits`` (m, p) of all m pairs of a table of "add" or "subtract", in its order. As a function of the pair
    each column is projected on the constant and on cos(2 pi k c / p) and sin(2 pi k c / p), c = a + b or
    a - b, for k in ``frequencies``. The mean loss of what is left over ``rows`` (all by default),
    in float64. Source: Nanda et al., 2023, section 5.1.

    Raises:
        ValueError: another operation; logits of another shape; no frequencies, or some outside
            1 ... p // 2 or twice; no rows.
    """
    logits, waves = _checked(logits, table, frequencies)
    constant = torch.full((len(table), 1), 1 / math.sqrt(len(table)), dtype=torch.float64)
    kept = torch.cat([constant, waves], 1)
    return _loss(kept @ (kept.T @ logits), table, rows, loss_fn)


def excluded_loss(
    logits: Tensor,
    table: ModularTable,
    frequencies: Sequence[int],
    rows: Tensor | None = None,
    loss_fn: Loss = cross_entropy,
) -> float:
    """The loss without the key frequencies: how far the network gets by what it has memorized.

    As ``restricted_loss``, which has the arguments and errors, but with the projection on the cosines and
    sines of ``frequencies`` taken away; usually over the training ``rows``. Source: the same.
    """
    logits, waves = _checked(logits, table, frequencies)
    return _loss(logits - waves @ (waves.T @ logits), table, rows, loss_fn)


def _waves_of(power: Tensor) -> Tensor:
    """The power of the frequencies k > 0, in float64; zeros where it is the rounding of a constant's."""
    if power.ndim != 1 or len(power) < 2 or not bool((power >= 0).all()):
        raise ValueError(
            f"the power has shape {tuple(power.shape)}: give that of fourier_power, one number of at "
            "least 0 for each frequency from 0"
        )
    waves = power[1:].double()
    return waves if waves.sum() > 1e-24 * power.sum() else torch.zeros_like(waves)


def turns_by_waves(table: ModularTable) -> bool:
    """Whether it is the table of "add" or "subtract", and not of a function of such a name."""
    (a, b), sign = table.pairs.T, {"add": 1, "subtract": -1}.get(table.operation, 0)
    return sign != 0 and torch.equal(table.results, (a + sign * b) % table.p)


def _checked(
    logits: Tensor, table: ModularTable, frequencies: Sequence[int]
) -> tuple[Tensor, Tensor]:
    """The logits in float64, and the waves of the frequencies as orthonormal columns (m, j)."""
    p, frequencies = table.p, [int(k) for k in frequencies]
    if not turns_by_waves(table):
        raise ValueError(
            f"the table is of {table.operation!r}, and its results are not a + b or a - b mod p: they "
            "turn by no waves. Give modular_table(p, 'add') or 'subtract'"
        )
    if tuple(logits.shape) != (len(table), p):
        raise ValueError(
            f"the logits have shape {tuple(logits.shape)}: give those of all pairs in the table's order, "
            f"({len(table)}, {p})"
        )
    wrong = [k for k in frequencies if not 1 <= k <= p // 2]
    if wrong or not frequencies or len(set(frequencies)) < len(frequencies):
        raise ValueError(
            f"frequencies is {frequencies}: give at least one from 1 to {p // 2}, each only once"
        )
    basis = fourier_basis(p)
    lines = [row for k in frequencies for row in (2 * k - 1, 2 * k) if row < p]
    waves = basis[lines][:, table.results].T / math.sqrt(p)  # each result stands p times
    return logits.detach().cpu().double(), waves


def _loss(logits: Tensor, table: ModularTable, rows: Tensor | None, loss_fn: Loss) -> float:
    rows = torch.arange(len(table)) if rows is None else rows.cpu()
    if len(rows) == 0:
        raise ValueError(
            "there are no rows to take the loss over: give at least one, or None for all"
        )
    return float(loss_fn(logits[rows], table.results[rows]))
