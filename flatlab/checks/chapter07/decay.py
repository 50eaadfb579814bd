"""AdamW's step: what decays the weights, what moves them, and what becomes of the moments."""

from __future__ import annotations

import numpy as np
import torch

from flatlab.checks.answers import array, compare
from flatlab.checks.chapter07.adam import L2, SLIPS, step, steps
from flatlab.checks.core import Exercise, WrongAnswer
from flatlab.checks.toys import normal

decoupled_weight_decay_step = Exercise(
    "decoupled_weight_decay_step",
    remaining=(
        "a matrix of weights",
        "without weight decay it is Adam",
        "gradients a thousand times as large",
    ),
)

HINTS = (
    (
        "ZeroDivisionError",
        "1 - beta ** step is 0 for step 0 alone: step counts from 1, and is no place in a list.",
    ),
    (
        "bitwise_xor",
        "In Python ^ is no power: write **.",
    ),
    ("for ^", "In Python ^ is no power: write **."),
    ("must be Tensor, not float", "torch.sqrt takes tensors: v is one."),
    ("a Tensor with", "math.sqrt takes a single number; v.sqrt() takes every entry of a tensor."),
    (
        "only one element tensors",
        "math.sqrt takes a single number; v.sqrt() takes every entry of a tensor.",
    ),
    ("not callable", "Python needs a * between a number and a parenthesis."),
    ("unpack", "betas is the pair (beta1, beta2)."),
    ("for -: 'int' and 'tuple'", "betas is the pair (beta1, beta2)."),
)
NAMES = ("w", "m", "v")


def three(value, shape: tuple[int, ...]) -> list[np.ndarray]:
    """The returned w, m and v as arrays."""
    if value is None:
        raise WrongAnswer("It returned None: is the return statement missing?")
    if not isinstance(value, tuple | list):
        raise WrongAnswer(
            f"It returned a {type(value).__name__}: the next step needs the moments too, return w, m, v."
        )
    if len(value) != 3:
        raise WrongAnswer(f"It returned {len(value)} things: three are needed, return w, m, v.")
    for name, part in zip(NAMES, value, strict=True):
        if not isinstance(part, torch.Tensor):
            raise WrongAnswer(
                f"The {name} it returned is a {type(part).__name__}: a tensor, please."
            )
    return [array(part, shape) for part in value]


def stepped(student, inputs) -> dict:
    """w and v after each step, and the last m; each step gets the w, m, v that came before."""
    w, gradients = np.asarray(inputs["w"]), np.asarray(inputs["gradients"])
    m = v = np.zeros_like(w)
    seen, squares = [], []
    call = (inputs["rate"], inputs["decay"], tuple(inputs["betas"]), inputs["eps"])
    for t, gradient in enumerate(gradients, start=1):
        given = (torch.tensor(part) for part in (w, gradient, m, v))
        w, m, v = three(student(*given, t, *call), w.shape)
        seen.append(w)
        squares.append(v)
    return {"w": seen, "m": m, "v": squares}


def not_finite(outputs) -> str | None:
    """What to say of weights that are no numbers."""
    bad = [not np.isfinite(w).all() for w in outputs["w"]]
    if not any(bad):
        return None
    text = f"After step {bad.index(True) + 1} the weights hold NaN or inf."
    if any((v < 0).any() for v in outputs["v"]):
        return (
            f"{text} Negative numbers are in v, the third result: it is the running mean of gradient ** 2, "
            "and the order is w, m, v."
        )
    return (
        f"{text} Answers like this come from a correction 1 - beta ** step that is 0 or negative, or from "
        "a v that is: step counts from 1."
    )


