"""Every run of a sweep against the same run of ``fit`` on its own, in float64."""

import math
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, mse_loss
from torch.optim.lr_scheduler import LambdaLR

from flatlab import fit, models
from flatlab.data import relabel
from flatlab.history import COLUMNS
from flatlab.sweeps import Run, grid, sweep


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


X = torch.randn(70, 6, generator=generator(), dtype=torch.float64)
Y = torch.randint(3, (70,), generator=generator(1))
TEST = X[:20] + 0.1, Y[:20]
ONE_HOT = nn.functional.one_hot(Y, 3).double()


def plain(g):
    return models.mlp((6, 8, 8, 3), generator=g).double()


def normalized(g):
    return models.mlp((6, 8, 8, 3), batch_norm=True, generator=g).double()


def convolutional(g):
    with torch.random.fork_rng(devices=[]):
        torch.set_rng_state(g.get_state())
        net = nn.Sequential(
            nn.Unflatten(1, (1, 2, 3)), nn.Conv2d(1, 4, 2), nn.GELU(), nn.Flatten(), nn.Linear(8, 3)
        )
        g.set_state(torch.get_rng_state())
    return net.double()


@dataclass(frozen=True)
class Triangle:
    """From 1 up to 3 and back."""

    period: int

    def __call__(self, step):
        return 3 - 2 * abs(2 * (step % self.period) / self.period - 1)


@dataclass(frozen=True)
class Sizes:
    """Small and large batches by turns."""

    period: int

    def __call__(self, step):
        return 5 if step // self.period % 2 == 0 else 30


def own_data(run, X, y, test):
    """What the run trains and is tested on."""
    g = generator(run.seed)
    if run.train_fraction is not None:
        order = torch.randperm(len(X), generator=g)
        size = round(run.train_fraction * len(X))
        kept, rest = order[:size].sort().values, order[size:].sort().values
        test = (X[rest], y[rest]) if test is None else test
        X, y = X[kept], y[kept]
    if run.label_noise:
        labels = y if y.ndim == 1 else y.argmax(1)
        noisy, _ = relabel(labels, run.label_noise, 3, g)
        y = noisy if y.ndim == 1 else nn.functional.one_hot(noisy, 3).to(y)
    return (X, y), test


def single(build, loss_fn, data, run, test_data=None, **rest):
    """The same by ``fit`` and an optimizer of PyTorch's."""
    model, g = run.start(build)
    data, test = own_data(run, *data, test_data)
    settings = {"lr": run.learning_rate, "weight_decay": run.weight_decay}
    if run.optimizer == "adamw":
        optimizer = torch.optim.AdamW(model.parameters(), betas=run.betas, **settings)
    else:
        optimizer = torch.optim.SGD(model.parameters(), momentum=run.momentum, **settings)
    scheduler = run.schedule and (lambda optimizer: LambdaLR(optimizer, run.schedule))
    history = fit(
        model, loss_fn, data, optimizer=optimizer, scheduler=scheduler,
        batch_size=run.batch_size, generator=g, progress=False, test_data=test, **rest,
    )  # fmt: skip
    return history, model.state_dict()


def assert_same(outcome, history, state):
    for name in set(COLUMNS) - {"seconds"}:
        np.testing.assert_allclose(
            getattr(outcome.history, name), getattr(history, name), rtol=0, atol=1e-10, err_msg=name
        )
    for name, values in history.metrics.items():
        np.testing.assert_allclose(outcome.history.metrics[name], values, rtol=0, atol=1e-9)
    assert outcome.history.stopped == history.stopped
    assert outcome.history.last_finite_step == history.last_finite_step
    assert outcome.state.keys() == state.keys()
    for name, value in state.items():
        torch.testing.assert_close(outcome.state[name], value, rtol=0, atol=1e-10)


