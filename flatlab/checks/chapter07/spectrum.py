"""The power of an embedding at each frequency, against sums over an orthonormal basis."""

from __future__ import annotations

import numpy as np
import torch

from flatlab.checks.answers import array, compare
from flatlab.checks.chapter07.waves import power, power_mistakes
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
            f"(p - 1)/2, {wanted} in all. Or each row was transformed, as fft and rfft do without dim=0."
        )
    if shape == (wanted - 1,):
        raise WrongAnswer(
            f"It returned {wanted - 1} numbers: k = 0, the constant, comes first, and (p - 1)/2 last, so "
            f"that there are {wanted}."
        )
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
