"""``evaluate`` of any module, and what ``fit`` records beside its own columns."""

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, TensorDataset

from flatlab.evaluation import evaluate
from flatlab.models import mlp
from flatlab.sweeps import Run, sweep
from flatlab.training import fit

X = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
Y = torch.arange(6) % 3


def test_a_frozen_network_is_evaluated_and_not_trained():
    model = mlp((4, 8, 3)).requires_grad_(False)
    assert evaluate(model, cross_entropy, (X, Y)).loss == pytest.approx(
        cross_entropy(model(X), Y).item(), rel=1e-6
    )
    with pytest.raises(ValueError, match="nothing to train"):
        fit(model, cross_entropy, (X, Y), learning_rate=0.1, steps=1)
    with pytest.raises(ValueError, match="nothing to train"):
        sweep(lambda g: mlp((4, 3), generator=g).requires_grad_(False), cross_entropy, (X, Y), [Run()], steps=1)  # fmt: skip


def test_a_module_without_parameters_is_evaluated():
    log_probabilities = nn.LogSoftmax(1)
    expected = cross_entropy(X[:, :3], Y).item()
    got = evaluate(nn.Sequential(nn.Identity(), log_probabilities), nn.NLLLoss(), (X[:, :3], Y))
    assert got.loss == pytest.approx(expected, rel=1e-6)


def test_reading_a_loader_keeps_the_global_seed():
    loader = DataLoader(TensorDataset(X, Y), batch_size=2, shuffle=True)
    before = torch.get_rng_state()
    evaluate(mlp((4, 3)), cross_entropy, loader)
    fit(mlp((4, 3)), cross_entropy, loader, learning_rate=0.1, steps=2, progress=False)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_metric_cannot_take_the_name_of_a_column():
    model = mlp((4, 3))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    settings = {"steps": 2, "progress": False, "metrics": {"test_accuracy": lambda model: 1.0}}
    with pytest.raises(ValueError, match="metrics names test_accuracy, which every run has"):
        fit(model, cross_entropy, (X, Y), learning_rate=0.1, **settings)
    with pytest.raises(ValueError, match="metrics names test_accuracy"):
        sweep(lambda g: mlp((4, 3), generator=g), cross_entropy, (X, Y), [Run()], **settings)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


class Named(nn.Module):
    """A network that returns a dict, as those of transformers do."""

    def __init__(self):
        super().__init__()
        self.inner = mlp((4, 3))

    def forward(self, X):
        return {"logits": self.inner(X)}


def test_a_model_that_returns_no_tensor_is_refused_before_anything_changes():
    model = Named()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    for call in (
        lambda: evaluate(model, cross_entropy, (X, Y)),
        lambda: fit(model, cross_entropy, (X, Y), learning_rate=0.1, steps=2),
        lambda: sweep(lambda g: Named(), cross_entropy, (X, Y), [Run()], steps=2, progress=False),
    ):
        with pytest.raises(TypeError, match="the model must return one tensor, not dict"):
            call()
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
