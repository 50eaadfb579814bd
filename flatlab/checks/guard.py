"""Sees what a student's function does while it runs: calls into the package, and work done."""

from __future__ import annotations

import inspect
import math
import sys
from types import FrameType
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

# An exercise asks for what a topic module holds; the ground floor is free to use.
FREE = (
    *("checks", "archives", "arguments", "batches", "checkpoints", "data", "evaluation", "folders"),
    *("history", "isolation", "models", "notebook", "plots", "sources", "sweeps", "training"),
    "widgets",
)
# Of free modules: an exercise asks for these.
_ANSWERS = {"flatlab.data": ("relabel", "split_rows", "split_size")}


class TopicGuard:
    """Context manager; ``called`` names the first function of a topic module that was entered.

    A profile hook sees a function under any name it was imported by, which comparing source
    text would not.
    """

    def __init__(self) -> None:
        self.called: str | None = None

    def __enter__(self) -> TopicGuard:  # noqa: PYI034 - typing.Self needs Python 3.11
        self._previous = sys.getprofile()
        sys.setprofile(self._see)
        return self

    def __exit__(self, *exception: object) -> None:
        sys.setprofile(self._previous)

    def _see(self, frame: FrameType, event: str, argument: Any) -> None:
        if event != "call" or self.called:
            return
        module = frame.f_globals.get("__name__")
        if not isinstance(module, str) or not module.startswith("flatlab."):
            return  # at once: while torch imports something, this is called millions of times
        is_function = frame.f_code.co_flags & inspect.CO_OPTIMIZED  # no module, no class body
        if not is_function:
            return
        parts = module.split(".")
        name = frame.f_code.co_name
        asked_for = name in _ANSWERS.get(module, ()) and not _module(frame.f_back).startswith(
            "flatlab."  # the ground floor uses it itself
        )
        if (parts[1] not in FREE and not _importing(frame)) or asked_for:
            self.called = f"{module}.{name}"


def _importing(frame: FrameType) -> bool:
    """Does a module of flatlab call it while it is imported, as class bodies and decorators do?"""
    caller = frame.f_back
    while caller:
        if caller.f_code.co_name == "<module>" and _module(caller).startswith("flatlab."):
            return True
        caller = caller.f_back
    return False


def _module(frame: FrameType | None) -> str:
    """The name of the module that a frame's code is of, empty where it has none."""
    name = frame.f_globals.get("__name__", "") if frame else ""
    return name if isinstance(name, str) else ""


class _Mode(TorchDispatchMode):
    """A mode whose subclasses torch leaves as they are.

    It else wraps their methods for its compiler, and imports that at the first operation: 1.5 s.
    """

    def __init_subclass__(cls, **kwargs: object) -> None:
        pass


class Overrun(Exception):
    """More operations than a ``Meter`` was to count."""


class Meter(_Mode):
    """Context manager that counts tensor operations and keeps the largest tensor's size.

    ``operations``: number of ATen calls, backward passes included. ``largest``: most elements
    of any tensor made. Both are the same on every machine, unlike seconds and bytes. Beyond
    ``most`` operations the next one raises ``Overrun``: who waits for minutes learns no more.
    """

    def __init__(self, most: float = math.inf) -> None:
        super().__init__()
        self.most = most
        self.operations = 0
        self.largest = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if self.operations > self.most:
            raise Overrun(f"more than {self.most:g} operations")
        result = func(*args, **(kwargs or {}))
        self.operations += 1
        for item in result if isinstance(result, tuple | list) else (result,):
            if isinstance(item, torch.Tensor):
                self.largest = max(self.largest, item.numel())
        return result
