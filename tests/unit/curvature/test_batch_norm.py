"""Batch-norm statistics gathered anew, against means and variances computed by hand."""

import copy

import pytest
import torch
from torch import nn

from flatlab.curvature import reestimate_batch_norm
from flatlab.models import mlp


@pytest.fixture
def data():
    generator = torch.Generator().manual_seed(3)
    X = 5 + 2 * torch.randn(10, 4, generator=generator, dtype=torch.float64)
    return X, torch.arange(10) % 3


def normalized(values):
    """Batch norm by hand: mean, unbiased variance, and the values normalized by the biased one."""
    biased = values.var(0, correction=0)
    return values.mean(0), values.var(0), (values - values.mean(0)) / (biased + 1e-5).sqrt()


def test_statistics_are_those_of_the_layers_inputs(data):
    model = mlp((4, 6, 5, 3), batch_norm=True).double()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d):
            module.running_mean.fill_(torch.nan)  # a diverged run must leave nothing behind
    reestimate_batch_norm(model, data)
    _, linear1, norm1, _, linear2, norm2, _, _ = model
    mean, variance, out = normalized(data[0] @ linear1.weight.T + linear1.bias)
    torch.testing.assert_close(norm1.running_mean, mean)
    torch.testing.assert_close(norm1.running_var, variance)
    mean, variance, _ = normalized(out.relu() @ linear2.weight.T + linear2.bias)
    torch.testing.assert_close(norm2.running_mean, mean)
    torch.testing.assert_close(norm2.running_var, variance)


def test_batches_of_unequal_size_are_weighted_by_size(data):
    """10 samples in at most 4 are 4, 3 and 3; several batches given are one set of data."""
    X, y = data
    model = nn.Sequential(nn.BatchNorm1d(4), nn.Linear(4, 2)).double()
    reestimate_batch_norm(model, [(X[:7], y[:7]), (X[7:], y[7:])], batch_size=4)
    parts = X[:4], X[4:7], X[7:]
    torch.testing.assert_close(model[0].running_mean, X.mean(0))
    expected = sum(len(part) * part.var(0) for part in parts) / 10
    torch.testing.assert_close(model[0].running_var, expected)


def test_no_part_is_a_single_sample(data):
    model = nn.Sequential(nn.BatchNorm1d(4), nn.Linear(4, 2)).double()
    reestimate_batch_norm(
        model, (data[0][:5], data[1][:5]), batch_size=2
    )  # torch refuses one sample
    assert model[0].running_var.isfinite().all()


def test_dropout_is_off_and_all_else_comes_back(data):
    model = nn.Sequential(
        nn.Dropout(0.5), nn.BatchNorm1d(4, momentum=0.3), nn.Linear(4, 2)
    ).double()
    model[0].eval()
    state, before = torch.get_rng_state(), copy.deepcopy(model.state_dict())
    reestimate_batch_norm(model, data)
    torch.testing.assert_close(model[1].running_mean, data[0].mean(0))
    assert [m.training for m in model] == [False, True, True]
    assert model[1].momentum == 0.3 and model[2].weight.grad is None
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(model[2].weight, before["2.weight"])


def test_modes_and_momenta_come_back_after_an_error(data):
    class Breaks(nn.Module):
        def forward(self, X):
            raise RuntimeError("here")

    model = nn.Sequential(nn.BatchNorm1d(4, momentum=0.3), Breaks(), nn.Linear(4, 2)).double()
    with pytest.raises(RuntimeError, match="here"):
        reestimate_batch_norm(model, data)
    assert model[0].momentum == 0.3 and model.training and model[1].training


def test_statistics_stay_where_the_data_do_not_fit(data):
    model = mlp((4, 5, 3), batch_norm=True).double()
    model(data[0] + 1)
    before = {name: buffer.clone() for name, buffer in model.named_buffers()}
    with pytest.raises(RuntimeError):
        reestimate_batch_norm(model, (data[0][:, :3], data[1]))
    assert all(torch.equal(before[name], buffer) for name, buffer in model.named_buffers())


def test_a_frozen_network_gets_statistics(data):
    model = mlp((4, 5, 3), batch_norm=True).double().requires_grad_(False)
    reestimate_batch_norm(model, data)
    torch.testing.assert_close(model[2].running_mean, model[1](data[0]).mean(0))


def test_what_cannot_be_re_estimated_is_refused(data):
    X, y = data
    with pytest.raises(ValueError, match="no batch-norm layer.*nothing to re-estimate"):
        reestimate_batch_norm(mlp((4, 5, 3)).double(), data)
    stateless = nn.Sequential(
        nn.BatchNorm1d(4, track_running_stats=False), nn.Linear(4, 2)
    ).double()
    with pytest.raises(ValueError, match="no batch-norm layer"):
        reestimate_batch_norm(stateless, data)
    model = mlp((4, 5, 3), batch_norm=True).double()
    with pytest.raises(ValueError, match="at least two"):
        reestimate_batch_norm(model, (X[:1], y[:1]))
    with pytest.raises(ValueError, match="at least two"):
        reestimate_batch_norm(model, data, batch_size=1)
    with pytest.raises(ValueError, match="convert one"):
        reestimate_batch_norm(model, (X.float(), y))


class Twice(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(4)

    def forward(self, x):
        return self.norm(x) + self.norm(x + 10)


def test_a_layer_called_twice_gets_the_mean_of_both_calls():
    X = torch.randn(20, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    model = Twice().double()
    reestimate_batch_norm(model, (X, X), batch_size=5)
    torch.testing.assert_close(model.norm.running_mean, X.mean(0) + 5)
