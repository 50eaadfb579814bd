"""One training run: ``fit``.

The curvature of a minimum depends on which minimum was reached, so a run is repeatable from a
generator alone: minibatches are permutations drawn on the CPU (the same on every device), and
dropout draws from a forked global state. Data are moved to the model's device once. At batch
size 10 a step of the course's network takes about a millisecond, so the loop does little more
per step than draw, differentiate, test the loss for NaN and update.
"""

import inspect
import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from flatlab.arguments import (
    checked_generator,
    checked_interval,
    checked_limit,
    checked_optimizer,
    checked_scheduler,
)
from flatlab.batches import Batches, BatchSize
from flatlab.evaluation import (
    Batch,
    Evaluation,
    LossFn,
    accuracy,
    as_tensors,
    class_labels,
    evaluate,
    evaluate_tensors,
    trained_parameters,
)
from flatlab.history import History, TrainingState, checked_metrics
from flatlab.isolation import call_with, gradients_restored, modes_restored, random_state
from flatlab.notebook import progress as progress_bar

__all__ = ["History", "TrainingState", "evaluate", "fit"]

# Layers that compute the same in training and evaluation mode; other models get a pass of their
# own for the training loss.
_MODE_FREE = (nn.Sequential, nn.Linear, nn.Conv2d, nn.Flatten, nn.ReLU, nn.Tanh, nn.Sigmoid)
_MODE_FREE += (nn.GELU, nn.MaxPool2d, nn.AvgPool2d, nn.LayerNorm, nn.Identity)


@torch.inference_mode(False)  # which turns gradients on too
def fit(
    model: nn.Module,
    loss_fn: LossFn,
    data: Batch | Iterable[Batch],
    *,
    learning_rate: float | None = None,
    momentum: float = 0.0,
    optimizer: Optimizer | None = None,
    scheduler: LRScheduler | Callable[[Optimizer], LRScheduler] | None = None,
    batch_size: BatchSize = None,
    steps: int | None = None,
    epochs: int | None = None,
    stop_loss: float | None = None,
    evaluate_every: int | None = None,
    test_data: Batch | Iterable[Batch] | None = None,
    metrics: Mapping[str, Callable[[nn.Module], float]] | None = None,
    callbacks: Sequence[Callable[[TrainingState], None]] = (),
    generator: torch.Generator | None = None,
    progress: bool = True,
    description: str = "training",
) -> History:
    """Train ``model`` in place: w <- w - learning_rate * gradient of the batch's mean loss.

    Args:
        loss_fn: ``loss_fn(prediction, y)``, a mean over samples, as for ``evaluate``.
        data: ``(X, y)``, or an iterable of such batches, which is read once and joined; one that
            shuffles or augments by the global state comes as that state gives it.
        learning_rate, momentum: of SGD; or give an ``optimizer`` over the model's parameters
            (one whose ``step`` demands a closure, such as LBFGS, gets one for the batch).
        scheduler: a torch scheduler over ``optimizer``, or a function optimizer -> scheduler.
            Stepped after every update; ``ReduceLROnPlateau`` at every evaluation instead, with
            the training loss.
        batch_size: None for the full batch. Minibatches run through a new permutation in each
            epoch; a smaller last batch is kept. A function of the step, counted from 0, is a
            schedule: give ``steps`` and ``evaluate_every`` with it.
        steps, epochs: the length of the run; exactly one of them.
        stop_loss: stop when the loss over the whole training set is at or below this. Tested at
            every evaluation, and at every step where a full batch gives that loss for nothing.
        evaluate_every: steps between evaluations; None for an epoch, or 10 full-batch steps.
            The first and last states are always evaluated, large ``test_data`` each time too.
        metrics: name -> function of the model (in evaluation mode), recorded at each evaluation; not
            the name of a column that a ``History`` has anyway. What it does to gradients is undone.
        callbacks: each called with a ``TrainingState``, the model in evaluation mode.
        generator: CPU generator of minibatches and dropout; None stands for one seeded 0.
        progress: show a bar with the time left, and say so if the run diverges.

    Returns:
        A ``History``. A loss that is not finite ends the run with ``stopped == "diverged"``; the
        parameters stay as the last update left them.

    Training happens in training mode, evaluation in evaluation mode, with gradients on even where
    the caller has turned them off. Each module's mode, the gradients and the global random state
    come back as they were, also after an exception.

    Raises:
        TypeError, ValueError: arguments that do not fit together, a model that does not return
            one tensor, a loss that is no single number or not finite at the start, or a last batch
            of one sample, of which batch norm has no variance; all before any parameter changes. Of a
            ``batch_size`` that is a schedule it is seen, and raised by PyTorch, at that step.
    """
    trained_parameters(model)
    X, y = as_tensors(data, model)
    test = None if test_data is None else as_tensors(test_data, model)
    generator = checked_generator(generator)
    batches = Batches(len(X), batch_size, [generator], X.device)
    limit, limit_name = checked_limit(steps, epochs, batches.per_epoch)
    every = checked_interval(evaluate_every, batches.per_epoch)
    if stop_loss is not None and not stop_loss >= 0:
        raise ValueError(f"stop_loss is {stop_loss}: give a loss of 0 or more, or None")
    metrics = checked_metrics(metrics)
    evaluate(model, loss_fn, (X[:2], y[:2]))  # refuses a loss_fn that returns no number
    check_lone_sample(model, X[:1], batches, limit)
    optimizer = checked_optimizer(model, optimizer, learning_rate, momentum)
    scheduler = checked_scheduler(scheduler, optimizer)

    state = TrainingState(model, optimizer)
    run = _Run(
        state, loss_fn, (X, y), test, scheduler, metrics, callbacks,
        -math.inf if stop_loss is None else stop_loss, batches, every,
    )  # fmt: skip
    bar = progress_bar(range(limit), description, limit) if progress else range(limit)
    with modes_restored(model), gradients_restored(model), random_state(generator, X.device):
        model.train()
        try:
            run.go(bar, limit)
        finally:
            getattr(bar, "close", lambda: None)()  # a run that stops early leaves no half bar
    state.stop_reason = state.stop_reason or limit_name
    if progress and state.stop_reason == "diverged":
        print(
            f"{description}: the loss was no longer finite at step {state.step}, so the run "
            "stopped there. A smaller learning rate is the usual remedy."
        )
    return state.history


