"""Curvature matrices of a training loss as linear operators: only products, never the matrix.

For one batch the graph of the gradient is kept between products: parameters and data stay fixed
during a Lanczos run, so each product is a single backward pass through that graph (about 1.5
gradients' time instead of 2.8), at the price of memory in proportion to the batch. The graph is
rebuilt when a parameter, a buffer, the data or a module's mode has changed. Several batches are
cheap in memory: each one's graph is built, used and dropped.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from flatlab.curvature.empirical_loss import EmpiricalLoss, LossFunction, require_finite


class CurvatureOperator:
    """A symmetric p x p matrix (1/n) sum_b n_b A_b over batches b, known by its products.

    `op @ v` takes v of shape (p,) or (p, k), in the operator's dtype and on its device, where p
    counts the parameters that require grad, flattened in the order of `model.parameters()`.
    """

    def __init__(self, model: nn.Module, loss_fn: LossFunction, data: Any):
        self.objective = EmpiricalLoss(model, loss_fn, data)
        self.shape = (self.objective.size, self.objective.size)
        self.dtype, self.device = self.objective.dtype, self.objective.device
        self._graph: _Graph | None = None
        self._snapshot: _Snapshot | None = None

    def __repr__(self) -> str:
        name, (p, _) = type(self).__name__, self.shape
        return f"{name}({p} x {p}, {self.dtype}, {self.device})"

    def __matmul__(self, v: Tensor) -> Tensor:
        self._check_vector(v)
        v = v.detach()
        if v.ndim == 1:
            return self._product(v)
        columns = [self._product(column.contiguous()) for column in v.unbind(1)]
        return torch.stack(columns, 1) if columns else torch.zeros_like(v)

    def _check_vector(self, v: Tensor) -> None:
        if not torch.is_tensor(v):
            raise TypeError(f"{self!r} multiplies tensors, not {type(v).__name__}")
        if v.ndim not in (1, 2) or len(v) != self.shape[1]:
            raise ValueError(
                f"the vector has shape {tuple(v.shape)}; the model's {self.shape[1]} parameters that "
                f"require grad ask for ({self.shape[1]},) or ({self.shape[1]}, k)"
            )
        if v.dtype != self.dtype:
            raise TypeError(f"the vector is {v.dtype}, the parameters are {self.dtype}: convert it")
        if v.device != self.device:
            raise ValueError(
                f"the vector is on {v.device}, the parameters on {self.device}: move it"
            )
        require_finite(v, "the vector")

    def _product(self, v: Tensor) -> Tensor:
        objective, parts, total, n = self.objective, self.objective.split(v), 0, 0
        with objective.undisturbed():
            if objective.single_batch:
                product = objective.join(self._retained_graph().product(parts))
                return require_finite(product, "the curvature-vector product")
            for X, y in objective.batches():
                total = total + len(X) * objective.join(self._build(X, y).product(parts))
                n += len(X)
        self._check_count(n)
        return require_finite(total / n, "the curvature-vector product")

    def _check_count(self, n: int) -> None:
        known = self.objective.n_samples
        if known is not None and n != known:
            raise ValueError(
                f"data gave {known} samples on its first pass and {n} now: it must be re-iterable "
                "and the same every time (a list, or a DataLoader)"
            )
        self.objective.n_samples = n

    def _retained_graph(self) -> _Graph:
        if self._graph is None or not self._snapshot.is_current():
            self._graph = self._snapshot = None  # free the old graph before the new one is built
            ((X, y),) = self.objective.batches()
            self._graph = self._build(X, y)
            self._snapshot = _Snapshot(self.objective)
        return self._graph

    def _build(self, X: Tensor, y: Any) -> _Graph:
        raise NotImplementedError


class Hessian(CurvatureOperator):
    """H = d^2 L / dw^2 of L(w) = (1/n) sum_i loss_fn(model_w(x_i), y_i), shape (p, p).

    `data` is (X, y) or a re-iterable of such batches, weighted by their numbers of samples;
    `loss_fn(prediction, y)` averages over samples. Products are by double backward (Pearlmutter,
    1994): Hv = d(g'v)/dw with g = dL/dw; parameters that do not enter the loss give zeros. At a
    kink of a piecewise linear activation (ReLU at 0) PyTorch's convention, slope 0, is used.

    The module's mode is taken as it is. Batch norm in train mode is defined for one batch only (its
    moments depend on all samples); several batches, or dropout in train mode, raise ValueError.
    The model, its gradients, buffers and the global random state are left as they were.

    Raises FloatingPointError if the loss, the gradient or a product holds NaN or inf; ValueError
    or TypeError for bad data, parameters (see `EmpiricalLoss`) and vectors.

    >>> model = nn.Linear(2, 1, bias=False)
    >>> X, y = torch.tensor([[1.0, 0.0], [0.0, 2.0]]), torch.zeros(2, 1)
    >>> Hessian(model, nn.MSELoss(), (X, y)) @ torch.ones(2)  # H = (2/n) X'X
    tensor([1., 4.])
    """

    def _build(self, X: Tensor, y: Any) -> _Graph:
        return _HessianGraph(self.objective, X, y)


class GaussNewton(CurvatureOperator):
    """G = (1/n) sum_i J_i' (d^2 l_i / df_i^2) J_i, shape (p, p), with J_i = d model_w(x_i) / dw.

    The Hessian without the curvature of the model itself (Schraudolph, 2002): positive
    semi-definite where the loss is convex in the prediction, equal to H where the model is linear
    in w. For cross-entropy on logits it is the Fisher matrix. Arguments, conventions and errors as
    for `Hessian`; the model must return one tensor.
    """

    def _build(self, X: Tensor, y: Any) -> _Graph:
        return _GaussNewtonGraph(self.objective, X, y)


class _Graph:
    """What one batch needs to multiply by its curvature matrix any number of times."""

    def product(self, parts: list[Tensor]) -> list[Tensor | None]:
        raise NotImplementedError


class _HessianGraph(_Graph):
    def __init__(self, objective: EmpiricalLoss, X: Tensor, y: Any):
        self.weights = [p.detach().requires_grad_() for p in objective.parameters]
        loss = require_finite(objective.forward_loss(self.weights, X, y), "the loss")
        gradient: tuple[Tensor | None, ...] = (None,) * len(self.weights)
        if loss.requires_grad:
            gradient = torch.autograd.grad(loss, self.weights, create_graph=True, allow_unused=True)
        for g in gradient:
            if g is not None:
                require_finite(g.detach(), "the gradient")
        # A gradient that does not require grad is constant: its row of H is zero.
        self.gradient = [g if g is not None and g.requires_grad else None for g in gradient]

    def product(self, parts: list[Tensor]) -> list[Tensor | None]:
        return _vector_jacobian(self.gradient, self.weights, parts)


class _GaussNewtonGraph(_Graph):
    def __init__(self, objective: EmpiricalLoss, X: Tensor, y: Any):
        self.weights = [p.detach().requires_grad_() for p in objective.parameters]
        prediction = objective.forward(self.weights, X)
        if not torch.is_tensor(prediction):
            raise TypeError(f"the model must return one tensor, not {type(prediction).__name__}")
        self.prediction = require_finite(prediction, "the prediction")
        self.output = prediction.detach().requires_grad_()
        loss = require_finite(objective.scalar_loss(self.output, y), "the loss")
        (slope,) = torch.autograd.grad(loss, self.output, create_graph=True, allow_unused=True)
        self.slope = slope if slope is not None and slope.requires_grad else None
        if slope is not None:
            require_finite(slope.detach(), "the gradient")
        if self.slope is None or not prediction.requires_grad:
            self.slope = None
            return
        # J'u is linear in u, so its derivative along u, through the same graph, is J.
        self.dual = torch.zeros_like(self.output, requires_grad=True)
        self.pullback = torch.autograd.grad(
            prediction, self.weights, self.dual, create_graph=True, allow_unused=True
        )

    def product(self, parts: list[Tensor]) -> list[Tensor | None]:
        if self.slope is None:
            return [None] * len(parts)
        (tangent,) = _vector_jacobian(self.pullback, [self.dual], parts)
        (curved,) = _vector_jacobian([self.slope], [self.output], [tangent])
        return _vector_jacobian([self.prediction], self.weights, [curved])


def _vector_jacobian(
    outputs: list[Tensor | None], inputs: list[Tensor], vectors: list[Tensor | None]
) -> list[Tensor | None]:
    """sum_j vectors_j' d outputs_j / d inputs, None standing for zeros on either side."""
    pairs = zip(outputs, vectors, strict=True)
    live = [(o, v) for o, v in pairs if o is not None and v is not None]
    if not live:
        return [None] * len(inputs)
    outs, vecs = zip(*live, strict=True)
    return list(torch.autograd.grad(outs, inputs, vecs, retain_graph=True, allow_unused=True))


class _Snapshot:
    """Tells whether anything that a retained graph depends on has changed.

    Version counters see in-place changes and `data_ptr` replaced storages, but neither sees a
    write through `.data`; the parameters are therefore also compared with a copy.
    """

    def __init__(self, objective: EmpiricalLoss):
        self.objective = objective
        self.stamp = self._stamp()
        self.copies = [p.detach().clone() for p in objective.parameters]

    def is_current(self) -> bool:
        pairs = zip(self.objective.parameters, self.copies, strict=True)
        return self.stamp == self._stamp() and all(torch.equal(p, c) for p, c in pairs)

    def _stamp(self) -> tuple:
        model = self.objective.model
        tensors = [*model.parameters(), *model.buffers()]
        tensors += [t for t in self.objective.data if torch.is_tensor(t)]
        versions = tuple((id(t), t.data_ptr(), t._version) for t in tensors)
        return versions, tuple(module.training for module in model.modules())
