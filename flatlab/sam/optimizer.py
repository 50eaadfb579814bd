"""SAM around any optimizer of PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch import distributed as dist
from torch.amp import GradScaler
from torch.nn.modules.batchnorm import _NormBase
from torch.optim import Optimizer

from flatlab.arguments import checked_not_negative, checked_positive
from flatlab.sam.ascent import checked_p
from flatlab.sam.base import OWN, checked_base, note
from flatlab.sam.perturbation import Perturbation
from flatlab.sam.replicas import (
    average_gradients,
    gradients_stay_local,
    is_data_parallel,
    share_overflow,
)


def _of_base(name: str) -> Any:
    """An attribute of the base, looked up each time, since its own load_state_dict replaces it."""

    def get(sam: Any) -> Any:
        own = vars(sam)  # Optimizer.__init__ asks before there is a base
        return getattr(own["base_optimizer"], name) if "base_optimizer" in own else own[name]

    def put(sam: Any, value: Any) -> None:
        own = vars(sam)
        if "base_optimizer" in own:
            setattr(own["base_optimizer"], name, value)
        else:
            own[name] = value

    return property(get, put)


class SAM(Optimizer):
    """Sharpness-aware minimization: the base optimizer's step with the gradient of L at w + e.

    e = argmax of e'g over |e|_p <= rho, g the gradient at w, the norm over all parameters together:
    see `dual_norm_ascent`. With `adaptive`, |e / w|_p <= rho (ASAM). The parameters are back at w, bit
    for bit, before the base optimizer steps, and also when the closure raises.

        optimizer = SAM(model.parameters(), torch.optim.SGD, rho=0.05, lr=0.1, momentum=0.9)

        def closure():                       # called twice, at w and at w + e
            optimizer.zero_grad()
            loss = loss_fn(model(X), y)
            loss.backward()
            return loss

        loss = optimizer.step(closure)       # the loss at w

    or in two steps, where gradients may be accumulated over several backward passes before each:

        loss_fn(model(X), y).backward()
        optimizer.first_step(zero_grad=True)
        loss_fn(model(X), y).backward()
        optimizer.second_step(zero_grad=True)

    Args:
        params: parameters or groups of them. A group may have a `rho` and `adaptive` of its own, and
            the base optimizer's options: e is that of the joint ball, scaled by the group's rho.
        base_optimizer: a class such as `torch.optim.SGD`, to which `base_options` go, or an instance
            over the same parameters, whose groups are then used (and may hold a `rho`).
        rho: radius, >= 0, in the parameters' units (without units where adaptive). 0 is the base
            optimizer alone, at twice the price.
        p: from 1 to math.inf, one for all groups.
        model: give it where it has batch norm: running statistics are then updated by the pass at w
            alone. Give it as the DistributedDataParallel module where it is one: `step` then keeps
            the first pass's gradients on their replica, which `norm` rests on.
        norm: "replica": each replica's e from the gradients it has (its own part of the batch:
            m-sharpness); "global": from their mean over the replicas, in `process_group`, so that e
            is the same everywhere.
        max_norm: clip the 2-norm of the gradient that the base optimizer gets.

    With automatic mixed precision pass the `GradScaler` to `step` (or to both steps) and call its
    `update` afterwards: gradients are unscaled before the norm is taken, and the step is skipped where
    those of either pass overflowed.

    `state` and `param_groups` are the base optimizer's, so schedulers work on either, and a state
    dict resumes both. Sparse gradients are moved where they have entries; parameters without a
    gradient stay. A group that maximizes is perturbed downhill. Extra memory: one copy of the
    parameters, kept between steps (for p other than 2, and in float16, also a few tensors as large
    as the largest parameter, for a moment).

    Raises ValueError or TypeError for rho < 0, p < 1, complex parameters, a base optimizer that is
    neither class nor instance, has other parameters or needs a closure itself; RuntimeError for
    steps out of order or no gradient at all; FloatingPointError, with the parameters at w, if the
    gradient at w holds NaN or inf and there is no GradScaler. That at w + e goes to the base
    optimizer as it is, as any gradient would.

    Sources: Foret et al., 2021, "Sharpness-aware minimization for efficiently improving
    generalization", eq. 2, 3 and algorithm 1; Kwon et al., 2021, "ASAM", eq. 6.
    """

    needs_closure = True  # `flatlab.fit` asks
    param_groups, state = _of_base("param_groups"), _of_base("state")

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        base_optimizer: type[Optimizer] | Callable[..., Optimizer] | Optimizer,
        rho: float = 0.05,
        p: float = 2.0,
        adaptive: bool = False,
        *,
        model: nn.Module | None = None,
        norm: str = "replica",
        process_group: dist.ProcessGroup | None = None,
        max_norm: float | None = None,
        **base_options: Any,
    ):
        checked_not_negative("rho", rho)
        if norm not in ("replica", "global"):
            raise ValueError(f"norm is {norm!r}: give 'replica' or 'global'")
        if max_norm is not None:
            checked_positive("max_norm", max_norm)
        if model is not None and not isinstance(model, nn.Module):
            raise TypeError(f"model must be a torch module, not {type(model).__name__}")
        own = {"rho": rho, "p": checked_p(p), "adaptive": adaptive}
        super().__init__(params, own)
        self.base_optimizer = checked_base(base_optimizer, self.param_groups, base_options)
        if isinstance(self.base_optimizer, SAM):
            raise TypeError("the base of SAM cannot be SAM: give the optimizer that it is around")
        self.defaults = self.base_optimizer.defaults | own
        self.model, self.norm, self.process_group = model, norm, process_group
        self.max_norm = max_norm
        self._perturbation = Perturbation()

    def step(  # type: ignore[override]  # the loss as a tensor
        self, closure: Callable[[], Tensor] | None = None, *, grad_scaler: GradScaler | None = None
    ) -> Tensor:
        """Both steps; returns what `closure` gave at w.

        `closure` clears the gradients, computes the loss, calls backward (on the scaled loss, with a
        GradScaler) and returns the loss. In its second call it must use the same batch.
        """
        if closure is None:
            raise ValueError(
                "SAM.step needs a closure that clears the gradients, computes the loss, calls "
                "backward and returns the loss; or call first_step and second_step yourself"
            )
        self._require(perturbed=False)
        with torch.enable_grad(), gradients_stay_local(self.model):
            loss = closure()
        if self.first_step(zero_grad=True, grad_scaler=grad_scaler):
            try:
                with torch.enable_grad():
                    closure()
            except BaseException:
                self.restore()
                raise
            self.second_step(grad_scaler=grad_scaler)
        return loss

    @torch.no_grad()
    def first_step(self, zero_grad: bool = False, *, grad_scaler: GradScaler | None = None) -> bool:
        """Move the parameters from w to w + e, by the gradients that stand in `.grad`.

        False, and nothing moved, if `grad_scaler` found an overflow: then go on to its `update`.
        """
        self._require(perturbed=False)
        groups = [g for g in self.param_groups for w in g["params"] if w.requires_grad]
        parameters = [w for g in self.param_groups for w in g["params"] if w.requires_grad]
        p = self._checked_settings()
        if self.norm == "global":
            average_gradients(parameters, self.process_group)
        pairs = [(w, g) for w, g in zip(parameters, groups, strict=True) if w.grad is not None]
        if not pairs:
            raise RuntimeError(
                "no parameter has a gradient: call backward on the loss, in the closure or before "
                "first_step, and look whether the optimizer holds the parameters of this model"
            )
        parameters, groups = map(list, zip(*pairs, strict=True))
        scaled = grad_scaler is not None and grad_scaler.is_enabled()
        if scaled:
            if self.norm == "replica" and (
                is_data_parallel(self.model) or self.process_group is not None
            ):
                share_overflow(parameters, self.process_group)
            grad_scaler.unscale_(self)
        try:
            self._perturbation.apply(parameters, groups, p, self._running_statistics())
        except FloatingPointError as error:
            if scaled:
                return False
            raise FloatingPointError(
                f"{error}; nothing was changed. Look for NaN in the data or a learning rate that "
                "is too large; with mixed precision pass the GradScaler as grad_scaler"
            ) from None
        if zero_grad:
            self.zero_grad()
        return True

    @torch.no_grad()
    def second_step(
        self, zero_grad: bool = False, *, grad_scaler: GradScaler | None = None
    ) -> None:
        """Back to w, then the base optimizer's step by the gradients that stand in `.grad`."""
        self._require(perturbed=True)
        self.restore()
        scaled = grad_scaler is not None and grad_scaler.is_enabled()
        if self.max_norm is not None:
            if scaled:
                grad_scaler.unscale_(self.base_optimizer)
            parameters = [w for g in self.param_groups for w in g["params"]]
            nn.utils.clip_grad_norm_(parameters, self.max_norm)
        if scaled:
            grad_scaler.step(self.base_optimizer)
        else:
            self.base_optimizer.step()
        self._opt_called = True  # torch's schedulers ask, and know of `step` alone
        if zero_grad:
            self.zero_grad()

    def restore(self) -> None:
        """Back to w, bit for bit, without a step: to give up between the two steps."""
        self._perturbation.undo()

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group to this optimizer and to its base: see `torch.optim.Optimizer`."""
        if "base_optimizer" not in self.__dict__:  # called by Optimizer.__init__
            super().add_param_group(param_group)
            _refuse_complex(self.param_groups[-1])
            return
        own = {key: self.defaults[key] for key in OWN}
        self.base_optimizer.add_param_group(own | param_group)
        note(self.base_optimizer, len(self.param_groups) - 1, own.keys() - param_group.keys())
        _refuse_complex(self.param_groups[-1])

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load one of SAM, or of the base optimizer alone (rho, p and adaptive then stay)."""
        own = [{k: group.get(k, self.defaults[k]) for k in OWN} for group in self.param_groups]
        self.base_optimizer.load_state_dict(state_dict)
        for group, settings in zip(self.base_optimizer.param_groups, own, strict=True):
            for key, value in settings.items():
                group.setdefault(key, value)

    def __getstate__(self) -> dict[str, Any]:
        names = ("base_optimizer", "defaults", "model", "norm", "process_group", "max_norm")
        return {name: getattr(self, name) for name in (*names, "_perturbation")}

    def _require(self, perturbed: bool) -> None:
        if self._perturbation.active != perturbed:
            raise RuntimeError(
                "the parameters are not perturbed: call first_step before second_step"
                if perturbed
                else "the parameters are perturbed already: finish with second_step or restore"
            )

    def _checked_settings(self) -> float:
        """p, after a look at what schedulers and callers may have set in the groups."""
        for group in self.param_groups:
            for key in OWN:  # a state dict without them may have been loaded into the base itself
                group.setdefault(key, self.defaults[key])
            checked_not_negative("rho", group["rho"])
        exponents = {checked_p(group["p"]) for group in self.param_groups}
        if len(exponents) > 1:
            raise ValueError(
                f"groups have different p, {sorted(exponents)}: the norm is that of all parameters "
                "together, so p must be one; rho may differ"
            )
        return exponents.pop()

    def _running_statistics(self) -> list[Tensor]:
        modules = () if self.model is None else self.model.modules()
        norms = [m for m in modules if isinstance(m, _NormBase) and m.training]
        return [buffer for m in norms for buffer in m.buffers(recurse=False)]


def _refuse_complex(group: dict[str, Any]) -> None:
    if any(w.is_complex() for w in group["params"]):
        raise ValueError(
            "a parameter is complex: SAM's norms are those of real numbers; keep the parameter as "
            "torch.view_as_real and make it complex in the model"
        )
