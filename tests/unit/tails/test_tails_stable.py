"""Stable draws against the normal and Cauchy laws, SciPy's stable law and the characteristic function."""

import numpy as np
import pytest
import torch
from scipy import stats

from flatlab.tails import sample_stable


def draws(alpha, size=100_000, seed=0):
    return sample_stable(alpha, size, torch.Generator().manual_seed(seed))


def test_two_is_the_normal_law_of_variance_two_and_one_is_cauchy():
    assert stats.kstest(draws(2.0).numpy(), stats.norm(scale=2**0.5).cdf).pvalue > 1e-3
    assert stats.kstest(draws(1.0).numpy(), stats.cauchy.cdf).pvalue > 1e-3


@pytest.mark.parametrize("alpha", [0.5, 0.8, 1.2, 1.5, 1.9])
def test_the_distribution_function_is_scipys(alpha):
    points = [-8.0, -2.0, -0.7, 0.0, 0.3, 1.0, 3.0, 20.0]
    x = draws(alpha)
    mine = torch.stack([(x <= point).double().mean() for point in points])
    truth = torch.as_tensor(stats.levy_stable.cdf(points, alpha, 0.0))
    torch.testing.assert_close(mine, truth, rtol=0, atol=0.007)  # 4 standard errors of 1e5 draws


@pytest.mark.parametrize("alpha", [0.3, 0.999, 1.001, 1.7])
def test_the_characteristic_function_is_exp_of_minus_t_to_the_alpha(alpha):
    x = draws(alpha, 200_000, seed=1)
    for t in (0.1, 1.0, 3.0):
        assert float((t * x).cos().mean()) == pytest.approx(
            float(torch.tensor(-(t**alpha)).exp()), abs=0.01
        )


def test_draws_have_the_shape_repeat_and_come_from_the_generator():
    state = torch.get_rng_state()
    assert sample_stable(1.5, (3, 4)).shape == (3, 4)
    assert sample_stable(1.5, 5).dtype == torch.float64
    assert torch.equal(draws(1.3, 9), draws(1.3, 9))
    assert not torch.equal(draws(1.3, 9), draws(1.3, 9, seed=1))
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("alpha", [0.01, 0.5, 1.0, 1.5, 2.0])
def test_no_draw_is_nan(alpha):
    assert not draws(alpha).isnan().any()


@pytest.mark.parametrize("alpha", [0, -1.0, 2.1, float("nan")])
def test_alpha_outside_its_range_is_refused(alpha):
    with pytest.raises(ValueError, match=r"tail index in \(0, 2\]"):
        sample_stable(alpha, 3)


def test_sizes_of_numpy_are_taken():
    expected = sample_stable(1.5, 6)
    assert torch.equal(sample_stable(1.5, np.int64(6)), expected)
    assert torch.equal(sample_stable(1.5, np.array([2, 3])), expected.view(2, 3))
