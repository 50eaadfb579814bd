"""The exact SAM gradient by finite differences, and Hessian penalties by explicit Hessians."""

import math

import pytest
import torch
from torch import nn
from torch.func import functional_call
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import scaled_dot_product_attention
from torch.nn.utils.parametrizations import weight_norm

from flatlab.sam import dual_norm_ascent, hessian_penalty, sam_gradient


@pytest.fixture
def problem():
    generator = torch.Generator().manual_seed(0)
    X = torch.randn(7, 3, generator=generator, dtype=torch.float64)
    y = torch.randn(7, 2, generator=generator, dtype=torch.float64)
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).double()
    for w in model.parameters():
        nn.init.normal_(w, generator=generator)
    return model, nn.MSELoss(), (X, y)


def loss_of(problem):
    """w (p,) -> L(w), by autograd's own means."""
    model, loss_fn, (X, y) = problem
    named = list(model.named_parameters())
    sizes = [w.numel() for _, w in named]

    def loss(w):
        parts = zip(named, w.split(sizes), strict=True)
        return loss_fn(functional_call(model, {n: v.view(o.shape) for (n, o), v in parts}, X), y)

    return loss, torch.cat([w.detach().flatten() for _, w in named])


@pytest.mark.parametrize("p", [1.5, 2, 4])
@pytest.mark.parametrize("adaptive", [False, True])
def test_exact_gradient_by_finite_differences(problem, p, adaptive):
    loss, w = loss_of(problem)

    def sam_loss(w):
        g = torch.autograd.functional.jacobian(loss, w)
        q = p / (p - 1)
        s = w * g if adaptive else g
        unit = s.sign() * s.abs() ** (q - 1) / (s.abs() ** q).sum() ** (1 / p)
        return float(loss(w + 0.3 * (unit * w if adaptive else unit)))

    result = sam_gradient(*problem, rho=0.3, p=p, adaptive=adaptive)
    assert result.perturbed_loss == pytest.approx(sam_loss(w))
    assert result.loss == pytest.approx(float(loss(w)))
    h = 1e-6
    numeric = torch.tensor(
        [(sam_loss(w + h * d) - sam_loss(w - h * d)) / (2 * h) for d in torch.eye(len(w))]
    )
    torch.testing.assert_close(result.exact, numeric.double(), rtol=1e-5, atol=1e-7)
    assert result.second_order.norm() > 1e-2 * result.first_order.norm()  # it is not all zeros
    at_e = torch.autograd.functional.jacobian(loss, w + result.perturbation)
    torch.testing.assert_close(result.first_order, at_e)


def test_second_order_term_in_closed_form(problem):
    """H rho (v - n n'v) / |g| for p = 2, with the full Hessian."""
    loss, w = loss_of(problem)
    result = sam_gradient(*problem, rho=0.2)
    g = torch.autograd.functional.jacobian(loss, w)
    H = torch.autograd.functional.hessian(loss, w)
    n, v = g / g.norm(), result.first_order
    torch.testing.assert_close(result.perturbation, 0.2 * n)
    torch.testing.assert_close(result.second_order, 0.2 * H @ (v - n * (n @ v)) / g.norm())


@pytest.mark.parametrize("p", [1, math.inf])
def test_no_second_order_term_where_the_step_is_constant(problem, p):
    result = sam_gradient(*problem, rho=0.1, p=p)
    assert not result.second_order.any() and torch.equal(result.exact, result.first_order)


def test_batches_are_one_data_set_and_the_model_is_left_alone(problem):
    model, loss_fn, (X, y) = problem
    model.eval()[0].weight.grad = torch.ones(4, 3).double()
    before = [w.detach().clone() for w in model.parameters()]
    whole = sam_gradient(model, loss_fn, (X, y), rho=0.1)
    cut = sam_gradient(model, loss_fn, [(X[:5], y[:5]), (X[5:], y[5:])], rho=0.1)
    torch.testing.assert_close(cut.exact, whole.exact)
    assert all(map(torch.equal, before, model.parameters())) and not model.training
    assert torch.equal(model[0].weight.grad, torch.ones(4, 3).double())
    assert model[0].bias.grad is None


def test_bad_radius_and_exponent(problem):
    with pytest.raises(ValueError, match="rho is -1"):
        sam_gradient(*problem, rho=-1)
    with pytest.raises(ValueError, match="p is 0"):
        sam_gradient(*problem, p=0)


def test_zero_gradient_has_no_perturbation():
    model = nn.Linear(2, 1).double()
    nn.init.zeros_(model.weight), nn.init.zeros_(model.bias)
    data = torch.ones(3, 2).double(), torch.zeros(3, 1).double()
    result = sam_gradient(model, nn.MSELoss(), data, rho=0.5)
    assert not result.perturbation.any() and not result.exact.any()


def test_penalties_of_all_signs_are_trace_and_frobenius_norm(problem):
    """The mean over many probes against the full Hessian; each estimate is unbiased."""
    model, loss_fn, (X, y) = problem
    loss, w = loss_of(problem)
    H = torch.autograd.functional.hessian(loss, w)
    draw = torch.Generator().manual_seed(0)
    value = loss_fn(model(X), y)
    mean = hessian_penalty(value, model.parameters(), draw, probes=3000)
    error = (2 * (H.square().sum() - H.diagonal().square().sum()) / 3000).sqrt()
    assert abs(mean - H.trace()) < 4 * error
    norm = hessian_penalty(value, model.parameters(), draw, probes=3000, kind="frobenius")
    torch.testing.assert_close(norm, H.norm(), rtol=0.05, atol=0)


