"""Visible checks of the three measures: top eigenvalue, Frobenius norm, epsilon-sharpness."""

import math

import numpy as np
import torch

from flatlab.checks.answers import array, compare
from flatlab.checks.core import Exercise, WrongAnswer
from flatlab.checks.toys import ball_maximum, leaves, normal, quadratic, symmetric


class Product:
    """v -> A v for a student's function; counts its calls and follows the dtype of v."""

    def __init__(self, matrix: np.ndarray) -> None:
        self.matrix = torch.as_tensor(matrix)
        self.calls = 0

    def __call__(self, v: torch.Tensor) -> torch.Tensor:
        if not isinstance(v, torch.Tensor) or v.shape != (len(self.matrix),):
            shape = tuple(v.shape) if isinstance(v, torch.Tensor) else type(v).__name__
            raise WrongAnswer(f"matvec was given {shape}; it takes one vector of shape (dim,).")
        self.calls += 1
        return self.matrix.to(v.dtype) @ v


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


power_iteration = Exercise(
    "power_iteration", remaining=("a matrix of zeros", "a matrix with very small entries")
)


def pair(student, product: Product, steps: int, seed: int = 0) -> dict:
    """The returned pair as arrays."""
    dim = len(product.matrix)
    result = student(product, dim, steps, seeded(seed))
    if not isinstance(result, tuple | list) or len(result) != 2:
        raise WrongAnswer("It should return two things: the eigenvalue and the eigenvector.")
    return {
        "value": array(result[0], (), "The eigenvalue"),
        "vector": array(result[1], (dim,), "The eigenvector"),
        "calls": product.calls,
    }


def eigenpair_verdict(matrix: np.ndarray, outputs: dict, steps: int) -> str | None:
    """Is it the eigenpair of largest magnitude, with a unit vector, from about ``steps`` products?"""
    values, vectors = np.linalg.eigh(matrix)
    top = np.argmax(np.abs(values))
    value, vector = float(values[top]), outputs["vector"]
    if not (np.isfinite(outputs["value"]) and np.all(np.isfinite(vector))):
        return "The numbers overflow to inf or NaN: normalize the vector in every step."
    if outputs["calls"] > 2 * steps + 2:
        return (
            f"It used {outputs['calls']} products for {steps} steps: this looks like building the "
            "whole matrix first."
        )
    message = compare(
        outputs["value"],
        value,
        5e-3,
        mistakes=[
            (
                -value,
                "The size is right and the sign is not: the norm of A v is |eigenvalue|. The "
                "Rayleigh quotient v . A v (for a unit v) keeps the sign.",
            ),
            (value**2, "This is the eigenvalue squared."),
            (math.sqrt(abs(value)), "This is the square root of the eigenvalue."),
            (
                values.max(),
                "This is the largest eigenvalue, but not the one of largest magnitude, "
                "to which power iteration goes.",
            ),
        ],
        otherwise="The eigenvalue of largest magnitude is {expected}, yours is {got}.",
    )
    if message:
        return message
    if abs(np.linalg.norm(vector) - 1) > 1e-3:
        return f"The eigenvector has norm {np.linalg.norm(vector):.3g}: return it with norm 1."
    if abs(vectors[:, top] @ vector) < 0.99:
        return "The eigenvalue is right, but the vector is not its eigenvector."
    return None


@power_iteration.check("a positive definite matrix")
class PositiveDefinite:
    def draw(self, generator):
        return {"A": symmetric(generator, [40.0, 20.0, 10.0] + [1.0] * 9)}

    def call(self, student, inputs):
        return pair(student, Product(inputs["A"]), steps=60)

    def verdict(self, inputs, outputs):
        return eigenpair_verdict(inputs["A"], outputs, steps=60)


@power_iteration.check("a dominant eigenvalue that is negative")
class NegativeDominant:
    def draw(self, generator):
        return {"A": symmetric(generator, [-5.0, 3.0, 1.0] + [0.1] * 97)}

    def call(self, student, inputs):
        return pair(student, Product(inputs["A"]), steps=40)

    def verdict(self, inputs, outputs):
        return eigenpair_verdict(inputs["A"], outputs, steps=40)


