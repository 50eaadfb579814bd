"""Stable or not: toy minima on which every wrong rule errs in its own way."""

import numpy as np
import torch

from flatlab.checks.chapter02.batches import lent, second_moment
from flatlab.checks.chapter02.bounds import uniformity_limit
from flatlab.checks.core import Exercise, WrongAnswer
from flatlab.checks.toys import normal

ROOM = 1e-5  # the largest eigenvalue counts as 1 up to here

is_linearly_stable = Exercise(
    "is_linearly_stable",
    remaining=("a largest eigenvalue just above 1", "flat directions in float32"),
)

# name: curvatures of each sample along orthogonal directions, learning rate, batch size
MINIMA = {
    "flat and uniform": ([[0.2, 0.3, 0.4]] * 2, 0.5, 1),
    "too sharp for gradient descent": ([[5.0, 0.5, 0.6]] * 2, 0.5, 2),
    "the slides' x = 1 under gradient descent": ([[0.2], [3.8]], 0.7, 2),
    "the slides' x = 1 under SGD": ([[0.2], [3.8]], 0.7, 1),
    "within both bounds, and both nearly used up": ([[0.9, 0.4], [2.5, 0.4]], 1.0, 1),
    "the same with the directions exchanged": ([[0.4, 0.9], [0.4, 2.5]], 1.0, 1),
    "the same in larger batches": ([[0.9, 0.4], [2.5, 0.4]] * 4, 1.0, 6),
    "sharp in one direction, non-uniform in another": ([[1.7, 0.2], [1.7, 1.8]], 1.0, 1),
    "one sample that overshoots, the other calm": ([[0.9], [2.1]], 1.0, 1),
    "one noisy direction beside two calm ones": ([[0.1, 0.5, 0.3], [3.5, 0.5, 0.3]], 0.7, 1),
}


def boolean(value) -> bool:
    """True or False in any of its types."""
    if isinstance(value, torch.Tensor) and value.numel() == 1 and value.dtype == torch.bool:
        return bool(value)
    if isinstance(value, np.ndarray) and value.size == 1 and value.dtype == bool:
        return bool(value.item())
    if isinstance(value, bool | np.bool_):
        return bool(value)
    if value is None:
        raise WrongAnswer("It returned None: is the return statement missing?")
    kind = f"value of type {type(value).__name__}"
    if isinstance(value, torch.Tensor):
        kind = f"tensor ({value.dtype}, shape {tuple(value.shape)})"
    raise WrongAnswer(f"It returned a {kind}; True or False is needed.")


def exact_matrix(hessians: torch.Tensor, learning_rate: float, batch_size: int) -> torch.Tensor:
    """Theorem 1's matrix, as the check lends it to the student."""
    given = torch.as_tensor(hessians)
    matrix = second_moment(given.double().numpy(), learning_rate, batch_size)
    result = torch.as_tensor(matrix).to(given.dtype)
    return result if isinstance(hessians, torch.Tensor) else result.numpy()


def rules(hessians: np.ndarray, rate: float, b: int) -> dict[str, bool]:
    """What each rule says of a minimum; the first one is right."""
    mean = hessians.mean(0)
    sigma = (hessians @ hessians).mean(0) - mean @ mean
    matrix = second_moment(hessians, rate, b)
    values = np.linalg.eigvalsh(matrix)
    unsorted = torch.linalg.eigvals(torch.tensor(matrix)).real.numpy()  # the order a student sees
    curvatures = np.linalg.eigvalsh(mean)
    a, s = curvatures[-1], np.sqrt(max(np.linalg.eigvalsh(sigma)[-1], 0.0))
    n = len(hessians)
    noise = rate**2 * (n - b) / (b * (n - 1)) * s**2
    return {
        "right": values[-1] <= 1 + ROOM,
        "descent": np.abs(1 - rate * curvatures).max() <= 1 + ROOM,
        "noise": s <= uniformity_limit(rate, b, n),
        "bounds": a <= 2 / rate and s <= uniformity_limit(rate, b, n),
        "one direction": (1 - rate * a) ** 2 + noise <= 1 + ROOM,
        "trace": values.sum() <= 1 + ROOM,
        "smallest": values[0] <= 1 + ROOM,
        "first": unsorted[0] <= 1 + ROOM,
        "last": unsorted[-1] <= 1 + ROOM,
        "entry": matrix.max() <= 1 + ROOM,
        "frobenius": np.linalg.norm(matrix) <= 1 + ROOM,
        "single": np.linalg.eigvalsh(second_moment(hessians, rate, 1))[-1] <= 1 + ROOM,
        "samples": np.linalg.eigvalsh(hessians).max() <= 2 / rate,
        "turned round": values[-1] > 1 + ROOM,
        "always": True,
        "never": False,
    }


