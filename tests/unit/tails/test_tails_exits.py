"""Exit times: closed forms for Brownian motion, scaling laws, censored runs."""

import math

import pytest
import torch

from flatlab.tails import Exits, first_exits, levy_step, sample_stable


def flat(x):
    return torch.zeros_like(x)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_a_step_is_descent_plus_scaled_stable_noise():
    w, grad = torch.tensor([1.0, -2.0]), torch.tensor([0.5, 0.25])
    noise = sample_stable(1.5, 2, generator(7)).float()
    step = levy_step(w, grad, 0.1, 1.5, 2.0, generator(7))
    torch.testing.assert_close(step, w - 0.1 * grad + 0.1 ** (1 / 1.5) * 2.0 * noise)
    assert torch.equal(levy_step(w, grad, 0.1, 1.5, 0.0), w - 0.1 * grad)
    assert torch.equal(w, torch.tensor([1.0, -2.0]))


@pytest.mark.slow
@pytest.mark.beside
def test_brownian_motion_without_slope_takes_r_squared_over_two_d():
    """E T = r^2 / (2 D), D = sigma^2 (each step has variance 2 eta sigma^2)."""
    exits = first_exits(flat, -1, 1, 1e-4, 2.0, 1.0, 100_000, 2000, generator=generator(1))
    assert exits.exited.all()
    assert exits.mean == pytest.approx(0.5, rel=0.06)  # steps overshoot by about 1 %


@pytest.mark.slow
@pytest.mark.beside
def test_brownian_exits_grow_with_height_as_kramers_law():
    """A well x^2/2 cut at +-r: log mean time grows by the difference in height over sigma^2."""

    def exact(r, d):  # 2 int_0^r exp(y^2/2d) int_0^y exp(-z^2/2d) dz dy / 2d, by the trapezoid rule
        y = torch.linspace(0, r, 4001, dtype=torch.float64)
        inner = torch.cumulative_trapezoid((-(y**2) / (2 * d)).exp(), y)
        inner = torch.cat([torch.zeros(1, dtype=torch.float64), inner])
        return float(torch.trapezoid((y**2 / (2 * d)).exp() * inner, y) / d)

    for r in (1.0, 1.4):
        exits = first_exits(
            lambda x: x, -r, r, 1e-3, 2.0, 0.6, 200_000, 2000, generator=generator(2)
        )
        assert exits.mean == pytest.approx(exact(r, 0.36), rel=0.12)


@pytest.mark.slow
@pytest.mark.beside
def test_stable_noise_leaves_by_a_jump_so_that_only_the_width_counts():
    """alpha = 1.2: doubling the width multiplies the time by 2^1.2, the slope inside hardly matters."""
    times = [
        first_exits(lambda x: x, -r, r, 1e-2, 1.2, 0.02, 60_000, 600, generator=generator(3)).mean
        for r in (1.0, 2.0)
    ]
    assert times[1] / times[0] == pytest.approx(2**1.2, rel=0.15)


def test_censored_runs_add_time_and_no_exit():
    exits = Exits(torch.tensor([1.0, 2.0, 5.0]), torch.tensor([True, True, False]))
    assert exits.mean == 4.0
    assert exits.standard_error == pytest.approx(4 / math.sqrt(2))
    stay = first_exits(lambda x: x, -1, 1, 0.1, 2.0, 0.0, 5, 3)
    assert not stay.exited.any() and stay.mean == math.inf == stay.standard_error
    assert stay.times.tolist() == [0.5] * 3


def test_runs_that_overflow_have_left():
    exits = first_exits(lambda x: -1e300 * x, -1, 1, 1.0, 2.0, 1.0, 10, 4)
    assert exits.exited.all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"start": 1.0}, "inside the well"),
        ({"steps": 0}, "steps is 0"),
        ({"runs": True}, "runs is True"),
        ({"alpha": 2.5}, "tail index"),
        ({"sigma": -1.0}, "sigma is -1.0"),
        ({"learning_rate": 0.0}, "learning_rate is 0.0"),
    ],
)
def test_bad_arguments_are_refused(change, message):
    good = {"learning_rate": 0.1, "alpha": 1.5, "sigma": 1.0, "steps": 3, "runs": 2}
    with pytest.raises(ValueError, match=message):
        first_exits(flat, -1, 1, **(good | change))


def test_whole_numbers_cannot_take_the_noise():
    with pytest.raises(ValueError, match="int64, in which the noise would be rounded"):
        levy_step(torch.tensor([0, 0]), torch.tensor([0, 0]), 0.1, 1.5, 1.0)


def test_a_step_needs_a_gradient_of_the_same_shape():
    with pytest.raises(ValueError, match="must be the same"):
        levy_step(torch.ones(2), torch.ones(3), 0.1, 1.5, 1.0)
