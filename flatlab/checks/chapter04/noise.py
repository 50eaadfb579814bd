"""The noise of minibatch gradients."""

import math

import numpy as np
import torch

from flatlab.checks.answers import array, compare
from flatlab.checks.core import Exercise
from flatlab.checks.toys import normal

gradient_noise = Exercise(
    "gradient_noise",
    remaining=("as many minibatches as parameters", "minibatches that all agree"),
)


def noise_mistakes(gradients: np.ndarray) -> list[tuple]:
    """What wrong noise equals, and what was done."""
    k, p = gradients.shape
    full = gradients.mean(0)
    right = gradients - full
    running = gradients.copy()
    for i in range(k):
        running[i] -= running.mean(0)
    spread = right.std(0) + 1e-300
    wrong = [
        (-right, "The sign is turned: the noise is the minibatch's gradient minus the full one."),
        (gradients, "These are the gradients themselves: the full gradient is not subtracted."),
        (
            gradients - gradients.mean(),
            (
                "One number is subtracted everywhere, the mean of all entries. The full gradient has one "
                "entry for each parameter: the mean over the minibatches, dim 0."
            ),
        ),
        (
            gradients - gradients.mean(1, keepdims=True),
            (
                "From each row its own mean over the parameters is subtracted: the mean runs over the "
                "minibatches, dim 0."
            ),
        ),
        (
            gradients - gradients.sum(0),
            "The sum over the minibatches is subtracted: the full gradient is their mean.",
        ),
        (
            running,
            "The mean is computed again after rows have changed. Compute it once, before the loop.",
        ),
        (
            right * math.sqrt(k / (k - 1)),
            "The noise is multiplied by the root of k/(k - 1): it is the plain difference.",
        ),
        (right * k, "The noise is multiplied by k: the full gradient is the mean of the rows."),
        (right / k, "The noise is divided by k: it is the plain difference."),
        (np.abs(right), "The noise has no sign left: is it an absolute value?"),
        (right**2, "The noise is squared."),
        (right * k / (k - 1), "From each row the mean of the others is subtracted: take all rows."),
        (np.broadcast_to(full, (k, p)), "This is the full gradient, once for each minibatch."),
        (
            np.broadcast_to(right[-1], (k, p)),
            "Every row is the noise of the last minibatch: is it one tensor, put into the list k times?",
        ),
        (right - right[:1], "The first minibatch is subtracted, not the mean of all."),
    ]
    for divisor in (spread, right.std(0, ddof=1) + 1e-300):
        message = "Each column is divided by its standard deviation: the noise keeps its scale."
        wrong.append((right / divisor, message))
    if k == p:
        message = (
            "Row means are subtracted from the columns: g - g.mean(1) broadcasts along the wrong "
            "axis here, where k = p. The mean runs over the minibatches, dim 0."
        )
        wrong.append((gradients - gradients.mean(1), message))
    return wrong


@gradient_noise.check("minibatches of a regression")
class Regression:
    hints = (
        (
            "must match the size of tensor",
            "The mean over the minibatches, g.mean(0), has one entry for each parameter.",
        ),
    )

    def draw(self, generator):
        """Gradients of (x.w - y)^2 over 7 minibatches of 5 samples, far from the minimum."""
        x, y, w = normal(generator, 7, 5, 4), normal(generator, 7, 5), 3 + normal(generator, 4)
        error = (x * w).sum(2) - y
        return {"gradients": 2 * (error[:, :, None] * x).mean(1)}

    def call(self, student, inputs):
        gradients = torch.tensor(inputs["gradients"])
        noise = array(student(gradients), tuple(gradients.shape))
        return {"noise": noise, "after": gradients}

    def verdict(self, inputs, outputs):
        gradients = np.asarray(inputs["gradients"])
        wrong = compare(
            outputs["noise"],
            gradients - gradients.mean(0),
            1e-5,
            noise_mistakes(gradients),
            "The first row of numbers should begin {expected}; yours is {got}. Each column must add "
            "up to 0 over the minibatches.",
        )
        if wrong:
            return wrong
        if not np.array_equal(outputs["after"], gradients):
            return (
                "The gradients that were passed in have changed: `-=` writes into the caller's tensor. "
                "Return a new one."
            )
        return None
