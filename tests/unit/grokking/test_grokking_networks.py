"""The two networks against one-hot products, PyTorch's attention, and full Hessians in float64."""

import math

import pytest
import torch
from torch import nn
from torch.func import functional_call
from torch.nn.functional import one_hot, relu

from flatlab.curvature import Hessian
from flatlab.grokking import OneHotMLP, Transformer, cross_entropy, modular_table, one_hot_mse
from flatlab.models import count_parameters
from flatlab.sweeps import Run, grid, sweep

PAIRS, RESULTS = modular_table(5).data()


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def small(seed=0, layers=2):
    return Transformer(5, layers, 8, 2, 6, generator(seed)).double()


@pytest.mark.parametrize("activation", [torch.square, relu])
def test_gathers_are_one_hot_products(activation):
    model = OneHotMLP(5, 7, activation, generator()).double()
    X = torch.cat([one_hot(PAIRS[:, 0], 5), one_hot(PAIRS[:, 1], 5)], 1).double()
    W1, W2 = model.first.T, model.second.T
    expected = (W2 @ activation(W1 @ X.T)).T
    torch.testing.assert_close(model(PAIRS), expected, rtol=0, atol=1e-14)
    gradients = torch.autograd.grad(one_hot_mse(model(PAIRS), RESULTS), list(model.parameters()))
    expected = torch.autograd.grad(one_hot_mse(expected, RESULTS), list(model.parameters()))
    torch.testing.assert_close(gradients, expected, rtol=0, atol=1e-14)
    torch.testing.assert_close(model.embedding, W1[:, :5].T.detach())


def test_the_initial_weights_fill_the_range_of_a_linear_layer():
    model = OneHotMLP(31, 400, generator=generator())
    for value, fan_in in ((model.first, 62), (model.second, 400)):
        bound = 1 / math.sqrt(fan_in)
        assert value.abs().max() <= bound and value.abs().max() > 0.99 * bound
        assert value.square().mean().item() == pytest.approx(bound**2 / 3, rel=0.03)


def by_pytorch(model, pairs):
    """The transformer with ``scaled_dot_product_attention`` on all tokens at all layers."""
    equals = torch.full((len(pairs), 1), model.p)
    x = model.tokens[torch.cat([pairs, equals], 1)] + model.positions
    for block in model.blocks:
        heads = [
            (x @ w).reshape(len(x), 3, block.heads, -1).permute(0, 2, 1, 3)
            for w in (block.query, block.key, block.value)
        ]
        mixed = nn.functional.scaled_dot_product_attention(*heads, is_causal=True)
        x = x + mixed.permute(0, 2, 1, 3).reshape(x.shape) @ block.output
        inner = nn.functional.linear(x, block.up.T, block.up_bias)
        x = x + nn.functional.linear(inner.clamp(min=0), block.down.T, block.down_bias)
    return x[:, 2] @ model.readout


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_the_transformer_is_pytorchs(layers):
    model = small(layers=layers)
    torch.testing.assert_close(model(PAIRS), by_pytorch(model, PAIRS), rtol=0, atol=1e-12)


def test_the_default_transformer_has_the_papers_size():
    attention, mlp = 4 * 128 * 128, 2 * 128 * 512 + 512 + 128
    expected = 114 * 128 + 3 * 128 + attention + mlp + 128 * 113
    assert count_parameters(Transformer(113)) == expected == 226_688


@pytest.mark.parametrize("model", [OneHotMLP(5, 6, generator=generator()).double(), small()])
@pytest.mark.parametrize("loss_fn", [cross_entropy, one_hot_mse])
def test_both_can_be_differentiated_twice(model, loss_fn):
    names = [name for name, _ in model.named_parameters()]
    values = [p.detach() for p in model.parameters()]

    def loss(*tensors):
        state = dict(zip(names, tensors, strict=True))
        return loss_fn(functional_call(model, state, (PAIRS,)), RESULTS)

    sizes = [v.numel() for v in values]
    blocks = torch.autograd.functional.hessian(loss, tuple(values))
    dense = torch.cat(
        [
            torch.cat([b.reshape(n, -1) for b in row], 1)
            for n, row in zip(sizes, blocks, strict=True)
        ]
    )
    v = torch.randn(len(dense), 2, generator=generator(), dtype=torch.float64)
    product = Hessian(model, loss_fn, (PAIRS, RESULTS)) @ v
    torch.testing.assert_close(product, dense @ v, rtol=1e-9, atol=1e-12)


def test_float32_networks_with_float64_losses_have_curvature():
    model = small().float()
    product = Hessian(model, cross_entropy, (PAIRS, RESULTS)) @ torch.ones(count_parameters(model))
    exact = Hessian(model.double(), cross_entropy, (PAIRS, RESULTS))
    expected = exact @ torch.ones(count_parameters(model), dtype=torch.float64)
    torch.testing.assert_close(product.double(), expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("make", [lambda g: OneHotMLP(5, 6, generator=g).double(), None])
def test_lockstep_stacks_them(make):
    def build(g):
        return make(g) if make else Transformer(5, 2, 8, 2, 6, g).double()

    base = Run(optimizer="adamw", learning_rate=0.01, weight_decay=1.0)
    runs = grid(base, train_fraction=[0.4, 0.7], seed=[0, 1])
    data, rest = (PAIRS, RESULTS), {"steps": 8, "progress": False, "evaluate_every": 4}
    together = sweep(build, cross_entropy, data, runs, engine="lockstep", **rest)
    apart = sweep(build, cross_entropy, data, runs, engine="sequential", **rest)
    for one, two in zip(together, apart, strict=True):
        for name, value in two.state.items():
            torch.testing.assert_close(one.state[name], value, rtol=0, atol=1e-10)


def test_seeds_repeat_and_the_global_seed_stays():
    before = torch.get_rng_state()
    for make in (lambda s: OneHotMLP(5, 6, generator=generator(s)), small):
        first, same, other = make(1), make(1), make(2)
        weights = [next(model.parameters()) for model in (first, same, other)]
        assert torch.equal(weights[0], weights[1]) and not torch.equal(weights[0], weights[2])
    assert torch.equal(before, torch.get_rng_state())


def test_losses_are_float64_and_equal_the_usual_ones():
    logits = torch.randn(9, 5, generator=generator())
    y = torch.arange(9) % 5
    for loss, plain in (
        (cross_entropy(logits, y), nn.functional.cross_entropy(logits, y)),
        (one_hot_mse(logits, y), nn.functional.mse_loss(logits, one_hot(y, 5).float())),
    ):
        assert loss.dtype == torch.float64
        assert loss.item() == pytest.approx(plain.item(), rel=1e-6)
    sure = 30 * one_hot(y, 5).float()
    assert cross_entropy(sure, y).item() == pytest.approx(4 * math.exp(-30), rel=1e-6)
    assert nn.functional.cross_entropy(sure, y).item() == 0.0  # what float32 makes of it


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: OneHotMLP(1), "p is 1: give a whole number of at least 2"),
        (lambda: OneHotMLP(5, 0), "width is 0"),
        (lambda: Transformer(1), "p is 1"),
        (lambda: Transformer(5, 0), "layers is 0"),
        (lambda: Transformer(5, 1, 10, 4), "4 heads do not divide a width of 10: give a multiple"),
        (lambda: OneHotMLP(5)(PAIRS.float()), r"takes pairs \(n, 2\) of whole numbers"),
        (lambda: Transformer(5)(PAIRS[:, :1]), r"shape \(25, 1\): give table.pairs"),
    ],
)
def test_bad_networks_and_inputs_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
