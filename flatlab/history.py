"""What a training run leaves behind, and what a callback sees of it while it runs."""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from torch import nn
from torch.optim import Optimizer

COLUMNS = ("step", "epoch", "train_loss", "train_accuracy", "test_loss", "test_accuracy")
COLUMNS += ("learning_rate", "seconds")
Metric = Callable[[nn.Module], float]


def checked_metrics(
    metrics: Mapping[str, Metric] | None, settings: Collection[str] = ()
) -> dict[str, Metric]:
    """A copy. Raises ValueError for the name of a column or setting, which the metric would hide."""
    metrics = dict(metrics or {})
    taken = [name for name in metrics if name in COLUMNS or name in settings]
    if taken:
        raise ValueError(
            f"metrics names {', '.join(taken)}, which every run has: give another name"
        )
    return metrics


@dataclass(frozen=True, eq=False)
class History:
    """The evaluations of one run, a column each, and why it ended."""

    step: np.ndarray  # (evaluations,) parameter updates made so far
    epoch: np.ndarray  # (evaluations,) the same, in passes over the data
    train_loss: np.ndarray  # (evaluations,) over the whole training set
    train_accuracy: np.ndarray  # (evaluations,) fraction in [0, 1]; NaN if targets are no classes
    test_loss: np.ndarray  # (evaluations,) NaN without test data
    test_accuracy: np.ndarray  # (evaluations,) likewise
    learning_rate: np.ndarray  # (evaluations,) of the first parameter group, for the next update,
    # unless ReduceLROnPlateau lowers it at this very evaluation
    seconds: np.ndarray  # (evaluations,) since the run began, evaluations included
    metrics: dict[str, np.ndarray]  # name -> (evaluations,)
    stopped: str  # "stop_loss", "steps", "epochs", "diverged", or the reason of a callback
    last_finite_step: int  # the last step at which the loss was finite

    def __len__(self) -> int:
        return len(self.step)

    def as_dict(self) -> dict[str, list]:
        """The columns, metrics included, as plain lists (for JSON or a data frame)."""
        columns = {name: getattr(self, name) for name in COLUMNS} | self.metrics
        return {name: column.tolist() for name, column in columns.items()}

    def last(self) -> dict[str, float]:
        """The last row: column name -> value."""
        return {name: column[-1] for name, column in self.as_dict().items()}


@dataclass
class TrainingState:
    """What a callback sees, before each update and once more at the end of the run.

    ``loss`` belongs to the parameters as they are now: that of the batch which the next update
    uses (its gradient stands in each parameter's ``.grad``), at the end that of the training set.
    """

    model: nn.Module
    optimizer: Optimizer
    step: int = 0
    epoch: float = 0.0
    loss: float = math.nan
    seconds: float = 0.0
    last_finite_step: int = -1
    stop_reason: str | None = None
    rows: list[dict[str, float]] = field(default_factory=list, repr=False)

    @property
    def history(self) -> History:
        """The evaluations so far, as ``fit`` will return them."""
        columns = {k: np.array([row[k] for row in self.rows]) for k in self.rows[0]}
        own = {name: columns.pop(name) for name in COLUMNS}
        stopped = self.stop_reason or "running"
        return History(
            **own, metrics=columns, stopped=stopped, last_finite_step=self.last_finite_step
        )

    def add_row(self, measured: Sequence[float], metrics: Mapping[str, float]) -> None:
        """Append an evaluation: train loss and accuracy, test loss and accuracy, learning rate."""
        row = (self.step, self.epoch, *measured, self.seconds)
        self.rows.append(dict(zip(COLUMNS, row, strict=True)) | dict(metrics))

    def judge(self, train_loss: float, stop_loss: float) -> None:
        """End the run where its training loss says so."""
        if not math.isfinite(train_loss):
            self.last_finite_step = min(self.last_finite_step, self.step - 1)
            self.stop("diverged")
        elif train_loss <= stop_loss and self.stop_reason is None:
            self.stop("stop_loss")

    def stop(self, reason: str = "callback") -> None:
        """End the run before the next update; ``reason`` becomes ``History.stopped``."""
        self.stop_reason = reason
