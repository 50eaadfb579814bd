"""An orthonormal basis of the plane through three points."""

from __future__ import annotations

import numpy as np
import torch

from flatlab.checks.answers import array, close
from flatlab.checks.chapter04.refusals import refusal, refusal_verdict
from flatlab.checks.core import Exercise, WrongAnswer
from flatlab.checks.toys import normal

plane_basis = Exercise(
    "plane_basis",
    remaining=(
        "a third point close to the line",
        "lengths around 1e-7",
        "three points on one line",
    ),
)

NAMES = ("w1", "w2", "w3")
HINTS = (
    (
        "values to unpack",
        "w2 - w1 is one tensor of p numbers; u, v = ... needs a pair on the right.",
    ),
    (
        "ValueError",
        "These three points are no line. The rest of w3 - w1 is compared with w3 - w1: all lengths may be small.",
    ),
    ("1D tensors expected", "dot and @ take two vectors (p,) here, and give their inner product."),
    ("inconsistent tensor size", "dot takes two vectors of p numbers, and gives one number."),
    ("must match the size of tensor", "The projection of d on u is (d . u) u: a number times u."),
)


def gram_schmidt(w1: np.ndarray, w2: np.ndarray, w3: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """u along w2 - w1, v along the part of w3 - w1 that is orthogonal to u; both of length 1."""
    u = unit(w2 - w1)
    d = w3 - w1
    return u, unit(d - (d @ u) * u)


def unit(x: np.ndarray) -> np.ndarray:
    return x / np.linalg.norm(x)


def read_pair(value: object, p: int) -> tuple[np.ndarray, np.ndarray]:
    """u and v as arrays; says what came instead of two vectors."""
    if value is None:
        raise WrongAnswer("It returned None: is the return statement missing?")
    if isinstance(value, torch.Tensor | np.ndarray):
        if np.shape(value) != (2, p):
            raise WrongAnswer(
                f"It returned one tensor of shape {tuple(np.shape(value))}: two are needed, u and v."
            )
    elif not isinstance(value, list | tuple) or len(value) != 2:
        raise WrongAnswer(f"It returned a {type(value).__name__}: two tensors are needed, u and v.")
    u, v = value
    return array(u, (p,), "The first, u,"), array(v, (p,), "The second, v,")


def basis_verdict(
    u: np.ndarray, v: np.ndarray, w: list[np.ndarray], tolerance: float
) -> str | None:
    """None where (u, v) is the basis of the plane through w, else the likely cause."""
    right_u, right_v = gram_schmidt(*w)
    if not (np.isfinite(u).all() and np.isfinite(v).all()):
        return "u or v holds NaN or inf."
    if not close(u, right_u, tolerance):
        return _wrong_u(u, right_u, w)
    if close(v, right_v, tolerance):
        return None
    return _wrong_v(v, right_u, right_v, w)


def _wrong_u(u: np.ndarray, right_u: np.ndarray, w: list[np.ndarray]) -> str:
    for value, message in (
        (w[1] - w[0], "u is w2 - w1 itself: it must be divided by its length, to have length 1."),
        (gram_schmidt(*w)[1], "u and v are exchanged: u, the one along w2 - w1, comes first."),
        (-right_u, "u points from w2 to w1: it goes along w2 - w1."),
        (
            (w[1] - w[0]) / ((w[1] - w[0]) @ (w[1] - w[0])),
            "u is divided by the square of its length.",
        ),
        (
            w[1] - w[0] / np.linalg.norm(w[1] - w[0]),
            "w2 - w1 / norm divides w1 only: (w2 - w1) / norm.",
        ),
        (unit(w[1]), "u points from 0 to w2. It starts at w1: w2 - w1."),
        (unit(w[2] - w[0]), "u goes along w3 - w1: it goes along w2 - w1."),
        (unit(w[2] - w[1]), "u goes along w3 - w2: it goes along w2 - w1."),
    ):
        if close(u, value, 1e-5):
            return message
    if close(unit(u), right_u, 1e-5):
        return f"u points the right way, and has the length {np.linalg.norm(u):.3g}: its norm is to be 1."
    return "u does not point along w2 - w1."


def _wrong_v(v: np.ndarray, u: np.ndarray, right_v: np.ndarray, w: list[np.ndarray]) -> str:
    d, e = w[2] - w[0], w[1] - w[0]
    not_unit = (
        "The projection on u is (d . u) u with a u of length 1; for w2 - w1 itself it is divided by "
        "|w2 - w1|^2."
    )
    same = (
        "v lies along u: it is what remains of w3 - w1 without its projection on u. Is one tensor changed "
        "under two names?"
    )
    mistakes = [
        (unit(d), "v is w3 - w1 of length 1: its projection on u is not subtracted."),
        (d, "v is w3 - w1 itself: its projection on u is not subtracted."),
        (-right_v, "v points away from w3: v is along w3 - w1 minus its projection on u."),
        (d - (d @ u) * u, "v is orthogonal to u, but its length is not 1."),
        ((d @ u) * u, "v is the projection on u: it is what remains without it."),
        (unit(d + (d @ u) * u), "The projection on u is added: subtract it."),
        (unit(d - (d @ e) * e), not_unit),
        (unit(d - (d @ e) / np.linalg.norm(e) * e), not_unit),
        (unit(d - u), "u is subtracted as it is: the projection is (d . u) u."),
        (
            unit(d - (d @ u)),
            "A number is subtracted from every entry: the projection is (d . u) times u.",
        ),
        (
            unit(d - d * u * u),
            "It multiplies entry by entry: d . u is one number, the sum of d_i u_i.",
        ),
        (
            unit(w[2] - (w[2] @ u) * u),
            "It projects w3. The plane starts at w1, not at 0: take w3 - w1.",
        ),
        (
            unit(d) - (unit(d) @ u) * u,
            "v had length 1 before the projection was subtracted: normalize after it.",
        ),
        (u, same),
        (-u, same),
        (unit(d - (d @ u) * u - w[0]), "w1 is subtracted twice."),
    ]
    for value, message in mistakes:
        if close(v, value, 1e-5):
            return message
    lean, length = float(v @ u), float(np.linalg.norm(v))
    if abs(lean) > 1e-4 * length:
        return f"u is right, but v is not orthogonal to it: u . v = {lean:.3g}."
    if close(unit(v), right_v, 1e-5):
        return f"v points the right way, and has the length {length:.3g}: its norm is to be 1."
    if abs(length - 1) > 1e-4:
        return f"v is orthogonal to u, but has the length {length:.3g}, and w3 is not in its plane."
    return "v is orthogonal to u, but the point w3 does not lie in the plane of w1, u and v."


@plane_basis.check("three points in six dimensions")
class ThreePoints:
    hints = HINTS
    measured = ("after",)
    tolerance = 1e-5

    def draw(self, generator):
        """w2 lies to the right of w1, where the signs of a QR decomposition are turned around."""
        drawn = {name: normal(generator, 6) + 1.5 for name in NAMES}
        drawn["w2"][0] = drawn["w1"][0] + 1
        return drawn

    def call(self, student, inputs):
        weights = [torch.tensor(inputs[name]) for name in NAMES]
        u, v = read_pair(student(*weights), len(weights[0]))
        return {"u": u, "v": v, "after": torch.stack(weights)}

    def verdict(self, inputs, outputs):
        w = [np.asarray(inputs[name]) for name in NAMES]
        after = outputs["after"]
        for k, name in enumerate(NAMES):
            if not np.array_equal(after[k], w[k]):
                return (
                    f"The {name} that was passed in has changed: `-=` and `/=` write into the caller's "
                    "tensor. Return new ones."
                )
        return basis_verdict(outputs["u"], outputs["v"], w, self.tolerance)


class OnOneLine:
    """Not a check by itself: three points that span no plane, up to rounding."""

    def draw(self, generator):
        a, b = normal(generator, 40), normal(generator, 40)
        aside = normal(generator, 40)
        u = (b - a) / torch.linalg.vector_norm(b - a)
        aside -= (aside @ u) * u
        aside *= torch.linalg.vector_norm(b - a) / torch.linalg.vector_norm(aside)
        return {"a": a, "b": b, "aside": aside, "shares": [0.3, -1.7, 0.0]}

    def call(self, student, inputs):
        a, b = torch.tensor(inputs["a"]), torch.tensor(inputs["b"])
        raised = [refusal(student, a, b, a + s * (b - a)) for s in inputs["shares"]]
        raised.append(refusal(student, a, a.clone(), b))
        aside = torch.tensor(inputs["aside"])
        beside = [refusal(student, a, b, a + 100 * (b - a + part * aside)) for part in (4e-6, 3e-5)]
        return {"raised": raised, "beside": beside}

    def verdict(self, inputs, outputs):
        told = [f"w3 = w1 + {s:g} (w2 - w1)" for s in inputs["shares"]]
        for raised, arguments in zip(outputs["raised"], [*told, "w1 = w2"], strict=True):
            if message := refusal_verdict(raised, arguments):
                return message
        near, off = outputs["beside"]
        rest = "times as long as w3 - w1, which is 100 times as long as w2 - w1"
        if message := refusal_verdict(near, f"a rest that is 4e-06 {rest},"):
            return f"{message} The limit is 1e-05 times the length of w3 - w1."
        if off != "nothing":
            return (
                f"For a rest that is 3e-05 {rest}, it stops with {off}: only up to 1e-05 times that length the "
                "three lie on one line."
            )
        return None
