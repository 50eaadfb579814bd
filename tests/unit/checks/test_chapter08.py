"""Chapter 08's checks: their ground truths and the mistakes they tell apart."""

import math

import numpy as np
import pytest
import torch
from answered import Answered, apart, drawn
from scipy import integrate
from scipy import linalg as scipy_linalg
from sklearn.linear_model import LinearRegression, Ridge

from flatlab import descent
from flatlab.checks import CheckFailed, chapter08
from flatlab.checks.chapter08 import (
    features,
    fits,
    generalized,
    minimum_norm,
    parts,
    ridge,
    threshold,
    validation,
)
from flatlab.checks.core import run
from flatlab.course.reports.wording import course_words

HERE = Answered("08-double-descent")
SOLUTIONS, graded = HERE.solutions, HERE.graded
SEEDS = range(6)


def test_the_truths_stay_out_of_the_sandbox():
    assert not HERE.sent() & {"minimum_norm", "ridge", "gcv", "threshold"}


@pytest.mark.parametrize(
    ("exercise", "stub"),
    [
        ("ridge_fit", "def minimum_norm_fit(features, targets):"),
        ("optimal_ridge", "def ridge_fit(features, targets, penalty):"),
    ],
)
def test_a_mistake_in_an_earlier_exercise_costs_its_points_once(exercise, stub):
    cases = [c.text for c in HERE.of("alternative") if c.name == exercise]
    for answer in (SOLUTIONS[exercise], *cases):
        assert (
            graded(exercise, f"{stub}\n    raise NotImplementedError()\n\n\n{answer}") == "passed"
        )


@pytest.mark.parametrize("cell", HERE.of("misconception"), ids=lambda c: c.options["name"])
def test_later_checks_have_a_verdict_too_and_messages_reach_the_student(cell):
    student = HERE.notebook(cell.text)[cell.name]
    said = [run(c, student, 1) for c in getattr(chapter08, cell.name).visible.values()]
    for message in filter(None, said):  # the grader runs them all
        lines = " ".join(line.strip() for line in message.split("\n"))
        assert "It stopped with" in message or course_words(lines) == lines


@pytest.mark.parametrize("seed", SEEDS)
def test_features_are_cosines_and_their_mistakes_differ(seed):
    inputs = drawn(features.FiveFeatures(), seed)
    x, v, b = (inputs[name] for name in features.NAMES)
    right = features.features_of(x, v, b)
    assert right.shape == (4, 5)
    for i in range(4):
        for j in range(5):
            angle = sum(x[i, k] * v[k, j] for k in range(3)) + b[j]
            assert right[i, j] == pytest.approx(math.cos(angle) * (2 / 5) ** 0.5)
    apart(right, features.feature_mistakes(x, v, b), 1e-4)


def test_the_kernel_is_the_mean_over_frequencies_and_phases():
    """In one dimension, by integration: E 2 cos(v x + b) cos(v y + b) = exp(-(x - y)^2 / (2 sigma^2))."""
    x, y, sigma = 0.3, 1.4, 1.5

    def density(v):
        return math.exp(-((v * sigma) ** 2) / 2) * sigma / math.sqrt(2 * math.pi)

    def product(b, v):
        return 2 * math.cos(v * x + b) * math.cos(v * y + b) / (2 * math.pi) * density(v)

    mean, _ = integrate.dblquad(product, -6, 6, 0, 2 * math.pi)
    assert features.gaussian_kernel(np.array([[x], [y]]), sigma)[0, 1] == pytest.approx(mean)


@pytest.mark.parametrize("seed", SEEDS)
def test_features_tend_to_the_kernel_and_others_do_not(seed):
    check = features.Kernel()
    inputs = drawn(check, seed)
    x, v, b = (inputs[name] for name in features.NAMES)
    right = features.features_of(x, v, b)
    assert check.verdict(inputs, {"kernel": right @ right.T}) is None
    for factor in (0.9, 1.1, math.sqrt(0.5)):
        assert check.verdict(inputs, {"kernel": factor**2 * right @ right.T})
    assert check.verdict(inputs, {"kernel": math.nan * right @ right.T})


