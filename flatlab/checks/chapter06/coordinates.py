"""Coordinates of points in a plane."""

from __future__ import annotations

import numpy as np
import torch

from flatlab.checks.answers import array, compare
from flatlab.checks.chapter06.basis import gram_schmidt
from flatlab.checks.core import Exercise, WrongAnswer
from flatlab.checks.toys import normal

plane_coordinates = Exercise("plane_coordinates", remaining=())

HINTS = (
    ("shapes cannot be multiplied", "points has the shape (k, p), u the shape (p,): points @ u."),
    ("size mismatch", "points has the shape (k, p), u the shape (p,): points @ u."),
    ("1D tensors expected", "dot takes two vectors; @ takes a matrix and a vector."),
    (
        "must match the size of tensor",
        "w1 is subtracted before the product: from points, not from it.",
    ),
)


def coordinate_mistakes(points: np.ndarray, w1: np.ndarray, u: np.ndarray, v: np.ndarray) -> list:
    """What wrong coordinates equal, and what was done."""

    def pair(x, y):
        return np.stack([x, y], axis=-1)

    moved = points - w1
    x, y = moved @ u, moved @ v
    lengths = np.linalg.norm(moved, axis=-1)
    return [
        (pair(points @ u, points @ v), "w1 is not subtracted: the plane's origin (0, 0) is w1."),
        (pair(y, x), "The coordinates are exchanged: the one along u comes first."),
        (
            pair(x, y).T.reshape(pair(x, y).shape),
            "The numbers are right, but reshape does not exchange rows and columns: stack along dim=-1.",
        ),
        (pair(-x, -y), "The sign is turned: points - w1, not w1 - points."),
        (pair((points + w1) @ u, (points + w1) @ v), "w1 is added: subtract it."),
        (
            pair(x / lengths, y / lengths),
            "The points - w1 were given length 1: keep their lengths.",
        ),
        (pair(x, x), "Both coordinates are the one along u."),
        (pair(x, (moved - u) @ v - y), "The second coordinate is 0 everywhere."),
        (
            pair(points @ u - w1.sum(), points @ v - w1.sum()),
            "w1 is subtracted after the product: take points - w1 first.",
        ),
        (
            pair(x, points @ v),
            "w1 is subtracted for u only: parentheses, or once before both products.",
        ),
        (pair(points @ u, y), "w1 is subtracted for v only: once, before both products."),
        (pair(x**2, y**2), "The coordinates are squared."),
        (pair(np.abs(x), np.abs(y)), "The coordinates have lost their signs."),
    ]


@plane_coordinates.check("five points, in the plane and beside it")
class FivePoints:
    hints = HINTS
    shape = (5, 7)

    def draw(self, generator):
        w = [2 + normal(generator, 7) for _ in range(3)]
        u, v = gram_schmidt(*(part.numpy() for part in w))
        points = 2 + 1.5 * normal(generator, *self.shape)
        if points.ndim == 2:  # both signs of both coordinates
            points[1] = w[0] - 0.7 * (points[0] - w[0])
        return {"points": points, "w1": w[0], "u": u, "v": v}

    def call(self, student, inputs):
        given = [torch.tensor(inputs[name]) for name in ("points", "w1", "u", "v")]
        result = student(*given)
        wanted = (*self.shape[:-1], 2)
        if isinstance(result, list | tuple) and len(self.shape) == 2 and len(result) == 2:
            raise WrongAnswer(
                "It returned two tensors, all x and all y. One row (x, y) for each point is needed, in one "
                "tensor: torch.stack([x, y], dim=-1)."
            )
        if np.shape(result) == wanted[::-1] != wanted:
            raise WrongAnswer(
                f"It returned shape {tuple(np.shape(result))}, first all x, then all y? One row (x, y) for each "
                "point is needed: torch.stack([x, y], dim=-1)."
            )
        xy = array(result, wanted)
        if len(self.shape) == 2:
            alone = np.shape(student(given[0][:1].clone(), *given[1:]))
            if alone != (1, 2):
                raise WrongAnswer(
                    f"For points of shape (1, {self.shape[1]}) it returned shape {tuple(alone)}; (1, 2) is needed: only "
                    "a single point (p,) gives (2,)."
                )
        return {"xy": xy, "points": given[0], "w1": given[1]}

    def verdict(self, inputs, outputs):
        points, w1, u, v = (np.asarray(inputs[name]) for name in ("points", "w1", "u", "v"))
        right = np.stack([(points - w1) @ u, (points - w1) @ v], axis=-1)
        wrong = compare(
            outputs["xy"],
            right,
            1e-5,
            coordinate_mistakes(points, w1, u, v),
            "The coordinates begin {got}; {expected} is right: x = (w - w1) . u, y = (w - w1) . v.",
        )
        if wrong:
            return wrong
        for name in ("points", "w1"):
            if not np.array_equal(outputs[name], inputs[name]):
                return f"The {name} that was passed in has changed: `-=` writes into the caller's tensor."
        return None


@plane_coordinates.check("a single point (p,)")
class OnePoint(FivePoints):
    shape = (7,)
