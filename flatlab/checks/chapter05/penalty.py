"""The trace of the Hessian by random signs, as a number that training can differentiate."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch

from flatlab.checks.answers import array, compare
from flatlab.checks.chapter01.products import seeded
from flatlab.checks.chapter05.truths import flat, listed
from flatlab.checks.core import Exercise, WrongAnswer
from flatlab.checks.toys import leaves, normal, quadratic

hessian_penalty = Exercise(
    "hessian_penalty",
    remaining=(
        "parameters that enter linearly or not at all",
        "signs of their own for every tensor",
        "params and their .grad left alone",
    ),
)

HINTS = (
    (
        "does not require grad",
        (
            "Two causes: the first gradient was taken without create_graph=True, or the loss was computed "
            "from detached tensors."
        ),
    ),
    (
        "backward through the graph a second time",
        "Several probes share the gradient's graph: create_graph=True keeps it in each of them.",
    ),
    (
        "not have been used in the graph",
        "A parameter does not enter a derivative: materialize_grads=True gives zeros for it.",
    ),
    (
        "scalar outputs",
        "Add up g.z over all entries and tensors first: one number is differentiated.",
    ),
    (
        "got an unexpected keyword argument 'generator'",
        "randn_like and its kin take no generator: torch.randint(0, 2, w.shape, generator=generator).",
    ),
    (
        "Only Tensors of floating point",
        "randint gives whole numbers: only floating-point tensors take part in gradients.",
    ),
)
ERRORS = 6  # standard errors that a mean of probes may be off


def number(result, what: str = "It") -> np.ndarray:
    return array(result, (), what)


def drawn_sum(matrix: np.ndarray, probes: int) -> tuple[float, float]:
    """Mean and standard error of the mean of z'Hz over ``probes`` vectors of signs."""
    off = matrix - np.diag(np.diag(matrix))
    return float(np.trace(matrix)), math.sqrt(2 * np.sum(off**2) / probes)


@hessian_penalty.check("a diagonal Hessian, where every probe gives the trace")
class Diagonal:
    hints = HINTS
    probes = 3
    seeds = tuple(range(12))

    def draw(self, generator):
        a = torch.rand(7, generator=generator, dtype=torch.float64) + 0.5
        a[:4] += 1
        a[4:] *= -1  # both signs, so that absolute values are seen
        return {
            "a": a,
            "params": [normal(generator, 2, 2), normal(generator, 3)],
            "probes": self.probes,
            "seeds": list(self.seeds),
        }

    def call(self, student, inputs):
        loss = quadratic(np.diag(inputs["a"]), np.zeros(7))
        several = [
            number(student(loss, leaves(inputs["params"]), inputs["probes"], seeded(seed)))
            for seed in inputs["seeds"][:2]
        ]
        half = quadratic(inputs["a"][:1, None], np.zeros(1))  # a single weight: z'Hz = a z^2
        single = [
            number(student(half, leaves([inputs["a"][1:2]]), 1, seeded(seed)))
            for seed in inputs["seeds"]
        ]
        return {"several": several, "single": single}

    def verdict(self, inputs, outputs):
        a, probes = np.asarray(inputs["a"]), inputs["probes"]
        if message := _signs_verdict(a[0], np.array(outputs["single"])):
            return message
        wrong = trace_mistakes(a, a * flat(inputs["params"]), probes)
        return compare(
            np.array(outputs["several"]),
            np.full(2, a.sum()),
            1e-4,
            [(np.full(2, value), message) for value, message in wrong],
            "Where H is diagonal z.Hz is the trace for every vector z of signs. With two generators it "
            "gives {got}; the traces are {expected}.",
        )


