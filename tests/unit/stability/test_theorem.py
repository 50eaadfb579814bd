"""Theorem 1 against definitions written out, simulations, and dense matrices of small networks."""

import copy
import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import flatlab
from flatlab.curvature import GaussNewton, Hessian, HessianVariance
from flatlab.stability import (
    StabilityOperator,
    is_linearly_stable,
    mean_square_multiplier,
    non_uniformity_bound,
    sharpness_bound,
    stability_matrix,
)


def random_hessians(n, d, seed, rank=1):
    generator = torch.Generator().manual_seed(seed)
    factors = torch.randn(n, d, rank, generator=generator, dtype=torch.float64)
    return factors @ factors.mT


def all_batches(hessians, learning_rate, batch_size):
    """E (I - eta H_b)^2 over every batch without replacement: the definition, no formula."""
    n, d, _ = hessians.shape
    steps = [
        torch.eye(d, dtype=torch.float64) - learning_rate * hessians[list(batch)].mean(0)
        for batch in itertools.combinations(range(n), batch_size)
    ]
    return torch.stack([step @ step for step in steps]).mean(0)


@settings(max_examples=40, deadline=None)
@given(
    n=st.integers(2, 6),
    d=st.integers(1, 4),
    seed=st.integers(0, 10**6),
    learning_rate=st.floats(0.01, 3),
    data=st.data(),
)
def test_the_matrix_is_the_mean_over_all_batches(n, d, seed, learning_rate, data):
    batch_size = data.draw(st.integers(1, n))
    hessians = random_hessians(n, d, seed)
    expected = all_batches(hessians, learning_rate, batch_size)
    torch.testing.assert_close(stability_matrix(hessians, learning_rate, batch_size), expected)
    top = float(torch.linalg.eigvalsh(expected)[-1])
    multiplier = mean_square_multiplier(hessians, learning_rate, batch_size)
    assert multiplier == pytest.approx(top, rel=1e-9)
    if abs(top - 1) > 1e-6:
        assert is_linearly_stable(hessians, learning_rate, batch_size) == (top <= 1)


@settings(max_examples=40, deadline=None)
@given(
    n=st.integers(2, 8),
    d=st.integers(1, 4),
    seed=st.integers(0, 10**6),
    learning_rate=st.floats(0.01, 1),
    data=st.data(),
)
def test_the_two_bounds_are_necessary(n, d, seed, learning_rate, data):
    batch_size = data.draw(st.integers(1, n))
    hessians = random_hessians(n, d, seed)
    mean = hessians.mean(0)
    sigma = (hessians @ hessians).mean(0) - mean @ mean
    sharpness = float(torch.linalg.eigvalsh(mean)[-1])
    non_uniformity = max(float(torch.linalg.eigvalsh(sigma)[-1]), 0.0) ** 0.5
    if is_linearly_stable(hessians, learning_rate, batch_size):
        assert sharpness <= sharpness_bound(learning_rate) * (1 + 1e-6)
        assert non_uniformity <= non_uniformity_bound(learning_rate, batch_size, n) * (1 + 1e-6)


def test_the_bounds_values():
    assert sharpness_bound(0.1) == pytest.approx(20)
    assert sharpness_bound(0.1, momentum=0.9) == pytest.approx(38)
    assert non_uniformity_bound(0.7, 1, 2) == pytest.approx(1 / 0.7)
    assert non_uniformity_bound(0.5, 10, 1000) == pytest.approx(2 * math.sqrt(10 * 999 / 990))
    assert non_uniformity_bound(0.5, 1000, 1000) == math.inf
    assert flatlab.sharpness_bound is sharpness_bound


@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.9])
def test_the_sharpness_bound_is_the_edge_for_gradient_descent_on_a_quadratic(momentum):
    """torch.optim.SGD itself on a x^2 / 2, a little under the bound and a little over it."""
    for factor, stays in [(0.99, True), (1.01, False)]:
        a = factor * sharpness_bound(0.1, momentum)
        x = torch.ones(1, dtype=torch.float64, requires_grad=True)
        optimizer = torch.optim.SGD([x], lr=0.1, momentum=momentum)
        for _ in range(2000):
            optimizer.zero_grad()
            (a * x**2 / 2).sum().backward()
            optimizer.step()
        assert (abs(x.item()) < 1) == stays


def test_gradient_descent_has_no_second_bound():
    hessians = random_hessians(5, 3, 0)
    sharpness = float(torch.linalg.eigvalsh(hessians.mean(0))[-1])
    assert is_linearly_stable(hessians, 1.99 / sharpness, 5)
    assert not is_linearly_stable(hessians, 2.01 / sharpness, 5)
    assert not is_linearly_stable(hessians, 1.99 / sharpness, 1)


