"""What a sweep takes, refuses, keeps and gives back."""

import inspect
import math
import pickle

import joblib
import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy, mse_loss

from flatlab import models
from flatlab.sweeps import AllDiverged, Run, grid, sweep
from flatlab.sweeps.lockstep import can_run

X = torch.randn(40, 5, generator=torch.Generator().manual_seed(0))
Y = torch.randint(3, (40,), generator=torch.Generator().manual_seed(1))
RUNS = grid(learning_rate=[0.05, 0.1], batch_size=[8, 40], seed=[0, 1])


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def build(generator):
    return models.mlp((5, 6, 3), generator=generator)


def swept(runs=RUNS, **rest):
    return sweep(build, cross_entropy, (X, Y), runs, epochs=3, progress=False, **rest)


def same(one, other):
    assert len(one) == len(other)
    for a, b in zip(one, other, strict=True):
        assert a.run == b.run
        np.testing.assert_allclose(a.history.train_loss, b.history.train_loss, rtol=1e-5)
        for name in a.state:
            torch.testing.assert_close(a.state[name], b.state[name], rtol=1e-4, atol=1e-6)


def test_a_grid_is_every_combination_the_last_fastest():
    assert [(run.learning_rate, run.batch_size, run.seed) for run in RUNS] == [
        (0.05, 8, 0), (0.05, 8, 1), (0.05, 40, 0), (0.05, 40, 1),
        (0.1, 8, 0), (0.1, 8, 1), (0.1, 40, 0), (0.1, 40, 1),
    ]  # fmt: skip
    assert grid() == [Run()]
    assert grid(Run(momentum=0.5), seed=[3])[0].momentum == 0.5


def test_whole_numbers_of_numpy_become_plain_ones():
    runs = grid(batch_size=np.array([8, 40], np.uint8), seed=np.arange(2))
    assert runs == grid(batch_size=[8, 40], seed=range(2))
    assert {type(value) for run in runs for value in (run.batch_size, run.seed)} == {int}
    for wrong in (np.bool_(True), np.float64(1), np.int64(-1)):
        with pytest.raises(ValueError, match="seed is .*give a whole number of at least 0"):
            Run(seed=wrong)


def test_an_outcome_gives_the_trained_network_and_a_row():
    outcome = swept(metrics={"norm": lambda model: next(model.parameters()).norm().item()})[0]
    model = outcome.model(build)
    loss = cross_entropy(model(X), Y).item()
    assert loss == pytest.approx(outcome.history.train_loss[-1], rel=1e-5)
    row = outcome.row()
    assert row["learning_rate"] == 0.05 and row["stopped"] == "epochs"
    assert row["norm"] == pytest.approx(next(model.parameters()).norm().item(), rel=1e-5)


def test_a_row_has_the_runs_learning_rate_and_not_the_schedules_last():
    runs = grid(Run(schedule=lambda step: 1.0 if step < 2 else 0.0), learning_rate=[0.1, 0.2])
    assert [outcome.row()["learning_rate"] for outcome in swept(runs)] == [0.1, 0.2]
    with pytest.raises(ValueError, match="metrics names momentum, which every run has"):
        swept(metrics={"momentum": lambda model: 0.0})


def test_the_global_seed_and_the_arguments_stay():
    before, data = torch.get_rng_state(), (X.clone(), Y.clone())
    swept()
    assert torch.equal(before, torch.get_rng_state())
    assert torch.equal(X, data[0]) and torch.equal(Y, data[1])


@pytest.mark.parametrize("engine", ["lockstep", "sequential"])
def test_runs_are_trained_where_the_caller_needs_no_gradients(engine):
    expected = swept(RUNS[:2], engine=engine)
    with torch.inference_mode():
        same(swept(RUNS[:2], engine=engine), expected)


def test_a_build_that_draws_globally_repeats_by_its_seed():
    def draws(generator):
        return nn.Sequential(nn.Linear(5, 5), models.mlp((5, 5, 3), generator=generator))

    state = torch.get_rng_state()
    one, two, other = (Run(seed=seed).start(draws)[0] for seed in (3, 3, 4))
    assert torch.equal(state, torch.get_rng_state())
    assert torch.equal(one[0].weight, two[0].weight)
    assert not torch.equal(one[0].weight, other[0].weight)
    assert not torch.equal(one[0].weight, one[1][1].weight)  # nor does it repeat the generator's
    assert torch.equal(one[1][1].weight, models.mlp((5, 5, 3), generator=seeded(3))[1].weight)


@pytest.mark.slow
@pytest.mark.beside
def test_groups_in_other_processes_give_the_same():
    expected = swept(engine="sequential")
    with joblib.parallel_config(backend="loky", n_jobs=2):
        same(swept(), expected)


def test_what_is_finished_is_not_run_again(tmp_path, monkeypatch):
    expected = swept(folder=tmp_path)
    assert len(list(tmp_path.iterdir())) == len(RUNS)
    gone, damaged, *_ = sorted(tmp_path.iterdir())
    gone.unlink()
    damaged.write_bytes(damaged.read_bytes()[:-100])
    trained = []
    room = inspect.unwrap(sweep).__globals__
    train = room["_train"]

    def counted(job, group, tick):
        trained.extend(group)
        return train(job, group, tick)

    monkeypatch.setitem(room, "_train", counted)
    same(swept(folder=tmp_path), expected)
    assert len(trained) == 2
    trained.clear()
    same(swept([*RUNS, Run(seed=9)], folder=tmp_path)[:-1], expected)
    assert len(trained) == 1


