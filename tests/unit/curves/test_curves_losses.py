"""Losses along curves and on planes against single networks evaluated by hand."""

import copy
import math

import pytest
import torch
from torch import nn

from flatlab.curvature import reestimate_batch_norm
from flatlab.curves import (
    Bezier,
    CurveLosses,
    PolygonalChain,
    align,
    flatten,
    losses_along,
    losses_on_plane,
    plane_through,
)
from flatlab.evaluation import evaluate
from flatlab.models import mlp
from flatlab.training import fit

LOSS = nn.CrossEntropyLoss()


def dense(seed):
    generator = torch.Generator().manual_seed(seed)
    return mlp((4, 6, 3), batch_norm=True, generator=generator).double()


def plain(seed):
    return mlp((4, 6, 3), generator=torch.Generator().manual_seed(seed)).double()


def convolutional(seed):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        layers = (nn.Unflatten(1, (1, 2, 2)), nn.Conv2d(1, 3, 2, padding=1), nn.BatchNorm2d(3))
        layers += (nn.ReLU(), nn.MaxPool2d(2, 1), nn.Flatten(), nn.Dropout(0.5), nn.Linear(12, 3))
        return nn.Sequential(*layers).double()


def bent(curve):
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        curve.bends.add_(torch.randn(curve.bends.shape, generator=generator))
    return curve


def samples(seed, n=20):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, 4, generator=generator, dtype=torch.float64), torch.arange(n) % 3


def by_hand(network, data, batch_norm_data):
    """A copy with its statistics re-estimated, evaluated by itself."""
    network = copy.deepcopy(network)
    if batch_norm_data is not None:
        reestimate_batch_norm(network, batch_norm_data)
    return evaluate(network, LOSS, data)


@pytest.mark.parametrize("points_at_once", [1, 3, 50])
@pytest.mark.parametrize("make", [plain, dense, convolutional])
def test_losses_along_a_curve_are_those_of_its_networks(make, points_at_once):
    first, second = make(1), make(2)
    curve, data = bent(Bezier(first, second, 3)), samples(3)
    training = None if make is plain else samples(4, 30)
    ts = [0.0, 0.2, 0.5, 0.9, 1.0]
    options = {"batch_norm_data": training, "points_at_once": points_at_once}
    found = losses_along(curve, LOSS, data, ts, **options)
    expected = [by_hand(curve.network_at(t), data, training) for t in ts]
    torch.testing.assert_close(
        found.losses, torch.tensor([e.loss for e in expected], dtype=torch.float64)
    )
    errors = torch.tensor([1 - e.accuracy for e in expected], dtype=torch.float64)
    torch.testing.assert_close(found.errors, errors)
    torch.testing.assert_close(found.lengths, curve.arc_length(ts))
    assert found.losses[0] == pytest.approx(by_hand(first, data, training).loss)


def test_many_samples_are_cut_and_weighted(monkeypatch):
    monkeypatch.setattr("flatlab.curves.losses._SAMPLES", 14)  # 7 samples at 2 points: 7, 7 and 6
    curve, data = bent(PolygonalChain(plain(1), plain(2))), samples(3)
    found = losses_along(curve, LOSS, data, [0.3, 0.4], points_at_once=2)
    expected = [by_hand(curve.network_at(t), data, None).loss for t in (0.3, 0.4)]
    torch.testing.assert_close(found.losses, torch.tensor(expected, dtype=torch.float64))


def test_evaluation_changes_nothing_and_forgets_nan_statistics():
    curve = bent(Bezier(dense(1), dense(2)))
    curve.network[2].running_mean.fill_(math.nan)
    before, state = copy.deepcopy(curve.state_dict()), torch.get_rng_state()
    data = samples(3)
    found = losses_along(curve, LOSS, data, [0.3, 0.7], batch_norm_data=data)
    assert found.losses.isfinite().all()
    for name, value in curve.state_dict().items():
        assert torch.equal(value.nan_to_num(-9), before[name].nan_to_num(-9)), name
    assert curve.training and curve.network[2].training and curve.bends.grad is None
    assert curve.network[2].momentum == 0.1
    assert torch.equal(torch.get_rng_state(), state)


def test_regression_targets_have_no_error():
    X, _ = samples(3)
    found = losses_along(PolygonalChain(plain(1), plain(2)), nn.MSELoss(), (X, X[:, :3]), [0, 1])
    assert found.errors.isnan().all() and found.losses.isfinite().all()


def test_61_points_are_the_default():
    found = losses_along(PolygonalChain(plain(1), plain(2)), LOSS, samples(3))
    torch.testing.assert_close(found.ts, torch.arange(61, dtype=torch.float64) / 60)


def test_a_loss_that_overflows_is_kept():
    first, second = plain(1), plain(2)
    second[-1].weight.data.fill_(1e200)
    found = losses_along(
        PolygonalChain(first, second), nn.MSELoss(), (*samples(3)[:1], torch.zeros(20, 3).double())
    )
    assert found.losses[0].isfinite() and found.losses[-1].isinf()