def test_flat_directions_count_as_stable():
    hessians = torch.zeros(4, 3, 3, dtype=torch.float64)
    hessians[:, 0, 0] = 1.0
    assert mean_square_multiplier(hessians, 0.5, 1) == pytest.approx(1)
    assert is_linearly_stable(hessians, 0.5, 1)
    assert is_linearly_stable(hessians, 2.0, 4)  # on the bound itself
    assert not is_linearly_stable(hessians, 2.0 + 1e-6, 4)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("share", [0.2, 1.0, 1.8])
def test_flat_directions_count_as_stable_in_float32_too(seed, share):
    J = torch.randn(8, 20, generator=torch.Generator().manual_seed(seed))  # 20 weights, 8 samples
    hessians = 2 * J[:, :, None] * J[:, None, :]
    rate = share / float(torch.linalg.eigvalsh(hessians.mean(0).double())[-1])
    assert is_linearly_stable(hessians, rate, np.int64(8))
    assert not is_linearly_stable(hessians, 2.1 * rate / share, 8)


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3)).double()
    generator = torch.Generator().manual_seed(1)
    X = torch.randn(12, 4, dtype=torch.float64, generator=generator)
    y = torch.randn(12, 3, dtype=torch.float64, generator=generator)
    return model, nn.MSELoss(), (X, y)


def dense_hessians(op_type, model, loss_fn, data):
    """(n, p, p): each sample's matrix, column by column from an operator on that sample alone."""
    X, y = data
    p = sum(q.numel() for q in model.parameters())
    eye = torch.eye(p, dtype=torch.float64)
    each = [op_type(model, loss_fn, (X[i : i + 1], y[i : i + 1])) @ eye for i in range(len(X))]
    return torch.stack(each)