@power_iteration.check("a random start from the generator")
class StartFromGenerator:
    def draw(self, generator):
        return {"A": symmetric(generator, [2.0, 1.5, 1.0, 0.5, 0.2, 0.1])}

    def call(self, student, inputs):
        seeds = (3, 3, 4)
        return {"vectors": [pair(student, Product(inputs["A"]), 1, s)["vector"] for s in seeds]}

    def verdict(self, inputs, outputs):
        first, again, other = outputs["vectors"]
        if not np.allclose(first, again, atol=1e-6):
            return "Two runs with the same seed differ: draw the start with generator=generator."
        if np.allclose(first, other, atol=1e-6):
            return (
                "The start is the same for every generator. A fixed start can be orthogonal to "
                "the eigenvector: draw it with torch.randn(dim, generator=generator)."
            )
        return None


frobenius_norm = Exercise("frobenius_norm", remaining=("a single probe", "a matrix of zeros"))


def norm_estimate(student, product: Product, probes: int, seed: int = 0) -> np.ndarray:
    return array(student(product, len(product.matrix), probes, seeded(seed)), ())


@frobenius_norm.check("a matrix of rank one")
class RankOne:
    probes = 4000

    def draw(self, generator):
        signs = torch.sign(normal(generator, 30)) / math.sqrt(30)
        return {"A": 7.0 * torch.outer(signs, signs), "signs": signs}

    def call(self, student, inputs):
        return {"norm": norm_estimate(student, Product(inputs["A"]), self.probes)}

    def verdict(self, inputs, outputs):
        uniform = 7.0 * math.sqrt(1 / 12 + inputs["signs"].sum() ** 2 / 4)
        return compare(
            outputs["norm"],
            7.0,
            0.06,
            mistakes=[
                (49.0, "This is the square of the norm: take the root."),
                (
                    7.0 * math.sqrt(2 / math.pi),
                    "The norms ||Hz|| are averaged. Average their squares, then take the root.",
                ),
                (7.0 * math.sqrt(self.probes), "The probes are summed: divide by their number."),
                (7.0 / math.sqrt(self.probes), "Divided by the number of probes once too often."),
                (
                    7.0 / math.sqrt(30),
                    "It is too small by the square root of dim: are the probes "
                    "normalized? Each entry needs variance 1.",
                ),
                (
                    uniform,
                    "The probes' entries need mean 0 and variance 1; torch.rand has neither.",
                ),
            ],
            otherwise="The norm is {expected}, your estimate from 4000 probes is {got}.",
        )


@frobenius_norm.check("eigenvalues of both signs")
class BothSigns:
    def draw(self, generator):
        return {"A": symmetric(generator, [3.0, -3.0, 2.0, -1.5] + [0.5, -0.5] * 8)}

    def call(self, student, inputs):
        return {"norm": norm_estimate(student, Product(inputs["A"]), probes=3000)}

    def verdict(self, inputs, outputs):
        a = inputs["A"]
        if abs(outputs["norm"] - np.trace(a)) < 0.2:
            return (
                f"The trace of this matrix is {np.trace(a):.2g}, and so is your estimate: z . Hz "
                "estimates the trace, ||Hz||^2 the squared norm."
            )
        return compare(
            outputs["norm"],
            np.linalg.norm(a),
            0.06,
            mistakes=[(3.0, "This is the largest |eigenvalue|, not the norm of all entries.")],
            otherwise="The norm is {expected}, your estimate from 3000 probes is {got}.",
        )


@frobenius_norm.check("one product a probe, drawn from the generator")
class OneProductEach:
    def draw(self, generator):
        return {"A": symmetric(generator, [5.0, 3.0] + [1.0] * 30)}

    def call(self, student, inputs):
        product = Product(inputs["A"])
        first = norm_estimate(student, product, probes=5, seed=1)
        again = norm_estimate(student, Product(inputs["A"]), probes=5, seed=1)
        return {"calls": product.calls, "first": first, "again": again}

    def verdict(self, inputs, outputs):
        if outputs["calls"] == len(inputs["A"]):
            return (
                "For 5 probes it used dim = 32 products: these are basis vectors, and the whole "
                "matrix. With 898,510 parameters that is out of reach; random probes are not."
            )
        if outputs["calls"] != 5:
            return f"For 5 probes it used {outputs['calls']} products; one each is enough."
        if outputs["first"] != outputs["again"]:
            return "Two runs with the same seed differ: draw the probes with generator=generator."
        return None


epsilon_sharpness = Exercise(
    "epsilon_sharpness",
    remaining=("a maximum inside the ball, not on its surface", "a flat loss, where it is 0"),
)


def sharpness_outputs(student, loss, params, epsilon: float, steps: int = 200) -> dict:
    before = [p.detach().clone() for p in params]
    value = array(student(loss, params, epsilon, steps), ())
    moved = max(float((p.detach() - b).abs().max()) for p, b in zip(params, before, strict=True))
    return {"value": value, "moved": moved, "has_grad": any(p.grad is not None for p in params)}


