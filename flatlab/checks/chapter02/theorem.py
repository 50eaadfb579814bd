"""The matrix of Theorem 1, against the mean over all batches of (I - eta H_batch)^2."""

import numpy as np
import torch

from flatlab.checks.answers import array, compare
from flatlab.checks.chapter02.batches import second_moment
from flatlab.checks.chapter02.multiplier import LEFT_TO_RIGHT
from flatlab.checks.core import Exercise
from flatlab.checks.toys import normal

stability_matrix = Exercise(
    "stability_matrix",
    remaining=(
        "samples whose Hessians are all equal",
        "two samples in one dimension",
        "hessians that are left as they were",
    ),
)


def matrix_mistakes(hessians: np.ndarray, rate: float, b: int) -> list[tuple]:
    """What wrong matrices equal, and what each got wrong."""
    n, d, _ = hessians.shape
    mean, squares = hessians.mean(0), (hessians @ hessians).mean(0)
    sigma, identity = squares - mean @ mean, np.eye(d)
    step = identity - rate * mean
    drift, factor = step @ step, rate**2 * (n - b) / (b * (n - 1))
    entrywise = (hessians**2).mean(0) - mean**2
    total = hessians.sum(0)
    step_of_sum = identity - rate * total
    summed = "H is the mean of the H_i, not their sum."
    both = "Both squares are taken entry by entry: H^2 is the matrix product H @ H."
    return [
        (step**2 + factor * entrywise, both),
        (
            drift + factor * entrywise,
            "Sigma holds the variances of single entries. H_i^2 and H^2 are matrix products: H @ H.",
        ),
        (
            step**2 + factor * sigma,
            "(I - eta H)^2 is taken entry by entry: it is the matrix product with itself.",
        ),
        (
            (1 - rate * mean) @ (1 - rate * mean) + factor * sigma,
            "1 - eta H subtracts from ones everywhere; the identity has them on its diagonal only.",
        ),
        (
            (1 - rate * mean) ** 2 + factor * sigma,
            (
                "1 - eta H subtracts from ones everywhere, and is squared entry by entry: it takes the "
                "identity torch.eye(d), and a matrix product."
            ),
        ),
        (drift + factor * squares, "Sigma lacks its second part: the mean of H_i^2, minus H^2."),
        (drift + factor * (squares - total @ total), summed),
        (step_of_sum @ step_of_sum + factor * (squares - total @ total), summed),
        (
            step_of_sum @ step_of_sum + factor * sigma,
            "In I - eta H stands the sum of the H_i: H is their mean.",
        ),
        (
            step_of_sum @ step_of_sum + factor * (n * squares - total @ total),
            "Nothing is divided by n: H and the mean of the H_i^2 are both means.",
        ),
        (drift - factor * sigma, "The noise is subtracted: is Sigma the mean of H_i^2 minus H^2?"),
        (
            drift + rate**2 / b * sigma,
            (
                "The noise is divided by B alone, as if a sample could be drawn twice. A batch holds "
                "different samples: (n - B)/(B (n - 1))."
            ),
        ),
        (
            drift + rate**2 * b * (n - 1) / (n - b) * sigma if b < n else np.nan * sigma,
            "The fraction is upside down: the noise must vanish for B = n.",
        ),
        (drift + rate**2 * (n - b) / b * (n - 1) * sigma, LEFT_TO_RIGHT),
        (drift + factor / rate * sigma, "The noise has eta; it must be eta squared."),
        (drift + factor / rate**2 * sigma, "The noise lacks eta squared."),
        (drift + factor * b * sigma, "The noise is not divided by the batch size B."),
        (
            drift + factor * n / (n - 1) * sigma,
            "Sigma is divided by n - 1 where the mean over n samples belongs.",
        ),
        (drift + factor * n * sigma, "The H_i^2 are summed; Sigma takes their mean."),
        (step + factor * sigma, "I - eta H is not squared."),
        (drift, "Only (I - eta H)^2 is there: where does the noise enter?"),
    ]


@stability_matrix.check("a count over all batches")
class EveryBatch:
    hints = (
        (
            "same dtype",
            "torch.eye(d) is float32 unless it is told otherwise: dtype=hessians.dtype.",
        ),
    )

    def draw(self, generator):
        halves = normal(generator, 5, 3, 3)
        return {
            "hessians": halves + halves.transpose(1, 2),
            "learning_rate": 0.3,
            "batch_size": 2,
        }

    def call(self, student, inputs):
        hessians = torch.tensor(inputs["hessians"], dtype=torch.float64)
        shape = tuple(hessians.shape[1:])
        matrix = student(hessians, inputs["learning_rate"], inputs["batch_size"])
        return {"matrix": array(matrix, shape)}

    def verdict(self, inputs, outputs):
        hessians = np.array(inputs["hessians"], dtype=float)
        rate, b = inputs["learning_rate"], inputs["batch_size"]
        return compare(
            outputs["matrix"],
            second_moment(hessians, rate, b),
            1e-4,
            matrix_mistakes(hessians, rate, b),
            f"For {len(hessians)} samples and batches of {b}, the mean of (I - eta H_batch)^2 over "
            "all batches is {expected}, row after row; yours is {got}.",
        )


@stability_matrix.check("gradient descent, B = n")
class AllSamples(EveryBatch):
    hints = (
        *EveryBatch.hints,
        ("ZeroDivisionError", "For B = n the noise is 0: n - B belongs above the line."),
    )

    def draw(self, generator):
        return {**super().draw(generator), "batch_size": 5}
