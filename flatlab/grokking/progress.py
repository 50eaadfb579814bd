"""When a run fits and when it generalizes, and what can be measured on the way."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor, nn

from flatlab.arguments import checked_count
from flatlab.curvature import Hessian, top_eigenpairs, trace
from flatlab.grokking.fourier import (
    excluded_loss,
    fourier_power,
    key_frequencies,
    participation,
    restricted_loss,
    turns_by_waves,
)
from flatlab.grokking.losses import cross_entropy
from flatlab.grokking.tables import ModularTable
from flatlab.history import History
from flatlab.isolation import modes_restored

ACCURACIES = ("train_accuracy", "test_accuracy")


@dataclass(frozen=True)
class Reached:
    """A rule for ``sweep(stop_when=...)``: the last ``patience`` evaluations all reached ``threshold``."""

    threshold: float = 0.95
    patience: int = 1
    column: str = "test_accuracy"

    def __post_init__(self) -> None:
        _check(self.threshold, self.patience, self.column)

    def __call__(self, rows: Sequence[Mapping[str, float]]) -> bool:
        last = [row[self.column] for row in rows[-self.patience :]]
        return len(last) == self.patience and all(value >= self.threshold for value in last)


def time_to_threshold(
    history: History,
    threshold: float = 0.95,
    patience: int = 1,
    column: str = "test_accuracy",
) -> int | None:
    """The first step from which ``patience`` evaluations in a row have an accuracy of at least ``threshold``.

    None where the history never gets there, also where it ends before ``patience`` evaluations have passed.
    NaN counts as below. Raises ValueError for a threshold outside (0, 1], patience below 1 or a
    column that is no accuracy.
    """
    _check(threshold, patience, column)
    run = 0
    for place, value in enumerate(getattr(history, column)):
        run = run + 1 if value >= threshold else 0
        if run == patience:
            return int(history.step[place - patience + 1])
    return None


def grokking_delay(history: History, threshold: float = 0.95, patience: int = 1) -> int | None:
    """Steps between fitting and generalizing: ``time_to_threshold`` of the test accuracy less the training's.

    None where either is None.
    """
    times = [time_to_threshold(history, threshold, patience, column) for column in ACCURACIES]
    return None if None in times else times[1] - times[0]


def weight_norm(model: nn.Module) -> float:
    """|w|_2 over all parameters, summed in float64."""
    return math.sqrt(sum(float(p.detach().double().square().sum()) for p in model.parameters()))


def progress_measures(
    table: ModularTable,
    train_rows: Tensor,
    loss_fn: Callable[[Tensor, Tensor], Tensor] = cross_entropy,
    *,
    frequencies: Sequence[int] | None = None,
    curvature: bool = True,
    probes: int = 10,
) -> dict[str, Callable[[nn.Module], float]]:
    """Functions of the network for ``fit(metrics=...)`` or ``sweep(metrics=...)``, by name.

    "weight_norm"; "participation" of the embedding's frequencies, and "column_participation" in the mean of its columns
    (a network may give each neuron a frequency of its own); for tables of "add" or "subtract" the
    "restricted_loss" over all pairs and the "excluded_loss" over ``train_rows``, with ``frequencies`` (Nanda et
    al. take those of the final network) or, for None, with the key frequencies of the network as it
    is; with ``curvature`` the "sharpness" lambda_max and the "trace" of the training loss's Hessian
    (Hutchinson, ``probes`` products). NaN where lambda_max is not certified to 1 %, or where there
    is no key frequency.

    The network has ``.embedding`` (p, d), as those of this room. It, its mode and the global random
    state are left as they were. Raises ValueError for no training rows.
    """
    if len(train_rows) == 0:
        raise ValueError("there are no training rows: give those of split_table")
    checked_count("probes", probes)
    wanted = None if frequencies is None else [int(k) for k in frequencies]
    train = table.data(train_rows)

    def of_the_waves(measure: Callable, rows: Tensor | None) -> Callable[[nn.Module], float]:
        def value(model: Any) -> float:
            chosen = wanted
            if chosen is None:
                chosen = key_frequencies(fourier_power(model.embedding))
            if not chosen:
                return math.nan
            return measure(_logits(model, table), table, chosen, rows, loss_fn)

        return value

    def sharpness(model: nn.Module) -> float:
        pairs = top_eigenpairs(Hessian(model, loss_fn, train), 1, tol=1e-2, max_iter=100)
        return float(pairs.values[0]) if pairs.converged else math.nan

    def hessian_trace(model: nn.Module) -> float:
        return trace(Hessian(model, loss_fn, train), probes).value

    measures = {
        "weight_norm": weight_norm,
        "participation": lambda model: participation(fourier_power(model.embedding)),
        "column_participation": lambda model: participation(fourier_power(model.embedding, True)),
    }
    if turns_by_waves(table):
        measures["restricted_loss"] = of_the_waves(restricted_loss, None)
        measures["excluded_loss"] = of_the_waves(excluded_loss, train_rows)
    if curvature:
        measures |= {"sharpness": sharpness, "trace": hessian_trace}
    return measures


@torch.no_grad()
def _logits(model: nn.Module, table: ModularTable) -> Tensor:
    device = next(model.parameters()).device
    with modes_restored(model):
        return model.eval()(table.pairs.to(device))


def _check(threshold: float, patience: int, column: str) -> None:
    if not 0 < threshold <= 1:
        raise ValueError(f"threshold is {threshold}: give an accuracy above 0, at most 1")
    checked_count("patience", patience)
    if column not in ACCURACIES:
        known = [f.name for f in fields(History)]
        hint = (
            "a loss falls, so no accuracy is reached there" if column in known else "no such column"
        )
        raise ValueError(f"column is {column!r} ({hint}): choose {' or '.join(ACCURACIES)}")