def trace_mistakes(a: np.ndarray, g: np.ndarray, probes: int) -> list[tuple[float, str]]:
    """Wrong numbers where H = diag(a), of a first tensor of 4 entries and a second one."""
    total, first, second = a.sum(), a[:4].sum(), a[4:].sum()
    absolute = "Absolute values are added up: curvature has a sign, and z.Hz may be negative."
    return [
        (probes * total, "It adds up the probes: take their mean."),
        (
            total / probes,
            (
                "It is the mean, divided by the number of probes once more. Answers like these also come "
                "from a sum that holds a single probe: `=` for `+=`, or return inside the loop."
            ),
        ),
        (
            total / a.size,
            (
                "It is the mean of the eigenvalues: z.Hz is a sum over all entries. Answers like these "
                "come from .mean() in place of .sum(), or from a z of length 1."
            ),
        ),
        (
            first / 4 + second / (a.size - 4),
            (
                "It is a mean over each tensor: z.Hz is a sum over all entries. Answers like these come "
                "from .mean() in place of .sum(), or from a z of length 1."
            ),
        ),
        (np.abs(a).sum(), absolute),
        (abs(first) + abs(second), absolute),
        (
            np.sum(a**2),
            "This is |Hz|^2, whose mean is the squared Frobenius norm: z.Hz is asked for.",
        ),
        (np.sqrt(np.sum(a**2)), "This is the Frobenius norm: the mean of z.Hz is asked for."),
        (first, "Only the first tensor enters: add up over all."),
        (second, "Only the last tensor enters: add up over all."),
        (g.sum(), "This is the sum of the gradient: differentiate once more."),
        (g @ g, "This is the gradient's squared length: differentiate once more."),
        (total / 2, "It is half of the trace."),
    ]


def _signs_verdict(a: float, single: np.ndarray) -> str | None:
    """With one weight z'Hz = a z^2, so that z^2 can be read off."""
    squares = single / a
    if not np.isfinite(squares).all():
        return "With one weight the result holds NaN or inf."
    if np.allclose(squares, squares[0], atol=1e-5):
        return None  # the same for every generator: what it is the larger network tells
    if np.allclose(np.abs(squares), 1, atol=1e-5):
        return (
            "With one weight it is H with a random sign. Answers like these come from Hz, where z.Hz takes z "
            "once more, or from a new z for the second factor: the same z stands on both sides."
        )
    if np.isin(np.round(squares, 5), (0, 1)).all():
        return (
            "Some probes are 0: z holds the numbers 0 and 1, or -1, 0 and 1. Signs are -1 or 1: "
            "2 z - 1 makes them of 0 and 1."
        )
    return (
        "With one weight and one probe z.Hz = H z^2 is H for both signs, but it changes with the "
        f"generator, from {single.min():.3g} to {single.max():.3g} with H = {a:.3g}. Answers like these come "
        "from z that is normal or uniform, not a sign."
    )


