"""A small network, its batches and closures, which the tests of SAM share."""

import torch
from torch import nn
from torch.nn.functional import mse_loss


def network(norm=False, dtype=torch.float64):
    """3-6-2 with Tanh, maybe batch norm: the same at every call."""
    generator = torch.Generator().manual_seed(0)
    middle = [nn.BatchNorm1d(6)] if norm else []
    model = nn.Sequential(nn.Linear(3, 6), *middle, nn.Tanh(), nn.Linear(6, 2)).to(dtype)
    for w in model.parameters():
        nn.init.normal_(w, generator=generator)
    return model


def batch(seed, n=8, dtype=torch.float64):
    """X (n, 3) and y (n, 2)."""
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(n, k, generator=generator, dtype=dtype) for k in (3, 2)]


def closure_of(model, optimizer, X, y):
    def closure():
        optimizer.zero_grad()
        loss = mse_loss(model(X), y)
        loss.backward()
        return loss

    return closure


def train(model, optimizer, steps, scheduler=None):
    dtype = next(model.parameters()).dtype
    for k in steps:
        optimizer.step(closure_of(model, optimizer, *batch(k, dtype=dtype)))
        if scheduler is not None:
            scheduler.step()
    return weights(model)


def weights(model):
    return [w.detach().clone() for w in model.parameters()]


def same(left, right):
    """Equal bit for bit."""
    return all(map(torch.equal, left, right))
