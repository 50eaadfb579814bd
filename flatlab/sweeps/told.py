"""What a run depends on, in words that are the same in another process, and others for anything else.

A name does not tell a setting: `nn.CrossEntropyLoss()` prints alike for every label smoothing, two lambdas
with one text may hold different numbers, and two networks of equal weights may differ in their activation.
The code of a function is that of this version of Python: under another one a folder's runs are made anew.
"""

from __future__ import annotations

import dis
import functools
import hashlib
import inspect
import sys
from collections.abc import Iterable, Iterator, Mapping
from types import BuiltinMethodType, CellType, CodeType, MethodWrapperType, ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

# Known by their names: their codes belong to a version.
_LIBRARIES = {"torch", "flatlab", "numpy", "builtins", "functools", "collections", "typing", "math"}
_OWN = frozenset(vars(nn.Module()))  # parameters, buffers, submodules, hooks, mode
_HOOKS = ("_forward_pre_hooks", "_forward_hooks", "_backward_pre_hooks", "_backward_hooks")
_PLAIN = (str, bytes, int, float, complex, type(None), torch.dtype, torch.device)
_LOADS = {"LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS"}
Seen = dict[int, tuple[int, object]]  # id -> place and the object, which keeps its id


def told(value: object, seen: Seen | None = None) -> str:
    """`value` in words: functions by their code, defaults and what they capture, objects by their fields."""
    if isinstance(value, _PLAIN):
        return repr(value)
    seen = {} if seen is None else seen
    if isinstance(value, tuple):  # equal ones may be one object or not
        return _row(told(part, seen) for part in value)
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
        return _row(f"{told(k, seen)}: {told(v, seen)}" for k, v in value.items())
    if isinstance(value, list):
        return _row(told(part, seen) for part in value)
    if isinstance(value, (set, frozenset)):
        return _row(sorted(told(part, seen) for part in value))
    if isinstance(value, functools.partial):
        return f"partial {told([value.func, value.args, value.keywords], seen)}"
    if inspect.ismethod(value):
        return f"{told(value.__self__, seen)}.{told(value.__func__, seen)}"
    if isinstance(value, (BuiltinMethodType, MethodWrapperType)):  # as table.__getitem__
        return f"{told(value.__self__, seen)}.{_function(value, seen)}"
    if inspect.isroutine(value) and hasattr(value, "__qualname__"):  # else an own descriptor
        return _function(value, seen)
    if inspect.isclass(value):
        return _class(value, seen)
    if isinstance(value, ModuleType):
        return value.__name__
    if hasattr(value, "__dict__"):
        return f"{told(type(value), seen)} {told(vars(value), seen)}"
    text = repr(value)
    if " at 0x" not in text:
        return text
    kind = told(type(value), seen)
    try:
        return f"{kind} {told(value.__reduce_ex__(2), seen)}"
    except Exception:  # noqa: BLE001  # as a lock, which refuses
        return kind


def _row(parts: Iterable[str]) -> str:
    return f"[{', '.join(parts)}]"  # str would quote them, and each level twice as many quotes


def structure(model: nn.Module, seen: Seen | None = None) -> str:
    """A network without its parameters and buffers: its modules, their options and their code."""
    seen, parts = {} if seen is None else seen, []
    for part in (*model.modules(), *model.parameters(), *model.buffers()):
        seen.setdefault(id(part), (len(seen), part))  # an attribute that names one tells no weights
    for name, module in model.named_modules():
        hidden = "_" if _of_library(type(module)) else None
        own = {k: v for k, v in vars(module).items() if k not in _OWN and k[0] != hidden}
        parts.append(f"{name}: {told(type(module), seen)} {told(own, seen)}")
        hooks = [list(vars(module)[kind].values()) for kind in _HOOKS]
        parts += [f"hooks {told(hooks, seen)}"] if any(hooks) else []
    frozen = [name for name, p in model.named_parameters() if not p.requires_grad]
    return "; ".join([*parts, f"frozen {frozen}"] if frozen else parts)


