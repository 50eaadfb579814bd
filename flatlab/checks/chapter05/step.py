"""One step of SAM on a module: where it lands, what it leaves, what it returns."""

from __future__ import annotations

import numpy as np

from flatlab.checks.answers import array, compare
from flatlab.checks.chapter02.batches import lent
from flatlab.checks.chapter05 import truths
from flatlab.checks.chapter05.modules import Descent, built, module_loss
from flatlab.checks.chapter05.truths import ascent, dual_norm_ascent, each, flat, with_grads
from flatlab.checks.core import Exercise

sam_step = Exercise(
    "sam_step",
    remaining=(
        "a loss that raises an error at w + e",
        "a gradient of zero",
        "a frozen layer",
    ),
)

HINTS = (
    (
        "leaf Variable that requires grad",
        "Parameters are moved in place inside `with torch.no_grad():`.",
    ),
    (
        "NoneType",
        (
            "A parameter without gradient has .grad None: it is frozen or does not enter the loss. Leave "
            "it out. Was .grad read before loss.backward()?"
        ),
    ),
    (
        "arg is an empty sequence",
        "No gradient was passed on: before loss.backward() every .grad is None. Collect the parameters after it.",
    ),
    (
        "does not require grad",
        "Both losses need a graph: only the moves stand under torch.no_grad().",
    ),
    (
        "backward through the graph a second time",
        "The second gradient needs a new loss, loss_fn(model) at w + e.",
    ),
    (
        "missing 1 required positional argument: 'p'",
        "dual_norm_ascent takes (grads, rho, p); here p = 2.",
    ),
    (
        "takes 0 positional arguments but 1 was given",
        "model.parameters() and the like take no argument.",
    ),
    (
        "'list' object has no attribute",
        "loss_fn takes the model here. sam_gradient of exercise 2 calls it with a list of tensors.",
    ),
    ("missing 1 required positional argument", "loss_fn takes the model: loss_fn(model)."),
    (
        "object has no attribute 'backward'",
        "loss_fn(model) returns a 0-d tensor; .item() before .backward() makes it a number.",
    ),
)


def trajectory(inputs, kind: str = "right") -> np.ndarray:
    """Weights after ``steps`` steps of SAM around SGD with momentum, flat; ``kind``: a known slip."""
    loss, params = truths.loss_of(inputs), inputs["params"]
    rho, rate, beta = inputs["rho"], inputs["rate"], inputs["momentum"]
    w0, moved, speed, stale = flat(params), 0.0, 0.0, ThreeSteps.left
    for step in range(inputs["steps"]):
        g = truths.gradient(loss, params, moved)
        if kind == "stale" or (kind == "left" and step == 0):
            g = g + stale
        e = each(g, params, rho) if kind == "each" else ascent(g, rho)
        v = truths.gradient(loss, params, moved + e)
        if kind == "stale":
            stale = v
        speed = v if kind == "momentum" else beta * speed + v
        moved = moved - rate * speed
    return w0 + moved


def step_mistakes(inputs) -> list[tuple[np.ndarray, str]]:
    """Where one step of plain SGD lands when SAM's step was done wrong."""
    loss, params, rho, rate = (
        truths.loss_of(inputs),
        inputs["params"],
        inputs["rho"],
        inputs["rate"],
    )

    def at(shift):
        return truths.gradient(loss, params, shift)

    w, g = flat(params), at(0.0)
    e = ascent(g, rho)
    v, after = at(e), -rate * g
    return [
        (
            w,
            (
                "The parameters are where they were. Answers like these come from an optimizer.step() that "
                "is missing, that finds no gradient, or that is undone when w is put back after it."
            ),
        ),
        (
            w + e - ascent(v, rho) - rate * v,
            "The way back is a step along the gradient at w + e: it is -e, or better a copy of w.",
        ),
        (
            w + e,
            "The parameters stand at w + e: they go back to w, and then optimizer.step() steps.",
        ),
        (
            w + e - rate * v,
            "It stepped from w + e: put the parameters back to w before optimizer.step().",
        ),
        (
            w - e - rate * v,
            "It stepped from w - e: was e subtracted twice, or the parameters moved down by it?",
        ),
        (
            w - rate * g,
            (
                "This is the step of plain SGD, with the gradient at w: the second backward pass comes "
                "while the parameters stand at w + e."
            ),
        ),
        (
            w - rate * (g + v),
            (
                "It stepped with the sum of both gradients: .backward() adds to .grad, so clear it "
                "before the second pass."
            ),
        ),
        (w - rate * 2 * g, "It stepped with twice the gradient at w: both passes were made there."),
        (w - rate * at(-e), "It stepped with the gradient at w - e: e goes uphill."),
        (w + rate * v, "It goes uphill by the gradient at w + e."),
        (w - 2 * rate * v, "It stepped twice with one gradient: optimizer.step() is called once."),
        (
            w + after - rate * at(after + e),
            "optimizer.step() is called after each backward pass: once, after the second.",
        ),
        (
            w - rate * at(rho * g),
            "e is rho g here, not of length rho: divide by the norm of g over all tensors.",
        ),
        (
            w - rate * at(each(g, params, rho)),
            "Each tensor was moved by rho along its own gradient: one norm over all tensors.",
        ),
        (w - rate * at(ascent(g, rho, np.inf)), "This is SAM with p = inf; here p = 2."),
    ]