@hessian_penalty.check("mixed derivatives, which cancel over many probes")
class Mixed:
    hints = HINTS
    probes = 100

    def draw(self, generator):
        """H = [[A, C], [C', B]] with large entries off the diagonal, all positive."""
        h = torch.rand(6, 6, generator=generator, dtype=torch.float64) + 0.5
        return {
            "H": (h + h.T) / 4 + 0.5 * torch.diag(h.diag()),
            "b": normal(generator, 6),
            "params": [normal(generator, 3), normal(generator, 3)],
            "probes": self.probes,
            "seed": 5,
        }

    def call(self, student, inputs):
        loss = quadratic(inputs["H"], inputs["b"])

        def run(probes: int, seed: int) -> np.ndarray:
            return number(student(loss, leaves(inputs["params"]), probes, seeded(seed)))

        seed = inputs["seed"]
        return {
            "mean": run(inputs["probes"], seed),
            "one": run(1, seed),
            "again": run(inputs["probes"], seed),
            "others": [run(1, seed + k) for k in range(1, 9)],
        }

    def verdict(self, inputs, outputs):
        h, probes = np.asarray(inputs["H"]), inputs["probes"]
        got, one = float(outputs["mean"]), float(outputs["one"])
        if abs(float(outputs["again"]) - got) > 1e-6 * abs(got):
            return "Two calls with the same seed differ: draw with generator=generator."
        every = h.sum()
        if abs(one - every) < 1e-4 * every and np.allclose(outputs["others"], every, rtol=1e-4):
            return (
                "It is the sum of all entries of H, mixed ones too: all entries of z are the same. Answers like "
                "these come from one sign for all (draw of w.shape), from randint(0, 1), which draws only 0, "
                "or from the sign of torch.rand, which is never negative."
            )
        a, b, c = h[:3, :3].sum(), h[3:, 3:].sum(), 2 * h[:3, 3:].sum()
        two = [min(abs(float(x) - a - b - c), abs(float(x) - a - b + c)) for x in outputs["others"]]
        if max(two) < 1e-4 * every:
            return "All entries of a tensor have the same sign: each needs one of its own, drawn of w.shape."
        if np.allclose(outputs["others"], np.trace(h), rtol=1e-4):
            return None  # exact for each probe: H was looked at entry by entry
        if all(abs(float(other) - one) < 1e-6 * every for other in outputs["others"]):
            return "Every generator gives the same number: draw with generator=generator."
        if abs(got - one) < 1e-6 * every:
            return (
                f"With {probes} probes it gives {got:.4g}, as with a single one: each probe needs a new z, "
                "drawn inside the loop."
            )
        expected, error = drawn_sum(h, probes)
        if abs(got - expected) <= ERRORS * error + 1e-4 * abs(expected):
            return None
        return (
            f"The mean of {probes} probes is {got:.4g}; the trace is {expected:.4g}, with a standard error "
            f"of {error:.2g}. Is z the same vector on both sides of z.Hz, and drawn entry by entry?"
        )


@hessian_penalty.check("a number that training can differentiate")
class Differentiable:
    hints = HINTS

    def draw(self, generator):
        return {
            "c": torch.rand(5, generator=generator, dtype=torch.float64) + 0.5,
            "params": [normal(generator, 2), normal(generator, 3)],
        }

    def loss(self, inputs):
        """sum c w^4 / 12 has the Hessian diag(c w^2)."""

        def of(params: Sequence[torch.Tensor]) -> torch.Tensor:
            w = torch.cat([p.reshape(-1) for p in params])
            return (torch.as_tensor(inputs["c"], dtype=w.dtype) * w**4).sum() / 12

        return of

    def call(self, student, inputs):
        params = leaves(inputs["params"])
        penalty = student(self.loss(inputs), params, 2, seeded(1))
        result = number(penalty)
        grads = differentiated(penalty, params)
        return {"penalty": result, "gradient": listed(grads, params, "Its derivative")}

    def verdict(self, inputs, outputs):
        w, c = flat(inputs["params"]), np.asarray(inputs["c"])
        message = compare(outputs["penalty"], np.sum(c * w**2), 1e-4)
        return message or compare(
            flat(outputs["gradient"]),
            2 * c * w,
            1e-4,
            [(np.zeros(5), "The penalty's derivative by the parameters is 0: its graph was cut.")],
            "The penalty is right, but its derivative by the parameters is {got}; {expected} is right. "
            "Is a part of it detached?",
        )


def differentiated(penalty, params: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """The penalty's gradient; says why where there is none."""
    if not isinstance(penalty, torch.Tensor):
        raise WrongAnswer(
            f"It returned a {type(penalty).__name__}, which training cannot differentiate: return the "
            "tensor, without .item() or float()."
        )
    if not penalty.requires_grad:
        raise WrongAnswer(
            "The number has no graph, so training cannot differentiate it: the second gradient needs "
            "create_graph=True too, and nothing may be detached."
        )
    grads = torch.autograd.grad(penalty.sum(), params, allow_unused=True)
    if all(g is None for g in grads):
        raise WrongAnswer(
            "The number has a graph, but not to the params that were passed in: compute the loss from "
            "these, not from copies."
        )
    return [torch.zeros_like(p) if g is None else g for p, g in zip(params, grads, strict=True)]
