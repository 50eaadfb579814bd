"""The tail index of samples whose law is known, its invariances, and its control."""

import math

import numpy as np
import pytest
import torch

from flatlab.tails import (
    correlated_gaussian,
    exchanged,
    gradient_noise,
    matched_gaussian,
    sample_stable,
    scale_agreement,
    tail_index,
)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("alpha", [0.6, 1.0, 1.4, 1.8, 2.0])
def test_stable_samples_have_their_index(alpha):
    assert tail_index(sample_stable(alpha, 1_000_000, generator())) == pytest.approx(
        alpha, rel=0.02
    )


def test_a_hand_computed_case():
    x = torch.tensor([1.0, 3.0, -2.0, -2.0])
    slope = (math.log(4) + math.log(4)) / 2 - (math.log(3) + 2 * math.log(2)) / 4
    assert tail_index(x, k1=2) == pytest.approx(math.log(2) / slope)
    assert tail_index(x) == tail_index(x, k1=2)  # the largest divisor of 4 up to 2


def test_the_default_block_is_the_largest_divisor_up_to_the_root():
    x = sample_stable(1.5, 72, generator(2))  # 8 divides 72, 8.49 is the root
    assert tail_index(x) == tail_index(x, k1=8) != tail_index(x, k1=6)
    assert tail_index(x, k1=np.int64(6)) == tail_index(x, k1=6)


def test_scale_and_shape_do_not_matter_and_x_stays():
    x = sample_stable(1.2, (20, 30), generator(1))
    before = x.clone()
    assert tail_index(1e6 * x) == pytest.approx(tail_index(x))
    assert tail_index(x.flatten()) == tail_index(x)
    assert torch.equal(x, before)


def test_coordinates_of_different_scale_look_heavy_and_the_control_shows_it():
    """Gaussian noise, coordinate j of scale exp(2 z_j): no tail at all, and an estimate far below 2."""
    scales = (2 * torch.randn(2000, generator=generator(3))).exp()
    noise = scales * torch.randn(60, 2000, generator=generator(4))
    estimate, control = tail_index(noise), tail_index(matched_gaussian(noise, generator(5)))
    assert estimate < 1.5
    assert control == pytest.approx(estimate, rel=0.05)


def test_the_control_of_half_precision_keeps_the_size():
    """The squares of 1e-4 are below what float16 holds."""
    noise = 1e-4 * torch.randn(400, 3, generator=generator())
    control = matched_gaussian(noise.half(), generator(1))
    assert control.dtype == torch.float16
    assert control.float().std().item() == pytest.approx(1e-4, rel=0.1)


def test_the_control_keeps_each_coordinates_mean_square():
    noise = torch.tensor([0.0, 1.0, 10.0]) * sample_stable(1.9, (4000, 3), generator()).clamp(-9, 9)
    control = matched_gaussian(noise, generator(1))
    assert control.shape == noise.shape and control.dtype == noise.dtype
    torch.testing.assert_close(
        control.square().mean(0), noise.square().mean(0), rtol=0.1, atol=1e-12
    )
    assert (control[:, 0] == 0).all()


def test_gradient_noise_is_what_the_full_gradient_leaves():
    gradients = torch.tensor([[1.0, 2.0], [3.0, 6.0]])
    assert torch.equal(gradient_noise(gradients), torch.tensor([[-1.0, -2.0], [1.0, 2.0]]))
    assert torch.equal(gradient_noise(gradients, torch.ones(2)), gradients - 1)


@pytest.mark.parametrize(
    ("x", "k1", "message"),
    [
        (torch.randn(12), 5, "divisor of the number of entries, 12"),
        (torch.randn(12), 12, "from 2 to 6"),
        (torch.randn(12), 1, "from 2 to 6"),
        (torch.randn(12), True, "give a divisor"),
        (torch.randn(13), None, "13 entries.*drop an entry"),
        (torch.zeros(12), None, "zero everywhere"),
        (torch.ones(12), None, "all 12 entries of x are equal"),
        (torch.tensor([1.0, 0.0, 2.0, 3.0]), None, "1 of 4 entries of x are exactly 0"),
        (torch.tensor([1.0, -1.0, 2.0, 3.0]), None, "cancel to exactly 0"),
        (torch.tensor([1.0, math.nan, 2.0, 3.0]), None, "NaN or infinity"),
    ],
)
def test_bad_samples_are_refused(x, k1, message):
    with pytest.raises(ValueError, match=message):
        tail_index(x, k1)


