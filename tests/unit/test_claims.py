"""Chapters 03 and 04 of the ledger: rules and measures against closed forms and SciPy."""

import math

import numpy as np
import pytest
import torch
from scipy import integrate, stats

pytestmark = pytest.mark.usefixtures("bench_is_importable")


@pytest.fixture
def three():
    from claims import chapter03_rules

    return chapter03_rules


@pytest.fixture
def four():
    from claims import chapter04_rules

    return chapter04_rules


def test_the_interval_of_a_correlation_is_scipys(three):
    draw = np.random.default_rng(0)
    x = draw.normal(size=40)
    y = x + draw.normal(size=40)
    y[3] = np.nan
    wanted = stats.pearsonr(np.delete(x, 3), np.delete(y, 3))
    low, high = wanted.confidence_interval(0.95)
    point = three.correlation("a", x, y, 1)
    assert f"{wanted.statistic:+.2f}" in point.found
    assert f"{low:+.2f} to {high:+.2f}, 39 of 40 runs" in point.found
    assert point.share == 1
    assert three.correlation("a", x, y, -1).share == 0
    assert three.correlation("a", x, draw.normal(size=40), 1).share == 0


def test_the_slope_of_the_two_wells_is_their_derivative():
    from claims import chapter03_wells as wells

    x = torch.linspace(-3, 5, 101, dtype=torch.float64, requires_grad=True)
    [wanted] = torch.autograd.grad(wells.two_wells(x).sum(), x)
    torch.testing.assert_close(wells.slope(x.detach()), wanted)


@pytest.mark.parametrize("height", [1e-9, 1.0, 3.0])
def test_the_exact_exit_time_is_that_of_the_double_integral(four, height):
    sigma = 0.8
    wanted, _ = integrate.dblquad(
        lambda z, y: math.exp(height * (y**2 - z**2) / sigma**2) / sigma**2, 0, 1, 0, lambda y: y
    )
    assert four.exact_time(height, sigma) == pytest.approx(wanted, rel=1e-3)


def exits(times):
    return {f"h = {h}": {"mean_time": np.array([t, t])} for h, t in times.items()}


def test_growth_with_the_height_is_told_from_a_power_and_from_none(four):
    heights = [1, 2, 3, 4]
    exact = exits({h: four.exact_time(h, 0.8) for h in heights})
    assert [p.share for p in four.in_height(heights, 0.8, exact)] == [1, 1]
    power = exits({h: h**2.4 for h in heights})
    assert four.in_height(heights, 0.8, power)[1].share == 0
    assert four.not_in_height(heights, exact)[0].share == 0
    assert four.not_in_height(heights, exits(dict.fromkeys(heights, 7.0)))[0].share == 1
    assert four.in_width(heights, 1.5, exits({r: r**1.5 for r in heights}))[0].share == 1
    assert four.in_width(heights, 1.5, exits({r: r**2.0 for r in heights}))[0].share == 0


def curves(three, broken_from):
    """Test accuracy 80 %, and 60 % from a factor c on."""
    found = {}
    for n_train, first in broken_from.items():
        for c in three.FACTORS:
            height = 60.0 if c >= first else 80.0
            epochs = {f"accuracy_{e}": np.array([height, height]) for e in (1, 2)}
            late = {"accuracy_3": np.full(2, np.nan)}  # a curve of two epochs
            found[f"n = {n_train}, c = {c}"] = epochs | late
    return found


@pytest.mark.parametrize(("small", "large", "share"), [(8, 32, 1), (32, 32, 0), (64, 1000, 1)])
def test_the_factor_that_breaks_a_curve_is_found(three, small, large, share):
    [point] = three.earlier(curves(three, {1024: small, 4096: large}))
    assert point.share == share
    # 0 points at c / 2, 20 at c: 5 are passed a quarter of the way, in log c
    passed = [first / 2 * 2**0.25 if first < 1000 else 256 for first in (small, large)]
    assert f"{passed[0]:.4g} (n = 1024), {passed[1]:.4g} (n = 4096)" in point.found


def test_a_cycle_of_rates_and_one_of_batches_change_after_the_same_samples():
    from claims.chapter03_runs import Phases

    from flatlab.noise import Cycle

    rates, sizes = Cycle(128, 1.0, 4.0), Phases(256, 64, 8, 32)
    noise_by_rate = np.repeat([rates(step) / 32 for step in range(256)], 32)
    noise_by_size = np.concatenate([np.full(sizes(s), 1 / sizes(s)) for s in range(640)])
    assert len(noise_by_rate) == len(noise_by_size)
    np.testing.assert_allclose(noise_by_rate, noise_by_size)


def test_tails_are_told_from_scale_and_from_correlation():
    """Stable noise lies below every control; Gaussian noise, scaled and correlated, below the first."""
    from claims.chapter04_runs import estimates

    from flatlab import tails

    draw = torch.Generator().manual_seed(3)
    heavy = estimates(tails.sample_stable(1.0, (60, 3000), draw), 300, 0)
    assert heavy["alpha"] == pytest.approx(1.0, abs=0.15)
    assert heavy["shuffled"] < heavy["shuffled_control"] - 0.2
    assert heavy["kurtosis"] > 10
    mix = torch.randn(20, 3000, generator=draw, dtype=torch.float64)
    scale = torch.rand(3000, generator=draw, dtype=torch.float64).pow(3)
    gaussian = torch.randn(60, 20, generator=draw, dtype=torch.float64) @ mix * scale
    plain = estimates(gaussian, 300, 0)
    assert plain["alpha"] < plain["control"] + 0.1 < 2
    assert plain["alpha"] == pytest.approx(plain["covariance_control"], abs=0.1)
    assert plain["shuffled"] == pytest.approx(2, abs=0.15)
    assert plain["kurtosis"] == pytest.approx(3, abs=0.3)
