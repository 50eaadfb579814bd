"""Bias, variance and the threshold against plain loops; width curves against single runs."""

import math

import numpy as np
import pytest
import torch
from torch.nn.functional import mse_loss, one_hot

from flatlab import fit, models
from flatlab.descent import along_training, bias_variance, interpolation_threshold, width_curve
from flatlab.history import COLUMNS, History
from flatlab.sweeps import Outcome, Run, grid, sweep

G = torch.Generator().manual_seed(0)


def test_risk_is_bias_plus_variance():
    predictions, y = torch.randn(5, 7, 3, generator=G), torch.randn(7, 3, generator=G)
    found = bias_variance(predictions, y)
    f, t = predictions.double().numpy(), y.double().numpy()
    bias = np.mean([[(f[:, i, j].mean() - t[i, j]) ** 2 for j in range(3)] for i in range(7)])
    variance = np.mean([[f[:, i, j].var() for j in range(3)] for i in range(7)])
    assert found.bias == pytest.approx(bias) and found.variance == pytest.approx(variance)
    assert found.risk == pytest.approx(np.mean((f - t) ** 2))
    assert found.risk == pytest.approx(found.bias + found.variance, rel=1e-12)


def test_the_unbiased_parts_have_no_bias():
    """Predictions 2 + noise of variance 9 for targets 0: squared bias 4, variance 9."""
    parts = [
        bias_variance(2 + 3 * torch.randn(3, 400, generator=G), torch.zeros(400))
        for _ in range(100)
    ]
    assert np.mean([p.unbiased_bias for p in parts]) == pytest.approx(4, abs=0.15)
    assert np.mean([p.unbiased_variance for p in parts]) == pytest.approx(9, abs=0.2)
    assert np.mean([p.bias for p in parts]) == pytest.approx(4 + 3, abs=0.15)


@pytest.mark.parametrize(
    ("risks", "threshold"),
    [
        ([1.0, 0.1, 0.0, 0.0], 30),
        ([1.0, 0.0, 0.1, 0.0], 40),
        ([0.0, 0.0, 0.0, 1e-9], 10),
        ([1.0, 0.5, 0.1, 0.01], None),
        ([1.0, 0.5, 0.0, math.nan], None),
    ],
)
def test_the_threshold_is_where_interpolation_begins_for_good(risks, threshold):
    assert interpolation_threshold([10, 20, 30, 40], risks) == threshold
    assert interpolation_threshold([10, 20, 30, 40], torch.tensor(risks)) == threshold


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: bias_variance(torch.ones(3, 4), torch.ones(5)),
            r"\(3, 4\) and the targets \(5,\)",
        ),
        (lambda: bias_variance(torch.ones(4), torch.ones(4)), "the predictions of each seed"),
        (lambda: bias_variance(torch.ones(1, 4), torch.ones(4)), "1 seed: a variance needs"),
        (lambda: interpolation_threshold([1, 2], [0.1]), "2 counts and 1 risks"),
        (lambda: interpolation_threshold([2, 1], [0.1, 0.0]), "must ascend"),
        (lambda: interpolation_threshold([1], [0.0], -1.0), "tolerance is -1.0"),
        (lambda: width_curve([], build, mse_loss, DATA, [Run()], steps=2), "no widths"),
        (lambda: width_curve([0], build, mse_loss, DATA, [Run()], steps=2), "a width is 0"),
        (lambda: along_training([]), "there are no outcomes"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


X = torch.randn(30, 4, generator=G)
DATA = X, one_hot(torch.arange(30) % 3, 3).float()


def build(width):
    return lambda generator: models.mlp((4, width, 3), generator=generator)


def test_a_width_curve_is_its_single_runs():
    runs = grid(Run(learning_rate=0.3, batch_size=10), seed=[0, 1])
    curve = width_curve(
        [2, 5], build, mse_loss, DATA, runs, epochs=3, test_data=DATA, progress=False
    )
    assert curve.parameters == (4 * 2 + 2 + 2 * 3 + 3, 4 * 5 + 5 + 5 * 3 + 3)
    losses = curve.last("test_loss")
    assert losses.shape == (2, 2)
    for w, width in enumerate(curve.widths):
        for seed in (0, 1):
            g = torch.Generator().manual_seed(seed)
            model = models.mlp((4, width, 3), generator=g)
            record = fit(
                model, mse_loss, DATA, learning_rate=0.3, batch_size=10, epochs=3, generator=g,
                progress=False, test_data=DATA,
            )  # fmt: skip
            assert losses[w, seed] == pytest.approx(record.test_loss[-1], rel=1e-4)


def test_a_run_that_ends_between_evaluations_hides_no_later_one():
    """Of equal numbers of evaluations the run that went further says where the curve is."""

    def outcome(steps):
        steps = np.array(steps, dtype=float)
        columns = {name: steps for name in COLUMNS}
        return Outcome(Run(), History(**columns, metrics={}, stopped="", last_finite_step=0), {})

    epochs, values = along_training([outcome([0, 10, 15]), outcome([0, 10, 20])], "test_loss")
    assert epochs.tolist() == [0, 10, 20]
    np.testing.assert_array_equal(values, [[0, 10, np.nan], [0, 10, 20]])


def test_epoch_wise_curves_lie_over_the_same_epochs():
    runs = grid(Run(batch_size=10), learning_rate=[0.01, 0.5], seed=[0, 1])
    outcomes = sweep(
        build(9), mse_loss, DATA, runs, epochs=40, stop_loss=0.15, test_data=DATA, progress=False
    )
    lengths = [len(outcome.history) for outcome in outcomes]
    assert min(lengths) < max(lengths) == 41
    epochs, values = along_training(outcomes)
    assert epochs.tolist() == list(range(41)) and values.shape == (4, 41)
    for row, outcome, length in zip(values, outcomes, lengths, strict=True):
        np.testing.assert_array_equal(row[:length], outcome.history.test_loss)
        assert np.isnan(row[length:]).all()
    with pytest.raises(ValueError, match="no column 'risk'"):
        along_training(outcomes, "risk")
    other = sweep(build(9), mse_loss, DATA, runs[:1], steps=7, evaluate_every=2, progress=False)
    with pytest.raises(ValueError, match="evaluated at different steps"):
        along_training([*outcomes, *other])


def test_a_width_curve_of_networks_that_draw_globally_keeps_the_seed():
    def plain(width):
        return lambda g: torch.nn.Sequential(
            torch.nn.Linear(X.shape[1], width), torch.nn.Linear(width, 3)
        )

    before = torch.get_rng_state()
    width_curve([2, 3], plain, mse_loss, DATA, [Run(batch_size=10)], steps=3, progress=False)
    assert torch.equal(torch.get_rng_state(), before)


def test_runs_of_other_epochs_at_the_same_steps_are_refused():
    runs = [Run(batch_size=10), Run(batch_size=5)]
    rest = {"steps": 12, "evaluate_every": 6, "test_data": DATA, "progress": False}
    outcomes = sweep(build(4), mse_loss, DATA, runs, **rest)
    with pytest.raises(ValueError, match=r"different steps or epochs.*one batch_size"):
        along_training(outcomes)
