"""Losses and networks that are no mean over samples, and what is known of a loader and of rounding."""

import pytest
import torch
from dense_references import assert_products, dense_hessian, mean_prediction, mlp, network
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from flatlab.curvature import (
    Hessian,
    HessianVariance,
    epsilon_sharpness,
    frobenius_norm,
    landscape_1d,
    random_direction,
    sharpness,
    spectral_density,
    top_eigenpairs,
    trace,
)

N = 300
X = torch.randn(N, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
TURNS = torch.arange(N) % 2
BLOCKS = torch.arange(N) // (N // 2)
WEIGHTED = nn.CrossEntropyLoss(weight=torch.tensor([1.0, 5.0], dtype=torch.float64))


class Centered(nn.Module):
    def forward(self, z):
        return z - z.mean(0)


def mixing():
    return nn.Sequential(mlp(4, 5, seed=1), Centered(), mlp(5, 2, seed=2))


@pytest.mark.parametrize("method", ["layers", "vmap"])
@pytest.mark.parametrize("n", [2, 12, N])
@pytest.mark.parametrize("y", [TURNS, BLOCKS])
def test_class_weights_have_no_samples_hessians(y, n, method):
    part = torch.linspace(0, N - 1, n).long()
    sigma = HessianVariance(mlp(4, 5, 2), WEIGHTED, (X[part], y[part]), method=method)
    with pytest.raises(ValueError, match="as the mean of their losses: it must average"):
        sigma @ torch.ones(sigma.shape[0], dtype=torch.float64)


@pytest.mark.parametrize("method", ["layers", "vmap"])
def test_sums_and_networks_that_mix_samples_have_none_either(method):
    v = torch.ones(37, dtype=torch.float64)
    summed = nn.CrossEntropyLoss(reduction="sum")
    with pytest.raises(ValueError, match="it must average over samples"):
        HessianVariance(mlp(4, 5, 2), summed, (X, TURNS), method=method) @ v
    with pytest.raises(ValueError, match="depends on the others in its batch"):
        HessianVariance(mixing(), nn.CrossEntropyLoss(), (X, TURNS), method=method) @ v


@pytest.mark.parametrize("y", [TURNS, BLOCKS])
def test_a_batch_too_large_for_memory_is_not_cut_where_its_parts_would_not_add_up(y):
    for model, loss_fn in ((mlp(4, 5, 2), WEIGHTED), (mixing(), nn.CrossEntropyLoss())):
        H = dense_hessian(model, loss_fn, X, y)
        assert_products(Hessian(model, loss_fn, (X, y), memory=20_000), H)
    plain = Hessian(mlp(4, 5, 2), nn.CrossEntropyLoss(), (X, y), memory=20_000)
    assert_products(plain, dense_hessian(mlp(4, 5, 2), nn.CrossEntropyLoss(), X, y))
    assert len(plain._graphs._parts) > 1


def test_counting_a_loader_s_samples_keeps_the_global_seed():
    model, X, y = network("mlp-tanh")
    loader = DataLoader(TensorDataset(X, y), batch_size=4, shuffle=True)
    before = torch.get_rng_state()
    assert HessianVariance(model, nn.CrossEntropyLoss(), loader).n_samples == len(X)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_sharp_state_does_not_excuse_rounding_in_a_later_flat_one():
    model = mlp(4, 5, 2).float()
    sigma = HessianVariance(model, nn.MSELoss(), (X[:12].float(), X[:12, :2].float()))

    def scale(factor):
        with torch.no_grad():
            for p in model.parameters():
                p.mul_(factor)

    scale(50)
    top_eigenpairs(sigma, method="lanczos")
    sharp = sigma.rounding_scale
    scale(1 / 50)
    pairs = top_eigenpairs(sigma, tol=1e-5, method="lanczos")
    assert sigma.rounding_scale < 1e-3 * sharp
    assert pairs.converged and pairs.residuals[0] <= 1e-5 * pairs.values[0]


def test_data_made_in_inference_mode():
    model, loss_fn = mlp(4, 5, 2), nn.CrossEntropyLoss()
    with torch.inference_mode():
        inputs, y = X * 1, TURNS + 0
    op = Hessian(model, loss_fn, (inputs, y))
    assert_products(op, dense_hessian(model, loss_fn, X, TURNS))
    with torch.inference_mode():
        inputs.mul_(2)  # no version is counted
    assert_products(op, dense_hessian(model, loss_fn, 2 * X, TURNS))


def test_a_matrix_that_requires_a_gradient():
    factor = torch.randn(150, 150, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    A = (factor @ factor.T).requires_grad_()
    largest = torch.linalg.eigvalsh(A.detach())[-1]
    for method in ("lanczos", "dense"):
        pairs = top_eigenpairs(A, 1, tol=1e-8, method=method)
        torch.testing.assert_close(pairs.values[0], largest)
        assert not pairs.values.requires_grad and not pairs.vectors.requires_grad
    assert not spectral_density(A, steps=5).nodes.requires_grad
    assert trace(A).value > 0 and frobenius_norm(A).value > 0


@pytest.mark.parametrize("method", ["layers", "vmap"])
def test_weights_of_a_class_that_few_samples_have_are_seen(method):
    y = torch.zeros(N, dtype=torch.long)
    y[[7, 120, 201]] = 1
    rare = nn.CrossEntropyLoss(weight=torch.tensor([1.0, 99.0], dtype=torch.float64))
    sigma = HessianVariance(mlp(4, 5, 2), rare, (X, y), method=method)
    with pytest.raises(ValueError, match="it must average over samples"):
        sigma @ torch.ones(sigma.shape[0], dtype=torch.float64)
    whole = dense_hessian(mlp(4, 5, 2), rare, X, y)  # not to be cut into parts either
    assert_products(Hessian(mlp(4, 5, 2), rare, (X, y), memory=20_000), whole)


# --- several batches ------------------------------------------------------------------------------
def batches(y=TURNS, size=32, inputs=X):
    return DataLoader(TensorDataset(inputs, y), batch_size=size)


class Tokens(nn.Module):
    """Logits (n, 3, 3) for three tokens of each sample, or (3n, 3) if `flat`; label 0 is padding."""

    def __init__(self, flat):
        super().__init__()
        self.net, self.shape = mlp(4, 5, 9, seed=1), (-1, 3) if flat else (-1, 3, 3)

    def forward(self, x):
        return self.net(x).view(self.shape)


def padded_loss(prediction, y):
    return nn.functional.cross_entropy(prediction.view(-1, 3), y.view(-1), ignore_index=0)


LENGTHS = 1 + torch.arange(N)[:, None] % 3
PADDED = torch.where(torch.arange(3) < LENGTHS, TURNS[:, None] + 1, 0)


@pytest.mark.parametrize(
    ("model", "loss_fn", "y"),
    [
        (mlp(4, 5, 2), WEIGHTED, TURNS),
        (mlp(4, 5, 2), nn.CrossEntropyLoss(reduction="sum"), TURNS),
        (Tokens(flat=False), padded_loss, PADDED),
        (Tokens(flat=True), padded_loss, PADDED),
    ],
    ids=["class weights", "a sum", "padding", "padding of flattened tokens"],
)
def test_a_loss_that_is_no_mean_is_refused_over_several_batches(model, loss_fn, y):
    for measure in (
        sharpness,
        lambda *a: epsilon_sharpness(*a, 0.1),
        lambda *a: trace(Hessian(*a), probes=2),
        lambda *a: landscape_1d(*a, random_direction(model), [0.0]),
    ):
        with pytest.raises(ValueError, match=r"must average over samples.* one batch \(X, y\)"):
            measure(model, loss_fn, batches(y))
    H = dense_hessian(model, loss_fn, X, y)
    for data in ((X, y), batches(y, size=N)):
        assert_products(Hessian(model, loss_fn, data), H)


class InTuple(nn.Module):
    def __init__(self, *layers):
        super().__init__()
        self.net = nn.Sequential(*layers)

    def forward(self, x):
        return self.net(x), "more"


def odd():
    """A network of odd functions: the predictions for x and -x cancel up to rounding."""
    net = mlp(4, 5, 1)
    for layer in (net[0], net[2]):
        nn.init.zeros_(layer.bias)
    return net


def squeezed(prediction, y):
    return nn.functional.binary_cross_entropy_with_logits(prediction.squeeze(), y.double())


@pytest.mark.parametrize(
    ("model", "loss_fn", "inputs"),
    [
        (mlp(4, 5, 1), squeezed, X),
        (odd(), mean_prediction, torch.cat([X[:6], -X[:6]]).repeat(2, 1)),
        (InTuple(mlp(4, 5, 2)), lambda p, y: nn.functional.cross_entropy(p[0], y), X),
        (mlp(4, 5, 2), nn.CrossEntropyLoss(label_smoothing=0.1), X),
    ],
    ids=["no single samples", "losses that cancel", "a tuple", "smoothing"],
)
def test_a_mean_is_taken_over_several_batches(model, loss_fn, inputs):
    inputs, y = inputs[:24], TURNS[:24]
    H = sum(
        dense_hessian(model, loss_fn, inputs[part], y[part]) / 2
        for part in (slice(0, 12), slice(12, 24))
    )
    assert_products(Hessian(model, loss_fn, batches(y, 12, inputs)), H, scale=1e-10)


def test_a_network_that_diverged_is_told_of_that_over_several_batches():
    model = mlp(4, 5, 2)
    nn.init.constant_(model[0].weight, torch.nan)
    with pytest.raises(FloatingPointError, match="the loss is not finite"):
        sharpness(model, nn.CrossEntropyLoss(), batches())
    losses = landscape_1d(model, nn.CrossEntropyLoss(), batches(), random_direction(model), [0.0])
    assert losses.losses.isnan().all()


@pytest.mark.parametrize(
    "loss_fn",
    [
        lambda p, y: WEIGHTED(p[0], y),
        lambda p, y: nn.functional.cross_entropy(p[0], y, reduction="sum"),
        lambda p, y: nn.functional.cross_entropy(p[0] - p[0].mean(0), y),
    ],
    ids=["class weights", "a sum", "samples that mix"],
)
@pytest.mark.parametrize("y", [TURNS, BLOCKS])
def test_a_prediction_in_a_tuple_does_not_hide_what_is_no_mean(loss_fn, y):
    sigma = HessianVariance(InTuple(mlp(4, 5, 2)), loss_fn, (X, y))
    with pytest.raises(ValueError, match="as the mean of their losses: it must average"):
        sigma @ torch.ones(sigma.shape[0], dtype=torch.float64)


def test_the_variance_of_a_prediction_in_a_tuple():
    net = mlp(4, 5, 2)
    inside = HessianVariance(
        InTuple(net), lambda p, y: nn.functional.cross_entropy(p[0], y), (X, TURNS)
    )
    plain = HessianVariance(net, nn.CrossEntropyLoss(), (X, TURNS))
    v = torch.ones(plain.shape[0], dtype=torch.float64)
    torch.testing.assert_close(inside @ v, plain @ v)
