"""The two parts of a risk: what the mean of many fits misses, and how far single fits lie from it."""

from __future__ import annotations

import math

import numpy as np
import torch

from flatlab.checks.answers import array, close
from flatlab.checks.core import Exercise, WrongAnswer
from flatlab.checks.toys import normal

bias_variance = Exercise(
    "bias_variance",
    remaining=("as many fits as points", "a single fit", "fits that agree"),
)

HINTS = (
    (
        "must match the size of tensor",
        "The mean over the fits is over dimension 0: it has the shape of targets.",
    ),
    (
        "could not be broadcast",
        "The mean over the fits is over dimension 0: it has the shape of targets.",
    ),
    (
        "doesn't match the broadcast shape",
        "`-=` writes into the tensor on its left, which has another shape: write a - b instead.",
    ),
)


def parts(predictions: np.ndarray, targets: np.ndarray) -> tuple[float, float]:
    """Squared bias and variance, each averaged over the points; their sum is the mean squared error."""
    mean = predictions.mean(axis=0)
    return float(((mean - targets) ** 2).mean()), float(((predictions - mean) ** 2).mean())


def over_outputs(right: float, predictions: np.ndarray) -> list[tuple]:
    """The same added up over the outputs, where there are some."""
    if predictions.ndim < 3:
        return []
    return [
        (right * predictions.shape[2], "It adds up over the outputs: take the mean of them, too.")
    ]


def bias_mistakes(predictions: np.ndarray, targets: np.ndarray) -> list[tuple]:
    """What wrong squared biases equal, and what was done."""
    p, y = predictions.reshape(len(predictions), -1), targets.reshape(-1)
    gap = p.mean(axis=0) - y
    wrong = over_outputs((gap**2).mean(), predictions) + [
        (
            ((p - y) ** 2).mean(),
            "This is the whole risk: average over the fits first, and square what is left.",
        ),
        (
            gap.mean() ** 2,
            (
                "The differences are averaged over the points before they are squared, so that too high at "
                "one point and too low at another cancel."
            ),
        ),
        (gap.mean(), "The differences are not squared, so that they cancel."),
        (np.abs(gap).mean(), "It takes absolute values: the squared bias is asked for."),
        ((gap**2).sum(), "It adds up over the points: take the mean."),
        (np.linalg.norm(gap), "This is a norm: it is neither squared nor a mean."),
        ((gap**2).mean() ** 2, "The squared bias is squared once more."),
        ((gap**2).mean() ** 0.5, "This is a root: the squared bias is asked for."),
        (((p.mean() - y) ** 2).mean(), "One mean is taken over fits and points together."),
        (
            ((p[0] - y) ** 2).mean(),
            "Only the first fit enters: the mean over the fits is asked for.",
        ),
        (
            ((np.median(p, axis=0) - y) ** 2).mean(),
            "It takes the median over the fits: bias and variance are about their mean.",
        ),
        (
            ((p.mean(axis=0)[:, None] - y) ** 2).mean(),
            (
                "The mean at every point is compared with the targets of all points: shapes such as (n, 1) and "
                "(n,) broadcast to (n, n)."
            ),
        ),
        (
            ((p.sum(axis=0) - y) ** 2).mean(),
            "The predictions are added up over the fits: take the mean.",
        ),
    ]
    if len(p) == len(y):
        wrong.append((((p.mean(axis=1) - y) ** 2).mean(), AXIS))
    return wrong


AXIS = "The mean is taken over the points of each fit: dimension 0 counts the fits."


def variance_mistakes(predictions: np.ndarray, targets: np.ndarray) -> list[tuple]:
    """What wrong variances equal, and what was done."""
    s = len(predictions)
    p, y = predictions.reshape(s, -1), targets.reshape(-1)
    mean = p.mean(axis=0)
    right = ((p - mean) ** 2).mean()
    deviation = "These are standard deviations: the variance is their square, before the mean over the points."
    together = (
        "It is the spread of all predictions around one number. They differ from point to point for "
        "another reason: take the variance at each point, over the fits."
    )
    across = "This is how the mean varies from point to point: the variance is over the fits."
    wrong = over_outputs(right, predictions) + [
        (
            ((p - y) ** 2).mean(),
            "It measures from the targets: from the mean of the fits is asked for.",
        ),
        (np.abs(p - mean).mean(), "It takes absolute values: squares are asked for."),
        (
            -right,
            "Its sign is turned: the mean of the squares comes first, the square of the mean after.",
        ),
        (np.linalg.norm(p - mean), "This is a norm: it is neither squared nor a mean."),
        (right**2, "The variance is squared once more."),
        (
            ((p - y) ** 2).mean(axis=1).var(),
            "It is how the errors of the fits differ: the variance is that of the predictions.",
        ),
        (
            (p - y).var(),
            (
                "It is the spread of all errors around their mean. The mean of the fits at each point belongs "
                "there, in which the errors of the points differ."
            ),
        ),
        (y.var(), "It is how the targets vary from point to point: they do not enter."),
        (
            ((p - mean) ** 2).mean(axis=1).sum(),
            "It adds up over the fits: take the mean.",
        ),
        (((p - mean) ** 2).mean(axis=0).sum(), "It adds up over the points: take the mean."),
        (right**0.5, "This is a root: the variance is asked for."),
        (mean.var(), across),
        (p.std(axis=0).mean(), deviation),
        (p.std(axis=0).mean() ** 2, deviation),
        (p.var(), together),
        (p.var(ddof=1), together),
    ]
    if p.shape[1] > 1:
        wrong += [
            (p.var(axis=1).mean(), AXIS),
            (p.var(axis=1, ddof=1).mean(), AXIS),
            (mean.var(ddof=1), across),
        ]
    if s > 1:
        wrong += [
            (
                right * s / (s - 1),
                (
                    f"It is {s}/{s - 1} of the right one: it divides by the number of fits less 1, as torch.var "
                    "does unless told otherwise. Then bias and variance do not add up to the risk."
                ),
            ),
            (right / s, "It is divided by the number of fits once too often."),
            (p.std(axis=0, ddof=1).mean(), deviation),
            (p.std(axis=0, ddof=1).mean() ** 2, deviation),
        ]
    return wrong


