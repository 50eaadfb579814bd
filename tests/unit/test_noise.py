"""SGD's noise against counts over all batches, simulations and closed forms."""

import itertools
import math

import pytest
import torch

from flatlab.noise import (
    Cycle,
    basin_ratio,
    corrupt_labels,
    cyclic_schedule,
    gibbs_density,
    langevin_step,
    noise_covariance,
    rescale_schedule,
)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def covariance_of(rows):
    apart = rows - rows.mean(0)
    return apart.T @ apart / len(rows)


@pytest.mark.parametrize("batch_size", [1, 2, 4, 5])
def test_covariance_is_that_of_all_batches(batch_size):
    grads = torch.randn(5, 3, generator=generator(), dtype=torch.float64)
    for replacement, batches in (
        (False, itertools.combinations(range(5), batch_size)),
        (True, itertools.product(range(5), repeat=batch_size)),
    ):
        means = torch.stack([grads[list(batch)].mean(0) for batch in batches])
        torch.testing.assert_close(
            noise_covariance(grads, batch_size, replacement), covariance_of(means)
        )


def test_the_whole_batch_has_no_noise():
    assert (noise_covariance(torch.randn(7, 2), 7, replacement=False) == 0).all()


def test_a_step_has_the_mean_and_the_variance_of_the_sde():
    theta, grad = torch.zeros(200_000), torch.full((200_000,), 2.0)
    moved = langevin_step(theta, grad, 0.1, 4, 3.0, generator())
    assert moved.mean().item() == pytest.approx(-0.2, abs=2e-3)
    assert moved.var().item() == pytest.approx(0.1**2 / 4 * 9, rel=0.02)
    assert (theta == 0).all()
    assert torch.equal(langevin_step(theta, grad, 0.1, 4, 0.0), theta - 0.1 * grad)


def test_long_runs_fill_the_gibbs_density():
    """L = x^2/2: a normal density of variance n sigma^2 / 2; and the runs have that variance."""
    grid = torch.linspace(-6, 6, 2001, dtype=torch.float64)
    rate, size, sigma = 0.02, 1, 3.0
    density = gibbs_density(lambda x: x**2 / 2, sigma, rate / size, grid)
    variance = rate / size * sigma**2 / 2
    normal = torch.exp(-(grid**2) / (2 * variance)) / math.sqrt(2 * math.pi * variance)
    torch.testing.assert_close(density, normal, rtol=1e-6, atol=1e-9)
    x, draw = torch.zeros(20_000, dtype=torch.float64), generator(1)
    for _ in range(400):
        x = langevin_step(x, x, rate, size, sigma, draw)
    assert x.var().item() == pytest.approx(variance, rel=0.04)  # Euler adds eta/2, 1 %


def test_the_density_is_normalized_where_exponents_overflow():
    grid = torch.linspace(0, 1, 101)
    density = gibbs_density(1e6 * (grid - 0.5) ** 2, 0.1, 1e-3, grid)
    assert torch.trapezoid(density, grid.double()).item() == pytest.approx(1)
    assert int(density.argmax()) == 50


def test_basin_ratio_against_the_integrals():
    a, b, n, sigma = 3.0, 0.5, 0.2, 1.5
    t = torch.linspace(-20, 20, 40001, dtype=torch.float64)
    mass = [
        torch.trapezoid((-2 * (loss + h * t**2 / 2) / (n * sigma**2)).exp(), t)
        for loss, h in ((0.1, a), (0.2, b))
    ]
    ratio = basin_ratio(0.1, torch.tensor([[a]]), 0.2, torch.tensor([[b]]), n, sigma)
    assert ratio == pytest.approx(float(mass[0] / mass[1]))