FITS = [
    minimum_norm.FewFeatures(),
    minimum_norm.ManyFeatures(),
    minimum_norm.Columns(),
    minimum_norm.Repeated(),
    minimum_norm.SameSamples(),
]


@pytest.mark.parametrize("check", FITS, ids=lambda c: type(c).__name__)
@pytest.mark.parametrize("seed", SEEDS)
def test_minimum_norm_fits_are_those_of_lapack_and_mistakes_differ(check, seed):
    inputs = drawn(check, seed)
    x, y = inputs["features"], inputs["targets"]
    right = fits.minimum_norm(x, y)
    lapack, _, rank, _ = scipy_linalg.lstsq(x, y, lapack_driver="gelsd")
    assert np.allclose(right, lapack)
    assert np.allclose(x.T @ (y - x @ right), 0)
    assert np.allclose(LinearRegression(fit_intercept=False).fit(x, y).coef_.T, right)
    assert fits.fit_verdict(x, y, right) is None
    apart(right, fits.fit_mistakes(x, y))
    assert rank == np.linalg.matrix_rank(x)


@pytest.mark.parametrize("seed", SEEDS)
def test_fits_that_are_as_good_but_longer_are_told(seed):
    inputs = drawn(minimum_norm.ManyFeatures(), seed)
    x, y = inputs["features"], inputs["targets"]
    right = fits.minimum_norm(x, y)
    null = scipy_linalg.null_space(x)
    assert "features.T @ features has no inverse here" in fits.fit_verdict(x, y, right + null[:, 0])
    assert "was inverted" in fits.fit_verdict(x, y, right + 1e9 * null[:, 0])
    assert "4 of the 9 coefficients are 0" in fits.fit_verdict(
        x, y, np.r_[np.linalg.solve(x[:, :5], y), np.zeros(4)]
    )
    for penalty in (1e-3, 0.1, 5.0):
        found = fits.penalty_of(x, y, fits.ridge(x, y, penalty))
        assert found == pytest.approx(penalty)
        assert f"the penalty {penalty:.3g}" in fits.fit_verdict(x, y, fits.ridge(x, y, penalty))
    assert fits.penalty_of(x, y, right) is None
    few = drawn(minimum_norm.FewFeatures(), seed)
    x, y = few["features"], few["targets"]
    assert "the least is" in fits.fit_verdict(x, y, fits.minimum_norm(x, y) + 0.3)


@pytest.mark.parametrize("check", [ridge.FewFeatures(), ridge.ManyFeatures()])
@pytest.mark.parametrize("seed", SEEDS)
def test_ridge_fits_are_scikit_learns_and_mistakes_differ(check, seed):
    inputs = drawn(check, seed)
    x, y, penalty = inputs["features"], inputs["targets"], inputs["penalty"]
    right = fits.ridge(x, y, penalty)
    assert np.allclose(Ridge(penalty, fit_intercept=False).fit(x, y).coef_, right)
    assert ridge.ridge_verdict(x, y, penalty, right) is None
    apart(right, ridge.ridge_mistakes(x, y, penalty))
    other = fits.ridge(x, y, 1.23 * penalty)
    assert f"{1.23 * penalty:.4g}; {penalty:g} was given" in ridge.ridge_verdict(
        x, y, penalty, other
    )
    assert "the left side has norm" in ridge.ridge_verdict(x, y, penalty, right + 0.1)


def test_the_limit_of_ridge_is_the_minimum_norm_fit():
    inputs = drawn(ridge.NoPenalty(), 0)
    x, y = inputs["features"], inputs["targets"]
    gaps = [np.abs(fits.ridge(x, y, p) - fits.minimum_norm(x, y)).max() for p in (1e-2, 1e-4, 1e-6)]
    assert gaps[0] > 10 * gaps[1] > 100 * gaps[2]
    assert np.allclose(fits.ridge(x, y, 0.0), fits.minimum_norm(x, y), rtol=1e-12)


