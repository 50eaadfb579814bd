"""How much the Hessian varies from sample to sample, and the non-uniformity it defines.

Sigma = (1/n) sum_i H_i^2 - H^2 = (1/n) sum_i (H_i - H)^2 is never formed, nor are n x p numbers:
with u_i = H_i v and h = Hv, a product is Sigma v = (1/n) sum_i H_i (u_i - h), two sweeps through the
network (see `tangents`). Subtracting h inside the sum is exact, because the H_i average to H, and
keeps digits that the difference of two large products would lose.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import grad, vmap

from flatlab.curvature.empirical_loss import (
    LossFunction,
    require_finite,
    uses_batch_statistics,
)
from flatlab.curvature.graphs import MEMORY
from flatlab.curvature.interface import check_count
from flatlab.curvature.lanczos import require_converged, top_eigenpairs
from flatlab.curvature.layer import Tangent
from flatlab.curvature.layers import working_bytes
from flatlab.curvature.operators import CurvatureOperator
from flatlab.curvature.sample_directions import SampleDirections
from flatlab.curvature.samples import check_samples
from flatlab.curvature.tangents import Architecture, LayeredBatch


class HessianVariance(CurvatureOperator):
    """Sigma = (1/n) sum_i H_i^2 - H^2, shape (p, p), H_i the Hessian of sample i's loss.

    Wu, Ma and E (2018), Theorem 1: with H it decides which minima SGD can stay at. Exact for
    networks whose parameters live in Linear, Conv2d and norm layers (batch norm in eval mode), with
    anything without parameters between them. For Linear layers memory grows with n (in + out), not
    with n p. Arguments, conventions and errors as for `Hessian`; `loss_fn` must be a mean over
    samples, so that sample i has a loss of its own, and no operation may mix samples.

    `method="layers"` (default) is the above; a layer it cannot handle raises UnsupportedLayerError,
    naming it. `method="vmap"` takes any model that `torch.func.vmap` takes, `chunk_size` samples at a
    time, with memory for chunk_size x p numbers and some 50 times the work.
    """

    graph_factor = 10

    def __init__(
        self,
        model: nn.Module,
        loss_fn: LossFunction,
        data: Any,
        *,
        parameters: Sequence[str] | str | None = None,
        memory: float = MEMORY,
        method: str = "layers",
        chunk_size: int = 16,
    ):
        if method not in ("layers", "vmap"):
            raise ValueError(f"method must be 'layers' or 'vmap', not {method!r}")
        check_count("chunk_size", chunk_size)
        super().__init__(
            model, loss_fn, data, parameters=parameters, memory=memory, blocks="columns"
        )
        self.method, self.chunk_size = method, chunk_size
        self.rounding_scale = 0.0  # |Hv|^2 for unit v: Sigma is what is left when H^2 cancels
        if method == "layers":
            self._architecture = Architecture(self.objective)
            if any(rows is not None for rows in self.selection.rows):
                raise ValueError(
                    "method='layers' takes whole parameters; use method='vmap' for rows"
                )

    @contextlib.contextmanager
    def steady(self) -> Iterator[None]:
        """As `CurvatureOperator.steady`; the rounding is told anew from the products inside."""
        self.rounding_scale = 0.0
        with super().steady():
            yield

    def gradient(self) -> Tensor:
        """dL/dw, shape (p,)."""
        gradient = self.objective.loss_and_gradient()[1]
        return self.selection.join(self.objective.split(gradient), gradient)

    def _product(self, v: Tensor, out: Tensor | None = None) -> Tensor:
        mean = self._mean(lambda graph: graph.mean_product(v))
        require_finite(mean, "the curvature-vector product")
        ratio = float(torch.linalg.vector_norm(mean) / torch.linalg.vector_norm(v).clamp(min=1e-30))
        self.rounding_scale = max(self.rounding_scale, ratio**2)
        shift = mean.neg_()
        return self._mean(lambda graph: graph.centered_product(v, shift))

    def _build(  # type: ignore[override]  # its graphs are asked other things than a Hessian's
        self, X: Tensor, y: Any
    ) -> LayeredVariance | MappedVariance:
        for name, module in self.objective.model.named_modules():
            if uses_batch_statistics(module):
                raise ValueError(
                    f"{type(module).__name__} '{name}' uses the statistics of each batch, so that no "
                    "sample has a Hessian of its own: call model.eval() first"
                )
        if self.method == "vmap":
            return MappedVariance(self, X, y)
        return LayeredVariance(self, X, y)

    def _bytes_per_sample(self, X: Tensor) -> float:
        if self.method == "vmap":
            return 1.0  # nothing is kept
        working = []
        handles = [
            module.register_forward_hook(lambda m, _, z: working.append(working_bytes(m, z)))
            for module in self._architecture.owners
        ]
        try:
            return super()._bytes_per_sample(X) + sum(working)
        finally:
            for handle in handles:
                handle.remove()


class LayeredVariance:
    """One batch's part of Sigma v, by tangents through its layers."""

    def __init__(self, op: HessianVariance, X: Tensor, y: Any):
        self.selection = op.selection
        self.batch = LayeredBatch(op.objective, op._architecture, X, y, per_sample=True)
        self.tangents: list[Tangent] | None = None  # along v, between the two sweeps of a product

    def mean_product(self, v: Tensor) -> Tensor:
        """(1/n) sum_i H_i v."""
        self.tangents = self._along(v)
        return self._mean(self.tangents, v)

    def centered_product(self, v: Tensor, shift: Tensor) -> Tensor:
        """(1/n) sum_i H_i (H_i v + shift)."""
        own = self.batch.per_sample(self.tangents or self._along(v))
        self.tangents = None
        return self._mean(self._along(shift, own), v)

    def _along(self, v: Tensor, own: list[SampleDirections] | None = None) -> list[Tangent]:
        return self.batch.tangents(self.batch.shared(self.selection.split(v)), own)

    def _mean(self, tangents: list[Tangent], like: Tensor) -> Tensor:
        out = torch.empty_like(like)
        self.batch.reduce(tangents, self.selection.views(out))
        return out.div_(self.batch.n)


