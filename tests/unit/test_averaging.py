"""SWA and FGE against averages and schedules written out by hand."""

import copy

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import SWALR

from flatlab.averaging import Ensemble, WeightAverage, fge, fge_learning_rate
from flatlab.curvature import reestimate_batch_norm
from flatlab.curves import flatten
from flatlab.evaluation import evaluate
from flatlab.models import mlp
from flatlab.training import fit

LOSS = nn.CrossEntropyLoss()


@pytest.fixture
def data():
    generator = torch.Generator().manual_seed(4)
    return torch.randn(24, 4, generator=generator, dtype=torch.float64), torch.arange(24) % 3


def network(batch_norm=False):
    return mlp((4, 6, 3), batch_norm=batch_norm).double()


class Seen:
    """A callback that keeps the weights after every number of updates."""

    def __init__(self):
        self.weights = {}

    def __call__(self, state):
        self.weights[state.step] = flatten(state.model)


def test_average_is_the_mean_of_the_weights_at_its_steps(data):
    model, seen, average = network(), Seen(), WeightAverage(every=3, start=4)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    fit(
        model, LOSS, data, optimizer=optimizer, scheduler=SWALR(optimizer, swa_lr=0.3), batch_size=8,
        steps=11, callbacks=[seen, average], progress=False,
    )  # fmt: skip
    expected = torch.stack([seen.weights[step] for step in (4, 7, 10)]).mean(0)
    assert average.count == 3
    torch.testing.assert_close(flatten(average.network()), expected)
    assert torch.equal(flatten(model), seen.weights[11])  # the run is not disturbed


def test_the_average_of_a_quadratic_lies_closer_than_the_iterates():
    """Opposite oscillation around a minimum: w_k = (-1)^k w_0 at learning rate 2 / lambda."""
    model = nn.Linear(1, 1, bias=False).double()
    X, y = torch.ones(2, 1, dtype=torch.float64), torch.zeros(2, 1, dtype=torch.float64)
    start, average = model.weight.item(), WeightAverage(every=1)
    fit(
        model, nn.MSELoss(), (X, y), learning_rate=1.0, steps=9, callbacks=[average], progress=False
    )
    assert model.weight.item() == pytest.approx(-start)
    assert average.network().weight.item() == pytest.approx(0, abs=1e-12)


def test_batch_norm_of_the_average_is_re_estimated(data):
    model, average = network(batch_norm=True), WeightAverage(every=2)
    fit(
        model,
        LOSS,
        data,
        learning_rate=0.3,
        batch_size=8,
        steps=6,
        callbacks=[average],
        progress=False,
    )
    found = average.network(data)
    expected = copy.deepcopy(model)
    nn.utils.vector_to_parameters(flatten(found), expected.parameters())
    reestimate_batch_norm(expected, data)
    torch.testing.assert_close(found[2].running_mean, expected[2].running_mean)
    torch.testing.assert_close(found[2].running_var, expected[2].running_var)
    assert not torch.allclose(found[2].running_mean, model[2].running_mean)


def test_an_average_says_what_it_lacks(data):
    average = WeightAverage(every=1, start=9)
    fit(network(), LOSS, data, learning_rate=0.1, steps=3, callbacks=[average], progress=False)
    with pytest.raises(ValueError, match="fewer than start = 9 updates"):
        average.network()
    average = WeightAverage(every=1)
    fit(network(), LOSS, data, learning_rate=0.1, steps=2, callbacks=[average], progress=False)
    with pytest.raises(ValueError, match="no batch-norm layer"):
        average.network(data)
    average = WeightAverage(every=1)
    fit(network(True), LOSS, data, learning_rate=0.1, steps=2, callbacks=[average], progress=False)
    with pytest.raises(ValueError, match="give the training data"):
        average.network()
    for arguments, message in (
        ((0,), "every is 0"),
        ((1, -1), "start is -1"),
        ((1, 0.5), "start is"),
    ):
        with pytest.raises(ValueError, match=message):
            WeightAverage(*arguments)


