"""The training loss as a function of one flat parameter vector.

Everything in this package asks the same three things of a model: its loss, its gradient, and a
differentiable forward pass. They are evaluated through `torch.func.functional_call` on aliases of
the parameters and on copies of the buffers, so that a caller's model, its `.grad`s, its running
statistics and its mode cannot be changed, not even by an exception half-way. The global random
state is put back as well, and a loader's own generator: iterating a `DataLoader` alone advances it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from flatlab.curvature.samples import check_parts
from flatlab.curvature.weight_norm import PlainWeightNorm, is_weight_normed
from flatlab.isolation import RandomStates, call_with, generators_of, no_second_forward

LossFunction = Callable[[Any, Any], Tensor]
_DROPOUT = (nn.modules.dropout._DropoutNd,)
_BATCH_STATISTICS = (nn.modules.batchnorm._BatchNorm,)


class EmpiricalLoss:
    """L(w) = sum_b (n_b / n) loss_fn(model_w(X_b), y_b), a function of one flat vector w of shape (p,).

    w holds the parameters that require grad when this object is made (or of those the ones in
    `names`), in the order of `model.parameters()`; the others stay constants. `data` is `(X, y)`, or a re-iterable of such
    batches (a list, a `DataLoader`), each weighted by its number of samples n_b = len(X_b).
    `loss_fn` must average over samples; of several batches a few samples of the first are asked. The
    module's mode is taken as it is. What `torch.compile` made runs uncompiled.

    Raises ValueError or TypeError: no parameter requires grad; parameters of mixed or half
    precision or on several devices; a one-shot iterator; an empty batch; a batch that is no pair;
    several batches under a loss that is seen to be no mean.
    """

    def __init__(
        self,
        model: nn.Module,
        loss_fn: LossFunction,
        data: Any,
        names: Sequence[str] | None = None,
    ):
        self.model, self.loss_fn = model, loss_fn
        named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
        named = [(name, p) for name, p in named if names is None or name in names]
        _check_parameters(named)
        self.names = [name for name, _ in named]
        self.sizes = [p.numel() for _, p in named]
        self.size = sum(self.sizes)
        self.dtype, self.device = named[0][1].dtype, named[0][1].device
        self.single_batch = _is_batch(data)
        _check_data(data)
        self.data = data
        self.n_samples: int | None = None
        self._start = RandomStates(self.device, generators_of(data))
        self._adds_up = False  # whether batches add up to the whole, once there are several
        self._calls: Any = PlainWeightNorm() if is_weight_normed(model) else nullcontext()

    @property
    def parameters(self) -> list[Tensor]:
        """Those in `names`, as the model has them now: they may have been replaced."""
        return [self.model.get_parameter(name) for name in self.names]

    # --- flat vectors -------------------------------------------------------------------------
    def flat_parameters(self) -> Tensor:
        """A copy of w, shape (p,)."""
        return torch.cat([p.detach().reshape(-1) for p in self.parameters])

    def split(self, v: Tensor) -> list[Tensor]:
        """Views of v (p,) in the parameters' shapes."""
        pieces = v.split(self.sizes)
        return [piece.view(p.shape) for piece, p in zip(pieces, self.parameters, strict=True)]

    def join(self, tensors: Sequence[Tensor | None]) -> Tensor:
        """The inverse of `split`; None (a parameter that does not enter) counts as zeros."""
        pairs = zip(tensors, self.parameters, strict=True)
        return torch.cat([(torch.zeros_like(p) if t is None else t).reshape(-1) for t, p in pairs])

    # --- evaluations --------------------------------------------------------------------------
    def batches(self) -> Iterator[tuple[Tensor, Any]]:
        """One pass over the data, checked and on the model's device."""
        if self.single_batch:
            yield self._checked_batch(self.data, 0)
            return
        count, first = 0, None
        for count, batch in enumerate(self.data, start=1):
            pair = self._checked_batch(batch, count - 1)
            first = first or pair
            if count == 2:
                _refuse_batch_statistics(self.model)
                self._adds_up = self._adds_up or check_parts(self, *first)
            yield pair
        if count == 0:
            raise ValueError("data has no batches: pass (X, y) or a non-empty re-iterable of them")

    def loss(self, w: Tensor | None = None) -> Tensor:
        """L(w) as a 0-d tensor, at the model's own parameters by default. May be NaN or inf."""
        weights = None if w is None else self.split(w)
        total, n = torch.zeros((), dtype=torch.float64), 0
        with self.undisturbed(), torch.no_grad():
            for X, y in self.batches():
                total += len(X) * self.forward_loss(weights, X, y).cpu().double()
                n += len(X)
        return total / n

    def loss_and_gradient(self, w: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """L(w), 0-d, and its gradient (p,). Raises FloatingPointError where either is not finite."""
        base = self.parameters if w is None else self.split(w)
        total, gradient, n = torch.zeros((), dtype=torch.float64), 0, 0
        with self.undisturbed():
            weights = [p.detach().requires_grad_() for p in base]
            for X, y in self.batches():
                loss = self.forward_loss(weights, X, y)
                total += len(X) * require_finite(loss.detach(), "the loss").cpu().double()
                if loss.requires_grad:
                    with no_second_forward() if w is not None else nullcontext():
                        parts = torch.autograd.grad(loss, weights, allow_unused=True)
                    gradient = gradient + len(X) * self.join(parts)
                n += len(X)
        gradient = gradient if torch.is_tensor(gradient) else torch.zeros_like(self.join(base))
        return total / n, require_finite(gradient / n, "the gradient")

    def forward(self, weights: Sequence[Tensor] | None, X: Tensor) -> Any:
        """model(X) with `weights` in place of the parameters; inside `undisturbed` only."""
        weights = self.parameters if weights is None else weights
        state = {name: p.detach() for name, p in self.model.named_parameters()}  # constants
        state.update(zip(self.names, weights, strict=True))
        state.update({name: b.clone() for name, b in self.model.named_buffers()})
        before = RandomStates(self.device)
        # The fused attention kernels have no second derivative.
        with sdpa_kernel(SDPBackend.MATH), self._calls:
            prediction = call_with(self.model, state, X)
        if RandomStates(self.device).changed_since(before):
            raise ValueError(
                "the model draws random numbers in its forward pass (dropout in train mode?), so its "
                "loss is no fixed function of the parameters: call model.eval() first"
            )
        return prediction

    def forward_loss(self, weights: Sequence[Tensor] | None, X: Tensor, y: Any) -> Tensor:
        """loss_fn(model(X), y) of one batch, checked to be a scalar that sees only `weights`."""
        prediction = self.forward(weights, X)
        if weights is None:
            return self.scalar_loss(prediction, y)
        with torch.enable_grad():  # else loss_fn's own use of the parameters could not be seen
            loss = self.scalar_loss(prediction, y)
            self.refuse_direct_use(loss)
        return loss

    def refuse_direct_use(self, loss: Tensor) -> None:
        """Raises if loss_fn reached for the model's own parameters: the weights are copies of them."""
        parameters = [p for p in self.parameters if p.requires_grad]  # some may be frozen by now
        if not loss.requires_grad or not parameters:
            return
        own = torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True)
        if any(g is not None for g in own):
            raise ValueError(
                "loss_fn uses the model's parameters besides its prediction (a penalty?), and that "
                "part would be missed: return it as part of the model's prediction"
            )

    def scalar_loss(self, prediction: Any, y: Any) -> Tensor:
        """loss_fn(prediction, y), checked to be a scalar."""
        loss = self.loss_fn(prediction, y)
        if not torch.is_tensor(loss) or loss.ndim != 0:
            got = f"shape {tuple(loss.shape)}" if torch.is_tensor(loss) else type(loss).__name__
            raise ValueError(
                f"loss_fn must return a scalar tensor (the mean over the samples), not {got}: "
                "use reduction='mean' or end it with .mean()"
            )
        return loss

    @contextmanager
    def undisturbed(self) -> Iterator[None]:
        """Gradients on, autocast and inference mode off, random states put back on leaving.

        Inside, every pass starts from the states at construction, so that a shuffling loader
        visits the same batches each time and the operator is one fixed matrix.
        """
        _refuse_dropout(self.model)
        before = RandomStates(self.device, generators_of(self.data))
        with ExitStack() as stack:
            stack.enter_context(torch.inference_mode(False))
            stack.enter_context(torch.enable_grad())
            if torch.is_autocast_enabled(self.device.type):
                stack.enter_context(torch.autocast(self.device.type, enabled=False))
            if "torch._dynamo" in sys.modules:  # what it compiles has no second derivative
                stack.enter_context(torch.compiler.set_stance("force_eager"))
            stack.callback(before.put_back)
            self._start.put_back()
            yield

    def _checked_batch(self, batch: Any, index: int) -> tuple[Tensor, Any]:
        if not _is_batch(batch):
            raise TypeError(
                f"batch {index} is a {type(batch).__name__}, not a pair (X, y) of tensors"
            )
        X, y = batch
        if X.ndim == 0 or len(X) == 0:
            raise ValueError(f"batch {index} is empty (X has shape {tuple(X.shape)})")
        if torch.is_tensor(y) and (y.ndim == 0 or len(y) != len(X)):
            raise ValueError(
                f"batch {index} has {len(X)} samples in X but y of shape {tuple(y.shape)}"
            )
        if X.is_floating_point() and X.dtype != self.dtype:
            raise TypeError(
                f"batch {index} has X of {X.dtype} but the parameters are {self.dtype}: "
                "convert one of them"
            )
        return self._own(X), self._own(y) if torch.is_tensor(y) else y

    def _own(self, t: Tensor) -> Tensor:
        """On the model's device; what was made in inference mode takes no part in a graph, a copy does."""
        return (t.clone() if t.is_inference() else t).to(self.device)


