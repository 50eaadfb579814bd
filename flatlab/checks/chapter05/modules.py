"""A module, its loss and an optimizer, as a check hands them to a student's step."""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Callable, Iterable

import torch
from torch import nn

from flatlab.checks.core import WrongAnswer


def built(inputs) -> nn.Sequential:
    """The drawn network as a module, in the dtype that was drawn."""
    w1, b1, w2, b2 = (torch.tensor(p) for p in inputs["params"])
    model = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3)).to(w1.dtype)
    with torch.no_grad():
        for p, value in zip(model.parameters(), (w1, b1, w2, b2), strict=True):
            p.copy_(value)
    return model


class Descent:
    """SGD with momentum, with what a step uses of ``torch.optim.SGD``.

    A real optimizer imports torch's compiler when it is built, and imports crawl under the guard's
    hook: 30 s.
    """

    def __init__(self, params: Iterable[torch.Tensor], lr: float, momentum: float = 0.0) -> None:
        self.defaults = {"lr": lr, "momentum": momentum}
        self.param_groups = [{"params": list(params), **self.defaults}]
        self.state: dict = defaultdict(dict)

    def zero_grad(self, set_to_none: bool = True) -> None:
        for p in self.param_groups[0]["params"]:
            if p.grad is not None:
                p.grad = None if set_to_none else torch.zeros_like(p)

    @torch.no_grad()
    def step(self, closure: Callable | None = None) -> None:
        if closure is not None:
            with torch.enable_grad():
                closure()
        if sys.exc_info()[0] is not None:
            raise WrongAnswer(
                "optimizer.step() is called after an error of loss_fn: no step is made then. `finally` "
                "holds the way back to w alone."
            )
        group = self.param_groups[0]
        for p in group["params"]:
            if p.grad is not None:
                old = self.state[p].get("momentum_buffer", torch.zeros_like(p))
                speed = self.state[p]["momentum_buffer"] = group["momentum"] * old + p.grad
                p.sub_(group["lr"] * speed)


def module_loss(inputs):
    """model -> mean squared error, 0-d."""

    def loss(model: nn.Module) -> torch.Tensor:
        dtype = next(model.parameters()).dtype
        x, y = (torch.tensor(inputs[k]).to(dtype) for k in ("x", "y"))
        return ((model(x) - y) ** 2).mean()

    return loss