def test_the_barrier_is_the_rise_above_the_line_between_the_ends():
    ts = torch.tensor([0, 0.25, 1], dtype=torch.float64)
    losses = torch.tensor([1, 3, 5], dtype=torch.float64)
    assert CurveLosses(ts, losses, losses, ts).barrier == pytest.approx(1.0)
    assert CurveLosses(ts, losses.flip(0), losses, ts).barrier == pytest.approx(0.0)
    assert math.isnan(CurveLosses(ts, losses * math.nan, losses, ts).barrier)


def test_a_trained_curve_goes_around_the_barrier_and_alignment_lowers_it():
    generator = torch.Generator().manual_seed(0)
    X = torch.randn(120, 2, generator=generator)
    data = X, ((X.norm(dim=1) > 1.1) ^ (X[:, 0] > 0)).long()
    networks = [mlp((2, 24, 2), generator=torch.Generator().manual_seed(s)) for s in (1, 2)]
    options = {"learning_rate": 0.5, "momentum": 0.9, "steps": 300, "progress": False}
    for network in networks:
        fit(network, LOSS, data, **options, evaluate_every=300)
    line = losses_along(PolygonalChain(*networks, bends=0), LOSS, data)
    aligned = PolygonalChain(networks[0], align(*networks).network, bends=0)
    assert line.losses[[0, -1]].max() < 0.05 and line.barrier > 0.5
    assert losses_along(aligned, LOSS, data).barrier < line.barrier / 2
    for curve in (Bezier(*networks), PolygonalChain(*networks)):
        fit(curve, LOSS, data, **options, evaluate_every=300)
        found = losses_along(curve, LOSS, data)
        assert found.losses.max() < line.losses.max() / 5
        assert found.lengths[-1] > line.lengths[-1]


def test_bad_arguments_along_a_curve_are_refused():
    data, curve, normed = samples(3), PolygonalChain(plain(1), plain(2)), Bezier(dense(1), dense(2))
    for call, message in (
        (lambda: losses_along(curve, LOSS, data, [0.5, 1.2]), "t is 1.2"),
        (lambda: losses_along(curve, LOSS, data, [0.5, 0.2]), "ts must rise"),
        (lambda: losses_along(curve, LOSS, data, []), "at least one number"),
        (lambda: losses_along(curve, LOSS, data, batch_norm_data=data), "nothing to re-estimate"),
        (lambda: losses_along(normed, LOSS, data), "give the training data as batch_norm_data"),
        (lambda: losses_along(curve, LOSS, data, points_at_once=0), "points_at_once is 0"),
        (lambda: losses_along(curve, LOSS, (data[0].float(), data[1])), "convert one"),
    ):
        with pytest.raises(ValueError, match=message):
            call()
    for at_once in (1, 2):
        with pytest.raises(TypeError, match="must return one number"):
            sums = nn.CrossEntropyLoss(reduction="none")
            losses_along(curve, sums, data, points_at_once=at_once)


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(4, 3).double()

    def forward(self, X):
        return self.lstm(X)[0]


class Named(nn.Module):
    def forward(self, X):
        return {"logits": X}


def test_what_vmap_refuses_is_told_the_way_out():
    curve, data = PolygonalChain(Recurrent(), Recurrent()), samples(3)
    with pytest.raises(RuntimeError, match="lstm.*With points_at_once=1 nothing is vectorized"):
        losses_along(curve, LOSS, data)
    assert losses_along(curve, LOSS, data, points_at_once=1).losses.isfinite().all()
    with pytest.raises(RuntimeError, match="Expected size") as error:
        losses_along(PolygonalChain(plain(1), plain(2)), LOSS, (data[0][:, :2], data[1]))
    assert "points_at_once" not in str(error.value)


@pytest.mark.parametrize("points_at_once", [1, 2])
def test_networks_that_return_no_tensor_are_refused(points_at_once):
    wrapped = [nn.Sequential(plain(seed), Named()) for seed in (1, 2)]
    with pytest.raises(TypeError, match="the model must return one tensor, not dict"):
        losses_along(PolygonalChain(*wrapped), LOSS, samples(3), points_at_once=points_at_once)


def test_batch_norm_without_running_statistics_is_refused():
    """Its loss would be another for every cut of the data, and so for every points_at_once."""
    networks = [dense(1), dense(2)]
    for network in networks:
        network[2] = nn.BatchNorm1d(6, track_running_stats=False).double()
    curve, data = PolygonalChain(*networks), samples(3)
    for training in (None, data):
        with pytest.raises(ValueError, match="keeps no running statistics"):
            losses_along(curve, LOSS, data, batch_norm_data=training)


def linear(*weights):
    model = nn.Linear(len(weights), 1, bias=False, dtype=torch.float64)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([weights]))
    return model


