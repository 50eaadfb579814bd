"""ASAM's step: each weight moves in proportion to its own square."""

from __future__ import annotations

import math

import numpy as np
import torch

from flatlab.checks.answers import close, compare
from flatlab.checks.chapter02.batches import lent
from flatlab.checks.chapter05 import truths
from flatlab.checks.chapter05.truths import (
    Arrays,
    ascent,
    dual_norm_ascent,
    flat,
    listed,
    parts,
)
from flatlab.checks.core import Exercise
from flatlab.checks.toys import layers, leaves, network_loss, normal

adaptive_ascent = Exercise(
    "adaptive_ascent",
    remaining=(
        "weights that are zero, and a gradient that is zero",
        "an alpha of 1/1000",
        "params and grads left as they were",
    ),
)

HINTS = (
    (
        "must match the size of tensor",
        "The tensors have different shapes: pair each parameter with its gradient by zip.",
    ),
    (
        "expects each tensor to be equal size",
        "The tensors have different shapes, so torch.stack cannot join them: add up over them.",
    ),
    (
        "leaf Variable that requires grad",
        "An operation with _ at its end, or *=, writes into the caller's tensor: make new ones.",
    ),
    (
        "'list' object has no attribute",
        "params and grads are lists of tensors: work on each pair of them.",
    ),
    (
        "unsupported operand type(s) for ** or pow(): 'list'",
        "params and grads are lists of tensors: work on each pair of them.",
    ),
)


def adaptive(w: np.ndarray, g: np.ndarray, rho: float) -> np.ndarray:
    """rho w^2 g / |w g|_2, flat; 0 where w g = 0 everywhere."""
    length = np.linalg.norm(w * g)
    return rho * w**2 * g / length if length > 0 else np.zeros_like(g)


def adaptive_mistakes(params: Arrays, grads: Arrays, rho: float) -> list[tuple[np.ndarray, str]]:
    """Wrong steps, flat, and what was done."""
    w, g = flat(params), flat(grads)
    right, size = adaptive(w, g, rho), np.abs(w)
    pairs = list(zip(parts(w, params), parts(g, params), strict=True))
    each = flat([adaptive(np.ravel(a), np.ravel(b), rho) for a, b in pairs])
    norms = flat([np.full(a.shape, np.linalg.norm(a)) for a in params])
    layerwise = norms**2 * g / np.linalg.norm(norms * g)
    return [
        (ascent(g, rho), "This is SAM's step, rho g/|g|: w does not enter."),
        (
            rho * size * g / np.linalg.norm(w * g),
            (
                "w enters once above the line: the step is w^2 g. The ball is one of e/|w|, and going "
                "back to e takes the second factor |w|."
            ),
        ),
        (
            rho * w * g / np.linalg.norm(w * g),
            "Above the line stands w g: it is w^2 g, whose signs are those of g.",
        ),
        (
            rho * w**2 * g / np.linalg.norm(w**2 * g),
            "The denominator is the norm of w^2 g, so that |e| = rho; it is the norm of |w| g.",
        ),
        (
            rho * w**2 * g / np.linalg.norm(g),
            "The denominator is the norm of g; it is that of |w| g.",
        ),
        (
            w**2 * g,
            "Only w^2 g is there: rho, and the 2-norm of |w| g over all tensors, are missing.",
        ),
        (
            rho * g**2 * w / np.linalg.norm(w * g),
            "w and g are exchanged: it is w^2 g. The function takes params first, then grads.",
        ),
        (
            rho * w**2 * g / sum(np.linalg.norm(a * b) for a, b in pairs),
            "The norms of single tensors are added: one norm over all entries, of the sum of squares.",
        ),
        (
            2 * rho * w**2 * g / np.sum((w * g) ** 2),
            "`** 1 / 2` divides by 2 and takes no root: parentheses, ** (1 / 2), or .sqrt().",
        ),
        (
            rho * w**2 * g / np.sum((w * g) ** 2) / 2,
            "`** 1 / 2` divides by 2 and takes no root: parentheses, ** (1 / 2), or .sqrt().",
        ),
        (rho * w**2 * g, "The denominator is missing: the 2-norm of |w| g over all tensors."),
        (
            rho * w**2 * g / np.sum((w * g) ** 2),
            "The denominator is the squared norm of |w| g: the square root is missing.",
        ),
        (
            rho * w**2 * g / np.sum(size * np.abs(g)),
            "The denominator is the 1-norm of |w| g; it is the 2-norm.",
        ),
        (
            rho * w**2 * g / np.linalg.norm(w) / np.linalg.norm(g),
            "The denominator is |w| times |g|; it is the norm of the entries |w_i| g_i.",
        ),
        (each, "Each tensor has a norm of its own: the norm of |w| g is that of all together."),
        (
            rho * layerwise,
            "|w| is the norm of a whole tensor here: each weight has its own |w_i|.",
        ),
        (
            rho * w**2 * g / np.linalg.norm(g / size),
            "The denominator is the norm of g/|w|; it is that of |w| g.",
        ),
        (
            rho * g / np.linalg.norm(g / size),
            "g is divided by |w|: with e = |w| d the gradient by d is |w| g.",
        ),
        (-right, "The step goes downhill: its sign is that of g."),
        (np.abs(right), "The sign is lost: where the gradient is negative the step is too."),
        (rho * right, "rho enters twice."),
        (right / rho, "rho is missing."),
        (w + right, "These are the moved weights w + e: the step e alone is asked for."),
        (
            rho * size * w * g / np.linalg.norm(w * g),
            "The signs are those of w g: below and above the line stands |w|, and the step has the sign of g.",
        ),
        (
            rho * size**3 * g / np.linalg.norm(w * g),
            "w enters three times above the line: it is w^2 g, and |w| g already holds one |w|.",
        ),
        (
            rho * size * np.sign(g),
            "This is the step of p = inf, rho |w| sign(g): here p = 2.",
        ),
        (
            size * ascent(g, rho),
            "This is |w| times SAM's step: |w| belongs into the norm too, and squared above the line.",
        ),
        (
            right * math.sqrt(g.size),
            "The denominator is the root of a mean: it is the root of the sum of (w g)^2.",
        ),
        (
            w * ascent(g, rho),
            "This is w times SAM's step: w belongs into the norm too, and squared above the line.",
        ),
    ]