def parts_verdict(predictions: np.ndarray, targets: np.ndarray, got: list[float]) -> str | None:
    """None where ``got`` is squared bias and variance, else the likely cause."""
    bias, variance = parts(predictions, targets)
    risk = bias + variance
    for name, value in zip(("bias", "variance"), got, strict=True):
        if np.isnan(value):
            if len(predictions) > 1:
                return f"The {name} is NaN."
            return (
                f"The {name} is NaN. With a single fit a mean over the fits less 1 divides 0 by 0: divide "
                "by the number of fits."
            )
    first, second = (abs(g - r) <= 1e-4 * risk for g, r in zip(got, (bias, variance), strict=True))
    if first and second:
        return None
    if close(got[::-1], [bias, variance], 1e-4) and abs(bias - variance) > 1e-3 * risk:
        return "The two are exchanged: the squared bias comes first."
    which, value, right = (
        ("variance", got[1], variance) if first else ("squared bias", got[0], bias)
    )
    mistakes = variance_mistakes if first else bias_mistakes
    for wrong, message in mistakes(predictions, targets):
        if abs(value - wrong) <= 1e-5 * risk and abs(wrong - right) > 3e-4 * risk:
            return f"The {which} is not right. {message}"
    return (
        f"The {which} should be {right:.4g}; yours is {value:.4g}. The two must add up to the mean squared "
        f"error of all predictions, {risk:.4g}."
    )


def read_pair(value: object) -> list[float]:
    """Squared bias and variance as numbers; says what came instead of two."""
    if value is None:
        raise WrongAnswer("It returned None: is the return statement missing?")
    if isinstance(value, torch.Tensor | np.ndarray):
        if tuple(value.shape) != (2,):
            raise WrongAnswer(
                f"It returned one tensor of shape {tuple(value.shape)}: two numbers are needed, squared "
                "bias and variance."
            )
    elif isinstance(value, list | tuple) and len(value) != 2:
        raise WrongAnswer(
            f"It returned {len(value)} things: two numbers are needed, squared bias and variance."
        )
    elif not isinstance(value, list | tuple):
        raise WrongAnswer(
            f"It returned a {type(value).__name__}: two numbers are needed, squared bias and variance."
        )
    first, second = value
    if math.prod(np.shape(first)) > 1:
        raise WrongAnswer(
            f"The first has the shape {tuple(np.shape(first))}: it has a value for each point, and the mean "
            "over all points is asked for."
        )
    return [float(array(first, (), "The first")), float(array(second, (), "The second"))]


class Parts:
    """Not a check by itself: a subclass says how many fits, and the shape of the targets."""

    hints = HINTS
    measured = ("after",)
    fits, shape, spread = 5, (8,), 1.6

    def draw(self, generator):
        targets = 2 * normal(generator, *self.shape)
        missed = 2 + 0.5 * normal(generator, *self.shape)
        missed[::3] *= -1  # so that their absolute values are another thing
        apart = self.spread * normal(generator, self.fits, *self.shape)
        return {"predictions": targets + missed + apart, "targets": targets}

    def call(self, student, inputs):
        predictions, targets = torch.tensor(inputs["predictions"]), torch.tensor(inputs["targets"])
        found = read_pair(student(predictions, targets))
        return {"found": found, "after": [predictions, targets]}

    def verdict(self, inputs, outputs):
        predictions, targets = np.asarray(inputs["predictions"]), np.asarray(inputs["targets"])
        for name, after in zip(("predictions", "targets"), outputs["after"], strict=True):
            if not np.array_equal(after, inputs[name]):
                return (
                    f"It writes into the caller's {name}: `-=` changes a tensor in place, and what is "
                    "computed from it later is another thing."
                )
        return parts_verdict(predictions, targets, [float(v) for v in outputs["found"]])


@bias_variance.check("five fits at eight points")
class FiveFits(Parts):
    pass


@bias_variance.check("points with several outputs")
class SeveralOutputs(Parts):
    fits, shape = 4, (6, 3)
