"""The Frobenius norm from random probes."""

import math

import numpy as np
import torch

from flatlab.checks.answers import array, compare
from flatlab.checks.chapter01.products import Product, seeded
from flatlab.checks.core import Exercise
from flatlab.checks.toys import symmetric

frobenius_norm = Exercise("frobenius_norm", remaining=("a single probe", "a matrix of zeros"))


def norm_estimate(student, product: Product, probes: int, seed: int = 0) -> np.ndarray:
    return array(student(product, len(product.matrix), probes, seeded(seed)), ())


@frobenius_norm.check("a matrix of rank one")
class RankOne:
    probes = 8000  # the mean of their squares is off by 1.6 %

    def draw(self, generator):
        signs = torch.ones(30) / math.sqrt(30)
        signs[torch.randperm(30, generator=generator)[:15]] *= -1  # probes of mean 1/2 show
        return {"A": 7.0 * torch.outer(signs, signs)}

    def call(self, student, inputs):
        return {"norm": norm_estimate(student, Product(inputs["A"]), self.probes)}

    def verdict(self, inputs, outputs):
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
                    (
                        "It is too small by the square root of dim: are the probes "
                        "normalized, or is a mean over entries taken where ||Hz||^2 is a sum?"
                    ),
                ),
                (
                    7.0 / math.sqrt(12),
                    "The probes' entries need mean 0 and variance 1; torch.rand has neither.",
                ),
            ],
            otherwise="The norm is {expected}, your estimate from 8000 probes is {got}.",
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
        return {
            "calls": product.calls,
            "repeated": product.repeated,
            "first": first,
            "again": again,
        }

    def verdict(self, inputs, outputs):
        if outputs["calls"] == len(inputs["A"]):
            return (
                "For 5 probes it used dim = 32 products: these are basis vectors, and the whole "
                "matrix. With 898,510 parameters that is out of reach; random probes are not."
            )
        if outputs["calls"] != 5:
            return f"For 5 probes it used {outputs['calls']} products; one each is enough."
        if outputs["repeated"]:
            return "The probes are all the same vector: draw z inside the loop."
        if outputs["first"] != outputs["again"]:
            return "Two runs with the same seed differ: draw the probes with generator=generator."
        return None
