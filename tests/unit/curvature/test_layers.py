"""The layer-wise Hessian against full autograd Hessians, and against double backward."""

import pytest
import torch
from architectures import ARCHITECTURES, REFUSED, Overwriting, build
from dense_references import KINDS, assert_products, dense_hessian, network, one_hot
from torch import nn

from flatlab.curvature import Hessian, UnsupportedLayerError, top_eigenpairs
from flatlab.curvature.products import AutogradHessian, LayeredHessian


def graph_kinds(op):
    return {type(graph) for _, graph in op._graphs._kept}


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_layer_wise_products_are_the_full_hessian_s(name):
    model, X, y = build(name)
    for loss_fn, target in [(nn.CrossEntropyLoss(), y), (nn.MSELoss(), one_hot(y))]:
        H = dense_hessian(model, loss_fn, X, target)
        batches = [(X[:2], target[:2]), (X[2:], target[2:])]
        for data in ((X, target), batches):
            op = Hessian(model, loss_fn, data, method="layers")
            assert_products(op, H)
            assert graph_kinds(op) == {LayeredHessian}


@pytest.mark.parametrize("kind", KINDS)
def test_both_methods_agree(kind):
    model, X, y = network(kind)
    H = dense_hessian(model, nn.CrossEntropyLoss(), X, y)
    for method in ("layers", "autograd"):
        assert_products(Hessian(model, nn.CrossEntropyLoss(), (X, y), method=method), H)


