"""The step of p-norm rho along which a linear function rises most."""

from __future__ import annotations

import math

import numpy as np
import torch

from flatlab.checks.answers import close, compare
from flatlab.checks.chapter05.ascent_mistakes import ascent_mistakes, norm, not_a_number
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
        if p == math.inf:
            moved = (
                "For p = inf an entry whose gradient is 0 moves by rho: its sign is 0, it stays."
            )
            extra += [(rho * np.where(side, 1.0, -1.0), moved) for side in (g >= 0, g > 0)]
            lost = "For p = inf the sign is lost: where the gradient is negative the step is too."
            extra.append((np.full_like(g, rho), lost))
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

    def draw(self, generator):
        inputs = super().draw(generator)
        inputs["grads"][0][0, 0] = 0.0
        return inputs
