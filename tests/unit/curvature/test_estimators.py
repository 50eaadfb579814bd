"""Trace, Frobenius norm and spectral density against matrices whose answers are known."""

import math
from typing import ClassVar

import pytest
import torch
from dense_references import symmetric

from flatlab.curvature import frobenius_norm, spectral_density, trace

VALUES = torch.cat([torch.linspace(-1, 1, 40), torch.tensor([3.0, 8.0])]).double()
MATRIX, VECTORS = symmetric(VALUES)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_trace_of_a_diagonal_matrix_is_exact():
    estimate = trace(torch.diag(VALUES), probes=3)
    assert estimate.value == pytest.approx(float(VALUES.sum()), abs=1e-12)
    assert estimate.standard_error == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("estimator", [trace, frobenius_norm])
@pytest.mark.parametrize("seed", range(5))
def test_estimates_lie_within_a_few_standard_errors(estimator, seed):
    truth = float(VALUES.sum()) if estimator is trace else float(VALUES.norm())
    estimate = estimator(MATRIX, probes=200, generator=generator(seed))
    assert 0 < estimate.standard_error < 0.3 * truth
    assert abs(estimate.value - truth) < 5 * estimate.standard_error


def test_standard_error_of_the_trace_is_the_theoretical_one():
    # One probe: variance 2 (|A|_F^2 - sum_i A_ii^2) (Hutchinson, 1990).
    variance = 2 * (MATRIX.square().sum() - MATRIX.diag().square().sum())
    estimate = trace(MATRIX, probes=4000)
    assert estimate.standard_error == pytest.approx(math.sqrt(variance / 4000), rel=0.1)


def test_both_are_unbiased_over_many_runs():
    traces = [trace(MATRIX, probes=2, generator=generator(i)).value for i in range(600)]
    squares = [frobenius_norm(MATRIX, 2, generator(i)).value ** 2 for i in range(600)]
    for samples, truth in [(traces, VALUES.sum()), (squares, VALUES.square().sum())]:
        samples = torch.tensor(samples, dtype=torch.float64)
        error = samples.std() / math.sqrt(len(samples))
        assert abs(samples.mean() - truth) < 4 * error


def test_standard_error_of_the_norm_covers_the_truth():
    errors = []
    for seed in range(200):
        e = frobenius_norm(MATRIX, probes=50, generator=generator(seed))
        errors.append((e.value - float(VALUES.norm())) / e.standard_error)
    assert 0.7 < torch.tensor(errors).std() < 1.4


def test_one_probe_has_no_spread_and_zero_has_no_error():
    assert trace(MATRIX, probes=1).standard_error == math.inf
    assert frobenius_norm(MATRIX, probes=1).standard_error == math.inf
    zero = torch.zeros(4, 4)
    for estimator in (trace, frobenius_norm):
        assert estimator(zero, probes=3) == estimator(zero, probes=4)
        assert estimator(zero, probes=3).value == estimator(zero, probes=3).standard_error == 0


def test_hutch_plus_plus_is_exact_for_low_rank():
    matrix, _ = symmetric(torch.cat([torch.zeros(60), torch.tensor([-3.0, 1.0, 2.0, 9.0])]))
    estimate = trace(matrix, probes=15, method="hutch++")
    assert estimate.value == pytest.approx(9.0, abs=1e-10)
    assert estimate.standard_error == pytest.approx(0, abs=1e-10)


def test_hutch_plus_plus_is_unbiased_with_an_honest_and_smaller_error():
    matrix, _ = symmetric(torch.cat([0.01 * torch.arange(80.0), torch.tensor([30.0, 50.0])]))
    truth = float(matrix.trace())
    runs = [trace(matrix, 30, generator(i), "hutch++") for i in range(300)]
    values = torch.tensor([run.value for run in runs], dtype=torch.float64)
    assert abs(values.mean() - truth) < 4 * values.std() / math.sqrt(300)
    scores = (values - truth) / torch.tensor([run.standard_error for run in runs])
    assert 0.7 < scores.std() < 1.5
    plain = torch.tensor([trace(matrix, 30, generator(i)).value for i in range(300)])
    assert values.std() < plain.std() / 3


def test_hutch_plus_plus_with_as_many_products_as_dimensions():
    assert trace(MATRIX, 3 * len(VALUES), method="hutch++").value == pytest.approx(
        float(VALUES.sum())
    )


def test_weights_sum_to_one_and_density_integrates_to_one():
    d = spectral_density(MATRIX, steps=15, probes=4)
    assert d.nodes.shape == d.weights.shape == (4, 15)
    torch.testing.assert_close(d.weights.sum(1), torch.ones(4).double())
    assert (d.weights >= 0).all() and (d.density >= 0).all()
    assert float(torch.trapezoid(d.density, d.grid)) == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("degree", [0, 1, 2, 5, 9])
