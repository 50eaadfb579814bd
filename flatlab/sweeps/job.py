"""A sweep's arguments, checked, and what they say for each of its runs."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import nn

from flatlab.arguments import checked_interval, checked_limit
from flatlab.batches import Batches
from flatlab.data import relabel, split_size
from flatlab.evaluation import Batch, LossFn, class_labels
from flatlab.history import TrainingState
from flatlab.sweeps.lockstep import Rules, StopWhen
from flatlab.sweeps.runs import Run


@dataclass(frozen=True)
class Job:
    """A sweep's arguments, and the runs of one group."""

    build: Callable[[torch.Generator], nn.Module]
    loss_fn: LossFn
    train: Batch
    test: Batch | None
    runs: list[Run]
    steps: int | None
    epochs: int | None
    stop_loss: float
    evaluate_every: int | None
    metrics: Mapping[str, Callable[[nn.Module], float]]
    engine: str
    stop_when: StopWhen | None

    def size(self, run: Run) -> int:
        """How many samples the run trains on."""
        n = len(self.train[0])
        return n if run.train_fraction is None else split_size(n, run.train_fraction)

    def rules(self, run: Run) -> Rules:
        per_epoch = Batches(self.size(run), run.batch_size, []).per_epoch
        steps, limit = checked_limit(self.steps, self.epochs, per_epoch)
        every = checked_interval(self.evaluate_every, per_epoch)
        return Rules(steps, limit, every, self.stop_loss, self.metrics, self.stop_when)

    def kind(self, run: Run) -> tuple:
        """Runs of one kind can go in lockstep."""
        return run.batch_size, self.size(run), run.optimizer, tuple(run.betas)

    def data_of(self, run: Run) -> tuple[Batch, Batch | None]:
        """The run's training and test set: its part of the data, ``label_noise`` of its labels replaced.

        Both are drawn from its seed. What all runs share is the same tensor for all.
        """
        (X, y), test = self.train, self.test
        generator = torch.Generator().manual_seed(run.seed)
        if run.train_fraction is not None:
            kept, rest = (rows.to(X.device) for rows in run.split(len(X), generator))
            test = (X[rest], y[rest]) if test is None else test
            X, y = X[kept], y[kept]
        if run.label_noise:
            every = class_labels(self.train[1])
            count = y.shape[1] if y.ndim == 2 else int(every.max()) + 1
            classes = (y.argmax(1) if y.ndim == 2 else y).cpu()
            noisy, _ = relabel(classes, run.label_noise, count, generator)
            if y.ndim == 2:
                noisy = nn.functional.one_hot(noisy, count)
            y = noisy.to(y)
        return (X, y), test

    def fit_arguments(self, run: Run) -> dict:
        """What bounds the run, as ``fit`` takes it."""
        rules = self.rules(run)
        bound = {"steps": self.steps} if self.epochs is None else {"epochs": self.epochs}

        def judge(state: TrainingState) -> None:
            if state.rows[-1]["step"] == state.step:
                rules.judge(state)

        return {
            **bound,
            "batch_size": run.batch_size,
            "stop_loss": None if rules.stop_loss == -math.inf else rules.stop_loss,
            "evaluate_every": rules.every,
            "metrics": self.metrics,
            "callbacks": [judge],
            "progress": False,
        }
