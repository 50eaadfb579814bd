"""Several runs of one architecture trained in lockstep: stacked parameters, one graph a step.

Runs that share batch sizes take their steps together. Every tensor holds the runs side by side, (runs,
...), and ``torch.func.vmap`` sends them through the layers as batched matrix products; since the runs
share nothing but the code, the gradient of the sum of their losses is each run's own. A run that
stops is taken out of the stack, so it neither costs nor disturbs.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.func import stack_module_state, vmap

from flatlab.batches import Batches
from flatlab.evaluation import Batch, LossFn
from flatlab.history import TrainingState
from flatlab.isolation import call_with, random_state
from flatlab.sweeps.runs import Run
from flatlab.sweeps.stacked import Stacked
from flatlab.sweeps.told import structure
from flatlab.sweeps.updates import update_of
from flatlab.training import is_mode_free

StopWhen = Callable[[Sequence[Mapping[str, float]]], bool]

CHUNK = 4096  # samples in one evaluation forward pass, as for a single run
_RANDOM = (nn.Dropout, nn.AlphaDropout, nn.FeatureAlphaDropout, nn.RNNBase)
_RANDOM += (nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.MultiheadAttention)


@dataclass(frozen=True)
class Rules:
    """What all runs of a sweep share."""

    steps: int
    limit: str  # "steps" or "epochs": the name of the bound that `steps` stands for
    every: int
    stop_loss: float = -math.inf
    metrics: Mapping[str, Callable[[nn.Module], float]] | None = None
    stop_when: StopWhen | None = None

    def judge(self, state: TrainingState) -> None:
        """End the run where its last evaluation says so."""
        if self.stop_when and state.stop_reason is None and self.stop_when(state.rows):
            state.stop("stop_when")


def can_run(model: nn.Module, X: Tensor) -> bool:
    """Whether lockstep computes the same as single runs: nothing random inside, one dtype, all state in place."""
    trained = list(model.parameters())
    return (
        not any(isinstance(module, _RANDOM) for module in model.modules())
        and all(p.requires_grad for p in trained)
        and len({(p.dtype, p.device) for p in trained}) == 1
        and _keeps_its_tensors(model, X[:2])
    )


def _keeps_its_tensors(model: nn.Module, X: Tensor) -> bool:
    """Whether a training pass leaves every buffer and attribute in its place: a stack would lose new ones."""
    model = copy.deepcopy(model).train()
    buffers, rest = dict(model.named_buffers()), structure(model)
    with torch.no_grad(), random_state(None, X.device):
        model(X)
    after = dict(model.named_buffers())
    return rest == structure(model) and all(after[k] is b for k, b in buffers.items())


class Lockstep:
    """Runs that take their steps together.

    ``models``: one for each of ``runs``, of one architecture; they are read, not changed. ``train`` and
    ``test``: X (n, ...) and y (n, ...) of each run; tensors that are the same object are held once.
    The runs share their batch size, optimizer and betas. ``generators``: as ``fit`` draws its
    permutations from.
    """

    def __init__(
        self,
        models: Sequence[nn.Module],
        runs: Sequence[Run],
        loss_fn: LossFn,
        train: Sequence[Batch],
        test: Sequence[Batch] | None,
        generators: Sequence[torch.Generator],
    ) -> None:
        self.base, self.runs, self.loss_fn = copy.deepcopy(models[0]), list(runs), loss_fn
        self.train = Stacked.of(train)
        self.test = None if test is None else Stacked.of(test)
        self.device = self.train.X.device
        parameters, buffers = stack_module_state(list(models))
        self.parameters = {k: v.detach().clone() for k, v in parameters.items()}
        self.buffers = {k: v.detach().clone() for k, v in buffers.items()}
        self.rule = update_of(self.runs, self.parameters)
        self.seeding = [generator.clone_state() for generator in generators]
        self.random: dict[int, Tensor] = {}  # run -> the global state after its metrics
        for generator in generators:  # `fit` seeds the global state with this draw
            torch.randint(2**62, (), generator=generator)
        self.batches = Batches(len(self.train), runs[0].batch_size, generators, self.device)
        self.active = list(range(len(models)))
        self.free_loss = self.batches.per_epoch == 1 and is_mode_free(self.base)

    # One step

    def differentiate(self) -> tuple[Tensor, dict[str, Tensor]]:
        """Each run's loss (runs,) on its next batch, and the gradients of its parameters."""
        data = self.train.batch(self.batches.draw())
        self.base.train()
        with torch.enable_grad():
            leaves = {k: v.requires_grad_() for k, v in self.parameters.items()}
            losses = vmap(self._loss, in_dims=(0, 0, *data.dims))(
                leaves, self.buffers, data.X, data.y
            )
            gradients = torch.autograd.grad(losses.sum(), list(leaves.values()))
        for value in leaves.values():
            value.requires_grad_(False)
        return losses.detach(), dict(zip(leaves, gradients, strict=True))

    def update(self, step: int, gradients: Mapping[str, Tensor]) -> None:
        """The update that each run's optimizer makes."""
        value = next(iter(self.parameters.values()))
        rates = [self.runs[run].rate(step) for run in self.active]
        rates = torch.tensor(rates, dtype=value.dtype, device=value.device)
        self.rule.apply(self.parameters, gradients, rates)

    def keep(self, places: Sequence[int]) -> None:
        """Go on with the runs at these places among the active ones."""
        if len(places) == len(self.active):
            return
        index = torch.tensor(places, device=self.device)
        for stack in (self.parameters, self.buffers):
            for name in stack:
                stack[name] = stack[name].index_select(0, index)
        self.rule.keep(index)
        self.train.keep(index)
        if self.test is not None:
            self.test.keep(index)
        self.batches.keep(places)
        self.active = [self.active[place] for place in places]

    # Looking at the runs

    @torch.no_grad()
    def evaluate(self, data: Stacked) -> tuple[list[float], list[float]]:
        """Each active run's mean loss and accuracy over ``data``, in evaluation mode."""
        self.base.eval()
        loss = torch.zeros(len(self.active), dtype=torch.float64, device=self.device)
        right = torch.zeros_like(loss)
        for start in range(0, len(data), CHUNK):
            part = data.part(slice(start, start + CHUNK))
            look = partial(self._look, data.labeled)
            losses, hits = vmap(look, in_dims=(0, 0, *part.dims))(
                self.parameters, self.buffers, part.X, part.y
            )
            loss += len(part) * losses.double()
            right += hits.double()
        return (loss / len(data)).tolist(), (right / len(data)).tolist()

    def module(self, place: int) -> nn.Module:
        """The run at ``place`` among the active ones as a module of its own, in evaluation mode."""
        model = copy.deepcopy(self.base)
        stacks = {**self.parameters, **self.buffers}
        with torch.no_grad():
            for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
                tensor.copy_(stacks[name][place])
        return model.eval()

    def measure(self, place: int, metrics: Mapping[str, Callable]) -> dict[str, float]:
        """The metrics of one run; those that draw find the global random state that `fit` gives them."""
        run = self.active[place]
        with random_state(self.seeding[run].clone_state(), self.device):
            torch.set_rng_state(self.random.get(run, torch.get_rng_state()))
            found = {name: float(metric(self.module(place))) for name, metric in metrics.items()}
            self.random[run] = torch.get_rng_state()
        return found

    def state(self, place: int) -> dict[str, Tensor]:
        """Its state dict: a tensor that two layers share under both names."""
        return self.module(place).state_dict()

    def _loss(self, parameters: dict, buffers: dict, X: Tensor, y: Tensor) -> Tensor:
        return self.loss_fn(call_with(self.base, (parameters, buffers), X), y)

    def _look(
        self, labeled: bool, parameters: dict, buffers: dict, X: Tensor, y: Tensor
    ) -> tuple[Tensor, Tensor]:
        prediction = call_with(self.base, (parameters, buffers), X)
        hits = torch.full((), math.nan, device=X.device)
        if labeled and prediction.ndim == 2 and prediction.shape[1] > 1:
            labels = y if y.ndim == 1 else y.argmax(1)
            hits = (prediction.argmax(1) == labels).sum()
        return self.loss_fn(prediction, y), hits


