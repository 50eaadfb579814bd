"""A folder gives back runs of the same sweep, and of no other."""

import functools
import importlib
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from flatlab import models
from flatlab.grokking import modular_table, progress_measures
from flatlab.sweeps import Run, sweep
from flatlab.sweeps.told import structure, told

X = torch.randn(40, 5, generator=torch.Generator().manual_seed(0))
Y = torch.randint(3, (40,), generator=torch.Generator().manual_seed(1))


class Scaled:
    def __init__(self, factor):
        self.factor = factor

    def __call__(self, prediction, y):
        return cross_entropy(self.factor * prediction, y)

    def method(self, prediction, y):
        return self(prediction, y)


@dataclass(frozen=True)
class Decay:
    k: float

    def __call__(self, step):
        return 1 / (1 + self.k * step)


class Outer(nn.Module):
    """Its activation shows in no parameter and in no printed line."""

    def __init__(self, generator, activation):
        super().__init__()
        self.body, self.activation = models.mlp((5, 3), generator=generator), activation

    def forward(self, x):
        return self.activation(self.body(x))


def closure(factor):
    return lambda prediction, y: cross_entropy(factor * prediction, y)


LOSSES = {
    "options": lambda k: nn.CrossEntropyLoss(label_smoothing=k / 10),
    "weights": lambda k: nn.CrossEntropyLoss(weight=torch.tensor([1.0, 1.0, k])),
    "closure": closure,
    "default": lambda k: lambda prediction, y, k=k: cross_entropy(k * prediction, y),
    "partial": lambda k: functools.partial(cross_entropy, label_smoothing=k / 10),
    "object": Scaled,
    "method": lambda k: Scaled(k).method,
}
BUILDS = {
    "activation": lambda k: (
        lambda g: models.mlp((5, 3, 3), activation=[nn.ReLU, nn.Tanh][k - 1], generator=g)
    ),
    "option": lambda k: lambda g: nn.Sequential(models.mlp((5, 3), generator=g), nn.Softplus(k)),
    "own attribute": lambda k: lambda g: Outer(g, [torch.tanh, torch.relu][k - 1]),
}


def losses(folder, loss_fn=cross_entropy, schedule=None, build=None):
    build = build or BUILDS["activation"](1)
    runs = (
        [Run(schedule=schedule)]
        if not isinstance(schedule, list)
        else [Run(schedule=s) for s in schedule]
    )
    made = sweep(build, loss_fn, (X, Y), runs, steps=4, folder=folder, progress=False)
    return [outcome.history.train_loss.tolist() for outcome in made]


def assert_kept_apart(tmp_path, settings, one, other):
    """The other sweep is run, not read; the first is read when it is asked for again."""
    first = losses(tmp_path, **settings(one))
    assert losses(tmp_path, **settings(other)) == losses(None, **settings(other)) != first
    files = sorted(tmp_path.iterdir())
    assert losses(tmp_path, **settings(one)) == first
    assert sorted(tmp_path.iterdir()) == files and len(files) == 2


@pytest.mark.parametrize("kind", LOSSES)
def test_losses(tmp_path, kind):
    assert_kept_apart(tmp_path, lambda k: {"loss_fn": LOSSES[kind](k)}, 1, 3)


@pytest.mark.parametrize("kind", BUILDS)
def test_networks_with_equal_weights(tmp_path, kind):
    assert_kept_apart(tmp_path, lambda k: {"build": BUILDS[kind](k)}, 1, 2)


def test_schedules_of_one_text(tmp_path):
    def schedules():
        return [lambda step, k=k: 1 / (1 + k * step) for k in (0, 5)]

    first = losses(tmp_path, schedule=schedules())
    assert first[0] != first[1]
    assert len(list(tmp_path.iterdir())) == 2
    assert losses(tmp_path, schedule=schedules()) == first
    assert_kept_apart(tmp_path / "objects", lambda k: {"schedule": Decay(k)}, 1, 2)


def test_what_the_package_makes_is_told_by_what_it_captures():
    table = modular_table(5)
    tellings = [
        told(progress_measures(table, rows, frequencies=[k]))
        for rows, k in ((table.results < 3, 1), (table.results < 3, 2), (table.results < 2, 1))
    ]
    assert len(set(tellings)) == 3