def test_basin_ratio_keeps_under_reparametrization_and_far_from_overflow():
    basis = torch.linalg.qr(torch.randn(2, 40, 40, generator=generator(), dtype=torch.float64))[0]
    h = [q @ torch.diag(torch.linspace(1e-9, k, 40).double()) @ q.T for q, k in zip(basis, (1, 2))]
    h = [(m + m.T) / 2 for m in h]
    jacobian = torch.randn(40, 40, generator=generator(1), dtype=torch.float64) + 5 * torch.eye(40)
    moved = [jacobian.T @ m @ jacobian for m in h]
    moved = [(m + m.T) / 2 for m in moved]
    ratio = basin_ratio(0.3, h[0], 0.1, h[1], 0.5, 1.0)
    assert ratio == pytest.approx(basin_ratio(0.3, moved[0], 0.1, moved[1], 0.5, 1.0), rel=1e-4)
    tiny = 1e-30 * torch.eye(40, dtype=torch.float64)  # its determinant is 0 in float64
    assert basin_ratio(0.0, tiny, 0.0, tiny, 1.0, 1.0) == 1
    assert basin_ratio(0.0, h[0], 1e6, h[0], 1e-3, 1.0) == math.inf
    one = torch.eye(1, dtype=torch.float64)
    assert basin_ratio(0.0, one, 709.5 / 2, one, 1.0, 1.0) == pytest.approx(math.exp(709.5))
    assert basin_ratio(0.0, one, 709.79 / 2, one, 1.0, 1.0) == math.inf


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int32, torch.int64])
def test_labels_of_any_whole_dtype_are_corrupted_alike(dtype):
    y = torch.arange(40) % 10
    noisy = corrupt_labels(y.to(dtype), 0.5, 10, generator())
    assert noisy.dtype == dtype and torch.equal(
        noisy.long(), corrupt_labels(y, 0.5, 10, generator())
    )


def test_basin_ratio_takes_a_hessian_with_the_rounding_of_float32():
    x = torch.randn(50, 6, generator=generator())
    h = x.T @ x / 50 + torch.eye(6)
    h[0, 1], h[1, 0] = 1e-9, 2e-9  # zeros that rounding has made two
    expected = math.exp(
        0.5 * float(torch.linalg.slogdet(2 * h.double())[1] - torch.linalg.slogdet(h.double())[1])
    )
    assert basin_ratio(0.1, h, 0.1, 2 * h, 1.0, 1.0) == pytest.approx(expected, rel=1e-6)


def test_basin_ratio_refuses_an_eigenvalue_of_0_that_rounding_made_positive():
    one = torch.eye(2)
    for flat in (
        torch.tensor([[0.1, 0.3], [0.3, 0.9]], dtype=torch.float64),
        torch.tensor([[0.1, 0.3], [0.3, 0.9 + 1e-7]]),
        1e-30 * torch.tensor([[0.1, 0.3], [0.3, 0.9]], dtype=torch.float64),
    ):
        assert torch.linalg.eigvalsh(flat.double())[0] > 0
        with pytest.raises(ValueError, match="hessian_a has the eigenvalue"):
            basin_ratio(0, flat, 0, one, 1, 1)
    steep = torch.diag(torch.tensor([1.0, 1e-20]))  # of any scale, where the entries tell
    assert basin_ratio(0, steep, 0, one, 1, 1) == pytest.approx(1e10, rel=1e-6)


def test_without_a_generator_every_step_has_the_same_noise():
    steps = [langevin_step(torch.zeros(5), torch.zeros(5), 0.1, 4, 3.0) for _ in range(2)]
    assert torch.equal(*steps)
    with_one = generator()
    steps = [langevin_step(torch.zeros(5), torch.zeros(5), 0.1, 4, 3.0, with_one) for _ in range(2)]
    assert not torch.equal(*steps)


def test_rescaling_keeps_eta_over_s():
    assert rescale_schedule([0.1, 0.2], [10, 4], 2.5) == ([0.25, 0.5], [25, 10])
    assert rescale_schedule([1.0, 1.0], [100, 300], 0.29)[1] == [29, 87]  # floats miss by a hair
    assert rescale_schedule([1.0], [10], 1.1)[1] == [11]
    with pytest.raises(ValueError, match="batch size 5 times 0.5"):
        rescale_schedule([0.1], [5], 0.5)
    with pytest.raises(ValueError, match="2 learning rates and 1 batch"):
        rescale_schedule([0.1, 0.2], [5], 2)
    with pytest.raises(ValueError, match="c is 0"):
        rescale_schedule([0.1], [5], 0)


@pytest.mark.parametrize("fraction", [0.0, 0.25, 0.333, 1.0])
def test_exactly_that_fraction_is_corrupted_each_to_another_class(fraction):
    y = torch.randint(4, (200,), generator=generator())
    before = y.clone()
    noisy = corrupt_labels(y, fraction, 4, generator(1))
    assert int((noisy != y).sum()) == round(200 * fraction)
    assert torch.equal(y, before) and noisy.dtype == y.dtype
    assert 0 <= int(noisy.min()) and int(noisy.max()) < 4
    noisy[0] = 9  # a copy, also for a fraction of 0
    assert torch.equal(y, before)


