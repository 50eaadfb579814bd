"""Curvature matrices of a training loss as linear operators: only products, never the matrix.

What a product needs of the forward and backward pass is kept between products, as far as it fits in
memory (see `graphs`), so that a product takes about 1.6 gradients' time instead of 2.8.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from flatlab.curvature.empirical_loss import EmpiricalLoss, LossFunction, require_finite
from flatlab.curvature.graphs import MEMORY, Graphs, forward_bytes
from flatlab.curvature.products import AutogradHessian, GaussNewtonGraph, Graph, LayeredHessian
from flatlab.curvature.selection import Selection
from flatlab.curvature.tangents import Architecture, UnsupportedLayerError


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

    def multiply_into(self, v: Tensor, out: Tensor) -> Tensor:
        """op @ v for v (p,), maybe in `out`: for loops of products, in memory that stays warm."""
        self._check_vector(v)
        return require_finite(self._product(v.detach(), out), "the curvature-vector product")

    @property
    def n_samples(self) -> int:
        """n, the number of samples in the data; counted in one pass if no product was made yet."""
        if self.objective.n_samples is None:
            with self.objective.undisturbed():
                self.objective.n_samples = sum(len(X) for X, _ in self.objective.batches())
        return self.objective.n_samples

    def gradient(self) -> Tensor:
        """dL/dw, shape (p,), from the graphs that products need anyway."""
        return require_finite(self._mean(lambda graph: graph.loss_gradient()), "the gradient")

    @contextlib.contextmanager
    def steady(self) -> Iterator[None]:
        """Inside, the caller promises that parameters, data and modes stay as they are.

        Products then skip looking for changes, about 5 % of their time on a CPU.
        """
        self._graphs.settle()
        try:
            yield
        finally:
            self._graphs.steady = False

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

    def _product(self, v: Tensor, out: Tensor | None = None) -> Tensor:
        rooms = iter([out])  # for the first graph; the others' products are added to its own
        return self._mean(lambda graph: graph.product(v, next(rooms, None)))

    def _batched_product(self, rows: Tensor) -> Tensor:
        """For rows (k, p), all at once through `torch.vmap`: what a GPU likes, and CPUs do not."""
        return self._mean(lambda graph: graph.batched_product(rows))

    def _mean(self, value: Callable[[Any], Tensor]) -> Tensor:
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
    `loss_fn(prediction, y)` averages over samples. Parameters that do not enter the loss give
    zeros. At a kink of a piecewise linear activation (ReLU at 0) PyTorch's slope, 0, is used.
    What is kept between products sees changes of parameters, buffers, data and modes; after any
    other, of `loss_fn` or of the model's attributes, call `release()`.

    `parameters` restricts w to some parameters, modules, or rows of a parameter (filters, neurons):
    see `Selection`. `memory` bounds, in bytes, the graphs that are kept between products. `method`:
    "layers" differentiates layer by layer (Pearlmutter's R-operator, 1994; see `tangents`), for
    parameters in Linear, Conv2d and norm layers; "autograd" is double backward and takes any model;
    "auto" the first where it can. `blocks` of vectors go "columns" by columns or "batched" through
    `vmap` and autograd; "auto" batches on a GPU.

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

    def __init__(
        self,
        model: nn.Module,
        loss_fn: LossFunction,
        data: Any,
        *,
        parameters: Sequence[str] | str | None = None,
        memory: float = MEMORY,
        blocks: str = "auto",
        method: str = "auto",
    ):
        if method not in ("auto", "layers", "autograd"):
            raise ValueError(f"method must be 'auto', 'layers' or 'autograd', not {method!r}")
        super().__init__(model, loss_fn, data, parameters=parameters, memory=memory, blocks=blocks)
        self._architecture, self._may_fall_back = None, method == "auto"
        if method == "layers" or (method == "auto" and not self.batched):
            falls_back = (UnsupportedLayerError,) if self._may_fall_back else ()
            with contextlib.suppress(*falls_back):
                self._architecture = Architecture(self.objective)

    def _build(self, X: Tensor, y: Any) -> Graph:
        if self._architecture is not None:
            try:
                return LayeredHessian(self, X, y)
            except UnsupportedLayerError:
                if not self._may_fall_back:
                    raise
                self._architecture = None
        return AutogradHessian(self, X, y)


class GaussNewton(CurvatureOperator):
    """G = (1/n) sum_i J_i' (d^2 l_i / df_i^2) J_i, shape (p, p), with J_i = d model_w(x_i) / dw.

    The Hessian without the curvature of the model itself (Schraudolph, 2002): positive
    semi-definite where the loss is convex in the prediction, equal to H where the model is linear
    in w. For cross-entropy on logits it is the Fisher matrix. Arguments, conventions and errors as
    for `Hessian`, without `method`; the model must return one tensor.
    """

    def _build(self, X: Tensor, y: Any) -> Graph:
        return GaussNewtonGraph(self, X, y)
