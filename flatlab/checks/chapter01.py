"""Visible checks of chapter 01, in the order of its exercises."""

import numpy as np
import torch

from flatlab.checks.answers import array, compare, tensors
from flatlab.checks.core import Exercise
from flatlab.checks.guard import Meter
from flatlab.checks.measures import epsilon_sharpness, frobenius_norm, power_iteration
from flatlab.checks.toys import (
    dense_hessian,
    layers,
    leaves,
    network,
    network_loss,
    normal,
    quadratic,
    symmetric,
)

__all__ = [
    "epsilon_sharpness",
    "frobenius_norm",
    "hessian_2d",
    "hvp",
    "power_iteration",
    "rescale_relu",
    "second_derivative",
]

GRAPH_HINT = (
    "The first derivative must itself stay differentiable: autograd keeps its graph only with "
    "create_graph=True."
)

second_derivative = Exercise(
    "second_derivative",
    remaining=("a straight line, whose curvature is 0", "an x that already requires a gradient"),
)


@second_derivative.check("several points at once")
class SeveralPoints:
    hints = {
        "does not require grad": GRAPH_HINT,
        "scalar outputs": "x has several entries. f(x_i) depends on x_i alone, so the derivative "
        "of the sum of all f(x_i) holds every f'(x_i).",
    }

    def draw(self, generator):
        return {"x": normal(generator, 5), "a": normal(generator, 2)}

    def call(self, student, inputs):
        a, b = (float(number) for number in inputs["a"])
        x = torch.tensor(inputs["x"])
        return {"result": array(student(lambda t: a * t**3 + torch.sin(b * t), x), (5,))}

    def verdict(self, inputs, outputs):
        x, (a, b) = inputs["x"], inputs["a"]
        slope = 3 * a * x**2 + b * np.cos(b * x)
        curvature = 6 * a * x - b**2 * np.sin(b * x)
        return compare(
            outputs["result"],
            curvature,
            1e-4,
            mistakes=[
                (slope, "This is the first derivative: differentiate it once more."),
                (slope**2, "This is the first derivative squared, not differentiated again."),
                (np.full(5, curvature.sum()), "Every entry is the sum over all points."),
                (
                    slope + curvature,
                    "This is f' + f'': .backward() adds to x.grad, which still "
                    "held the first derivative. torch.autograd.grad returns it instead.",
                ),
            ],
            otherwise="For f(x) = ax^3 + sin(bx) it gives {got}; f'' is {expected}.",
        )


@second_derivative.check("a single float32 point")
class SinglePoint:
    hints = {"does not require grad": GRAPH_HINT}

    def draw(self, generator):
        return {"x": 1 + torch.rand((), generator=generator, dtype=torch.float64)}

    def call(self, student, inputs):
        x = torch.tensor(inputs["x"], dtype=torch.float32)
        return {"result": array(student(torch.exp, x), ())}

    def verdict(self, inputs, outputs):
        return compare(
            outputs["result"],
            np.exp(inputs["x"]),
            1e-4,
            otherwise="For f = exp it gives {got}; f'' = exp gives {expected}. In float32 a "
            "difference quotient loses most of its digits; autograd does not.",
        )


@second_derivative.check("x is left as it was")
class LeavesX:
    def draw(self, generator):
        return {"x": normal(generator, 3)}

    def call(self, student, inputs):
        x = torch.tensor(inputs["x"])
        student(torch.sin, x)
        return {"x_after": x, "flag": x.requires_grad, "has_grad": x.grad is not None}

    def verdict(self, inputs, outputs):
        if not np.array_equal(outputs["x_after"], inputs["x"]):
            return "The caller's x has new values."
        if outputs["flag"] or outputs["has_grad"]:
            return (
                "The caller's x now requires a gradient. Work on a copy: "
                "x.detach().clone().requires_grad_()."
            )
        return None


hessian_2d = Exercise(
    "hessian_2d",
    remaining=("a loss that ignores one of the weights", "a w that is left as it was"),
)