def go(
    runs: Lockstep, rules: Rules, tick: Callable[[int], None] = lambda steps: None
) -> list[tuple[TrainingState, dict[str, Tensor]]]:
    """All runs to their ends: each one's record, as ``fit`` keeps it, and its last parameters.

    ``tick(updates)`` is called after every step with the number of updates made, and of those that
    a stopped run will not make.
    """
    return _Watch(runs, rules, tick).go()


class _Watch:
    """The loop of ``fit``, for all runs at once."""

    def __init__(self, runs: Lockstep, rules: Rules, tick: Callable[[int], None]) -> None:
        self.runs, self.rules, self.tick = runs, rules, tick
        self.states = [TrainingState(None, None) for _ in runs.active]
        self.ends: dict[int, dict[str, Tensor]] = {}
        self.began = time.perf_counter()

    def go(self) -> list[tuple[TrainingState, dict[str, Tensor]]]:
        runs, rules = self.runs, self.rules
        for step in range(rules.steps):
            losses, gradients = runs.differentiate()
            losses = losses.tolist()
            self._arrive(step, losses)
            below = [runs.free_loss and loss <= rules.stop_loss for loss in losses]
            bad = [self._of(place).stop_reason is not None for place in range(len(losses))]
            if step % rules.every == 0:
                self._record(range(len(losses)))
            elif any(below) or any(bad):
                self._record([i for i in range(len(losses)) if below[i] or bad[i]])
            kept = self._take_out()
            gone = len(losses) - len(kept)
            self.tick(len(kept) + gone * (rules.steps - step))
            if not kept:
                break
            if gone:
                index = torch.tensor(kept, device=runs.device)
                gradients = {k: g.index_select(0, index) for k, g in gradients.items()}
            runs.update(step, gradients)
        else:
            self._arrive(rules.steps, [0.0] * len(runs.active))
            self._record(range(len(runs.active)))
            for place in range(len(runs.active)):
                self._of(place).stop_reason = self._of(place).stop_reason or rules.limit
            self._take_out()
        return [(state, self.ends[run]) for run, state in enumerate(self.states)]

    def _of(self, place: int) -> TrainingState:
        return self.states[self.runs.active[place]]

    def _arrive(self, step: int, losses: Sequence[float]) -> None:
        for place, loss in enumerate(losses):
            state = self._of(place)
            state.step, state.loss = step, loss
            state.epoch = self.runs.batches.epochs(step)
            state.seconds = time.perf_counter() - self.began
            if math.isfinite(loss):
                state.last_finite_step = step
            else:
                state.stop("diverged")

    def _record(self, places: Iterable[int]) -> None:
        """A row for each of these runs; all are evaluated, since that costs no more."""
        runs, rules = self.runs, self.rules
        train = runs.evaluate(runs.train)
        nothing = [math.nan] * len(runs.active)
        test = (nothing, nothing) if runs.test is None else runs.evaluate(runs.test)
        for place in places:
            state = self._of(place)
            numbers = [column[place] for column in (*train, *test)]
            metrics = dict.fromkeys(rules.metrics or (), math.nan)
            if metrics and math.isfinite(numbers[0]):
                metrics = runs.measure(place, rules.metrics)
            rate = runs.runs[runs.active[place]].rate(state.step)
            state.add_row([*numbers, rate], metrics)
            state.judge(numbers[0], rules.stop_loss)
            rules.judge(state)

    def _take_out(self) -> list[int]:
        """The places of the runs that go on; the others' parameters are put by."""
        kept = []
        for place, run in enumerate(self.runs.active):
            if self.states[run].stop_reason is None:
                kept.append(place)
            else:
                self.ends[run] = self.runs.state(place)
        if kept:
            self.runs.keep(kept)
        return kept
