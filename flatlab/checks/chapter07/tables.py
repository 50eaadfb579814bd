"""The tables of modular arithmetic: which pairs, in which order, and their results."""

from __future__ import annotations

import numpy as np
import torch

from flatlab.checks.chapter04.refusals import refusal, refusal_verdict
from flatlab.checks.core import Exercise, WrongAnswer

modular_table = Exercise(
    "modular_table",
    remaining=(
        "the tables of 2 and of 53",
        "a p that is not prime",
        "a p or an operation that it should refuse",
    ),
)

HINTS = (
    (
        "not invertible",
        (
            "0 has no inverse, and where p is not prime others have none: leave its rows out before you divide, "
            "invert b, not a, and nothing where operation is not divide."
        ),
    ),
    *(
        (
            text,
            "No c has b c = a mod p where b = 0: leave its rows out before you divide.",
        )
        for text in ("StopIteration", "is not in list")
    ),
    ("ZeroDivisionError", "b = 0 has no inverse: leave its rows out before you divide."),
    (
        "negative integer powers",
        "** knows no modulus. Python's pow(b, -1, p) does, for one whole number at a time.",
    ),
    (
        "for pow()",
        "Python's pow with a modulus takes single whole numbers, not tensors: int(b), or b.tolist().",
    ),
    (
        "for ** or pow()",
        "Python's pow with a modulus takes single whole numbers, not tensors: int(b), or b.tolist().",
    ),
    ("bitwise", "In Python ^ is no power: write **."),
    (
        "ValueError",
        "Every p from 2 on has a table; only division needs a prime, as 2, 7 and 31 are.",
    ),
)
RAW = {  # what to say of results that are not reduced
    "add": (
        "Some results are p or more. Answers like this come from a missing % p, or from a + b % p, which is "
        "a + (b % p)."
    ),
    "subtract": (
        "Some results are negative. Answers like this come from a missing % p, from a - b % p, which is "
        "a - (b % p), or from fmod, which keeps the sign."
    ),
    "multiply": "The results are not reduced: % p is missing.",
}


def rows_of(p: int, operation: str) -> int:
    return p * (p - 1) if operation == "divide" else p * p


def table(student, p: int, operation: str) -> list[np.ndarray]:
    """The student's pairs and results, as whole numbers in the shapes that they should have."""
    result = student(p, operation)
    if result is None:
        raise WrongAnswer("It returned None: is the return statement missing?")
    if not isinstance(result, tuple | list):
        kind = type(result).__name__
        raise WrongAnswer(f"It returned a {kind}: two tensors are needed, return pairs, results.")
    if len(result) != 2:
        raise WrongAnswer(
            f"It returned {len(result)} things: two tensors are needed, return pairs, results."
        )
    for name, part in zip(("pairs", "results"), result, strict=True):
        if not isinstance(part, torch.Tensor):
            raise WrongAnswer(f"Its {name} are a {type(part).__name__}: a tensor is needed.")
        if part.is_floating_point() and operation == "divide":
            raise WrongAnswer(
                f"For divide its {name} are floats. Modular arithmetic has whole numbers only: a / b is "
                "the c from 0 to p - 1 with b c = a mod p."
            )
        if part.dtype != torch.int64:
            raise WrongAnswer(
                f"Its {name} are {part.dtype}: torch.int64 is needed, as torch.arange makes it."
            )
    pairs, results = (part.numpy().copy() for part in result)
    if message := wrong_pairs(p, operation, pairs.shape) or wrong_results(
        p, operation, results.shape
    ):
        raise WrongAnswer(message)
    return [pairs, results]


def wrong_pairs(p: int, operation: str, shape: tuple[int, ...]) -> str | None:
    """What is wrong with the shape of the pairs."""
    rows = rows_of(p, operation)
    if shape == (rows, 2):
        return None
    if shape == (2, rows):
        return (
            f"Its pairs have the shape {shape}, first all a, then all b: one row (a, b) a pair is needed, "
            "torch.stack([a, b], dim=1)."
        )
    if len(shape) != 2 or shape[1] != 2:
        return (
            f"For {operation} with p = {p} its pairs have the shape {shape}; ({rows}, 2) is needed."
        )
    counted = f"For {operation} with p = {p} its table has {shape[0]} rows; {rows} are needed."
    causes = {
        p * (p + 1) // 2: "Tables like this hold (a, b) and not (b, a): both are rows.",
        (p - 1) ** 2: "Tables like this begin at 1: modular arithmetic has the numbers 0 to p - 1.",
        (p + 1) ** 2: "Tables like this end at p: modular arithmetic has the numbers 0 to p - 1.",
    }
    if operation == "divide":
        causes |= {
            p * p: "By 0 nothing is divided: the rows with b = 0 are left out.",
            (p - 1) ** 2: "Only b = 0 is left out: 0 / b is 0.",
        }
    elif p > 2:
        causes |= {p * (p - 1): "Tables like this leave out b = 0, which only division does."}
    cause = causes.get(shape[0])
    return f"{counted} {cause}" if cause else counted


def wrong_results(p: int, operation: str, shape: tuple[int, ...]) -> str | None:
    rows = rows_of(p, operation)
    if shape == (rows,):
        return None
    return f"For {operation} with p = {p} its results have the shape {shape}; ({rows},) is needed."


def right_pairs(p: int, operation: str) -> np.ndarray:
    """All (a, b) with b changing fastest, and without b = 0 where it divides."""
    a, b = np.divmod(np.arange(p * p), p)
    pairs = np.stack([a, b], axis=1)
    return pairs[b > 0] if operation == "divide" else pairs