def test_quadrature_of_a_probe_is_exact_for_low_degrees(degree):
    # 5 nodes integrate z' A^d z / z'z exactly up to d = 9, for the very probe that was drawn.
    z = torch.randn(len(VALUES), dtype=torch.float64, generator=generator(3))
    d = spectral_density(MATRIX, steps=5, probes=1, generator=generator(3))
    power = torch.linalg.matrix_power(MATRIX, degree)
    truth = float(z @ power @ z / (z @ z))
    assert float((d.weights * d.nodes**degree).sum()) == pytest.approx(truth, rel=1e-8)


def test_moments_over_probes_are_the_spectrum_s():
    d = spectral_density(MATRIX, steps=20, probes=400)
    for degree in (1, 2, 3):
        samples = (d.weights * d.nodes**degree).sum(1)
        truth = VALUES.pow(degree).mean()
        assert abs(samples.mean() - truth) < 4.5 * samples.std() / 20


def test_a_krylov_space_that_ends_early():
    matrix, _ = symmetric(torch.cat([torch.zeros(20), torch.ones(10), 3 * torch.ones(10)]))
    d = spectral_density(matrix, steps=12, probes=300)
    torch.testing.assert_close(d.weights.sum(1), torch.ones(300).double())
    for value, share in [(0.0, 0.5), (1.0, 0.25), (3.0, 0.25)]:
        near = (d.nodes - value).abs() < 1e-6
        assert float((d.weights * near).sum() / 300) == pytest.approx(share, abs=0.03)


def test_full_length_quadrature_finds_every_eigenvalue():
    matrix, _ = symmetric(torch.linspace(-1, 1, 10))
    d = spectral_density(matrix, steps=50, probes=1)
    torch.testing.assert_close(d.nodes[0, :10], torch.linspace(-1, 1, 10).double())
    assert float(d.weights[0, :10].sum()) == pytest.approx(1)


def test_the_zero_matrix_has_a_spike_at_zero():
    d = spectral_density(torch.zeros(5, 5), steps=3)
    assert float((d.weights * d.nodes.abs()).sum()) == 0
    assert torch.isfinite(d.density).all()


@pytest.mark.parametrize("call", [trace, frobenius_norm, spectral_density])
def test_bad_input(call):
    for probes in (0, -1, 2.5):
        with pytest.raises(ValueError, match="probes must be an integer of at least 1"):
            call(MATRIX, probes=probes)
    with pytest.raises(ValueError, match="square"):
        call(torch.ones(2, 3))
    with pytest.raises(TypeError, match="half precision"):
        call(torch.eye(3).half())
    with pytest.raises(FloatingPointError, match="NaN or inf"):
        call(torch.full((3, 3), float("nan")))


def test_bad_trace_settings():
    with pytest.raises(ValueError, match="method must be"):
        trace(MATRIX, method="exact")
    with pytest.raises(ValueError, match="probes of at least 3"):
        trace(MATRIX, probes=2, method="hutch++")


def test_operators_that_like_blocks_get_blocks():
    class Batched:
        shape, dtype, device, batched = MATRIX.shape, MATRIX.dtype, MATRIX.device, True
        widths: ClassVar = []

        def __matmul__(self, Z):
            self.widths.append(Z.shape[1])
            return MATRIX @ Z

    op = Batched()
    for estimator in (trace, frobenius_norm):
        block, columns = estimator(op, probes=19), estimator(MATRIX, probes=19)
        assert block.value == pytest.approx(columns.value)
    assert op.widths == [8, 8, 3, 8, 8, 3]


def test_bad_density_settings():
    with pytest.raises(ValueError, match="steps"):
        spectral_density(MATRIX, steps=0)
    with pytest.raises(ValueError, match="width must be positive"):
        spectral_density(MATRIX, width=0.0)
    with pytest.raises(ValueError, match="grid_size"):
        spectral_density(MATRIX, grid_size=0)


def test_repeatable_without_touching_the_global_generator():
    rng = torch.get_rng_state()
    assert trace(MATRIX, 5) == trace(MATRIX, 5)
    assert trace(MATRIX, 5) != trace(MATRIX, 5, generator(9))
    assert torch.equal(torch.get_rng_state(), rng)


def test_a_narrow_density_far_from_zero_integrates_to_one():
    density = spectral_density(1e3 * torch.eye(5, dtype=torch.float64), steps=3, width=1e-6)
    area = torch.trapezoid(density.density, density.grid)
    assert float(area) == pytest.approx(1, abs=1e-4)
