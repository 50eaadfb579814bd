"""Which settings memorize, which generalize, and after how long."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from flatlab.grokking.losses import one_hot_mse
from flatlab.grokking.networks import OneHotMLP
from flatlab.grokking.progress import Reached, time_to_threshold
from flatlab.grokking.tables import ModularTable
from flatlab.sweeps import Run, grid, sweep

PHASES = ("comprehension", "grokking", "memorization", "confusion")
TOGETHER = 10  # runs in one stack: on a CPU their hidden layers (10 x 480 x 128) stay in the cache


@dataclass(frozen=True, eq=False)
class PhaseDiagram:
    """When runs over weight decay and training fraction fitted and generalized."""

    weight_decays: tuple[float, ...]  # (w,)
    fractions: tuple[float, ...]  # (f,)
    seeds: tuple[int, ...]  # (s,)
    fitted: np.ndarray  # (w, f, s) steps until the training accuracy reached the threshold, or NaN
    generalized: np.ndarray  # (w, f, s) likewise the test accuracy
    steps: int  # the longest that a run could take

    @property
    def delay(self) -> np.ndarray:
        """Steps between fitting and generalizing, (w, f, s); NaN where one of them is missing."""
        return self.generalized - self.fitted

    def phases(self, delay: float) -> np.ndarray:
        """The phase of each run as a place in ``PHASES``, (w, f, s) int64.

        0 comprehension: generalized at most ``delay`` steps after it fitted, or before; 1 grokking: later; 2
        memorization: fitted only; 3 confusion: neither. Source: Liu et al., 2022, "Towards understanding
        grokking: an effective theory of representation learning", table 1. Raises ValueError for a
        negative delay.
        """
        if not delay >= 0:
            raise ValueError(f"delay is {delay}: give a number of steps of at least 0")
        unlearned = np.where(np.isnan(self.fitted), 3, 2)
        return np.where(np.isnan(self.generalized), unlearned, np.where(self.delay > delay, 1, 0))


def phase_diagram(
    table: ModularTable,
    weight_decays: Sequence[float],
    fractions: Sequence[float],
    seeds: Sequence[int] = (0, 1, 2),
    *,
    build: Callable[[torch.Generator], nn.Module] | None = None,
    loss_fn: Callable[[Tensor, Tensor], Tensor] = one_hot_mse,
    learning_rate: float = 1e-2,
    betas: tuple[float, float] = (0.9, 0.999),
    steps: int = 1000,
    evaluate_every: int = 25,
    threshold: float = 0.95,
    patience: int = 1,
    folder: Path | str | None = None,
    engine: str = "auto",
    progress: bool = True,
) -> PhaseDiagram:
    """Train every combination with full-batch AdamW, and say when each run fits and generalizes.

    A seed draws the initialization and the split. Runs with the same fraction go in lockstep (see
    ``sweep``), and each ends when it has generalized: when its test accuracy has been at least
    ``threshold`` for ``patience`` evaluations, ``evaluate_every`` steps apart.

    Args:
        build: makes the network from a generator; None for ``OneHotMLP(table.p)``.
        loss_fn: ``loss_fn(logits, results)``, a mean over samples.
        betas: of AdamW. The default is torch's; those who found and explained grokking take (0.9, 0.98)
            (Power et al., 2022, appendix A.1.2; Nanda et al., 2023), with which v forgets sooner.
        folder, engine, progress: as for ``sweep``.

    Raises ValueError for what ``sweep`` and ``Run`` refuse: an empty axis, a fraction that leaves an
    empty split, a negative weight decay; for a threshold outside (0, 1].
    """
    stop_when = Reached(threshold, patience)
    if build is None:

        def build(generator: torch.Generator) -> nn.Module:
            return OneHotMLP(table.p, generator=generator)

    axes = {"weight_decay": weight_decays, "train_fraction": fractions, "seed": seeds}
    axes = {name: tuple(values) for name, values in axes.items()}
    runs = grid(Run(learning_rate=learning_rate, optimizer="adamw", betas=betas), **axes)
    outcomes = sweep(
        build, loss_fn, table.data(), runs, steps=steps, stop_when=stop_when,
        evaluate_every=evaluate_every, folder=folder, engine=engine, most_together=TOGETHER,
        progress=progress, description="phase diagram",
    )  # fmt: skip
    shape = [len(values) for values in axes.values()]
    times = {}
    for column in ("train_accuracy", "test_accuracy"):
        wait = patience if column == "test_accuracy" else 1
        found = [time_to_threshold(o.history, threshold, wait, column) for o in outcomes]
        times[column] = np.array([math.nan if t is None else t for t in found]).reshape(shape)
    return PhaseDiagram(
        axes["weight_decay"], axes["train_fraction"], tuple(map(int, axes["seed"])),
        times["train_accuracy"], times["test_accuracy"], steps,
    )  # fmt: skip
