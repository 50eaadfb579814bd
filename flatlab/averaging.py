"""Averages of weights (SWA) and of predictions (FGE) along one training run.

Stochastic weight averaging (Izmailov et al., 2018) takes the mean of the weights that a run with a high or cyclic learning
rate visits; fast geometric ensembling (Garipov et al., 2018) keeps them apart and
averages what they predict. Both run through ``fit``.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR
from torch.optim.swa_utils import AveragedModel

from flatlab.arguments import checked_count, checked_positive, is_whole
from flatlab.batches import BatchSize
from flatlab.curvature.batch_norm import batch_norm_layers, reestimate_batch_norm
from flatlab.evaluation import Batch, LossFn, trained_parameters
from flatlab.history import History, TrainingState
from flatlab.training import fit

_MEANS = ("probabilities", "outputs")


class WeightAverage:
    """A callback of ``fit`` that averages weights: w_SWA <- w_SWA + (w - w_SWA) / (k + 1).

    Takes the weights after `start`, `start + every`, ... updates (Izmailov et al., 2018, algorithm 1,
    in which `every` is the cycle), in a ``torch.optim.swa_utils.AveragedModel``. The run's learning rate is the
    caller's affair: constant, or a scheduler such as ``torch.optim.swa_utils.SWALR``. Raises
    ValueError unless `every` is at least 1 and `start` at least 0.
    """

    def __init__(self, every: int, start: int = 0) -> None:
        self.every, self.start = checked_count("every", every), start
        if not is_whole(start, 0):
            raise ValueError(f"start is {start!r}: give a whole number of steps, at least 0")
        self.average: AveragedModel | None = None

    @property
    def count(self) -> int:
        """How many weights have been averaged."""
        return 0 if self.average is None else int(self.average.n_averaged)

    def __call__(self, state: TrainingState) -> None:
        if state.step < self.start or (state.step - self.start) % self.every:
            return
        if self.average is None:
            self.average = AveragedModel(state.model)
        self.average.update_parameters(state.model)

    def network(self, data: Batch | Iterable[Batch] | None = None) -> nn.Module:
        """A network of its own, in evaluation mode, with the averaged weights.

        `data`: the training set, on which batch norm is re-estimated, for its running statistics belong
        to none of the averaged weights. Needed exactly where the network has batch norm.

        Raises:
            ValueError: nothing averaged yet; batch norm without `data`, or `data` without batch norm.
        """
        if self.average is None:
            raise ValueError(
                f"no weights were averaged: the run made fewer than start = {self.start} updates, or "
                "this object was not among the callbacks of fit"
            )
        network = copy.deepcopy(self.average.module)
        if data is not None:
            reestimate_batch_norm(network, data)
        elif batch_norm_layers(network):
            raise ValueError(
                "the network has batch norm, and no statistics belong to averaged weights: give the "
                "training data, network(data)"
            )
        return network


class Ensemble(nn.Module):
    """The mean prediction of several networks, itself a network (n, ...) -> (n, k).

    mean = "probabilities": log (1/m) sum_j softmax(f_j(X)), for networks trained by cross-entropy, which
    gives this prediction's negative log-likelihood. "outputs": (1/m) sum_j f_j(X), for mean squares.
    Raises ValueError for no members or another `mean`.
    """

    def __init__(self, members: Sequence[nn.Module], mean: str = "probabilities") -> None:
        super().__init__()
        if not len(members):
            raise ValueError("members is empty: an ensemble needs at least one network")
        self.members, self.mean = nn.ModuleList(members), _checked_mean(mean)

    def forward(self, X: Tensor) -> Tensor:
        if self.mean == "outputs":
            return torch.stack([member(X) for member in self.members]).mean(0)
        logs = torch.stack([member(X).log_softmax(-1) for member in self.members])
        return logs.logsumexp(0) - math.log(len(logs))


def fge_learning_rate(step: int, cycle: int, low: float, high: float) -> float:
    """The learning rate of update `step`, counted from 0: from high down to low and back in each cycle.

    With t = (step mod cycle + 1) / cycle: (1 - 2t) high + 2t low for t <= 1/2, else (2 - 2t) low +
    (2t - 1) high (Garipov et al., 2018, where steps are counted from 1). The lowest
    rate is that of the update in the cycle's middle. Raises ValueError unless `cycle` is even and at
    least 2, `step` is not negative and 0 < low <= high.
    """
    if not is_whole(cycle, 2) or cycle % 2:
        raise ValueError(f"cycle is {cycle!r}: give an even number of steps, for it has a middle")
    if step < 0:
        raise ValueError(f"step is {step}: steps are counted from 0")
    checked_positive("low", low)
    checked_positive("high", high)
    if low > high:
        raise ValueError(f"low is {low} and high is {high}: low must not be larger")
    t = (step % cycle + 1) / cycle
    return low + (high - low) * abs(1 - 2 * t)


def fge(
    model: nn.Module,
    loss_fn: LossFn,
    data: Batch | Iterable[Batch],
    *,
    cycle: int,
    cycles: int,
    low: float,
    high: float,
    batch_size: BatchSize = None,
    momentum: float = 0.9,
    weight_decay: float = 0.0,
    mean: str = "probabilities",
    generator: torch.Generator | None = None,
    progress: bool = True,
) -> tuple[Ensemble, History]:
    """Fast geometric ensembling: go on training `model` in place, and keep a copy from each cycle's middle.

    SGD under ``fge_learning_rate``; a snapshot after the update with the lowest rate of each of the `cycles`, the
    last of which ends the run, so it makes ``cycle * cycles - cycle // 2`` updates. Source: Garipov et al., 2018,
    which starts from a trained network. Other arguments as for ``fit`` and ``Ensemble``.

    Returns:
        The ensemble, in evaluation mode, each member with the batch-norm statistics of its moment;
        and the run's history.

    Raises:
        ValueError, TypeError: arguments that do not fit; before anything is changed.
        FloatingPointError: the run diverged before its last snapshot.
    """
    fge_learning_rate(0, cycle, low, high)
    steps = checked_count("cycles", cycles) * cycle - cycle // 2
    _checked_mean(mean)
    parameters = trained_parameters(model)
    optimizer = torch.optim.SGD(parameters, lr=high, momentum=momentum, weight_decay=weight_decay)
    schedule = LambdaLR(optimizer, lambda step: fge_learning_rate(step, cycle, low, high) / high)
    members: list[nn.Module] = []

    def snapshot(state: TrainingState) -> None:
        if state.step % cycle == cycle // 2:
            members.append(copy.deepcopy(state.model))

    history = fit(
        model, loss_fn, data, optimizer=optimizer, scheduler=schedule, batch_size=batch_size, steps=steps,
        evaluate_every=cycle, callbacks=[snapshot], generator=generator, progress=progress,
        description="ensembling",
    )  # fmt: skip
    if history.stopped == "diverged":
        raise FloatingPointError(
            f"the run diverged with {len(members)} of {cycles} snapshots: lower high, now {high}"
        )
    return Ensemble(members, mean).eval(), history


def _checked_mean(mean: str) -> str:
    if mean not in _MEANS:
        raise ValueError(f"mean is {mean!r}: choose {' or '.join(_MEANS)}")
    return mean
