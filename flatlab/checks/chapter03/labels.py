"""Corrupted labels: how many, which ones, into what, and drawn from where."""

import numpy as np
import torch

from flatlab.checks.answers import array
from flatlab.checks.chapter01.products import seeded
from flatlab.checks.core import Exercise, WrongAnswer

corrupt_labels = Exercise(
    "corrupt_labels",
    remaining=(
        "fractions whose product with n floats miss by a hair",
        "a fraction of 0, and y left as it was",
        "two classes",
    ),
)

HINTS = (
    (
        "Float",
        "Labels are whole numbers: torch.randint draws them, and y.clone() keeps the dtype of y.",
    ),
    (
        "randint",
        "torch.randint(low, high, (count,), generator=generator): a shape, and everything else by name.",
    ),
    ("sequence", "A shape is a tuple: (count,)."),
)


def corrupted(student, y: torch.Tensor, fraction: float, classes: int, seed) -> np.ndarray:
    """The student's labels as an array of whole numbers, each one of the classes.

    ``seed`` may be a generator.
    """
    generator = seed if isinstance(seed, torch.Generator) else seeded(seed)
    noisy = student(y, fraction, classes, generator)
    if isinstance(noisy, tuple):
        raise WrongAnswer(f"It returned a tuple of {len(noisy)}; the labels alone are needed.")
    if isinstance(noisy, torch.Tensor) and noisy.is_floating_point():
        raise WrongAnswer(
            f"It returned labels in {noisy.dtype}: cross-entropy needs classes as integers, as y has."
        )
    labels = array(noisy, (len(y),))
    outside = np.flatnonzero(~((labels >= 0) & (labels <= classes - 1)))  # NaN too
    if (labels[np.isfinite(labels)] % 1).any():
        raise WrongAnswer("It returned labels that are no whole numbers.")
    if len(outside):
        raise WrongAnswer(
            f"It returned the label {labels[outside[0]]:g}: with num_classes = {classes} they are 0 to "
            f"{classes - 1}. Is % num_classes missing?"
        )
    return labels


def how_many(changed: int, n: int, fraction: float, classes: int) -> str | None:
    """None where round(fraction n) of n labels changed, else what counts like this one come from."""
    wanted = round(fraction * n)
    if changed == wanted:
        return None
    text = f"With fraction {fraction:g} it changed {changed} of {n} labels; {wanted} are needed."
    if changed == int(fraction * n):
        return f"{text} int() cuts {fraction * n!r}: round."
    if fraction * n % 1 == 0.5 and changed == wanted + 1:
        return f"{text} {fraction * n!r} is halfway, and Python's round takes the even neighbor."
    if fraction < 1:  # which cause it is shows best where all are to change
        return text
    share, new = changed / n, 1 - 1 / classes
    if abs(share - new) < 0.06:
        return (
            f"{text} Counts like this come from new labels drawn among all {classes} classes: one in "
            f"{classes} is the old one again. Each must go to another class."
        )
    twice = 1 - np.exp(-1)  # of n places drawn n times, the share that is drawn at all
    if abs(share - twice) < 0.06 or abs(share - twice * new) < 0.04:
        return (
            f"{text} Counts like this come from places drawn with torch.randint, where a place may come "
            "twice: torch.randperm(n) gives each once."
        )
    return text


def counts_verdict(counts: list[int], n: int, fractions: tuple, classes: int) -> str | None:
    """What the numbers of changed labels say together; the first fraction is 1."""
    wanted = [round(fraction * n) for fraction in fractions]
    if counts == wanted:
        return None
    if not any(counts):
        return "No label changed, whatever the fraction."
    if counts == [n - count for count in wanted]:
        return (
            f"With fractions {fractions} it changed {counts} of {n} labels: the fraction is that of the "
            "labels that change, not of those that stay."
        )
    near = [
        abs(count - fraction * n) < 5 * np.sqrt(n * fraction * (1 - fraction))
        for count, fraction in zip(counts[1:], fractions[1:], strict=True)
    ]
    rounding = all(abs(count - want) <= 1 for count, want in zip(counts, wanted, strict=True))
    if counts[0] == n and not rounding and all(near) and min(counts[1:]) > 0:
        return (
            f"With fractions {fractions} it changed {counts} of {n} labels; {wanted} are needed. Counts "
            "that are near and not exact come from changing each label with that probability: choose "
            "round(fraction n) places."
        )
    pairs = zip(counts, fractions, strict=True)
    return next(filter(None, (how_many(count, n, f, classes) for count, f in pairs)))


