"""Landscape slices against closed forms, and the invariance that filter normalization is for."""

import pytest
import torch
from dense_references import (
    Quadratic,
    mean_prediction,
    mlp,
    network,
    one_sample,
    symmetric,
)
from torch import nn
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from flatlab.curvature import (
    filter_normalized_direction,
    landscape_1d,
    landscape_2d,
    random_direction,
)


def split(model, direction):
    clones = [torch.zeros_like(p) for p in model.parameters()]
    vector_to_parameters(direction, clones)
    return clones


def test_each_filter_has_its_weights_norm_and_vectors_are_zero():
    model, _, _ = network("conv")
    blocks = split(model, filter_normalized_direction(model))
    for p, block in zip(model.parameters(), blocks, strict=True):
        if p.ndim == 1:
            assert torch.equal(block, torch.zeros_like(p))
        else:
            torch.testing.assert_close(block.flatten(1).norm(dim=1), p.flatten(1).norm(dim=1))


def test_filter_normalization_only_rescales_the_random_direction():
    model, _, _ = network("conv")
    generators = [torch.Generator().manual_seed(4) for _ in range(2)]
    raw = split(model, random_direction(model, generators[0]))
    normalized = split(model, filter_normalized_direction(model, generators[1]))
    for a, b in zip(raw, normalized, strict=True):
        if a.ndim > 1:
            cosine = nn.functional.cosine_similarity(a.flatten(1), b.flatten(1))
            torch.testing.assert_close(cosine, torch.ones_like(cosine))


def test_a_zero_filter_stays_zero():
    model = nn.Linear(3, 2)
    with torch.no_grad():
        model.weight[0] = 0
    direction = filter_normalized_direction(model)
    assert torch.equal(direction[:3], torch.zeros(3)) and direction[3:6].norm() > 0


def test_slices_of_a_quadratic_are_the_closed_form():
    H, _ = symmetric([-1.0, 0.5, 2.0])
    g = torch.tensor([0.1, 0.2, 0.3], dtype=torch.float64)
    model, c = Quadratic(H, g), 1.0
    dx, dy = torch.eye(3, dtype=torch.float64)[:2]
    alphas = [-1.0, 0.0, 0.5]
    line = landscape_1d(model, mean_prediction, one_sample(), dx, alphas)
    expected = [c + a * float(g[0]) + a * a * float(H[0, 0]) / 2 for a in alphas]
    torch.testing.assert_close(line.losses, torch.tensor(expected).double(), rtol=1e-6, atol=1e-7)
    plane = landscape_2d(model, mean_prediction, one_sample(), dx, dy, alphas, [0.0, 2.0])
    assert plane.losses.shape == (2, 3)
    torch.testing.assert_close(plane.losses[0], line.losses)
    w = dx * alphas[2] + 2.0 * dy
    assert float(plane.losses[1, 2]) == pytest.approx(float(c + g @ w + w @ H @ w / 2))


def test_slices_are_the_losses_of_a_moved_copy():
    model, X, y = network("batch-norm")
    direction = filter_normalized_direction(model)
    batches = [(X[:3], y[:3]), (X[3:], y[3:])]
    line = landscape_1d(model, nn.CrossEntropyLoss(), batches, direction, [-0.5, 0.0, 1.0])
    w = parameters_to_vector(model.parameters()).detach().clone()
    for alpha, loss in zip(line.alphas, line.losses, strict=True):
        vector_to_parameters(w + alpha * direction, model.parameters())
        moved = nn.functional.cross_entropy(model(X), y).item()
        assert moved == pytest.approx(float(loss))
    vector_to_parameters(w, model.parameters())


def rescaled(model, alpha):
    """The same function with its first layer times alpha and its last divided by it."""
    other = mlp(4, 6, 3, activation=nn.ReLU)
    other.load_state_dict(model.state_dict())
    with torch.no_grad():
        other[0].weight *= alpha
        other[0].bias *= alpha
        other[2].weight /= alpha
    return other


def test_filter_normalized_slices_are_invariant_to_relu_rescaling():
    model = mlp(4, 6, 3, activation=nn.ReLU)
    other = rescaled(model, 10.0)
    X = torch.randn(9, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    y = torch.arange(9) % 3
    alphas, loss_fn = [-0.5, 0.0, 0.5], nn.CrossEntropyLoss()

    def slices(make):
        return [landscape_1d(m, loss_fn, (X, y), make(m), alphas).losses for m in (model, other)]

    normalized, raw = slices(filter_normalized_direction), slices(random_direction)
    torch.testing.assert_close(*normalized)
    assert not torch.allclose(*raw, rtol=1e-2)


def test_an_overflowing_loss_is_kept_as_it_came():
    model = nn.Linear(1, 1, bias=False)
    data = (torch.ones(1, 1), torch.zeros(1, 1))
    line = landscape_1d(model, nn.MSELoss(), data, torch.ones(1), [0.0, 1e30])
    assert torch.isfinite(line.losses[0]) and torch.isinf(line.losses[1])


def test_bad_directions_and_axes():
    model, X, y = network("mlp-tanh")
    d, loss_fn = random_direction(model), nn.CrossEntropyLoss()
    with pytest.raises(ValueError, match="direction must be a flat vector"):
        landscape_1d(model, loss_fn, (X, y), d[:-1], [0.0])
    with pytest.raises(TypeError, match="direction is torch.float32"):
        landscape_1d(model, loss_fn, (X, y), d.float(), [0.0])
    with pytest.raises(ValueError, match="direction_y is on meta"):
        landscape_2d(model, loss_fn, (X, y), d, d.to("meta"), [0.0], [0.0])
    for axis in ([], [[0.0]], [float("nan")]):
        with pytest.raises(ValueError, match="alphas must be"):
            landscape_1d(model, loss_fn, (X, y), d, axis)
    with pytest.raises(ValueError, match="no parameters"):
        random_direction(mlp(3, 2).requires_grad_(False))


def test_a_penalty_on_the_parameters_is_refused():
    model, X, y = network("mlp-tanh")

    def penalized(prediction, target):
        penalty = sum(p.square().sum() for p in model.parameters())
        return nn.functional.cross_entropy(prediction, target) + penalty

    with pytest.raises(ValueError, match="penalty"):
        landscape_1d(model, penalized, (X, y), random_direction(model), [0.0, 1.0])
