"""The gradient of w -> L(w + e(w)), with the term that training leaves out."""

from __future__ import annotations

import numpy as np
import torch

from flatlab.checks.answers import compare
from flatlab.checks.chapter05 import truths
from flatlab.checks.chapter05.gradient import HINTS as FIRST_ORDER_HINTS
from flatlab.checks.chapter05.gradient import Network as FirstOrderNetwork
from flatlab.checks.chapter05.gradient import Quadratic as FirstOrderQuadratic
from flatlab.checks.chapter05.gradient import exact_gradient
from flatlab.checks.chapter05.truths import ascent, each, flat, loss_of, parts
from flatlab.checks.core import Exercise

sam_gradient_exact = Exercise(
    "sam_gradient_exact",
    remaining=(
        "a parameter that enters linearly",
        "a parameter that does not enter the loss",
        "params and their .grad left alone",
    ),
)

HINTS = (
    (
        "does not require grad",
        (
            "Two causes: the first gradient was taken without create_graph=True, so that e does not know "
            "w, or w + e was cut from its graph by detach or no_grad."
        ),
    ),
    (
        "backward through the graph a second time",
        "The first graph was freed: create_graph=True (or retain_graph=True) keeps it.",
    ),
    (
        "not have been used in the graph",
        "A parameter does not enter a derivative: materialize_grads=True gives zeros for it.",
    ),
    *FIRST_ORDER_HINTS[1:],
)


def exact_mistakes(loss, params, rho: float) -> list[tuple[np.ndarray, str]]:
    """Wrong answers in flat arrays, and what was done."""
    g = truths.gradient(loss, params)
    length = np.linalg.norm(g)
    e, n = ascent(g, rho), g / length
    v = truths.gradient(loss, params, e)
    h, there = truths.hessian(loss, params), truths.hessian(loss, params, e)
    across = v - n * (n @ v)
    inner = flat(
        [
            np.full(np.shape(a), (a * b).sum())
            for a, b in zip(parts(n, params), parts(v, params), strict=True)
        ]
    )
    apart = truths.gradient(loss, params, each(g, params, rho))
    block, own, start = np.zeros_like(h), np.zeros_like(v), 0
    for part in params:
        cut = slice(start, start + np.size(part))
        block[cut, cut] = h[cut, cut]
        size = max(np.linalg.norm(g[cut]), 1e-300)
        unit = g[cut] / size
        own[cut] = rho / size * (apart[cut] - unit * (unit @ apart[cut]))
        start += np.size(part)
    term, ahead = rho / length * h @ across, truths.gradient(loss, params, rho * g)
    return [
        (
            v,
            (
                "This is the first-order gradient of exercise 2: the second-order term is missing. Does e "
                "still hang on w when the loss at w + e is differentiated?"
            ),
        ),
        (term, "This is the second-order term alone: add the gradient at w + e."),
        (v - term, "The second-order term is subtracted: it is added."),
        (
            v + rho / length * h @ v,
            (
                "The norm of g is taken as a constant: it depends on w as well. What v has along g drops "
                "out of the term."
            ),
        ),
        (
            v + rho / length * (h @ v - n * (n @ (h @ v))),
            (
                "The projection comes after H: in the transposed (de/dw)' it comes first, and H is applied "
                "to what is left of v."
            ),
        ),
        (
            v + rho / length * there @ across,
            "H is that of w + e in the second-order term; e(w) bends with the Hessian at w.",
        ),
        (
            v + rho / length * h @ (v - inner * n),
            "n.v is taken in each tensor by itself: it is one number, over all tensors.",
        ),
        (
            v + rho / length * across,
            "The Hessian is missing in the second-order term: de/dw is that of g(w), times H.",
        ),
        (v + h @ across / length, "rho is missing in the second-order term."),
        (v + rho * h @ across, "The second-order term is not divided by the norm of g."),
        (
            v + rho * h @ across / (g @ g),
            "The second-order term is divided by the squared norm of g; the norm is right.",
        ),
        (
            v + rho / length * block @ across,
            (
                "Second derivatives between different tensors are missing: differentiate by all "
                "parameters at once."
            ),
        ),
        (
            apart + h @ own,
            "Each tensor was moved by rho along its own gradient: one norm over all tensors.",
        ),
        (
            g + rho * h @ n,
            (
                "This is the gradient of L + rho |g|, the first-order expansion of L(w + e): compute "
                "loss_fn at w + e itself."
            ),
        ),
        (ahead + rho * h @ ahead, "e is rho g here: divide it by the norm of g over all tensors."),
        (v + h @ (rho * v), "e is taken as rho g in the second-order term: it is rho g / |g|."),
        (g, "This is the plain gradient at w: the loss is that at w + e(w)."),
        (g + v, "This is the sum of the gradients at w and at w + e: .backward() adds to .grad."),
        (
            g + v + term,
            (
                "The gradient at w is in it: .backward() adds to .grad. torch.autograd.grad returns one "
                "gradient alone."
            ),
        ),
    ]


# The network first: on a quadratic the first-order gradient is also that of L + rho |g|.
@sam_gradient_exact.check("a network with four parameter tensors")
class Network(FirstOrderNetwork):
    hints = HINTS
    otherwise = "On a small tanh network it gives {got}; the gradient of L(w + e(w)) is {expected}."

    def verdict(self, inputs, outputs):
        return exact_verdict(self.loss(inputs), inputs, outputs, self.otherwise)


@sam_gradient_exact.check("a quadratic")
class Quadratic(FirstOrderQuadratic):
    hints = HINTS
    otherwise = "On a quadratic it gives {got}; the gradient of L(w + e(w)) is {expected}."

    def verdict(self, inputs, outputs):
        return exact_verdict(self.loss(inputs), inputs, outputs, self.otherwise)


def exact_verdict(loss, inputs, outputs, otherwise: str) -> str | None:
    params, rho = inputs["params"], inputs["rho"]
    right = exact_gradient(loss, params, rho)
    wrong = exact_mistakes(loss, params, rho)
    return compare(flat(outputs["result"]), right, 1e-4, wrong, otherwise)


class WithExtra(Network):
    """The network's loss and a further parameter; what the loss does with it is ``extra``."""

    def draw(self, generator):
        drawn = super().draw(generator)
        return {**drawn, "params": [*drawn["params"], torch.tensor([0.5, -1.0]).double()]}

    def extra(self, c: torch.Tensor) -> torch.Tensor | float:
        raise NotImplementedError("a hidden check says what")

    def loss(self, inputs):
        known = loss_of(inputs)
        return lambda params: known(list(params)[:-1]) + self.extra(params[-1])
