"""Hessian and Gauss-Newton products against closed forms and full autograd matrices, float64."""

from functools import partial

import pytest
import torch
from dense_references import (
    KINDS,
    dense,
    dense_gauss_newton,
    dense_hessian,
    flat,
    flat_function,
    mlp,
    network,
    one_hot,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils import parametrizations
from torch.utils.data import DataLoader, TensorDataset

from flatlab.curvature import GaussNewton, Hessian


def targets(loss_fn, y):
    return one_hot(y) if isinstance(loss_fn, nn.MSELoss) else y


@pytest.mark.parametrize("operator", [Hessian, GaussNewton])
def test_linear_regression_is_the_closed_form(operator):
    generator = torch.Generator().manual_seed(1)
    X = torch.randn(11, 4, dtype=torch.float64, generator=generator)
    model = nn.Linear(4, 1).double()
    y = torch.randn(11, 1, dtype=torch.float64, generator=generator)
    A = torch.cat([X, torch.ones(11, 1, dtype=torch.float64)], 1)
    torch.testing.assert_close(dense(operator(model, nn.MSELoss(), (X, y))), 2 * A.T @ A / 11)


@pytest.mark.parametrize("operator", [Hessian, GaussNewton])
def test_logistic_regression_is_the_closed_form(operator):
    generator = torch.Generator().manual_seed(2)
    X = torch.randn(11, 4, dtype=torch.float64, generator=generator)
    y = torch.randint(0, 2, (11, 1), generator=generator).double()
    model = nn.Linear(4, 1).double()
    s = torch.sigmoid(X @ model.weight.detach().T + model.bias.detach())
    A = torch.cat([X, torch.ones(11, 1, dtype=torch.float64)], 1)
    expected = A.T @ (s * (1 - s) * A) / 11
    torch.testing.assert_close(dense(operator(model, nn.BCEWithLogitsLoss(), (X, y))), expected)


@pytest.mark.parametrize("operator", [Hessian, GaussNewton])
def test_softmax_regression_is_the_closed_form(operator):
    generator = torch.Generator().manual_seed(3)
    X = torch.randn(10, 4, dtype=torch.float64, generator=generator)
    y = torch.randint(0, 3, (10,), generator=generator)
    model = nn.Linear(4, 3, bias=False).double()
    probabilities = torch.softmax(X @ model.weight.detach().T, 1)
    expected = torch.zeros(12, 12, dtype=torch.float64)
    for x, q in zip(X, probabilities, strict=True):
        expected += torch.kron(torch.diag(q) - torch.outer(q, q), torch.outer(x, x)) / 10
    torch.testing.assert_close(dense(operator(model, nn.CrossEntropyLoss(), (X, y))), expected)


@pytest.mark.parametrize("loss_fn", [nn.MSELoss(), nn.CrossEntropyLoss()])
@pytest.mark.parametrize("kind", KINDS)
def test_hessian_is_the_full_autograd_hessian(kind, loss_fn):
    model, X, y = network(kind)
    y = targets(loss_fn, y)
    expected = dense_hessian(model, loss_fn, X, y)
    torch.testing.assert_close(dense(Hessian(model, loss_fn, (X, y))), expected)


@pytest.mark.parametrize("loss_fn", [nn.MSELoss(), nn.CrossEntropyLoss()])
@pytest.mark.parametrize("kind", KINDS)
def test_gauss_newton_is_the_explicit_product(kind, loss_fn):
    model, X, y = network(kind)
    y = targets(loss_fn, y)
    expected = dense_gauss_newton(model, loss_fn, X, y)
    torch.testing.assert_close(dense(GaussNewton(model, loss_fn, (X, y))), expected)


@pytest.mark.parametrize("operator", [Hessian, GaussNewton])
def test_unequal_batches_are_weighted_by_their_size(operator):
    model, X, y = network("mlp-tanh")
    whole = dense(operator(model, nn.CrossEntropyLoss(), (X, y)))
    cut = [(X[:1], y[:1]), (X[1:3], y[1:3]), (X[3:], y[3:])]
    torch.testing.assert_close(dense(operator(model, nn.CrossEntropyLoss(), cut)), whole)


@settings(max_examples=25, deadline=None)
@given(
    widths=st.lists(st.integers(1, 5), min_size=2, max_size=4),
    activation=st.sampled_from([nn.Tanh, nn.ReLU, nn.Sigmoid, nn.GELU, nn.ELU]),
    sizes=st.lists(st.integers(1, 4), min_size=1, max_size=3),
    square=st.booleans(),
    seed=st.integers(0, 10_000),
)
def test_random_networks_losses_and_batch_splits(widths, activation, sizes, square, seed):
    model = mlp(*widths, activation=activation, seed=seed)
    generator = torch.Generator().manual_seed(seed)
    n, classes = sum(sizes), widths[-1]
    X = torch.randn(n, widths[0], dtype=torch.float64, generator=generator)
    if square:
        loss_fn, y = nn.MSELoss(), torch.randn(n, classes, dtype=torch.float64, generator=generator)
    else:
        loss_fn, y = nn.CrossEntropyLoss(), torch.randint(0, classes, (n,), generator=generator)
    batches = list(zip(X.split(sizes), y.split(sizes), strict=True))
    H = dense(Hessian(model, loss_fn, batches))
    torch.testing.assert_close(H, dense_hessian(model, loss_fn, X, y), rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(H, H.T, rtol=1e-9, atol=1e-12)
    G = dense(GaussNewton(model, loss_fn, batches))
    torch.testing.assert_close(G, dense_gauss_newton(model, loss_fn, X, y), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("operator", [Hessian, GaussNewton])
def test_products_are_linear_and_blocks_are_their_columns(operator):
    model, X, y = network("mlp-tanh")
    op = operator(model, nn.CrossEntropyLoss(), (X, y))
    V = torch.randn(op.shape[0], 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    block = op @ V
    torch.testing.assert_close(block, torch.stack([op @ V[:, j] for j in range(3)], 1))
    combination = op @ (2 * V[:, 0] - 3 * V[:, 1])
    torch.testing.assert_close(combination, 2 * block[:, 0] - 3 * block[:, 1])
    assert (op @ V[:, :0]).shape == (op.shape[0], 0)


def test_batch_norm_in_train_mode_with_one_batch():
    model, X, y = network("batch-norm")
    model.train()
    before = {name: b.clone() for name, b in model.named_buffers()}
    op = Hessian(model, nn.CrossEntropyLoss(), (X, y))
    torch.testing.assert_close(dense(op), dense_hessian(model, nn.CrossEntropyLoss(), X, y))
    for name, b in model.named_buffers():
        assert torch.equal(b, before[name]), name


def test_a_parameter_outside_the_loss_and_a_frozen_one():
    class Partial(nn.Module):
        def __init__(self):
            super().__init__()
            self.unused = nn.Parameter(torch.ones(2, dtype=torch.float64))
            self.frozen = nn.Parameter(torch.full((), 3.0).double(), requires_grad=False)
            self.linear = nn.Linear(2, 1, bias=False).double()

        def forward(self, X):
            return self.frozen * self.linear(X)

    model = Partial()
    X = torch.tensor([[1.0, 2.0], [0.0, 1.0]], dtype=torch.float64)
    for operator in (Hessian, GaussNewton):
        op = operator(model, nn.MSELoss(), (X, torch.zeros(2, 1).double()))
        expected = torch.zeros(4, 4, dtype=torch.float64)
        expected[2:4, 2:4] = 9 * X.T @ X  # (2/n) c^2 X'X with n = 2
        torch.testing.assert_close(dense(op), expected)


def test_a_loss_linear_in_the_parameters_has_no_curvature():
    model = nn.Linear(3, 1).double()
    data = (torch.ones(4, 3).double(), torch.zeros(4))
    for operator in (Hessian, GaussNewton):
        op = operator(model, lambda f, y: f.mean(), data)
        assert torch.equal(dense(op), torch.zeros(4, 4).double())


def test_tied_weights_count_once():
    first = nn.Linear(3, 3).double()
    model = nn.Sequential(first, nn.Tanh(), first)
    X = torch.randn(5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    op = Hessian(model, nn.MSELoss(), (X, X))
    assert op.shape == (12, 12)
    parameters, products = list(model.parameters()), dense(op)
    assert all(p is q for p, q in zip(model.parameters(), parameters, strict=True))
    torch.testing.assert_close(products, dense_hessian(model, nn.MSELoss(), X, X))


def test_attention_has_second_derivatives():
    class Attention(nn.Module):
        def __init__(self):
            super().__init__()
            self.qkv = nn.Linear(4, 12)

        def forward(self, X):
            q, k, v = self.qkv(X).chunk(3, -1)
            return nn.functional.scaled_dot_product_attention(q, k, v).mean(1)

    model = Attention().double()
    X = torch.randn(2, 5, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    H = dense(Hessian(model, nn.MSELoss(), (X, torch.zeros(2, 4).double())))
    torch.testing.assert_close(H, H.T)
    assert H.abs().max() > 0


@pytest.mark.filterwarnings("ignore:`torch.nn.utils.weight_norm` is deprecated")
@pytest.mark.parametrize("norm", [parametrizations.weight_norm, nn.utils.weight_norm])
@pytest.mark.parametrize("dim", [0, 1, None])
def test_weight_norm_has_right_second_derivatives(norm, dim):
    """Against differences of gradients: PyTorch's second derivative is wrong but for dim=None."""
    model, X, y = network("mlp-tanh")
    norm(model[0], dim=dim)
    loss = flat_function(model, lambda predict: nn.functional.cross_entropy(predict(X), y))
    w, gradient = flat(model), partial(torch.autograd.functional.jacobian, loss)
    steps = 1e-5 * torch.eye(len(w), dtype=w.dtype)
    H = torch.stack([gradient(w + step) - gradient(w - step) for step in steps]) / 2e-5
    torch.testing.assert_close(
        dense(Hessian(model, nn.CrossEntropyLoss(), (X, y))), H, atol=1e-8, rtol=1e-8
    )


@pytest.mark.parametrize("write", ["in place", "through .data", "replaced"])
def test_products_follow_the_parameters(write):
    model, X, y = network("mlp-tanh")
    op = Hessian(model, nn.CrossEntropyLoss(), (X, y))
    before = dense(op)
    with torch.no_grad():
        for p in model.parameters():
            if write == "in place":
                p.mul_(1.5)
            elif write == "through .data":
                p.data.mul_(1.5)
            else:
                p.data = 1.5 * p
    after = dense(op)
    torch.testing.assert_close(after, dense_hessian(model, nn.CrossEntropyLoss(), X, y))
    assert not torch.allclose(before, after)


def test_products_follow_mode_buffers_and_data():
    model, X, y = network("batch-norm")
    loss_fn = nn.CrossEntropyLoss()
    op = Hessian(model, loss_fn, (X, y))
    dense(op)
    model[1].running_var.mul_(2)
    torch.testing.assert_close(dense(op), dense_hessian(model, loss_fn, X, y))
    model.train()
    torch.testing.assert_close(dense(op), dense_hessian(model, loss_fn, X, y))
    X.mul_(0.5)
    torch.testing.assert_close(dense(op), dense_hessian(model, loss_fn, X, y))


def count_forward_passes(model):
    calls = []
    model.register_forward_hook(lambda *_: calls.append(1))
    return calls


@pytest.mark.parametrize("operator", [Hessian, GaussNewton])
@pytest.mark.parametrize("cut", [False, True])
def test_graphs_are_kept_between_products(operator, cut):
    model, X, y = network("mlp-tanh")
    calls = count_forward_passes(model)
    data = [(X[:4], y[:4]), (X[4:], y[4:])] if cut else (X, y)
    op = operator(model, nn.CrossEntropyLoss(), data)
    v = torch.ones(op.shape[0], dtype=torch.float64)
    first, once = op @ v, len(calls)
    assert torch.equal(op @ v, first) and len(calls) == once


@pytest.mark.parametrize("operator", [Hessian, GaussNewton])
@pytest.mark.parametrize("memory", [1, 6000, 30_000])
@pytest.mark.parametrize("cut", [False, True])
def test_little_memory_changes_no_product(operator, memory, cut):
    model, X, y = network("mlp-tanh")
    loss_fn = nn.CrossEntropyLoss()
    calls = count_forward_passes(model)
    data = [(X[:4], y[:4]), (X[4:], y[4:])] if cut else (X, y)
    op = operator(model, loss_fn, data, memory=memory)
    expected = dense(operator(model, loss_fn, (X, y)))
    torch.testing.assert_close(dense(op), expected)
    before = len(calls)
    torch.testing.assert_close(dense(op), expected)
    rebuilt = (len(calls) - before) / op.shape[0]
    assert rebuilt == (2 if cut else len(X)) if memory == 1 else rebuilt < len(X)


def test_a_loss_that_couples_samples_is_never_cut():
    model, X, y = network("mlp-tanh")

    def coupled(f, y):
        return f.var(0).sum()

    op = Hessian(model, coupled, (X, y), memory=1)
    torch.testing.assert_close(dense(op), dense_hessian(model, coupled, X, y))


def test_batch_statistics_are_never_cut():
    model, X, y = network("batch-norm")
    model.train()
    op = Hessian(model, nn.CrossEntropyLoss(), (X, y), memory=1)
    torch.testing.assert_close(dense(op), dense_hessian(model, nn.CrossEntropyLoss(), X, y))


@pytest.mark.parametrize("operator", [Hessian, GaussNewton])
@pytest.mark.parametrize("kind", KINDS)
def test_batched_blocks_are_the_columns(operator, kind):
    model, X, y = network(kind)
    columns = dense(operator(model, nn.CrossEntropyLoss(), (X, y), blocks="columns"))
    batched = dense(operator(model, nn.CrossEntropyLoss(), (X, y), blocks="batched"))
    torch.testing.assert_close(batched, columns)


@pytest.mark.parametrize("operator", [Hessian, GaussNewton])
def test_subsets_of_parameters_are_submatrices(operator):
    model, X, y = network("conv")
    loss_fn = nn.CrossEntropyLoss()
    whole = dense(operator(model, loss_fn, (X, y)))
    index, start = {}, 0
    for name, p in model.named_parameters():
        index[name] = torch.arange(start, start + p.numel()).view(p.shape)
        start += p.numel()
    for entries, chosen in [
        ("3", [index["3.weight"], index["3.bias"]]),
        (["5.bias", "0.weight"], [index["0.weight"], index["5.bias"]]),
        ("0.weight[1]", [index["0.weight"][1]]),
        (["0.weight[2]", "0.weight[0:1]"], [index["0.weight"][[0, 2]]]),
        (["3.weight[1]", "3", "0.bias[1:3]"],
         [index["0.bias"][1:3], index["3.weight"], index["3.bias"]]),
    ]:  # fmt: skip
        rows = torch.cat([i.reshape(-1) for i in chosen])
        for blocks in ("columns", "batched"):
            op = operator(model, loss_fn, (X, y), parameters=entries, blocks=blocks)
            torch.testing.assert_close(dense(op), whole[rows][:, rows])


def test_the_gradient_comes_with_the_operator():
    model, X, y = network("mlp-tanh")
    loss_fn = nn.CrossEntropyLoss()
    grads = torch.autograd.grad(loss_fn(model(X), y), list(model.parameters()))
    expected = torch.cat([g.reshape(-1) for g in grads])
    for operator in (Hessian, GaussNewton):
        for data in [(X, y), [(X[:2], y[:2]), (X[2:], y[2:])]]:
            torch.testing.assert_close(operator(model, loss_fn, data).gradient(), expected)


def test_works_under_no_grad_inference_mode_and_autocast():
    model, X, y = network("mlp-tanh")
    op = Hessian(model, nn.CrossEntropyLoss(), (X, y))
    v = torch.ones(op.shape[0], dtype=torch.float64)
    expected = op @ v
    for context in (torch.no_grad(), torch.inference_mode(), torch.autocast("cpu")):
        with context:
            fresh = Hessian(model, nn.CrossEntropyLoss(), (X, y))
            assert torch.equal(fresh @ v, expected)


@pytest.mark.parametrize("change", ["assigned", "written past autograd", "frozen"])
def test_products_follow_the_model_itself(change):
    model, X, y = network("mlp-tanh")
    only = "2" if change == "written past autograd" else None
    op = Hessian(model, nn.CrossEntropyLoss(), (X, y), parameters=only)
    dense(op)
    if change == "assigned":
        doubled = {name: 2 * t for name, t in model.state_dict().items()}
        model.load_state_dict(doubled, assign=True)
    elif change == "frozen":
        model[0].requires_grad_(False)
        op.release()
    else:
        model[0].weight.data.mul_(2)  # of a layer that is not selected
    after = dense(op)
    model.requires_grad_(True)
    fresh = Hessian(model, nn.CrossEntropyLoss(), (X, y), parameters=only)
    torch.testing.assert_close(after, dense(fresh))


def test_a_modules_tied_parameters_are_selected_with_it():
    model = nn.Sequential(nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, 3)).double()
    model[2].weight = model[0].weight
    X = torch.ones(2, 3, dtype=torch.float64)
    for entries, size in [("0", 12), ("2", 12), ("2.weight", 9), (["0", "2"], 15)]:
        assert Hessian(model, nn.MSELoss(), (X, X), parameters=entries).shape == (size, size)


class Tied(nn.Module):
    """An autoencoder whose decoder has the encoder's weight, transposed in each pass."""

    def __init__(self):
        super().__init__()
        self.enc, self.dec = nn.Linear(4, 3), nn.Linear(3, 4)
        del self.dec.weight

    def forward(self, x):
        self.dec.weight = self.enc.weight.t()
        return self.dec(torch.tanh(self.enc(x)))


def test_a_weight_made_of_another_falls_back_to_autograd():
    model = Tied().double()
    X = torch.randn(6, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    v = torch.ones(19).double()
    products = [Hessian(model, nn.MSELoss(), (X, X), method=m) @ v for m in ("auto", "autograd")]
    torch.testing.assert_close(*products)


def test_products_follow_a_loaders_tensors():
    model, X, y = network("mlp-tanh")
    loader = DataLoader(TensorDataset(X, y), batch_size=4)
    op = Hessian(model, nn.CrossEntropyLoss(), loader)
    dense(op)
    X.mul_(2)
    torch.testing.assert_close(dense(op), dense(Hessian(model, nn.CrossEntropyLoss(), loader)))