def require_finite(x: Tensor, what: str) -> Tensor:
    """x itself; raises FloatingPointError naming `what` if it holds NaN or inf."""
    if not torch.isfinite(x.sum()) and not torch.isfinite(x).all():
        kind = "NaN" if torch.isnan(x).any() else "inf"
        raise FloatingPointError(
            f"{what} is not finite ({kind}): check the data for NaN, or whether training diverged"
        )
    return x


def _check_parameters(named: list[tuple[str, nn.Parameter]]) -> None:
    if not named:
        raise ValueError("the model has no parameters that require grad: nothing to differentiate")
    name0, first = named[0]
    for name, p in named:
        if p.dtype in (torch.float16, torch.bfloat16):
            raise TypeError(
                f"parameter {name} is {p.dtype}: second derivatives in half precision keep 2 to 3 "
                "digits and Lanczos loses orthogonality; use model.float() or model.double()"
            )
        if not p.is_floating_point():
            raise TypeError(f"parameter {name} is {p.dtype}; float32 or float64 is needed")
        if (p.dtype, p.device) != (first.dtype, first.device):
            raise ValueError(
                f"parameters must share one dtype and device: {name0} is {first.dtype} on "
                f"{first.device}, {name} is {p.dtype} on {p.device}"
            )


def _is_batch(data: Any) -> bool:
    return isinstance(data, (tuple, list)) and len(data) == 2 and torch.is_tensor(data[0])


