"""Curves against one least-squares problem at a time, solved by NumPy."""

import math

import numpy as np
import pytest
import torch
from torch.nn.functional import one_hot

from flatlab.descent import RandomFeatures, feature_curve, minimum_norm_fit, sample_curve


def normal(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


X, X_TEST = normal(24, 3), normal(15, 3, seed=1)
Y = one_hot(torch.arange(24) % 4, 4).double()
Y_TEST = one_hot(torch.arange(15) % 4, 4).double()
DRAWN = RandomFeatures.fourier(3, 60, 0.8, torch.Generator().manual_seed(2))
PENALTIES = (0.0, 1e-4, 0.1)


def by_numpy(F, y, F_test, y_test, penalty):
    """Risks, error and norm of one fit."""
    F, y, F_test, y_test = (t.double().numpy() for t in (F, y, F_test, y_test))
    if penalty:
        b = np.linalg.solve(F.T @ F + penalty * np.eye(F.shape[1]), F.T @ y)
    else:
        b = np.linalg.lstsq(F, y, rcond=None)[0]
    predicted = F_test @ b
    wrong = (predicted.argmax(-1) != y_test.argmax(-1)).mean()
    train, test = np.mean((F @ b - y) ** 2), np.mean((predicted - y_test) ** 2)
    return train, test, wrong, np.linalg.norm(b)


def check(curve, expected, tolerance=1e-7):
    found = torch.stack([curve.train_risk, curve.test_risk, curve.test_error, curve.norm], 2)
    np.testing.assert_allclose(found.numpy(), np.array(expected), rtol=tolerance, atol=1e-12)


@pytest.mark.parametrize("counts", [[1, 5, 23, 24, 25, 40, 60], [3], [24], [50, 51]])
def test_the_feature_curve_is_one_fit_for_each_count(counts):
    curve = feature_curve(DRAWN, (X, Y), (X_TEST, Y_TEST), counts, PENALTIES)
    check(
        curve,
        [
            [by_numpy(DRAWN(X, N), Y, DRAWN(X_TEST, N), Y_TEST, p) for p in PENALTIES]
            for N in counts
        ],
    )
    assert curve.counts == tuple(counts) and curve.threshold == 24 and not any(curve.singular)


@pytest.mark.parametrize("count", [10, 24, 40])
def test_the_sample_curve_is_one_fit_for_each_size(count):
    sizes = [2, 9, 10, 11, 20, 24]
    curve = sample_curve(DRAWN, count, (X, Y), (X_TEST, Y_TEST), sizes, PENALTIES)
    F, F_test = DRAWN(X, count), DRAWN(X_TEST, count)
    check(
        curve,
        [[by_numpy(F[:n], Y[:n], F_test, Y_TEST, p) for p in PENALTIES] for n in sizes],
    )
    assert curve.threshold == count


def test_relu_features_and_targets_of_one_output():
    drawn = RandomFeatures.relu(3, 40, torch.Generator().manual_seed(0))
    y, y_test = X[:, 0].sin(), X_TEST[:, 0].sin()
    curve = feature_curve(drawn, (X, y), (X_TEST, y_test), [4, 30])
    for i, N in enumerate((4, 30)):
        train, test, _, norm = by_numpy(drawn(X, N), y, drawn(X_TEST, N), y_test, 0.0)
        assert curve.test_risk[i].item() == pytest.approx(test, rel=1e-6)
        assert curve.train_risk[i].item() == pytest.approx(train, abs=1e-10)
        assert curve.norm[i].item() == pytest.approx(norm, rel=1e-6)
    assert curve.test_error.isnan().all()


@pytest.mark.parametrize("twin", [2, 30])
def test_dependent_features_are_told_and_fitted_with_least_norm(twin):
    """Feature `twin` is feature 0 once more: the second half of the counts is singular, if it is tall."""
    directions, phases = DRAWN.directions.clone(), DRAWN.phases.clone()
    directions[:, twin], phases[twin] = directions[:, 0], phases[0]
    drawn = RandomFeatures(directions, phases)
    counts = [2, 6, 20, 40]
    curve = feature_curve(drawn, (X, Y), (X_TEST, Y_TEST), counts)
    assert curve.singular == (False, twin == 2, twin == 2, False)
    check(curve, [[by_numpy(drawn(X, N), Y, drawn(X_TEST, N), Y_TEST, 0.0)] for N in counts], 1e-6)


def test_samples_that_stand_twice_are_told():
    twice, y = torch.cat([X, X[:3]]), torch.cat([Y, Y[1:4]])  # with labels that disagree
    curve = feature_curve(DRAWN, (twice, y), (X_TEST, Y_TEST), [10, 60])
    assert curve.singular == (False, True)
    check(
        curve,
        [[by_numpy(DRAWN(twice, N), y, DRAWN(X_TEST, N), Y_TEST, 0.0)] for N in (10, 60)], 1e-6,
    )  # fmt: skip
    assert curve.train_risk[1] > 1e-3
    samples = sample_curve(DRAWN, 60, (twice, y), (X_TEST, Y_TEST), [24, 25, 27])
    assert samples.singular == (False, True, True)


def test_ill_conditioned_gram_matrices_are_not_trusted():
    """Their singular values go beyond 1e-16 of the largest, those of the features do not."""
    smooth = RandomFeatures.fourier(3, 60, 40.0, torch.Generator().manual_seed(2))
    curve = feature_curve(smooth, (X, Y), (X_TEST, Y_TEST), [25, 60])
    for i, N in enumerate((25, 60)):
        F = smooth(X, N)
        assert 1e8 < np.linalg.cond(F.numpy()) < 1e12
        _, risk, _, norm = by_numpy(F, Y, smooth(X_TEST, N), Y_TEST, 0.0)
        assert curve.test_risk[i].item() == pytest.approx(risk, rel=1e-2)
        assert curve.norm[i].item() == pytest.approx(norm, rel=1e-3)
        assert curve.train_risk[i] < 1e-12


@pytest.mark.parametrize(("width", "count"), [(160.0, 36), (240.0, 34), (640.0, 30), (640.0, 32)])
def test_features_that_are_dependent_to_rounding_alone_are_told(width, count):
    """The triangular factor's diagonal is up to 500 times as large as their smallest singular value."""
    points = normal(36, 3)
    smooth = RandomFeatures.fourier(3, 60, width, torch.Generator().manual_seed(2))
    y, y_test = points[:, :1].sin() + points[:, 1:2] ** 2, X_TEST[:, :1]
    F = smooth(points, count)
    fit = minimum_norm_fit(F, y)
    size = torch.linalg.qr(F)[1].diagonal().abs()
    assert fit.singular and size.min() > 36 * torch.finfo(F.dtype).eps * size.max()
    curves = (
        feature_curve(smooth, (points, y), (X_TEST, y_test), [count]),
        sample_curve(smooth, count, (points, y), (X_TEST, y_test), [36]),
    )
    for curve in curves:
        assert curve.singular == (True,)
        assert curve.norm.item() == pytest.approx(fit.norm, rel=1e-3)


def test_risk_peaks_where_features_equal_samples():
    y = Y + 0.3 * normal(24, 4, seed=5)
    curve = feature_curve(DRAWN, (X, y), (X_TEST, Y_TEST), [4, 12, 24, 36, 60])
    assert curve.peak() == 24 == curve.threshold
    assert curve.norm[:, 0].argmax() == 2
    assert (curve.train_risk[2:] < 1e-12).all() and (curve.train_risk[:2] > 1e-3).all()


def test_arguments_and_the_global_seed_stay():
    before = torch.get_rng_state(), X.clone(), Y.clone()
    feature_curve(DRAWN, (X, Y), (X_TEST, Y_TEST), [5, 30], PENALTIES)
    assert torch.equal(before[0], torch.get_rng_state())
    assert torch.equal(before[1], X) and torch.equal(before[2], Y)


TEST = (X_TEST, Y_TEST)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: feature_curve(DRAWN, (X, Y), TEST, [10, 61]),
            "a count of 61.*are 60 features drawn",
        ),
        (lambda: sample_curve(DRAWN, 9, (X, Y), TEST, [25]), "25 is asked.*24 training samples"),
        (lambda: sample_curve(DRAWN, 61, (X, Y), TEST, [5]), "61 features are asked for"),
        (lambda: feature_curve(DRAWN, (X, Y), TEST, [0]), "a count is 0"),
        (lambda: feature_curve(DRAWN, (X, Y), TEST, [5, 5]), "each larger than the last"),
        (lambda: feature_curve(DRAWN, (X, Y), TEST, []), "give at least one"),
        (lambda: feature_curve(DRAWN, (X, Y), TEST, [5], [-1.0]), "penalty is -1.0"),
        (lambda: feature_curve(DRAWN, (X, Y), TEST, [5], []), "there are no penalties"),
        (lambda: feature_curve(DRAWN, (X, Y[:5]), TEST, [5]), "of the same samples"),
        (lambda: feature_curve(DRAWN, (X, Y[:, :2]), TEST, [5]), "only n may differ"),
        (lambda: feature_curve(DRAWN, (X, Y.argmax(1)), TEST, [5]), "give one-hot rows"),
        (lambda: DRAWN((255 * X).byte()), "uint8: give floating-point samples"),
        (lambda: feature_curve(DRAWN, (X.long(), Y), TEST, [5]), "int64: give floating-point"),
        (lambda: feature_curve(DRAWN, (X * math.nan, Y), TEST, [5]), "X holds NaN"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("first", range(7))
def test_features_that_stand_twice_are_told_where_samples_are_more(first):
    for twin in range(first + 1, 8):
        directions, phases = DRAWN.directions.clone(), DRAWN.phases.clone()
        directions[:, twin], phases[twin] = directions[:, first], phases[first]
        drawn, y = RandomFeatures(directions, phases), X[:, :1].sin()
        curve = sample_curve(drawn, 10, (X, y), (X_TEST, X_TEST[:, :1]), [24])
        assert curve.singular == (True,)
        assert curve.norm.item() == pytest.approx(minimum_norm_fit(drawn(X, 10), y).norm, rel=1e-6)
