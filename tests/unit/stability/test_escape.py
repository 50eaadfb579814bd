"""The one-dimensional example: exact multipliers, simulated ones, and who leaves which minimum."""

import math

import pytest
import torch

from flatlab.stability import EscapeSystem


def test_the_slides_numbers():
    system = EscapeSystem()
    assert system.sharpness(1) == pytest.approx(2)
    assert system.non_uniformity(1) == pytest.approx(1.8)
    assert system.sharpness(0) == pytest.approx(2)
    assert system.non_uniformity(0) == 0
    assert system.multiplier(1, 0.7) == pytest.approx(0.4**2 + 0.49 * 1.8**2)
    assert system.multiplier(0, 0.7) == pytest.approx(0.16)
    assert system.multiplier(1, 0.7, batch_size=2) == pytest.approx(0.16)


def test_gradients_are_autograds_of_the_losses():
    system = EscapeSystem((0.1, 1.9, 0.7))
    x = torch.linspace(-1, 2, 53, dtype=torch.float64, requires_grad=True)
    losses = system.losses(x)
    assert losses.shape == (3, 53)
    for i in range(3):
        (expected,) = torch.autograd.grad(losses[i].sum(), x, retain_graph=True)
        torch.testing.assert_close(system.gradients(x.detach())[i], expected)


def test_sgd_leaves_for_zero_and_gradient_descent_stays():
    system, start = EscapeSystem(), torch.full((200,), 1 + 1e-5, dtype=torch.float64)
    sgd = system.trajectory(start, 0.7, 2000)
    assert sgd.shape == (2001, 200)
    assert float((sgd[-1].abs() < 1e-6).double().mean()) == 1.0
    descent = system.trajectory(1 + 1e-5, 0.7, 2000, stochastic=False)
    assert descent.shape == (2001,)
    assert float(descent[-1]) == pytest.approx(1, abs=1e-12)


def test_mean_squares_grow_by_the_exact_multiplier():
    """Near x = 1, over 200,000 walkers and few steps: no walker is far enough to feel x^2."""
    system = EscapeSystem((0.6, 1.4))
    start = torch.full((200_000,), 1 + 1e-6, dtype=torch.float64)
    for learning_rate in (0.3, 0.8, 1.1):
        path = system.trajectory(start, learning_rate, 3, torch.Generator().manual_seed(3))
        squares = (path - 1).square().mean(1)
        growth = squares[1:] / squares[:-1]
        expected = torch.full_like(growth, system.multiplier(1, learning_rate))
        torch.testing.assert_close(growth, expected, rtol=0.02, atol=0)


def test_draws_come_from_the_generator_and_repeat():
    system, state = EscapeSystem(), torch.get_rng_state()
    paths = [system.trajectory(0.9, 0.5, 30, torch.Generator().manual_seed(s)) for s in (1, 1, 2)]
    assert torch.equal(paths[0], paths[1]) and not torch.equal(paths[0], paths[2])
    assert torch.equal(torch.get_rng_state(), state)


def test_divergence_goes_on_to_infinity():
    path = EscapeSystem().trajectory(3.0, 2.5, 3000, stochastic=False)
    assert not math.isfinite(float(path[-1]))


@pytest.mark.parametrize("stochastic", [True, False])
def test_infinity_is_kept(stochastic):
    path = EscapeSystem().trajectory(
        torch.tensor([1.1]), 20.0, 900, torch.Generator().manual_seed(0), stochastic
    )
    assert not path.isnan().any() and path[-1].isinf()
    first = int(path.isinf().flatten().nonzero()[0])
    assert path[first:].isinf().all() and first > 50


def test_bad_input():
    system = EscapeSystem()
    with pytest.raises(ValueError, match="learning_rate"):
        system.trajectory(1.0, 0.0, 3)
    with pytest.raises(ValueError, match="steps"):
        system.trajectory(1.0, 0.1, -1)
    with pytest.raises(ValueError, match="minima are 0 and 1"):
        system.sharpness(2)
    with pytest.raises(ValueError, match="only n = 2"):
        system.multiplier(1, 0.1, batch_size=3)
    for curvatures in [(1.0,), (1.0, -1.0), (1.0, math.inf)]:
        with pytest.raises(ValueError, match="at least two positive"):
            EscapeSystem(curvatures)