@hessian_2d.check("a quadratic")
class Quadratic2D:
    hints = {"does not require grad": GRAPH_HINT}

    def draw(self, generator):
        matrix = normal(generator, 2, 2)
        return {"H": matrix + matrix.T, "b": normal(generator, 2), "w": normal(generator, 2)}

    def call(self, student, inputs):
        loss = quadratic(inputs["H"], inputs["b"])
        return {"result": array(student(lambda w: loss([w]), torch.tensor(inputs["w"])), (2, 2))}

    def verdict(self, inputs, outputs):
        h = inputs["H"]
        gradient = h @ inputs["w"] + inputs["b"]
        return compare(
            outputs["result"],
            h,
            1e-4,
            mistakes=[
                (
                    np.diag(np.diag(h)),
                    "Only the diagonal is there: the mixed derivatives d2L/(dw1 dw2) are missing.",
                ),
                (
                    np.outer(gradient, gradient),
                    "This is the gradient times itself. The Hessian is "
                    "the derivative of the gradient.",
                ),
                (
                    np.tile(h.sum(0), (2, 1)),
                    "Every row is the sum of all rows: differentiate one "
                    "entry of the gradient at a time.",
                ),
                (h / 2, "Every entry is half of what it should be."),
                (2 * h, "Every entry is twice what it should be."),
            ],
            otherwise="It gives {got}, row after row; {expected} is right.",
        )


@hessian_2d.check("curvature that changes from place to place")
class Valley2D:
    hints = {"does not require grad": GRAPH_HINT}

    def draw(self, generator):
        return {"w": 1 + torch.rand(2, generator=generator, dtype=torch.float64)}

    def call(self, student, inputs):
        w = torch.tensor(inputs["w"])
        return {"result": array(student(lambda v: (v[0] ** 2 - v[1]) ** 2 + v[0], w), (2, 2))}

    def verdict(self, inputs, outputs):
        x, y = inputs["w"]
        expected = np.array([[12 * x**2 - 4 * y, -4 * x], [-4 * x, 2.0]])
        origin = np.array([[0.0, 0.0], [0.0, 2.0]])
        return compare(
            outputs["result"],
            expected,
            1e-4,
            mistakes=[(origin, "This is the Hessian at (0, 0), not at w.")],
            otherwise="For L = (w1^2 - w2)^2 + w1 it gives {got}, row after row; {expected} is right.",
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
    hints = {"does not require grad": GRAPH_HINT}

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
                (
                    np.diag(a) * v,
                    "Only the Hessian's diagonal is used: H v mixes all entries of v.",
                ),
                (
                    gradient * v,
                    "This is gradient times v, entry by entry. Differentiate the single "
                    "number (gradient . v) once more.",
                ),
                (
                    gradient * (gradient @ v),
                    "This is g (g . v), the outer product of the gradient "
                    "with itself. Differentiate (g . v) instead.",
                ),
                (a.sum(0), "This is the Hessian times a vector of ones: where does v enter?"),
                (
                    a @ v / np.linalg.norm(v),
                    "The direction is right, the length is not: v was "
                    "normalized, and H v is linear in v.",
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
                    "Each tensor is treated on its own: the second derivatives "
                    "between different tensors are missing. Sum (g . v) over all of them "
                    "before differentiating.",
                )
            ],
            otherwise="On a small tanh network it gives {got}; H v is {expected}.",
        )


@hvp.check("never building H")
class CheapHVP:
    def draw(self, generator):
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
        with Meter() as product:
            student(loss, params, [torch.tensor(part) for part in inputs["v"]])
        return {
            "size": sum(p.numel() for p in params),
            "largest": product.largest,
            "gradients": product.operations / gradient.operations,
        }

    def verdict(self, inputs, outputs):
        size = outputs["size"]
        if outputs["largest"] >= size**2 // 2:
            return (
                f"With {size} parameters it made a tensor of {outputs['largest']} numbers: that is "
                "the Hessian, or half of it. For 898,510 parameters it would take 3 TB."
            )
        if outputs["gradients"] > 30:
            return (
                f"It took as many operations as {outputs['gradients']:.0f} gradients: H is built "
                "row by row. Two passes of autograd are enough."
            )
        return None


rescale_relu = Exercise("rescale_relu", remaining=("a network of three layers", "an alpha below 1"))


def rescale_mistakes(params: list[np.ndarray], alpha: float) -> list[tuple[list, str]]:
    """What wrong rescalings of [W1, b1, W2, ...] return, and what each forgot."""
    w1, b1, w2, b2, *rest = params
    return [
        (
            [alpha * w1, b1, w2 / alpha, b2, *rest],
            "b1 is not scaled: alpha relu(z) equals "
            "relu(alpha z) only when all of z = W1 x + b1 is scaled.",
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
            "The first layer is divided and the "
            "second multiplied: the exercise asks for the other way round.",
        ),
        ([alpha * w1, alpha * b1, w2, b2, *rest], "The second layer does not undo the first."),
        (params, "The parameters come back unchanged."),
    ]


@rescale_relu.check("the same function, other weights")
class SameFunction:
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
        w1, b1, w2, b2 = inputs["params"]
        alpha = inputs["alpha"]
        message = compare(
            outputs["params"],
            [alpha * w1, alpha * b1, w2 / alpha, b2],
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
