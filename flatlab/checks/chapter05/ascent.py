"""The step of p-norm rho along which a linear function rises most."""

from __future__ import annotations

import math

import numpy as np
import torch

from flatlab.checks.answers import close, compare
from flatlab.checks.chapter05.truths import Arrays, ascent, each, flat, listed
from flatlab.checks.core import Exercise
from flatlab.checks.toys import normal

dual_norm_ascent = Exercise(
    "dual_norm_ascent",
    remaining=(
        "a gradient of zero",
        "several largest entries at p = 1",
        "tiny gradients in float32",
        "grads that are left as they were",
    ),
)

HINTS = (
    (
        "ZeroDivisionError",
        (
            "Which division has a 0 below the line? At p = 1 both p - 1 and 1 - 1/p are 0: that end, where q "
            "is infinite, needs a branch of its own."
        ),
    ),
    (
        "must match the size of tensor",
        "The tensors of grads have different shapes: treat them one by one, with one norm for all.",
    ),
    (
        "expects each tensor to be equal size",
        (
            "The tensors of grads have different shapes, so torch.stack cannot join them: add up over them, "
            "or torch.cat their flattened copies."
        ),
    ),
    (
        "can't multiply sequence",
        "grads is a list of tensors: work on each of them, with one norm for all.",
    ),
    (
        "'list' object has no attribute",
        "grads is a list of tensors: work on each of them, with one norm for all.",
    ),
    (
        "unsupported operand type(s) for *: 'float' and 'generator'",
        "A generator cannot be multiplied: use a list.",
    ),
)


def norm(e: np.ndarray, p: float) -> float:
    return float(np.linalg.norm(e, p))


def ascent_mistakes(grads: Arrays, rho: float, p: float) -> list[tuple[np.ndarray, str]]:
    """Wrong steps for one p, and what was done; the same list, in the same order, for every p."""
    g, right = flat(grads), ascent(flat(grads), rho, p)
    size, sign = np.abs(g), np.sign(g)
    with np.errstate(all="ignore"):
        q = 1.0 if p == math.inf else np.inf if p == 1 else p / (p - 1)
        total = np.sum(size**q)
        power = sign * size ** (q - 1)
        crossed = sign * size ** (p - 1) / np.sum(size**p) ** (1 / q)
        return [
            (
                each(g, grads, rho, p),
                (
                    "Each tensor is treated by itself: the norm is that of all tensors of grads "
                    "together, so that the whole step has p-norm rho."
                ),
            ),
            (-right, "The sign is turned round: the step goes downhill."),
            (np.abs(right), "The sign is lost: where the gradient is negative the step is too."),
            (right / rho, "The step has p-norm 1: where is rho?"),
            (rho * right, "rho enters twice."),
            (rho * g, "This is rho g: the step has p-norm rho only after dividing by a norm of g."),
            (
                rho * power / total ** (1 / q),
                (
                    "The denominator has the exponent 1/q, which makes it the q-norm of g; the formula's "
                    "exponent is 1/p."
                ),
            ),
            (
                rho * crossed,
                "p and q are exchanged: the exponents of |g| are q - 1 and q, the root's is 1/p.",
            ),
            (
                rho * power / total,
                "The root is missing: the denominator is the sum of |g|^q to the power 1/p.",
            ),
            (
                rho * power / (total / p),
                "`** 1 / p` takes the power 1 and divides by p: parentheses, ** (1 / p).",
            ),
            (
                rho * power / total / p,
                "`** 1 / p` takes the power 1 and divides by p: parentheses, ** (1 / p).",
            ),
            (
                rho * sign * size**q / total ** (1 / p),
                "|g| has the exponent q above the line; it is q - 1 there.",
            ),
            (
                rho * power / norm(power, 2),
                "The step has 2-norm rho; its p-norm should be rho.",
            ),
            *_slips_of_python(g, grads, rho, p),
            (ascent(g, rho, 2.0), "This is the step of p = 2: it should depend on p."),
            (ascent(g, rho, math.inf), "This is the step of p = inf: it should depend on p."),
            (
                rho * np.sign(g) * size / size.max(),
                "It is divided by the largest |g|, which gives p-norm rho for p = inf alone.",
            ),
        ]