def test_replacing_classes_are_uniform():
    noisy = corrupt_labels(torch.zeros(30_000, dtype=torch.long), 1.0, 4, generator())
    assert torch.bincount(noisy, minlength=4).tolist() == pytest.approx([0, 1e4, 1e4, 1e4], abs=400)


def test_cycles():
    discrete = [cyclic_schedule(t, 4, 1.0, 3.0, "discrete") for t in range(6)]
    assert discrete == [3, 3, 1, 1, 3, 3]
    assert [cyclic_schedule(t, 5, 1, 3, "discrete") for t in range(5)] == [3, 3, 1, 1, 1]
    assert [cyclic_schedule(t, 4, 1.0, 3.0, "triangle") for t in range(6)] == [1, 2, 3, 2, 1, 2]
    assert Cycle(4, 1, 3)(2) == 1 and Cycle(8, 4, 9, "triangle", whole=True)(1) == 5
    assert Cycle(4, 1, 3) == Cycle(4, 1, 3)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: noise_covariance(torch.ones(3), 1), r"shape \(3,\)"),
        (lambda: noise_covariance(torch.full((3, 2), math.nan), 1), "NaN"),
        (lambda: noise_covariance(torch.ones(3, 2), 0), "batch_size is 0"),
        (lambda: noise_covariance(torch.ones(3, 2), 4, False), "only 3 samples"),
        (lambda: langevin_step(torch.ones(2), torch.ones(3), 0.1, 1, 1.0), "must be the same"),
        (lambda: langevin_step(torch.ones(2), torch.ones(2), 0.0, 1, 1.0), "learning_rate is 0.0"),
        (lambda: langevin_step(torch.ones(2), torch.ones(2), 0.1, 1, -1.0), "sigma is -1.0"),
        (lambda: gibbs_density(lambda x: x, 0.0, 1.0, torch.arange(3)), "sigma is 0.0"),
        (lambda: gibbs_density(lambda x: x, 1.0, 1.0, torch.tensor([1.0, 0.0])), "rising"),
        (lambda: gibbs_density(torch.ones(2), 1.0, 1.0, torch.arange(3)), "3 points of the grid"),
        (lambda: basin_ratio(0, -torch.eye(2), 0, torch.eye(2), 1, 1), "hessian_a.*eigenvalue -1"),
        (
            lambda: basin_ratio(0, torch.eye(2), 0, torch.zeros(2, 2), 1, 1),
            "hessian_b.*eigenvalue 0",
        ),
        (lambda: basin_ratio(0, torch.eye(2), 0, torch.eye(3), 1, 1), "shapes"),
        (
            lambda: basin_ratio(math.nan, torch.eye(2), 0, torch.eye(2), 1, 1),
            "losses are nan and 0",
        ),
        (lambda: basin_ratio(0, torch.ones(2, 2).triu(), 0, torch.eye(2), 1, 1), "not symmetric"),
        (lambda: basin_ratio(0, torch.eye(2) * math.nan, 0, torch.eye(2), 1, 1), "not finite"),
        (lambda: basin_ratio(0, torch.eye(2), 0, torch.eye(2), 0, 1), "n is 0"),
        (lambda: corrupt_labels(torch.zeros(3, dtype=int), 1.2, 2), "fraction is 1.2"),
        (lambda: corrupt_labels(torch.zeros(3), 0.5, 2), "integer classes"),
        (lambda: corrupt_labels(torch.tensor([0, 5]), 0.5, 2), "other classes than 0 to 1"),
        (lambda: cyclic_schedule(0, 1, 0, 1, "discrete"), "at least 2 steps"),
        (lambda: cyclic_schedule(0, 4, 2, 1, "discrete"), "low must not be larger"),
        (lambda: cyclic_schedule(0, 4, 0, 1, "sine"), "choose discrete or triangle"),
        (lambda: cyclic_schedule(-1, 4, 0, 1, "discrete"), "counted from 0"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_step_in_whole_numbers_is_refused():
    with pytest.raises(ValueError, match=r"theta is torch.int64"):
        langevin_step(torch.zeros(3, dtype=torch.long), torch.zeros(3), 0.1, 1, 1.0)
