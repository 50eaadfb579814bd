"""Sigma against explicit per-sample Hessians; its memory against the sizes of tensors."""

import pytest
import torch
from architectures import ARCHITECTURES, REFUSED, build
from dense_references import (
    KINDS,
    assert_products,
    dense,
    dense_hessian,
    flat,
    mlp,
    network,
    one_hot,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from flatlab.curvature import (
    ConvergenceError,
    Hessian,
    HessianVariance,
    UnsupportedLayerError,
    non_uniformity,
)


def dense_variance(model, loss_fn, X, y):
    """(1/n) sum_i H_i^2 - H^2 from the full Hessian of every sample."""
    samples = [dense_hessian(model, loss_fn, X[i : i + 1], y[i : i + 1]) for i in range(len(X))]
    H = torch.stack(samples)
    return (H @ H).mean(0) - H.mean(0) @ H.mean(0)


def check(model, loss_fn, X, y, **settings):
    sigma = HessianVariance(model, loss_fn, (X, y), **settings)
    assert_products(sigma, dense_variance(model, loss_fn, X, y), rtol=1e-10)


@pytest.mark.parametrize("method", ["layers", "vmap"])
@pytest.mark.parametrize("loss_fn", [nn.MSELoss(), nn.CrossEntropyLoss()])
@pytest.mark.parametrize("kind", KINDS)
def test_sigma_is_the_explicit_variance(kind, loss_fn, method):
    model, X, y = network(kind)
    y = one_hot(y) if isinstance(loss_fn, nn.MSELoss) else y
    check(model, loss_fn, X, y, method=method, chunk_size=4)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_other_architectures(name):
    model, X, y = build(name)
    check(model, nn.CrossEntropyLoss(), X, y)
    check(model, nn.MSELoss(), X, one_hot(y))


@settings(max_examples=25, deadline=None)
@given(
    widths=st.lists(st.integers(1, 4), min_size=2, max_size=4),
    activation=st.sampled_from([nn.Tanh, nn.ReLU, nn.Sigmoid, nn.GELU, nn.ELU]),
    sizes=st.lists(st.integers(1, 4), min_size=1, max_size=3),
    square=st.booleans(),
    frozen=st.integers(0, 6),
    seed=st.integers(0, 10_000),
)
def test_random_networks_losses_and_batch_splits(widths, activation, sizes, square, frozen, seed):
    model = mlp(*widths, activation=activation, seed=seed)
    generator = torch.Generator().manual_seed(seed)
    n, classes = sum(sizes), widths[-1]
    X = torch.randn(n, widths[0], dtype=torch.float64, generator=generator)
    if square:
        loss_fn, y = nn.MSELoss(), torch.randn(n, classes, dtype=torch.float64, generator=generator)
    else:
        loss_fn, y = nn.CrossEntropyLoss(), torch.randint(0, classes, (n,), generator=generator)
    batches = list(zip(X.split(sizes), y.split(sizes), strict=True))
    samples = torch.stack(
        [dense_hessian(model, loss_fn, X[i : i + 1], y[i : i + 1]) for i in range(n)]
    )
    if frozen < len(list(model.parameters())) - 1:
        keep = torch.ones(samples.shape[1], dtype=torch.bool)
        start = 0
        for i, p in enumerate(model.parameters()):
            keep[start : start + p.numel()] = i != frozen
            start += p.numel()
            p.requires_grad_(i != frozen)
        samples = samples[:, keep][:, :, keep]
    expected = (samples @ samples).mean(0) - samples.mean(0) @ samples.mean(0)
    sigma = dense(HessianVariance(model, loss_fn, batches))
    torch.testing.assert_close(sigma, expected, rtol=1e-9, atol=1e-11)
    torch.testing.assert_close(sigma, sigma.T, rtol=1e-9, atol=1e-11)
    assert torch.linalg.eigvalsh(sigma)[0] > -1e-10


@pytest.mark.parametrize("method", ["layers", "vmap"])
@pytest.mark.parametrize("memory", [1, 4000, 60_000])
@pytest.mark.parametrize("cut", [False, True])
def test_little_memory_changes_no_product(memory, cut, method):
    model, X, y = network("conv")
    data = [(X[:3], y[:3]), (X[3:], y[3:])] if cut else (X, y)
    sigma = HessianVariance(model, nn.CrossEntropyLoss(), data, memory=memory, method=method)
    expected = dense_variance(model, nn.CrossEntropyLoss(), X, y)
    assert_products(sigma, expected)
    assert_products(sigma, expected)


def test_products_follow_the_parameters():
    model, X, y = network("mlp-tanh")
    sigma = HessianVariance(model, nn.CrossEntropyLoss(), (X, y))
    before = dense(sigma)
    with torch.no_grad():
        model[0].weight.data.mul_(1.5)
    after = dense(sigma)
    torch.testing.assert_close(after, dense_variance(model, nn.CrossEntropyLoss(), X, y))
    assert not torch.allclose(before, after)


def test_float32_agrees_with_float64_to_1e_5():
    model, X, y = network("conv")
    expected = dense_variance(model, nn.CrossEntropyLoss(), X, y)
    v = torch.randn(len(expected), generator=torch.Generator().manual_seed(0)).double()
    sigma = HessianVariance(model.float(), nn.CrossEntropyLoss(), (X.float(), y))
    error = (sigma @ v.float()).double() - expected @ v
    assert error.norm() <= 1e-5 * (expected @ v).norm()


def test_one_sample_and_equal_samples_have_no_variance():
    model, X, y = network("mlp-tanh")
    for index in ([0], [0, 0, 0]):
        sigma = HessianVariance(model, nn.CrossEntropyLoss(), (X[index], y[index]))
        assert dense(sigma).abs().max() < 1e-15
        assert non_uniformity(model, nn.CrossEntropyLoss(), (X[index], y[index])) < 1e-7


def test_rows_of_parameters_through_vmap_only():
    model, X, y = network("mlp-tanh")
    with pytest.raises(ValueError, match="whole parameters; use method='vmap'"):
        HessianVariance(model, nn.CrossEntropyLoss(), (X, y), parameters="0.weight[1]")
    H = torch.stack(
        [dense_hessian(model, nn.CrossEntropyLoss(), X[i : i + 1], y[i : i + 1]) for i in range(9)]
    )[:, 5:10, 5:10]
    expected = (H @ H).mean(0) - H.mean(0) @ H.mean(0)
    rows = {"parameters": "0.weight[1]", "method": "vmap"}
    sigma = HessianVariance(model, nn.CrossEntropyLoss(), (X, y), **rows)
    torch.testing.assert_close(dense(sigma), expected)


# --- non-uniformity -------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", KINDS)
def test_non_uniformity_is_the_root_of_the_largest_eigenvalue(kind):
    model, X, y = network(kind)
    sigma = dense_variance(model, nn.CrossEntropyLoss(), X, y)
    truth = float(torch.linalg.eigvalsh(sigma)[-1]) ** 0.5
    value = non_uniformity(model, nn.CrossEntropyLoss(), (X, y))
    assert isinstance(value, float) and value == pytest.approx(truth, rel=1e-2)
    fine = non_uniformity(model, nn.CrossEntropyLoss(), (X, y), tol=1e-7)
    assert fine == pytest.approx(truth, rel=1e-7)


def test_the_escape_example_of_wu_et_al():
    # f1 = min(x^2, 0.1 (x-1)^2), f2 = min(x^2, 1.9 (x-1)^2): at x = 1 the curvatures are 0.2, 3.8.
    class Point(nn.Module):
        def __init__(self, x):
            super().__init__()
            self.line = nn.Linear(1, 1, bias=False).double()
            nn.init.constant_(self.line.weight, x)

        def forward(self, c):
            x = self.line(torch.ones_like(c))
            return torch.minimum(x**2, c * (x - 1) ** 2)

    data = (torch.tensor([[0.1], [1.9]]).double(), torch.zeros(2).double())

    def mean(f, y):
        return f.mean()

    assert non_uniformity(Point(1 + 1e-5), mean, data) == pytest.approx(1.8)
    assert non_uniformity(Point(1e-5), mean, data) == pytest.approx(0, abs=1e-7)


def test_uncertified_and_bad_tolerances():
    model, X, y = network("conv")
    with pytest.raises(ConvergenceError, match=r"lambda_max\(Sigma\)"):
        non_uniformity(model, nn.CrossEntropyLoss(), (X, y), tol=1e-6, max_iter=2)
    for tol in (0.0, 1.0, float("nan")):
        with pytest.raises(ValueError, match="tol must lie between 0 and 1"):
            non_uniformity(model, nn.CrossEntropyLoss(), (X, y), tol=tol)


# --- memory, as tensors' sizes --------------------------------------------------------------------
class LargestTensor(TorchDispatchMode):
    """The largest tensor that any operation returned."""

    numel = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        sizes = [t.numel() for t in tree_leaves(result) if torch.is_tensor(t)]
        self.numel = max([self.numel, *sizes])
        return result


def test_linear_layers_take_n_times_in_plus_out_and_never_n_times_p():
    model, n = mlp(30, 40, 20, 3).double(), 64
    X = torch.randn(n, 30, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    y = torch.arange(n) % 3
    sigma = HessianVariance(model, nn.CrossEntropyLoss(), (X, y))
    v = torch.ones(sigma.shape[0], dtype=torch.float64)
    with LargestTensor() as largest:
        sigma @ v
    assert largest.numel <= max(n * 40, sigma.shape[0])
    assert largest.numel < n * sigma.shape[0] / 20


def test_convolutions_take_the_smaller_of_two_forms():
    for kernel, size, bound in [(3, 12, 4 * 4 * 9), (5, 2, 4 * 4)]:
        # per sample: out x in k k weights, or positions x positions inner products
        model = nn.Sequential(nn.Conv2d(4, 4, kernel, padding=kernel // 2), nn.Flatten())
        X = torch.randn(8, 4, size, size, generator=torch.Generator().manual_seed(0))
        sigma = HessianVariance(model, nn.MSELoss(), (X, torch.zeros(8, 4 * size**2)))
        with LargestTensor() as largest:
            sigma @ torch.ones(sigma.shape[0])
        unfolded = 4 * kernel**2 * size**2
        assert largest.numel <= 8 * max(unfolded, bound)


# --- what the layer-wise form refuses, by name ----------------------------------------------------
@pytest.mark.parametrize("name", REFUSED)
def test_a_layer_that_is_not_handled_is_named_with_the_fallback_that_works(name):
    make, message = REFUSED[name]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = make().double()
    X = torch.randn(6, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    y = torch.arange(6) % 3
    with pytest.raises(UnsupportedLayerError, match=f"{message}.*method='vmap'"):
        HessianVariance(model, nn.CrossEntropyLoss(), (X, y)) @ torch.ones(
            len(flat(model))
        ).double()
    assert all(len(module._forward_hooks) == 0 for module in model.modules())
    if name != "overwritten input":
        check(model, nn.CrossEntropyLoss(), X, y, method="vmap")


def test_batch_norm_in_train_mode_is_refused():
    model, X, y = network("batch-norm")
    for method in ("layers", "vmap"):
        sigma = HessianVariance(model.train(), nn.CrossEntropyLoss(), (X, y), method=method)
        with pytest.raises(ValueError, match="BatchNorm1d '1' uses the statistics of each batch"):
            dense(sigma)


def test_losses_that_are_no_mean_over_samples():
    model, X, y = network("mlp-tanh")
    weighted = nn.CrossEntropyLoss(weight=torch.tensor([1.0, 5.0, 0.1]).double())
    for loss_fn in (nn.CrossEntropyLoss(reduction="sum"), weighted):
        with pytest.raises(ValueError, match="must average over samples"):
            dense(HessianVariance(model, loss_fn, (X, y)))


def test_bad_settings():
    model, X, y = network("mlp-tanh")
    with pytest.raises(ValueError, match="method must be"):
        HessianVariance(model, nn.CrossEntropyLoss(), (X, y), method="fast")
    with pytest.raises(ValueError, match="chunk_size must be"):
        HessianVariance(model, nn.CrossEntropyLoss(), (X, y), chunk_size=0)


def test_nothing_of_the_caller_changes():
    model, X, y = network("conv")
    state = {name: t.clone() for name, t in model.state_dict().items()}
    rng = torch.get_rng_state()
    non_uniformity(model, nn.CrossEntropyLoss(), (X, y))
    for name, t in model.state_dict().items():
        assert torch.equal(t, state[name])
    assert all(p.grad is None and p.requires_grad for p in model.parameters())
    assert all(len(module._forward_hooks) == 0 for module in model.modules())
    assert torch.equal(torch.get_rng_state(), rng)


class SequenceFirst(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(2, 3), nn.Linear(3, 1)

    def forward(self, x):
        return self.b(torch.tanh(self.a(x.transpose(0, 1)))).mean(0)


def test_as_many_positions_as_samples_are_not_taken_for_samples():
    X, y = torch.ones(6, 6, 2).double(), torch.zeros(6, 1).double()
    sigma = HessianVariance(SequenceFirst().double(), nn.MSELoss(), (X, y))
    with pytest.raises(UnsupportedLayerError, match="rows for"):
        sigma @ torch.ones(13).double()


@pytest.mark.parametrize("method", ["layers", "vmap"])
def test_it_has_a_gradient_and_tells_nan(method):
    model, X, y = network("mlp-tanh")
    loss_fn = nn.CrossEntropyLoss()
    sigma = HessianVariance(model, loss_fn, (X, y), method=method)
    torch.testing.assert_close(sigma.gradient(), Hessian(model, loss_fn, (X, y)).gradient())
    X[3, 0] = float("nan")
    with pytest.raises(FloatingPointError, match="NaN"):
        sigma @ torch.ones(sigma.shape[0], dtype=X.dtype)
