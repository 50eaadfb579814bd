"""Following the sharpness while a network trains, within a share of the time."""

from __future__ import annotations

import time
from typing import Any

import torch
from torch import Tensor

from flatlab.curvature.empirical_loss import LossFunction
from flatlab.curvature.interface import check_count
from flatlab.curvature.lanczos import top_eigenpairs
from flatlab.curvature.operators import Hessian
from flatlab.history import TrainingState


class track_sharpness:
    """A callback for `fit` that measures the k largest Hessian eigenvalues along the run.

    Every `every` steps, unless that would take more than `share` of the time since the run began:
    then at the first multiple of `every` that the share allows. The first measurement is always
    made, so a run shorter than 1 / share measurements spends more. `share=None` measures at every
    multiple, at steps that do not depend on the machine's speed. Each measurement is a Lanczos run
    to a residual of `tol` * |lambda| that starts from the vectors of the one before, on the loss in
    evaluation mode over `data`; `max_iter` products are its limit, and `converged` tells.

    Results, one entry a measurement: `steps`, `values` (k,) each, `residuals` (k,) each,
    `converged`, and in all `seconds` spent. Raises ValueError for every < 1, share not in (0, 1],
    and what `top_eigenpairs` and `Hessian` raise.
    """

    def __init__(
        self,
        loss_fn: LossFunction,
        data: Any,
        every: int = 1,
        *,
        k: int = 1,
        share: float | None = 0.1,
        tol: float = 1e-2,
        max_iter: int | None = None,
        generator: torch.Generator | None = None,
    ):
        check_count("every", every)
        if share is not None and not 0 < share <= 1:
            raise ValueError(f"share is a fraction of the time, in (0, 1], or None: not {share}")
        self.loss_fn, self.data, self.every, self.k, self.share = loss_fn, data, every, k, share
        self.settings: Any = {"tol": tol, "max_iter": max_iter, "generator": generator}
        self.steps: list[int] = []
        self.values: list[list[float]] = []
        self.residuals: list[list[float]] = []
        self.converged: list[bool] = []
        self.seconds = 0.0
        self._last_cost = 0.0
        self._vectors: Tensor | None = None
        self._hessian: Hessian | None = None

    @property
    def sharpness(self) -> list[float]:
        """The largest eigenvalue of each measurement."""
        return [values[0] for values in self.values]

    def __call__(self, state: TrainingState) -> None:
        if state.step % self.every == 0 and self._may_spend(state.seconds):
            began = time.perf_counter()
            self._measure(state)
            self._last_cost = time.perf_counter() - began
            self.seconds += self._last_cost

    def _may_spend(self, elapsed: float) -> bool:
        if self.share is None or not self.steps:
            return True
        return self.seconds + self._last_cost <= self.share * (elapsed + self._last_cost)

    def _measure(self, state: TrainingState) -> None:
        if self._hessian is None or self._hessian.objective.model is not state.model:
            self._hessian, self._vectors = Hessian(state.model, self.loss_fn, self.data), None
        pairs = top_eigenpairs(self._hessian, self.k, start=self._vectors, **self.settings)
        self._hessian.release()
        self._vectors = pairs.vectors
        self.steps.append(state.step)
        self.values.append(pairs.values.tolist())
        self.residuals.append(pairs.residuals.tolist())
        self.converged.append(pairs.converged)
