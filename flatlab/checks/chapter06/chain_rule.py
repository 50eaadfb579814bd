"""The gradient in theta of the loss at one point of a curve."""

from __future__ import annotations

import numpy as np
import torch

from flatlab.checks.answers import compare
from flatlab.checks.chapter02.batches import lent
from flatlab.checks.chapter06.formulas import chain, line, parabola
from flatlab.checks.chapter06.paths import NAMES, drawn, tensors, vector
from flatlab.checks.core import Exercise
from flatlab.checks.toys import normal

curve_gradient = Exercise(
    "curve_gradient",
    remaining=("the two ends", "weights of any shape", "one gradient of the loss a call"),
)

CURVES = {"chain": chain, "bezier": parabola}
CALLED = {"chain": "the polygonal chain", "bezier": "the Bézier curve"}
TS = (0.08, 0.23, 0.41, 0.5, 0.62, 0.77, 0.94)
HINTS = (
    ("unexpected keyword argument", "loss_grad takes the weights alone: loss_grad(w)."),
    (
        "does not require grad",
        (
            "loss_grad returns a plain tensor: no graph leads from it back to theta. Multiply it by the "
            "derivative of the point in theta."
        ),
    ),
    ("'str' object is not callable", "curve is a name: choose the function by it."),
    ("positional argument", "loss_grad takes one argument, the weights at which it is asked for."),
    (
        "local variable",
        "Has every case a branch: 'chain' and 'bezier', and t = 1/2, which one of the two halves must take?",
    ),
    ("cannot be multiplied", "The weights may have any shape: a number times loss_grad(w), not @."),
    (
        "1D tensors expected",
        "The weights may have any shape: a number times loss_grad(w), not dot.",
    ),
)


def slope(w, diagonal, start):
    """Gradient of L(w) = sum_i (d_i (w_i - s_i)^2 / 2 + (w_i - s_i)^4 / 4)."""
    return diagonal * (w - start) + (w - start) ** 3


def share(curve: str, t: float) -> float:
    """The derivative of the point in theta, a number: the share of theta in it."""
    return 2 * min(t, 1 - t) if curve == "chain" else 2 * t * (1 - t)


def wrong_shares(curve: str) -> list[tuple]:
    """Functions of t that stand before the gradient in wrong answers, and what was done."""
    other = "bezier" if curve == "chain" else "chain"
    shared = [
        (
            lambda t: 1.0,
            (
                "the gradient at the point is returned as it is: by the chain rule it is "
                "multiplied by the derivative of the point in theta."
            ),
        ),
        (lambda t: share(other, t), "the factor is the one of the other curve."),
        (
            lambda t: share(curve, t) / 2,
            "the factor is half of the right one: the curve has a 2 there.",
        ),
        (lambda t: -share(curve, t), "the sign is turned: this is the gradient, not a step down."),
        (lambda t: share(curve, t) ** 2, "the factor enters twice."),
        (
            lambda t: t,
            "the factor is t. How large is the share of theta in the point? (2 * t * 1 - t is t as well.)",
        ),
        (lambda t: 1 / share(curve, t), "it is divided by the factor instead of multiplied."),
    ]
    if curve == "chain":
        return [
            *shared,
            (
                lambda t: 2 * t if t <= 0.5 else 2 * t - 1,
                "the factor of the second half is 2(t - 1/2): that is the share of w2, not of theta.",
            ),
            (
                lambda t: 2 * t,
                "the factor is 2t in both halves: in the second one theta's share falls.",
            ),
            (lambda t: 2 * (1 - t), "the factor is 2(1 - t) in both halves."),
            (
                lambda t: 2 * max(t, 1 - t),
                "the two halves have each other's factor: theta's share is largest at t = 1/2.",
            ),
        ]
    return [
        *shared,
        (lambda t: 2 - 4 * t, "the factor is the derivative in t. Derive the point in theta."),
    ]


