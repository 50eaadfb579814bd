"""Which is faster here: a step of all runs in lockstep, or one step of each?"""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import torch

from flatlab.batches import Batches
from flatlab.sweeps.lockstep import Lockstep

STEPS = 4  # of one timing
ROUNDS = 3  # of timings; the best counts, since other programs only add


def copied(generator: torch.Generator) -> torch.Generator:
    """A generator in the same state."""
    return torch.Generator().set_state(generator.get_state())


def is_faster(build: Callable[[], Lockstep], steps: int) -> bool:
    """Whether ``steps`` updates of a stack take less time in lockstep. Tried on copies.

    False where ``torch.func.vmap`` refuses the network or the loss. Where the runs are so short that a
    timing would cost more than it can save, it is True.
    """
    stack = build()
    # Functional dropout, an `if` on a tensor's value, and an operation without a rule raise.
    try:
        stack.differentiate()
    except RuntimeError:
        return False
    if steps < 10 * STEPS:
        return True
    alone = _Alone(stack)
    together, apart = math.inf, math.inf
    _steps_of(stack)  # the first steps pay for what is set up once
    alone.steps()
    for _ in range(ROUNDS):  # in turn, so that a busy moment meets both
        together = min(together, _timed(lambda: _steps_of(stack), stack))
        apart = min(apart, _timed(alone.steps, stack))
    return together < len(stack.active) * apart


class _Alone:
    """Plain steps of the first run, as ``fit`` makes them."""

    def __init__(self, stack: Lockstep) -> None:
        self.stack, self.model = stack, stack.module(0).train()
        self.optimizer = stack.runs[0].optimizer_of(self.model)
        order = torch.Generator().manual_seed(0)
        self.batches = Batches(stack.batches.n, stack.batches.size, [order], stack.device)
        data = stack.train
        self.X = data.X[0] if data.own_X else data.X
        self.y = data.y[0] if data.own_y else data.y

    def steps(self) -> None:
        for _ in range(STEPS):
            index = self.batches.draw()
            part = (self.X, self.y)
            if index is not None:
                part = self.X.index_select(0, index[0]), self.y.index_select(0, index[0])
            self.optimizer.zero_grad()
            loss = self.stack.loss_fn(self.model(part[0]), part[1])
            loss.backward()
            loss.item()
            self.optimizer.step()


def _steps_of(stack: Lockstep) -> None:
    for _ in range(STEPS):
        losses, gradients = stack.differentiate()
        losses.tolist()
        stack.update(0, gradients)


def _timed(work: Callable[[], None], stack: Lockstep) -> float:
    begin = time.perf_counter()
    work()
    if stack.device.type == "cuda":
        torch.cuda.synchronize(stack.device)
    return time.perf_counter() - begin
