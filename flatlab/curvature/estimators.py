"""Stochastic estimates of a symmetric operator's trace, Frobenius norm and spectral density.

Each draws random probes z with E zz' = I and needs a few products only. An estimate without its
error is a guess, so each comes with its standard error over the probes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from flatlab.arguments import seeded
from flatlab.curvature.interface import (
    check_count,
    check_operator,
    normal_vector,
    rademacher_vector,
    steady,
)
from flatlab.curvature.krylov import LanczosProcess

_BLOCK = 8  # probes that are multiplied, and held in memory, at once


@dataclass(frozen=True)
class Estimate:
    """A stochastic estimate and the standard error of its mean (inf for a single probe)."""

    value: float
    standard_error: float


@dataclass(frozen=True)
class SpectralDensity:
    """Stochastic Lanczos quadrature of the eigenvalue density, which integrates to 1."""

    grid: Tensor  # (g,) eigenvalue axis
    density: Tensor  # (g,) nodes broadened to Gaussians of standard deviation `width`
    nodes: Tensor  # (probes, steps) Ritz values of each probe
    weights: Tensor  # (probes, steps), each row sums to 1
    width: float


@torch.no_grad()
def trace(
    op,
    probes: int = 30,
    generator: torch.Generator | None = None,
    method: str = "hutchinson",
) -> Estimate:
    """tr(A) = E z'Az over Rademacher probes z (Hutchinson, 1990), with its standard error.

    Exact for a diagonal A; else the variance of one probe is 2 (|A|_F^2 - sum_i A_ii^2).
    `method="hutch++"` (Meyer et al., 2021) spends two thirds of the `probes` products on an
    orthonormal basis Q of A's range found by a random sketch: tr(Q'AQ) is exact, and only the rest
    (I - QQ')A(I - QQ') is probed. Better where few eigenvalues dominate; memory for probes / 3
    vectors. `generator=None` means a new one seeded 0. Raises ValueError if probes < 1 (3 for
    hutch++), for another method, or if A is not square.
    """
    if method not in ("hutchinson", "hutch++"):
        raise ValueError(f"method must be 'hutchinson' or 'hutch++', not {method!r}")
    if method == "hutch++":
        return _hutch_plus_plus(op, probes, generator)
    samples = _probe(op, probes, generator, lambda Z, AZ: (Z * AZ).sum(0))
    return Estimate(*_mean_and_error(samples))


@torch.no_grad()
def frobenius_norm(op, probes: int = 30, generator: torch.Generator | None = None) -> Estimate:
    """|A|_F = sqrt(sum_ij A_ij^2) = sqrt(E |Az|^2) over Rademacher probes z.

    The square is unbiased; its root is biased downward by about error^2 / (2 value), and its
    standard error is that of the square divided by 2 |A|_F (delta method). `generator=None` means
    a new one seeded 0. Raises ValueError if probes < 1 or A is not square.
    """
    samples = _probe(op, probes, generator, lambda _, AZ: AZ.square().sum(0))
    square, error = _mean_and_error(samples)
    value = math.sqrt(square)
    return Estimate(value, error / (2 * value) if value > 0 else error)


@torch.inference_mode(False)
@torch.no_grad()
def spectral_density(
    op,
    steps: int = 100,
    probes: int = 1,
    generator: torch.Generator | None = None,
    width: float | None = None,
    grid_size: int = 1000,
) -> SpectralDensity:
    """The density (1/p) sum_j delta(lambda - lambda_j) by stochastic Lanczos quadrature.

    Each probe z (a random direction) runs `steps` steps of Lanczos to a tridiagonal T = S diag(nodes) S';
    its Gauss quadrature puts weight S[0, j]^2 on node j (Golub and Welsch, 1969; Ubaru et al., 2017),
    exact for polynomials of degree 2 steps - 1 in z'f(A)z / z'z. The weights of a probe sum to 1; a
    probe whose Krylov space ends early has zeros behind. For the picture, nodes become Gaussians of
    standard deviation `width` (default: 1 % of the spectrum's range) on `grid_size` points.

    `generator=None` means a new one seeded 0. Raises ValueError for steps, probes, grid_size < 1 or
    width <= 0, FloatingPointError for NaN or inf in a product.
    """
    check_operator(op)
    for name, value in (("steps", steps), ("probes", probes), ("grid_size", grid_size)):
        check_count(name, value)
    if width is not None and not width > 0:
        raise ValueError(f"width must be positive, not {width}")
    generator = seeded(generator, op.device)
    nodes = torch.zeros((probes, steps), dtype=torch.float64)
    weights = torch.zeros_like(nodes)
    for row in range(probes):
        process = LanczosProcess(
            op, normal_vector(op, generator), min(steps, op.shape[0]), semiorthogonal=True
        )
        with steady(op):
            while not process.full and not process.broke_down:
                process.step()
        values, S = torch.linalg.eigh(process.T[: process.size, : process.size])
        nodes[row] = values[-1]
        nodes[row, : process.size], weights[row, : process.size] = values, S[0] ** 2
    width = width or 0.01 * max(float(nodes.max() - nodes.min()), 1e-3 * float(nodes.abs().max()))
    width = width or 1e-12  # the zero operator: a spike at zero
    grid = torch.linspace(
        float(nodes.min()) - 5 * width,
        float(nodes.max()) + 5 * width,
        grid_size,
        dtype=torch.float64,
    )
    return SpectralDensity(grid, _broaden(grid, nodes, weights, width), nodes, weights, width)


def _broaden(grid: Tensor, nodes: Tensor, weights: Tensor, width: float) -> Tensor:
    z = (grid[:, None] - nodes.reshape(1, -1)) / width
    kernels = torch.exp(-(z**2) / 2) / (width * math.sqrt(2 * math.pi))
    return kernels @ weights.reshape(-1) / len(nodes)


def _hutch_plus_plus(op, products: int, generator: torch.Generator | None) -> Estimate:
    check_operator(op)
    check_count("probes", products)
    if products < 3:
        raise ValueError(f"hutch++ needs probes of at least 3, not {products}")
    generator = seeded(generator, op.device)
    rank = min(products // 3, op.shape[0])
    sketch = _products(op, _signs(op, rank, generator))
    Q, _ = torch.linalg.qr(sketch)
    captured = (Q * _products(op, Q)).sum().cpu().double()

    def deflated(Z: Tensor, _: Tensor) -> Tensor:
        Z = Z - Q @ (Q.T @ Z)
        return (Z * _products(op, Z)).sum(0)

    samples = _probe(op, products - 2 * rank, generator, deflated, multiply=False)
    value, error = _mean_and_error(samples)
    return Estimate(float(captured) + value, error)


def _probe(
    op, probes: int, generator: torch.Generator | None, statistic, multiply: bool = True
) -> Tensor:
    """statistic(Z, AZ), one number a column, over `probes` random columns."""
    check_operator(op)
    check_count("probes", probes)
    generator, samples = seeded(generator, op.device), []
    for start in range(0, probes, _BLOCK):
        Z = _signs(op, min(_BLOCK, probes - start), generator)
        samples.append(statistic(Z, _products(op, Z) if multiply else Z).cpu().double())
    samples = torch.cat(samples)
    if not torch.isfinite(samples).all():
        raise FloatingPointError("a product of the operator holds NaN or inf")
    return samples


def _signs(op, columns: int, generator: torch.Generator) -> Tensor:
    return torch.stack([rademacher_vector(op, generator) for _ in range(columns)], 1)


def _products(op, Z: Tensor) -> Tensor:
    """A Z, as a block where the operator may have a faster way for that."""
    if getattr(op, "batched", False):
        return op @ Z
    with steady(op):
        return torch.stack([op @ z for z in Z.T], 1)


def _mean_and_error(samples: Tensor) -> tuple[float, float]:
    """Mean of independent samples and its standard error, inf for one sample."""
    error = float(samples.std()) / math.sqrt(len(samples)) if len(samples) > 1 else math.inf
    return float(samples.mean()), error
