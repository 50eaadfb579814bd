"""Waves of a + b in a table of logits, and the loss of what is left."""

from __future__ import annotations

import numpy as np


def numbers(p: int) -> tuple[np.ndarray, np.ndarray]:
    """a and b of every cell of a (p, p) table."""
    return np.divmod(np.arange(p * p), p)


def cross_entropy(logits: np.ndarray, labels: np.ndarray) -> float:
    """The mean over all pairs of log sum exp - logit of the label; logits (p, p, p)."""
    rows = logits.reshape(-1, logits.shape[-1])
    each, top = np.arange(len(rows)), rows.max(axis=1)
    others = np.exp(rows - top[:, None])
    others[each, rows.argmax(axis=1)] = 0
    gap = top - rows[each, labels]
    return float((np.log1p(others.sum(axis=1)) + gap).mean())  # exact for small losses too


def restricted(logits: np.ndarray, frequencies) -> np.ndarray:
    """What the logits have of 1 and of the waves of a + b at these frequencies, each class by itself.

    The mean along a + b = s is the part that depends on a + b alone; of its Fourier series over s the
    frequencies are kept. (Nanda et al., 2023, section 5.1, project on the waves themselves.)
    """
    p = len(logits)
    a, b = numbers(p)
    sums = (a + b) % p
    flat = logits.reshape(p * p, p).astype(np.float64)
    along = np.stack([flat[sums == s].mean(axis=0) for s in range(p)])
    series = np.fft.rfft(along, axis=0)
    kept = np.zeros(len(series), bool)
    kept[[0, *(int(k) for k in frequencies)]] = True
    series[~kept] = 0
    return np.fft.irfft(series, n=p, axis=0)[sums].reshape(p, p, p)


def right_loss(logits: np.ndarray, frequencies) -> float:
    a, b = numbers(len(logits))
    return cross_entropy(restricted(logits, frequencies), (a + b) % len(logits))
