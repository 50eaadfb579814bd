"""Reading what a student's function returned, and saying how it differs from what was expected.

A right answer comes in many types: a float, a NumPy array, a tensor of any float dtype, with or
without a graph attached. All are read as float64 arrays, complex numbers without an
imaginary part too; what cannot be read is said.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch

from flatlab.checks.core import WrongAnswer


def array(value: Any, shape: tuple[int, ...], what: str = "It") -> np.ndarray:
    """``value`` as a float64 array of ``shape``; raises ``WrongAnswer`` where it is not one."""
    if value is None:
        raise WrongAnswer(f"{what} returned None: is the return statement missing?")
    try:
        if isinstance(value, torch.Tensor):
            # + 0: the zeros of forward-mode autograd have no memory that NumPy could read.
            wide = torch.complex128 if value.is_complex() else torch.float64
            result = (value.detach() + 0).cpu().to(wide).numpy()
        elif isinstance(value, list | tuple) and any(isinstance(v, torch.Tensor) for v in value):
            result = np.stack([array(v, np.shape(v), what) for v in value])
        else:
            result = np.asarray(value)
            if result.dtype.kind in "SU":
                raise TypeError("text, which NumPy would read")
            result = result if np.iscomplexobj(result) else result.astype(np.float64)
    except (TypeError, ValueError, RuntimeError):
        kind = type(value).__name__
        raise WrongAnswer(f"{what} returned a {kind}; {expected_kind(shape)} is needed.") from None
    if np.iscomplexobj(result):
        if result.imag.any():
            raise WrongAnswer(f"{what} returned complex numbers; real ones are needed.")
        result = result.real.astype(np.float64)
    if result.shape != shape:
        if shape == () and result.size == 1:
            return result.reshape(())
        raise WrongAnswer(
            f"{what} returned shape {tuple(result.shape)}; {expected_kind(shape)} is needed."
        )
    return result


def tensors(value: Any, shapes: list[tuple[int, ...]], what: str = "It") -> list[np.ndarray]:
    """``value`` as a list of float64 arrays of these shapes, one for each parameter."""
    if value is None:
        raise WrongAnswer(f"{what} returned None: is the return statement missing?")
    if not isinstance(value, list | tuple):
        kind = type(value).__name__
        raise WrongAnswer(
            f"{what} returned a {kind}; a list of {len(shapes)} tensors, one for each parameter, "
            "is needed."
        )
    if len(value) != len(shapes):
        raise WrongAnswer(f"{what} returned {len(value)} tensors for {len(shapes)} parameters.")
    for i, item in enumerate(value):
        if item is None:
            raise WrongAnswer(
                f"{what} returned None for parameter {i}, which does not enter the loss: its "
                "derivative is a tensor of zeros."
            )
    return [array(item, shape, what) for item, shape in zip(value, shapes, strict=True)]


def expected_kind(shape: tuple[int, ...]) -> str:
    return "a single number" if shape == () else f"a tensor of shape {shape}"


def close(got: Any, expected: Any, tolerance: float) -> bool:
    """Relative difference in norm at most ``tolerance`` (absolute where expected is zero)."""
    return bool(_apart(got, expected) <= tolerance)


def _apart(got: Any, expected: Any) -> float:
    got, expected = flat(got), flat(expected)
    return float(np.linalg.norm(got - expected) / (np.linalg.norm(expected) or 1.0))


# A hint for checks that ask for a ValueError.
NO_ASSERT = ("AssertionError", "Raise a ValueError: an assert may be switched off.")


def compare(
    got: Any,
    expected: Any,
    tolerance: float,
    mistakes: Iterable[tuple[Any, str]] = (),
    otherwise: str = "It gives {got}; {expected} is right.",
) -> str | None:
    """None where ``got`` is close to ``expected``, else the message of the mistake it equals.

    ``mistakes``: pairs of the value that a known misconception gives and what to say of it.
    ``otherwise`` may use {got} and {expected}.
    """
    if not np.all(np.isfinite(flat(got))):
        return "The result is not finite: it holds NaN or inf."
    if close(got, expected, tolerance):
        return None
    for value, message in mistakes:
        if close(got, value, max(tolerance, 1e-6)) and not close(value, expected, 3 * tolerance):
            return message.format(got=shown(got), expected=shown(expected))
    told = otherwise.format(got=shown(got), expected=shown(expected))
    if "{got}" in otherwise and shown(got) == shown(expected):
        apart = _apart(got, expected)
        if np.any(flat(expected)):
            return f"The relative difference is {apart:.3g}; {tolerance:.3g} is allowed. {told}"
        return f"The difference is {apart:.3g}; {tolerance:.3g} is allowed. {told}"
    return told


def flat(value: Any) -> np.ndarray:
    items = value if isinstance(value, list | tuple) else [value]
    return np.concatenate([np.ravel(np.asarray(item, dtype=np.float64)) for item in items])


def shown(value: Any) -> str:
    """A short text of a number or of the first numbers of an array."""
    numbers = flat(value)
    if numbers.size == 1:
        return f"{numbers[0]:.4g}"
    text = ", ".join(f"{number:.3g}" for number in numbers[:4])
    return f"[{text}{', …' if numbers.size > 4 else ''}]"
