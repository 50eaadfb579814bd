"""The Hessian-vector product."""

from contextlib import suppress

import numpy as np
import torch

from flatlab.checks.answers import compare, tensors
from flatlab.checks.chapter01.derivatives import GRAPH_HINT
from flatlab.checks.core import Exercise
from flatlab.checks.guard import Meter, Overrun
from flatlab.checks.toys import (
    dense_hessian,
    layers,
    leaves,
    network_loss,
    normal,
    quadratic,
    symmetric,
)

hvp = Exercise(
    "hvp",
    remaining=(
        "a parameter that does not enter the loss",
        "a parameter that enters linearly",
        "parameters and their .grad left alone",
    ),
)


@hvp.check("a quadratic")
class QuadraticHVP:
    hints = (
        ("does not require grad", GRAPH_HINT),
        (
            "NoneType",
            (
                "torch.autograd.grad gives None for a parameter that is not used; with "
                "materialize_grads=True it gives zeros."
            ),
        ),
    )

    def draw(self, generator):
        return {
            "A": symmetric(generator, [3.0, 2.0, 1.0, -1.0, 0.5]),
            "b": normal(generator, 5),
            "w": normal(generator, 5),
            "v": normal(generator, 5),
        }

    def call(self, student, inputs):
        params = leaves([inputs["w"]])
        result = student(quadratic(inputs["A"], inputs["b"]), params, [torch.tensor(inputs["v"])])
        return {"result": tensors(result, [(5,)])}

    def verdict(self, inputs, outputs):
        a, w, v = inputs["A"], inputs["w"], inputs["v"]
        gradient = a @ w + inputs["b"]
        return compare(
            outputs["result"],
            a @ v,
            1e-4,
            mistakes=[
                (gradient, "This is the gradient: v does not enter."),
                (a @ v / 5, "It is divided by the number of entries: use .sum(), not .mean()."),
                (
                    gradient + a @ v,
                    (
                        "This is g + Hv: .backward() adds to .grad, which still held the gradient. "
                        "torch.autograd.grad returns it instead."
                    ),
                ),
                (2 * a @ gradient, "This is the gradient of g . g: use v for the second factor."),
                (
                    np.diag(a) * v,
                    "Only the Hessian's diagonal is used: H v mixes all entries of v.",
                ),
                (
                    gradient * v,
                    (
                        "This is gradient times v, entry by entry. Differentiate the single "
                        "number (gradient . v) once more."
                    ),
                ),
                (
                    gradient * (gradient @ v),
                    (
                        "This is g (g . v), the outer product of the gradient "
                        "with itself. Differentiate (g . v) instead."
                    ),
                ),
                (a.sum(0), "This is the Hessian times a vector of ones: where does v enter?"),
                (
                    a @ v / np.linalg.norm(v),
                    (
                        "The direction is right, the length is not: v was "
                        "normalized, and H v is linear in v."
                    ),
                ),
            ],
            otherwise="For a quadratic with Hessian A it gives {got}; A v is {expected}.",
        )


@hvp.check("a network with four parameter tensors")
class NetworkHVP:
    def draw(self, generator):
        params = layers(generator, [4, 5, 3])
        return {
            "params": params,
            "v": [normal(generator, *p.shape) for p in params],
            "x": normal(generator, 12, 4),
            "y": normal(generator, 12, 3),
        }

    def call(self, student, inputs):
        params = leaves(inputs["params"])
        v = [torch.tensor(part) for part in inputs["v"]]
        result = student(network_loss(inputs["x"], inputs["y"]), params, v)
        return {"result": tensors(result, [p.shape for p in params])}

    def verdict(self, inputs, outputs):
        params = leaves(inputs["params"])
        h = dense_hessian(network_loss(inputs["x"], inputs["y"]), params)
        v = np.concatenate([part.ravel() for part in inputs["v"]])
        block = np.zeros_like(h)
        start = 0
        for p in params:
            stop = start + p.numel()
            block[start:stop, start:stop] = h[start:stop, start:stop]
            start = stop
        return compare(
            outputs["result"],
            h @ v,
            1e-4,
            mistakes=[
                (
                    block @ v,
                    (
                        "Each tensor is treated on its own: the second derivatives "
                        "between different tensors are missing. Sum (g . v) over all of them "
                        "before differentiating."
                    ),
                )
            ],
            otherwise="On a small tanh network it gives {got}; H v is {expected}.",
        )


@hvp.check("never building H")
class CheapHVP:
    def draw(self, generator):
        # The first Meter imports torch's compiler: here, since imports crawl under the guard's hook.
        with Meter():
            torch.ones(1)
        params = layers(generator, [20, 24, 10])
        return {
            "params": params,
            "v": [normal(generator, *p.shape) for p in params],
            "x": normal(generator, 8, 20),
            "y": normal(generator, 8, 10),
        }

    def call(self, student, inputs):
        params = leaves(inputs["params"])
        loss = network_loss(inputs["x"], inputs["y"])
        with Meter() as gradient:
            torch.autograd.grad(loss(params), params)
        size = sum(p.numel() for p in params)
        with Meter(most=5 * size * gradient.operations) as product, suppress(Overrun):
            student(loss, params, [torch.tensor(part) for part in inputs["v"]])
        return {
            "size": size,
            "largest": product.largest,
            "gradients": product.operations / gradient.operations,
        }

    def verdict(self, inputs, outputs):
        size = outputs["size"]
        if outputs["largest"] >= size**2 // 2:
            return (
                f"With {size} parameters it made a tensor of {outputs['largest']} numbers: that is "
                "the whole Hessian. For 898,510 parameters it would take 3 TB."
            )
        if outputs["gradients"] > 30:
            return (
                f"It took at least as many operations as {outputs['gradients']:.0f} gradients: H is "
                "built row by row. Two passes of autograd are enough."
            )
        return None