def _slips_of_python(g: np.ndarray, grads: Arrays, rho: float, p: float) -> list[tuple]:
    """The formula with an operator that binds otherwise, or a sum in another place."""
    size, sign = np.abs(g), np.sign(g)
    q = 1.0 if p == math.inf else np.inf if p == 1 else p / (p - 1)
    root = np.sum(size**q) ** (1 / p)
    roots = sum(np.sum(np.abs(part) ** q) ** (1 / p) for part in grads)
    slips = [
        (
            rho * sign * size ** (q - 1) / roots,
            "The roots of single tensors are added: one sum over the entries of all, then the root.",
        )
    ]
    for step in (rho * sign * size**q - 1 / root, rho * sign * (size**q - 1) / root):
        slips.append((step, "`** q - 1` subtracts 1 from the power: parentheses, ** (q - 1)."))
    p = np.float64(p)  # divides by 0 without an error
    for other in (p - 1 / p, p / p - 1, 1 - 1 / p, 1 / p - 1, 1 / (p - 1)):
        step = rho * sign * size ** (other - 1) / np.sum(size**other) ** (1 / p)
        slips.append(
            (step, "q is another number: 1/p + 1/q = 1 gives q = p / (p - 1), with parentheses.")
        )
    return slips


def not_a_number(got: np.ndarray, grads: Arrays, p: float) -> str | None:
    """What to say of NaN and inf, None where there are none."""
    if np.isfinite(got).all():
        return None
    bad, negative = ~np.isfinite(got), flat(grads) < 0
    if np.array_equal(bad, negative):
        return (
            f"For p = {p:g} the step is NaN exactly where the gradient is negative: a negative number "
            "has no fractional power. Take |g|^(q - 1), and the sign of g outside."
        )
    if p == math.inf:
        return (
            "For p = inf the step holds NaN or inf. In Python inf / (inf - 1) is NaN; q is 1 there, and "
            "|g|^(q - 1) is 1."
        )
    if p == 1:
        return (
            "For p = 1 the step holds NaN or inf: q is infinite there. Which entry gets all of rho in "
            "the limit? Treat p = 1 in a branch of its own."
        )
    if np.abs(flat(grads)).max() < 1e-3:
        return (
            f"For p = {p:g} and gradients of 1e-6 the step holds NaN or inf. Is |g|^q 0 in float32, and 0 "
            "divided by it? Divide g by its largest |g_i| before any power is taken."
        )
    return (
        f"For p = {p:g} the step holds NaN or inf. Answers like these come from a negative number that is "
        "taken to a fractional power: the sum below the line is one of |g|^q."
    )


def ascent_verdict(grads: Arrays, rho: float, steps: list[list], powers: list[float]) -> str | None:
    """Are these the steps for each p? A cause is named where it explains all of them."""
    got = [flat(step) for step in steps]
    for one, p in zip(got, powers, strict=True):
        if message := not_a_number(one, grads, p):
            return message
    right = [ascent(flat(grads), rho, p) for p in powers]
    if not any(close(one, true, 1e-4) for one, true in zip(got, right, strict=True)):
        by_power = [ascent_mistakes(grads, rho, p) for p in powers]
        mistakes = [
            (np.concatenate([value for value, _ in same]), same[0][1])
            for same in zip(*by_power, strict=True)
            if all(np.isfinite(value).all() for value, _ in same)
        ]
        message = compare(np.concatenate(got), np.concatenate(right), 1e-4, mistakes, otherwise="")
        if message:
            return message
    for one, true, p in zip(got, right, powers, strict=True):
        if message := single_verdict(grads, rho, one, true, p):
            return message
    return None