@pytest.mark.parametrize("shape", [(9, 4), (5, 9), (5, 9, 3)])
def test_fits_that_are_lent_are_right(shape):
    n, count, *outputs = shape
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(n, count, generator=generator).double()
    y = torch.randn(n, *outputs, generator=generator).double()
    a, b = x.numpy(), y.numpy()
    assert np.allclose(ridge.lent_minimum_norm_fit(x, y), fits.minimum_norm(a, b))
    assert np.allclose(ridge.lent_ridge_fit(x, y, 0.4), fits.ridge(a, b, 0.4))
    assert np.allclose(ridge.lent_ridge_fit(x, y, 0), fits.minimum_norm(a, b))


def by_brute_force(counts, risks, tolerance):
    for start in sorted(counts):
        if all(r <= tolerance for c, r in zip(counts, risks, strict=True) if c >= start):
            return start
    return None


CURVES = [threshold.ComesDown(), threshold.Dips(), threshold.Never(), threshold.AnyOrder()]


@pytest.mark.parametrize("check", CURVES, ids=lambda c: type(c).__name__)
@pytest.mark.parametrize("seed", SEEDS)
def test_thresholds_are_those_of_a_search_and_mistakes_differ(check, seed):
    inputs = drawn(check, seed)
    counts, risks = inputs["counts"], inputs["risks"]
    right = threshold.threshold(counts, risks, 0.01)
    assert right == by_brute_force(counts.tolist(), risks.tolist(), 0.01)
    got = threshold.NOTHING if right is None else right
    assert threshold.threshold_verdict(counts, risks, 0.01, got) is None
    for wrong in {*counts.tolist(), -1.0, 0.0, 3.0, math.inf, math.nan, threshold.NOTHING} - {got}:
        assert threshold.threshold_verdict(counts, risks, 0.01, wrong)
    for value, message in threshold.threshold_mistakes(counts, risks, 0.01):
        assert value != right, message


def test_a_threshold_with_ties_and_nan():
    counts = np.array([3, 1, 2, 4])
    for risks in ([0.1, 0.3, 0.2, 0.1], [0.1, 0.3, math.nan, 0.0], [math.nan, 0, 0, math.nan]):
        found = threshold.threshold(counts, np.array(risks), 0.1)
        assert found == by_brute_force(counts.tolist(), risks, 0.1)


@pytest.mark.parametrize("check", [parts.FiveFits(), parts.SeveralOutputs()])
@pytest.mark.parametrize("seed", SEEDS)
def test_bias_and_variance_add_up_to_the_risk_and_mistakes_differ(check, seed):
    inputs = drawn(check, seed)
    p, y = inputs["predictions"], inputs["targets"]
    bias, variance = parts.parts(p, y)
    assert bias + variance == pytest.approx(((p - y) ** 2).mean())
    assert variance == pytest.approx(float(torch.tensor(p).var(0, correction=0).mean()))
    assert parts.parts_verdict(p, y, [bias, variance]) is None
    assert "exchanged" in parts.parts_verdict(p, y, [variance, bias])
    for right, mistakes in (
        (bias, parts.bias_mistakes(p, y)),
        (variance, parts.variance_mistakes(p, y)),
    ):
        for value, message in mistakes:
            assert abs(value - right) > 3e-4 * (bias + variance), message


def test_two_numbers_are_asked_for():
    for answer in (None, 1.0, torch.zeros(3), (1.0,), {"bias": 1}, (torch.zeros(8), 1.0)):
        with pytest.raises(CheckFailed):
            chapter08.bias_variance(lambda predictions, targets, answer=answer: answer)


