"""Sigma against explicit per-sample Hessians; its memory against the sizes of tensors."""

import pytest
import torch
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
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from flatlab.curvature import (
    ConvergenceError,
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


class Residual(nn.Module):
    """x + f(x), with the in-place activation that residual networks use."""

    def __init__(self, *layers):
        super().__init__()
        self.body = nn.Sequential(*layers)

    def forward(self, x):
        return F.softplus(x + self.body(x))


class Branches(nn.Module):
    """Two layers read the same input, their outputs are multiplied, one output is unused."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.c = nn.Linear(4, 5), nn.Linear(4, 5), nn.Linear(5, 3)
        self.unused = nn.Linear(4, 2)

    def forward(self, x):
        self.unused(x)
        return self.c(self.a(x) * torch.sigmoid(self.b(x)))


class Tokens(nn.Module):
    """Several positions a sample, mixed by attention."""

    def __init__(self, width, hidden):
        super().__init__()
        self.qkv = nn.Linear(2, 3 * width)
        self.norm = nn.LayerNorm((4, width))
        self.head = nn.Linear(width, hidden)
        self.out = nn.Linear(hidden, 3)

    def forward(self, x):
        q, k, v = self.qkv(x.view(len(x), 4, 2)).chunk(3, -1)
        x = self.norm(F.scaled_dot_product_attention(q, k, v))
        return self.out(torch.tanh(self.head(x)).mean(1))


def conv(*args, **kwargs):
    return nn.Conv2d(*args, **kwargs)


ARCHITECTURES = {
    "in-place relu": lambda: nn.Sequential(nn.Linear(8, 5), nn.ReLU(inplace=True), nn.Linear(5, 3)),
    "no biases": lambda: nn.Sequential(nn.Linear(8, 5, bias=False), nn.Tanh(), nn.Linear(5, 3, False)),
    "residual": lambda: nn.Sequential(Residual(nn.Linear(8, 6), nn.GELU(), nn.Linear(6, 8)), nn.Linear(8, 3)),
    "branches": lambda: nn.Sequential(nn.Linear(8, 4), nn.SiLU(), Branches()),
    "tokens, factored": lambda: Tokens(8, 9),
    "tokens, dense": lambda: Tokens(2, 3),
    "strided dilated conv": lambda: nn.Sequential(
        nn.Unflatten(1, (1, 2, 4)), conv(1, 4, (2, 3), stride=(1, 2), padding=(1, 2), dilation=(1, 2)),
        nn.ELU(), nn.Flatten(), nn.LazyLinear(3),
    ),
    "grouped conv": lambda: nn.Sequential(
        nn.Unflatten(1, (2, 2, 2)), conv(2, 4, 1), nn.Tanh(), conv(4, 6, 2, groups=2, padding=1),
        nn.Tanh(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 3),
    ),
    "same padding": lambda: nn.Sequential(
        nn.Unflatten(1, (2, 2, 2)), conv(2, 3, 3, padding="same", bias=False), nn.BatchNorm2d(3),
        nn.Softplus(), conv(3, 2, 1, padding="valid"), nn.Flatten(), nn.Linear(8, 3),
    ),
    "group and instance norm": lambda: nn.Sequential(
        nn.Unflatten(1, (2, 2, 2)), conv(2, 4, 1), nn.GroupNorm(2, 4), nn.Tanh(),
        conv(4, 3, 1), nn.InstanceNorm2d(3, affine=True), nn.Flatten(), nn.Linear(12, 3),
    ),
    "layer norm first": lambda: nn.Sequential(nn.LayerNorm(8), nn.Linear(8, 4), nn.RMSNorm(4), nn.Linear(4, 3)),
}  # fmt: skip


def build(name):
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = ARCHITECTURES[name]()
        X, y = torch.randn(6, 8), torch.randint(0, 3, (6,))
        model(X)  # lazy layers, and running statistics other than 0 and 1
        with torch.no_grad():
            for p in model.parameters():
                p.add_(0.1 * torch.randn_like(p))  # norm layers' scale and shift other than 1 and 0
    return model.double().eval(), X.double(), y


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
class Direct(nn.Module):
    """Uses a layer's weight without calling the layer."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(8, 3)

    def forward(self, x):
        return F.linear(x, self.layer.weight)


class Twice(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer, self.out = nn.Linear(8, 8), nn.Linear(8, 3)

    def forward(self, x):
        return self.out(torch.tanh(self.layer(torch.tanh(self.layer(x)))))


class Flattened(nn.Module):
    """Calls a layer on rows that are not samples."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, 3)

    def forward(self, x):
        return self.layer(x.reshape(-1, 2)).view(len(x), 4, 3).mean(1)


class Scaled(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer, self.scale = nn.Linear(8, 3), nn.Parameter(torch.ones(3))

    def forward(self, x):
        return self.scale * self.layer(x)


class Overwriting(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.layer, self.other = nn.Linear(8, 3), nn.Linear(3, 3), nn.Linear(3, 3)

    def forward(self, x):
        x = self.first(x) * 1.0
        z = self.layer(x)
        x.add_(1.0)
        return z + x


class MyLinear(nn.Linear):
    def forward(self, x):
        return torch.tanh(super().forward(x))


REFUSED = {
    "Embedding": (lambda: nn.Sequential(nn.Linear(8, 3), nn.PReLU()), "PReLU '1' has parameters"),
    "weight used directly": (Direct, "'layer.weight' is used outside its module's own call"),
    "called twice": (Twice, "Linear 'layer' is called more than once"),
    "rows that are no samples": (Flattened, "Linear 'layer' gets 24 rows for 6 samples"),
    "own parameter": (Scaled, "Scaled '' has parameters"),
    "overwritten input": (Overwriting, "'layer' has an input that is overwritten in place"),
    "subclass": (lambda: nn.Sequential(MyLinear(8, 3)), "MyLinear '0' has parameters"),
    "reflecting padding": (
        lambda: nn.Sequential(
            nn.Unflatten(1, (2, 2, 2)),
            nn.Conv2d(2, 3, 3, padding=1, padding_mode="reflect"),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
        ),
        "Conv2d '1' has parameters",
    ),
}


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
