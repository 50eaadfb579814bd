"""A table parted into training and test rows: each row once, with its result, drawn at random."""

from __future__ import annotations

import math

import numpy as np
import torch

from flatlab.checks.chapter01.products import seeded
from flatlab.checks.chapter04.refusals import refusal, refusal_verdict
from flatlab.checks.core import Exercise, WrongAnswer

split_table = Exercise(
    "split_table",
    remaining=(
        "a table of quotients",
        "a fraction that leaves a part empty",
        "pairs and results left as they were",
    ),
)

HINTS = (
    (
        "only integer tensors of a single element",
        "A slice needs a whole number: round(fraction * len(pairs)).",
    ),
    (
        "slice indices must be integers",
        "A slice needs a whole number: round(fraction * len(pairs)).",
    ),
    (
        "randperm",
        "torch.randperm(n, generator=generator): a whole number, and the generator by its name.",
    ),
    ("positional argument", "The arguments are pairs, results, fraction, generator."),
    ("ValueError", "A fraction is refused only where one of the two parts would be empty."),
)
PARTS = ("training", "test")


def tables(inputs) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.tensor(inputs["pairs"]), torch.tensor(inputs["results"])


def drawn(generator: torch.Generator, p: int) -> dict:
    """All pairs of p numbers, with results that no rule ties to them."""
    numbers = torch.arange(p)
    results = torch.randint(p, (p * p,), generator=generator)
    return {"pairs": torch.cartesian_prod(numbers, numbers), "results": results}


def parted(student, inputs, fraction: float, generator: torch.Generator) -> list[np.ndarray]:
    """How often each row is in the training and in the test part, and with which result there."""
    result = student(*tables(inputs), fraction, generator)
    if result is None:
        raise WrongAnswer("It returned None: is the return statement missing?")
    if isinstance(result, tuple | list) and len(result) == 4:
        raise WrongAnswer(
            "It returned 4 things: two tuples are needed, (train_pairs, train_results), (test_pairs, "
            "test_results)."
        )
    whole = isinstance(result, tuple | list) and len(result) == 2
    if not whole or not all(isinstance(one, tuple | list) and len(one) == 2 for one in result):
        raise WrongAnswer(
            "Two tuples of two tensors are needed, (train_pairs, train_results), (test_pairs, "
            "test_results); it returned something else."
        )
    counts, told = [], []
    for name, (pairs, results) in zip(PARTS, result, strict=True):
        count, said = found(name, pairs, results, inputs["pairs"])
        counts.append(count)
        told.append(said)
    return counts + told


