"""Gradients of minibatches against a closed form, and blocks for the tail index."""

import pytest
import torch
from torch import nn

from flatlab.tails import batch_gradients, in_blocks


def half_square(prediction, y):
    return ((prediction - y) ** 2).mean() / 2


@pytest.fixture
def problem():
    generator = torch.Generator().manual_seed(0)
    X = torch.randn(11, 3, generator=generator, dtype=torch.float64)
    y = torch.randn(11, 1, generator=generator, dtype=torch.float64)
    return nn.Linear(3, 1).double(), X, y


def test_rows_are_the_gradients_of_linear_regression(problem):
    model, X, y = problem
    rows = batch_gradients(model, half_square, (X, y), 3)
    apart = (X @ model.weight.T + model.bias - y).detach()
    each = torch.cat([apart * X, apart], dim=1)  # of a sample: weight, bias
    assert rows.shape == (3, 4)
    torch.testing.assert_close(rows, torch.stack([part.mean(0) for part in each[:9].split(3)]))
    torch.testing.assert_close(batch_gradients(model, half_square, (X, y), 3, 2), rows[:2])


def test_the_model_comes_back_as_it_was(problem):
    model, X, y = problem
    model.eval()
    model.weight.requires_grad_(False)
    rows = batch_gradients(model, half_square, (X, y), 5)
    assert rows.shape == (2, 1) and not rows.requires_grad
    assert not model.training and model.bias.grad is None


def test_buffers_and_the_global_seed_stay_in_training_mode(problem):
    _, X, y = problem
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Linear(4, 1))
    model = model.double().train()
    buffers, state = [b.clone() for b in model.buffers()], torch.get_rng_state()
    rows = batch_gradients(model, half_square, (X, y), 5)
    assert all(map(torch.equal, buffers, model.buffers()))
    assert torch.equal(state, torch.get_rng_state())
    half_square(model(X[:5]), y[:5]).backward()  # the same draws, in the same mode
    torch.testing.assert_close(rows[0], torch.cat([p.grad.flatten() for p in model.parameters()]))


def test_a_layer_under_two_names_keeps_its_own_buffers():
    shared = nn.BatchNorm1d(3)
    model = nn.Sequential(nn.Linear(3, 3), shared, nn.ReLU(), shared)
    before = [(buffer, buffer.clone()) for buffer in model.buffers()]
    X = torch.randn(8, 3, generator=torch.Generator().manual_seed(0))
    batch_gradients(model, nn.MSELoss(), (X, X), 4)
    for buffer, (same, value) in zip(model.buffers(), before, strict=True):
        assert buffer is same and torch.equal(buffer, value)


def test_parameters_that_do_not_enter_have_zeros_and_gradients_may_be_off(problem):
    model, X, y = problem
    parts = nn.ModuleDict({"idle": nn.Linear(2, 2), "used": model}).double()
    parts.forward = lambda x: model(x)
    with torch.no_grad():
        rows = batch_gradients(parts, half_square, (X, y), 3)
    assert torch.equal(rows[:, 6:], batch_gradients(model, half_square, (X, y), 3))
    assert not rows[:, :6].any()


def test_the_gradients_of_inference_mode_are_the_same(problem):
    model, X, y = problem
    expected = batch_gradients(model, half_square, (X, y), 3)
    with torch.inference_mode():
        copies = X + 0, y + 0
        assert torch.equal(batch_gradients(model, half_square, copies, 3), expected)


@pytest.mark.parametrize(
    ("batch_size", "count", "message"),
    [(6, None, "batch_size"), (0, None, "batch_size"), (3, 4, "count"), (3, 1, "two minibatches")],
)
def test_what_makes_no_noise_is_refused(problem, batch_size, count, message):
    model, X, y = problem
    with pytest.raises(ValueError, match=message):
        batch_gradients(model, half_square, (X, y), batch_size, count)


def test_blocks_divide_the_rows_and_hold_no_dead_coordinate():
    noise = torch.randn(9, 30, generator=torch.Generator().manual_seed(1))
    noise[:, 4], noise[3, 7] = 0, 0
    kept, k1 = in_blocks(noise)
    assert k1 == 15  # isqrt(9 * 28)
    expected = torch.cat([noise[:, :4], noise[:, 5:7], noise[:, 8:]], dim=1)[:, :15]
    assert torch.equal(kept, expected.double())
    assert in_blocks(torch.ones(50, 3))[1] == 3


def test_noise_that_is_dead_everywhere_is_refused():
    with pytest.raises(ValueError, match="0 of 5 coordinates"):
        in_blocks(torch.zeros(4, 5))


def test_minibatches_that_the_samples_do_not_hold_are_counted(problem):
    model, X, y = problem
    with pytest.raises(ValueError, match="11 samples hold 1 of batch_size 6"):
        batch_gradients(model, half_square, (X, y), 6)
    with pytest.raises(ValueError, match="count is 6.*11 samples hold 3 of batch_size 3"):
        batch_gradients(model, half_square, (X, y), 3, count=6)
