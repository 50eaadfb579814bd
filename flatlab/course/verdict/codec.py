"""Plain data as JSON and back, exactly; reading trusts nothing.

Both sides of the wall use this file: the grader, and the worker inside the sandbox, which gets a
copy of it. So it imports NumPy and nothing of flatlab. Arrays and NumPy's numbers travel as their
bytes, everything else as a tagged list: ``["array", dtype, shape, base64]``.
"""

from __future__ import annotations

import base64
import json
import math
from typing import Any

import numpy as np

DTYPES = {
    *("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
    *("float16", "float32", "float64"),
}
MOST_BYTES = 4 * 2**20  # of one record
MOST_ITEMS = 10_000  # numbers that are not in arrays, texts, lists, arrays
MOST_TEXT = 2_000  # characters
DEEPEST = 6


class Malformed(ValueError):
    """A record that is no plain data of reasonable size; the text says what is wrong."""


def encode(value: Any) -> bytes:
    """``value`` as JSON; raises ``TypeError`` for what is not plain data."""
    return json.dumps(_tagged(value)).encode()


def _tagged(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        kind = "array" if isinstance(value, np.ndarray) else "number"
        data = np.array(value, order="C", subok=False)
        if data.dtype.name not in DTYPES:
            raise TypeError(f"An array of {data.dtype} is not plain data.")
        data = data.astype(data.dtype.newbyteorder("<"))
        return [kind, data.dtype.name, list(data.shape), base64.b64encode(data.tobytes()).decode()]
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return float(value)
    if isinstance(value, list | tuple):
        return ["list", [_tagged(item) for item in value]]
    if isinstance(value, dict):
        return ["dict", [[str(key), _tagged(item)] for key, item in value.items()]]
    raise TypeError(f"{type(value).__name__} is not plain data.")


def decode(data: bytes) -> Any:
    """What ``encode`` was given (tuples are lists then). Raises ``Malformed``, whatever comes."""
    if len(data) > MOST_BYTES:
        raise Malformed(f"More than {MOST_BYTES:,} bytes.")
    try:
        return _Reader().value(json.loads(data), 0)
    except Malformed:
        raise
    except (ValueError, RecursionError, MemoryError) as error:
        raise Malformed(f"It cannot be read: {type(error).__name__}.") from None


class _Reader:
    def __init__(self) -> None:
        self.items = 0

    def value(self, raw: Any, depth: int) -> Any:
        self.items += 1
        if self.items > MOST_ITEMS:
            raise Malformed(f"More than {MOST_ITEMS:,} values.")
        if depth > DEEPEST:
            raise Malformed(f"Nested more than {DEEPEST} deep.")
        if isinstance(raw, str):
            return self.text(raw)
        if raw is None or isinstance(raw, bool | float):
            return raw
        if isinstance(raw, int):
            if raw.bit_length() > 64:
                raise Malformed("An integer of more than 64 bits.")
            return raw
        if isinstance(raw, list) and raw:
            if raw[0] == "list" and len(raw) == 2 and isinstance(raw[1], list):
                return [self.value(item, depth + 1) for item in raw[1]]
            if raw[0] == "dict" and len(raw) == 2 and isinstance(raw[1], list):
                return self.mapping(raw[1], depth)
            if raw[0] in ("array", "number") and len(raw) == 4:
                return self.array(*raw)
        raise Malformed("A value without a known tag.")

    @staticmethod
    def text(raw: str) -> str:
        if len(raw) > MOST_TEXT:
            raise Malformed(f"A text of more than {MOST_TEXT:,} characters.")
        return raw

    def mapping(self, pairs: list, depth: int) -> dict:
        result = {}
        for pair in pairs:
            if not (isinstance(pair, list) and len(pair) == 2 and isinstance(pair[0], str)):
                raise Malformed("An entry that is no pair of a name and a value.")
            if pair[0] in result:
                raise Malformed("The same name twice.")
            result[self.text(pair[0])] = self.value(pair[1], depth + 1)
        return result

    @staticmethod
    def array(kind: str, dtype: Any, shape: Any, data: Any) -> np.ndarray | np.generic:
        if not isinstance(dtype, str) or dtype not in DTYPES:
            raise Malformed("An array of an unknown dtype.")
        is_shape = isinstance(shape, list) and len(shape) <= 8
        if not is_shape or not all(type(n) is int and 0 <= n <= MOST_BYTES for n in shape):
            raise Malformed("An array with an impossible shape.")
        if not isinstance(data, str):
            raise Malformed("An array without data.")
        little = np.dtype(dtype).newbyteorder("<")
        raw = base64.b64decode(data, validate=True)
        if len(raw) != math.prod(shape) * little.itemsize or (kind == "number" and shape):
            raise Malformed("An array whose data do not fit its shape.")
        if dtype == "bool" and raw.strip(b"\0\1"):
            raise Malformed("A bool that is neither True nor False.")
        result = np.frombuffer(raw, little).reshape(shape).astype(dtype)
        return result if kind == "array" else result[()]
