"""Sharpness against dense eigenvalues, epsilon-sharpness against the trust-region solution."""

import pytest
import torch
from dense_references import (
    KINDS,
    Quadratic,
    dense_hessian,
    mean_prediction,
    mlp,
    network,
    one_sample,
    symmetric,
)
from scipy.optimize import brentq
from torch import nn

from flatlab.curvature import ConvergenceError, epsilon_sharpness, sharpness


@pytest.mark.parametrize("kind", KINDS)
def test_sharpness_is_the_largest_eigenvalue(kind):
    model, X, y = network(kind)
    truth = torch.linalg.eigvalsh(dense_hessian(model, nn.CrossEntropyLoss(), X, y))[-1]
    value = sharpness(model, nn.CrossEntropyLoss(), (X, y), tol=1e-8)
    assert isinstance(value, float)
    assert value == pytest.approx(float(truth), rel=1e-7)


def test_sharpness_is_algebraic_not_the_magnitude():
    H, _ = symmetric([-5.0, 0.5, 1.0])
    model = Quadratic(H, torch.zeros(3, dtype=torch.float64))
    assert sharpness(model, mean_prediction, one_sample()) == pytest.approx(1.0, rel=1e-3)


def test_uncertified_sharpness_raises_and_says_what_was_reached():
    model, X, y = network("mlp-relu")
    with pytest.raises(ConvergenceError, match="after 2 products: raise max_iter or tol"):
        sharpness(model, nn.CrossEntropyLoss(), (X, y), tol=1e-8, max_iter=2)
    assert issubclass(ConvergenceError, RuntimeError)


def trust_region_maximum(H, g, epsilon):
    """max g'd + d'Hd/2 over |d| <= epsilon: (mu I - H) d = g, mu >= lambda_max (easy case)."""
    values, Q = torch.linalg.eigh(H)
    b = Q.T @ g

    def excess(mu):
        return float((b / (mu - values)).norm()) - epsilon

    top = float(values[-1])
    if top < 0 and excess(0.0) <= 0:  # an interior maximum
        mu = 0.0
    else:
        mu = brentq(excess, max(top, 0.0) + 1e-12, max(top, 0.0) + float(g.norm()) / epsilon + 1)
    d = b / (mu - values)
    return float(b @ d + (d**2 * values).sum() / 2)


@pytest.mark.parametrize("epsilon", [1e-3, 0.1, 2.0])
@pytest.mark.parametrize(
    "spectrum",
    [[0.2, 1.0, 3.0, 3.2], [-4.0, -1.0, 0.5, 2.0], [-3.0, -2.0, -1.0, -0.5], [0.0, 0.0, 0.0, 1.0]],
)
def test_epsilon_sharpness_of_a_quadratic(spectrum, epsilon):
    H, _ = symmetric(spectrum)
    g = torch.tensor([0.3, -0.1, 0.2, 0.05], dtype=torch.float64)
    model = Quadratic(H, g, c=2.0)
    result = epsilon_sharpness(model, mean_prediction, one_sample(), epsilon, steps=500, tol=1e-7)
    truth = trust_region_maximum(H, g, epsilon) / (1 + 2.0)
    assert result.converged
    assert result.value == pytest.approx(truth, rel=1e-5)
    assert result.value <= truth * (1 + 1e-10)
    assert result.loss == pytest.approx(2.0)
    assert result.perturbation_norm <= epsilon * (1 + 1e-12)
    assert result.value == max(result.start_values.values())
    rise = g @ result.perturbation + result.perturbation @ H @ result.perturbation / 2
    assert result.value == pytest.approx(float(rise) / 3, rel=1e-10)


def test_at_a_quadratic_minimum_it_is_the_taylor_value():
    H, _ = symmetric([0.1, 0.7, 2.5])
    model = Quadratic(H, torch.zeros(3, dtype=torch.float64), c=0.25)
    result = epsilon_sharpness(model, mean_prediction, one_sample(), 0.3, tol=1e-6)
    assert result.value == pytest.approx(0.5 * 0.3**2 * 2.5 / 1.25, rel=1e-6)
    assert "gradient" not in result.start_values  # there is none at the minimum