@pytest.mark.parametrize("name", sorted(set(REFUSED) - {"overwritten input"}))
def test_auto_takes_every_model(name):
    make, _ = REFUSED[name]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = make().double()
    X = torch.randn(6, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    y = torch.arange(6) % 3
    op = Hessian(model, nn.CrossEntropyLoss(), (X, y))
    assert_products(op, dense_hessian(model, nn.CrossEntropyLoss(), X, y))
    assert all(len(module._forward_hooks) == 0 for module in model.modules())


def test_layers_called_twice_shared_weights_and_rows_that_are_no_samples_need_no_fallback():
    for name in ("called twice", "shared weight", "rows that are no samples"):
        with torch.random.fork_rng():
            torch.manual_seed(0)
            model = REFUSED[name][0]().double()
        X = torch.randn(6, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
        op = Hessian(model, nn.CrossEntropyLoss(), (X, torch.arange(6) % 3), method="layers")
        assert_products(op, dense_hessian(model, nn.CrossEntropyLoss(), X, torch.arange(6) % 3))


def test_layers_alone_does_not_fall_back():
    X, y = torch.randn(6, 8, generator=torch.Generator().manual_seed(0)), torch.arange(6) % 3
    with pytest.raises(UnsupportedLayerError, match="PReLU '1'"):
        prelu = nn.Sequential(nn.Linear(8, 3), nn.PReLU())
        Hessian(prelu, nn.CrossEntropyLoss(), (X, y), method="layers")
    op = Hessian(Overwriting(), nn.CrossEntropyLoss(), (X, y), method="layers")
    with pytest.raises(UnsupportedLayerError, match="overwritten in place"):
        op @ torch.ones(op.shape[0])
    with pytest.raises(ValueError, match="method must be"):
        Hessian(prelu, nn.CrossEntropyLoss(), (X, y), method="fast")


@pytest.mark.parametrize("method", ["layers", "autograd"])
def test_batch_norm_in_train_mode_and_a_loss_that_couples_samples(method):
    model, X, y = network("batch-norm")
    model.train()

    def coupled(f, y):
        return f.var(0).sum() + nn.functional.cross_entropy(f, y)

    for loss_fn in (nn.CrossEntropyLoss(), coupled):
        op = Hessian(model, loss_fn, (X, y), method=method)
        assert_products(op, dense_hessian(model, loss_fn, X, y))


def test_activations_that_only_look_elementwise():
    class Sorted(nn.Module):
        def forward(self, z):
            return z.sort(1).values

    class Neighbor(nn.Module):
        def forward(self, z):
            return torch.tanh(z) * torch.sigmoid(z.roll(1, 1))

    class Centered(nn.Module):
        def forward(self, z):
            return z - z.mean(0)

    X = torch.randn(6, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    y = torch.arange(6) % 3
    for activation in (Sorted, Neighbor, Centered, nn.Softmax, nn.Softsign, nn.Hardtanh, nn.Tanh):
        make = activation(1) if activation is nn.Softmax else activation()
        model = nn.Sequential(nn.Linear(4, 5), make, nn.Linear(5, 3)).double()
        op = Hessian(model, nn.CrossEntropyLoss(), (X, y), method="layers")
        assert_products(op, dense_hessian(model, nn.CrossEntropyLoss(), X, y))
        ((_, graph),) = op._graphs._kept
        elementwise = activation in (nn.Softsign, nn.Hardtanh, nn.Tanh)
        assert (graph.batch.pullbacks[1].slope is not None) == elementwise


@pytest.mark.parametrize("where", ["zero loss", "pruned"])
def test_what_mixes_units_is_seen_where_the_loss_has_no_slope(where):
    """At targets that are met exactly every output-gradient is 0; behind pruned columns some are."""

    class Parted(nn.Module):
        def forward(self, z):
            return torch.cat([z[:, :2].tanh(), z[:, 2:].softmax(1)], 1)

    norm = nn.LayerNorm(5, elementwise_affine=False)
    for mix in (nn.Softmax(1), norm, Parted(), nn.Tanh(), nn.ReLU()):
        with torch.random.fork_rng():
            torch.manual_seed(0)
            model = nn.Sequential(nn.Linear(4, 5), mix, nn.Linear(5, 3)).double()
        X = torch.randn(6, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
        with torch.no_grad():
            if where == "pruned":
                model[2].weight[:, 2:] = 0
            y = model(X) + (where == "pruned")
        op = Hessian(model, nn.MSELoss(), (X, y), method="layers")
        assert_products(op, dense_hessian(model, nn.MSELoss(), X, y))
        ((_, graph),) = op._graphs._kept
        assert (graph.batch.pullbacks[1].slope is not None) == isinstance(mix, (nn.Tanh, nn.ReLU))


def test_an_activation_without_slope():
    class Sign(nn.Module):
        def forward(self, z):
            return z.sign()

    model = nn.Sequential(nn.Linear(4, 5), Sign(), nn.Linear(5, 3)).double()
    X = torch.randn(6, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    op = Hessian(model, nn.CrossEntropyLoss(), (X, torch.arange(6) % 3), method="layers")
    assert_products(op, dense_hessian(model, nn.CrossEntropyLoss(), X, torch.arange(6) % 3))


def test_rows_of_parameters():
    model, X, y = network("conv")
    H = dense_hessian(model, nn.CrossEntropyLoss(), X, y)[9:18, 9:18]  # 0.weight[1] is 9 numbers
    for method in ("layers", "autograd"):
        settings = {"parameters": "0.weight[1]", "method": method}
        assert_products(Hessian(model, nn.CrossEntropyLoss(), (X, y), **settings), H)


def test_blocks_use_autograd_where_they_are_batched():
    model, X, y = network("mlp-tanh")
    op = Hessian(model, nn.CrossEntropyLoss(), (X, y), blocks="batched")
    assert_products(op, dense_hessian(model, nn.CrossEntropyLoss(), X, y))
    assert graph_kinds(op) == {AutogradHessian}


def test_inside_steady_changes_are_not_looked_for_and_after_it_they_are():
    model, X, y = network("mlp-tanh")
    op = Hessian(model, nn.CrossEntropyLoss(), (X, y))
    v = torch.ones(op.shape[0], dtype=torch.float64)
    before = op @ v
    with op.steady():
        model[0].weight.data.mul_(2)
        op @ v
    assert not torch.allclose(op @ v, before)
    assert_products(op, dense_hessian(model, nn.CrossEntropyLoss(), X, y))
    with op.steady():  # entering looks once
        assert not torch.allclose(op @ v, before)


def test_products_in_given_memory():
    model, X, y = network("mlp-tanh")
    for data in ((X, y), [(X[:4], y[:4]), (X[4:], y[4:])]):
        for method in ("layers", "autograd"):
            op = Hessian(model, nn.CrossEntropyLoss(), data, method=method)
            v = torch.randn(op.shape[0], dtype=torch.float64, generator=torch.Generator())
            out = torch.full_like(v, float("nan"))
            torch.testing.assert_close(op.multiply_into(v, out), op @ v)


def test_results_do_not_share_memory_with_the_operator():
    model, X, y = network("mlp-tanh")
    op = Hessian(model, nn.CrossEntropyLoss(), (X, y))
    v = torch.ones(op.shape[0], dtype=torch.float64)
    first = op @ v
    kept = first.clone()
    op @ (2 * v)
    top_eigenpairs(op, 2, method="lanczos")
    assert torch.equal(first, kept)


class Loop(nn.Module):
    """Layers that are called on one sample at a time, without a dimension for samples."""

    def __init__(self, norm):
        super().__init__()
        self.first, self.norm, self.out = nn.Linear(4, 5), norm, nn.Linear(5, 3)

    def forward(self, X):
        return torch.stack([self.out(torch.tanh(self.norm(self.first(x)))) for x in X])


@pytest.mark.parametrize("norm", [nn.LayerNorm(5), nn.RMSNorm(5)])
def test_normalized_single_samples_fall_back_to_autograd(norm):
    model = Loop(norm).double()
    X = torch.randn(6, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    y = torch.arange(6) % 3
    op = Hessian(model, nn.CrossEntropyLoss(), (X, y))
    assert_products(op, dense_hessian(model, nn.CrossEntropyLoss(), X, y))
    assert graph_kinds(op) == {AutogradHessian}


class Images(nn.Module):
    """Images one at a time, (C, H, W)."""

    def __init__(self):
        super().__init__()
        self.filters = nn.Sequential(nn.Conv2d(2, 3, 2), nn.InstanceNorm2d(3, affine=True))

    def forward(self, X):
        return torch.stack([torch.tanh(self.filters(x)).flatten()[:3] for x in X])


def test_single_images_fall_back_to_autograd():
    model = Images().double()
    X = torch.randn(4, 2, 4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    y = torch.arange(4) % 3
    op = Hessian(model, nn.CrossEntropyLoss(), (X, y))
    assert_products(op, dense_hessian(model, nn.CrossEntropyLoss(), X, y))
    with pytest.raises(UnsupportedLayerError, match="without a dimension for samples"):
        dense_products = Hessian(model, nn.CrossEntropyLoss(), (X, y), method="layers")
        dense_products @ torch.ones(op.shape[0], dtype=torch.float64)


class Clip(nn.Module):
    """Element by element for short vectors alone."""

    def forward(self, z):
        return z * (1 / z.norm(dim=1, keepdim=True)).clamp(max=1)


@pytest.mark.parametrize("long", [slice(None, None, 2), slice(1, None, 2), slice(0, 1)])
def test_units_that_mix_in_some_samples_only_are_seen(long):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(4, 5, bias=False), Clip(), nn.Linear(5, 2)).double()
    X = 0.05 * torch.randn(100, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    X[long] *= 40
    y = torch.arange(100) % 2
    op = Hessian(model, nn.CrossEntropyLoss(), (X, y), method="layers")
    assert_products(op, dense_hessian(model, nn.CrossEntropyLoss(), X, y))


@pytest.mark.parametrize("activation", [nn.SiLU, nn.Mish, nn.GELU, nn.Softplus])
def test_activations_whose_derivatives_cancel_are_recognized_element_by_element(activation):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(20, 60), activation(), nn.Linear(60, 3))
    X = 2 * torch.randn(4000, 20, generator=torch.Generator().manual_seed(0))
    op = Hessian(model, nn.CrossEntropyLoss(), (X, torch.arange(4000) % 3), method="layers")
    op @ torch.ones(op.shape[0])
    (_, graph), *_ = op._graphs._kept
    (pullback,) = [p for p in graph.batch.pullbacks if p is not None]
    assert pullback.bend is not None
