"""Waves of a + b in a table of logits, and the loss of what is left: right, and in known wrong ways."""

from __future__ import annotations

from collections.abc import Callable

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


def projected(logits: np.ndarray, waves: list[np.ndarray], factor: float) -> np.ndarray:
    """Sum over the waves (p, p) of factor / p^2 times their product with the logits, times the wave."""
    p = len(logits)
    flat, total = logits.reshape(p * p, p), np.zeros((p * p, p))
    for wave in waves:
        total += factor / p**2 * np.outer(wave.ravel(), wave.ravel() @ flat)
    return total.reshape(p, p, p)


def waves_of(p: int, frequencies, of: Callable, kinds=(np.cos, np.sin)) -> list[np.ndarray]:
    """cos and sin of 2 pi k of(a, b) / p over the table, for each k."""
    a, b = (part.reshape(p, p) for part in numbers(p))
    return [kind(2 * np.pi * int(k) * of(a, b) / p) for k in frequencies for kind in kinds]


def wrong_losses(logits: np.ndarray, frequencies) -> list[tuple[float, str]]:
    """What wrong restricted losses equal, and what was done."""
    p = len(logits)
    a, b = numbers(p)
    labels = (a + b) % p
    logits = logits.astype(np.float64)
    mean = logits.mean(axis=(0, 1))
    right = restricted(logits, frequencies)
    waves = right - mean

    def plus(a, b):
        return a + b

    def of(kept: np.ndarray) -> float:
        return cross_entropy(kept, labels)

    def only(arrays: list[np.ndarray], factor: float = 2) -> np.ndarray:
        return mean + projected(logits, arrays, factor)

    mask = np.zeros(p)
    mask[[0, *(sign * int(k) for k in frequencies for sign in (1, -1))]] = 1
    masked = np.fft.fft2(logits, axes=(0, 1)) * np.outer(mask, mask)[:, :, None]
    over_classes = np.fft.rfft(logits, axis=2)
    dropped = np.ones(over_classes.shape[2], bool)
    dropped[[0, *(int(k) for k in frequencies)]] = False
    over_classes[:, :, dropped] = 0
    shares = np.exp(right - right.max(axis=2, keepdims=True))
    shares /= shares.sum(axis=2, keepdims=True)
    own = shares.reshape(p * p, p)[np.arange(p * p), labels]
    shifted = [int(k) - 1 for k in frequencies if k > 1]
    either_sign = waves_of(p, frequencies, plus) + waves_of(p, frequencies, lambda a, b: a - b)
    loss = of(right)
    return [
        (of(logits), "It is the loss of the logits as they are: the frequencies do not enter."),
        (
            of(waves),
            (
                "Each class has lost its constant, its mean over all pairs. (One mean over all classes too "
                "shifts all logits of a pair alike, and changes no loss.)"
            ),
        ),
        (
            of(logits - waves),
            "It removes the waves and keeps the rest: that is the excluded loss. Here only they stay.",
        ),
        (
            of(logits - waves - mean),
            "It removes the waves, and the constant too: here only they stay.",
        ),
        (
            of(only(waves_of(p, frequencies, lambda a, b: a - b))),
            "Its waves are those of a - b: they must be of a + b.",
        ),
        (
            of(only(either_sign)),
            (
                "It keeps waves of a - b too, as a mask does that keeps k and p - k of a with k and p - k of b. "
                "cos(a + b) is one wave, cos a cos b - sin a sin b."
            ),
        ),
        (
            of(np.fft.ifft2(masked, axes=(0, 1)).real),
            (
                "It keeps every product of a wave of a and a wave of b, of 1 too: the rule has waves of a + b "
                "alone, with one k for both."
            ),
        ),
        (
            of(only(waves_of(p, frequencies, lambda a, b: a))),
            "Its waves are those of a: they must be of a + b.",
        ),
        (
            of(only(waves_of(p, frequencies, plus, (np.cos,)))),
            "The sines are missing: a wave has two directions, cos and sin.",
        ),
        (of(only(waves_of(p, frequencies, plus, (np.sin,)))), "The cosines are missing."),
        (
            of(mean + waves / 2),
            (
                "The waves have half of their size: over the p^2 pairs cos squared adds up to p^2/2, so the "
                "factor of the projection is 2/p^2."
            ),
        ),
        (
            of(mean + waves * p**2 / 2),
            "The waves are not divided by their squared length: cos squared adds up to p^2/2.",
        ),
        (
            of(mean + waves * p / 2),
            "The waves are divided by p: their squared length over all pairs is p^2/2.",
        ),
        (
            of(mean + waves * p),
            "The waves are divided by p/2: their squared length over all p^2 pairs is p^2/2.",
        ),
        (
            of(mean + waves * p / 2**0.5),
            "The waves are divided by their length, not by its square, p^2/2.",
        ),
        (
            of(mean * p**2 + waves),
            "The constant is the sum over all pairs: their mean.",
        ),
        (
            of(only(waves_of(p, frequencies, lambda a, b: (a + b) / 2))),
            "The factor 2 is missing in 2 pi k (a + b) / p.",
        ),
        (
            of(only(waves_of(p, frequencies, lambda a, b: (a + b) / (2 * np.pi)))),
            "The factor 2 pi is missing in 2 pi k (a + b) / p: the waves must close after p numbers.",
        ),
        (
            of(np.swapaxes(right, 1, 2)),
            "cross_entropy takes the classes from dim 1: give it logits of shape (p * p, p).",
        ),
        (
            of(restricted(logits, shifted)),
            "Its frequencies are too low by one: place k of rfft, counted from 0, is frequency k.",
        ),
        (
            of(np.fft.irfft(over_classes, n=p, axis=2)),
            "It transforms over the classes c: the waves run over the pairs, a + b.",
        ),
        (cross_entropy(right, a * b % p), "The labels are a b mod p: they must be a + b mod p."),
        (
            cross_entropy(right, (a - b) % p),
            "The labels are a - b mod p: they must be a + b mod p.",
        ),
        (of(shares), "It takes the softmax twice: cross_entropy takes logits, not probabilities."),
        (loss * p**2, "It is the sum over all pairs: their mean."),
        (loss * p, "It is the sum over a or b: the mean over all pairs."),
        (-loss, "The sign is turned: the loss is minus the logarithm of a probability."),
        (own.mean(), "It is a probability: the loss is minus its logarithm."),
        (-np.log(own.mean()), "The mean is taken of the probabilities: the logarithm comes first."),
        (loss / np.log(2), "It is in bits: natural logarithms."),
    ]
