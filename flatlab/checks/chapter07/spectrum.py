"""The power of an embedding at each frequency, against sums over an orthonormal basis."""

from __future__ import annotations

import numpy as np
import torch

from flatlab.checks.answers import array, compare
from flatlab.checks.core import Exercise, WrongAnswer
from flatlab.checks.toys import normal

fourier_power = Exercise(
    "fourier_power",
    remaining=("a single column", "the numbers multiplied by 2", "a float32 embedding of p = 3"),
)

HINTS = (
    (
        "shapes cannot be multiplied",
        "The sums run over the p rows: a basis of shape (K, p) times the embedding (p, d).",
    ),
    ("must match the size of tensor", "A wave has p values, one a row: wave[:, None] * embedding."),
    (
        "expected m1 and m2",
        "The waves need the dtype of the embedding: torch.arange(p, dtype=embedding.dtype).",
    ),
    (
        "same dtype",
        "The waves need the dtype of the embedding: torch.arange(p, dtype=embedding.dtype).",
    ),
    ("must be Tensor, not", "torch.cos takes a tensor: math.cos takes a single number."),
    (
        "numpy.fft",
        "torch.fft.rfft(embedding, dim=0) takes the tensor as it is.",
    ),
    ("complex", "The power of a complex number is abs() ** 2, a real number."),
)


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
        (power(half_waves(embedding)), "The factor 2 is missing in 2 pi k a / p."),
    ]


def half_waves(embedding: np.ndarray) -> np.ndarray:
    """An embedding whose power is what waves of pi k a / p, as if of length 1, take of this one."""
    p, _ = embedding.shape
    angle = np.pi * np.outer(np.arange(1, (p - 1) // 2 + 1), np.arange(p)) / p
    scale = (2 / p) ** 0.5
    rows = [p**-0.5 * np.ones(p)]
    for each in angle:
        rows += [scale * np.cos(each), scale * np.sin(each)]
    return basis(p) @ (np.stack(rows) @ embedding)


def spectrum(student, embedding: torch.Tensor) -> np.ndarray:
    """The student's power as an array of (p + 1)/2 numbers."""
    p, d = embedding.shape
    result = student(embedding)
    wanted = (p + 1) // 2
    if result is not None and not isinstance(result, torch.Tensor):
        raise WrongAnswer(
            f"It returned a {type(result).__name__}: a tensor of shape ({wanted},) is needed."
        )
    shape = None if result is None else tuple(result.shape)
    if result is not None and result.is_complex():
        raise WrongAnswer(
            "It returned complex numbers: the power of a coefficient is abs() ** 2, and real."
        )
    if shape == (p,):
        raise WrongAnswer(
            f"It returned {p} numbers: k and p - k are the same wave on whole numbers, so k runs from 0 to "
            f"(p - 1)/2, {wanted} in all."
        )
    if shape == (wanted - 1,):
        raise WrongAnswer(f"It returned {wanted - 1} numbers: k = 0, the constant, comes first.")
    if shape in ((d,), (d // 2 + 1,)) and wanted not in (d, d // 2 + 1):
        raise WrongAnswer(
            f"It returned shape {shape} for an embedding of shape ({p}, {d}): the waves run over the rows, "
            "dim=0, and the columns are added up."
        )
    if shape in ((wanted, d), (d, wanted)):
        raise WrongAnswer(f"It returned shape {shape}: add up the {d} columns, sum(dim=1).")
    return array(result, (wanted,))


class Embedded:
    """Not a check by itself: a subclass says which embedding."""

    hints = HINTS
    measured = ("after",)
    size = (13, 5)
    tolerance = 1e-5

    def draw(self, generator):
        return {"embedding": 0.4 + normal(generator, *self.size)}

    def call(self, student, inputs):
        embedding = torch.tensor(inputs["embedding"])
        return {"power": spectrum(student, embedding), "after": embedding}

    def verdict(self, inputs, outputs):
        embedding = np.asarray(inputs["embedding"], dtype=np.float64)
        wrong = compare(
            outputs["power"],
            power(embedding),
            self.tolerance,
            power_mistakes(embedding),
            "The power from k = 0 on is {got}; {expected} is right.",
        )
        if wrong is None and not np.array_equal(outputs["after"], inputs["embedding"]):
            return "The embedding that was passed in has changed: `-=` and `*=` write into it."
        return wrong


@fourier_power.check("columns that are single waves")
class Waves(Embedded):
    """One column of a wave a cos(2 pi k x/p + phase) has the power a^2 p/2 at k, and none elsewhere."""

    def draw(self, generator):
        p, ks = 13, torch.tensor([1, 4, 4, 6, 0])
        phases = 0.3 + torch.rand(5, generator=generator, dtype=torch.float64)
        sizes = 1 + torch.rand(5, generator=generator, dtype=torch.float64)
        angle = 2 * torch.pi * torch.arange(p, dtype=torch.float64)[:, None] * ks / p
        return {"embedding": sizes * torch.cos(angle + phases)}


@fourier_power.check("random numbers, whose squares it parts among the frequencies")
class Parseval(Embedded):
    def verdict(self, inputs, outputs):
        embedding = np.asarray(inputs["embedding"])
        total, squares = float(np.sum(outputs["power"])), float(np.sum(embedding**2))
        wrong = super().verdict(inputs, outputs)
        if wrong and wrong.startswith("The power from") and abs(total / squares - 1) > 1e-4:
            return (
                f"The powers add up to {total:.4g}, the squared entries to {squares:.4g}. Coefficients in an "
                "orthonormal basis have the same sum of squares as the entries."
            )
        return wrong