def test_smaller_stacks_give_the_same():
    same(swept(engine="lockstep", most_together=1), swept(engine="lockstep"))


def test_an_interrupted_sweep_keeps_its_finished_groups(tmp_path):
    calls = []

    def stop_in_the_second_group(model):
        calls.append(model)
        if len(calls) > 20:
            raise KeyboardInterrupt
        return 0.0

    with pytest.raises(KeyboardInterrupt):
        swept(folder=tmp_path, metrics={"m": stop_in_the_second_group})
    kept = list(tmp_path.iterdir())
    assert len(kept) == 4 and all(path.suffix == ".npz" for path in kept)


@pytest.mark.parametrize(
    "change",
    [
        {"epochs": 4},
        {"stop_loss": 0.1},
        {"loss_fn": mse_loss},
        {"test_data": (X, Y)},
        {"stop_when": len},
        {"runs": [Run(weight_decay=0.1)]},
        {"runs": [Run(train_fraction=0.5)]},
    ],
)
def test_another_sweep_takes_nothing_from_the_folder(tmp_path, change):
    arguments = {"loss_fn": cross_entropy, "epochs": 3, "progress": False, "folder": tmp_path}
    arguments["runs"] = [Run()]
    sweep(build, data=(X, Y), **arguments)
    if change.get("loss_fn") is mse_loss:
        targets = nn.functional.one_hot(Y, 3).float()
    else:
        targets = Y
    sweep(build, data=(X, targets), **(arguments | change))
    assert len(list(tmp_path.iterdir())) == 2


def test_networks_that_draw_are_trained_one_by_one():
    def with_dropout(generator):
        return nn.Sequential(build(generator), nn.Dropout(0.5))

    assert not can_run(with_dropout(torch.Generator()), X)
    outcomes = sweep(with_dropout, cross_entropy, (X, Y), RUNS[:2], steps=5, progress=False)
    assert [len(outcome.history) for outcome in outcomes] == [2, 2]
    with pytest.raises(ValueError, match="leave engine at 'auto'"):
        sweep(with_dropout, cross_entropy, (X, Y), RUNS, steps=5, engine="lockstep")


def test_all_diverged_says_so_and_loses_nothing():
    runs = grid(Run(batch_size=8), learning_rate=[1e8, 1e9])
    targets = nn.functional.one_hot(Y, 3).float()
    with pytest.raises(AllDiverged, match="all 2 runs diverged.*smaller learning rates") as caught:
        sweep(build, mse_loss, (X, targets), runs, epochs=9, progress=False)
    assert [outcome.run for outcome in caught.value.outcomes] == runs
    carried = pickle.loads(pickle.dumps(caught.value))
    assert str(carried) == str(caught.value) and len(carried.outcomes) == 2


@pytest.mark.parametrize(
    ("runs", "arguments", "message"),
    [
        ([], {}, "the grid is empty"),
        (RUNS, {"engine": "fast"}, "choose auto, lockstep or sequential"),
        (RUNS, {"most_together": 0}, "most_together is 0"),
        (RUNS, {"stop_loss": -1.0}, "stop_loss is -1.0"),
        (RUNS, {"steps": 3}, "exactly one of steps and epochs"),
        ([Run(batch_size=41)], {}, "the data hold only 40"),
        ([Run(batch_size=lambda step: 8)], {}, "bound the run by steps"),
        ([Run(train_fraction=0.01)], {}, "leaves nothing to train on or nothing to test on"),
        ([Run(train_fraction=0.995)], {}, "leaves nothing to train on or nothing to test on"),
        ([Run(train_fraction=0.5, batch_size=21)], {}, "the data hold only 20"),
    ],
)
def test_bad_arguments_are_refused(runs, arguments, message):
    with pytest.raises(ValueError, match=message):
        swept(runs, **arguments)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"learning_rate": [0.0]}, "learning_rate is 0.0: give a positive number"),
        ({"learning_rate": [math.inf]}, "learning_rate is inf"),
        ({"label_noise": [1.5]}, "label_noise is 1.5: give a fraction"),
        ({"momentum": [1.0]}, "momentum is 1.0"),
        ({"init_scale": [-1.0]}, "init_scale is -1.0"),
        ({"seed": [-1]}, "seed is -1"),
        ({"optimizer": ["adam"]}, "optimizer is 'adam': choose sgd or adamw"),
        ({"weight_decay": [-0.1]}, "weight_decay is -0.1: give a number of at least 0"),
        ({"train_fraction": [1.0]}, "train_fraction is 1.0: give a fraction between 0 and 1"),
        ({"train_fraction": [math.nan]}, "train_fraction is nan"),
        ({"betas": [(0.9, 1.0)]}, "betas is .0.9, 1.0.: give two numbers"),
        ({"optimizer": ["adamw"], "momentum": [0.9]}, "momentum belongs to sgd"),
        ({"seed": []}, "seed has no values: the grid is empty"),
        ({"width": [3]}, "no setting 'width'.*learning_rate, batch_size"),
    ],
)
def test_bad_grids_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        grid(**settings)


def test_label_noise_needs_classes():
    runs = [Run(label_noise=0.5)]
    with pytest.raises(ValueError, match="targets that are classes"):
        sweep(build, mse_loss, (X, torch.randn(40, 3)), runs, steps=2)
