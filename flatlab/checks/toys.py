"""Small losses and networks that checks draw: plain formulas whose curvature is known.

Each takes its parameters as a list of tensors and follows their dtype, so that a student may
work in float32 or float64.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence

import numpy as np
import torch

Loss = Callable[[Sequence[torch.Tensor]], torch.Tensor]


def normal(generator: torch.Generator, *shape: int) -> torch.Tensor:
    """Standard normal numbers in float64."""
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def symmetric(generator: torch.Generator, eigenvalues: Sequence[float]) -> torch.Tensor:
    """A symmetric matrix with these eigenvalues and random eigenvectors."""
    values = torch.tensor(eigenvalues, dtype=torch.float64)
    basis, _ = torch.linalg.qr(normal(generator, len(values), len(values)))
    return basis @ torch.diag(values) @ basis.T


def leaves(arrays: Sequence[np.ndarray], dtype: torch.dtype = torch.float64) -> list[torch.Tensor]:
    """Parameters as a student gets them: leaf tensors that require a gradient."""
    return [torch.tensor(a, dtype=dtype, requires_grad=True) for a in arrays]


def joined(params: Sequence[torch.Tensor]) -> torch.Tensor:
    """All parameters as one vector."""
    return torch.cat([p.reshape(-1) for p in params])


def quadratic(matrix: np.ndarray, slope: np.ndarray, offset: float = 0.0) -> Loss:
    """L(w) = offset + slope.w + w.matrix.w / 2, over all parameters joined."""

    def loss(params: Sequence[torch.Tensor]) -> torch.Tensor:
        w = joined(params)
        a = torch.as_tensor(matrix, dtype=w.dtype)
        return offset + torch.as_tensor(slope, dtype=w.dtype) @ w + (w @ a @ w) / 2

    return loss


def network(params: Sequence[torch.Tensor], x: torch.Tensor, activation: Callable) -> torch.Tensor:
    """Outputs (n, k) of a fully connected network with params [W1, b1, W2, b2, ...]."""
    for i in range(0, len(params), 2):
        x = x @ params[i].T + params[i + 1]
        if i + 2 < len(params):
            x = activation(x)
    return x


def network_loss(x: np.ndarray, y: np.ndarray, activation: Callable = torch.tanh) -> Loss:
    """Mean squared error of ``network`` on fixed data."""

    def loss(params: Sequence[torch.Tensor]) -> torch.Tensor:
        dtype = params[0].dtype
        out = network(params, torch.as_tensor(x, dtype=dtype), activation)
        return ((out - torch.as_tensor(y, dtype=dtype)) ** 2).mean()

    return loss


def layers(generator: torch.Generator, sizes: Sequence[int]) -> list[torch.Tensor]:
    """Random [W1, b1, W2, b2, ...] of a fully connected network, scaled by 1/sqrt(inputs)."""
    params = []
    for inputs, outputs in itertools.pairwise(sizes):
        params += [
            normal(generator, outputs, inputs) / math.sqrt(inputs),
            normal(generator, outputs),
        ]
    return params


def dense_hessian(loss: Loss, params: Sequence[torch.Tensor]) -> np.ndarray:
    """The full (p, p) Hessian by autograd, for the small networks above."""
    shapes = [p.shape for p in params]
    sizes = [p.numel() for p in params]

    def of_vector(w: torch.Tensor) -> torch.Tensor:
        return loss([part.reshape(s) for part, s in zip(w.split(sizes), shapes, strict=True)])

    return torch.autograd.functional.hessian(of_vector, joined(params).detach()).numpy()


def ball_maximum(matrix: np.ndarray, slope: np.ndarray, radius: float) -> float:
    """max of slope.d + d.matrix.d / 2 over ||d|| <= radius, matrix positive semidefinite.

    On the sphere the maximiser solves (mu I - matrix) d = slope with mu above the largest
    eigenvalue; its norm falls with mu, so bisection finds it. For slope 0 it is radius times
    the top eigenvector.
    """
    values, vectors = np.linalg.eigh(matrix)
    s = vectors.T @ slope
    if np.linalg.norm(s) < 1e-14:
        return 0.5 * radius**2 * float(values[-1])
    low, high = values[-1], values[-1] + np.linalg.norm(s) / radius + 1.0
    for _ in range(200):
        middle = (low + high) / 2
        too_long = np.linalg.norm(s / (middle - values + 1e-300)) > radius
        low, high = (middle, high) if too_long else (low, middle)
    d = s / (high - values + 1e-300)
    return float(s @ d + 0.5 * (values * d) @ d)
