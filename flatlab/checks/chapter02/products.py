"""Products with the variance of the samples' Hessians."""

import operator

import numpy as np
import torch

from flatlab.checks.answers import array, close, compare
from flatlab.checks.core import Exercise, WrongAnswer
from flatlab.checks.toys import normal

variance_product = Exercise(
    "variance_product",
    remaining=(
        "samples whose Hessians are all equal",
        "two samples that curve in opposite ways",
        "a v that is left as it was",
    ),
)


class SampleProducts:
    """(i, v) -> H_i v for a student's function; counts its calls and follows the dtype of v."""

    def __init__(self, hessians: np.ndarray) -> None:
        self.hessians = torch.tensor(hessians)
        self.calls = 0

    def __call__(self, i: int, v: torch.Tensor) -> torch.Tensor:
        n, d, _ = self.hessians.shape
        try:
            index = operator.index(i)
        except (TypeError, RuntimeError):
            raise WrongAnswer(
                f"per_sample_hvp was given i of type {type(i).__name__}: it takes (i, v), first the "
                "number of the sample."
            ) from None
        if not 0 <= index < n:
            raise WrongAnswer(
                f"per_sample_hvp was asked for sample {index}: they are 0 to {n - 1}."
            )
        if not isinstance(v, torch.Tensor) or v.shape != (d,):
            shape = tuple(v.shape) if isinstance(v, torch.Tensor) else type(v).__name__
            raise WrongAnswer(
                f"per_sample_hvp was given {shape}; it takes one vector (d,) = ({d},)."
            )
        self.calls += 1
        return self.hessians[index].to(v.dtype) @ v


def sigma_v(hessians: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Sigma v from the matrix Sigma."""
    mean = hessians.mean(0)
    return ((hessians @ hessians).mean(0) - mean @ mean) @ v


def product_mistakes(hessians: np.ndarray, v: np.ndarray) -> list[tuple]:
    """What wrong products equal, and what each got wrong."""
    n, mean = len(hessians), hessians.mean(0)
    each, squares = hessians @ v, (hessians @ hessians).mean(0)
    right = sigma_v(hessians, v)
    before = np.cumsum(each, axis=0) / n - each / n  # H v when sample i's turn comes
    apply_twice = "H_i^2 v is the product H_i (H_i v): apply H_i twice."
    early = (
        "H (H v) is computed while H v is still being added up. Finish H v in a first loop, then apply "
        "H to it in a second."
    )

    def in_turn(vectors: np.ndarray) -> np.ndarray:
        """The mean of H_i times vector i."""
        return np.einsum("nij,nj->i", hessians, vectors) / n

    return [
        (
            (each**2).mean(0) - (mean @ v) ** 2,
            "This is the variance of the entries of H_i v, squared one by one. " + apply_twice,
        ),
        (
            (each**2).mean(0),
            "This is the mean of (H_i v)**2, squared entry by entry, and nothing is subtracted. "
            + apply_twice,
        ),
        (
            (each**2).mean(0) - mean @ (mean @ v),
            "The first term is the mean of (H_i v)**2, squared entry by entry. " + apply_twice,
        ),
        (
            squares @ v - (mean @ v) ** 2,
            "H v is squared entry by entry, as in Hv * Hv. H (H v) applies H to H v: a second loop.",
        ),
        (squares @ v - in_turn(before + each / n), early),
        (squares @ v - in_turn(before), early),
        (squares @ v, "H (H v) is not subtracted: this is the mean of H_i (H_i v) alone."),
        (mean @ (mean @ v), "This is H (H v) alone."),
        (mean @ v, "This is H v: the mean product, not its variance."),
        (-right, "The sign is turned: the mean of H_i (H_i v) comes first."),
        (n * right, "It is n times too large: divide the sums by n."),
        (n * (squares @ v) - mean @ (mean @ v), "H_i (H_i v) is summed: divide by n."),
        (
            squares @ v - n * (mean @ (mean @ v)),
            "H (H v) is too large by n: H is a mean each time.",
        ),
        (
            squares @ v - n * n * (mean @ (mean @ v)),
            "H (H v) is too large by n squared: H v is a mean, and so is the second product.",
        ),
        (
            n * (squares @ v) - n * n * (mean @ (mean @ v)),
            "Nothing is divided by n: both are means.",
        ),
        (n / (n - 1) * right, "It divides by n - 1; Sigma is a mean over n samples."),
        (squares @ v - mean @ v, "It subtracts H v; H has to be applied twice, H (H v)."),
        (np.zeros_like(v), "It is 0 whatever the samples are: are both terms the same?"),
    ]


@variance_product.check("random Hessians")
class RandomHessians:
    def draw(self, generator):
        halves = normal(generator, 4, 6, 6)
        return {"hessians": halves + halves.transpose(1, 2), "v": normal(generator, 6)}

    def call(self, student, inputs):
        products, v = SampleProducts(inputs["hessians"]), torch.tensor(inputs["v"])
        result = array(student(products, len(products.hessians), v), tuple(v.shape))
        return {"result": result, "v_after": v, "calls": products.calls}

    def verdict(self, inputs, outputs):
        hessians, v = inputs["hessians"], inputs["v"]
        right = sigma_v(hessians, v)
        if not close(outputs["result"], right, 1e-4) and (outputs["v_after"] != v).any():
            return (
                "v came back with new values, and a product taken after the change is of another "
                "vector. `Hv = v` is a second name for v, not a copy: start from torch.zeros_like(v)."
            )
        return compare(
            outputs["result"],
            right,
            1e-4,
            product_mistakes(hessians, v),
            "It gives {got}; the matrix Sigma times v is {expected}.",
        )


@variance_product.check("products only, at most 3n")
class FewProducts(RandomHessians):
    def draw(self, generator):
        halves = normal(generator, 5, 40, 40)
        return {"hessians": halves + halves.transpose(1, 2), "v": normal(generator, 40)}

    def verdict(self, inputs, outputs):
        n, d, _ = inputs["hessians"].shape
        calls = outputs["calls"]
        if calls >= n * d:
            return (
                f"For n = {n} and d = {d} it used {calls} products: that builds every matrix column by "
                "column. With 898,510 parameters nothing of the kind fits."
            )
        if calls > 3 * n:
            return (
                f"For n = {n} it used {calls} products; {3 * n} are enough. Is H v computed again for "
                "each sample? Keep it, or the H_i v."
            )
        return super().verdict(inputs, outputs)