def _check_data(data: Any) -> None:
    if torch.is_tensor(data) or not isinstance(data, Iterable):
        raise TypeError(
            f"data must be (X, y) or a re-iterable of batches, not {type(data).__name__}"
        )
    if isinstance(data, Iterator):
        raise TypeError(
            "data is a one-shot iterator, empty after the first product: "
            "pass a list, list(batches), or a DataLoader"
        )


def _refuse_dropout(model: nn.Module) -> None:
    for name, module in model.named_modules():
        if isinstance(module, _DROPOUT) and module.training and module.p > 0:
            raise ValueError(
                f"{type(module).__name__} '{name}' is in train mode: the loss would be another "
                "random function at every product; call model.eval() first"
            )


def uses_batch_statistics(module: nn.Module) -> bool:
    """Whether this module couples the samples of a batch (batch norm on the batch's moments)."""
    batch_moments = module.training or getattr(module, "running_mean", None) is None
    return isinstance(module, _BATCH_STATISTICS) and batch_moments


def _refuse_batch_statistics(model: nn.Module) -> None:
    for name, module in model.named_modules():
        if uses_batch_statistics(module):
            raise ValueError(
                f"{type(module).__name__} '{name}' uses the statistics of each batch, so the loss "
                "over several batches depends on how they are cut: call model.eval(), or pass all "
                "samples as one batch (X, y)"
            )
