"""What wrong restricted losses of a table of logits equal, and what was done."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from flatlab.checks.chapter07.circuits import cross_entropy, numbers, restricted


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


def _one_sided(logits: np.ndarray, frequencies) -> np.ndarray:
    """What a transform over a and b has at (k, k) alone, back in place: complex, (p, p, p)."""
    there = np.fft.fft2(logits, axes=(0, 1))
    kept = np.zeros_like(there)
    for k in frequencies:
        kept[int(k), int(k)] = there[int(k), int(k)]
    return np.fft.ifft2(kept, axes=(0, 1))


def _along(logits: np.ndarray, frequencies, axis: int) -> np.ndarray:
    """The logits with these frequencies alone along one axis: (p, p, p)."""
    series = np.moveaxis(np.fft.rfft(logits, axis=axis), axis, 0)
    kept = np.zeros_like(series)
    places = [0, *(int(k) for k in frequencies)]
    kept[places] = series[places]
    return np.fft.irfft(np.moveaxis(kept, 0, axis), n=len(logits), axis=axis)


def _onto(logits: np.ndarray, frequencies, wave: Callable) -> np.ndarray:
    """The projections on wave(f, angle of a, angle of b) for f cos and sin, each by itself: (p, p, p)."""
    p, total = len(logits), np.zeros(logits.shape)
    a, b = (part.reshape(p, p) for part in numbers(p))
    for k in frequencies:
        for f in (np.cos, np.sin):
            w = wave(f, 2 * np.pi * int(k) * a / p, 2 * np.pi * int(k) * b / p)
            total += np.multiply.outer(w, np.tensordot(w, logits, 2)) / (w**2).sum()
    return total


def _one_for_all(logits: np.ndarray, frequencies) -> np.ndarray:
    """The projections on cos(2 pi k (a + b - c)/p), functions of a, b and c: (p, p, p)."""
    p, total = len(logits), np.zeros(logits.shape)
    n = np.arange(p)
    turns = 2 * np.pi * (n[:, None, None] + n[:, None] - n) / p
    for k in frequencies:
        w = np.cos(int(k) * turns)
        total += w * (w * logits).sum() / (w**2).sum()
    return total


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
                "factor of the projection is 2/p^2. A transform over a and b holds each wave twice, at (k, k) "
                "and at (-k, -k)."
            ),
        ),
        (
            of(waves / 2),
            (
                "The waves have half of their size, and each class has lost its constant. A transform over a "
                "and b holds each wave twice, at (k, k) and at (-k, -k), and the constant at (0, 0)."
            ),
        ),
        (
            of(np.abs(mean + _one_sided(logits, frequencies))),
            (
                "Of each wave one half is there, at (k, k), and abs() takes lengths of what is complex then. "
                "The other half stands at (-k, -k): with both the sum is real, take .real."
            ),
        ),
        (
            of(np.abs(right)),
            "abs() turns negative logits around: what comes back is real, take .real.",
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
            of(2 * mean + waves),
            "The constant has twice its size: u . u is p^2 for the function 1, p^2/2 for a cosine.",
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
            "The labels are not a + b mod p: a, b and a - b as labels give this loss.",
        ),
        (
            cross_entropy(right, logits.reshape(p * p, p).argmax(axis=1)),
            "The labels are the classes of the largest logits: they must be a + b mod p.",
        ),
        (
            (right.reshape(p * p, p).argmax(axis=1) == labels).mean(),
            "It is an accuracy: the cross-entropy is asked for.",
        ),
        (
            of(logits + waves),
            "The logits are still in it: begin with each class's constant, and add the waves to that.",
        ),
        (
            of(_along(logits, frequencies, 0)),
            "It filters along a alone, with b as it comes: the waves are functions of a + b.",
        ),
        (
            of(_along(logits, frequencies, 1)),
            "It filters along b alone, with a as it comes: the waves are functions of a + b.",
        ),
        (
            of(mean + _onto(logits, frequencies, lambda f, x, y: f(x) * f(y))),
            (
                "cos a cos b and sin a sin b are kept apart: cos(a + b) is one wave, their difference, and "
                "sin(a + b) another."
            ),
        ),
        (
            of(mean + _onto(logits, frequencies, lambda f, x, y: f(x) + f(y))),
            "cos a + cos b is no wave of a + b: add a and b first, then take the cosine.",
        ),
        (
            of(mean + waves.sum(axis=2, keepdims=True) + 0 * waves),
            "It adds up over the classes as well: each class has a projection of its own.",
        ),
        (
            of(mean + _one_for_all(logits, frequencies)),
            (
                "It has one coefficient for all classes, that of cos(2 pi k (a + b - c)/p): each class has "
                "its own, of cosine and of sine."
            ),
        ),
        *(
            (
                of(restricted(logits, [k])),
                "Only one of the frequencies is kept: does the loop begin anew each time?",
            )
            for k in frequencies
            if len(frequencies) > 1
        ),
        (of(p * right), "It is the sum along a + b = s, p pairs each: their mean."),
        *(
            (
                of(logits.mean(axis=axis, keepdims=True) + waves),
                "The constant is a mean over a alone or b alone: take it over all pairs, dim=(0, 1).",
            )
            for axis in (0, 1)
        ),
        (
            of(restricted(logits, range(1, len(frequencies) + 1))),
            "Its frequencies are 1, 2, ...: the entries of the list are asked for, not their places.",
        ),
        (
            of(restricted(logits, range(1, max([0, *(int(k) for k in frequencies)]) + 1))),
            "It keeps all frequencies up to the largest: those in the list alone.",
        ),
        (of(shares), "It takes the softmax twice: cross_entropy takes logits, not probabilities."),
        (loss * p**2, "It is the sum over all pairs: their mean."),
        (loss * p, "It is the sum over a or b: the mean over all pairs."),
        (-loss, "The sign is turned: the loss is minus the logarithm of a probability."),
        (own.mean(), "It is a probability: the loss is minus its logarithm."),
        (-np.log(own.mean()), "The mean is taken of the probabilities: the logarithm comes first."),
        (loss / np.log(2), "It is in bits: natural logarithms."),
    ]
