"""Every accelerator that is here agrees with the CPU, and keeps results where they belong."""

import pytest
import torch
from dense_references import network
from torch import nn

from flatlab.curvature import (
    GaussNewton,
    Hessian,
    HessianVariance,
    epsilon_sharpness,
    landscape_1d,
    non_uniformity,
    random_direction,
    spectral_density,
    top_eigenpairs,
    trace,
)

AVAILABLE = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}


@pytest.fixture(params=["cuda", "mps"])
def device(request):
    if not AVAILABLE[request.param]:
        pytest.skip(f"no {request.param} device here")
    return request.param


@pytest.mark.parametrize("kind", ["mlp-tanh", "conv", "batch-norm", "layer-norm"])
def test_operators_and_algorithms_agree_with_the_cpu(device, kind):
    loss_fn = nn.CrossEntropyLoss()
    model, X, y = network(kind)
    model, X = model.float(), X.float()
    v = torch.randn(sum(p.numel() for p in model.parameters()), 3)
    results = {}
    for place in ("cpu", device):
        model, data = model.to(place), (X.to(place), y.to(place))
        generator = torch.Generator().manual_seed(1)
        products = [operator(model, loss_fn, data) @ v.to(place) for operator in
                    (Hessian, GaussNewton, HessianVariance)]  # fmt: skip
        H = Hessian(model, loss_fn, data)
        pairs = top_eigenpairs(H, 2, method="lanczos", generator=generator)
        assert all(t.device.type == place for t in (*products, pairs.vectors))
        density = spectral_density(H, steps=8, generator=generator)
        sharp = epsilon_sharpness(model, loss_fn, data, 0.1, generator=generator)
        line = landscape_1d(model, loss_fn, data, random_direction(model, generator), [0.0, 0.1])
        results[place] = [
            *(t.cpu() for t in products),
            pairs.values,
            density.nodes,
            line.losses,
            torch.tensor([trace(H, 4, generator).value, sharp.value]),
            torch.tensor(non_uniformity(model, loss_fn, data, generator=generator)),
        ]
    for ours, reference in zip(results[device], results["cpu"], strict=True):
        scale = float(reference.abs().max())
        torch.testing.assert_close(ours, reference, rtol=2e-3, atol=1e-3 * scale)


def test_a_default_generator_lives_on_the_device(device):
    model = nn.Linear(200, 2).to(device)
    data = (torch.randn(8, 200).to(device), torch.zeros(8, 2).to(device))
    first = top_eigenpairs(Hessian(model, nn.MSELoss(), data))
    assert torch.equal(first.values, top_eigenpairs(Hessian(model, nn.MSELoss(), data)).values)