def right_results(pairs: np.ndarray, p: int, operation: str) -> np.ndarray:
    """a ∘ b mod p, quotients read off the table of products."""
    a, b = pairs.T
    if operation == "divide":
        products = np.outer(np.arange(p), np.arange(p)) % p
        return (products[b] == a[:, None]).argmax(axis=1)
    return {"add": a + b, "subtract": a - b, "multiply": a * b}[operation] % p


def pairs_verdict(pairs: np.ndarray, p: int, operation: str) -> str | None:
    """None where these are all pairs in their order, else what they are."""
    right = right_pairs(p, operation)
    if np.array_equal(pairs, right):
        return None
    if pairs.min() < 0 or pairs.max() >= p:
        return f"For p = {p} its pairs run from {pairs.min()} to {pairs.max()}: the numbers are 0 to p - 1."
    if operation == "divide" and not pairs[:, 1].all():
        return "For divide some rows have b = 0, the second number: by 0 nothing is divided."
    if len(np.unique(pairs, axis=0)) < len(pairs):
        return "Some pairs come more than once, and others not at all."
    if np.array_equal(pairs, right[np.lexsort(right.T)]):
        a, b = right[1]
        return f"All pairs are there, but a changes fastest: the second row is ({a}, {b}), so that b does."
    return "All pairs are there, in another order: b changes fastest, then a, both from 0 upwards."


def result_mistakes(pairs: np.ndarray, p: int, operation: str) -> list[tuple[np.ndarray, str]]:
    """What wrong results are, and what each got wrong."""
    a, b = pairs.T
    raw = {"add": a + b, "subtract": a - b, "multiply": a * b}
    mistakes = [
        (values % p, f"For {operation} it gives the results of {other}: is operation looked at?")
        for other, values in raw.items()
        if other != operation
    ]
    if operation == "divide":
        right = right_results(right_pairs(p, operation), p, operation).reshape(p, p - 1)
        inverse = np.concatenate([[0], right[1]])
        return mistakes + [
            (a // b, "It is a // b, which drops the rest: a / b is the c with b c = a mod p."),
            (np.round(a / b) % p, "It rounds a / b: modular arithmetic has c with b c = a mod p."),
            (a * (p - b) % p, "It multiplies by p - b, which is -b. The inverse of b is another."),
            (a, "It is a itself: b^(p-1) = 1 mod p, so that b^(p-2) is the inverse of b."),
            (inverse[b], "It is 1 / b: a is missing."),
            (inverse[a] * b % p, "It is b / a: exchange them."),
        ]
    own = raw[operation]
    if operation == "subtract":
        mistakes += [
            (np.abs(own), "The sign is lost: a - b below 0 is a - b + p, not b - a."),
            (-own % p, "It is b - a: exchange them."),
        ]
    return mistakes + [
        (own, RAW[operation]),
        (own % (p - 1), "It takes the remainder by p - 1: the numbers 0 to p - 1 are p numbers."),
        (own % (p + 1), "It takes the remainder by p + 1: % p."),
    ]


def results_verdict(pairs: np.ndarray, results: np.ndarray, p: int, operation: str) -> str | None:
    right = right_results(pairs, p, operation)
    if np.array_equal(results, right):
        return None
    for values, message in result_mistakes(pairs, p, operation):
        if np.array_equal(results, values) and not np.array_equal(values, right):
            return message
    k = int(np.flatnonzero(results != right)[0])
    (a, b), got = pairs[k], results[k]
    if operation == "divide":
        return (
            f"For p = {p} it says that {a} / {b} is {got}. But {b} times {got} is {b * got % p} mod {p}, "
            f"not {a}."
        )
    return f"For p = {p} {operation} gives {got} for a = {a} and b = {b}; it is {right[k]}."


class Tables:
    """Not a check by itself: a subclass says which tables."""

    hints = HINTS
    tables = ()

    def draw(self, generator):
        return {"ps": [p for p, _ in self.tables], "operations": [name for _, name in self.tables]}

    def call(self, student, inputs):
        given = zip(inputs["ps"], inputs["operations"])
        tables = [table(student, int(p), str(operation)) for p, operation in given]
        return {"pairs": [one[0] for one in tables], "results": [one[1] for one in tables]}

    def verdict(self, inputs, outputs):
        divided = 0
        for p, name, pairs, results in zip(
            inputs["ps"], inputs["operations"], outputs["pairs"], outputs["results"], strict=True
        ):
            message = pairs_verdict(pairs, p, name) or results_verdict(pairs, results, p, name)
            if message and name == "divide" and divided:
                return (
                    f"Quotients are right for p = {divided}, and not for p = {p}. Does a power such as "
                    "b ** (p - 2) leave int64, which ends at 9.2e18? Reduce after each factor."
                )
            if message:
                return message
            divided = p if name == "divide" else divided
        return None


@modular_table.check("sums, differences and products")
class Sums(Tables):
    tables = ((7, "add"), (7, "subtract"), (7, "multiply"))


@modular_table.check("quotients")
class Quotients(Tables):
    tables = ((7, "divide"), (31, "divide"))


class Refused:
    """Not a check by itself: tables that there are not."""

    asked = (
        *((1, "add"), (0, "multiply"), (-3, "subtract"), (1, "divide")),
        *((4, "divide"), (6, "divide"), (9, "divide"), (25, "divide"), (7, "power")),
    )

    def draw(self, generator):
        return {"ps": [p for p, _ in self.asked], "operations": [name for _, name in self.asked]}

    def call(self, student, inputs):
        given = zip(inputs["ps"], inputs["operations"])
        return {"raised": [refusal(student, int(p), str(name)) for p, name in given]}

    def verdict(self, inputs, outputs):
        given = zip(inputs["ps"], inputs["operations"], outputs["raised"], strict=True)
        for p, name, raised in given:
            if message := refusal_verdict(raised, f"p = {p} and {name!r}"):
                return message
        return None