@pytest.mark.parametrize("batch_size", [1, 3, 12])
@pytest.mark.parametrize("learning_rate", [0.05, 0.5])
def test_operators_agree_with_explicit_hessians(network, batch_size, learning_rate):
    hessians = dense_hessians(Hessian, *network)
    pair = (Hessian(*network), HessianVariance(*network))
    matrix = stability_matrix(hessians, learning_rate, batch_size)
    v = torch.randn(len(matrix), dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    operator = StabilityOperator(*pair, learning_rate, batch_size)
    torch.testing.assert_close(operator @ v, matrix @ v)
    explicit = mean_square_multiplier(hessians, learning_rate, batch_size)
    free = mean_square_multiplier(pair, learning_rate, batch_size, tol=1e-6)
    assert free == pytest.approx(explicit, rel=1e-5)


def test_at_a_global_minimum_gauss_newton_is_the_hessian(network):
    model, loss_fn, (X, _) = network
    data = (X, model(X).detach())
    variance = HessianVariance(model, loss_fn, data)
    for learning_rate in (0.05, 5.0):
        values = [
            mean_square_multiplier((op(model, loss_fn, data), variance), learning_rate, 2, tol=1e-6)
            for op in (Hessian, GaussNewton)
        ]
        assert values[0] == pytest.approx(values[1], rel=1e-5)
    pair = (GaussNewton(model, loss_fn, data), variance)
    sharpness = flatlab.sharpness(model, loss_fn, data)
    assert is_linearly_stable(pair, 1.9 / sharpness, len(X))
    assert not is_linearly_stable(pair, 2.1 / sharpness, len(X))


class Diagonal:
    """A diagonal operator that is 0 beyond its first entries."""

    dtype, device, n_samples = torch.float64, torch.device("cpu"), 1000

    def __init__(self, entries, p=200_000):
        self.entries, self.shape = torch.tensor(entries, dtype=torch.float64), (p, p)

    def __matmul__(self, v):
        out = torch.zeros_like(v)
        out[: len(self.entries)] = self.entries * v[: len(self.entries)]
        return out


@pytest.mark.parametrize("tol", [1e-2, 1e-3])
def test_a_few_unstable_directions_are_found_among_many_flat_ones(tol):
    """A random start lies almost wholly in the flat ones, whose multiplier is 1."""
    pair = Diagonal([4.0, 2.0, 1.0]), Diagonal([0.0, 400.0, 1.0])
    noise = 0.1**2 * (1000 - 4) / (4 * 999)
    expected = (1 - 0.1 * 2) ** 2 + noise * 400  # the second direction's, 1.64
    assert mean_square_multiplier(pair, 0.1, 4, tol=tol) == pytest.approx(expected, rel=tol)
    assert not is_linearly_stable(pair, 0.1, 4)
    assert is_linearly_stable(pair, 0.1, 1000)


@pytest.mark.parametrize("rate", [0.0, -0.1, math.nan, math.inf])
def test_bad_learning_rates(rate):
    hessians = random_hessians(3, 2, 0)
    for call in (
        lambda: sharpness_bound(rate),
        lambda: non_uniformity_bound(rate, 1, 2),
        lambda: stability_matrix(hessians, rate, 1),
        lambda: is_linearly_stable(hessians, rate, 1),
    ):
        with pytest.raises(ValueError, match="learning_rate"):
            call()


@pytest.mark.parametrize(
    ("batch_size", "n", "message"),
    [
        (0, 10, "batch_size is 0"),
        (-1, 10, "batch_size is -1"),
        (11, 10, "only n = 10"),
        (2.5, 10, "batch_size is 2.5"),
        (True, 10, "batch_size is True"),
        (1, 1, "n is 1"),
        (1, 0, "n is 0"),
    ],
)
def test_bad_batch_sizes(batch_size, n, message):
    with pytest.raises(ValueError, match=message):
        non_uniformity_bound(0.1, batch_size, n)


@pytest.mark.parametrize("momentum", [-0.1, 1.0, math.nan])
def test_bad_momentum(momentum):
    with pytest.raises(ValueError, match="momentum"):
        sharpness_bound(0.1, momentum)


def test_bad_hessians():
    good = random_hessians(3, 2, 0)
    crooked = good.clone()
    crooked[1, 0, 1] += 1
    broken = good.clone()
    broken[2, 0, 0] = math.nan
    for hessians, message in [
        (good[0], "give \\(n, d, d\\)"),
        (good[:, :1], "give \\(n, d, d\\)"),
        (good[:1], "fewer than 2"),
        (crooked, r"hessians\[1\] is not symmetric"),
        (broken, "NaN"),
    ]:
        with pytest.raises(ValueError, match=message):
            stability_matrix(hessians, 0.1, 1)
    with pytest.raises(ValueError, match="only n = 3"):
        stability_matrix(good, 0.1, 4)


def test_bad_pairs(network):
    hessian, variance = Hessian(*network), HessianVariance(*network)
    with pytest.raises(TypeError, match="pair of operators"):
        is_linearly_stable(hessian, 0.1, 1)
    with pytest.raises(TypeError, match="HessianVariance"):
        is_linearly_stable((hessian, torch.eye(hessian.shape[0])), 0.1, 1)
    first = HessianVariance(*network, parameters="0")
    with pytest.raises(ValueError, match="same model, data and parameters"):
        is_linearly_stable((hessian, first), 0.1, 1)
    for pair in ((variance, hessian), (hessian, hessian)):
        with pytest.raises(TypeError, match="in this order"):
            is_linearly_stable(pair, 0.1, 1)
    model, loss_fn, (X, y) = network
    fewer = HessianVariance(model, loss_fn, (X[:6], y[:6]))
    with pytest.raises(ValueError, match="12 samples and Sigma 6"):
        is_linearly_stable((hessian, fewer), 0.1, 1)
    with pytest.raises(ValueError, match="only n = 12"):
        is_linearly_stable((hessian, variance), 0.1, 13)
    with pytest.raises(ValueError, match="tol"):
        is_linearly_stable((hessian, variance), 0.1, 1, tol=-1)


def test_a_tolerance_finer_than_float32_is_taken(network):
    model, loss_fn, (X, y) = network
    network = copy.deepcopy(model).float(), loss_fn, (X.float(), y.float())
    pair = Hessian(*network), HessianVariance(*network)
    assert not is_linearly_stable(pair, 50.0, 2, tol=0)


@pytest.mark.parametrize("seed", range(6))
def test_negative_curvature_and_opposite_signs_are_found(seed):
    generator = torch.Generator().manual_seed(seed)
    saddle = Diagonal([1.0, -0.5]), Diagonal([0.5])
    found = mean_square_multiplier(saddle, 0.5, 4, generator=generator)
    assert found == pytest.approx(1.5625, rel=1e-3)
    aligned = Diagonal([4.0]), Diagonal([400.0])
    expected = (1 - 0.4) ** 2 + 0.1**2 * 996 / (4 * 999) * 400
    found = mean_square_multiplier(aligned, 0.1, 4, generator=generator)
    assert found == pytest.approx(expected, rel=1e-3)