@torch.no_grad()
def check_lone_sample(model: nn.Module, sample: Tensor, batches: Batches, steps: int) -> None:
    """Raise ValueError where so many steps meet a batch of one sample that batch norm cannot take.

    The model stays as it is, and so does the global random state.
    """
    whole = batches.per_epoch and steps >= batches.per_epoch
    if not whole or (batches.n - 1) % batches.size:
        return
    if not any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in model.modules()):
        return
    buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
    with modes_restored(model), random_state(None, sample.device):
        model.train()
        try:
            call_with(model, buffers, sample)
        except ValueError as error:
            raise ValueError(
                "the last batch of an epoch holds one sample alone, of which batch norm has no "
                f"variance ({error}): choose another batch_size, or leave a sample out"
            ) from error


def is_mode_free(model: nn.Module) -> bool:
    """Whether the model surely computes the same in training and evaluation mode."""
    return all(type(module) in _MODE_FREE for module in model.modules())


@dataclass
class _Run:
    """The loop of one ``fit``; what it holds is checked already."""

    state: TrainingState
    loss_fn: LossFn
    train: Batch
    test: Batch | None
    scheduler: Any  # ReduceLROnPlateau's step takes a loss
    metrics: Mapping[str, Callable[[nn.Module], float]]
    callbacks: Sequence[Callable[[TrainingState], None]]
    stop_loss: float
    batches: Batches
    every: int

    def __post_init__(self) -> None:
        self.model, self.optimizer = self.state.model, self.state.optimizer
        self.parameters = list(self.model.parameters())
        self.labels = class_labels(self.train[1])
        self.test_labels = None if self.test is None else class_labels(self.test[1])
        self.free_loss = self.batches.per_epoch == 1 and is_mode_free(self.model)
        self.plateau = isinstance(self.scheduler, ReduceLROnPlateau)
        closure = inspect.signature(self.optimizer.step).parameters.get("closure")
        self.needs_closure = getattr(self.optimizer, "needs_closure", False)  # as flatlab.SAM says
        self.needs_closure |= closure is not None and closure.default is inspect.Parameter.empty
        self.began = time.perf_counter()

    def go(self, steps: Iterable[int], limit: int) -> None:
        """At most ``limit`` updates, and the record of the state in which they end."""
        state = self.state
        for step in steps:
            batch = self.select(self.batches.draw())
            prediction, loss = self.differentiate(*batch)
            self.arrive(step, loss.item())
            free_stop = self.free_loss and state.loss <= self.stop_loss
            if step % self.every == 0 or free_stop or state.stop_reason is not None:
                self.record(prediction)
            self.call_back()
            if state.stop_reason is not None:
                break
            self.update(batch, loss)
        else:
            self.arrive(limit, 0.0)
            self.record()
            state.loss = state.rows[-1]["train_loss"]
            self.call_back()
        if state.rows[-1]["step"] != state.step:
            self.record()

    def select(self, index: Tensor | None) -> Batch:
        X, y = self.train
        if index is None:
            return X, y
        return X.index_select(0, index[0]), y.index_select(0, index[0])

    def differentiate(self, X: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        for parameter in self.parameters:
            parameter.grad = None
        prediction = self.model(X)
        loss = self.loss_fn(prediction, y)
        loss.backward()
        return prediction.detach(), loss.detach()

    def arrive(self, step: int, loss: float) -> None:
        state = self.state
        state.step, state.epoch, state.loss = step, self.batches.epochs(step), loss
        state.seconds = time.perf_counter() - self.began
        if math.isfinite(loss):
            state.last_finite_step = step
        else:
            state.stop("diverged")

    def record(self, prediction: Tensor | None = None) -> None:
        """Append a row; ``prediction`` is that of the batch about to be used."""
        state = self.state
        self.model.eval()
        if self.free_loss and prediction is not None:
            train = Evaluation(state.loss, accuracy(prediction, self.labels))
        else:
            train = evaluate_tensors(self.model, self.loss_fn, *self.train, self.labels)
        test = Evaluation(math.nan, math.nan)
        if self.test is not None:
            test = evaluate_tensors(self.model, self.loss_fn, *self.test, self.test_labels)
        finite = math.isfinite(train.loss)
        metrics = dict.fromkeys(self.metrics, math.nan)
        if metrics and finite:
            with gradients_restored(self.model):  # a metric may differentiate: it gets copies
                for p in self.parameters:
                    p.grad = None if p.grad is None else p.grad.clone()
                metrics = {name: float(f(self.model)) for name, f in self.metrics.items()}
        self.model.train()
        rate = float(self.optimizer.param_groups[0]["lr"])
        state.add_row((train.loss, train.accuracy, test.loss, test.accuracy, rate), metrics)
        if state.step == 0 and not finite:
            raise ValueError(
                f"the training loss is {train.loss} before the first step: look for NaN or inf "
                "in the data and the parameters, or a loss_fn that overflows"
            )
        state.judge(train.loss, self.stop_loss)
        if self.plateau and state.stop_reason is None:
            self.scheduler.step(train.loss)

    def call_back(self) -> None:
        if not self.callbacks or self.state.stop_reason == "diverged":
            return
        self.model.eval()
        for callback in self.callbacks:
            callback(self.state)
        self.model.train()

    def update(self, batch: Batch, loss: Tensor) -> None:
        if self.needs_closure:
            known = [loss]  # the first call would repeat what `differentiate` has just done

            def closure() -> Tensor:
                return known.pop() if known else self.differentiate(*batch)[1]

            self.optimizer.step(closure)  # type: ignore[arg-type]  # LBFGS takes a loss's tensor
        else:
            self.optimizer.step()
        if self.scheduler is not None and not self.plateau:
            self.scheduler.step()
