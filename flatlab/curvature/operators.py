"""Curvature matrices of a training loss as linear operators: only products, never the matrix.

The graph of the gradient is kept between products, as far as it fits in memory (see `graphs`), so
that a product is one backward pass through it: about 1.6 gradients' time instead of 2.8.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from flatlab.curvature.empirical_loss import EmpiricalLoss, LossFunction, require_finite
from flatlab.curvature.graphs import MEMORY, Graphs, forward_bytes
from flatlab.curvature.selection import Selection


class CurvatureOperator:
    """A symmetric p x p matrix (1/n) sum_b n_b A_b over batches b, known by its products.

    `op @ v` takes v of shape (p,) or (p, k), in the operator's dtype and on its device, where p
    counts the selected parameters, flattened in the order of `model.parameters()`.
    """

    graph_factor = 6  # bytes of a graph for each byte of the forward pass, rounded up

    def __init__(
        self,
        model: nn.Module,
        loss_fn: LossFunction,
        data: Any,
        *,
        parameters: Sequence[str] | str | None = None,
        memory: float = MEMORY,
        blocks: str = "auto",
    ):
        if not memory > 0:
            raise ValueError(f"memory is a number of bytes and must be positive, not {memory}")
        if blocks not in ("auto", "columns", "batched"):
            raise ValueError(f"blocks must be 'auto', 'columns' or 'batched', not {blocks!r}")
        self.selection = Selection(model, parameters)
        self.objective = EmpiricalLoss(model, loss_fn, data, self.selection.names)
        self.shape = (self.selection.size, self.selection.size)
        self.dtype, self.device = self.objective.dtype, self.objective.device
        self.batched = blocks == "batched" or (blocks == "auto" and self.device.type == "cuda")
        self._graphs = Graphs(self.objective, self._build, self._bytes_per_sample, memory)

    def __repr__(self) -> str:
        name, (p, _) = type(self).__name__, self.shape
        return f"{name}({p} x {p}, {self.dtype}, {self.device})"

    def __matmul__(self, v: Tensor) -> Tensor:
        self._check_vector(v)
        v = v.detach()
        if v.ndim == 1:
            product = self._product(v)
        elif v.shape[1] == 0:
            return torch.zeros_like(v)
        elif self.batched:
            product = self._batched_product(v.T).T
        else:
            product = torch.stack([self._product(column) for column in v.T], 1)
        return require_finite(product, "the curvature-vector product")

    def gradient(self) -> Tensor:
        """dL/dw, shape (p,), from the graphs that products need anyway."""
        like = torch.empty(self.shape[:1], dtype=self.dtype, device=self.device)
        gradient = self._mean(lambda graph: self.selection.join(graph.loss_gradient(), like))
        return require_finite(gradient, "the gradient")

    def release(self) -> None:
        """Drop the kept graphs; the next product builds them again."""
        self._graphs.release()

    def _check_vector(self, v: Tensor) -> None:
        if not torch.is_tensor(v):
            raise TypeError(f"{self!r} multiplies tensors, not {type(v).__name__}")
        if v.ndim not in (1, 2) or len(v) != self.shape[1]:
            raise ValueError(
                f"the vector has shape {tuple(v.shape)}; the model's {self.shape[1]} parameters that "
                f"take part ask for ({self.shape[1]},) or ({self.shape[1]}, k)"
            )
        if v.dtype != self.dtype:
            raise TypeError(f"the vector is {v.dtype}, the parameters are {self.dtype}: convert it")
        if v.device != self.device:
            raise ValueError(
                f"the vector is on {v.device}, the parameters on {self.device}: move it"
            )
        require_finite(v, "the vector")

    def _product(self, v: Tensor) -> Tensor:
        parts = self.selection.split(v)
        return self._mean(lambda graph: self.selection.join(graph.product(parts), v))

    def _batched_product(self, rows: Tensor) -> Tensor:
        """For rows (k, p), all at once through `torch.vmap`: what a GPU likes, and CPUs do not."""
        parts = self.selection.split(rows)
        return self._mean(lambda graph: self.selection.join(graph.product(parts, True), rows))

    def _mean(self, value: Callable[[Graph], Tensor]) -> Tensor:
        """(1/n) sum_b n_b value(b), as a running mean: nothing to scale where there is one b."""
        mean, n = None, 0
        with self.objective.undisturbed():
            for size, graph in self._graphs:
                part, n = value(graph), n + size
                mean = part if mean is None else mean.lerp_(part, size / n)
        return mean

    def _bytes_per_sample(self, X: Tensor) -> float:
        return self.graph_factor * forward_bytes(self.objective, X)

    def _build(self, X: Tensor, y: Any) -> Graph:
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

    def _build(self, X: Tensor, y: Any) -> Graph:
        return HessianGraph(self.objective, X, y)


class GaussNewton(CurvatureOperator):
    """G = (1/n) sum_i J_i' (d^2 l_i / df_i^2) J_i, shape (p, p), with J_i = d model_w(x_i) / dw.

    The Hessian without the curvature of the model itself (Schraudolph, 2002): positive
    semi-definite where the loss is convex in the prediction, equal to H where the model is linear
    in w. For cross-entropy on logits it is the Fisher matrix. Arguments, conventions and errors as
    for `Hessian`; the model must return one tensor.
    """

    def _build(self, X: Tensor, y: Any) -> Graph:
        return GaussNewtonGraph(self.objective, X, y)


class Graph:
    """What one batch needs to multiply by its curvature matrix any number of times."""

    def product(self, parts: list[Tensor], batched: bool = False) -> list[Tensor | None]:
        """The product with a direction given per parameter, with a leading k if `batched`."""
        raise NotImplementedError

    def loss_gradient(self) -> list[Tensor | None]:
        raise NotImplementedError


class HessianGraph(Graph):
    def __init__(self, objective: EmpiricalLoss, X: Tensor, y: Any):
        self.weights = [p.detach().requires_grad_() for p in objective.parameters]
        loss = require_finite(objective.forward_loss(self.weights, X, y), "the loss")
        self.gradient: Sequence[Tensor | None] = [None] * len(self.weights)
        if loss.requires_grad:
            self.gradient = torch.autograd.grad(
                loss, self.weights, create_graph=True, allow_unused=True
            )
        for g in self.gradient:
            if g is not None:
                require_finite(g.detach(), "the gradient")

    def product(self, parts: list[Tensor], batched: bool = False) -> list[Tensor | None]:
        return _vector_jacobian(self.gradient, self.weights, parts, batched)

    def loss_gradient(self) -> list[Tensor | None]:
        return [None if g is None else g.detach() for g in self.gradient]


class GaussNewtonGraph(Graph):
    def __init__(self, objective: EmpiricalLoss, X: Tensor, y: Any):
        self.weights = [p.detach().requires_grad_() for p in objective.parameters]
        prediction = objective.forward(self.weights, X)
        if not torch.is_tensor(prediction):
            raise TypeError(f"the model must return one tensor, not {type(prediction).__name__}")
        self.prediction = require_finite(prediction, "the prediction")
        self.output = prediction.detach().requires_grad_()
        loss = require_finite(objective.scalar_loss(self.output, y), "the loss")
        (self.slope,) = torch.autograd.grad(loss, self.output, create_graph=True, allow_unused=True)
        if self.slope is not None:
            require_finite(self.slope.detach(), "the gradient")
        # J'u is linear in u, so its derivative along u, through the same graph, is J.
        self.dual = torch.zeros_like(self.output, requires_grad=True)
        self.pullback: Sequence[Tensor | None] = [None] * len(self.weights)
        if prediction.requires_grad:
            self.pullback = torch.autograd.grad(
                prediction, self.weights, self.dual, create_graph=True, allow_unused=True
            )

    def product(self, parts: list[Tensor], batched: bool = False) -> list[Tensor | None]:
        tangent = _vector_jacobian(self.pullback, [self.dual], parts, batched)
        curved = _vector_jacobian([self.slope], [self.output], tangent, batched)
        return _vector_jacobian([self.prediction], self.weights, curved, batched)

    def loss_gradient(self) -> list[Tensor | None]:
        slope = None if self.slope is None else self.slope.detach()
        return _vector_jacobian([self.prediction], self.weights, [slope])


def _vector_jacobian(
    outputs: Sequence[Tensor | None],
    inputs: Sequence[Tensor],
    vectors: Sequence[Tensor | None],
    batched: bool = False,
) -> list[Tensor | None]:
    """sum_j vectors_j' d outputs_j / d inputs; None, or an output without graph, stands for zeros."""
    pairs = zip(outputs, vectors, strict=True)
    live = [(o, v) for o, v in pairs if o is not None and o.requires_grad and v is not None]
    if not live:
        return [None] * len(inputs)
    outs, vecs = zip(*live, strict=True)
    return list(
        torch.autograd.grad(
            outs, inputs, vecs, retain_graph=True, allow_unused=True, is_grads_batched=batched
        )
    )
