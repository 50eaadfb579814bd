"""Chapters 07 and 08 of the ledger: rules on numbers made up for them, measures against other ways to get them."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

pytestmark = pytest.mark.usefixtures("bench_is_importable")


@pytest.fixture
def seven():
    from claims import chapter07_rules

    return chapter07_rules


@pytest.fixture
def eight():
    from claims import chapter08_rules

    return chapter08_rules


def run(**columns):
    return {name: np.array(values, dtype=float) for name, values in columns.items()}


# Grokking


def test_what_never_happens_is_later_than_what_does_but_not_than_what_never_does(seven):
    nan = math.nan
    series = {"a": np.array([10.0, 10, nan, 10]), "b": np.array([20.0, nan, nan, 5])}
    point = seven.later("steps", series)
    assert point.share == pytest.approx(2 / 4)
    assert point.found == "10, never in 1 of 4 (a), 12.5, never in 2 of 4 (b)"
    assert seven.told(np.array([nan, nan])) == "never"


def test_the_far_rule_needs_both_steps(seven):
    runs = run(fit=[10, 10, 10], rule=[200, 90, math.nan])
    assert seven.far_beyond("", runs).share == pytest.approx(1 / 3)


@pytest.mark.parametrize(("power", "share"), [(-1, 1), (-0.6, 0), (1, 0)])
def test_the_slope_of_a_power_law_is_its_exponent(seven, power, share):
    decay = {"x": 3.0, "y": 1.0, "z": 0.1}
    found = {
        name: run(fit=[5, 5], rule=[5 + 100 * value**power] * 2) for name, value in decay.items()
    }
    (point,) = seven.inverse(decay, found)
    assert point.share == share
    assert point.what.endswith("slope of log delay over log λ")
    assert float(point.found) == pytest.approx(power)


def test_a_decay_at_which_the_rule_never_comes_has_no_slope(seven):
    found = {"x": run(fit=[5], rule=[50]), "y": run(fit=[5], rule=[math.nan])}
    (point,) = seven.inverse({"x": 1.0, "y": 0.1}, found)
    assert point.share == 0


def test_the_smallest_share_is_that_before_the_first_failure(seven):
    share = {"60 %": 0.6, "50 %": 0.5, "40 %": 0.4}
    nan = math.nan
    rules = {"60 %": [9, 9, 9, nan], "50 %": [9, 9, nan, 9], "40 %": [9, nan, 9, 9]}
    found = {name: run(rule=steps) for name, steps in rules.items()}
    np.testing.assert_array_equal(seven.smallest(share, found), [0.4, 0.5, 0.6, nan])


def test_a_random_walk_counts_as_one_and_a_straight_line_does_not(seven):
    from claims import chapter07_runs as runs

    steps = torch.randn(401, 3000, generator=torch.Generator().manual_seed(0))
    straight = torch.ones(401, 3000)
    for moves, share in ((steps, 1), (straight, 0)):
        walked = runs.walk(list(moves.cumsum(0)), 0)
        assert walked["moves"] == 40
        found = {"a": {name: np.array([value]) for name, value in walked.items()}}
        assert [point.share for point in seven.random_walk(found)] == [share, share]


def test_averages_over_a_result_see_through_noise_that_single_outputs_do_not():
    from claims import chapter07_runs as runs

    results = torch.arange(5).repeat(400)
    logits = torch.nn.functional.one_hot(results, 5).double()
    logits += 4 * torch.randn(logits.shape, generator=torch.Generator().manual_seed(1)).double()
    assert float((logits.argmax(1) == results).double().mean()) < 0.5
    assert runs.averaged_accuracy(logits, results) == 1
    assert runs.averaged_accuracy(logits.roll(1, 1), results) == 0


# Double descent


def test_the_worst_rise_is_over_the_lowest_before(eight):
    values = [np.array([4.0, 1]), np.array([2.0, 2]), np.array([3.0, 1.5]), np.array([2.5, 0.5])]
    np.testing.assert_allclose(eight.worst_rise(values), [1.5, 2.0])


def test_the_inner_peak_stands_highest_over_what_is_left_of_it(eight):
    risks = [[5.0, 1], [2, 2], [3, 3], [6, 1], [4, 0.5]]
    found = {f"w = {k}": run(test_risk=risk) for k, risk in enumerate(risks)}
    place, valley = eight.inner_peak(found)
    np.testing.assert_array_equal(place, [3, 2])
    np.testing.assert_array_equal(valley, [2, 1])


def test_the_rank_correlation_is_scipys(eight):
    draw = np.random.default_rng(2)
    a, b = draw.normal(size=(2, 12))
    assert eight.spearman(a, b + a) == pytest.approx(stats.spearmanr(a, b + a).statistic)


def test_the_sharpness_of_a_feature_fit_is_the_hessians():
    from claims import chapter08_runs as runs

    phi = torch.randn(7, 4, generator=torch.Generator().manual_seed(3)).double()
    y = torch.zeros(7, 10, dtype=torch.float64)

    def loss(b):
        return (phi @ b.reshape(4, 10) - y).square().mean()

    hessian = torch.autograd.functional.hessian(loss, torch.zeros(40, dtype=torch.float64))
    assert runs.sharpness(phi) == pytest.approx(float(torch.linalg.eigvalsh(hessian)[-1]))
    assert runs.sharpness(phi.T.contiguous()) == pytest.approx(
        2 * float(torch.linalg.svdvals(phi)[0]) ** 2 / 40
    )
