"""The penalty that generalized cross-validation chooses, and its scores."""

from __future__ import annotations

import numpy as np
import torch

from flatlab.checks.answers import array, close
from flatlab.checks.chapter02.batches import lent
from flatlab.checks.chapter04.refusals import refusal, refusal_verdict
from flatlab.checks.chapter08.fits import HINTS, matrix, spread
from flatlab.checks.chapter08.generalized import gcv, score_mistakes
from flatlab.checks.chapter08.ridge import lent_ridge_fit
from flatlab.checks.core import Exercise, WrongAnswer
from flatlab.checks.toys import normal

optimal_ridge = Exercise(
    "optimal_ridge",
    remaining=("targets in columns", "penalties in any order", "a penalty that is not positive"),
)

NAMES = ("features", "targets", "penalties")
PENALTIES = (0.05, 0.15, 0.4, 1.0, 3.0, 8.0, 25.0)
GCV_HINTS = (
    (
        "must match the size of tensor",
        (
            "penalties has m entries, and the singular values are as many as n or N, whichever is smaller: "
            "penalties[:, None] makes a row for each penalty."
        ),
    ),
    ("out of bounds", "Each score is one number: for k outputs the squares of all are added up."),
    *HINTS,
    ("ValueError", "All these penalties are positive: only others are refused."),
)


def read_choice(value: object, m: int) -> tuple[float, np.ndarray]:
    """The chosen penalty and the scores (m,); says what came instead."""
    if value is None:
        raise WrongAnswer("It returned None: is the return statement missing?")
    if not isinstance(value, list | tuple) or len(value) != 2:
        raise WrongAnswer(
            f"It returned a {type(value).__name__}: two things are needed, the penalty and the scores of "
            "all penalties."
        )
    first, second = value
    if np.shape(first) == (m,) and np.shape(second) in ((), (1,)):
        raise WrongAnswer("The two are exchanged: the penalty comes first, then the scores.")
    return float(array(first, (), "The first")), array(second, (m,), "The second, the scores,")


def choice_verdict(penalties: np.ndarray, right: np.ndarray, choice: float) -> str | None:
    """None where the penalty with the smallest of these scores was chosen."""
    best = int(right.argmin())
    if close(choice, penalties[best], 1e-5):
        return None
    for value, message in (
        (
            penalties[right.argmax()],
            "It chose the penalty with the largest score: the smallest is wanted.",
        ),
        (float(best), "It returned the place of the smallest score: return the penalty there."),
        (right.min(), "It returned the smallest score: return its penalty."),
        (penalties.min(), "It chose the smallest penalty."),
        (penalties.max(), "It chose the largest penalty."),
    ):
        if close(choice, value, 1e-4):
            return f"The scores are right. {message}"
    return (
        f"The scores are right, and the smallest belongs to the penalty {penalties[best]:g}; it returned "
        f"{choice:.4g}."
    )


class Choice:
    """Not a check by itself: a subclass says which data and penalties."""

    hints = GCV_HINTS
    measured = ("after",)
    n, count, outputs = 12, 5, ()
    penalties = PENALTIES

    def draw(self, generator):
        """Signal and noise so that neither the smallest nor the largest penalty is the best."""
        penalties = torch.tensor(self.penalties, dtype=torch.float64)
        features = matrix(generator, self.n, self.count, spread(min(self.n, self.count)))
        for _ in range(1000):
            signal = features @ normal(generator, self.count, *self.outputs)
            targets = signal + 0.7 * normal(generator, self.n, *self.outputs)
            best = int(gcv(features.numpy(), targets.numpy(), penalties.numpy()).argmin())
            if 1 < best < len(penalties) - 2:
                break
        return dict(zip(NAMES, (features, targets, penalties), strict=True))

    def call(self, student, inputs):
        given = [torch.tensor(inputs[name]) for name in NAMES]
        with lent(student, ridge_fit=lent_ridge_fit):
            choice, found = read_choice(student(*given), len(given[2]))
        return {"choice": choice, "scores": found, "after": given}

    def verdict(self, inputs, outputs):
        features, targets, penalties = (np.asarray(inputs[name]) for name in NAMES)
        for name, after in zip(NAMES, outputs["after"], strict=True):
            if not np.array_equal(after, inputs[name]):
                return (
                    f"It writes into the caller's {name}: `-=`, `/=` and sort_ change a tensor in place. "
                    "Make a new one."
                )
        got, right = outputs["scores"], gcv(features, targets, penalties)
        if not np.isfinite(got).all():
            return "The scores hold NaN or inf: is a denominator 0?"
        if close(got, right, 1e-3):
            return choice_verdict(penalties, right, float(outputs["choice"]))
        if close(np.sort(got), np.sort(right), 1e-3):
            return "The scores are right, but in another order than the penalties."
        for value, message in score_mistakes(features, targets, penalties):
            if close(got, value, 1e-4) and not close(value, right, 3e-3):
                return message
        return (
            f"For the penalty {penalties[0]:g} the score is {got[0]:.4g}; {right[0]:.4g} is right. For "
            f"{penalties[-1]:g} it is {got[-1]:.4g}; {right[-1]:.4g} is right."
        )


@optimal_ridge.check("fewer features than samples")
class FewFeatures(Choice):
    pass


@optimal_ridge.check("more features than samples")
class ManyFeatures(Choice):
    n, count = 8, 14


class NotPositive:
    """Not a check by itself: penalties that are refused."""

    def draw(self, generator):
        return {
            "features": normal(generator, 4, 3),
            "targets": normal(generator, 4),
            "penalties": [[0.5, 0.0, 1.0], [0.5, -0.1]],
        }

    def call(self, student, inputs):
        features, targets = torch.tensor(inputs["features"]), torch.tensor(inputs["targets"])
        raised = []
        for penalties in inputs["penalties"]:
            given = torch.tensor([float(p) for p in penalties], dtype=torch.float64)
            with lent(student, ridge_fit=lent_ridge_fit):
                raised.append(refusal(student, features, targets, given))
        return {"raised": raised}

    def verdict(self, inputs, outputs):
        for penalties, raised in zip(inputs["penalties"], outputs["raised"], strict=True):
            told = ", ".join(f"{p:g}" for p in penalties)
            if message := refusal_verdict(raised, f"the penalties {told}"):
                return message
        return None
