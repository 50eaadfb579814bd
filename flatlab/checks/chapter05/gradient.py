"""The gradient at the perturbed point."""

from __future__ import annotations

import numpy as np
import torch

from flatlab.checks.answers import compare
from flatlab.checks.chapter02.batches import lent
from flatlab.checks.chapter05 import truths
from flatlab.checks.chapter05.truths import (
    ascent,
    dual_norm_ascent,
    each,
    flat,
    listed,
    loss_of,
    parts,
    state,
    with_grads,
)
from flatlab.checks.core import Exercise
from flatlab.checks.toys import layers, leaves, normal, quadratic, symmetric

sam_gradient = Exercise(
    "sam_gradient",
    remaining=(
        "a minimum, where the gradient is 0",
        "a parameter that does not enter the loss",
        "a .grad that held something before",
    ),
)

HINTS = (
    (
        "does not require grad",
        (
            "The loss must be computed from tensors that require a gradient: the second time these are "
            "the moved ones, w + e, as leaves of their own (detach, then requires_grad_())."
        ),
    ),
    (
        "leaf Variable that requires grad",
        "`w += e` changes the caller's parameters. Make new tensors, w + e.",
    ),
    (
        "not have been used in the graph",
        (
            "Two causes: a parameter does not enter the loss (materialize_grads=True gives zeros), or the "
            "loss was computed from other tensors than those it is differentiated by."
        ),
    ),
    (
        "missing 1 required positional argument: 'p'",
        "dual_norm_ascent takes (grads, rho, p); here p = 2.",
    ),
    (
        "unsupported operand type(s) for +: 'NoneType'",
        ".grad is None: has .backward() been called on a loss of these very tensors?",
    ),
    (
        "'NoneType'",
        (
            "A gradient is None: its parameter does not enter the loss, and the gradient is 0 "
            "(materialize_grads=True gives zeros), or .grad was read before .backward()."
        ),
    ),
    (
        "'list' object has no attribute",
        "params and gradients are lists of tensors: work on each of them.",
    ),
    (
        "can only concatenate list",
        "Lists are joined by +, not added: add the tensors one by one, with zip.",
    ),
)


def exact_gradient(loss, params, rho: float) -> np.ndarray:
    """The gradient of w -> L(w + rho g/|g|): v + H rho (v - n n'v) / |g|, H at w."""
    g = truths.gradient(loss, params)
    length = np.linalg.norm(g)
    v, n = truths.gradient(loss, params, rho * g / length), g / length
    return v + truths.hessian(loss, params) @ (rho / length * (v - n * (n @ v)))


def gradient_mistakes(loss, params, rho: float) -> list[tuple[np.ndarray, str]]:
    """Wrong answers in flat arrays, and what was done."""

    def at(shift):
        return truths.gradient(loss, params, shift)

    w, g = flat(params), at(0.0)
    e, norms = ascent(g, rho), sum(np.linalg.norm(part) for part in parts(g, params))
    right = at(e)
    return [
        (g, "This is the gradient at w, before the step: compute the loss anew, at w + e."),
        (at(-e), "This is the gradient at w - e: e goes uphill."),
        (
            at(rho * g),
            "e is rho g here, not of length rho: divide by the norm of g over all tensors.",
        ),
        (at(g / np.linalg.norm(g)), "e has length 1 here: where is rho?"),
        (
            at(rho * g / (g @ g)),
            "g is divided by its squared norm here: the square root is missing.",
        ),
        (
            at(rho * g / (g @ g) / 2),
            "`** 1 / 2` divides by 2 and takes no root: parentheses, ** (1 / 2), or .sqrt().",
        ),
        (
            at(2 * rho * g / (g @ g)),
            "`** 1 / 2` divides by 2 and takes no root: parentheses, ** (1 / 2), or .sqrt().",
        ),
        *(
            [
                (
                    at(rho * g / norms),
                    "The norms of single tensors are added: one norm over all entries, of the sum of squares.",
                )
            ]
            if len(params) > 1
            else []
        ),
        (at(ascent(g, rho, np.inf)), "This is SAM with p = inf, e = rho sign(g): here p = 2."),
        (
            at(each(g, params, rho)),
            "Each tensor was moved by rho along its own gradient: one norm over all tensors.",
        ),
        (
            g + right,
            (
                "This is the sum of the gradients at w and at w + e: .backward() adds to .grad. "
                "torch.autograd.grad returns the second one alone."
            ),
        ),
        (right - g, "This is the difference of two gradients: the one at w + e is asked for."),
        (
            exact_gradient(loss, params, rho),
            (
                "This is the gradient of w -> L(w + e(w)) with its second-order term, exercise 4: e still "
                "depends on w through the graph. Detach it."
            ),
        ),
        (e, "This is the step e itself: the gradient at w + e is asked for."),
        (w + e, "These are the moved weights w + e: the gradient there is asked for."),
        (w - right, "This is an update of w: the gradient itself is asked for."),
    ]


@sam_gradient.check("a quadratic")
class Quadratic:
    hints = HINTS
    rho = 0.4

    def draw(self, generator):
        return {
            "A": symmetric(generator, [4.0, 2.5, 1.0, -1.0, 0.5]),
            "b": normal(generator, 5),
            "params": [2 * normal(generator, 5)],
            "rho": self.rho,
        }

    def loss(self, inputs):
        return quadratic(inputs["A"], inputs["b"])

    def call(self, student, inputs):
        params = leaves(inputs["params"])
        with lent(student, dual_norm_ascent=dual_norm_ascent):
            result = student(self.loss(inputs), params, inputs["rho"])
        return {"result": listed(result, params)}

    def verdict(self, inputs, outputs):
        loss, params, rho = self.loss(inputs), inputs["params"], inputs["rho"]
        right = truths.gradient(loss, params, ascent(truths.gradient(loss, params), rho))
        return compare(
            flat(outputs["result"]),
            right,
            1e-4,
            gradient_mistakes(loss, params, rho),
            self.otherwise,
        )

    otherwise = "On a quadratic it gives {got}; the gradient at w + e is {expected}."


@sam_gradient.check("a network with four parameter tensors")
class Network(Quadratic):
    otherwise = "On a small tanh network it gives {got}; the gradient at w + e is {expected}."

    def draw(self, generator):
        return {**truths.drawn_network(generator), "rho": 0.5}

    def loss(self, inputs):
        return loss_of(inputs)


@sam_gradient.check("params stay as they were, bit for bit")
class Kept(Network):
    measured = ("after", "flags", "has_grad", "grads")
    grad: float | None = None

    def draw(self, generator):
        params = [p.float() for p in layers(generator, [4, 5, 3])]
        return {**super().draw(generator), "params": params, "rho": 20.0}

    def call(self, student, inputs):
        params = leaves(inputs["params"], torch.float32)
        if self.grad is not None:
            with_grads(params, self.grad)
        with lent(student, dual_norm_ascent=dual_norm_ascent):
            student(self.loss(inputs), params, inputs["rho"])
        return state(params)

    def verdict(self, inputs, outputs):
        return truths.kept_verdict(inputs["params"], outputs, self.grad)
