"""What a run depends on, in words that are the same in another process, and others for anything else.

A name does not tell a setting: `nn.CrossEntropyLoss()` prints alike for every label smoothing, two lambdas
with one text may hold different numbers, and two networks of equal weights may differ in their activation.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
from collections.abc import Mapping
from types import ModuleType

import numpy as np
import torch
from torch import Tensor, nn

# Known by their names: their texts belong to a version.
_LIBRARIES = {"torch", "flatlab", "numpy", "builtins", "functools", "collections", "typing", "math"}
_PLAIN = (str, bytes, int, float, complex, type(None), torch.dtype, torch.device)
Seen = dict[int, tuple[int, object]]  # id -> place and the object, which keeps its id


def told(value: object, seen: Seen | None = None) -> str:
    """`value` in words: functions by their text, defaults and what they capture, objects by their fields."""
    if isinstance(value, _PLAIN):
        return repr(value)
    seen = {} if seen is None else seen
    if id(value) in seen:
        return f"again {seen[id(value)][0]}"
    seen[id(value)] = (len(seen), value)
    if isinstance(value, Tensor):
        return f"tensor {digest_of(value)}"
    if isinstance(value, np.ndarray):
        return f"array {value.shape}{value.dtype}{hashlib.sha256(value.tobytes()).hexdigest()}"
    if isinstance(value, nn.Module):
        return f"{structure(value, seen)} {digest_of(*value.parameters(), *value.buffers())}"
    if isinstance(value, Mapping):
        return str([(told(k, seen), told(v, seen)) for k, v in value.items()])
    if isinstance(value, (list, tuple)):
        return str([told(part, seen) for part in value])
    if isinstance(value, (set, frozenset)):
        return str(sorted(told(part, seen) for part in value))
    if isinstance(value, functools.partial):
        return f"partial {told([value.func, value.args, value.keywords], seen)}"
    if inspect.ismethod(value):
        return f"{told(value.__self__, seen)}.{told(value.__func__, seen)}"
    if inspect.isroutine(value):
        return _function(value, seen)
    if inspect.isclass(value):
        return _class(value, seen)
    if isinstance(value, ModuleType):
        return value.__name__
    if hasattr(value, "__dict__"):
        return f"{told(type(value), seen)} {told(vars(value), seen)}"
    return repr(value)


def structure(model: nn.Module, seen: Seen | None = None) -> str:
    """A network without its parameters and buffers: its modules, their options and their code."""
    seen, parts = {} if seen is None else seen, []
    for name, module in model.named_modules():
        own = {k: v for k, v in vars(module).items() if k[0] != "_" and k != "training"}
        parts.append(f"{name}: {told(type(module), seen)} {told(own, seen)}")
    return "; ".join(parts)


def digest_of(*tensors: Tensor | None) -> str:
    """sha256 of the tensors' shapes, dtypes and contents."""
    digest = hashlib.sha256()
    for tensor in tensors:
        if tensor is not None:
            digest.update(f"{tuple(tensor.shape)}{tensor.dtype}".encode())
            plain = tensor.detach().cpu().contiguous().flatten()
            digest.update(plain.view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _function(function: object, seen: Seen) -> str:
    """Its name, its defaults and what it captures; of the caller's own also the text, and the globals in it."""
    name = f"{getattr(function, '__module__', '')}.{getattr(function, '__qualname__', function)}"
    if not inspect.isfunction(function):
        return name
    taken = inspect.getclosurevars(function)
    parts: list = [function.__defaults__, function.__kwdefaults__, taken.nonlocals]
    if not _of_library(function):
        try:
            parts.append(inspect.getsource(function))
        except (OSError, TypeError):
            parts.append(function.__code__.co_code)
        parts.append(taken.globals)
    return f"{name} {told(parts, seen)}"


def _class(kind: type, seen: Seen) -> str:
    """A class by its name and, where it is the caller's own, its methods."""
    own = [cls for cls in kind.__mro__ if not _of_library(cls)]
    methods = [f for cls in own for f in vars(cls).values() if inspect.isfunction(f)]
    return f"{kind.__module__}.{kind.__qualname__} {told(methods, seen)}"


def _of_library(value: object) -> bool:
    return str(getattr(value, "__module__", "")).split(".")[0] in _LIBRARIES