def digest_of(*tensors: Tensor | None) -> str:
    """sha256 of the tensors' shapes, dtypes and contents."""
    digest = hashlib.sha256()
    for tensor in tensors:
        if tensor is not None and tensor.layout != torch.strided:
            entries = tensor.detach().to_sparse_coo().coalesce()
            parts = digest_of(entries.indices(), entries.values())
            digest.update(f"{tensor.layout}{tuple(tensor.shape)}{parts}".encode())
        elif tensor is not None:
            digest.update(f"{tuple(tensor.shape)}{tensor.dtype}".encode())
            plain = tensor.detach().cpu().contiguous().flatten()
            digest.update(plain.view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _function(function: Any, seen: Seen) -> str:
    """Its name, its defaults and what it captures; of the caller's own also the code, and the globals in it."""
    name = f"{getattr(function, '__module__', '')}.{function.__qualname__}"
    if not inspect.isfunction(function):
        inner = getattr(function, "__wrapped__", None)  # as of functools.cache
        return name if inner is None else f"{name} {told(inner, seen)}"
    known = function.__globals__
    parts: list = [function.__defaults__, function.__kwdefaults__]
    cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
    parts.append({name: cell.cell_contents for name, cell in cells if cell != CellType()})
    if not _is_library(known.get("__name__")):  # __module__ may be another's, by functools.wraps
        for code in _codes(function.__code__):
            loads = {i.argval for i in dis.get_instructions(code) if i.opname in _LOADS}
            taken = {k: known[k] for k in sorted(loads & known.keys())}
            parts += [_content(code), taken, *_of_modules(code, taken)]
    return f"{name} {told(parts, seen)}"


def _of_modules(code: CodeType, taken: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What the code may read of modules of the caller's own, as in `helpers.loss`."""
    modules, found = [m for m in taken.values() if _is_own_module(m)], []
    for module in modules:  # grows
        found.append({k: vars(module)[k] for k in code.co_names if k in vars(module)})
        inner = [m for m in found[-1].values() if _is_own_module(m)]
        modules += [m for m in inner if m not in modules]
    return found


def _is_own_module(value: object) -> bool:
    """Neither Python's own nor an installed one: those are known by their names."""
    if not isinstance(value, ModuleType):
        return False
    file, installed = getattr(value, "__file__", None), (sys.prefix, sys.base_prefix)
    return file is not None and not (file.startswith(installed) or _is_library(value.__name__))


def _codes(code: CodeType) -> Iterator[CodeType]:
    """Of a function, and of the functions and generator expressions inside it."""
    yield code
    for part in code.co_consts:
        if isinstance(part, CodeType):
            yield from _codes(part)


def _content(code: CodeType) -> list:
    """What tells a code from others, but neither its file nor its lines."""
    consts = [told(c) for c in code.co_consts if not isinstance(c, CodeType)]
    tried = getattr(code, "co_exceptiontable", b"")  # Python 3.10 has none
    takes = code.co_argcount, code.co_flags, code.co_varnames
    return [code.co_code, tried, code.co_names, code.co_freevars, takes, consts]


def _class(kind: type, seen: Seen) -> str:
    """A class by its name and, where it is the caller's own, its methods and attributes."""
    own = [cls for cls in kind.__mro__ if not _of_library(cls)]
    parts = [
        (k, [v.fget, v.fset] if isinstance(v, property) else getattr(v, "__func__", v))
        for cls in own
        for k, v in vars(cls).items()
        if inspect.isfunction(v) or not k.startswith(("__", "_abc_"))
    ]
    return f"{kind.__module__}.{kind.__qualname__} {told(parts, seen)}"


def _of_library(value: object) -> bool:
    return _is_library(getattr(value, "__module__", ""))


def _is_library(module: object) -> bool:
    return str(module).split(".")[0] in _LIBRARIES
