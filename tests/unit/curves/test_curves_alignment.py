"""Alignment against known permutations, exhaustive search, and the function that must stay the same."""

import copy
import itertools

import pytest
import torch
from torch import nn
from torch.nn.utils import prune, spectral_norm

from flatlab.curves import PolygonalChain, align, flatten, losses_along
from flatlab.models import mlp, small_vgg


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def wide(seed):
    return mlp((8, 12, 10, 3), generator=seeded(seed)).double()


def normed(seed):
    """Batch norm with statistics and scales of its own for every unit."""
    model = mlp((8, 12, 10, 3), batch_norm=True, generator=seeded(seed)).double()
    return with_statistics(model, seed)


def convolutional(seed, norm_after_flatten=False):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        layers = [nn.Conv2d(2, 6, 3, padding=1, bias=False), nn.BatchNorm2d(6), nn.ReLU()]
        layers += [nn.Sequential(nn.Conv2d(6, 5, 3, padding=1), nn.Tanh(), nn.MaxPool2d(2))]
        layers += [nn.Flatten(), *([nn.BatchNorm1d(20)] if norm_after_flatten else [])]
        layers += [nn.Linear(20, 7), nn.GELU(), nn.Dropout(0.3), nn.Linear(7, 3), nn.Softmax(1)]
        model = nn.Sequential(*layers).double()
    return with_statistics(model, seed)


def with_statistics(model, seed):
    generator = seeded(100 + seed)
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            for tensor in (module.weight, module.bias, module.running_mean, module.running_var):
                tensor.data.copy_(0.5 + torch.rand(tensor.shape, generator=generator))
    return model


def shuffled(model, seed):
    """An MLP of ``mlp`` with its hidden units permuted by hand, and the permutations."""
    model, generator, orders = copy.deepcopy(model), seeded(seed), []
    linear = [m for m in model if isinstance(m, nn.Linear)]
    norms = [m for m in model if isinstance(m, nn.BatchNorm1d)]
    with torch.no_grad():
        for k, (before, after) in enumerate(itertools.pairwise(linear)):
            order = torch.randperm(len(before.weight), generator=generator)
            orders.append(order)
            owned = [before.weight, before.bias]
            if norms:
                n = norms[k]
                owned += [n.weight, n.bias, n.running_mean, n.running_var]
            for tensor in owned:
                tensor.copy_(tensor[order].clone())
            after.weight.copy_(after.weight[:, order].clone())
    return model, orders


@pytest.mark.parametrize("make", [wide, normed])
def test_shuffled_units_are_put_back_in_their_places(make):
    model = make(1)
    other, orders = shuffled(model, 5)
    found = align(model, other)
    for order, inverse in zip(orders, found.permutations, strict=True):
        assert torch.equal(order[inverse], torch.arange(len(order)))
    for name, value in found.network.state_dict().items():
        assert torch.equal(value, model.state_dict()[name]), name
    assert found.distance_after == 0 < found.distance_before


@pytest.mark.parametrize(
    ("make", "shape"),
    [
        (wide, (8,)),
        (normed, (8,)),
        (convolutional, (2, 4, 4)),
        (lambda seed: convolutional(seed, True), (2, 4, 4)),
        (lambda seed: small_vgg(seeded(seed)).double(), (3, 32, 32)),
    ],
)
def test_the_aligned_network_computes_the_same_and_lies_closer(make, shape):
    first, second = make(1).eval(), make(2).eval()
    before = copy.deepcopy(second.state_dict())
    found = align(first, second)
    X = torch.randn(4, *shape, generator=seeded(0), dtype=torch.float64)
    torch.testing.assert_close(found.network(X), second(X), rtol=1e-9, atol=1e-12)
    assert found.distance_after < found.distance_before
    for network, distance in ((second, "before"), (found.network, "after")):
        apart = float((flatten(first) - flatten(network)).norm())
        assert getattr(found, f"distance_{distance}") == pytest.approx(apart)
    assert all(torch.equal(v, before[k]) for k, v in second.state_dict().items())
    assert any((p != torch.arange(len(p))).any() for p in found.permutations)


def test_one_hidden_layer_is_matched_as_well_as_by_trying_all_orders():
    first, second = (mlp((3, 6, 2), generator=seeded(s)).double() for s in (1, 2))
    found = align(first, second)
    W1, b1, W2 = (p.detach() for p in (second[1].weight, second[1].bias, second[3].weight))
    target = [p.detach() for p in (first[1].weight, first[1].bias, first[3].weight)]

    def distance(order):
        order = list(order)
        moved = (W1[order], b1[order], W2[:, order])
        return sum(float(((a - b) ** 2).sum()) for a, b in zip(target, moved, strict=True))

    best = min(itertools.permutations(range(6)), key=distance)
    assert found.permutations[0].tolist() == list(best)


def test_two_hidden_layers_end_where_no_exchange_of_two_units_helps():
    first, second = (mlp((3, 5, 5, 2), generator=seeded(s)).double() for s in (3, 4))
    found = align(first, second)
    for k, (before, after) in enumerate([(1, 3), (3, 5)]):
        assert len(found.permutations[k]) == 5
        for i, j in itertools.combinations(range(5), 2):
            other, order = copy.deepcopy(found.network), list(range(5))
            order[i], order[j] = j, i
            with torch.no_grad():
                other[before].weight.copy_(found.network[before].weight[order])
                other[before].bias.copy_(found.network[before].bias[order])
                other[after].weight.copy_(found.network[after].weight[:, order])
            apart = float((flatten(first) - flatten(other)).norm())
            assert apart >= found.distance_after - 1e-12


