"""Second derivatives in one and two dimensions."""

import numpy as np
import torch

from flatlab.checks.answers import array, compare
from flatlab.checks.core import Exercise
from flatlab.checks.toys import normal, quadratic

GRAPH_HINT = (
    "Two causes: the first derivative was taken without create_graph=True, or the tensor that is "
    "differentiated by was never marked with requires_grad_()."
)

second_derivative = Exercise(
    "second_derivative",
    remaining=("a straight line, whose curvature is 0", "an x that already requires a gradient"),
)


@second_derivative.check("several points at once")
class SeveralPoints:
    hints = (
        ("does not require grad", GRAPH_HINT),
        (
            "scalar outputs",
            (
                "x has several entries. f(x_i) depends on x_i alone, so the derivative "
                "of the sum of all f(x_i) holds every f'(x_i)."
            ),
        ),
    )

    def draw(self, generator):
        return {"x": normal(generator, 2, 3), "a": normal(generator, 2)}

    def call(self, student, inputs):
        a, b = (float(number) for number in inputs["a"])
        x = torch.tensor(inputs["x"])
        return {"result": array(student(lambda t: a * t**3 + torch.sin(b * t), x), (2, 3))}

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
                (
                    curvature / 36,
                    "It is divided by the number of points twice: use .sum(), not .mean().",
                ),
                (slope**2, "This is the first derivative squared, not differentiated again."),
                (np.full((2, 3), curvature.sum()), "Every entry is the sum over all points."),
                (
                    slope + curvature,
                    (
                        "This is f' + f'': .backward() adds to x.grad, which still "
                        "held the first derivative. torch.autograd.grad returns it instead."
                    ),
                ),
            ],
            otherwise="For f(x) = ax^3 + sin(bx) it gives {got}; f'' is {expected}.",
        )


@second_derivative.check("a single float32 point")
class SinglePoint:
    hints = (("does not require grad", GRAPH_HINT),)

    def draw(self, generator):
        return {"x": 1 + torch.rand((), generator=generator, dtype=torch.float64)}

    def call(self, student, inputs):
        x = torch.tensor(inputs["x"], dtype=torch.float32)
        return {"result": array(student(lambda t: torch.exp(t.float()), x), ())}

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


FREED_HINT = (
    "The graph was freed after the first row: torch.autograd.grad keeps it for the next one with "
    "retain_graph=True."
)

hessian_2d = Exercise(
    "hessian_2d",
    remaining=("a loss that ignores one of the weights", "a w that is left as it was"),
)


@hessian_2d.check("a quadratic")
class Quadratic2D:
    hints = (
        ("does not require grad", GRAPH_HINT),
        ("backward through the graph a second time", FREED_HINT),
        (
            "scalar outputs",
            "The gradient has two entries: differentiate them one at a time. Each gives a row.",
        ),
        ("but got tuple", "torch.autograd.grad returns a tuple: take its entry [0]."),
    )

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
                    (
                        "This is the gradient times itself. The Hessian is "
                        "the derivative of the gradient."
                    ),
                ),
                (
                    np.tile(h.sum(0), (2, 1)),
                    (
                        "Every row is the sum of all rows: differentiate one entry of the gradient "
                        "at a time, with torch.autograd.grad; .backward() adds to w.grad."
                    ),
                ),
                (
                    np.stack([h[0], h.sum(0)]),
                    (
                        "The second row still holds the first: .backward() adds to w.grad. "
                        "torch.autograd.grad returns each row alone."
                    ),
                ),
                (np.tile(h[0], (2, 1)), "Both rows are the first row of the Hessian."),
                (
                    np.tile(h[1], (2, 1)),
                    (
                        "Both rows are the second row of the Hessian. A list that holds w.grad twice "
                        "holds one tensor twice: torch.autograd.grad returns a new one."
                    ),
                ),
                (
                    np.tile(gradient, (2, 1)),
                    "Both rows are the gradient: differentiate its entries once more.",
                ),
                (
                    np.stack([gradient + h[0], gradient + h.sum(0)]),
                    (
                        "The gradient itself is added to the rows, and the first row to the second: "
                        ".backward() adds to w.grad. torch.autograd.grad returns each alone."
                    ),
                ),
                (
                    np.zeros((2, 2)),
                    (
                        "Every entry is 0. Does the gradient still depend on w? .detach() and "
                        "torch.tensor(...) between w and the gradient cut the graph."
                    ),
                ),
                (h / 2, "Every entry is half of what it should be."),
                (2 * h, "Every entry is twice what it should be."),
            ],
            otherwise="It gives {got}, row after row; {expected} is right.",
        )


@hessian_2d.check("curvature that changes from place to place")
class Valley2D:
    hints = (("does not require grad", GRAPH_HINT),)

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
