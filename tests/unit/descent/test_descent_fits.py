"""Features and fits against their definitions, NumPy's pseudoinverse and explicit hat matrices."""

import math

import numpy as np
import pytest
import torch

from flatlab.descent import (
    RandomFeatures,
    minimum_norm_fit,
    optimal_ridge,
    random_fourier_features,
    random_relu_features,
    ridge_fit,
    ridge_path,
)


def normal(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


SHAPES = [(30, 8), (8, 30), (12, 12)]


def test_features_are_their_formulas():
    X, V, b = normal(4, 3), normal(3, 5, seed=1), normal(5, seed=2)
    fourier, rectified = random_fourier_features(X, V, b), random_relu_features(X, V)
    for i in range(4):
        for j in range(5):
            product = sum(float(X[i, m] * V[m, j]) for m in range(3))
            wave = math.sqrt(2 / 5) * math.cos(product + float(b[j]))
            assert fourier[i, j].item() == pytest.approx(wave, abs=1e-14)
            assert rectified[i, j].item() == pytest.approx(math.sqrt(0.4) * max(product, 0))


def test_many_fourier_features_make_the_gaussian_kernel():
    X = normal(6, 3)
    drawn = RandomFeatures.fourier(3, 200_000, 2.0, torch.Generator().manual_seed(0))
    F = drawn(X)
    kernel = torch.exp(-torch.cdist(X, X).square() / (2 * 2.0**2))
    assert (F @ F.T - kernel).abs().max() < 5 / math.sqrt(200_000)  # one product has variance <= 1


def test_relu_directions_are_uniform_on_the_sphere():
    drawn = RandomFeatures.relu(3, 50_000, torch.Generator().manual_seed(0))
    lengths = torch.linalg.vector_norm(drawn.directions, dim=0)
    torch.testing.assert_close(lengths, torch.ones(50_000))
    second = drawn.directions @ drawn.directions.T / 50_000
    assert (second - torch.eye(3) / 3).abs().max() < 0.01


def test_smaller_sets_of_features_lie_in_larger_ones():
    X = normal(5, 2, 2)
    for drawn in (RandomFeatures.fourier(4, 9), RandomFeatures.relu(4, 9)):
        few, many = drawn(X, 3), drawn(X)
        torch.testing.assert_close(few * math.sqrt(3), (many * math.sqrt(9))[:, :3])
        assert many.dtype == torch.float64 and drawn(X.float()).dtype == torch.float32


def test_drawing_repeats_and_leaves_the_global_seed():
    before = torch.get_rng_state()
    one, two = (RandomFeatures.fourier(4, 9, 5.0, torch.Generator().manual_seed(s)) for s in (1, 1))
    assert torch.equal(one.directions, two.directions) and torch.equal(one.phases, two.phases)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("outputs", [(), (1,), (3,)])
@pytest.mark.parametrize("shape", SHAPES)
def test_the_minimum_norm_fit_is_the_pseudoinverse(shape, outputs):
    F, y = normal(*shape), normal(shape[0], *outputs, seed=1)
    fit = minimum_norm_fit(F, y)
    expected = np.linalg.pinv(F.numpy()) @ y.numpy()
    np.testing.assert_allclose(fit.coefficients.numpy(), expected, rtol=0, atol=1e-11)
    assert fit.rank == min(shape) and not fit.singular
    np.testing.assert_allclose(fit.singular_values, np.linalg.svd(F.numpy())[1], rtol=1e-12)
    assert fit.norm == pytest.approx(np.linalg.norm(expected))
    torch.testing.assert_close(fit.predict(F), F @ torch.from_numpy(expected))


@pytest.mark.parametrize("shape", SHAPES)
def test_dependent_features_are_told_and_fitted_with_least_norm(shape):
    F, y = normal(*shape), normal(shape[0], 2, seed=1)
    if shape[1] <= shape[0]:
        F[:, 3] = F[:, 0] - 2 * F[:, 1]
    else:
        F[3] = F[0] - 2 * F[1]
    fit = minimum_norm_fit(F, y)
    assert fit.singular and fit.rank == min(shape) - 1
    expected = np.linalg.lstsq(F.numpy(), y.numpy(), rcond=1e-12)[0]
    np.testing.assert_allclose(fit.coefficients.numpy(), expected, rtol=0, atol=1e-10)


def test_features_that_are_all_zero_give_zero():
    fit = minimum_norm_fit(torch.zeros(4, 3), torch.ones(4))
    assert fit.rank == 0 and fit.singular and torch.equal(fit.coefficients, torch.zeros(3).double())


def test_float32_is_solved_in_float64():
    F, y = normal(20, 20).float(), normal(20).float()
    fit = minimum_norm_fit(F, y)
    assert fit.coefficients.dtype == torch.float64
    assert (fit.predict(F) - y).abs().max() < 1e-9


@pytest.mark.parametrize("penalty", [1e-3, 0.7, 50.0])
@pytest.mark.parametrize("shape", SHAPES)
def test_ridge_solves_the_normal_equations(shape, penalty):
    F, y = normal(*shape), normal(shape[0], 2, seed=1)
    b = ridge_fit(F, y, penalty).coefficients
    expected = torch.linalg.solve(F.T @ F + penalty * torch.eye(shape[1]).double(), F.T @ y)
    torch.testing.assert_close(b, expected, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("shape", SHAPES)
def test_ridge_tends_to_the_minimum_norm(shape):
    F, y = normal(*shape), normal(shape[0], seed=1)
    limit = minimum_norm_fit(F, y).coefficients
    gaps = [
        float((ridge_fit(F, y, penalty).coefficients - limit).norm())
        for penalty in (1e-4, 1e-6, 1e-8)
    ]
    assert gaps[1] < 0.02 * gaps[0] and gaps[2] < 0.02 * gaps[1]


def explicit(F, y, penalty):
    """Degrees of freedom and the criterion from the hat matrix itself."""
    n, N = F.shape
    A = F @ torch.linalg.solve(F.T @ F + penalty * torch.eye(N).double(), F.T)
    left = torch.eye(n).double() - A
    return float(A.trace()), n * float((left @ y).square().sum()) / float(left.trace()) ** 2


@pytest.mark.parametrize("shape", SHAPES)
def test_cross_validation_is_that_of_the_hat_matrix(shape):
    F, y = normal(*shape), normal(shape[0], 2, seed=1)
    penalties = [0.01, 0.3, 4.0, 100.0]
    path = ridge_path(F, y, penalties)
    for i, penalty in enumerate(penalties):
        degrees, criterion = explicit(F, y, penalty)
        assert path.degrees_of_freedom[i].item() == pytest.approx(degrees, rel=1e-8)
        assert path.gcv[i].item() == pytest.approx(criterion, rel=1e-8)
        torch.testing.assert_close(path.coefficients[i], ridge_fit(F, y, penalty).coefficients)
    assert path.penalties[path.best] == penalties[int(path.gcv.argmin())]
    assert optimal_ridge(F, y, penalties) == path.penalties[path.best]


def test_cross_validation_without_a_penalty_is_its_limit():
    F, y = normal(8, 30), normal(8, 2, seed=1)
    zero, small = ridge_path(F, y, [0.0, 1e-7]).gcv.tolist()
    inverse = torch.linalg.inv(F @ F.T)
    by_hand = 8 * float((inverse @ y).square().sum()) / float(inverse.trace()) ** 2
    assert zero == pytest.approx(by_hand, rel=1e-10) and small == pytest.approx(zero, rel=1e-5)
    tall = normal(30, 8)
    y = normal(30, seed=1)
    residual = y - tall @ torch.linalg.lstsq(tall, y[:, None]).solution[:, 0]
    expected = 30 * float(residual.square().sum()) / (30 - 8) ** 2
    assert ridge_path(tall, y, [0.0]).gcv.item() == pytest.approx(expected, rel=1e-10)


def test_cross_validation_finds_the_penalty_that_predicts_best():
    """y = F w + noise, w ~ N(0, 1): the best penalty is the noise's variance."""
    F, w = normal(400, 100), normal(100, seed=1)
    penalties = [0.0, 0.25, 1.0, 4.0, 16.0, 64.0, 256.0]
    y = F @ w + 4 * normal(400, seed=2)
    assert optimal_ridge(F, y, penalties) in (4.0, 16.0, 64.0)


F, Y = torch.ones(4, 3), torch.ones(4)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ridge_fit(F, Y, -1.0), "penalty is -1.0: give a number of at least 0"),
        (lambda: ridge_path(F, Y, [1.0, -0.5]), "penalty is -0.5"),
        (lambda: ridge_path(F, Y, []), "there are no penalties"),
        (lambda: optimal_ridge(F, Y, [math.nan]), "penalty is nan"),
        (
            lambda: minimum_norm_fit(F, Y[:3]),
            r"features have shape \(4, 3\) and the targets \(3,\)",
        ),
        (lambda: minimum_norm_fit(F[0], Y), r"give features \(n, N\)"),
        (lambda: minimum_norm_fit(F[:0], Y[:0]), "hold no numbers"),
        (lambda: minimum_norm_fit(F * math.nan, Y), "the features hold NaN or inf"),
        (lambda: minimum_norm_fit(F, Y * math.inf), "the targets hold NaN or inf"),
        (lambda: RandomFeatures.fourier(3, 5)(F, 6), "6 features are asked for and 5 were drawn"),
        (lambda: RandomFeatures.fourier(3, 5)(F, 0), "count is 0"),
        (lambda: RandomFeatures.fourier(3, 5, 0.0), "bandwidth is 0.0"),
        (lambda: RandomFeatures.relu(3, 0), "most is 0"),
        (lambda: RandomFeatures.relu(2, 5)(F), r"X has shape \(4, 3\) and directions \(2, 5\)"),
        (lambda: random_fourier_features(F, F, Y), "X has shape"),
        (lambda: random_fourier_features(F, F.T, Y[:3]), "give one phase for each"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