@sam_step.check("one step of plain SGD")
class OneStep:
    hints = HINTS
    rho, rate, momentum, steps = 0.5, 0.3, 0.0, 1
    left: float | None = None  # what a step before this one left in .grad

    def draw(self, generator):
        names = ("rho", "rate", "momentum", "steps")
        return {**truths.drawn_network(generator), **{name: getattr(self, name) for name in names}}

    def call(self, student, inputs):
        model = built(inputs)
        sgd = Descent(model.parameters(), inputs["rate"], inputs["momentum"])
        if self.left is not None:
            with_grads(list(model.parameters()), self.left)
        losses = []
        with lent(student, dual_norm_ascent=dual_norm_ascent):
            for _ in range(inputs["steps"]):
                losses.append(student(model, module_loss(inputs), sgd, inputs["rho"]))
        return {
            "after": [p.detach() for p in model.parameters()],
            "losses": [array(one, ()) for one in losses],
        }

    def verdict(self, inputs, outputs):
        message = compare(
            flat(outputs["after"]),
            trajectory(inputs),
            1e-5,
            step_mistakes(inputs),
            "After one step of SGD with the gradient at w + e the weights should be {expected}; yours "
            "are {got}.",
        )
        return message or loss_verdict(inputs, float(outputs["losses"][0]))


def loss_verdict(inputs, got: float) -> str | None:
    """Is it the loss at w?"""
    loss, params = truths.loss_of(inputs), inputs["params"]
    e = ascent(truths.gradient(loss, params), inputs["rho"])
    return compare(
        got,
        truths.value(loss, params),
        1e-5,
        [
            (
                truths.value(loss, params, e),
                "The weights are right, but it returns the loss at w + e: the one at w is asked for.",
            ),
            (
                truths.value(loss, params, trajectory(inputs) - flat(params)),
                "The weights are right, but it returns the loss after the step: that at w is asked for.",
            ),
        ],
        "The weights are right, but it returns {got}; the loss at w is {expected}.",
    )


@sam_step.check("back at w, bit for bit")
class Restored(OneStep):
    """With a learning rate of 0 the optimizer moves nothing, so w must be as it was."""

    rho, rate, steps = 20.0, 0.0, 2  # e is larger than w, so that w + e rounds

    def draw(self, generator):
        drawn = super().draw(generator)
        return {**drawn, "params": [p.float() for p in drawn["params"]]}

    def verdict(self, inputs, outputs):
        return restored_verdict(inputs["params"], outputs["after"], "With a learning rate of 0")


def restored_verdict(before, after, where: str) -> str | None:
    gaps = np.abs(flat(after) - flat(before))
    if np.isnan(gaps).any():
        return f"{where} the parameters have become NaN."
    if not gaps.any():
        return None
    if gaps.max() < 1e-5:
        return (
            f"{where}: {np.count_nonzero(gaps)} of {gaps.size} entries of w come back changed, by "
            f"{gaps.max():.1g} at most: in floating point (w + e) - e is not w. Keep a copy of w, and "
            "copy it back."
        )
    return f"{where} the parameters should stand at w; they are off by up to {gaps.max():.3g}."


@sam_step.check("three steps of SGD with momentum")
class ThreeSteps(OneStep):
    rho, rate, momentum, steps, left = 0.3, 0.2, 0.8, 3, 0.7

    def verdict(self, inputs, outputs):
        return compare(
            flat(outputs["after"]),
            trajectory(inputs),
            1e-5,
            [
                (
                    trajectory(inputs, "stale"),
                    (
                        "The first pass of a step adds to the gradient that the last step left behind: "
                        "clear .grad before it too, with optimizer.zero_grad()."
                    ),
                ),
                (
                    trajectory(inputs, "left"),
                    (
                        "The .grad that a step of somebody else left behind enters the first pass: call "
                        "optimizer.zero_grad() before it, not only at the end."
                    ),
                ),
                (
                    trajectory(inputs, "momentum"),
                    "The momentum is lost: let optimizer.step() make the step.",
                ),
            ],
            "One step is right; after three steps with momentum the weights should be {expected}, and "
            "yours are {got}. What does a step leave behind for the next one?",
        )
