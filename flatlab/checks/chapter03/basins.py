"""The odds of two basins, against integrals over them, under reparametrization, far from 1."""

import math

import numpy as np
import torch

from flatlab.checks.answers import NO_ASSERT, array, compare
from flatlab.checks.core import Exercise, WrongAnswer
from flatlab.checks.toys import normal, symmetric

basin_ratio = Exercise(
    "basin_ratio",
    remaining=(
        "A and B exchanged",
        "two factors that leave float64 while their product does not",
        "Hessians in float32",
    ),
)

HINTS = (
    (
        "must be Tensor, not float",
        "torch.exp takes a tensor; of a Python number, math.exp.",
    ),
    ("only one element tensors", "math.sqrt takes one number: the determinant is one."),
    ("OverflowError", "A factor alone is beyond float64: add logarithms, and take exp at the end."),
    ("math range error", "A factor alone is beyond float64: add logarithms, exp at the end."),
    (
        "ZeroDivisionError",
        "A determinant came out as 0: many small eigenvalues. Its logarithm is an ordinary number.",
    ),
    ("math domain error", "A determinant came out as 0, which has no logarithm: torch.logdet has."),
    ("expected m1 and m2", "Products of matrices need one dtype."),
)


def basin_mass(loss: float, hessian: np.ndarray, n: float, sigma: float) -> float:
    """The integral of exp(-2 L / (n sigma^2)) over a parabola, axis by axis on a grid."""
    t = np.linspace(-1, 1, 4001)
    mass = math.exp(-2 * loss / (n * sigma**2))
    for curvature in np.linalg.eigvalsh(hessian):
        x = 9 * math.sqrt(n * sigma**2 / (2 * curvature)) * t  # nine standard deviations each way
        mass *= float(np.exp(-curvature * x**2 / (n * sigma**2)).sum() * (x[1] - x[0]))
    return mass


def ratio_mistakes(
    loss_a: float, a: np.ndarray, loss_b: float, b: np.ndarray, n: float, sigma: float
) -> list[tuple]:
    """What wrong ratios equal, and what each got wrong."""
    width = math.sqrt(np.linalg.det(b) / np.linalg.det(a))
    gap, noise = loss_b - loss_a, n * sigma**2
    depth = math.exp(2 * gap / noise)
    top = [float(np.linalg.eigvalsh(h)[-1]) for h in (a, b)]
    upside = "det H_A stands above the line. The sharper basin is the less likely one."
    squared = "sigma enters as it is; it must be squared in the exponent."
    return [
        (1 / (width * depth), "This is p_B / p_A."),
        (depth / width, upside),
        (width**2 * depth, "The root of the determinants is missing."),
        (
            math.sqrt(width) * depth,
            (
                "The root of the determinants is taken twice. The logarithms of Cholesky's diagonal add "
                "up to half of log det."
            ),
        ),
        (depth / width**2, f"{upside} And the root is missing."),
        (
            width / depth,
            "The sign of the exponent is turned: the deeper basin is the likelier one.",
        ),
        (width * math.sqrt(depth), "The 2 of the exponent is missing: 2 (L_B - L_A)/(n sigma^2)."),
        (width * math.exp(gap / noise / 2), "The 2 stands below the line of the exponent."),
        (width * math.exp(2 * gap / (n * sigma)), squared),
        (
            width * math.exp(2 * gap / n * sigma**2),
            (
                "sigma^2 multiplies the losses. In Python `a / n * b` is (a / n) * b: put n * sigma**2 "
                "in parentheses."
            ),
        ),
        (width * math.exp(2 * gap / n), "sigma is missing from the exponent."),
        (width * math.exp(2 * gap / sigma**2), "The noise n = eta/S is missing from the exponent."),
        (
            width * math.exp(2 * gap * n / sigma**2),
            "The losses are multiplied by n: with more noise, depth must count less.",
        ),
        (math.log(width * depth), "This is the logarithm of the ratio: exp is missing at the end."),
        (
            width * depth / (1 + width * depth),
            "This is p_A / (p_A + p_B), a share; the ratio p_A / p_B is asked for.",
        ),
        (depth, "Only the exponential is there: a wide basin has more room. Where does H enter?"),
        (width, "Only the determinants are there: where do the losses enter?"),
        (
            math.sqrt(np.trace(b) / np.trace(a)) * depth,
            (
                "It takes the traces. A basin's volume is a product over its directions: "
                "the determinant is the product of the eigenvalues, the trace is their sum."
            ),
        ),
        (
            math.sqrt(top[1] / top[0]) * depth,
            "It takes the largest eigenvalues: the determinant is the product of all of them.",
        ),
        (
            math.sqrt(np.linalg.norm(b) / np.linalg.norm(a)) * depth,
            "It takes the norms: the determinant is the product of all eigenvalues.",
        ),
    ]


def answer(student, inputs: dict, a: torch.Tensor, b: torch.Tensor) -> np.ndarray:
    """The student's ratio for Hessians a and b."""
    losses, noise = inputs["losses"], (inputs["n"], inputs["sigma"])
    return array(student(float(losses[0]), a, float(losses[1]), b, *noise), ())


def not_finite(got: float) -> str | None:
    """What to say of a ratio that is no positive number, where the true one is."""
    if math.isfinite(got) and got > 0:
        return None
    return (
        f"It gives {got:.3g}, while the ratio itself is an ordinary number. A product of many small "
        "eigenvalues is 0 in float64, one of many large ones inf, and so may be the exponential: add "
        "logarithms, and take exp once, at the end."
    )