@pytest.mark.parametrize("kind", ["trace", "frobenius"])
def test_gradient_of_a_penalty_by_finite_differences(problem, kind):
    loss, w = loss_of(problem)

    def penalty(w):
        draw = torch.Generator().manual_seed(3)
        return hessian_penalty(loss(w), [w], draw, probes=2, kind=kind)

    assert torch.autograd.gradcheck(penalty, w.requires_grad_())


def test_penalty_of_a_diagonal_hessian_is_exact_for_each_probe():
    w = torch.tensor([1.0, -2.0], requires_grad=True)
    unused = torch.ones(3, requires_grad=True)
    draw = torch.Generator().manual_seed(0)
    loss = (w**4).sum()  # H = 12 diag(w^2)
    value = hessian_penalty(loss, [w, unused], draw)
    assert value == 60
    (value + loss).backward()
    torch.testing.assert_close(w.grad, 24 * w.detach() + 4 * w.detach() ** 3)
    assert unused.grad is None


def test_penalty_of_a_linear_loss_is_zero():
    w = torch.ones(2, requires_grad=True)
    draw = torch.Generator().manual_seed(0)
    for kind in ("trace", "frobenius"):
        assert hessian_penalty(3 * w.sum(), [w], draw, kind=kind) == 0
    flat = hessian_penalty((w * 0).square().sum(), [w], draw, kind="frobenius")
    (slope,) = torch.autograd.grad(flat, w)
    assert flat == 0 and not slope.any()


def test_penalty_draws_from_its_generator_alone():
    w = torch.ones(4, requires_grad=True)
    before, draw = torch.get_rng_state(), torch.Generator().manual_seed(0)
    loss = w.sum() ** 2  # H = 2 for every pair
    values = {hessian_penalty(loss, [w], draw).item() for _ in range(10)}
    assert len(values) > 1 and torch.equal(before, torch.get_rng_state()) and w.grad is None


def test_bad_penalties():
    w, draw = torch.ones(2, requires_grad=True), torch.Generator()
    with pytest.raises(ValueError, match="kind is 'norm': give 'trace' or 'frobenius'"):
        hessian_penalty(w.sum(), [w], draw, kind="norm")
    with pytest.raises(ValueError, match="no graph to a parameter"):
        hessian_penalty(w.sum().detach(), [w], draw)
    with pytest.raises(ValueError, match="none of params enters the loss"):
        hessian_penalty(w.sum(), [torch.ones(2, requires_grad=True)], draw)
    with pytest.raises(TypeError, match="lives as long as the training"):
        hessian_penalty(w.sum(), [w], None)
    with pytest.raises(TypeError, match="one number"):
        hessian_penalty(w, [w], draw)
    with pytest.raises(ValueError, match="probes is 0"):
        hessian_penalty(w.sum(), [w], draw, probes=0)


def test_a_penalty_on_pytorch_s_weight_norm_is_refused():
    draw = torch.Generator().manual_seed(0)
    layer = weight_norm(nn.Linear(3, 2, dtype=torch.float64))
    loss = layer(torch.ones(4, 3, dtype=torch.float64)).square().mean()
    with pytest.raises(ValueError, match="weight norm, whose second derivative is wrong"):
        hessian_penalty(loss, layer.parameters(), draw)
    g, v = layer.parametrizations.weight.original0, layer.parametrizations.weight.original1
    plain = (g * v / v.norm(dim=1, keepdim=True)).square().sum()
    assert hessian_penalty(plain, [g, v], draw).isfinite()
    leaf = torch.ones((), requires_grad=True)
    assert hessian_penalty(leaf, [leaf], draw) == 0


def test_the_perturbation_is_dual_norm_ascent(problem):
    loss, w = loss_of(problem)
    g = torch.autograd.functional.jacobian(loss, w)
    step = sam_gradient(*problem, rho=0.2, p=3, adaptive=True).perturbation
    torch.testing.assert_close(step, dual_norm_ascent([g], 0.2, 3, [w])[0])


@pytest.mark.parametrize("off", [torch.no_grad, torch.inference_mode])
def test_the_gradient_is_the_same_where_the_caller_needs_none(problem, off):
    expected = sam_gradient(*problem, adaptive=True)
    with off():
        found = sam_gradient(*problem, adaptive=True)
    assert torch.equal(found.exact, expected.exact)


def test_attention_is_penalized_in_the_mode_that_the_docstring_names():
    generator = torch.Generator().manual_seed(0)
    w = torch.randn(1, 3, 3, generator=generator, requires_grad=True)
    with sdpa_kernel(SDPBackend.MATH):
        loss = scaled_dot_product_attention(w, w, w).square().mean()
    penalty = hessian_penalty(loss, [w], generator)
    (gradient,) = torch.autograd.grad(penalty, w)
    assert penalty.isfinite() and gradient.isfinite().all() and gradient.any()