class OneCurve:
    """Not a check by itself: a subclass says which curve."""

    hints = HINTS
    measured = ("after", "asked", "flag")
    curve = "chain"
    ts = TS

    def draw(self, generator):
        diagonal = 0.5 + normal(generator, 4).abs()
        return {
            "ts": list(self.ts),
            "diagonal": diagonal,
            "start": normal(generator, 4),
            **drawn(generator, 4),
        }

    def call(self, student, inputs):
        shape, found, after, counts, flags = np.shape(inputs["w1"]), [], [], [], []
        asked = 0

        def loss_grad(w):
            nonlocal asked
            asked += 1
            w = w.detach()
            terms = [torch.as_tensor(inputs[k], dtype=w.dtype) for k in ("diagonal", "start")]
            return slope(w, *terms)

        with lent(student, polychain=chain, bezier=parabola):
            for t in inputs["ts"]:
                asked, weights = 0, tensors(inputs)
                found.append(vector(student(loss_grad, t, *weights, self.curve), shape))
                counts.append(asked)
                flags.append(any(w.requires_grad for w in weights))
                after.append(torch.stack([w.detach() for w in weights]))
        return {"found": found, "after": after, "asked": counts, "flag": any(flags)}

    def verdict(self, inputs, outputs):
        weights = [np.asarray(inputs[name]) for name in NAMES]
        terms = [np.asarray(inputs[k]) for k in ("diagonal", "start")]
        of = CURVES[self.curve]

        def gradients(curve, factor):
            return [factor(t) * slope(curve(t, *weights), *terms) for t in inputs["ts"]]

        def right(t):
            return share(self.curve, t)

        wrong = [
            (gradients(of, factor), f"For the points of {CALLED[self.curve]}: {message}")
            for factor, message in wrong_shares(self.curve)
        ]
        for place, where in places(self.curve):
            for factor in (right, lambda t: 1.0):
                wrong.append(
                    (gradients(place, factor), f"For the points of {CALLED[self.curve]}: {where}")
                )
        other = "bezier" if self.curve == "chain" else "chain"
        elsewhere = (
            f"For the points of {CALLED[self.curve]}: it gives the gradient on the other curve: with which "
            "names is curve compared?"
        )
        wrong.append((gradients(CURVES[other], lambda t: share(other, t)), elsewhere))
        times_theta = [weights[1] * gradient for gradient in gradients(of, lambda t: 1.0)]
        wrong.append(
            (
                times_theta,
                "loss_grad is multiplied by theta: its factor is the derivative in theta.",
            )
        )
        got, exact = list(outputs["found"]), gradients(of, right)
        message = compare(got, exact, 1e-5, wrong, "other")
        if message == "other":
            k = int(np.argmax([np.linalg.norm(g - r) for g, r in zip(got, exact)]))
            t, ratio = inputs["ts"][k], got[k] / exact[k]
            message = (
                f"For the points of {CALLED[self.curve]}: at t = {t:g} the gradient in theta is off by up to "
                f"{np.abs(got[k] - exact[k]).max():.3g}. Where is loss_grad asked, and by which number is its "
                "answer multiplied?"
            )
            if np.ptp(ratio) < 1e-4 * np.abs(ratio).max():
                way = "right" if ratio.mean() > 0 else "opposite to the right one"
                message = (
                    f"For the points of {CALLED[self.curve]}: at t = {t:g} the direction is {way}, and the length is "
                    f"{abs(ratio.mean()):.3g} times the right one: look at the factor before loss_grad."
                )
        return message or self.left_alone(inputs, outputs)

    def left_alone(self, inputs, outputs):
        if outputs["flag"]:
            return (
                "A tensor that was passed in requires a gradient now: requires_grad_() changes the caller's "
                "tensor. Set it on a copy, such as theta.clone()."
            )
        for after in outputs["after"]:
            for k, name in enumerate(NAMES):
                if not np.array_equal(after[k], inputs[name]):
                    return f"The {name} that was passed in has changed. Work on a new tensor."
        if max(outputs["asked"]) > 1:
            return "loss_grad is called more than once: one call at the curve's point is enough."
        return None


def places(curve: str) -> list[tuple]:
    """Where else loss_grad was asked for, and what to say of it."""
    other = "bezier" if curve == "chain" else "chain"
    return [
        (
            lambda t, w1, theta, w2: theta,
            "loss_grad is asked for at theta: the loss is taken at the curve's point.",
        ),
        (CURVES[other], "loss_grad is asked for at a point of the other curve."),
        (line, "loss_grad is asked for at a point of the straight line."),
        (lambda t, w1, theta, w2: w1, "loss_grad is asked for at w1."),
        (
            lambda t, w1, theta, w2: CURVES[curve](1 - t, w1, theta, w2),
            "loss_grad is asked for at the point 1 - t: t = 0 belongs to w1.",
        ),
    ]


@curve_gradient.check("points of the chain")
class OnChain(OneCurve):
    pass


@curve_gradient.check("points of the Bézier curve")
class OnBezier(OneCurve):
    curve = "bezier"