class MappedVariance:
    """One batch's part of Sigma v, sample by sample under `vmap`; keeps nothing."""

    def __init__(self, op: HessianVariance, X: Tensor, y: Any):
        if not torch.is_tensor(y):
            raise TypeError(f"method='vmap' needs targets in a tensor, not {type(y).__name__}")
        self.op, self.objective, self.X, self.y = op, op.objective, X, y
        self.weights = tuple(p.detach() for p in self.objective.parameters)
        with torch.no_grad():
            prediction = torch.cat([self.objective.forward(None, x) for x in X.split(1024)])
            require_finite(self.objective.scalar_loss(prediction, y), "the loss")
            check_samples(self.objective, X, y, prediction)

    def mean_product(self, v: Tensor) -> Tensor:
        """(1/n) sum_i H_i v."""
        parts = self.op.selection.split(v)
        return self._mean(lambda x, y: self._products(x, y, parts, None), v)

    def centered_product(self, v: Tensor, shift: Tensor) -> Tensor:
        """(1/n) sum_i H_i (P H_i v + shift), P the projection on the selected rows."""
        parts, shift = self.op.selection.split(v), self.op.selection.split(shift)

        def chunk(x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
            own = self._products(x, y, parts, None)
            own = self.op.selection.project(own)
            own = [u + s for u, s in zip(own, shift, strict=True)]
            return self._products(x, y, own, 0)

        return self._mean(chunk, v)

    def _products(self, x: Tensor, y: Tensor, v: Sequence[Tensor], dim: int | None):
        """H_i v, or H_i v_i with dim = 0, for every sample: tensors (chunk, *shape)."""

        def loss(weights, x, y):
            prediction = self.objective.forward(weights, x.unsqueeze(0))
            return self.objective.scalar_loss(prediction, y.unsqueeze(0))

        def slope(weights, x, y, v):
            g = grad(loss)(weights, x, y)
            return sum((a * b).sum() for a, b in zip(g, v, strict=True))

        return vmap(grad(slope), in_dims=(None, 0, 0, dim))(self.weights, x, y, tuple(v))

    def _mean(self, chunk: Callable[[Tensor, Tensor], tuple[Tensor, ...]], like: Tensor) -> Tensor:
        size = self.op.chunk_size
        total: list[Any] = [0] * len(self.weights)
        for x, y in zip(self.X.split(size), self.y.split(size), strict=True):
            total = [t + part.sum(0) for t, part in zip(total, chunk(x, y), strict=True)]
        return self.op.selection.join([t / len(self.X) for t in total], like)


def non_uniformity(
    model: nn.Module,
    loss_fn: LossFunction,
    data: Any,
    tol: float = 1e-2,
    max_iter: int | None = None,
    generator: torch.Generator | None = None,
    **settings: Any,
) -> float:
    """s = sqrt(lambda_max(Sigma)), Sigma = (1/n) sum_i H_i^2 - H^2 (Wu, Ma and E, 2018, Theorem 1).

    Certified to tol * s: Lanczos on Sigma stops at a residual of (2 tol - tol^2) lambda (what that
    certifies is said at `top_eigenpairs`). `settings` (parameters, memory, method, chunk_size) and
    all errors as for `HessianVariance`; ConvergenceError if `max_iter` products did not suffice.
    """
    if not 0 < tol < 1:
        raise ValueError(f"tol must lie between 0 and 1, not {tol}")
    sigma = HessianVariance(model, loss_fn, data, **settings)
    pairs = top_eigenpairs(sigma, 1, tol=2 * tol - tol**2, max_iter=max_iter, generator=generator)
    return max(float(require_converged(pairs, "lambda_max(Sigma)").values[0]), 0.0) ** 0.5