@corrupt_labels.check("exactly that fraction")
class ExactFraction:
    hints = HINTS
    fractions = (1.0, 0.3, 0.05, 0.03125)  # the last one of 400: 12.5

    def draw(self, generator):
        return {"y": torch.randint(10, (400,), generator=generator)}

    def call(self, student, inputs):
        y = torch.tensor(inputs["y"])
        return {"noisy": [corrupted(student, y.clone(), f, 10, seed=3) for f in self.fractions]}

    def verdict(self, inputs, outputs):
        y = np.array(inputs["y"])
        counts = [int((noisy != y).sum()) for noisy in outputs["noisy"]]
        whole = outputs["noisy"][0]
        if 0 < counts[0] < len(y) and np.array_equal(np.sort(whole), np.sort(y)):
            return (
                f"With fraction 1 it changed {counts[0]} of {len(y)} labels, and each class is as frequent "
                "as before: labels that are shuffled often meet their own class again. Draw new ones."
            )
        return counts_verdict(counts, len(y), self.fractions, 10)


@corrupt_labels.check("any places, and every other class alike")
class AllClassesAlike:
    hints = HINTS
    classes = 5

    def draw(self, generator):
        y = torch.randint(self.classes - 1, (20_000,), generator=generator)  # the last: not in y
        return {"y": y.sort().values}

    def call(self, student, inputs):
        y = torch.tensor(inputs["y"])
        return {"noisy": corrupted(student, y.clone(), 0.5, self.classes, seed=11)}

    def verdict(self, inputs, outputs):
        y, noisy = np.array(inputs["y"]), outputs["noisy"].astype(int)
        n, hit = len(y), noisy != y
        message = how_many(int(hit.sum()), n, 0.5, self.classes)
        if message:
            return message
        for part, name in ((hit[: n // 2], "first"), (hit[n // 2 :], "second")):
            if abs(part.mean() - 0.5) > 6 * 0.5 / np.sqrt(n):  # six standard deviations
                return (
                    f"In the {name} half of y {100 * part.mean():.0f} % of the labels changed, instead of "
                    "half: places must be drawn at random, as by torch.randperm."
                )
        if (hit[1:] != hit[:-1]).mean() > 0.6:
            return "Every second label changed: places must be drawn at random."
        table = np.zeros((self.classes, self.classes), int)
        np.add.at(table, (y[hit], noisy[hit]), 1)
        return table_verdict(table)


def table_verdict(table: np.ndarray) -> str | None:
    """Does each class (row) go to all the others (columns) equally often?"""
    classes = len(table)
    absent = [k for k in range(classes) if not table[k].any()]
    if absent and not table[:, absent].any():
        return (
            f"No label became {absent[0]}, a class that y does not hold and num_classes = {classes} does: "
            "a label may go to each of the num_classes - 1 others."
        )
    rolled = np.array([np.roll(row, -k) for k, row in enumerate(table)])  # column: how far it moved
    for shift in range(1, classes):
        if rolled[:, shift].sum() == table.sum():
            return (
                f"Every changed label went {shift} class{'es' if shift > 1 else ''} on: draw the new "
                "class among all the others."
            )
    for old, row in enumerate(table):
        others = np.delete(row, old)
        expected = others.mean()
        if np.abs(others - expected).max() > 6 * np.sqrt(expected):
            went = {int(new): int(row[new]) for new in range(classes) if new != old}
            never = [new for new, count in went.items() if not count]
            to, times = list(went), list(went.values())
            said = f"Changed labels {old} went to {to} so many times: {times}."
            if len(never) == 1:
                said += " Is the upper end of torch.randint, which never comes, one too small?"
            return f"{said} Each other class must be as likely as any."
    return None


@corrupt_labels.check("draws from the generator")
class FromGenerator:
    hints = HINTS

    def draw(self, generator):
        return {"y": torch.randint(4, (200,), generator=generator), "seeds": [5, 5, 6]}

    def call(self, student, inputs):
        y = torch.tensor(inputs["y"])
        noisy = [corrupted(student, y.clone(), 0.4, 4, s) for s in inputs["seeds"]]
        one = seeded(inputs["seeds"][0])
        return {"noisy": noisy, "one": [corrupted(student, y.clone(), 0.4, 4, one) for _ in "ab"]}

    def verdict(self, inputs, outputs):
        y = np.array(inputs["y"])
        first, again, other = outputs["noisy"]
        if not np.array_equal(first, again):
            return (
                "Two calls with the same seed differ: give generator=generator to everything that draws, "
                "places and classes."
            )
        if np.array_equal(*outputs["one"]) and not np.array_equal(first, other):
            return (
                "Two calls with one generator give the same labels: is a new generator made of its seed, or "
                "this one seeded again, inside the function?"
            )
        if np.array_equal(first, other):
            return "Generators with different seeds give the same labels: draw from generator."
        if np.array_equal(first != y, other != y):
            return "Whatever the generator, the same places change: draw them from generator too."
        return None
