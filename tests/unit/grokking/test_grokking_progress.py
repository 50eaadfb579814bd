"""Times to a threshold, progress measures and the phase diagram against plain loops."""

import math

import numpy as np
import pytest
import torch

from flatlab.grokking import (
    OneHotMLP,
    Reached,
    cross_entropy,
    excluded_loss,
    grokking_delay,
    modular_table,
    one_hot_mse,
    phase_diagram,
    progress_measures,
    restricted_loss,
    split_table,
    time_to_threshold,
    weight_norm,
)
from flatlab.grokking.phases import PhaseDiagram
from flatlab.history import COLUMNS, History
from flatlab.training import fit


def history(train, test):
    columns = {name: np.zeros(len(test)) for name in COLUMNS}
    columns["step"] = 10 * np.arange(len(test))
    columns |= {"train_accuracy": np.array(train), "test_accuracy": np.array(test)}
    return History(**columns, metrics={}, stopped="steps", last_finite_step=0)


RECORD = history([0.2, 1, 1, 1, 1, 1], [0.1, 0.96, 0.5, 0.95, 0.97, 1])


@pytest.mark.parametrize(
    ("threshold", "patience", "time"),
    [(0.95, 1, 10), (0.95, 2, 30), (0.95, 3, 30), (0.95, 4, None), (0.97, 2, 40), (1.0, 1, 50)],
)
def test_the_first_step_of_a_row_of_good_evaluations(threshold, patience, time):
    assert time_to_threshold(RECORD, threshold, patience) == time
    rows = [{"test_accuracy": value} for value in RECORD.test_accuracy]
    rule = Reached(threshold, patience)
    stops = [i for i in range(1, len(rows) + 1) if rule(rows[:i])]
    assert (10 * (stops[0] - patience) if stops else None) == time


def test_a_history_that_never_gets_there_has_no_time():
    never = history([0.5, 1.0, 1.0], [0.1, math.nan, 0.2])
    assert time_to_threshold(never) is None
    assert time_to_threshold(never, column="train_accuracy") == 10
    assert grokking_delay(never) is None
    assert grokking_delay(RECORD, patience=2) == 20
    assert type(grokking_delay(RECORD)) is int


def trained(steps=60):
    table = modular_table(7)
    train, test = split_table(table, 0.6)
    model = OneHotMLP(7, 20, generator=torch.Generator().manual_seed(0)).double()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.02, weight_decay=0.5)
    fit(model, one_hot_mse, table.data(train), optimizer=optimizer, steps=steps, progress=False)
    return table, train, test, model


def test_progress_measures_are_what_their_names_say():
    table, train, _, model = trained()
    model.train()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    seed = torch.get_rng_state()
    found = {
        name: measure(model)
        for name, measure in progress_measures(
            table, train, one_hot_mse, frequencies=np.array([1, 2])
        ).items()
    }
    assert torch.equal(seed, torch.get_rng_state()) and model.training
    assert all(p.grad is None for p in model.parameters())
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])
    weights = torch.cat([p.detach().flatten() for p in model.parameters()])
    assert found["weight_norm"] == pytest.approx(weights.norm().item())
    logits = model(table.pairs).detach()
    assert found["restricted_loss"] == restricted_loss(logits, table, [1, 2], None, one_hot_mse)
    assert found["excluded_loss"] == excluded_loss(logits, table, [1, 2], train, one_hot_mse)

    def loss(flat):
        first, second = flat.split([model.first.numel(), model.second.numel()])
        a, b = table.pairs[train].T
        tables = first.view(14, 20)
        f = (tables[a] + tables[7 + b]).square() @ second.view(20, 7)
        target = torch.nn.functional.one_hot(table.results[train], 7)
        return (f - target).square().mean()

    H = torch.autograd.functional.hessian(loss, weights)
    assert found["sharpness"] == pytest.approx(torch.linalg.eigvalsh(H)[-1].item(), rel=0.01)
    diagonal, off = H.diagonal(), H - H.diagonal().diag()
    error = math.sqrt(2 * off.square().sum().item() / 10)  # of a mean over 10 probes
    assert abs(found["trace"] - diagonal.sum().item()) < 5 * error


