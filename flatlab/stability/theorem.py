"""Which minima can SGD stay at? Linear stability in the mean square (Wu, Ma and E, 2018).

At a global minimum x* of f = (1/n) sum_i f_i, with every gradient zero, SGD with learning rate eta and
B samples a step, drawn without replacement, moves the offset x = x_t - x* by x <- (I - eta H_b) x with
H_b the batch's Hessian. Its second moments grow at most by the largest eigenvalue of

    M = (I - eta H)^2 + eta^2 (n - B) / (B (n - 1)) Sigma

in a step, H = mean(H_i), Sigma = mean(H_i^2) - H^2: Theorem 1. Gradient descent is B = n.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from flatlab.arguments import checked_positive, is_whole
from flatlab.curvature import HessianVariance, top_eigenpairs
from flatlab.curvature.lanczos import require_converged
from flatlab.curvature.operators import CurvatureOperator


def sharpness_bound(learning_rate: float, momentum: float = 0.0) -> float:
    """2 (1 + beta) / eta: the largest sharpness a = lambda_max(H) at which descent can stay.

    Necessary for SGD of any batch size (Wu, Ma and E, 2018, eq. 8 for beta = 0), sufficient too for
    gradient descent on a quadratic; `momentum` beta is heavy-ball momentum (Polyak, 1964), as in
    `torch.optim.SGD`, for gradient descent. Raises ValueError unless eta > 0 and 0 <= beta < 1.
    """
    checked_positive("learning_rate", learning_rate)
    if not 0 <= momentum < 1:
        raise ValueError(f"momentum is {momentum}: give a number from 0 up to, not including, 1")
    return 2 * (1 + momentum) / learning_rate


def non_uniformity_bound(learning_rate: float, batch_size: int, n: int) -> float:
    """sqrt(B (n - 1) / (n - B)) / eta: the largest non-uniformity s at which SGD can stay.

    s = sqrt(lambda_max(Sigma)). Necessary for lambda_max(M) <= 1, the condition of Theorem 1 (Wu, Ma
    and E, 2018, eq. 8), not sufficient for it. That condition itself is exact in one dimension and
    sufficient in more, where noise may carry offsets into directions that shrink. Infinite for
    B = n, gradient descent, which sees no difference between samples. Raises ValueError unless
    eta > 0, n >= 2 and 1 <= B <= n.
    """
    checked_positive("learning_rate", learning_rate)
    share = _noise(batch_size, n)
    return math.inf if share == 0 else 1 / (learning_rate * math.sqrt(share))


def stability_matrix(hessians: Tensor, learning_rate: float, batch_size: int) -> Tensor:
    """M = (I - eta H)^2 + eta^2 (n - B) / (B (n - 1)) Sigma, shape (d, d), float64.

    `hessians` (n, d, d): each sample's Hessian at the minimum. Raises ValueError for a bad learning
    rate or batch size, and for Hessians of another shape, not symmetric, not finite or fewer than 2.
    """
    checked_positive("learning_rate", learning_rate)
    share = _noise(batch_size, len(_checked_hessians(hessians)))
    each = hessians.detach().to("cpu", torch.float64)
    mean = each.mean(0)
    sigma = torch.einsum("nij,njk->ik", each - mean, each - mean) / len(each)
    step = torch.eye(len(mean), dtype=torch.float64) - learning_rate * mean
    return step @ step + learning_rate**2 * share * sigma


def mean_square_multiplier(
    hessians: Tensor | tuple[Any, Any],
    learning_rate: float,
    batch_size: int,
    *,
    tol: float = 1e-3,
    generator: torch.Generator | None = None,
) -> float:
    """lambda_max(M) of Theorem 1: no offset's E|x|^2 grows by more in one step of SGD.

    `hessians` is a tensor (n, d, d), or a pair (H, Sigma) of operators on the same data, such as
    `(Hessian(...), HessianVariance(...))`: then M is never formed, and Lanczos certifies the value to
    tol. H may be a `GaussNewton`, which is the Hessian at a global minimum; away from one H has
    negative eigenvalues, and each of them alone makes the multiplier exceed 1.

    In one dimension E x^2 grows by this factor exactly: (1 - eta a)^2 + eta^2 (n-B)/(B(n-1)) s^2.
    Raises as `stability_matrix`; ConvergenceError if Lanczos ended before tol.
    """
    if torch.is_tensor(hessians):
        matrix = stability_matrix(hessians, learning_rate, batch_size)
        return float(torch.linalg.eigvalsh(matrix)[-1])
    checked_positive("learning_rate", learning_rate)
    operator = StabilityOperator(*_checked_pair(hessians), learning_rate, batch_size)
    # Nearly all of M's eigenvalues are 1, and from a random start Lanczos may stop there: the
    # residual is small already. The few above 1 lie along the largest ones of H and Sigma.
    # So does negative curvature; 40 products, since where there is none its top is a cluster at 0.
    ends = ((hessians[0], None), (hessians[1], None), (_Negative(hessians[0]), 40))
    tops = [
        top_eigenpairs(op, 1, tol=0.1, max_iter=most, generator=generator).vectors
        for op, most in ends
    ]
    start = torch.linalg.qr(torch.cat(tops, dim=1))[0]  # signs are arbitrary: a sum could cancel
    pairs = top_eigenpairs(operator, 1, tol=tol, generator=generator, start=start)
    return float(require_converged(pairs, "lambda_max(M)").values[0])


def is_linearly_stable(
    hessians: Tensor | tuple[Any, Any],
    learning_rate: float,
    batch_size: int,
    *,
    tol: float | None = None,
    generator: torch.Generator | None = None,
) -> bool:
    """Whether lambda_max(M) <= 1: SGD that starts near the minimum stays near it in the mean square.

    Wu, Ma and E (2018), Theorem 1: sufficient, and in one dimension necessary too. Arguments and
    errors as for `mean_square_multiplier`. Values up to 1 + tol count as 1; the default is 1e-9 for
    explicit Hessians in float64, 64 times the dtype's epsilon and at most 1e-3 in others, 1e-3 for
    operators. (Flat
    directions, of which a network with more parameters than data has many, have multiplier 1, up to
    the rounding of the Hessians.)
    """
    if tol is None:
        tol = 1e-3
        if torch.is_tensor(hessians):
            eps = torch.finfo(hessians.dtype).eps if hessians.is_floating_point() else 0.0
            tol = max(1e-9, min(64 * eps, tol))
    if not 0 <= tol < 1:
        raise ValueError(f"tol must lie between 0 and 1, not {tol}")
    settings = {}
    if not torch.is_tensor(hessians):  # no finer than Lanczos can certify in the operators' dtype
        finest = 64 * torch.finfo(_checked_pair(hessians)[0].dtype).eps
        settings = {"tol": max(tol, 1e-6, finest)}
    value = mean_square_multiplier(
        hessians, learning_rate, batch_size, generator=generator, **settings
    )
    return value <= 1 + tol


class StabilityOperator:
    """M as an operator: two products with H and, for B < n, one with Sigma for each of its own."""

    def __init__(self, hessian: Any, variance: Any, learning_rate: float, batch_size: int):
        self.hessian, self.variance, self.learning_rate = hessian, variance, learning_rate
        self.noise = learning_rate**2 * _noise(batch_size, variance.n_samples)
        self.shape, self.dtype, self.device = hessian.shape, hessian.dtype, hessian.device

    def __matmul__(self, v: Tensor) -> Tensor:
        step = v - self.learning_rate * (self.hessian @ v)
        product = step - self.learning_rate * (self.hessian @ step)
        return product + self.noise * (self.variance @ v) if self.noise else product


def _noise(batch_size: int, n: int) -> float:
    """(n - B) / (B (n - 1)): the variance of a batch mean, without replacement, over one sample's."""
    for name, value, least in (("n", n, 2), ("batch_size", batch_size, 1)):
        if not is_whole(value, least):
            raise ValueError(f"{name} is {value!r}: give a whole number of at least {least}")
    if batch_size > n:
        raise ValueError(
            f"batch_size is {batch_size}, and there are only n = {n} samples to draw from: "
            "gradient descent is batch_size = n"
        )
    n, batch_size = int(n), int(batch_size)  # NumPy's would overflow
    return (n - batch_size) / (batch_size * (n - 1))


