"""Same function, other weights."""

import numpy as np
import torch

from flatlab.checks.answers import compare, tensors
from flatlab.checks.core import Exercise
from flatlab.checks.toys import layers, leaves, network, normal

rescale_relu = Exercise("rescale_relu", remaining=("a network of four layers", "an alpha below 1"))


def rescale_mistakes(params: list[np.ndarray], alpha: float) -> list[tuple[list, str]]:
    """What wrong rescalings of [W1, b1, W2, ...] return, and what each forgot."""
    w1, b1, w2, b2, *rest = params
    return [
        (
            [alpha * w1, b1, w2 / alpha, b2, *rest],
            (
                "b1 is not scaled: alpha relu(z) equals "
                "relu(alpha z) only when all of z = W1 x + b1 is scaled."
            ),
        ),
        (
            [alpha * w1, alpha * b1, w2 / alpha, b2 / alpha, *rest],
            "b2 is divided too, but it is added after the rescaled units, so it must stay.",
        ),
        (
            [alpha * w1, alpha * b1, alpha * w2, b2, *rest],
            "Both layers are multiplied: the second must undo the first.",
        ),
        (
            [w1 / alpha, b1 / alpha, alpha * w2, b2, *rest],
            (
                "The first layer is divided and the "
                "second multiplied: the exercise asks for the other way round."
            ),
        ),
        ([alpha * w1, alpha * b1, w2, b2, *rest], "The second layer does not undo the first."),
        ([alpha * w1, b1, w2, b2, *rest], "Only W1 is scaled: b1 and W2 come back unchanged."),
        (
            [alpha * w1, alpha * b1, w2 / alpha, alpha * b2, *rest],
            "b2 is multiplied too, but it is added after the rescaled units, so it must stay.",
        ),
        (
            [alpha * p for p in params],
            "Every tensor is multiplied: the second layer must undo the first.",
        ),
        (params, "The parameters come back unchanged."),
    ]


@rescale_relu.check("the same function, other weights")
class SameFunction:
    hints = (
        (
            "in-place operation",
            "*= and /= change the tensors that were passed in: compute new ones, as alpha * w1.",
        ),
    )

    def draw(self, generator):
        return {"params": layers(generator, [4, 6, 3]), "x": normal(generator, 20, 4), "alpha": 3.0}

    def call(self, student, inputs):
        params = leaves(inputs["params"])
        result = student(params, inputs["alpha"])
        new = tensors(result, [p.shape for p in params])
        x = torch.tensor(inputs["x"])
        return {
            "params": new,
            "outputs": network([torch.tensor(p) for p in new], x, torch.relu),
            "before": [p.detach() for p in params],
        }

    def verdict(self, inputs, outputs):
        if not all(np.array_equal(a, b) for a, b in zip(outputs["before"], inputs["params"])):
            return "The parameters that were passed in have changed. Return new tensors."
        w1, b1, w2, *rest = inputs["params"]
        alpha = inputs["alpha"]
        message = compare(
            outputs["params"],
            [alpha * w1, alpha * b1, w2 / alpha, *rest],
            1e-5,
            mistakes=rescale_mistakes(inputs["params"], alpha),
            otherwise="",
        )
        if message != "":
            return message
        x = torch.tensor(inputs["x"])
        old = network(leaves(inputs["params"]), x, torch.relu).detach().numpy()
        gap = np.abs(outputs["outputs"] - old).max()
        if gap > 1e-4:
            return f"The network's outputs change by up to {gap:.3g}; they should not change."
        return (
            "The function is the same, but the weights are not those asked for: multiply W1 and "
            "b1 by alpha, divide W2 by alpha."
        )