def test_measures_go_along_with_a_run():
    table = modular_table(7)
    train, _ = split_table(table, 0.6)
    model = OneHotMLP(7, 8, generator=torch.Generator().manual_seed(0))
    metrics = progress_measures(table, train, curvature=False)
    record = fit(
        model, cross_entropy, table.data(train), learning_rate=0.1, steps=20, metrics=metrics,
        progress=False,
    )  # fmt: skip
    assert set(record.metrics) == {
        "weight_norm", "participation", "column_participation", "restricted_loss", "excluded_loss",
    }  # fmt: skip
    assert record.metrics["weight_norm"][-1] == pytest.approx(weight_norm(model))
    assert np.isfinite(list(record.metrics.values())).all()
    assert "restricted_loss" not in progress_measures(modular_table(7, "multiply"), train)


def test_the_phase_diagram_is_that_of_single_runs():
    table = modular_table(11)
    arguments = {"steps": 120, "evaluate_every": 20, "patience": 2, "learning_rate": 0.02}
    arguments["betas"] = (0.9, 0.98)
    diagram = phase_diagram(
        table, iter([0.0, 1.0]), [0.3, 0.8], [0, 1], progress=False, **arguments
    )
    assert diagram.weight_decays == (0.0, 1.0) and diagram.seeds == (0, 1)
    assert diagram.fitted.shape == diagram.generalized.shape == (2, 2, 2)
    for w, decay in enumerate(diagram.weight_decays):
        for f, fraction in enumerate(diagram.fractions):
            for s, seed in enumerate(diagram.seeds):
                g = torch.Generator().manual_seed(seed)
                train, test = split_table(table, fraction, torch.Generator().manual_seed(seed))
                model = OneHotMLP(11, generator=g)
                optimizer = torch.optim.AdamW(
                    model.parameters(), lr=0.02, weight_decay=decay, betas=(0.9, 0.98)
                )
                record = fit(
                    model, one_hot_mse, table.data(train), optimizer=optimizer, steps=120,
                    evaluate_every=20, test_data=table.data(test), progress=False,
                )  # fmt: skip
                place = (w, f, s)
                fitted = time_to_threshold(record, column="train_accuracy")
                assert diagram.fitted[place] == fitted
                generalized = time_to_threshold(record, patience=2)
                np.testing.assert_equal(diagram.generalized[place], generalized or math.nan)
    assert np.isnan(diagram.generalized).any() and not np.isnan(diagram.generalized).all()


def test_phases_are_told_by_the_delay():
    nan = math.nan
    fitted = np.array([[[10, 10, 10, nan]]])
    diagram = PhaseDiagram(
        (1.0,), (0.5,), (0, 1, 2, 3), fitted, fitted * 0 + [20, 50, nan, nan], 99
    )
    assert diagram.phases(10).tolist() == [[[0, 1, 2, 3]]]
    assert diagram.phases(9.5).tolist() == [[[1, 1, 2, 3]]]
    with pytest.raises(ValueError, match="delay is -1"):
        diagram.phases(-1)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: time_to_threshold(RECORD, 0.0), "threshold is 0.0: give an accuracy"),
        (lambda: time_to_threshold(RECORD, 0.9, 0), "patience is 0"),
        (lambda: time_to_threshold(RECORD, column="test_loss"), "a loss falls"),
        (lambda: time_to_threshold(RECORD, column="accuracy"), "no such column"),
        (lambda: Reached(1.5), "threshold is 1.5"),
        (lambda: progress_measures(modular_table(5), torch.arange(0)), "no training rows"),
        (lambda: progress_measures(modular_table(5), torch.arange(3), probes=0), "probes is 0"),
        (lambda: phase_diagram(modular_table(5), [-1.0], [0.5]), "weight_decay is -1.0"),
        (lambda: phase_diagram(modular_table(5), [1.0], [0.01]), "leaves nothing to train on"),
        (lambda: phase_diagram(modular_table(5), [], [0.5]), "weight_decay has no values"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