def test_learning_rate_follows_the_papers_formula():
    """Garipov et al. (2018), with steps counted from 1."""
    cycle, high, low = 8, 0.05, 0.001
    for i in range(1, 25):
        t = ((i - 1) % cycle + 1) / cycle
        paper = (
            (1 - 2 * t) * high + 2 * t * low if t <= 0.5 else (2 - 2 * t) * low + (2 * t - 1) * high
        )
        assert fge_learning_rate(i - 1, cycle, low, high) == pytest.approx(paper, rel=1e-12)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 5, 0.1, 1.0), "even number of steps"),
        ((0, 0, 0.1, 1.0), "even number"),
        ((-1, 4, 0.1, 1.0), "counted from 0"),
        ((0, 4, 0.0, 1.0), "low is 0"),
        ((0, 4, 1.0, 0.1), "low must not be larger"),
    ],
)
def test_bad_schedules_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        fge_learning_rate(*arguments)


def test_snapshots_are_those_of_a_loop_by_hand(data):
    model, reference = network(), network()
    ensemble, history = fge(
        model, LOSS, data, cycle=4, cycles=3, low=0.05, high=0.4, momentum=0.5, progress=False
    )
    speed, expected = 0, []
    for step in range(10):
        reference.zero_grad()
        LOSS(reference(data[0]), data[1]).backward()
        gradient = torch.cat([p.grad.flatten() for p in reference.parameters()])
        speed = 0.5 * speed + gradient
        t = (step % 4 + 1) / 4
        rate = 0.05 + 0.35 * abs(1 - 2 * t)
        w = flatten(reference) - rate * speed
        nn.utils.vector_to_parameters(w, reference.parameters())
        if step % 4 == 1:  # the second of four updates has the lowest rate
            expected.append(w)
    assert len(ensemble.members) == 3 and history.step[-1] == 10
    for member, w in zip(ensemble.members, expected, strict=True):
        torch.testing.assert_close(flatten(member), w)
        assert not member.training
    torch.testing.assert_close(flatten(model), expected[-1])


def test_ensemble_averages_probabilities_or_outputs(data):
    members = [
        mlp((4, 6, 3), generator=torch.Generator().manual_seed(s)).double() for s in range(3)
    ]
    X, y = data
    mean = sum(member(X).softmax(1) for member in members) / 3
    found = evaluate(Ensemble(members), LOSS, data)
    assert found.loss == pytest.approx(-mean[torch.arange(24), y].log().mean().item())
    assert found.accuracy == pytest.approx(float((mean.argmax(1) == y).double().mean()))
    outputs = sum(member(X) for member in members) / 3
    torch.testing.assert_close(Ensemble(members, "outputs")(X), outputs)


def test_fge_refuses_before_it_trains(data):
    model = network()
    before, options = flatten(model), {"cycle": 4, "cycles": 1, "low": 0.1, "high": 0.2}
    for change, message in (
        ({"cycles": 0}, "cycles is 0"),
        ({"cycle": 3}, "even number"),
        ({"mean": "median"}, "choose probabilities or outputs"),
    ):
        with pytest.raises(ValueError, match=message):
            fge(model, LOSS, data, **{**options, **change}, progress=False)
    assert torch.equal(flatten(model), before)
    with pytest.raises(ValueError, match="nothing to train"):
        fge(network().requires_grad_(False), LOSS, data, **options, progress=False)
    with pytest.raises(ValueError, match="members is empty"):
        Ensemble([])


def test_a_run_that_diverges_says_so(data):
    with pytest.raises(FloatingPointError, match="lower high"):
        options = {"cycle": 2, "cycles": 400, "low": 1e3, "high": 1e4, "momentum": 0.9}
        fge(nn.Linear(4, 3).double(), lambda p, y: (p**2).mean(), data, **options, progress=False)