@basin_ratio.check("integrals over two parabolas")
class Integrals:
    hints = HINTS

    def draw(self, generator):
        return {
            "a": symmetric(generator, [4.0, 2.5, 0.7]),
            "b": symmetric(generator, [3.0, 0.6, 0.3]),
            "losses": [0.12, 0.3],
            "n": 0.45,
            "sigma": 1.2,
        }

    def call(self, student, inputs):
        a, b = torch.tensor(inputs["a"]), torch.tensor(inputs["b"])
        return {"ratio": answer(student, inputs, a, b)}

    def verdict(self, inputs, outputs):
        (loss_a, loss_b), n, sigma = inputs["losses"], inputs["n"], inputs["sigma"]
        a, b = np.array(inputs["a"]), np.array(inputs["b"])
        return compare(
            outputs["ratio"],
            basin_mass(loss_a, a, n, sigma) / basin_mass(loss_b, b, n, sigma),
            1e-4,
            ratio_mistakes(loss_a, a, loss_b, b, n, sigma),
            "Integrals of exp(-2 L / (n sigma^2)) over the two parabolas have the ratio {expected}; "
            "yours is {got}.",
        )


@basin_ratio.check("a change of variables")
class ChangeOfVariables(Integrals):
    def draw(self, generator):
        """theta = J phi multiplies every Hessian to J^T H J."""
        jacobian = normal(generator, 3, 3) + 3 * torch.eye(3, dtype=torch.float64)
        slides = torch.diag(torch.tensor([20.0, 20.0, 0.05], dtype=torch.float64))
        return {**super().draw(generator), "jacobians": torch.stack([jacobian, slides])}

    def call(self, student, inputs):
        a, b = torch.tensor(inputs["a"]), torch.tensor(inputs["b"])
        pairs = [(a, b), *((j.T @ a @ j, j.T @ b @ j) for j in torch.tensor(inputs["jacobians"]))]
        pairs = [tuple((h + h.T) / 2 for h in pair) for pair in pairs]
        return {"ratios": [answer(student, inputs, *pair) for pair in pairs]}

    def verdict(self, inputs, outputs):
        before, *after = (float(ratio) for ratio in outputs["ratios"])
        for ratio in after:
            if not abs(ratio - before) <= 1e-4 * abs(before):
                return (
                    "In other coordinates, theta = J phi, both Hessians become J^T H J, and the odds of "
                    f"the two basins are the same. Yours go from {before:.4g} to {ratio:.4g}."
                )
        return None


@basin_ratio.check("sixty weights in very flat basins")
class ManyWeights(Integrals):
    dtype = torch.float64
    scale = 1e-8

    def draw(self, generator):
        spread = 1 + torch.rand(60, generator=generator, dtype=torch.float64)
        return {
            "a": symmetric(generator, list(self.scale * spread)),
            "b": symmetric(generator, list(1.02 * self.scale * spread)),
            "losses": [0.2, 0.1],
            "n": 0.5,
            "sigma": 1.0,
        }

    def call(self, student, inputs):
        a, b = (torch.tensor(inputs[name], dtype=self.dtype) for name in "ab")
        return {"ratio": answer(student, inputs, a, b)}

    def verdict(self, inputs, outputs):
        message = not_finite(float(outputs["ratio"]))
        right = math.exp(30 * math.log(1.02) - 2 * 0.1 / 0.5)
        return message or compare(
            outputs["ratio"],
            right,
            2e-2 if self.dtype == torch.float32 else 1e-4,
            otherwise="For 60 weights, every curvature 1.02 times as large at B, the ratio is "
            "{expected}; yours is {got}.",
        )


@basin_ratio.check("a saddle is no minimum")
class Saddle(Integrals):
    hints = (*HINTS, NO_ASSERT)

    def draw(self, generator):
        """The second has two negative eigenvalues, and a positive determinant; the third has a 0."""
        return {
            **super().draw(generator),
            "saddles": torch.stack(
                [
                    symmetric(generator, [2.0, 1.0, -0.5]),
                    symmetric(generator, [2.0, -1.0, -0.5]),
                    torch.diag(torch.tensor([2.0, 1.0, 0.0], dtype=torch.float64)),
                ]
            ),
        }

    def call(self, student, inputs):
        said = []
        for saddle in torch.tensor(inputs["saddles"]):
            for pair in ((saddle, torch.tensor(inputs["b"])), (torch.tensor(inputs["a"]), saddle)):
                try:
                    answer(student, inputs, *pair)
                except (ValueError, torch.linalg.LinAlgError) as error:
                    text = f"{error}".strip()
                    kind = "refused" if text else ""
                    said.append("domain" if "math domain error" in text else kind)
                except ArithmeticError:
                    said.append("domain")
                except WrongAnswer:
                    said.append("a number")
                else:
                    said.append("a number")
        return {"said": said}

    def verdict(self, inputs, outputs):
        said = [str(word) for word in outputs["said"]]
        if said == ["refused"] * 6:
            return None
        one, two, flat = said[:2], said[2:4], said[4:]
        if "a number" in one:
            return (
                "A Hessian with a negative eigenvalue, a saddle, was accepted. It has no basin: raise a "
                "ValueError that says so."
            )
        if "a number" in two:
            return (
                "A Hessian with two negative eigenvalues was accepted: its determinant is positive, and "
                "yet it is a saddle. Look at the eigenvalues."
            )
        if "a number" in flat:
            return (
                "A Hessian with an eigenvalue 0 was accepted: along that direction the basin has no end. "
                "Raise the ValueError for every eigenvalue <= 0, not < 0 alone."
            )
        if "" in said:
            return (
                "It raises an error without a text: the text of the ValueError names the trouble."
            )
        return (
            "Without a minimum it ends in a logarithm or a root. Ask for the eigenvalues first, and raise a "
            "ValueError that says what is wrong."
        )