def test_the_plane_of_three_points_in_space():
    plane = plane_through(linear(1.0, 1.0, 0.0), linear(4.0, 1.0, 0.0), linear(2.0, 3.0, 0.0))

    def as_tensor(*rows):
        return torch.tensor(rows, dtype=torch.float64)

    torch.testing.assert_close(plane.u, as_tensor(1, 0, 0))
    torch.testing.assert_close(plane.v, as_tensor(0, 1, 0))
    torch.testing.assert_close(plane.networks, as_tensor([0, 0], [3, 0], [1, 2]))
    torch.testing.assert_close(plane.point(2.0, -1.0), as_tensor(3, 0, 0))
    off = as_tensor([2, 2, 9], [1, 1, -1])
    torch.testing.assert_close(plane.coordinates(off), as_tensor([1, 1], [0, 0]))


def test_the_plane_of_networks_is_orthonormal_and_holds_them():
    networks = [plain(1), plain(2), plain(3)]
    plane = plane_through(*networks)
    basis = torch.stack([plane.u, plane.v])
    torch.testing.assert_close(basis @ basis.T, torch.eye(2, dtype=torch.float64))
    for place, network in zip(plane.networks, networks, strict=True):
        torch.testing.assert_close(plane.point(*place), flatten(network))
        torch.testing.assert_close(plane.coordinates(flatten(network)), place)
        X = samples(3)[0]
        torch.testing.assert_close(plane.network_at(*place)(X), network(X))


def test_the_grid_surrounds_the_networks_with_the_papers_margin():
    plane = plane_through(linear(0.0, 0.0), linear(10.0, 0.0), linear(5.0, 4.0))
    xs, ys = plane.grid()
    assert len(xs) == len(ys) == 21
    torch.testing.assert_close(xs, torch.linspace(-2, 12, 21, dtype=torch.float64))
    torch.testing.assert_close(ys, torch.linspace(-0.8, 4.8, 21, dtype=torch.float64))


@pytest.mark.parametrize("make", [plain, dense])
def test_losses_on_a_plane_are_those_of_its_networks(make):
    plane, data = plane_through(make(1), make(2), make(3)), samples(3)
    training = None if make is plain else samples(4, 30)
    xs, ys = [0.0, 0.5, 2.0], [-1.0, 0.3]
    found = losses_on_plane(plane, LOSS, data, xs, ys, batch_norm_data=training, points_at_once=4)
    assert found.losses.shape == found.errors.shape == (2, 3)
    for j, y in enumerate(ys):
        for i, x in enumerate(xs):
            expected = by_hand(plane.network_at(x, y), data, training)
            assert float(found.losses[j, i]) == pytest.approx(expected.loss, rel=1e-10)
            assert float(found.errors[j, i]) == pytest.approx(1 - expected.accuracy)


def test_the_loss_of_a_linear_model_on_its_plane_is_a_parabola():
    """X = sqrt(2) I makes the mean squares |w|^2, and w = (x, y) here."""
    plane = plane_through(linear(0.0, 0.0), linear(1.0, 0.0), linear(0.0, 1.0))
    X, y = 2**0.5 * torch.eye(2, dtype=torch.float64), torch.zeros(2, 1, dtype=torch.float64)
    found = losses_on_plane(plane, nn.MSELoss(), (X, y))
    torch.testing.assert_close(found.losses, found.xs**2 + found.ys[:, None] ** 2)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_collinear_networks_make_no_plane(dtype):
    first, second = plain(1).to(dtype), plain(2).to(dtype)
    line = PolygonalChain(
        first, second
    )  # rounding lifts the middle off the line, but no plane holds on that
    for third in (line.bend(), line.network_at(0.3), first, second):
        with pytest.raises(ValueError, match="lie on one line.*give a third elsewhere"):
            plane_through(first, second, third)
    with pytest.raises(ValueError, match="the first two networks have the same weights"):
        plane_through(first, copy.deepcopy(first), second)


def test_bad_arguments_of_planes_are_refused():
    plane = plane_through(plain(1), plain(2), plain(3))
    for call, message in (
        (lambda: plane_through(plain(1), plain(2), dense(3)), "differ at layer 2"),
        (lambda: plane_through(plain(1), plain(2), plain(3).float()), "convert one"),
        (lambda: losses_on_plane(plane, LOSS, samples(3), [math.inf]), "xs must be"),
        (lambda: losses_on_plane(plane, LOSS, samples(3), ys=[]), "ys must be"),
        (
            lambda: losses_on_plane(plane, LOSS, samples(3), batch_norm_data=samples(3)),
            "no batch-norm",
        ),
    ):
        with pytest.raises(ValueError, match=message):
            call()


class Drawing(nn.Linear):
    """Draws in evaluation mode too."""

    def forward(self, X):
        return super().forward(nn.functional.dropout(X, 0.5))


def test_a_network_that_draws_leaves_the_callers_random_state():
    X, y = torch.ones(6, 4), torch.arange(6) % 3
    curve, state = PolygonalChain(Drawing(4, 3), Drawing(4, 3), bends=0), torch.get_rng_state()
    losses_along(curve, LOSS, (X, y), [0, 1], points_at_once=1)
    assert torch.equal(state, torch.get_rng_state())
