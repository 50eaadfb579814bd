"""The gradient of the SAM loss, with the term that training leaves out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from flatlab.curvature.empirical_loss import EmpiricalLoss, LossFunction
from flatlab.curvature.operators import Hessian
from flatlab.sam.ascent import dual_norm_ascent


@dataclass(frozen=True)
class SAMGradient:
    """Of L(w + e(w)) with respect to w; flat vectors in the order of `model.parameters()`."""

    loss: float  # L(w)
    perturbed_loss: float  # L(w + e)
    perturbation: Tensor  # e(w), (p,)
    first_order: Tensor  # the gradient of L at w + e, (p,): what training uses
    second_order: Tensor  # (de/dw)' first_order, (p,)

    @property
    def exact(self) -> Tensor:
        """first_order + second_order, (p,): the gradient of w -> L(w + e(w))."""
        return self.first_order + self.second_order


@torch.inference_mode(False)  # which turns gradients on too
def sam_gradient(
    model: nn.Module,
    loss_fn: LossFunction,
    data: Any,
    rho: float = 0.05,
    p: float = 2.0,
    adaptive: bool = False,
) -> SAMGradient:
    """Gradient of L(w + e(w)), e the `dual_norm_ascent` of L's gradient g at w, for study.

    d/dw L(w + e(w)) = v + (de/dw)'v with v the gradient at w + e. Of de/dw = (de/dg) H + (de/dw at
    fixed g) the second part is 0 unless `adaptive`, and the first costs one Hessian-vector
    product, H (de/dg)'v. For p = 2, (de/dg)'v = rho (v - n n'v) / |g| with n = g / |g|: what v has
    along g drops out. For p = 1 and inf, e (e / w if `adaptive`) is constant between its jumps: the
    first part is 0.

    `data` is (X, y) or a re-iterable of such batches, `loss_fn` a mean over samples, as for
    `flatlab.Hessian`. The model, its mode, gradients, buffers and the global random state are left
    as they were. Raises ValueError for rho < 0 and p < 1, FloatingPointError for NaN or inf, and
    what `flatlab.Hessian` raises. Source: Foret et al. (2021), section 2 and appendix C.4.
    """
    objective = EmpiricalLoss(model, loss_fn, data)
    w = objective.flat_parameters()
    dual_norm_ascent([torch.zeros_like(w)], rho, p)  # refuses rho and p before any pass
    loss, g = objective.loss_and_gradient(w)
    w_leaf, g_leaf = w.clone().requires_grad_(), g.clone().requires_grad_()
    (step,) = dual_norm_ascent([g_leaf], rho, p, [w_leaf] if adaptive else None)
    perturbed_loss, v = objective.loss_and_gradient(w + step.detach())
    second = torch.zeros_like(w)
    if step.requires_grad:
        along_g, along_w = torch.autograd.grad(step, (g_leaf, w_leaf), v, allow_unused=True)
        if along_g is not None and along_g.any():
            second += Hessian(model, loss_fn, data) @ along_g
        if along_w is not None:
            second += along_w
    return SAMGradient(float(loss), float(perturbed_loss), step.detach(), v, second)