TEXTS = {
    "constant": "f = lambda p, y: {} * p",
    "name": "f = lambda p, y: torch.{}(p)",
    "arguments": "def f(p, {}y):\n    return p",
    "global in a generator expression": "K = {}\ndef f(p, y):\n    return sum(K * q for q in p)",
    "global in an inner function": """
K = {}
def f(p, y):
    def inner():
        return K * p
    return inner()""",
    "global of a global": "K = {}\ndef g(p):\n    return K * p\ndef f(p, y):\n    return g(p)",
    "decorator": """
def twice(g):
    @functools.wraps(g)
    def inner(p, y):
        return {} * g(p, y)
    return inner
f = twice(cross_entropy)""",
    "cache": "@functools.lru_cache\ndef f(p, y):\n    return {} * p",
    "class attribute": """
class C:
    k = {}
    def __call__(self, p, y):
        return self.k * p
f = C()""",
    "static method": """
class C:
    @staticmethod
    def h(p):
        return {} * p
    def __call__(self, p, y):
        return self.h(p)
f = C()""",
    "class method": "class C:\n    @classmethod\n    def f(cls, p, y):\n        return {} * p\nf = C.f",
    "property": """
class C:
    @property
    def h(self):
        return {}
    def __call__(self, p, y):
        return self.h * p
f = C()""",
    "kept property": """
class C:
    @functools.cached_property
    def h(self):
        return {}
    def __call__(self, p, y):
        return self.h * p
f = C()""",
    "slots": """
class C:
    __slots__ = "k"
    def __call__(self, p, y):
        return self.k * p
f = C()
f.k = {}""",
    "set": "f = lambda p, y: p in {{'a', 'b', 'c', {}}}",
    "sequence": "f = [1.0, {}].__getitem__",
    "tuple": "f = (1.0, {}).__getitem__",
    "mapping": "f = {{0: {}}}.get",
    "generator": "f = torch.Generator().manual_seed({})",
}
FILLED = {"name": ("relu", "tanh"), "arguments": ("", "*")}


def run(text, known):
    """`f` after a text whose source nobody will find."""
    exec(text, known)  # noqa: S102
    return known["f"]


def made(kind, k):
    """`f` of the text with its k-th value."""
    known = {
        "__name__": "cell",
        "torch": torch,
        "functools": functools,
        "cross_entropy": cross_entropy,
    }
    return run(TEXTS[kind].format(FILLED.get(kind, (2, 3))[k]), known)


@pytest.mark.parametrize("kind", TEXTS)
def test_what_computes_something_else_is_told_apart(kind):
    one, again, other = (told(made(kind, k)) for k in (0, 0, 1))
    assert one == again != other
    assert " at 0x" not in one


def test_comments_and_places_do_not_matter():
    texts = ("def f(p):\n    return 2 * p", "\n\n# why\ndef f(p):\n    return 2 * p  # twice")
    assert len({told(run(text, {})) for text in texts}) == 1


def test_an_attribute_of_a_globals_name_is_no_global():
    """As `row.history` is no `history`, which the sweep's outcome may be called by then."""
    text = "f = lambda row: row.history"
    assert told(run(text, {"history": 1})) == told(run(text, {"history": 2}))


@pytest.mark.slow
def test_another_process_tells_the_same():
    command = "import test_sweeps_told as t; print([t.told(t.made(k, 0)) for k in t.TEXTS])"
    tellings = {
        subprocess.run(
            [sys.executable, "-c", command],
            cwd=Path(__file__).parent, env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True, text=True, check=True,
        ).stdout
        for seed in ("1", "2")
    }  # fmt: skip
    assert tellings == {f"{[told(made(kind, 0)) for kind in TEXTS]}\n"}


def test_what_is_told_holds_no_addresses_and_ends():
    loop = []
    loop.append(loop)
    for value in (closure(2), Scaled(2).method, LOSSES["partial"](1), nn.Tanh(), loop, len, Scaled):
        assert " at 0x" not in told(value)
    assert told(closure(2)) == told(closure(2)) != told(closure(3))
    generator = torch.Generator().manual_seed(0)
    nets = [models.mlp((2, 3, 1), generator=generator) for _ in range(2)]
    assert structure(nets[0]) == structure(nets[1])
    assert told(nets[0]) != told(nets[1])


def frozen(k):
    def build(generator):
        model = models.mlp((5, 3, 3), generator=generator)
        model[1].requires_grad_(k == 1)
        return model

    return build


def hooked(k):
    def build(generator):
        model = models.mlp((5, 3, 3), generator=generator)
        model[1].register_forward_hook(lambda module, given, found: k * found)
        return model

    return build


@pytest.mark.parametrize("kind", [frozen, hooked])
def test_frozen_layers_and_hooks_are_told(tmp_path, kind):
    assert_kept_apart(tmp_path, lambda k: {"build": kind(k)}, 1, 2)


@pytest.mark.parametrize("layout", ["to_sparse_coo", "to_sparse_csr"])
def test_sparse_tensors_are_told(layout):
    one, other = (getattr(k * torch.eye(3), layout)() for k in (1, 2))
    assert told(one) == told(one.clone()) != told(other)


def test_a_name_that_is_not_yet_bound_is_no_obstacle():
    def function():
        return later

    assert told(function)
    later = 1


def test_a_module_of_the_callers_own_is_told_by_what_is_used_of_it(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    tellings = []
    for k in (2, 3, 2):
        (tmp_path / "helpers_of_told.py").write_text(f"def loss(p, y):\n    return {k} * p\n")
        sys.modules.pop("helpers_of_told", None)
        importlib.invalidate_caches()
        text = "import helpers_of_told\nf = lambda p, y: helpers_of_told.loss(p, y)"
        tellings.append(told(run(text, {"__name__": "cell"})))
    assert tellings[0] == tellings[2] != tellings[1]