def found(name: str, pairs, results, table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How often each row of ``table`` is in the part, and the result that it has there, or -1."""
    for what, part in (("pairs", pairs), ("results", results)):
        if not isinstance(part, torch.Tensor):
            raise WrongAnswer(f"The {name} {what} are a {type(part).__name__}: a tensor is needed.")
        if part.dtype != torch.int64:
            raise WrongAnswer(f"The {name} {what} are {part.dtype}: torch.int64, as it was given.")
    if pairs.ndim == 2 and results.ndim == 2 and pairs.shape[1] == results.shape[1] == 2:
        raise WrongAnswer(
            f"The {name} part holds pairs in both places: it is a tuple (pairs, results) of one part, not the "
            "pairs of both parts."
        )
    if pairs.ndim == 1 and results.ndim == 1:
        raise WrongAnswer(
            f"The {name} pairs have the shape {tuple(pairs.shape)}; (rows, 2) is needed. Are these row "
            "numbers, or a single row? pairs[rows] are the rows themselves."
        )
    if pairs.ndim != 2 or pairs.shape[1] != 2 or results.ndim != 1:
        raise WrongAnswer(
            f"The {name} pairs have the shape {tuple(pairs.shape)}, the results "
            f"{tuple(results.shape)}; (rows, 2) and (rows,) are needed."
        )
    if len(pairs) != len(results):
        raise WrongAnswer(f"The {name} part has {len(pairs)} pairs and {len(results)} results.")
    where = {tuple(pair): row for row, pair in enumerate(table.tolist())}
    count, said = np.zeros(len(table), int), np.full(len(table), -1)
    for pair, value in zip(pairs.tolist(), results.tolist(), strict=True):
        row = where.get(tuple(pair))
        if row is None:
            a, b = pair
            raise WrongAnswer(
                f"The {name} part holds the pair ({a}, {b}), which is not in the table."
            )
        count[row] += 1
        said[row] = value
    return count, said


def rows_verdict(train: np.ndarray, test: np.ndarray) -> str | None:
    """None where each row is in one part, once."""
    n, twice = len(train), int((train > 1).sum() + (test > 1).sum())
    if twice:
        return (
            f"{twice} rows come more than once in one part. Answers like this come from torch.randint, "
            "which may draw a row again: torch.randperm(n) has each once."
        )
    both = int(((train > 0) & (test > 0)).sum())
    if both:
        if test.all():
            return "A leak: the test part is the whole table, training rows and all. It is what is left."
        return (
            f"A leak: {both} of the {int(test.sum())} test rows are training rows as well. The test part "
            "is what is left."
        )
    missing = int((train + test == 0).sum())
    if missing:
        return f"{missing} of {n} rows are in neither part: the test part is all that is left."
    return None


def size_verdict(train: int, n: int, fraction: float) -> str | None:
    """None where the training part has round(fraction n) rows."""
    wanted = round(fraction * n)
    if train == wanted:
        return None
    text = f"With fraction {fraction:g} of {n} rows the training part has {train}; {wanted} are needed."
    if train == n - wanted:
        return f"{text} The fraction is that of the training part."
    if train == int(fraction * n):
        return f"{text} Floats may fall just below a whole number, and int() and // cut: round fraction * n."
    if train == math.ceil(fraction * n):
        return f"{text} math.ceil rounds up: round() goes to the nearest whole number."
    return (
        f"{text} Sizes like this come from a mask such as torch.rand(n) < fraction, a coin for each row, "
        "which has that share only in the mean. torch.randperm(n) has a first part of any size."
    )


def results_verdict(inputs, train, test, train_results, test_results) -> str | None:
    """None where each pair has its own result."""
    table = np.asarray(inputs["results"])
    wrong = int((train_results != table)[train > 0].sum() + (test_results != table)[test > 0].sum())
    if not wrong:
        return None
    return (
        f"{wrong} of {len(table)} pairs have a result that is not theirs. Answers like this come from two "
        "permutations, from permuting the pairs alone, or from sorting: draw one permutation, and index pairs "
        "and results with it."
    )


@split_table.check("every row once, with its own result")
class EveryRow:
    hints = HINTS
    fractions = (0.3, 0.29, 0.57, 0.8, 0.01, 0.99)  # down to a single row in a part

    def draw(self, generator):
        return {**drawn(generator, 10), "fractions": list(self.fractions), "seed": 3}

    def call(self, student, inputs):
        names = ("train", "test", "train_results", "test_results")
        splits = [
            parted(student, inputs, float(fraction), seeded(int(inputs["seed"])))
            for fraction in inputs["fractions"]
        ]
        return {name: list(parts) for name, parts in zip(names, zip(*splits), strict=True)}

    def verdict(self, inputs, outputs):
        n = len(inputs["pairs"])
        pairs = list(zip(outputs["train"], outputs["test"], strict=True))
        for train, test in pairs:
            if message := rows_verdict(train, test):
                return message
        splits = zip(pairs, outputs["train_results"], outputs["test_results"], strict=True)
        for (train, test), train_results, test_results in splits:
            if message := results_verdict(inputs, train, test, train_results, test_results):
                return message
        sizes = [int(train.sum()) for train, _ in pairs]
        off = {size - round(f * n) for size, f in zip(sizes, inputs["fractions"], strict=True)}
        if off in ({1}, {-1}):
            return (
                f"Each training part has one row too {'many' if off == {1} else 'few'}: round(fraction * n) "
                "rows are needed, order[:count], and the test part is order[count:]."
            )
        for size, fraction in zip(sizes, inputs["fractions"], strict=True):
            if message := size_verdict(size, n, fraction):
                return message
        return None


def together_verdict(train: np.ndarray, pairs: np.ndarray) -> str | None:
    """None where any two rows are as often in one training part as any others; train (splits, n)."""
    splits, n = train.shape
    size = int(train[0].sum())
    share = size * (size - 1) / (n * (n - 1))  # of two different rows, drawn without replacement
    both = train.T @ train / splits
    both[np.diag_indices(n)] = share
    row, other = np.unravel_index(np.abs(both - share).argmax(), both.shape)
    if np.abs(both[row, other] - share) < 6 * np.sqrt(share * (1 - share) / splits):
        return None
    (a, b), (c, d) = pairs[row], pairs[other]
    return (
        f"The rows ({a}, {b}) and ({c}, {d}) are in the training part together in {100 * both[row, other]:.0f} % "
        f"of the splits, instead of in {100 * share:.0f} %: permute the rows themselves, not the numbers a or b."
    )


@split_table.check("drawn at random, from the generator")
class FromGenerator:
    hints = HINTS
    splits = 200

    def draw(self, generator):
        return {**drawn(generator, 6), "fraction": 0.5, "seed": 100}

    def call(self, student, inputs):
        first, fraction = int(inputs["seed"]), inputs["fraction"]
        seeds = range(first, first + self.splits)
        train = [parted(student, inputs, fraction, seeded(seed))[0] for seed in seeds]
        again = parted(student, inputs, fraction, seeded(first))[0]
        generator = seeded(first)
        in_turn = [parted(student, inputs, fraction, generator)[0] for _ in range(2)]
        return {"train": np.stack(train), "again": again, "in_turn": np.stack(in_turn)}

    def verdict(self, inputs, outputs):
        train, again, in_turn = (np.asarray(outputs[n]) for n in ("train", "again", "in_turn"))
        count, rows = train.shape
        if (train == train[0]).all() and not train[0, : int(train[0].sum())].all():
            return "Every generator gives the same split: draw with generator=generator."
        if (train == train[0]).all():
            return "The training part is the beginning of the table: permute the rows first."
        if not np.array_equal(train[0], again):
            return "Two calls with the same seed differ: draw with generator=generator."
        far = np.abs(train.mean(axis=0) - inputs["fraction"])
        row = int(far.argmax())
        if far[row] > 6 * 0.5 / np.sqrt(count):  # six standard deviations
            return (
                f"Row {row} of {rows} is in the training part in {100 * train[:, row].mean():.0f} % of the "
                "splits, instead of in half: all rows must be as likely."
            )
        changes = np.abs(np.diff(train, axis=1)).sum(axis=1).mean()
        if changes < rows / 4:  # half of all neighbors differ in a random split
            return (
                "The training part is a block of neighboring rows: permute the rows, so that any of them "
                "may come together."
            )
        if changes > 3 * rows / 4:
            return "Nearly every second row is a training row: permute the rows."
        if np.array_equal(in_turn[0], in_turn[1]):
            return "Two splits drawn from one generator in turn are the same: it is seeded anew."
        return together_verdict(train, inputs["pairs"])


class PartEmpty:
    """Not a check by itself: fractions that leave nothing to train on, or nothing to test."""

    def draw(self, generator):
        return {**drawn(generator, 10), "fractions": [0.0, 1.0, 0.004, 0.996, -0.2, 1.5]}

    def call(self, student, inputs):
        return {
            "raised": [
                refusal(student, *tables(inputs), float(fraction), seeded(0))
                for fraction in inputs["fractions"]
            ]
        }

    def verdict(self, inputs, outputs):
        for fraction, raised in zip(inputs["fractions"], outputs["raised"], strict=True):
            if message := refusal_verdict(raised, f"100 rows and fraction = {fraction:g}"):
                return message
        return None
