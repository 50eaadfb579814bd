"""Double descent of trained networks: over their width, and along their training."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from flatlab.arguments import checked_count
from flatlab.evaluation import Batch, LossFn
from flatlab.history import COLUMNS
from flatlab.models import count_parameters
from flatlab.sweeps import Outcome, Run, sweep

Build = Callable[[torch.Generator], nn.Module]


@dataclass(frozen=True, eq=False)
class WidthCurve:
    """How runs ended, for each width."""

    widths: tuple[int, ...]  # (w,)
    parameters: tuple[int, ...]  # (w,)
    outcomes: tuple[list[Outcome], ...]  # (w,) the runs of each width

    def last(self, column: str) -> np.ndarray:
        """A column of the last evaluations, such as "test_loss" or a metric's name: (w, runs)."""
        return np.array([[o.history.last()[column] for o in group] for group in self.outcomes])


def width_curve(
    widths: Sequence[int],
    build: Callable[[int], Build],
    loss_fn: LossFn,
    data: Batch | Iterable[Batch],
    runs: Sequence[Run],
    **settings,
) -> WidthCurve:
    """Train every run at every width; the runs of one width go in lockstep (see ``sweep``).

    Args:
        build: ``build(width)`` gives the function that makes a network of this width from a generator,
            as in ``lambda width: lambda g: models.mlp((784, width, 10), generator=g)``.
        settings: what ``sweep`` takes besides: ``steps`` or ``epochs``, ``test_data``, ``folder`` ...

    With k outputs, a network interpolates n samples from about n k parameters on. Source: Belkin et
    al., 2019, figure 3. Raises ValueError for no widths or widths below 1, and as ``sweep`` does.
    """
    widths = tuple(checked_count("a width", width) for width in widths)
    if not widths:
        raise ValueError("there are no widths: give at least one")
    described = {"description": "widths", **settings}
    outcomes, parameters = [], []
    for width in widths:
        parameters.append(count_parameters(Run().start(build(width))[0]))
        outcomes.append(sweep(build(width), loss_fn, data, runs, **described))
    return WidthCurve(widths, tuple(parameters), tuple(outcomes))


def along_training(
    outcomes: Sequence[Outcome], column: str = "test_loss"
) -> tuple[np.ndarray, np.ndarray]:
    """Epochs (e,) and the column's values (runs, e) of runs evaluated at the same steps: epoch-wise curves.

    A run that ended early has NaN from there on. Raises ValueError for no outcomes, a column that is
    not recorded, or evaluations at other steps or epochs.
    """
    if not outcomes:
        raise ValueError("there are no outcomes: give those of a sweep")
    longest = max((outcome.history for outcome in outcomes), key=lambda h: (h.step[-1], len(h)))
    values = np.full((len(outcomes), len(longest)), np.nan)
    for row, outcome in zip(values, outcomes, strict=True):
        columns = outcome.history.as_dict()
        if column not in columns:
            known = [*COLUMNS, *outcome.history.metrics]
            raise ValueError(f"there is no column {column!r}: choose from {', '.join(known)}")
        length = len(outcome.history) - (outcome.history.step[-1] not in longest.step)
        if not all(
            np.array_equal(getattr(outcome.history, x)[:length], getattr(longest, x)[:length])
            for x in ("step", "epoch")
        ):
            raise ValueError(
                "the runs were evaluated at different steps or epochs: sweep them with one "
                "evaluate_every and one batch_size"
            )
        row[:length] = columns[column][:length]
    return longest.epoch, values
