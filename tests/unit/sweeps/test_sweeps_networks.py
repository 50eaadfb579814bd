"""Networks that lockstep must take as they are, or leave to single runs."""

import pytest
import torch
from test_sweeps_equal import X, Y, assert_same, plain, single
from torch import nn
from torch.nn.functional import cross_entropy, dropout

from flatlab.models import mlp
from flatlab.sweeps import Run, grid, sweep

REST = {"steps": 6, "evaluate_every": 3}
RUNS = grid(Run(batch_size=10), learning_rate=[0.05, 0.2], seed=[0, 1])


def linear(generator, fan_in, fan_out):
    layer = nn.Linear(fan_in, fan_out, dtype=torch.float64)
    with torch.no_grad():
        for p in layer.parameters():
            p.copy_(torch.randn(p.shape, generator=generator, dtype=p.dtype) / 4)
    return layer


class Shared(nn.Module):
    """Two layers with one weight, each with a bias."""

    def __init__(self, generator):
        super().__init__()
        width = X.shape[1]
        self.first, self.second = linear(generator, width, width), linear(generator, width, width)
        self.out = linear(generator, width, 3)
        self.second.weight = self.first.weight

    def forward(self, x):
        return self.out(torch.tanh(self.second(torch.tanh(self.first(x)))))


class Twice(nn.Module):
    """One layer under two names."""

    def __init__(self, generator):
        super().__init__()
        self.first = self.again = linear(generator, X.shape[1], X.shape[1])
        self.out = linear(generator, X.shape[1], 3)

    def forward(self, x):
        return self.out(torch.tanh(self.again(torch.tanh(self.first(x)))))


class Masked(nn.Module):
    """A mask of its own for each run, which its state dict leaves out."""

    def __init__(self, generator):
        super().__init__()
        mask = torch.rand(X.shape[1], generator=generator, dtype=torch.float64)
        self.register_buffer("mask", mask, persistent=False)
        self.out = linear(generator, X.shape[1], 3)

    def forward(self, x):
        return self.out(x * self.mask)


@pytest.mark.parametrize("engine", ["auto", "lockstep", "sequential"])
@pytest.mark.parametrize("build", [Shared, Twice, Masked])
def test_shared_weights_and_buffers_outside_the_state(build, engine):
    def loss(model):
        return cross_entropy(model(X), Y).item()

    rest = REST | {"metrics": {"loss": loss}}
    for outcome in sweep(build, cross_entropy, (X, Y), RUNS, engine=engine, progress=False, **rest):
        assert_same(outcome, *single(build, cross_entropy, (X, Y), outcome.run, **rest))
        assert loss(outcome.model(build)) == pytest.approx(
            outcome.history.train_loss[-1], abs=1e-10
        )


class Dropping(nn.Module):
    def __init__(self, generator):
        super().__init__()
        self.body = plain(generator)

    def forward(self, x):
        return self.body(dropout(x, 0.5, self.training))


class Looking(Dropping):
    def forward(self, x):
        return self.body(x) if next(self.body.parameters()).sum() < 1e6 else self.body(-x)


class Featured(nn.Module):
    """Features of its own for each run in a plain attribute, which `functional_call` cannot replace."""

    def __init__(self, generator, name):
        super().__init__()
        setattr(self, name, torch.randn(X.shape[1], 4, generator=generator, dtype=torch.float64))
        self.name, self.out = name, linear(generator, 4, 3)

    def forward(self, x):
        return self.out(torch.cos(x @ getattr(self, self.name)))


@pytest.mark.parametrize("name", ["features", "_features"])
def test_what_the_runs_hold_beside_parameters_and_buffers_stays_theirs(name):
    def build(generator):
        return Featured(generator, name)

    for outcome in sweep(build, cross_entropy, (X, Y), RUNS, progress=False, **REST):
        assert_same(outcome, *single(build, cross_entropy, (X, Y), outcome.run, **REST))
    with pytest.raises(ValueError, match="keep what differs by register_buffer"):
        sweep(build, cross_entropy, (X, Y), RUNS, engine="lockstep", progress=False, **REST)


class Listed(Masked):
    """Its registered parts once more in plain attributes."""

    def __init__(self, generator):
        super().__init__(generator)
        self.layers, self._mask = [self.out, self.out.weight], (self.mask,)