@epsilon_sharpness.check("the bottom of a bowl")
class Bowl:
    def draw(self, generator):
        curvatures = torch.tensor([8.0, 1.0, 0.5, 6.0, 2.0, 0.1], dtype=torch.float64)
        return {"a": curvatures, "offset": 1.5, "epsilon": 0.4}

    def call(self, student, inputs):
        params = leaves([np.zeros((3,)), np.zeros((3, 1))])
        loss = quadratic(np.diag(inputs["a"]), np.zeros(6), inputs["offset"])
        return sharpness_outputs(student, loss, params, inputs["epsilon"])

    def verdict(self, inputs, outputs):
        half, level = 0.5 * inputs["epsilon"] ** 2, 1 + inputs["offset"]
        if abs(outputs["value"]) < 1e-9:
            return (
                "At the bottom of the bowl it gives 0: there the gradient is 0 and ascent never "
                "leaves. Start from a small random step away from w."
            )
        return compare(
            outputs["value"],
            half * 8 / level,
            0.03,
            mistakes=[
                (half * 8, "The division by 1 + L(w) is missing."),
                (half * 8 / inputs["offset"], "It divides by L(w); the formula has 1 + L(w)."),
                (
                    half * 14 / level,
                    "Each tensor moved by epsilon on its own. The ball is around "
                    "all parameters together: one norm, over all tensors.",
                ),
                (
                    (half * 8 + inputs["offset"]) / level,
                    "This is L(w') / (1 + L(w)): the formula has the rise L(w') - L(w).",
                ),
                (half * 8 / (level + half * 8), "It divides by 1 + L(w') instead of 1 + L(w)."),
                (inputs["epsilon"] * 8 / 2 / level, "It grows with epsilon, not with its square."),
            ],
            otherwise="In a bowl of largest curvature 8, with L(w) = 1.5 and epsilon = 0.4, it is "
            "{expected}; yours is {got}." + too_low_or_high(outputs["value"], half * 8 / level),
        )


def too_low_or_high(got: float, expected: float) -> str:
    if got > expected:
        return " That is more than the maximum: did a point leave the ball?"
    return " That is too low: a better point is in the ball. More steps, or longer ones?"


@epsilon_sharpness.check("on a slope")
class Slope:
    def draw(self, generator):
        return {
            "A": symmetric(generator, [6.0, 3.0, 1.0, 0.5, 0.2]),
            "b": 0.5 * normal(generator, 5),
            "epsilon": 0.5,
        }

    def call(self, student, inputs):
        params = leaves([np.zeros(5)])
        loss = quadratic(inputs["A"], inputs["b"], offset=1.0)
        return sharpness_outputs(student, loss, params, inputs["epsilon"])

    def verdict(self, inputs, outputs):
        a, b, epsilon = inputs["A"], inputs["b"], inputs["epsilon"]
        step = epsilon * b / np.linalg.norm(b)
        expected = ball_maximum(a, b, epsilon) / 2
        return compare(
            outputs["value"],
            expected,
            0.03,
            mistakes=[
                (
                    (b @ step + step @ a @ step / 2) / 2,
                    "This is the rise after a single step along "
                    "the gradient: repeat the ascent, it bends.",
                ),
                (
                    epsilon * np.linalg.norm(b) / 2,
                    "This is the linear estimate epsilon ||g||. "
                    "Evaluate the loss at the point you found.",
                ),
            ],
            otherwise="On a slope it is {expected}, yours is {got}."
            + too_low_or_high(outputs["value"], expected),
        )


@epsilon_sharpness.check("parameters restored")
class Restored:
    def draw(self, generator):
        return {"A": symmetric(generator, [4.0, 1.0, 0.5]), "b": normal(generator, 3)}

    def call(self, student, inputs):
        params = leaves([np.array([0.3, 0.1, -0.2])])
        return sharpness_outputs(student, quadratic(inputs["A"], inputs["b"]), params, 0.3, steps=5)

    def verdict(self, inputs, outputs):
        if outputs["moved"] > 0:
            return (
                f"Afterwards the parameters have moved by {outputs['moved']:.2g}. Restore them "
                "from a copy, bit for bit; adding and subtracting the step leaves rounding."
            )
        if outputs["has_grad"]:
            return "Afterwards the parameters carry a .grad: use torch.autograd.grad instead."
        return None