def test_alignment_lowers_the_barrier_of_the_straight_line():
    """A network and a shuffled, slightly moved copy: two minima of one valley in other coordinates."""
    model = wide(1)
    X = torch.randn(40, 8, generator=seeded(0), dtype=torch.float64)
    data = X, model(X).detach()
    moved, _ = shuffled(model, 5)
    with torch.no_grad():
        for p in moved.parameters():
            p.add_(0.01 * torch.randn(p.shape, generator=seeded(2)))

    def barrier(other):
        line = PolygonalChain(model, other, bends=0)
        return losses_along(line, nn.MSELoss(), data, [0, 0.25, 0.5, 0.75, 1]).barrier

    assert barrier(align(model, moved).network) < 0.01 * barrier(moved)


def test_the_order_of_visits_repeats_and_no_global_state_is_drawn():
    first, second, state = wide(1), wide(2), torch.get_rng_state()
    one, two = align(first, second), align(first, second, seeded(0))
    assert torch.equal(torch.get_rng_state(), state)
    for p, q in zip(one.permutations, two.permutations, strict=True):
        assert torch.equal(p, q)


def test_a_single_layer_has_nothing_to_permute():
    first, second = (mlp((3, 2), generator=seeded(s)) for s in (1, 2))
    found = align(first, second)
    assert found.permutations == () and found.passes == 0
    assert torch.equal(flatten(found.network), flatten(second))


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(3, 3)

    def forward(self, X):
        return X + self.inner(X)


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        (lambda: [nn.Linear(3, 4), nn.LayerNorm(4), nn.Linear(4, 2)], "LayerNorm.*after Linear"),
        (
            lambda: [nn.Linear(3, 4), nn.Softmax(1), nn.Linear(4, 2)],
            "treat every hidden unit by itself",
        ),
        (lambda: [nn.Linear(3, 4), nn.MaxPool1d(2), nn.Linear(2, 2)], "MaxPool1d.*after Linear"),
        (
            lambda: [nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 1, groups=2)],
            "Conv2d.*groups=2.*after Conv2d",
        ),
        (lambda: [nn.Conv2d(4, 4, 1), nn.ReLU(), nn.Linear(4, 2)], "Linear.*after Conv2d"),
        (
            lambda: [nn.Linear(3, 4), nn.Flatten(), nn.Linear(20, 2)],
            "several positions of the 4 units",
        ),
        (lambda: [nn.Linear(3, 4), nn.PReLU(4), nn.Linear(4, 2)], "PReLU"),
        (lambda: [nn.Linear(3, 3), Residual(), nn.Linear(3, 2)], "Residual is no nn.Sequential"),
        (lambda: 2 * [nn.Linear(3, 3)], "share their weights"),
        (lambda: [nn.ReLU(), nn.BatchNorm1d(3)], "neither Linear nor convolution"),
    ],
)
def test_layers_that_mix_units_are_refused(layers, message):
    model = nn.Sequential(*layers())
    with pytest.raises(TypeError, match=message):
        align(model, copy.deepcopy(model))


@pytest.mark.parametrize("hook", ["spectral norm", "weight", "bias"])
@pytest.mark.parametrize("place", [1, 2])  # Linear, batch norm
def test_weights_that_a_hook_makes_are_refused(hook, place):
    first, second = normed(1), normed(2)
    for model in (first, second):
        if hook == "spectral norm":
            spectral_norm(model[1])
        else:
            prune.l1_unstructured(model[place], hook, amount=0.5)
    with pytest.raises(TypeError, match="a hook makes a weight of"):
        align(first, second)


def test_a_pruned_network_made_plain_is_aligned():
    first, second = wide(1), wide(2)
    for model in (first, second):
        prune.remove(prune.l1_unstructured(model[1], "weight", amount=0.5), "weight")
    X = torch.randn(4, 8, generator=seeded(0), dtype=torch.float64)
    torch.testing.assert_close(align(first, second).network(X), second(X))


def test_channels_last_changes_nothing():
    plain = [convolutional(seed).eval() for seed in (1, 2)]
    last = [copy.deepcopy(model).to(memory_format=torch.channels_last) for model in plain]
    for one, other in zip(plain, last, strict=True):
        assert torch.equal(flatten(one), flatten(other))
    one, other = align(*plain), align(*last)
    assert torch.equal(flatten(one.network), flatten(other.network))
    X = torch.randn(4, 2, 4, 4, generator=seeded(0), dtype=torch.float64)
    torch.testing.assert_close(other.network(X), last[1](X), rtol=1e-9, atol=1e-12)
    bends = [PolygonalChain(*models).network_at(0.3).eval() for models in (plain, last)]
    torch.testing.assert_close(bends[0](X), bends[1](X))


def test_networks_that_do_not_match_are_refused():
    with pytest.raises(ValueError, match="differ at layer 1"):
        align(wide(1), mlp((8, 10, 10, 3)).double())
    with pytest.raises(ValueError, match="convert one"):
        align(wide(1), wide(2).float())
    broken = wide(2)
    broken[1].bias.data[0] = torch.nan
    with pytest.raises(ValueError, match="the second network holds NaN or inf"):
        align(wide(1), broken)


def test_units_of_a_frozen_layer_stay_so_that_the_networks_can_be_joined():
    def network(seed):
        model = mlp((4, 6, 5, 3), generator=seeded(seed))
        with torch.no_grad():
            model[1].weight.copy_(0.05 * torch.randn(6, 4, generator=seeded(9)))
            model[1].bias.zero_()
        model[1].requires_grad_(False)
        return model

    first, second = network(1), network(2)
    found = align(first, second)
    PolygonalChain(first, found.network)
    assert found.permutations[0].tolist() == list(range(6))
    assert found.permutations[1].tolist() != list(range(5))