ADAMW = Run(optimizer="adamw", learning_rate=0.01, batch_size=10)
CASES = {
    "learning rates, seeds": (plain, grid(learning_rate=[0.02, 0.3], batch_size=[9], seed=[0, 1])),
    "full batch": (plain, grid(learning_rate=[0.02, 0.3], seed=[0, 1])),
    "batch sizes": (plain, grid(batch_size=[7, 70, 64], seed=[0, 1])),
    "momentum": (plain, grid(Run(batch_size=10), momentum=[0.0, 0.9], seed=[2, 3])),
    "label noise": (plain, grid(Run(batch_size=10), label_noise=[0.0, 0.3, 1.0])),
    "initialization": (plain, grid(Run(batch_size=10), init_scale=[0.5, 1.0, 2.0])),
    "schedule": (plain, grid(Run(batch_size=10), schedule=[None, Triangle(6)], seed=[0, 1])),
    "weight decay": (plain, grid(Run(batch_size=10, momentum=0.9), weight_decay=[0.0, 0.1, 0.5])),
    "adamw": (plain, grid(ADAMW, learning_rate=[1e-3, 0.03], weight_decay=[0.0, 1.0, 3.0])),
    "adamw and a schedule": (plain, grid(ADAMW, schedule=[None, Triangle(6)], seed=[0, 1])),
    "betas": (plain, grid(ADAMW, betas=[(0.9, 0.98), (0.0, 0.5)], optimizer=["adamw", "sgd"])),
    "train fraction": (
        plain,
        grid(ADAMW, train_fraction=[0.3, 0.5], batch_size=[None], seed=[0, 1]),
    ),
    "parts and noise": (plain, grid(Run(batch_size=8, train_fraction=0.4), label_noise=[0.0, 0.5])),
    "batch norm": (normalized, grid(batch_size=[10], learning_rate=[0.05, 0.5], seed=[0, 1])),
    "convolutions": (convolutional, grid(batch_size=[10], learning_rate=[0.05, 0.5])),
}


@pytest.mark.parametrize("engine", ["lockstep", "sequential"])
@pytest.mark.parametrize("case", CASES)
def test_every_run_is_fits(case, engine):
    build, runs = CASES[case]
    rest = {"epochs": 4, "test_data": TEST, "metrics": {"first": first_weight}}
    outcomes = sweep(build, cross_entropy, (X, Y), runs, engine=engine, progress=False, **rest)
    assert [outcome.run for outcome in outcomes] == runs
    for outcome in outcomes:
        assert_same(outcome, *single(build, cross_entropy, (X, Y), outcome.run, **rest))


SOFT = 0.8 * ONE_HOT + 0.2 / 3


def logistic(prediction, y):
    return binary_cross_entropy_with_logits(prediction.squeeze(1), (y == 0).to(prediction))


@pytest.mark.parametrize("engine", ["lockstep", "sequential"])
@pytest.mark.parametrize(
    ("outputs", "loss_fn", "targets", "test_targets"),
    [(1, logistic, Y, Y), (3, mse_loss, SOFT, ONE_HOT), (3, mse_loss, ONE_HOT, SOFT)],
)
def test_accuracies_are_fits_where_targets_or_outputs_are_no_classes(
    engine, outputs, loss_fn, targets, test_targets
):
    def build(g):
        return models.mlp((6, 8, outputs), generator=g).double()

    runs = grid(Run(batch_size=10), seed=[0, 1])
    rest = {"steps": 6, "evaluate_every": 3, "test_data": (X, test_targets)}
    for outcome in sweep(build, loss_fn, (X, targets), runs, engine=engine, progress=False, **rest):
        assert_same(outcome, *single(build, loss_fn, (X, targets), outcome.run, **rest))


def drawing(model):
    return model(X + torch.randn(X.shape, dtype=X.dtype)).sum().item() + float(torch.rand(()))


@pytest.mark.parametrize("engine", ["lockstep", "sequential"])
def test_metrics_that_draw_find_fits_random_state_and_leave_the_callers(engine):
    runs = grid(Run(batch_size=10), learning_rate=[0.05, 0.5], seed=[0, 1])
    rest = {"steps": 6, "evaluate_every": 3, "metrics": {"noisy": drawing, "other": drawing}}
    state = torch.get_rng_state()
    outcomes = sweep(plain, cross_entropy, (X, Y), runs, engine=engine, progress=False, **rest)
    assert torch.equal(state, torch.get_rng_state())
    for outcome in outcomes:
        assert_same(outcome, *single(plain, cross_entropy, (X, Y), outcome.run, **rest))


def first_weight(model):
    assert not model.training
    return next(model.parameters()).flatten()[0].item()


@pytest.mark.parametrize("engine", ["lockstep", "sequential"])
def test_the_rest_of_the_data_tests_a_run_on_a_part(engine):
    runs = grid(ADAMW, train_fraction=[0.3, 0.8], seed=[0, 3])
    rest = {"steps": 12, "evaluate_every": 5}
    outcomes = sweep(plain, cross_entropy, (X, Y), runs, engine=engine, progress=False, **rest)
    for outcome in outcomes:
        assert_same(outcome, *single(plain, cross_entropy, (X, Y), outcome.run, **rest))
        kept, others = outcome.run.split(len(X))
        assert len(kept) == round(outcome.run.train_fraction * 70)
        assert sorted([*kept.tolist(), *others.tolist()]) == list(range(70))
        loss = cross_entropy(outcome.model(plain)(X[others]), Y[others]).item()
        assert outcome.history.test_loss[-1] == pytest.approx(loss, abs=1e-10)