def test_taylor_check_at_the_minimum_of_a_network():
    model = mlp(3, 4, 2)
    generator = torch.Generator().manual_seed(0)
    X = torch.randn(12, 3, dtype=torch.float64, generator=generator)
    y = X[:, :2].sin()
    data, loss_fn = (X, y), nn.MSELoss()
    optimizer = torch.optim.LBFGS(
        model.parameters(), max_iter=4000, tolerance_grad=1e-10, line_search_fn="strong_wolfe"
    )

    def closure():
        optimizer.zero_grad()
        loss = loss_fn(model(X), y)
        loss.backward()
        return loss

    for _ in range(5):
        optimizer.step(closure)
    epsilon = 1e-3
    lambda_max = float(torch.linalg.eigvalsh(dense_hessian(model, loss_fn, X, y))[-1])
    result = epsilon_sharpness(model, loss_fn, data, epsilon)
    expected = 0.5 * epsilon**2 * lambda_max / (1 + result.loss)
    assert result.value == pytest.approx(expected, rel=0.02)


def test_a_maximum_has_no_rise():
    H, _ = symmetric([-1.0, -2.0])
    model = Quadratic(H, torch.zeros(2, dtype=torch.float64))
    result = epsilon_sharpness(model, mean_prediction, one_sample(), 0.5)
    assert result.value == 0 and result.converged
    assert torch.equal(result.perturbation, torch.zeros(2).double())


def test_the_value_grows_with_epsilon_and_with_steps():
    model, X, y = network("mlp-tanh")

    def value(epsilon, steps):
        return epsilon_sharpness(model, nn.CrossEntropyLoss(), (X, y), epsilon, steps=steps).value

    assert 0 < value(0.1, 30) < value(0.5, 30) < value(1.0, 30)
    assert value(0.5, 1) <= value(0.5, 3) <= value(0.5, 20)


def test_at_a_minimum_both_signs_of_the_top_eigenvector_are_tried():
    # L = w^2/2 - w^3/8: the steeper side is the negative one, invisible to the Hessian at 0.
    class Skewed(nn.Module):
        def __init__(self):
            super().__init__()
            self.w = nn.Parameter(torch.zeros(1, dtype=torch.float64))

        def forward(self, X):
            return (self.w**2 / 2 - self.w**3 / 8).expand(len(X), 1)

    result = epsilon_sharpness(Skewed(), mean_prediction, one_sample(), 1.0, random_starts=0)
    assert result.value == pytest.approx(0.625)
    assert float(result.perturbation) == pytest.approx(-1)
    assert sorted(result.start_values.values()) == pytest.approx([0.375, 0.625])


def test_running_out_of_steps_is_said():
    H, _ = symmetric([1.0, 0.99, 0.98, 0.9])
    g = torch.tensor([1e-3, 1e-3, 2e-3, 1e-2], dtype=torch.float64)
    few = epsilon_sharpness(Quadratic(H, g), mean_prediction, one_sample(), 5.0, steps=1, tol=1e-12)
    assert not few.converged


@pytest.mark.parametrize("epsilon", [0.0, -1.0, float("nan"), float("inf")])
def test_bad_epsilon(epsilon):
    model, X, y = network("mlp-tanh")
    with pytest.raises(ValueError, match="epsilon is the radius of a ball"):
        epsilon_sharpness(model, nn.CrossEntropyLoss(), (X, y), epsilon)


def test_bad_steps_starts_and_losses():
    model, X, y = network("mlp-tanh")
    with pytest.raises(ValueError, match="steps"):
        epsilon_sharpness(model, nn.CrossEntropyLoss(), (X, y), 0.1, steps=0)
    for wrong in (-1, 1.5):
        with pytest.raises(ValueError, match="random_starts"):
            epsilon_sharpness(model, nn.CrossEntropyLoss(), (X, y), 0.1, random_starts=wrong)
    with pytest.raises(FloatingPointError, match="the loss is not finite"):
        epsilon_sharpness(model, lambda f, t: f.sum() * float("nan"), (X, y), 0.1)
    with pytest.raises(ValueError, match="scalar"):
        epsilon_sharpness(model, nn.CrossEntropyLoss(reduction="none"), (X, y), 0.1)


@pytest.mark.parametrize("shift", [1.0, 5.0])
def test_a_rise_relative_to_one_plus_a_loss_needs_a_loss_above_minus_one(shift):
    H, _ = symmetric([0.5, 1.0])
    model = Quadratic(H, torch.zeros(2, dtype=torch.float64), c=-shift)
    with pytest.raises(ValueError, match="needs a loss above -1"):
        epsilon_sharpness(model, mean_prediction, one_sample(), 0.1)
