"""Ground truth for SGD's noise: every batch of different samples, one by one."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np


def batch_mean(values: np.ndarray, batch_size: int, of: Callable) -> np.ndarray:
    """The mean of ``of(mean of a batch)`` over all batches of ``batch_size`` different ``values``."""
    batches = itertools.combinations(range(len(values)), batch_size)
    return np.mean([of(values[list(batch)].mean(axis=0)) for batch in batches], axis=0)


def second_moment(hessians: np.ndarray, learning_rate: float, batch_size: int) -> np.ndarray:
    """E (I - learning_rate H_batch)^2 over all batches: (d, d), the matrix of Theorem 1."""
    identity = np.eye(hessians.shape[-1])

    def squared(hessian: np.ndarray) -> np.ndarray:
        step = identity - learning_rate * hessian
        return step @ step

    return batch_mean(hessians, batch_size, squared)


@contextmanager
def lent(student: Callable, **functions: Callable) -> Iterator[None]:
    """Right versions of earlier exercises under the names that the student's function calls.

    A mistake there then costs its points once. Only names that the student's notebook has are
    replaced, and they come back afterwards.
    """
    notebook = getattr(inspect.unwrap(student), "__globals__", {})
    own = {name: notebook[name] for name in functions if name in notebook}
    notebook.update({name: functions[name] for name in own})
    try:
        yield
    finally:
        notebook.update(own)
