"""Points of the sharpness-non-uniformity diagram: inside or outside."""

import math

import numpy as np
import torch

from flatlab.checks.answers import array
from flatlab.checks.chapter02.batches import lent
from flatlab.checks.chapter02.bounds import uniformity_limit
from flatlab.checks.chapter02.verdicts import boolean
from flatlab.checks.core import Exercise, WrongAnswer

region_contains = Exercise(
    "region_contains",
    remaining=("points on the border", "negative values, which no minimum has"),
)

BOUNDS = {
    "sharpness_bound": lambda learning_rate: 2 / learning_rate,
    "non_uniformity_bound": uniformity_limit,
}


def multiplier(a: float, s: float, rate: float, b: int, n: int) -> float:
    return (1 - rate * a) ** 2 + rate**2 * (n - b) / (b * (n - 1)) * s**2


RULES = {
    "right": lambda a, s, rate, b, n: 0 <= a <= 2 / rate and 0 <= s <= uniformity_limit(rate, b, n),
    "theorem": lambda *point: multiplier(*point) <= 1,
    "sharpness": lambda a, s, rate, b, n: a <= 2 / rate,
    "non-uniformity": lambda a, s, rate, b, n: s <= uniformity_limit(rate, b, n),
    "negative": lambda a, s, rate, b, n: a <= 2 / rate and s <= uniformity_limit(rate, b, n),
    "with replacement": lambda a, s, rate, b, n: (
        0 <= a <= 2 / rate and 0 <= s <= (math.inf if b == n else math.sqrt(b) / rate)
    ),
    "either": lambda a, s, rate, b, n: a <= 2 / rate or s <= uniformity_limit(rate, b, n),
    "outside": lambda *point: not RULES["right"](*point),
    "swapped": lambda a, s, rate, b, n: RULES["right"](s, a, rate, b, n),
}
MESSAGES = {
    "theorem": "It answers as if the multiplier had to be at most 1: that is Theorem 1, and stricter. "
    "The region is the box of the two necessary bounds.",
    "sharpness": "It answers as if a alone counted: s has a bound too.",
    "non-uniformity": "It answers as if s alone counted: a has a bound too.",
    "negative": "It accepts negative values: the region begins at a = 0 and s = 0.",
    "with replacement": (
        "It answers as if the bound on s were sqrt(B)/eta: the right one is "
        "sqrt(B (n - 1)/(n - B))/eta."
    ),
    "either": "It answers as if one of the two bounds were enough; both are necessary.",
    "outside": "Every answer is turned round: True means inside.",
    "swapped": "It answers as if a and s had changed places.",
}


def region_verdict(points: list, said: list[bool]) -> str | None:
    """None where every answer is right, else which rule gives these answers."""
    table = {rule: [bool(holds(*point)) for point in points] for rule, holds in RULES.items()}
    if said == table["right"]:
        return None
    for rule, message in MESSAGES.items():
        if said == table[rule]:
            return message
    k = [a != b for a, b in zip(said, table["right"])].index(True)
    a, s, rate, b, n = points[k]
    return (
        f"For eta = {rate}, B = {b}, n = {n} the bounds are {2 / rate:.4g} and "
        f"{uniformity_limit(rate, b, n):.4g}; it says {said[k]} for a = {a:.4g}, s = {s:.4g}."
    )


PARENTHESES = "& and | come before <=: put each comparison in parentheses, (a <= A) & (s <= S)."
OPERATORS = tuple((of, PARENTHESES) for of in ("type(s) for &", "type(s) for |", "bitwise_"))


@region_contains.check("single points")
class Points:
    hints = (
        *OPERATORS,
        ("ZeroDivisionError", "For B = n the bound on s is infinite: ask for it, or use yours."),
    )

    def draw(self, generator):
        # inside; a too large; s too large; both; in the box's corner, where Theorem 1 says no
        scaled = [(0.5, 0.5), (1.2, 0.5), (0.5, 1.2), (1.2, 1.2), (0.9, 0.9), (0.05, 0.95)]
        bound = uniformity_limit(0.5, 4, 1000)
        points = [(4.0 * a, bound * s, 0.5, 4, 1000) for a, s in scaled]
        descent = [(3.0, 1e6, 0.5, 1000, 1000), (5.0, 1e6, 0.5, 1000, 1000)]
        # close to the border of a small sample, where a wrong formula for the bound shows
        limit = uniformity_limit(0.5, 3, 9)
        near = [(3.99, 1.0, 0.5, 3, 9), (4.01, 1.0, 0.5, 3, 9)]
        near += [(1.0, 0.99 * limit, 0.5, 3, 9), (1.0, 1.01 * limit, 0.5, 3, 9)]
        below = [(3.0, -1.0, 0.5, 1000, 1000)]
        return {"points": points + descent + near + below}

    def call(self, student, inputs):
        with lent(student, **BOUNDS):
            return {"answers": [boolean(student(*point)) for point in inputs["points"]]}

    def verdict(self, inputs, outputs):
        return region_verdict(inputs["points"], [bool(answer) for answer in outputs["answers"]])


@region_contains.check("a tensor of points")
class ManyPoints:
    hints = (
        *OPERATORS,
        (
            "ambiguous",
            "`and`, and so 0 <= a <= A, asks for a single truth value: combine tensors with &.",
        ),
        ("only one element tensors", "float() and math take single numbers; compare the tensors."),
    )

    def draw(self, generator):
        a = 8 * torch.rand(3, 5, generator=generator, dtype=torch.float64)
        s = (
            2
            * uniformity_limit(0.5, 10, 100)
            * torch.rand(3, 5, generator=generator, dtype=torch.float64)
        )
        return {"a": a, "s": s}

    def call(self, student, inputs):
        a, s = torch.tensor(inputs["a"]), torch.tensor(inputs["s"])
        with lent(student, **BOUNDS):
            inside = student(a, s, 0.5, 10, 100)
        if isinstance(inside, bool):
            raise WrongAnswer(
                f"For 15 points it returned {inside}: one answer for each point is needed."
            )
        return {"inside": array(inside, (3, 5))}

    def verdict(self, inputs, outputs):
        if not np.isin(outputs["inside"], (0, 1)).all():
            return "It holds other numbers than True and False."
        points = [
            (float(a), float(s), 0.5, 10, 100)
            for a, s in zip(inputs["a"].ravel(), inputs["s"].ravel(), strict=True)
        ]
        return region_verdict(points, [bool(answer) for answer in outputs["inside"].ravel()])