@pytest.mark.parametrize("check", [validation.FewFeatures(), validation.ManyFeatures()])
@pytest.mark.parametrize("seed", SEEDS)
def test_scores_are_those_of_the_singular_values_and_mistakes_differ(check, seed):
    inputs = drawn(check, seed)
    x, y, penalties = (inputs[name] for name in validation.NAMES)
    right = generalized.gcv(x, y, penalties)
    u, s, _ = np.linalg.svd(x)
    left = np.ones((len(penalties), len(x)))
    left[:, : len(s)] = penalties[:, None] / (s**2 + penalties[:, None])
    assert np.allclose(right, len(x) * (left**2 @ (u.T @ y) ** 2) / left.sum(1) ** 2)
    apart(right, generalized.score_mistakes(x, y, penalties))
    assert 0 < right.argmin() < len(right) - 1
    assert validation.choice_verdict(penalties, right, penalties[right.argmin()]) is None
    assert "largest score" in validation.choice_verdict(penalties, right, penalties[right.argmax()])
    assert "place" in validation.choice_verdict(penalties, right, float(right.argmin()))


@pytest.mark.parametrize("seed", SEEDS)
def test_scores_do_not_depend_on_the_basis_of_the_samples_and_leave_one_out_does(seed):
    """Golub, Heath and Wahba (1979): the generalized score is leave-one-out in a rotated basis."""
    inputs = drawn(validation.FewFeatures(), seed)
    x, y, penalties = (inputs[name] for name in validation.NAMES)
    n = len(x)
    q, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(n, n)))
    assert np.allclose(generalized.gcv(q @ x, q @ y, penalties), generalized.gcv(x, y, penalties))
    hat = generalized.hat(x, 0.4)
    single = generalized._leave_one_out(hat, y[:, None])
    kept = [np.delete(np.arange(n), i) for i in range(n)]
    errors = [y[i] - x[i] @ fits.ridge(x[k], y[k], 0.4) for i, k in enumerate(kept)]
    assert single == pytest.approx(np.mean(np.square(errors)))


@pytest.mark.parametrize("shape", [(9, 4), (5, 9), (8, 8, 3)])
def test_truths_are_the_packages(shape):
    n, count, *outputs = shape
    generator = torch.Generator().manual_seed(2)
    v, b = torch.randn(3, count, generator=generator), torch.rand(count, generator=generator)
    points = torch.randn(n, 3, generator=generator)
    x = descent.random_fourier_features(points, v, b).double()
    assert np.allclose(features.features_of(points.numpy(), v.numpy(), b.numpy()), x, atol=1e-6)
    y = torch.randn(n, *outputs, generator=generator).double()
    penalties = np.array([0.3, 0.01, 2.0])
    path = descent.ridge_path(x, y, penalties.tolist())
    a, c = x.numpy(), y.numpy()
    for penalty, coefficients in zip(penalties, path.coefficients, strict=True):
        assert np.allclose(fits.ridge(a, c, penalty), coefficients)
    assert np.allclose(fits.minimum_norm(a, c), descent.minimum_norm_fit(x, y).coefficients)
    assert np.allclose(generalized.gcv(a, c, penalties), path.gcv)
    assert penalties[path.best] == descent.optimal_ridge(x, y, penalties.tolist())
    predictions = torch.randn(4, *y.shape, generator=generator).double()
    parted = descent.bias_variance(predictions, y)
    assert parts.parts(predictions.numpy(), c) == pytest.approx((parted.bias, parted.variance))


@pytest.mark.parametrize("check", CURVES[:3], ids=lambda c: type(c).__name__)
def test_thresholds_are_the_packages(check):
    inputs = drawn(check, 0)
    counts, risks = inputs["counts"].tolist(), inputs["risks"].tolist()
    found = descent.interpolation_threshold(counts, risks, 0.01)
    assert threshold.threshold(inputs["counts"], inputs["risks"], 0.01) == found