@pytest.mark.parametrize(
    ("gradients", "full", "message"),
    [
        (torch.ones(3), None, r"shape \(3,\)"),
        (torch.ones(1, 3), None, "at least two minibatches"),
        (torch.ones(2, 3), torch.ones(2), "rows have 3 entries"),
        (torch.full((2, 3), math.inf), None, "did the run diverge"),
    ],
)
def test_bad_gradients_are_refused(gradients, full, message):
    with pytest.raises(ValueError, match=message):
        gradient_noise(gradients, full)


@pytest.mark.parametrize(
    "control", [matched_gaussian, correlated_gaussian, exchanged, scale_agreement]
)
def test_a_control_needs_a_matrix(control):
    with pytest.raises(ValueError, match="minibatches, parameters"):
        control(torch.ones(3))


def test_the_correlated_control_keeps_the_covariance():
    mix = torch.randn(3, 5, generator=generator(1))
    noise = sample_stable(1.9, (4000, 3), generator()).clamp(-9, 9).float() @ mix
    control = correlated_gaussian(noise, generator(2))
    wanted = noise.T @ noise / 4000
    assert control.shape == (4000, 5) and control.dtype == noise.dtype
    assert (control.T @ control / 4000 - wanted).abs().max() < 0.1 * wanted.abs().max()


def test_the_correlated_control_has_gaussian_coordinates():
    noise = sample_stable(1.2, (2000, 2), generator())  # a few entries carry the mean square
    z = correlated_gaussian(noise, generator(1))[:, 0]
    z = z / z.square().mean().sqrt()
    assert z.pow(4).mean().item() == pytest.approx(3, abs=0.5)
    assert (noise[:, 0] ** 4).mean() / (noise[:, 0] ** 2).mean() ** 2 > 50


def test_coordinates_that_move_together_look_heavy_and_only_this_control_shows_it():
    """Gaussian noise of rank 2 with equal scales: sums of k1 entries grow like k1."""
    noise = torch.randn(60, 2, generator=generator(3)) @ torch.ones(2, 2000)
    noise = noise + 0.01 * torch.randn(60, 2000, generator=generator(4))
    assert tail_index(noise, 100) == pytest.approx(1, abs=0.05)
    assert tail_index(correlated_gaussian(noise, generator(5)), 100) == pytest.approx(1, abs=0.05)
    assert tail_index(matched_gaussian(noise, generator(5)), 100) == pytest.approx(2, abs=0.1)


def test_the_control_of_stable_noise_is_as_low_and_agreement_tells():
    stable = sample_stable(1.2, (40, 3000), generator())
    assert tail_index(matched_gaussian(stable, generator(1))) < 1.4
    assert abs(scale_agreement(stable)) < 0.1
    assert abs(scale_agreement(gradient_noise(stable))) < 0.1  # one mean for all rows
    scaled = torch.randn(40, 3000, generator=generator(2)) * torch.linspace(0.01, 1, 3000)
    assert scale_agreement(scaled) > 0.9


def test_exchanging_keeps_each_coordinate_and_breaks_up_what_moves_together():
    noise = torch.randn(60, 1, generator=generator(3)) * torch.ones(2000)
    mixed = exchanged(noise, generator(4))
    assert torch.equal(mixed.sort(0).values, noise.sort(0).values)
    assert not torch.equal(mixed[:, 0], mixed[:, 1])
    assert tail_index(noise, 100) == pytest.approx(1)
    assert tail_index(mixed - mixed.mean(0), 100) > 1.8


def test_scales_of_too_little_noise_are_refused():
    with pytest.raises(ValueError, match="at least four minibatches"):
        scale_agreement(torch.ones(3, 4))
    noise = torch.randn(6, 4, generator=generator())
    noise[::2, 1] = 2.0
    assert scale_agreement(noise) == scale_agreement(noise[:, [0, 2, 3]])
    noise[1::2, 3] = 0.5
    with pytest.raises(ValueError, match="2 of 4 coordinates vary"):
        scale_agreement(noise)
