"""One number for how sharp a minimum is: its largest curvature, or its worst neighbor.

Both leave the model untouched: perturbed losses are evaluated on copies of the parameters.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from flatlab.arguments import is_whole, seeded
from flatlab.curvature.empirical_loss import EmpiricalLoss, LossFunction
from flatlab.curvature.interface import check_count, normal_vector
from flatlab.curvature.lanczos import require_converged, top_eigenpairs
from flatlab.curvature.operators import Hessian


def sharpness(
    model: nn.Module,
    loss_fn: LossFunction,
    data: Any,
    tol: float = 1e-3,
    max_iter: int | None = None,
    generator: torch.Generator | None = None,
) -> float:
    """lambda_max of the Hessian of L(w) = (1/n) sum_i loss_fn(model_w(x_i), y_i), algebraic.

    Lanczos to a residual of tol * |lambda| (see `top_eigenpairs` for what that certifies; its
    arguments and errors are the same, and those of `Hessian`). Raises ConvergenceError if
    `max_iter` products did not suffice.
    """
    pairs = top_eigenpairs(
        Hessian(model, loss_fn, data), 1, tol=tol, max_iter=max_iter, generator=generator
    )
    return float(require_converged(pairs, "lambda_max").values[0])


@dataclass(frozen=True)
class EpsilonSharpness:
    """The largest relative rise of the loss that was found within a ball around w."""

    value: float  # (L(w + d) - L(w)) / (1 + L(w)), at least 0
    converged: bool  # the best ascent ended at a stationary point of the ball
    loss: float  # L(w)
    perturbation: Tensor  # (p,) the maximizing d
    perturbation_norm: float  # |d|, at most epsilon up to rounding
    start_values: dict[str, float] = field(default_factory=dict)  # value reached from each start
    gradients: int = 0  # gradient evaluations


@torch.inference_mode(False)
def epsilon_sharpness(
    model: nn.Module,
    loss_fn: LossFunction,
    data: Any,
    epsilon: float,
    steps: int = 50,
    tol: float = 1e-3,
    random_starts: int = 1,
    generator: torch.Generator | None = None,
) -> EpsilonSharpness:
    """max over |w' - w| <= epsilon of (L(w') - L(w)) / (1 + L(w)) (after Keskar et al., 2017).

    Projected gradient ascent in the l2 ball of all parameters that require grad, from the gradient's
    direction, both signs of the Hessian's top eigenvector, and `random_starts` random points of
    the sphere; a step that does not raise the loss is shortened, so that no ascent ever loses what
    it has. An ascent has converged where the first-order gain still on offer in the ball,
    epsilon |g| - g'd, is at most tol times the rise so far, or where a step's gain would drown in
    the loss's rounding. The problem is not concave: the value is a lower bound of the maximum, the
    best of all starts.

    At a minimum and for small epsilon it is about epsilon^2 lambda_max / (2 (1 + L)).
    `generator=None` means a new one seeded 0. Raises ValueError if epsilon <= 0, steps < 1,
    random_starts is no whole number of at least 0 or L <= -1, FloatingPointError if a loss or gradient in the
    ball is not finite.
    """
    if not 0 < epsilon < float("inf"):
        raise ValueError(f"epsilon is the radius of a ball and must be positive, not {epsilon}")
    check_count("steps", steps)
    if not is_whole(random_starts, 0):
        raise ValueError(f"random_starts must be a whole number of at least 0, not {random_starts}")
    hessian = Hessian(model, loss_fn, data)
    ball = _Ball(hessian.objective, epsilon)
    if ball.loss <= -1:
        raise ValueError(
            f"the loss is {ball.loss:.6g}: a rise relative to 1 + L needs a loss above -1; "
            "add a constant to loss_fn"
        )
    starts = _starting_directions(hessian, ball, random_starts, seeded(generator, hessian.device))
    del hessian
    best, rises = _Ascent(torch.zeros_like(ball.center), 0.0, ball.is_stationary_center(tol)), {}
    for name, direction in starts.items():
        ascent = ball.ascend(direction, steps, tol)
        rises[name] = ascent.rise
        if ascent.rise > best.rise:
            best = ascent
    scale = 1 + ball.loss
    return EpsilonSharpness(
        value=best.rise / scale,
        converged=best.converged,
        loss=ball.loss,
        perturbation=best.perturbation,
        perturbation_norm=float(torch.linalg.vector_norm(best.perturbation)),
        start_values={name: rise / scale for name, rise in rises.items()},
        gradients=ball.gradients,
    )


@dataclass(frozen=True)
class _Ascent:
    perturbation: Tensor
    rise: float  # L(w + d) - L(w)
    converged: bool


class _Ball:
    """L on the ball of radius epsilon around the model's parameters w."""

    def __init__(self, objective: EmpiricalLoss, epsilon: float):
        self.objective, self.epsilon = objective, epsilon
        self.center = objective.flat_parameters()
        self.gradients = 0
        self.loss, self.gradient = 0.0, None
        self.loss, self.gradient = self.evaluate(torch.zeros_like(self.center))

    def evaluate(self, d: Tensor) -> tuple[float, Tensor]:
        """L(w + d) - (L(w), once known), and the gradient there."""
        self.gradients += 1
        loss, gradient = self.objective.loss_and_gradient(self.center + d)
        return float(loss) - self.loss, gradient

    def project(self, d: Tensor) -> Tensor:
        return d * min(1.0, self.epsilon / max(float(torch.linalg.vector_norm(d)), 1e-300))

    def is_stationary_center(self, tol: float) -> bool:
        return self.is_stationary(torch.zeros_like(self.center), 0.0, self.gradient, tol)

    def is_stationary(self, d: Tensor, rise: float, g: Tensor, tol: float) -> bool:
        gain = self.epsilon * float(torch.linalg.vector_norm(g)) - float(torch.dot(g, d))
        return gain <= max(tol * rise, self.rounding(rise))

    def rounding(self, rise: float) -> float:
        return 8 * torch.finfo(self.center.dtype).eps * (abs(self.loss) + abs(rise))

    def ascend(self, direction: Tensor, steps: int, tol: float) -> _Ascent:
        d = self.project(direction * (self.epsilon / torch.linalg.vector_norm(direction)))
        rise, g = self.evaluate(d)
        length = self.epsilon  # of the step before projection
        for _ in range(steps):
            if self.is_stationary(d, rise, g, tol):
                return _Ascent(d, rise, True)
            unit = g / torch.linalg.vector_norm(g)
            candidate = self.project(d + length * unit)
            new_rise, new_g = self.evaluate(candidate)
            if new_rise > rise:
                d, rise, g, length = candidate, new_rise, new_g, 4 * length
            elif float(torch.dot(g, candidate - d)) <= self.rounding(rise):
                return _Ascent(d, rise, True)
            else:
                length /= 4
        return _Ascent(d, rise, self.is_stationary(d, rise, g, tol))


def _starting_directions(
    hessian: Hessian, ball: _Ball, random_starts: int, generator: torch.Generator
) -> dict[str, Tensor]:
    starts = {}
    if torch.linalg.vector_norm(ball.gradient) > 0:
        starts["gradient"] = ball.gradient
    # A start needs no certificate: a rough eigenvector does.
    top = top_eigenpairs(hessian, 1, tol=1e-2, max_iter=40, generator=generator).vectors[:, 0]
    starts["+ top eigenvector"], starts["- top eigenvector"] = top, -top
    for i in range(random_starts):
        starts[f"random {i + 1}"] = normal_vector(hessian, generator)
    return starts
