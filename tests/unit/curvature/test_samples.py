"""Losses and networks that are no mean over samples, and what is known of a loader and of rounding."""

import pytest
import torch
from dense_references import assert_products, dense_hessian, mlp, network
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from flatlab.curvature import (
    Hessian,
    HessianVariance,
    frobenius_norm,
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
