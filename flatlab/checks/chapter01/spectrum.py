"""The eigenvalue of largest magnitude."""

import math

import numpy as np

from flatlab.checks.answers import array, compare
from flatlab.checks.chapter01.products import Product, seeded
from flatlab.checks.core import Exercise, WrongAnswer
from flatlab.checks.toys import symmetric

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
        "columns": product.columns,
    }


def eigenpair_verdict(matrix: np.ndarray, outputs: dict, steps: int) -> str | None:
    """Is it the eigenpair of largest magnitude, with a unit vector, from about ``steps`` products?"""
    values, vectors = np.linalg.eigh(matrix)
    top = np.argmax(np.abs(values))
    value, vector = float(values[top]), outputs["vector"]
    if not (np.isfinite(outputs["value"]) and np.all(np.isfinite(vector))):
        return "The numbers overflow to inf or NaN: normalize the vector in every step."
    if outputs["columns"] >= len(matrix):
        return (
            f"It used {outputs['calls']} products, at least one for each of the {len(matrix)} "
            "dimensions: this looks like building the whole matrix first."
        )
    if outputs["calls"] > 2 * steps + 2:
        return (
            f"It used {outputs['calls']} products for {steps} steps, and a step takes two at most: keep "
            "A v in a variable, and loop `steps` times."
        )
    message = compare(
        outputs["value"],
        value,
        5e-3,
        mistakes=[
            (
                -value,
                (
                    "The size is right and the sign is not: the norm of A v is |eigenvalue|. The "
                    "Rayleigh quotient v . A v (for a unit v) keeps the sign."
                ),
            ),
            (
                value * float(vector @ vector),
                (
                    "v . A v is the eigenvalue only for a v of norm 1: bring v back to norm 1 in every "
                    "step, not only to a largest entry of 1."
                ),
            ),
            (value**2, "This is the eigenvalue squared."),
            (math.sqrt(abs(value)), "This is the square root of the eigenvalue."),
            (
                values.max(),
                (
                    "This is the largest eigenvalue, but not the one of largest magnitude, "
                    "to which power iteration goes."
                ),
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
        pairs = [pair(student, Product(inputs["A"]), 1, seed) for seed in (3, 3, 4)]
        return {"vectors": [p["vector"] for p in pairs], "calls": pairs[0]["calls"]}

    def verdict(self, inputs, outputs):
        first, again, other = outputs["vectors"]
        if outputs["calls"] > 4:
            return f"With steps=1 it used {outputs['calls']} products: does the loop run `steps` times?"
        if not np.allclose(first, again, atol=1e-6):
            return "Two runs with the same seed differ: draw the start with generator=generator."
        if np.allclose(first, other, atol=1e-6):
            return (
                "The start is the same for every generator. A fixed start can be orthogonal to "
                "the eigenvector: draw it with torch.randn(dim, generator=generator)."
            )
        return None
