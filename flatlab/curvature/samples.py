"""Whether a loss is a mean over samples, and whether a network treats each by itself."""

from __future__ import annotations

import contextlib
import warnings
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from flatlab.curvature.empirical_loss import EmpiricalLoss


def spread(t: Tensor, most: int = 16) -> Tensor:
    """At most so many rows from all over the batch, at no regular distance: classes lie in blocks or in turns."""
    if len(t) <= most:
        return t
    places = torch.arange(most, dtype=torch.float64) * 0.6180339887 % 1  # the golden ratio less 1
    return t[(places * len(t)).long().to(t.device)]


def not_the_mean(objective: EmpiricalLoss, X: Tensor, y: Tensor, prediction: Any) -> str | None:
    """On which samples loss_fn is no mean over samples, in words; None if it is one or not finite.

    A few single samples tell; so do 16 parts of all of them, for what only a few samples have (a rare
    class that weighs more). A prediction without a row for each sample is made anew for each part.
    """
    predict, rows, fine = partial(objective.forward, None), X, 1e-3
    if torch.is_tensor(prediction) and prediction.shape[:1] == y.shape[:1]:
        predict, rows, fine = lambda part: part, prediction, 1e-5  # at first all losses are alike
    few = spread(rows), spread(y)
    for inputs, targets, size, rtol in ((*few, 1, fine), (rows, y, -(-len(y) // 16), 1e-3)):
        pairs = zip(inputs.split(size), targets.split(size), strict=True)
        losses = [len(t) / len(targets) * objective.scalar_loss(predict(x), t) for x, t in pairs]
        terms, whole = torch.stack(losses), objective.scalar_loss(predict(inputs), targets)
        limit = max(rtol, 16 * torch.finfo(whole.dtype).eps) * terms.abs().sum()
        if whole.isfinite() and not (terms.sum() - whole).abs() <= limit:
            return (
                f"loss_fn gives {float(whole):.6g} on {len(targets)} samples but "
                f"{float(terms.sum()):.6g} as the mean of their losses: it must average over samples "
                "(reduction='mean', no class weights), none of which may enter another's prediction"
            )
    return None


def keeps_samples_apart(objective: EmpiricalLoss, X: Tensor, prediction: Any) -> bool:
    """Whether the prediction for the first samples is the same without the others, up to rounding."""
    if not torch.is_tensor(prediction) or prediction.ndim == 0 or len(prediction) != len(X):
        return False
    few = max(min(len(X) // 3, 8), 1)
    whole, alone = prediction[:few].detach(), objective.forward(None, X[:few])
    limit = 1e-3 * float(whole.abs().max())
    return alone.shape == whole.shape and bool(((alone - whole).abs() <= limit).all())


@torch.no_grad()
def check_samples(objective: EmpiricalLoss, X: Tensor, y: Any, prediction: Any) -> None:
    """H_i is only defined if sample i has a prediction of its own, and the loss is the mean over samples."""
    if not torch.is_tensor(y):
        return
    if torch.is_tensor(prediction) and not keeps_samples_apart(objective, X, prediction):
        raise ValueError(
            "the prediction for a sample depends on the others in its batch (is a mean or a norm taken "
            "over dimension 0?), so that no sample has a Hessian of its own: let the model treat each "
            "row by itself"
        )
    wrong = not_the_mean(objective, X, y, prediction)
    if wrong is not None:
        raise ValueError(wrong)


def check_parts(objective: EmpiricalLoss, X: Tensor, y: Any) -> bool:
    """True, of the first of several batches: weighted by their sizes, they add up if loss_fn is a mean."""
    wrong = None
    # Where few or single samples do not suit the model or the loss, it is not judged.
    with torch.no_grad(), warnings.catch_warnings(), contextlib.suppress(Exception):
        warnings.simplefilter("ignore")
        few = spread(X)
        wrong = not_the_mean(objective, few, spread(y), objective.forward(None, few))
    if wrong is not None:
        raise ValueError(f"{wrong}; or pass all samples as one batch (X, y)")
    return True
