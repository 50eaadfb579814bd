"""Curves through weight space against the slides' formulas and closed forms of a quadratic."""

import itertools
import math

import numpy as np
import pytest
import torch
from torch import nn

from flatlab.curves import Bezier, PolygonalChain, flatten, losses_along
from flatlab.models import mlp
from flatlab.training import fit

TS = (0.0, 0.1, 0.25, 0.5, 0.6, 0.9, 1.0)


def network(seed, *sizes, batch_norm=False):
    generator = torch.Generator().manual_seed(seed)
    return mlp(sizes or (3, 4, 2), batch_norm=batch_norm, generator=generator).double()


def bent(curve, seed=7):
    """The curve with its bends moved to random places."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        curve.bends.copy_(torch.randn(curve.bends.shape, generator=generator))
    return curve


def linear(weights):
    """A linear model on 2 numbers with the given weights."""
    model = nn.Linear(2, 1, bias=False, dtype=torch.float64)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([weights]))
    return model


@pytest.fixture
def regression():
    generator = torch.Generator().manual_seed(5)
    X = torch.randn(12, 2, generator=generator, dtype=torch.float64)
    return X, torch.randn(12, 1, generator=generator, dtype=torch.float64)


def test_the_chain_with_one_bend_is_the_slides_formula():
    first, second = network(1), network(2)
    curve = bent(PolygonalChain(first, second))
    w1, theta, w2 = flatten(first), curve.bends[0], flatten(second)
    for t in TS:
        if t <= 0.5:
            expected = 2 * (t * theta + (0.5 - t) * w1)
        else:
            expected = 2 * ((t - 0.5) * w2 + (1 - t) * theta)
        torch.testing.assert_close(curve.point(t), expected)


@pytest.mark.parametrize("bends", [3, np.int64(3)])
def test_the_chain_with_many_bends_passes_through_them_in_straight_lines(bends):
    curve = bent(PolygonalChain(network(1), network(2), bends=bends))
    corners = curve.corners().detach()
    for k in range(4):
        torch.testing.assert_close(curve.point(k / 4), corners[k])
        between = 0.7 * corners[k] + 0.3 * corners[k + 1]
        torch.testing.assert_close(curve.point((k + 0.3) / 4), between)


def test_the_bezier_of_degree_two_is_the_slides_formula():
    first, second = network(1), network(2)
    curve = bent(Bezier(first, second))
    w1, theta, w2 = flatten(first), curve.bends[0], flatten(second)
    for t in TS:
        expected = (1 - t) ** 2 * w1 + 2 * t * (1 - t) * theta + t**2 * w2
        torch.testing.assert_close(curve.point(t), expected)


@pytest.mark.parametrize("degree", [1, 3, 6])
def test_a_bezier_of_any_degree_is_de_casteljaus_construction(degree):
    curve = bent(Bezier(network(1), network(2), degree))
    for t in TS:
        row = list(curve.corners().detach())
        while len(row) > 1:
            row = [(1 - t) * a + t * b for a, b in itertools.pairwise(row)]
        torch.testing.assert_close(curve.point(t), row[0])


@pytest.mark.parametrize("kind", [PolygonalChain, Bezier])
def test_a_new_curve_is_the_straight_line_with_its_bend_at_the_midpoint(kind):
    first, second = network(1), network(2)
    curve = kind(first, second)
    torch.testing.assert_close(curve.bends[0], (flatten(first) + flatten(second)) / 2)
    longer = kind(first, second, 4)
    for t in TS:
        line = (1 - t) * flatten(first) + t * flatten(second)
        torch.testing.assert_close(curve.point(t), line)
        torch.testing.assert_close(longer.point(t), line)


@pytest.mark.parametrize("kind", [PolygonalChain, Bezier])
def test_the_ends_are_the_networks_bit_for_bit(kind):
    first, second = network(1).float(), network(2).float()
    curve = bent(kind(first, second, 3))
    assert torch.equal(curve.point(0), flatten(first))
    assert torch.equal(curve.point(1), flatten(second))
    at_end = curve.network_at(1.0)
    X = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
    assert torch.equal(at_end(X), second(X))
    assert all(p.requires_grad for p in at_end.parameters())


def test_the_gradient_of_the_bend_is_its_coefficient_times_the_loss_gradient():
    curve = bent(Bezier(network(1), network(2)))
    X = torch.randn(6, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    torch.manual_seed(11)
    t = float(torch.rand(()))
    torch.manual_seed(11)
    (curve(X) ** 2).mean().backward()
    at_t = curve.network_at(t)
    (at_t(X) ** 2).mean().backward()
    gradient = torch.cat([p.grad.flatten() for p in at_t.parameters()])
    torch.testing.assert_close(curve.bends.grad[0], 2 * t * (1 - t) * gradient)
    assert [name for name, _ in curve.named_parameters() if _.requires_grad] == ["bends"]


def test_fit_draws_one_t_for_each_minibatch_and_repeats_from_the_generator(regression):
    def run():
        curve, drawn = bent(Bezier(linear([1.0, 2.0]), linear([-1.0, 0.5]))), []
        curve.point, original = lambda t: drawn.append(t) or original(t), curve.point
        generator, state = torch.Generator().manual_seed(3), torch.get_rng_state()
        options = {"learning_rate": 0.1, "batch_size": 4, "epochs": 2, "evaluate_every": 6}
        fit(curve, nn.MSELoss(), regression, **options, generator=generator, progress=False)
        assert torch.equal(torch.get_rng_state(), state)
        return curve, drawn

    (curve, drawn), (again, _) = run(), run()
    assert torch.equal(curve.bends, again.bends)
    seed = int(torch.randint(2**62, (), generator=torch.Generator().manual_seed(3)))
    torch_draws = torch.Generator().manual_seed(seed)
    ts = [t for t in drawn if t != 0.5]  # evaluations are at 1/2
    assert ts == [float(torch.rand((), generator=torch_draws)) for _ in range(6)]


@pytest.mark.parametrize("kind", [PolygonalChain, Bezier])
def test_training_finds_the_bend_that_minimizes_the_expected_loss(kind, regression):
    """On a quadratic with minimizer m, E L is least at theta - m = -(E b0 b1 (w1 - m) + E b2 b1 (w2 - m)) / E b1^2:

    moments 1/12, 1/12 and 1/3 of the chain, 1/10, 1/10 and 2/15 of the Bezier curve.
    """
    X, y = regression
    m = np.linalg.lstsq(X.numpy(), y.numpy(), rcond=None)[0][:, 0]
    ends = np.array([[3.0, 1.0], [-2.0, 2.0]])
    share = 1 / 4 if kind is PolygonalChain else 3 / 4
    expected = m - share * (ends[0] - m + ends[1] - m)
    curve = kind(linear(ends[0].tolist()), linear(ends[1].tolist()))
    optimizer = torch.optim.SGD(curve.parameters(), lr=1.0)
    decay = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda k: min(1.0, 20 / (k + 20)))
    fit(
        curve, nn.MSELoss(), regression, optimizer=optimizer, scheduler=decay, steps=1500,
        evaluate_every=1500, progress=False,
    )  # fmt: skip
    start = np.linalg.norm(ends.mean(0) - expected)
    assert np.linalg.norm(curve.bends[0].detach().numpy() - expected) < 0.08 * start


def test_arc_lengths_of_a_chain_add_up_its_sides():
    curve = bent(PolygonalChain(network(1), network(2), bends=2))
    sides = curve.corners().detach().diff(dim=0).norm(dim=1)
    found = curve.arc_length([0.0, 1 / 6, 1 / 3, 0.5, 1.0])
    expected = [0, sides[0] / 2, sides[0], sides[0] + sides[1] / 2, sides.sum()]
    torch.testing.assert_close(
        found, torch.tensor([float(x) for x in expected], dtype=torch.float64)
    )


def test_arc_length_of_a_parabola_is_its_closed_form():
    """(0,0), (1,2), (2,0): y = 2x - x^2, of length sqrt(5) + asinh(2) / 2 from 0 to 2."""
    curve = Bezier(linear([0.0, 0.0]), linear([2.0, 0.0]))
    with torch.no_grad():
        curve.bends.copy_(torch.tensor([[1.0, 2.0]]))
    whole = math.sqrt(5) + math.asinh(2) / 2
    found = curve.arc_length([0.0, 0.5, 1.0])
    torch.testing.assert_close(found, torch.tensor([0, whole / 2, whole], dtype=torch.float64))


@pytest.mark.parametrize("degree", [1, 2, 5])
def test_arc_length_of_a_bezier_is_that_of_a_fine_polygon(degree):
    curve = bent(Bezier(network(1), network(2), degree))
    ts = torch.linspace(0, 0.7, 4001, dtype=torch.float64)
    points = curve.coefficients(ts) @ curve.corners().detach()
    polygon = float(points.diff(dim=0).norm(dim=1).sum())
    assert float(curve.arc_length([0.7])) == pytest.approx(polygon, rel=1e-6)


def test_any_module_can_be_joined_with_shared_and_frozen_parameters():
    class Tied(nn.Module):
        def __init__(self, seed):
            super().__init__()
            torch.manual_seed(seed)
            self.lift = nn.Linear(3, 3, dtype=torch.float64)
            self.again = self.lift
            self.scale = nn.Parameter(torch.ones(3, dtype=torch.float64), requires_grad=False)

        def forward(self, X):
            return self.again(torch.sin(self.lift(X) * self.scale))

    with torch.random.fork_rng():
        first, second = Tied(0), Tied(1)
    curve = PolygonalChain(first, second, bends=0).eval()
    middle = (flatten(first) + flatten(second)) / 2
    assert middle.shape == (12,)
    W, b = middle[:9].view(3, 3), middle[9:]
    X = torch.ones(2, 3, dtype=torch.float64)
    for _ in range(2):
        torch.testing.assert_close(curve(X), torch.sin(X @ W.T + b) @ W.T + b)
    torch.testing.assert_close(curve.network_at(0.5)(X), curve(X))
    losses = losses_along(curve, nn.MSELoss(), (X, X), ts=[0.5])
    assert losses.losses[0].item() == pytest.approx((curve(X) - X).square().mean().item())


def test_the_networks_of_the_caller_are_not_changed(regression):
    first, second = network(1, 2, 4, 1, batch_norm=True), network(2, 2, 4, 1, batch_norm=True)
    first.eval()
    before = [{k: v.clone() for k, v in m.state_dict().items()} for m in (first, second)]
    curve = Bezier(first, second)
    fit(curve, nn.MSELoss(), regression, learning_rate=0.1, batch_size=4, steps=5, progress=False)
    for model, state in zip((first, second), before, strict=True):
        assert all(torch.equal(v, state[k]) for k, v in model.state_dict().items())
        assert all(p.grad is None and p.requires_grad for p in model.parameters())
    assert not first.training and second.training
    assert not torch.equal(curve.bends[0], (curve.ends[0] + curve.ends[1]) / 2)


def test_a_curve_moves_to_another_dtype():
    curve = Bezier(network(1), network(2)).float()
    assert curve.point(0.3).dtype == torch.float32
    assert next(curve.network_at(0.3).parameters()).dtype == torch.float32


@pytest.mark.parametrize("t", [-0.01, 1.01, math.nan])
def test_t_outside_the_interval_is_refused(t):
    curve = Bezier(network(1), network(2))
    for call in (curve.point, curve.network_at, lambda t: curve.arc_length([0.5, t])):
        with pytest.raises(ValueError, match=r"the curve is defined for t from 0 to 1"):
            call(t)


class Wide(nn.Sequential):
    """The layers of another class."""


def frozen(model, value=None):
    model[1].weight.requires_grad_(False)
    if value is not None:
        model[1].weight.fill_(value)
    return model


@pytest.mark.parametrize(
    ("second", "message"),
    [
        (lambda: network(2, 3, 5, 2), r"differ at layer 1: Linear\(in_features=3, out_features=4"),
        (lambda: network(2, 3, 4, 4, 2), r"differ at layer 3: Linear.*and Linear"),
        (
            lambda: network(2, 3, 4, 2, batch_norm=True),
            r"differ at layer 2: ReLU\(\) and BatchNorm1d",
        ),
        (lambda: mlp((3, 4, 2), activation=nn.Tanh).double(), r"layer 2: ReLU\(\) and Tanh\(\)"),
        (lambda: Wide(*network(2)), r"\(the network\): Sequential\(\) and Wide\(\)"),
        (
            lambda: network(2).float(),
            r"float64 on cpu.*convert one, as in network.to\(torch.float64\)",
        ),
        (lambda: frozen(network(2)), "frozen in one network only"),
    ],
)
@pytest.mark.parametrize("kind", [PolygonalChain, Bezier])
def test_ends_that_do_not_match_are_refused(kind, second, message):
    with pytest.raises(ValueError, match=message):
        kind(network(1), second())


def test_other_bad_curves_are_refused(regression):
    with pytest.raises(ValueError, match="frozen and differs"):
        Bezier(frozen(network(1)), frozen(network(2)))
    with pytest.raises(ValueError, match="no weight space"):
        Bezier(network(1).requires_grad_(False), network(2).requires_grad_(False))
    with pytest.raises(ValueError, match="several dtypes"):
        mixed = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1).double())
        Bezier(mixed, mixed)
    with pytest.raises(ValueError, match="degree is 0"):
        Bezier(network(1), network(2), degree=0)
    with pytest.raises(ValueError, match="bends is -1"):
        PolygonalChain(network(1), network(2), bends=-1)
    line = PolygonalChain(linear([1.0, 0.0]), linear([0.0, 1.0]), bends=0)
    with pytest.raises(ValueError, match="nothing to train"):
        fit(line, nn.MSELoss(), regression, learning_rate=0.1, steps=1, progress=False)


class Acting(nn.Sequential):
    def __init__(self, act):
        super().__init__(nn.Linear(2, 2))
        self.act = act


@pytest.mark.parametrize(
    ("one", "two", "name"),
    [
        (nn.MultiheadAttention(4, 1), nn.MultiheadAttention(4, 2), "num_heads"),
        (Acting(torch.relu), Acting(torch.tanh), "act"),
        (Acting(lambda x: x), Acting(lambda x: 2 * x), "act"),
    ],
)
def test_settings_that_are_not_printed_are_compared(one, two, name):
    with pytest.raises(ValueError, match=f"differ in .*{name}"):
        PolygonalChain(one, two)
