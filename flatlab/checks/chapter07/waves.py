"""The power of an embedding at each frequency on NumPy arrays, right and in known wrong ways."""

from __future__ import annotations

import numpy as np


def basis(p: int) -> np.ndarray:
    """An orthonormal basis of the functions on p numbers, p odd: 1, then cos and sin of each frequency.

    (p, p), a column each: 1/sqrt(p), sqrt(2/p) cos(2 pi k a/p), sqrt(2/p) sin(2 pi k a/p), k to (p-1)/2.
    """
    a = np.arange(p)
    columns = [np.full(p, p**-0.5)]
    for k in range(1, (p - 1) // 2 + 1):
        angle = 2 * np.pi * k * a / p
        columns += [(2 / p) ** 0.5 * np.cos(angle), (2 / p) ** 0.5 * np.sin(angle)]
    return np.stack(columns, axis=1)


def power(embedding: np.ndarray) -> np.ndarray:
    """Squared coefficients, summed over the columns and over cos and sin: ((p + 1)/2,)."""
    squares = (basis(len(embedding)).T @ embedding) ** 2
    each = squares.sum(axis=1)
    return np.concatenate([each[:1], each[1::2] + each[2::2]])


def power_mistakes(embedding: np.ndarray) -> list[tuple[np.ndarray, str]]:
    """What wrong spectra equal, and what was done."""
    p, d = embedding.shape
    right = power(embedding)
    coefficients = basis(p).T @ embedding
    transformed = np.fft.fft(embedding, axis=0, norm="ortho")
    whole = (np.abs(transformed) ** 2).sum(axis=1)
    cosines, sines = coefficients[1::2], coefficients[2::2]
    first = right[:1]

    def scaled(constant: float, waves: float) -> np.ndarray:
        return np.concatenate([constant * first, waves * right[1:]])

    def of(waves: np.ndarray) -> np.ndarray:
        return np.concatenate([first, waves])

    mean = embedding.mean(axis=1, keepdims=True)
    return [
        (
            scaled(1, 0.5),
            (
                "The waves have half of their power: k and p - k are one wave, so a cosine of length 1 is "
                "sqrt(2/p) cos. Does your sum over all k equal the sum of the squared entries?"
            ),
        ),
        (
            scaled(2, 1),
            "The constant has twice its power: for k = 0 there is no sine, and its length 1 is 1/sqrt(p).",
        ),
        (
            scaled(p, p / 2),
            (
                "It is |F|^2 without the lengths of the waves: divide by p, and count k and p - k both. Does "
                "your sum over all k equal the sum of the squared entries?"
            ),
        ),
        (
            scaled(p, p),
            "It is p times too large: a wave of length 1 has the factor sqrt(2/p), squared 2/p.",
        ),
        (
            scaled(2 * p, p),
            "It is p times too large, and the constant twice that: their lengths squared are p/2 and p.",
        ),
        (
            scaled(1 / p, 1 / p),
            (
                "It is p times too small: dividing by p**2 makes amplitudes of a wave, not of a basis of "
                "length 1."
            ),
        ),
        (
            scaled(1 / p, 0.5 / p),
            "It divides by p**2, and counts k without p - k: divide by p, and double the waves.",
        ),
        *(
            (
                scaled(constant / p, 2 / p),
                "It is each amplitude squared: a cos has the power a^2 p/2.",
            )
            for constant in (1, 2, 4)
        ),
        (right**0.5, "It is the root of the power: leave the squares as they are."),
        (100 * right / right.sum(), "It is in percent of the sum: the power itself is asked for."),
        (
            np.sqrt(fold(np.abs(transformed))).sum(axis=1),
            "It adds up lengths: the power is their square, and the squares are added up.",
        ),
        (
            fold(np.abs(transformed)).sum(axis=1),
            "The lengths of the coefficients are not squared.",
        ),
        (
            fold(np.abs(transformed).sum(axis=1) ** 2),
            "The columns are added before they are squared: square each coefficient first.",
        ),
        (
            np.concatenate([first / p, right[1:]]),
            "The constant is p times too small: its coefficient is the sum over sqrt(p), not the mean.",
        ),
        *(
            (
                np.concatenate([of_sums, right[1:]]),
                "For k = 0 the columns are added before they are squared: square first.",
            )
            for of_sums in [power(embedding.sum(axis=1, keepdims=True))[:1]]
            if not np.allclose(of_sums, first)  # the same where one column alone has a constant
        ),
        (
            np.concatenate([right[:-1], right[-1:] / 2]),
            (
                "The last frequency has half of its power: p is odd, so (p - 1)/2 has a mirror as well, "
                "(p + 1)/2."
            ),
        ),
        (
            np.concatenate([first, whole[1 : (p + 1) // 2] + whole[(p + 1) // 2 :]]),
            "Place k is added to (p - 1)/2 + k: the mirror of k is p - k, so turn the second half around.",
        ),
        (scaled(p / d, p / d), "It is divided by the number of columns: by p."),
        (
            power(embedding / np.linalg.norm(embedding, axis=0)),
            "The columns are divided by their lengths first: the power itself is asked for.",
        ),
        (right / d, "It is the mean over the columns: add them up."),
        (right / right.sum(), "It is divided by the sum: the power itself is asked for."),
        (right / right.max(), "It is divided by its largest entry: the power itself is asked for."),
        (
            of((cosines**2).sum(1)),
            "The sines are missing: a wave shifted by a quarter has no cosine.",
        ),
        (of((sines**2).sum(1)), "The cosines are missing."),
        (
            of(((cosines + sines) ** 2).sum(1)),
            "Cosine and sine are added before they are squared: square first.",
        ),
        (
            power(embedding.sum(axis=1, keepdims=True)),
            "The columns are added before the transform: their waves cancel. Square first.",
        ),
        (power(mean), "The columns are averaged before the transform: their waves cancel."),
        (
            power(embedding - embedding.mean(axis=0)),
            "The constant is subtracted, so k = 0 has nothing.",
        ),
        (
            np.concatenate([right[1:], right[-1:]]),
            "It begins at k = 1: k runs from 0 to (p - 1)/2.",
        ),
        (right[::-1], "It runs backwards: k = 0 comes first."),
        (np.sort(right)[::-1], "It is sorted: entry k belongs to the frequency k."),
        (np.cumsum(right), "It is summed up to k: each frequency alone."),
        (power(other_waves(embedding, np.pi / p)), "The factor 2 is missing in 2 pi k a / p."),
        (power(other_waves(embedding, 1 / p)), "The factor 2 pi is missing in 2 pi k a / p."),
        (power(other_waves(embedding, 2 * np.pi)), "The angle 2 pi k a is not divided by p."),
        (
            power(other_waves(embedding, 2 * np.pi / (p - 1))),
            "The waves close after p - 1 numbers: the angle is 2 pi k a / p, a from 0 to p - 1.",
        ),
    ]


def fold(each: np.ndarray) -> np.ndarray:
    """What the transform has at k from 0 on, the waves twice, since p - k has the same: ((p + 1)/2, ...)."""
    return np.concatenate([each[:1], 2 * each[1 : (len(each) + 1) // 2]])


def other_waves(embedding: np.ndarray, turn: float) -> np.ndarray:
    """An embedding whose power is what waves of the angle turn k a, as if of length 1, take of this one."""
    p, _ = embedding.shape
    angle = turn * np.outer(np.arange(1, (p - 1) // 2 + 1), np.arange(p))
    scale = (2 / p) ** 0.5
    rows = [p**-0.5 * np.ones(p)]
    for each in angle:
        rows += [scale * np.cos(each), scale * np.sin(each)]
    return basis(p) @ (np.stack(rows) @ embedding)
