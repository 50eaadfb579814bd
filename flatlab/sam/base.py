"""The optimizer that SAM is around: built from its class, or taken as an instance."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from typing import Any
from weakref import WeakKeyDictionary

from torch.optim import Optimizer

OWN = ("rho", "p", "adaptive")  # SAM's settings in a parameter group
_PUT: WeakKeyDictionary[Optimizer, set[tuple[int, str]]] = WeakKeyDictionary()


def checked_base(base: Any, groups: list[dict[str, Any]], options: dict[str, Any]) -> Optimizer:
    """An optimizer over the parameters of `groups`, whose groups hold SAM's settings too."""
    if isinstance(base, Optimizer):
        _adopt(base, groups, options)
    elif callable(base):
        base = base(groups, **options)
    if not isinstance(base, Optimizer):
        raise TypeError(
            "base_optimizer must be an optimizer's class, such as torch.optim.SGD (its options "
            f"follow: lr=0.1), or an instance of one, not {base!r}"
        )
    closure = inspect.signature(base.step).parameters.get("closure")
    if closure is not None and closure.default is inspect.Parameter.empty:
        raise ValueError(
            f"{type(base).__name__} needs a closure itself, so it cannot be the base of SAM: take "
            "one that steps by given gradients, such as SGD or AdamW"
        )
    return base


def _adopt(base: Optimizer, groups: list[dict[str, Any]], options: dict[str, Any]) -> None:
    """Give the groups of an instance SAM's settings; refuses what does not fit it."""
    name = type(base).__name__
    if options:
        raise ValueError(
            f"{', '.join(options)} given beside an instance of {name}: set that where the "
            "instance is built, or give the class"
        )
    mine = {id(w): group for group in groups for w in group["params"]}
    if mine.keys() != {id(w) for group in base.param_groups for w in group["params"]}:
        raise ValueError(
            f"params and the {name} hold different parameters: build both from the same model"
        )
    settings = [_settings(name, theirs, mine) for theirs in base.param_groups]
    put = _PUT.get(base, set())
    for place, (theirs, own) in enumerate(zip(base.param_groups, settings, strict=True)):
        keys = {key for key in own if key not in theirs or (place, key) in put}
        theirs.update({key: own[key] for key in keys})
        note(base, place, keys)


def note(base: Optimizer, place: int, keys: Iterable[str]) -> None:
    """That SAM, and not the caller, has put these settings into a group: a later SAM replaces them."""
    _PUT.setdefault(base, set()).update((place, key) for key in keys)


def _settings(name: str, theirs: dict[str, Any], mine: dict[int, dict]) -> dict[str, Any]:
    """SAM's settings for one group of the instance."""
    sources = {id(mine[id(w)]): mine[id(w)] for w in theirs["params"]}.values()
    for source in sources:
        wrong = [k for k in source if k not in OWN and k != "params"]
        wrong = [k for k in wrong if k not in theirs or source[k] != theirs[k]]
        if wrong:
            raise ValueError(
                f"a group of params sets {', '.join(wrong)}, which the {name} instance does "
                "not have so: set that where the instance is built, or give the class"
            )
    settings = [{key: source[key] for key in OWN} for source in sources]
    if any(s != settings[0] for s in settings):
        raise ValueError(
            f"a group of the {name} instance holds parameters that params gives different rho "
            "or adaptive: build the instance on the same groups"
        )
    return settings[0]