def stepped(student, params, grads, rho):
    """The student's step; exercise 1, which it may call, is lent a right one."""
    with lent(student, dual_norm_ascent=dual_norm_ascent):
        return student(params, grads, rho)


@adaptive_ascent.check("the formula on two tensors")
class Formula:
    hints = HINTS

    def draw(self, generator):
        return {
            "params": [normal(generator, 2, 3), 2 * normal(generator, 4)],
            "grads": [normal(generator, 2, 3), normal(generator, 4)],
            "rho": 0.3,
        }

    def call(self, student, inputs):
        params = leaves(inputs["params"])
        grads = [torch.tensor(g) for g in inputs["grads"]]
        step = listed(stepped(student, params, grads, inputs["rho"]), grads)
        small = [1e-6 * torch.tensor(g) for g in inputs["grads"]]
        again = listed(stepped(student, leaves(inputs["params"]), small, inputs["rho"]), grads)
        return {"step": step, "small": again}

    def verdict(self, inputs, outputs):
        params, grads, rho = inputs["params"], inputs["grads"], inputs["rho"]
        got, right = flat(outputs["step"]), adaptive(flat(params), flat(grads), rho)
        otherwise = "It gives {got}; rho w^2 g / | |w| g |_2 is {expected}."
        if np.isfinite(got).all() and close(got, right, 0.05):
            otherwise = (
                "It gives {got}, near {expected} but not equal. Answers like these come from a constant "
                "that is added to |w| or to the norm: without it the step is exact."
            )
        message = compare(got, right, 1e-5, adaptive_mistakes(params, grads, rho), otherwise)
        if message or close(flat(outputs["small"]), right, 1e-4):
            return message
        return (
            "With gradients of 1e-6 the step is another one; it should not change when all of g is "
            "multiplied by a number. Is a constant added to the norm, or a small norm taken for 0?"
        )


@adaptive_ascent.check("the same step in a rescaled network")
class Invariance:
    hints = HINTS
    alpha = 10.0

    def draw(self, generator):
        """A ReLU network, and the same function with W1, b1 times alpha and W2 over alpha."""
        params = layers(generator, [4, 6, 3])
        params[1][0] = 0.0  # as biases at the start of a training
        return {
            "params": params,
            "x": normal(generator, 12, 4),
            "y": normal(generator, 12, 3),
            "rho": 0.2,
        }

    def factors(self, params: Arrays) -> list[float]:
        return [self.alpha, self.alpha, 1 / self.alpha, 1.0]

    def loss(self, inputs):
        return network_loss(inputs["x"], inputs["y"], torch.relu)

    def rescaled(self, inputs) -> list[np.ndarray]:
        factors = self.factors(inputs["params"])
        return [c * np.asarray(p) for c, p in zip(factors, inputs["params"], strict=True)]

    def call(self, student, inputs):
        steps = []
        for arrays in (inputs["params"], self.rescaled(inputs)):
            params = leaves(arrays)
            grads = torch.autograd.grad(self.loss(inputs)(params), params)
            steps.append(listed(stepped(student, params, list(grads), inputs["rho"]), params))
        return {"steps": steps}

    def verdict(self, inputs, outputs):
        first, second = (flat(step) for step in outputs["steps"])
        if not (np.isfinite(first).all() and np.isfinite(second).all()):
            return (
                "The step holds NaN or inf. One weight is 0 here: it does not move, the others do. Is "
                "anything divided by |w|?"
            )
        back = flat([step / c for step, c in self._pairs(inputs, outputs["steps"][1])])
        loss = self.loss(inputs)
        here = truths.value(loss, inputs["params"], first)
        there = truths.value(loss, self.rescaled(inputs), second)
        if not np.linalg.norm(back - first) <= 1e-4 * np.linalg.norm(first):
            return (
                "Two networks with the same function (W1 and b1 times "
                f"{self.alpha:g}, W2 divided by it) should move to the same function; after the step "
                f"one has the loss {here:.6g}, the other {there:.6g}. Is a constant added to |w|, or "
                "part of the formula clipped?"
            )
        return None

    def _pairs(self, inputs, step):
        return zip([np.asarray(s) for s in step], self.factors(inputs["params"]), strict=True)