def _checked_hessians(hessians: Tensor) -> Tensor:
    shape = tuple(hessians.shape)
    if len(shape) != 3 or shape[1] != shape[2] or shape[1] == 0:
        raise ValueError(f"hessians has shape {shape}: give (n, d, d), one matrix for each sample")
    if shape[0] < 2:
        raise ValueError("hessians holds fewer than 2 samples: with n = 1 there is no SGD")
    if not torch.isfinite(hessians).all():
        raise ValueError("hessians holds NaN or inf")
    scale = hessians.abs().amax(dim=(1, 2), keepdim=True)
    skew = (hessians - hessians.transpose(1, 2)).abs()
    if bool((skew > 1e-4 * scale).any()):
        worst = int(skew.amax(dim=(1, 2)).argmax())
        raise ValueError(
            f"hessians[{worst}] is not symmetric (off by {float(skew[worst].max()):.2g}): a Hessian is; "
            "symmetrize it as (A + A.T) / 2 if this is rounding"
        )
    return hessians


class _Negative:
    """-A as an operator."""

    def __init__(self, op: Any):
        self.op, self.shape, self.dtype, self.device = op, op.shape, op.dtype, op.device

    def __matmul__(self, v: Tensor) -> Tensor:
        return -(self.op @ v)


def _checked_pair(pair: Any) -> tuple[Any, Any]:
    if not isinstance(pair, (tuple, list)) or len(pair) != 2:
        raise TypeError(
            "hessians must be a tensor (n, d, d) or a pair of operators (Hessian, HessianVariance), "
            f"not {type(pair).__name__}"
        )
    hessian, variance = pair
    if tuple(hessian.shape) != tuple(variance.shape):
        raise ValueError(
            f"H has shape {tuple(hessian.shape)} and Sigma {tuple(variance.shape)}: build both from "
            "the same model, data and parameters"
        )
    wrong = isinstance(variance, CurvatureOperator) and not isinstance(variance, HessianVariance)
    if wrong or isinstance(hessian, HessianVariance) or not hasattr(variance, "n_samples"):
        raise TypeError(
            "the pair must be (Hessian or GaussNewton, HessianVariance), in this order, not "
            f"({type(hessian).__name__}, {type(variance).__name__})"
        )
    n = getattr(hessian, "n_samples", variance.n_samples)
    if n != variance.n_samples:
        raise ValueError(
            f"H has {n} samples and Sigma {variance.n_samples}: build both from the same data"
        )
    return hessian, variance
