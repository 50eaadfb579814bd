"""Chapters 05 and 06 of the ledger: trainings and rules against what they claim to compute."""

import math

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

import flatlab
from flatlab import curvature
from flatlab.data import Dataset
from flatlab.sam import sam_gradient

pytestmark = pytest.mark.usefixtures("bench_is_importable")


@pytest.fixture
def data():
    """64 samples, so that one batch is the whole set."""
    draw = torch.Generator().manual_seed(0)
    X, y = torch.rand(64, 1, 28, 28, generator=draw), torch.arange(64) % 10
    return Dataset("toy", "toy", X, y, X, y, tuple("0123456789"), torch.arange(0))


def flat(model):
    return torch.cat([w.detach().flatten() for w in model.parameters()])


@pytest.mark.parametrize("method", ["SAM", "exact SAM"])
def test_one_full_step_is_that_of_the_gradient_named(method, data):
    from claims import chapter05_runs as runs

    start = runs.network(3)
    wanted = sam_gradient(start, cross_entropy, data.train, 0.1)
    gradient, other = wanted.first_order, wanted.exact
    if method == "exact SAM":
        gradient, other = other, gradient
    model = runs.trained(method, 0.1, 2.0, 1, data, 3)
    torch.testing.assert_close(flat(model), flat(start) - runs.RATE * gradient, rtol=0, atol=1e-6)
    assert not torch.allclose(flat(model), flat(start) - runs.RATE * other, rtol=0, atol=1e-5)


def test_the_penalty_is_the_hessians_trace_and_only_in_training(data):
    from claims import chapter05_runs as runs

    model, (X, y) = runs.network(0), data.train
    loss_fn = runs.penalized(model, 0.5, seed=0)
    plain = cross_entropy(model(X), y)
    added = [(loss_fn(model(X), y) - plain).item() / 0.5 for _ in range(200)]
    trace = curvature.trace(curvature.Hessian(model, cross_entropy, data.train), probes=200)
    error = math.hypot(np.std(added) / math.sqrt(200), trace.standard_error)
    assert abs(np.mean(added) - trace.value) < 5 * error
    assert trace.value > 10 * error
    with torch.no_grad():
        assert loss_fn(model(X), y) == cross_entropy(model(X), y)


def test_averaged_weights_are_the_mean_of_the_second_halfs_epochs(data):
    from claims import chapter05_runs as runs

    seen, model = [], runs.network(0)
    optimizer = torch.optim.SGD(model.parameters(), lr=runs.RATE, momentum=runs.MOMENTUM)
    flatlab.fit(
        model, cross_entropy, data.train, optimizer=optimizer, steps=4, batch_size=64,
        callbacks=[lambda state: seen.append(flat(state.model))], progress=False,
        generator=torch.Generator().manual_seed(1000),
    )  # fmt: skip
    average = flat(runs.trained("SWA", 0.0, 2.0, 4, data, 0))
    torch.testing.assert_close(average, torch.stack(seen[2:]).mean(0), rtol=0, atol=1e-6)


def test_a_twin_computes_the_same_function(data, monkeypatch):
    from claims import chapter05_runs as runs

    monkeypatch.setattr(runs, "images", lambda *_: data)
    found = runs.twins(1, 64, 0)
    assert found["loss_twin"] == pytest.approx(found["loss"], rel=1e-5)
    assert found["asam_twin"] == pytest.approx(found["asam"], rel=1e-2)
    assert found["sam_twin"] > 2 * found["sam"]


def column(**values):
    return {name: np.full(3, value) + np.array([-0.1, 0, 0.1]) for name, value in values.items()}


def test_each_norm_is_judged_at_its_best_radius():
    from claims import chapter05_rules as rules

    errors = {"p = 1, ρ = 1": 22, "p = 1, ρ = 2": 20, "p = 2, ρ = 1": 30, "p = 2, ρ = 2": 21}
    found = {name: column(test_error_percent=error) for name, error in errors.items()}
    [point] = rules.best_norm(["1", "2"], found)
    assert point.share == 0 and "p = 1, ρ = 2 minus p = 2, ρ = 2" in point.what
    found["p = 2, ρ = 1"] = column(test_error_percent=19)
    [point] = rules.best_norm(["1", "2"], found)
    assert point.share == 1 and "minus p = 2, ρ = 1" in point.what


@pytest.mark.parametrize(("barrier", "error", "shares"), [(0.05, 2.5, [1, 1]), (0.2, 5, [0, 0])])
def test_a_path_of_near_constant_loss_is_told_from_the_line(barrier, error, shares):
    from claims import chapter06_rules as rules

    run = {
        "line_barrier": np.full(3, 1.0), "chain_barrier": np.full(3, barrier),
        "chain_max_train_error_percent": np.full(3, error), "end_train_error_percent": np.full(3, 2),
    }  # fmt: skip
    assert [p.share for p in rules.near_constant("chain", {"curves": run})] == shares


def test_the_ends_of_a_curve_are_those_of_its_networks(data, monkeypatch):
    from claims import chapter06_runs as runs

    monkeypatch.setattr(runs, "images", lambda *_: data)
    found = runs.curves(8, 2, 2, 32, 2, 64, 0)
    first = runs.train(runs.network(8, 0), data, 2, 0)
    second = runs.train(runs.network(8, 1), data, 2, 1, 32)
    ends = [flatlab.training.evaluate(end, cross_entropy, data.train) for end in (first, second)]
    assert found["end_loss"] == pytest.approx(max(end.loss for end in ends), rel=1e-5)
    assert found["end_train_error_percent"] == pytest.approx(
        max(100 * (1 - end.accuracy) for end in ends)
    )
    assert found["line_length"] == pytest.approx(1)
    assert found["chain_length"] >= 1


def test_budgets_of_ensembles_are_equal(data, monkeypatch):
    """Updates of one network, of FGE with what goes before it, and of the five short ones."""
    from claims import chapter06_runs as runs

    counts, fit = [], flatlab.fit

    def counted(*arguments, **options):
        counts.append(options["steps"])
        return fit(*arguments, **options)

    monkeypatch.setattr(runs, "images", lambda *_: data)
    monkeypatch.setattr(flatlab, "fit", counted)
    monkeypatch.setattr("flatlab.averaging.fit", counted)
    runs.ensembles(4, 60, 0.25, 0.05, 64, 0)
    singles, before, cycles = (counts[k : 3 * runs.MEMBERS : 3] for k in range(3))
    assert singles == [60] * runs.MEMBERS
    assert sum(counts[3 * runs.MEMBERS :]) == 60
    assert all(abs(b + c - 60) <= 1 for b, c in zip(before, cycles, strict=True))
