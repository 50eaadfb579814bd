"""The networks: their sizes, and whose random numbers they draw."""

import pytest
import torch
from torch import nn

from flatlab.models import count_parameters, fnn, mlp, resnet, small_vgg


def test_published_parameter_counts():
    assert count_parameters(fnn()) == 898_510
    assert count_parameters(small_vgg()) == 71_410
    # convolutions 3·16·9 + (2k·16² + 16·32 + (2k-1)·32² + 32·64 + (2k-1)·64²)·9, k = 3 and 9, norms and the last layer
    assert count_parameters(resnet(20)) == 269_722
    assert count_parameters(resnet(56)) == 853_018


def test_networks_are_drawn_on_the_cpu_whatever_device_is_the_default():
    with torch.device("meta"):
        model = mlp((4, 3))
    assert torch.equal(model[1].weight, mlp((4, 3))[1].weight)


def test_resnet_has_the_layers_of_its_depth():
    layers = [m for m in resnet(20).modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    assert len(layers) == 20
    assert [m.out_channels for m in layers[:-1]] == [16] * 7 + [32] * 6 + [64] * 6
    with pytest.raises(ValueError, match="6k"):
        resnet(21)


def test_a_residual_block_of_zeros_passes_its_input_on():
    model = resnet(8).eval()
    halving = model[4]
    for p in halving.parameters():
        nn.init.zeros_(p)
    x = torch.rand(2, 16, 6, 6)
    out = halving(x)
    assert torch.equal(out[:, :16], x[:, :, ::2, ::2])
    assert (out[:, 16:] == 0).all()


def test_small_vgg_has_the_published_layers():
    widths = [m.out_channels for m in small_vgg() if isinstance(m, nn.Conv2d)]
    assert widths == [16, 16, 32, 64, 64]
    assert sum(isinstance(m, nn.MaxPool2d) for m in small_vgg()) == 5
    assert [m.out_features for m in small_vgg() if isinstance(m, nn.Linear)] == [128, 2]


def test_outputs_have_one_row_a_sample():
    assert fnn()(torch.rand(3, 1, 28, 28)).shape == (3, 10)
    assert fnn()(torch.rand(3, 784)).shape == (3, 10)
    assert small_vgg()(torch.rand(3, 3, 32, 32)).shape == (3, 2)
    assert small_vgg(classes=10)(torch.rand(3, 3, 32, 32)).shape == (3, 10)
    assert resnet(8, classes=4)(torch.rand(3, 3, 32, 32)).shape == (3, 4)


def test_initialization_is_pytorch_default_with_that_seed():
    torch.manual_seed(7)
    expected = [nn.Linear(784, 500), nn.Linear(500, 500), nn.Linear(500, 500), nn.Linear(500, 10)]
    linears = [m for m in fnn(torch.Generator().manual_seed(7)) if isinstance(m, nn.Linear)]
    for ours, theirs in zip(linears, expected, strict=True):
        assert torch.equal(ours.weight, theirs.weight)
        assert torch.equal(ours.bias, theirs.bias)


@pytest.mark.parametrize(
    "build",
    [
        fnn,
        small_vgg,
        lambda g=None: resnet(8, generator=g),
        lambda generator=None: mlp((4, 3), True),
    ],
)
def test_global_random_state_comes_back(build):
    before = torch.get_rng_state()
    build()
    build(torch.Generator().manual_seed(3))
    assert torch.equal(torch.get_rng_state(), before)


def test_no_generator_is_repeatable_and_a_generator_moves_on():
    first, again = mlp((5, 4, 3)), mlp((5, 4, 3))
    assert torch.equal(first[1].weight, again[1].weight)
    generator = torch.Generator().manual_seed(0)
    first, second = mlp((5, 4, 3), generator=generator), mlp((5, 4, 3), generator=generator)
    assert not torch.equal(first[1].weight, second[1].weight)


def test_mlp_normalizes_before_each_activation():
    model = mlp((6, 5, 4, 2), batch_norm=True, activation=nn.Tanh)
    kinds = [type(m).__name__ for m in model]
    hidden = ["Linear", "BatchNorm1d", "Tanh"]
    assert kinds == ["Flatten", *hidden, *hidden, "Linear"]
    assert count_parameters(model) == (6 * 5 + 5 + 10) + (5 * 4 + 4 + 8) + (4 * 2 + 2)


def test_count_ignores_frozen_parameters_and_counts_shared_ones_once():
    model = mlp((3, 3, 3))
    model[3].weight = model[1].weight
    assert count_parameters(model) == 9 + 3 + 3
    model[1].bias.requires_grad_(False)
    assert count_parameters(model) == 9 + 3


@pytest.mark.parametrize("sizes", [(), (5,), (5, 0), (5, -1, 2), (5, 2.0)])
def test_bad_sizes_are_refused(sizes):
    with pytest.raises(ValueError, match="sizes must hold at least two positive integers"):
        mlp(sizes)