def single_verdict(grads: Arrays, rho: float, got, true, p: float) -> str | None:
    """The step of one p among several, of which another may be wrong."""
    g = flat(grads)
    if close(got, true, 1e-4):
        return None
    top = np.argmax(np.abs(g))
    if p == 1:
        alone = np.zeros_like(g)
        alone[np.argmax(g)] = rho
        whole = np.zeros_like(g)
        whole[top] = g[top]
        positive = np.zeros_like(g)
        positive[top] = rho
        extra = [
            (
                alone,
                "For p = 1 rho is on the largest g_i; it belongs on the largest |g_i|, with its sign.",
            ),
            (positive, "For p = 1 the right entry has rho, without the sign of the gradient."),
            (rho * whole, "For p = 1 the right entry has rho g_i: it gets rho sign(g_i)."),
            (whole, "For p = 1 the right entry has g_i: it gets rho sign(g_i)."),
            (
                ascent(g, rho, math.inf),
                (
                    "For p = 1 every entry gets rho: that is the step of p = inf, and its 1-norm is "
                    "larger than rho. All of rho goes on the largest |g_i|."
                ),
            ),
            (
                each(g, grads, rho, 1),
                "For p = 1 each tensor got rho on its largest entry: one entry of all tensors gets it.",
            ),
        ]
    else:
        extra = [
            (wrong, f"For p = {p:g}: {message}")
            for wrong, message in ascent_mistakes(grads, rho, p)
        ]
        extra = [(wrong, message) for wrong, message in extra if np.isfinite(wrong).all()]
    message = compare(got, true, 1e-4, extra, otherwise="")
    return message or (
        f"For p = {p:g} and rho = {rho:g} its p-norm is {norm(got, p):.4g}, and e.g = {got @ g:.4g}; the "
        f"best step of p-norm rho has e.g = {true @ g:.4g}."
    )


@dual_norm_ascent.check("p = 2: along the gradient")
class AlongGradient:
    hints = HINTS
    powers = (2.0,)
    rho = 0.3

    def draw(self, generator):
        """Two tensors; the largest |g_i| is a negative entry of the second."""
        grads = [normal(generator, 2, 3), normal(generator, 4)]
        grads[1][2] = -1.5 - max(float(g.abs().max()) for g in grads)
        return {"grads": grads, "powers": list(self.powers), "rho": self.rho}

    def call(self, student, inputs):
        steps = []
        for p in inputs["powers"]:
            grads = [torch.tensor(g) for g in inputs["grads"]]
            steps.append(listed(student(grads, inputs["rho"], p), grads))
        return {"steps": steps}

    def verdict(self, inputs, outputs):
        return ascent_verdict(inputs["grads"], inputs["rho"], outputs["steps"], inputs["powers"])


@dual_norm_ascent.check("p = 1.5 and p = 4: the slides' formula")
class Between(AlongGradient):
    powers = (1.5, 4.0)

    def call(self, student, inputs):
        negative = {**inputs, "grads": [-np.abs(g) for g in inputs["grads"]]}
        outputs = super().call(student, inputs)
        return {**outputs, "negative": super().call(student, negative)["steps"]}

    def verdict(self, inputs, outputs):
        if message := super().verdict(inputs, outputs):
            return message
        negative = [-np.abs(g) for g in inputs["grads"]]
        for p, step in zip(inputs["powers"], outputs["negative"]):
            if not close(flat(step), ascent(flat(negative), inputs["rho"], p), 1e-4):
                return (
                    f"With all entries of the gradient negative the step for p = {p:g} is wrong. Is the "
                    "largest entry taken where the largest |g_i| is meant?"
                )
        return None


@dual_norm_ascent.check("both ends: p = 1 and p = inf")
class Ends(AlongGradient):
    powers = (math.inf, 1.0)
