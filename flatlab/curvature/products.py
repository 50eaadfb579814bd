"""What one batch needs to multiply by its curvature matrix any number of times."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from flatlab.curvature.empirical_loss import require_finite
from flatlab.curvature.tangents import LayeredBatch
from flatlab.evaluation import one_tensor

if TYPE_CHECKING:
    from flatlab.curvature.operators import CurvatureOperator, Hessian

Parts = Sequence[Tensor | None]  # one tensor a parameter, None for zeros


class Graph:
    """One batch of an operator: products with v (p,), by double backward unless overridden."""

    def __init__(self, op: CurvatureOperator):
        self.selection, self.objective = op.selection, op.objective
        self.weights = [p.detach().requires_grad_() for p in self.objective.parameters]

    def product(self, v: Tensor, out: Tensor | None = None) -> Tensor:
        """The product, in `out` if that is given and if it saves anything."""
        return self.selection.join(self.parts(self.selection.split(v), False), v)

    def batched_product(self, rows: Tensor) -> Tensor:
        """For rows (k, p)."""
        return self.selection.join(self.parts(self.selection.split(rows), True), rows)

    def loss_gradient(self) -> Tensor:
        """The gradient of the batch's loss, (p,)."""
        like = self.weights[0].new_empty(self.selection.size)
        return self.selection.join(self.gradient_parts(), like)

    def parts(self, v: list[Tensor], batched: bool) -> Parts:
        raise NotImplementedError

    def gradient_parts(self) -> Parts:
        raise NotImplementedError


class AutogradHessian(Graph):
    """The gradient with its graph; Hv = d(g'v)/dw is one backward pass through it."""

    def __init__(self, op: CurvatureOperator, X: Tensor, y: Any):
        super().__init__(op)
        loss = require_finite(self.objective.forward_loss(self.weights, X, y), "the loss")
        self.gradient: Parts = [None] * len(self.weights)
        if loss.requires_grad:
            self.gradient = torch.autograd.grad(
                loss, self.weights, create_graph=True, allow_unused=True
            )
        for g in self.gradient_parts():
            if g is not None:
                require_finite(g, "the gradient")

    def parts(self, v: list[Tensor], batched: bool) -> Parts:
        return vector_jacobian(self.gradient, self.weights, v, batched)

    def gradient_parts(self) -> Parts:
        return [None if g is None else g.detach() for g in self.gradient]


class LayeredHessian(Graph):
    """The R-operator, layer by layer."""

    def __init__(self, op: Hessian, X: Tensor, y: Any):
        super().__init__(op)
        self.op, self.X, self.y = op, X, y
        self.batch = LayeredBatch(self.objective, op._architecture, X, y, per_sample=False)

    def product(self, v: Tensor, out: Tensor | None = None) -> Tensor:
        out = torch.empty_like(v) if out is None else out
        parts = self.selection.views(out)
        directions = self.batch.shared(self.selection.split(v))
        self.batch.reduce(self.batch.tangents(directions), parts)
        return self.selection.gather(parts, out)

    def batched_product(self, rows: Tensor) -> Tensor:
        return torch.stack([self.product(row) for row in rows])

    def loss_gradient(self) -> Tensor:
        out = self.weights[0].new_empty(self.selection.size)
        parts = self.selection.views(out)
        self.batch.gradient(parts)
        return self.selection.gather(parts, out)


class GaussNewtonGraph(Graph):
    """J' (d^2 l / df^2) J through three graphs: J's transpose twice, and the loss's gradient."""

    def __init__(self, op: CurvatureOperator, X: Tensor, y: Any):
        super().__init__(op)
        prediction = one_tensor(self.objective.forward(self.weights, X))
        self.prediction = require_finite(prediction, "the prediction")
        self.output = prediction.detach().requires_grad_()
        loss = require_finite(self.objective.scalar_loss(self.output, y), "the loss")
        self.objective.refuse_direct_use(loss)
        (self.slope,) = torch.autograd.grad(loss, self.output, create_graph=True, allow_unused=True)
        if self.slope is not None:
            require_finite(self.slope.detach(), "the gradient")
        # J'u is linear in u, so its derivative along u, through the same graph, is J.
        self.dual = torch.zeros_like(self.output, requires_grad=True)
        self.pullback: Parts = [None] * len(self.weights)
        if prediction.requires_grad:
            self.pullback = torch.autograd.grad(
                prediction, self.weights, self.dual, create_graph=True, allow_unused=True
            )

    def parts(self, v: list[Tensor], batched: bool) -> Parts:
        tangent = vector_jacobian(self.pullback, [self.dual], v, batched)
        curved = vector_jacobian([self.slope], [self.output], tangent, batched)
        return vector_jacobian([self.prediction], self.weights, curved, batched)

    def gradient_parts(self) -> Parts:
        slope = None if self.slope is None else self.slope.detach()
        return vector_jacobian([self.prediction], self.weights, [slope])


def vector_jacobian(
    outputs: Parts, inputs: Sequence[Tensor], vectors: Parts, batched: bool = False
) -> Parts:
    """sum_j vectors_j' d outputs_j / d inputs; None, or an output without graph, stands for zeros."""
    pairs = zip(outputs, vectors, strict=True)
    live = [(o, v) for o, v in pairs if o is not None and o.requires_grad and v is not None]
    if not live:
        return [None] * len(inputs)
    outs, vecs = zip(*live, strict=True)
    return torch.autograd.grad(
        outs, inputs, vecs, retain_graph=True, allow_unused=True, is_grads_batched=batched
    )