MESSAGES = {  # guessed from the answers, and worded so
    "descent": "It answers as if H alone counted, as for gradient descent: where does Sigma enter?",
    "noise": "It answers as if Sigma alone counted: a minimum may be too sharp even without noise.",
    "bounds": "It answers as if both bounds were enough. They are necessary only: each term may be "
    "below 1 and their sum above. Take the largest eigenvalue of the matrix.",
    "one direction": "It answers like the formula for one dimension with the largest a and the largest "
    "s. They may belong to different directions; the eigenvalue of the matrix knows.",
    "trace": "It answers as if the sum of all eigenvalues were compared with 1: only the largest counts.",
    "smallest": "It answers as if the smallest eigenvalue were compared with 1. eigvalsh gives them in "
    "ascending order, and every one must be at most 1.",
    "first": "It answers like the first eigenvalue of torch.linalg.eigvals, whose order means nothing. "
    "Take the largest of all, or eigvalsh(...)[-1].",
    "last": "It answers like the last eigenvalue of torch.linalg.eigvals, whose order means nothing. "
    "Take the largest of all, or eigvalsh(...)[-1].",
    "entry": "It answers as if the largest entry of the matrix were compared with 1. The largest "
    "eigenvalue may be above every entry: torch.linalg.eigvalsh(...)[-1].",
    "frobenius": "It answers as if the Frobenius norm of the matrix were compared with 1: that adds up "
    "the squares of all eigenvalues, and only the largest counts.",
    "single": "It answers as if the batch size were always 1: batch_size does not enter.",
    "samples": "It answers as if each sample's own largest curvature had to be at most 2/eta. That asks "
    "too much: one sample may overshoot where the mean of the squares does not grow.",
    "turned round": "Every answer is turned round: True means stable.",
    "always": "It says True for every minimum.",
    "never": "It says False for every minimum.",
}


@is_linearly_stable.check("toy minima")
class ToyMinima:
    hints = (
        (
            "complex",
            "torch.linalg.eigvals gives complex numbers; eigvalsh is for symmetric matrices.",
        ),
        ("ComplexFloat", "eigvals gives complex numbers; eigvalsh is for symmetric matrices."),
        ("ComplexDouble", "eigvals gives complex numbers; eigvalsh is for symmetric matrices."),
        ("ambiguous", "It compares more than one number: take the largest eigenvalue."),
    )

    def draw(self, generator):
        curvatures, rates, batches = zip(*MINIMA.values(), strict=True)
        return {"names": list(MINIMA), "curvatures": curvatures, "rates": rates, "batches": batches}

    def minima(self, inputs) -> list[tuple[np.ndarray, float, int]]:
        """Hessians with the drawn curvatures, in a basis that is turned, the same for all samples."""
        found = []
        for curvatures, rate, b in zip(inputs["curvatures"], inputs["rates"], inputs["batches"]):
            d = len(curvatures[0])
            basis, _ = np.linalg.qr(np.random.default_rng(d).normal(size=(d, d)))
            found.append((np.stack([basis * c @ basis.T for c in curvatures]), rate, b))
        return found

    def call(self, student, inputs):
        with lent(student, stability_matrix=exact_matrix):
            answers = [
                boolean(student(torch.tensor(hessians), rate, b))
                for hessians, rate, b in self.minima(inputs)
            ]
        return {"answers": answers}

    def verdict(self, inputs, outputs):
        said = [bool(answer) for answer in outputs["answers"]]
        table = [rules(*minimum) for minimum in self.minima(inputs)]
        right = [bool(row["right"]) for row in table]
        if said == right:
            return None
        for rule, message in MESSAGES.items():
            if len(said) > 1 and said == [bool(row[rule]) for row in table]:
                return message
        k = [a != b for a, b in zip(said, right)].index(True)
        hessians, rate, b = self.minima(inputs)[k]
        largest = np.linalg.eigvalsh(second_moment(hessians, rate, b))[-1]
        return (
            f"Minimum {inputs['names'][k]!r} (eta = {rate}, B = {b} of {len(hessians)}): the largest "
            f"eigenvalue of the matrix is {largest:.4g}, and it says {said[k]}."
        )


@is_linearly_stable.check("flat directions")
class FlatDirections:
    dtype = torch.float64

    def draw(self, generator):
        """20 minima of 4 samples in 6 dimensions; two directions do not curve at all."""
        basis, _ = torch.linalg.qr(normal(generator, 20, 6, 6))
        curvatures = 0.5 + torch.rand(20, 4, 4, generator=generator, dtype=torch.float64)
        curved = basis[:, None, :, :4]
        return {"hessians": (curved * curvatures[:, :, None, :]) @ curved.transpose(-1, -2)}

    def call(self, student, inputs):
        with lent(student, stability_matrix=exact_matrix):
            answers = [
                boolean(student(torch.tensor(hessians, dtype=self.dtype), 0.5, 1))
                for hessians in inputs["hessians"]
            ]
            # one direction more: (1 - 0.5 c)^2 is 1 + 3e-6, then 1 + 6e-5, beside 0.25
            edges = [
                boolean(
                    student(
                        torch.diag(torch.tensor([c, 1.0], dtype=torch.float64)).repeat(2, 1, 1),
                        0.5,
                        2,
                    )
                )
                for c in (2 + 2 * (1 + 3e-6) ** 0.5, 2 + 2 * (1 + 6e-5) ** 0.5)
            ]
        return {"answers": answers, "edges": edges}

    def verdict(self, inputs, outputs):
        if not outputs["edges"][0]:
            return (
                "It calls a minimum unstable whose largest eigenvalue is 1 + 3e-6. Up to 1 + 1e-5 counts "
                "as stable, since in flat directions the eigenvalue is 1 and comes out as 1 plus or "
                "minus rounding: compare with 1 + 1e-5, by <=."
            )
        if outputs["edges"][1]:
            return (
                "It calls a minimum stable that has a largest eigenvalue just above 1, 1.00006: "
                "compare with 1 + 1e-5."
            )
        unstable = len(outputs["answers"]) - sum(outputs["answers"])
        if not unstable:
            return None
        return (
            f"It calls {unstable} of {len(outputs['answers'])} minima unstable that have flat "
            "directions. Their largest eigenvalue is exactly 1, which counts as stable, and is computed "
            "as 1 plus or minus rounding: compare with 1 + 1e-5, by <=."
        )