@decoupled_weight_decay_step.check("a gradient of zero: the weights shrink, the moments stay")
class ZeroGradient:
    hints = HINTS

    def draw(self, generator):
        w = normal(generator, 4)
        call = {"rate": 0.05, "decay": 0.4, "betas": [0.9, 0.98], "eps": 1e-8}
        return {"w": w, "gradients": torch.zeros(1, 4, dtype=torch.float64), **call}

    def call(self, student, inputs):
        return stepped(student, inputs)

    def verdict(self, inputs, outputs):
        w, rate, decay = np.asarray(inputs["w"]), inputs["rate"], inputs["decay"]
        got, moments = outputs["w"][0], [outputs["m"], *outputs["v"]]
        if not np.isfinite(got).all():
            return (
                "For a gradient of zero it gives NaN. Answers like this come from 0 / 0 where eps is missing below "
                "the line, from a step that is counted from 0, from step ** beta, whose place is beta ** step, or "
                "from v / 1 - beta2 ** step without parentheses."
            )
        if np.abs(got - (w - rate * np.sign(w))).max() < 1e-5:
            return L2
        for rest, text in ((w, L2), ((1 - rate * decay) * w, f"It decays twice. {L2}")):
            # One for all weights where the root divides the decay.
            sizes = (rest - got) * np.sign(w)
            other = rest is w and abs(sizes.mean() - rate * decay) < 1e-5  # the sign of w, below
            if sizes.min() > 1e-4 and np.ptp(sizes) < 1e-5 * sizes.max() and not other:
                return text
        wrong = compare(
            got,
            (1 - rate * decay) * w,
            1e-5,
            [
                (w, SLIPS["none"]),
                ((1 - decay) * w, SLIPS["no-rate"]),
                (
                    (1 - rate * decay / (1 - inputs["betas"][0])) * w,
                    "The decay is divided by 1 - beta1 ** step: that correction belongs to m alone.",
                ),
                ((1 + rate * decay) * w, SLIPS["grows"]),
                ((1 - rate) * w, "It shrinks by eta w: where is weight_decay?"),
                ((1 - rate**2 * decay) * w, SLIPS["adam scale"]),
                (-rate * decay * w, SLIPS["change"]),
                ((1 - rate * decay / 2) * w, "The decay is half of eta lambda w."),
                ((1 - 2 * rate * decay) * w, "The decay is twice eta lambda w."),
                ((1 - rate * decay) ** 2 * w, "The weights decay twice in one step."),
                (
                    w - rate * decay * w + rate * inputs["betas"][0] / inputs["eps"],
                    "Without a gradient w goes far: m / 1 - beta1 ** step lacks parentheses.",
                ),
                (w - rate * decay * np.sign(w), "It decays by the sign of w: by w itself."),
                (w - rate * decay * w**2, "It decays by w ** 2: by w itself."),
                (w - rate * decay * w / inputs["eps"], SLIPS["scaled"]),
                (
                    w - rate * decay * np.abs(w),
                    "It decays by |w|, so that negative weights grow: by w itself.",
                ),
                (0 * w, "The weights are 0 after a step: where is w? The order is w, m, v."),
            ],
            "Without a gradient w goes to {got}; w - eta lambda w is {expected}.",
        )
        if wrong:
            return wrong
        if any(np.abs(moment).max() > 1e-9 for moment in moments):
            return (
                "For a gradient of zero m and v become other than 0: the decay is no part of them."
            )
        return None


@decoupled_weight_decay_step.check("six steps in a row")
class SixSteps:
    hints = HINTS
    shape = (5,)
    decay = 0.8

    def draw(self, generator):
        call = {"rate": 0.05, "decay": self.decay, "betas": [0.8, 0.9], "eps": 0.1}
        gradients = 0.5 + 2 * normal(generator, 6, *self.shape)
        return {"w": normal(generator, *self.shape), "gradients": gradients, **call}

    def call(self, student, inputs):
        return stepped(student, inputs)

    def verdict(self, inputs, outputs):
        if message := not_finite(outputs):
            return message
        *right, m, v = steps(inputs)
        wrong = [(steps(inputs, slip)[:-2], said) for slip, said in SLIPS.items()]
        got = list(outputs["w"])
        message = compare(got, right, 1e-5, wrong, "elsewhere")
        if message == "elsewhere":
            far = [np.abs(g - r).max() for g, r in zip(got, right, strict=True)]
            first = next(k for k, gap in enumerate(far) if gap > 1e-6)
            return (
                f"The first wrong weights are those after step {first + 1}, off by up to {far[first]:.3g}. "
                "Compare with the formula term by term."
            )
        return message or compare(
            [outputs["m"], outputs["v"][-1]],
            [m, v],
            1e-5,
            [
                (steps(inputs, "hats kept")[-2:], SLIPS["hats kept"]),
                ([v, m], "m and v come back exchanged: return w, m, v."),
            ],
            "The weights are right, and m and v after them are {got}; {expected} is right.",
        )


@decoupled_weight_decay_step.check("new tensors")
class NewTensors:
    hints = HINTS
    measured = ("called", "after", "shared")

    def draw(self, generator):
        w, gradient, m = (normal(generator, 4) for _ in range(3))
        return {"w": w, "gradient": gradient, "m": m, "v": normal(generator, 4) ** 2}

    def call(self, student, inputs):
        given = [torch.tensor(inputs[name]) for name in ("w", "gradient", "m", "v")]
        result = student(*given, 3, 0.01, 0.5, (0.9, 0.98), 1e-8)
        after_step = [part.copy() for part in three(result, (4,))]
        called = torch.stack(given)
        shared = len({part.data_ptr() for part in result}) < 3
        for part in result:
            part.detach().add_(1)  # so that a shared tensor shows itself
        seen = {"called": called, "after": torch.stack(given), "shared": shared}
        return {**seen, "step": after_step}

    def verdict(self, inputs, outputs):
        for k, name in enumerate(("w", "gradient", "m", "v")):
            if not np.array_equal(outputs["called"][k], inputs[name]):
                return (
                    f"The {name} that was passed in has changed: `*=`, `+=` and mul_, add_ write into the "
                    "caller's tensor."
                )
            if not np.array_equal(outputs["after"][k], inputs[name]):
                return f"It returns the {name} that was passed in: return a new tensor."
        if outputs["shared"]:
            return "Two of the three tensors that it returned are one: each needs its own."
        given = (np.asarray(inputs[name]) for name in ("w", "gradient", "m", "v"))
        right = step(*given, 3, 0.01, 0.5, (0.9, 0.98), 1e-8)
        otherwise = (
            "Called with step = 3 and with moments m and v of which it knows nothing, it gives {got}; {expected} is "
            "right. Does it keep moments, or anything else, from call to call? m and v are what is passed in."
        )
        return compare(list(outputs["step"]), list(right), 1e-5, (), otherwise)