@dataclass(frozen=True)
class Fitted:
    """Two evaluations in a row with this accuracy."""

    accuracy: float

    def __call__(self, rows):
        return len(rows) > 1 and min(row["train_accuracy"] for row in rows[-2:]) >= self.accuracy


@pytest.mark.parametrize("engine", ["lockstep", "sequential"])
def test_runs_stop_when_they_are_told_to(engine):
    runs = grid(ADAMW, learning_rate=[1e-4, 0.03, 0.01], seed=[0, 1])
    rest = {"steps": 120, "evaluate_every": 6}
    outcomes = sweep(
        plain, cross_entropy, (X, Y), runs, stop_when=Fitted(0.6), engine=engine, progress=False, **rest
    )  # fmt: skip
    assert {outcome.history.stopped for outcome in outcomes} == {"stop_when", "steps"}
    for outcome in outcomes:
        history, _ = single(plain, cross_entropy, (X, Y), outcome.run, **rest)
        good = history.train_accuracy >= 0.6
        ends = [i for i in range(1, len(good)) if good[i] and good[i - 1]]
        length = ends[0] + 1 if ends else len(good)
        assert len(outcome.history) == length
        np.testing.assert_allclose(
            outcome.history.train_loss, history.train_loss[:length], rtol=0, atol=1e-10
        )


@pytest.mark.parametrize("engine", ["lockstep", "sequential"])
def test_scheduled_batch_sizes(engine):
    runs = grid(Run(batch_size=Sizes(3)), learning_rate=[0.05, 0.2])
    rest = {"steps": 25, "evaluate_every": 4}
    for outcome in sweep(plain, cross_entropy, (X, Y), runs, engine=engine, progress=False, **rest):
        assert_same(outcome, *single(plain, cross_entropy, (X, Y), outcome.run, **rest))
    assert outcome.history.epoch[1] == pytest.approx((5 * 3 + 30) / 70)


@pytest.mark.parametrize("batch_size", [10, None])
def test_runs_stop_on_their_own(batch_size):
    """By loss, in different steps; the others go on as they would."""
    runs = grid(Run(batch_size=batch_size), learning_rate=[0.02, 0.3, 0.1, 0.6], seed=[0, 4])
    rest = {"steps": 200, "stop_loss": 0.2, "evaluate_every": 7}
    outcomes = sweep(plain, mse_loss, (X, ONE_HOT), runs, engine="lockstep", progress=False, **rest)
    for outcome in outcomes:
        assert_same(outcome, *single(plain, mse_loss, (X, ONE_HOT), outcome.run, **rest))
    assert len({int(outcome.history.step[-1]) for outcome in outcomes}) > 2
    assert {outcome.history.stopped for outcome in outcomes} == {"stop_loss", "steps"}


def test_a_run_that_diverges_is_recorded_and_disturbs_no_other():
    runs = grid(Run(batch_size=10), learning_rate=[0.05, 1e6, 0.1])
    rest = {"epochs": 5}
    outcomes = sweep(plain, mse_loss, (X, ONE_HOT), runs, engine="lockstep", progress=False, **rest)
    assert [outcome.diverged for outcome in outcomes] == [False, True, False]
    for outcome in outcomes:
        history, state = single(plain, mse_loss, (X, ONE_HOT), outcome.run, **rest)
        assert outcome.history.stopped == history.stopped
        assert outcome.history.last_finite_step == history.last_finite_step
        if not outcome.diverged:
            assert_same(outcome, history, state)


@pytest.mark.parametrize("engine", ["lockstep", "sequential"])
def test_a_run_without_a_finite_start_is_recorded(engine):
    runs = grid(Run(batch_size=10), init_scale=[1.0, 1e200])
    good, bad = sweep(plain, mse_loss, (X, ONE_HOT), runs, steps=3, engine=engine, progress=False)
    assert not good.diverged and bad.diverged
    assert bad.history.last_finite_step == -1 and list(bad.history.step) == [0]
    assert not math.isfinite(bad.history.train_loss[0])
