"""The ascent step against its formula in NumPy, its optimality, and its invariances."""

import math

import numpy as np
import pytest
import torch

from flatlab.sam import dual_norm_ascent

EXPONENTS = [1, 1.2, 1.5, 2, 3, 10, math.inf]


def draw(*shapes, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(s, generator=generator, dtype=dtype) for s in shapes]


def flat(tensors):
    return np.concatenate([t.detach().double().numpy().ravel() for t in tensors])


def by_formula(g, rho, p):
    """The slides' formula, term by term, for 1 < p < inf."""
    q = p / (p - 1)
    return rho * np.sign(g) * np.abs(g) ** (q - 1) / (np.abs(g) ** q).sum() ** (1 / p)


@pytest.mark.parametrize("p", [1.2, 1.5, 2, 3, 10])
def test_it_is_the_formula(p):
    grads = draw((3, 4), (5,), ())
    steps = dual_norm_ascent(grads, 0.3, p)
    assert [e.shape for e in steps] == [g.shape for g in grads]
    np.testing.assert_allclose(flat(steps), by_formula(flat(grads), 0.3, p), rtol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("p", EXPONENTS)
def test_half_precision_sums_what_it_cannot_hold(p, dtype):
    """100,000 ones have a sum beyond float16's 65,504; e is rho / 100,000^(1/p) in each entry."""
    (step,) = dual_norm_ascent([torch.ones(100_000, dtype=dtype)], 100.0, p)
    assert step.dtype == dtype
    expected = torch.full((100_000,), 100 / 100_000 ** (1 / p))
    torch.testing.assert_close(step.float(), expected, rtol=2 * torch.finfo(dtype).eps, atol=1e-5)


def test_the_ends_p_1_and_infinity():
    grads = [torch.tensor([1.0, -3.0]), torch.tensor([[0.0, 2.0]])]
    first, second = dual_norm_ascent(grads, 0.5, 1)
    assert first.tolist() == [0, -0.5] and second.tolist() == [[0, 0]]
    first, second = dual_norm_ascent(grads, 0.5, math.inf)
    assert first.tolist() == [0.5, -0.5] and second.tolist() == [[0, 0.5]]


def test_several_largest_share_rho_as_in_the_limit():
    grads = [torch.tensor([2.0, 1.0, -2.0], dtype=torch.float64)]
    (at_end,) = dual_norm_ascent(grads, 1.0, 1)
    (near,) = dual_norm_ascent(grads, 1.0, 1.001)
    assert at_end.tolist() == [0.5, 0, -0.5]
    torch.testing.assert_close(near, at_end, atol=1e-3, rtol=0)


@pytest.mark.parametrize("p", EXPONENTS)
@pytest.mark.parametrize("adaptive", [False, True])
def test_no_other_point_of_the_ball_rises_more(p, adaptive):
    grads, params = draw((4,), (2, 3)), draw((4,), (2, 3), seed=1)
    g, w = flat(grads), np.abs(flat(params)) if adaptive else np.ones(10)
    best = flat(dual_norm_ascent(grads, 0.7, p, params if adaptive else None))
    assert np.linalg.norm(best / w, p) == pytest.approx(0.7)
    q = 1 if math.isinf(p) else math.inf if p == 1 else p / (p - 1)
    assert best @ g == pytest.approx(0.7 * np.linalg.norm(w * g, q))  # Hoelder's bound is reached
    for other in np.random.default_rng(0).normal(size=(200, 10)):
        inside = 0.7 * w * other / np.linalg.norm(other, p)
        assert inside @ g <= best @ g + 1e-12


def test_adaptive_steps_follow_a_rescaling_of_the_parameters():
    (g,), (w,), (c,) = draw((9,)), draw((9,), seed=1), draw((9,), seed=2)
    for p in (1, 1.5, 2, math.inf):
        (before,) = dual_norm_ascent([g], 0.1, p, [w])
        (after,) = dual_norm_ascent([g / c], 0.1, p, [c * w])
        torch.testing.assert_close(after, c * before)


@pytest.mark.parametrize("p", EXPONENTS)
def test_zero_gradient_stays(p):
    assert [e.any() for e in dual_norm_ascent([torch.zeros(3), torch.zeros(())], 1.0, p)] == [0, 0]
    assert dual_norm_ascent([torch.zeros(0)], 1.0, p)[0].shape == (0,)


@pytest.mark.parametrize("p", EXPONENTS)
@pytest.mark.parametrize("size", [1e-30, 1e30])
def test_powers_neither_overflow_nor_vanish(p, size):
    (g,) = draw((6,), dtype=torch.float32)
    (expected,) = dual_norm_ascent([g.double()], 0.1, p)
    (step,) = dual_norm_ascent([g * size], 0.1, p)
    torch.testing.assert_close(step.double(), expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("p", [1.5, 2, 3])
def test_derivatives_by_finite_differences(p):
    (g,), (w,) = draw((5,)), draw((5,), seed=1)
    inputs = (g.requires_grad_(), w.requires_grad_())
    assert torch.autograd.gradcheck(lambda g, w: dual_norm_ascent([g], 0.3, p, [w])[0], inputs)


def test_derivatives_are_finite_where_a_gradient_is_zero():
    g = torch.tensor([0.0, 1.0, -2.0], requires_grad=True)
    for p in (1.5, 3):
        (step,) = dual_norm_ascent([g], 0.3, p)
        (slope,) = torch.autograd.grad(step.sum(), g)
        assert slope.isfinite().all()


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"rho": -0.1}, ValueError, "rho is -0.1: give a number of at least 0"),
        ({"rho": math.nan}, ValueError, "rho is nan"),
        ({"p": 0.5}, ValueError, "p is 0.5: give the exponent of a norm, from 1"),
        ({"p": math.nan}, ValueError, "p is nan"),
        ({"params": [torch.ones(3)]}, ValueError, "one parameter for each gradient"),
    ],
)
def test_bad_input(arguments, error, message):
    with pytest.raises(error, match=message):
        dual_norm_ascent([torch.ones(2)], **({"rho": 0.1} | arguments))


@pytest.mark.parametrize(("value", "name"), [(math.nan, "NaN"), (math.inf, "inf")])
@pytest.mark.parametrize("p", EXPONENTS)
def test_gradients_that_are_not_finite(p, value, name):
    with pytest.raises(FloatingPointError, match=f"a gradient holds {name}"):
        dual_norm_ascent([torch.ones(2), torch.tensor([1.0, value])], 0.1, p)