def test_attributes_that_name_registered_parts_do_not_keep_runs_apart():
    rest = REST | {"engine": "lockstep"}
    for outcome in sweep(Listed, cross_entropy, (X, Y), RUNS, progress=False, **rest):
        assert_same(outcome, *single(Masked, cross_entropy, (X, Y), outcome.run, **REST))


@pytest.mark.parametrize("steps", [6, 60])
@pytest.mark.parametrize("build", [Dropping, Looking])
def test_what_vmap_refuses_is_trained_one_by_one(build, steps):
    rest = {"steps": steps, "evaluate_every": 3}
    for outcome in sweep(build, cross_entropy, (X, Y), RUNS, progress=False, **rest):
        assert_same(outcome, *single(build, cross_entropy, (X, Y), outcome.run, **rest))


def test_bfloat16_comes_back_from_a_folder(tmp_path):
    def build(generator):
        return plain(generator).bfloat16()

    def loss_fn(prediction, y):
        return cross_entropy(prediction.float(), y)

    settings = {"steps": 4, "progress": False, "folder": tmp_path}
    made, read = (
        sweep(build, loss_fn, (X.bfloat16(), Y), [Run()], **settings)[0] for _ in range(2)
    )
    assert len(list(tmp_path.iterdir())) == 1
    for name, value in made.state.items():
        assert read.state[name].dtype == torch.bfloat16
        assert torch.equal(read.state[name], value)


def test_hooks_of_each_run_stay_its_own():
    def build(generator):
        model = plain(generator)
        scale = torch.rand(X.shape[1], generator=generator, dtype=torch.float64)
        model.register_forward_pre_hook(lambda module, given: (given[0] * scale,))
        return model

    for outcome in sweep(build, cross_entropy, (X, Y), RUNS, progress=False, **REST):
        assert_same(outcome, *single(build, cross_entropy, (X, Y), outcome.run, **REST))


class Centered(nn.Module):
    """A running mean that each pass replaces, as textbooks write it."""

    def __init__(self, generator, buffer):
        super().__init__()
        self.out = linear(generator, X.shape[1], 3)
        mean = torch.zeros(X.shape[1], dtype=torch.float64)
        self.register_buffer("mean", mean) if buffer else setattr(self, "mean", mean)

    def forward(self, x):
        if self.training:
            self.mean = 0.9 * self.mean + 0.1 * x.mean(0)
        return self.out(x - self.mean)


@pytest.mark.parametrize("buffer", [True, False])
def test_state_that_a_pass_replaces_is_kept(buffer):
    def build(generator):
        return Centered(generator, buffer)

    for outcome in sweep(build, cross_entropy, (X, Y), RUNS, progress=False, **REST):
        assert_same(outcome, *single(build, cross_entropy, (X, Y), outcome.run, **REST))
    with pytest.raises(ValueError, match="in place"):
        sweep(build, cross_entropy, (X, Y), RUNS, engine="lockstep", progress=False, **REST)


@pytest.mark.parametrize("engine", ["auto", "lockstep", "sequential"])
def test_a_lone_last_sample_is_refused_before_any_run(engine):
    def normalized(generator):
        return mlp((X.shape[1], 8, 3), batch_norm=True, generator=generator).double()

    seen, runs = [], grid(batch_size=[10, 23], seed=[0, 1])
    assert len(X) % 23 == 1
    rest = {"epochs": 2, "metrics": {"m": lambda model: seen.append(1) or 0.0}, "progress": False}
    with pytest.raises(ValueError, match="holds one sample alone"):
        sweep(normalized, cross_entropy, (X, Y), runs, engine=engine, **rest)
    assert not seen


class Drawing(Dropping):
    """Draws in evaluation mode too."""

    def forward(self, x):
        return self.body(dropout(x, 0.5))


@pytest.mark.parametrize("engine", ["auto", "sequential"])
def test_a_network_that_draws_leaves_the_callers_random_state(engine):
    state = torch.get_rng_state()
    sweep(Drawing, cross_entropy, (X, Y), RUNS, engine=engine, progress=False, **REST)
    assert torch.equal(state, torch.get_rng_state())
