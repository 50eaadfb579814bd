"""(eta, S) -> (c eta, c S): the ratio kept, whole batch sizes, what cannot be done refused."""

import numpy as np
import torch

from flatlab.checks.answers import NO_ASSERT, array, compare
from flatlab.checks.core import Exercise, WrongAnswer

rescale_schedule = Exercise(
    "rescale_schedule",
    remaining=("lists that are left as they were", "schedules of different lengths"),
)

HINTS = (
    (
        "can't multiply sequence",
        "A list times a float is an error, and times 2 it is the list twice: take each entry.",
    ),
    (
        "non-int of type 'float'",
        "A list times a float is an error, and times 2 it is the list twice: take each entry.",
    ),
    (
        "list index out of range",
        "It reads beyond the end of a list. Lists of different lengths get a ValueError, first of all.",
    ),
)


def pair(result, count: int) -> tuple[list, list]:
    """What came back as two lists of ``count`` entries each."""
    if result is None:
        raise WrongAnswer("It returned None: is the return statement missing?")
    if not isinstance(result, list | tuple) or len(result) != 2:
        what = f"a {type(result).__name__}"
        if isinstance(result, list | tuple):
            what += f" of {len(result)}"
        raise WrongAnswer(
            f"It returned {what}; two lists are needed, the learning rates and the batch sizes."
        )
    for name, part in zip(("learning rates", "batch sizes"), result, strict=True):
        if not isinstance(part, list | tuple | np.ndarray | torch.Tensor):
            hint = " list(...) makes one." if hasattr(part, "__iter__") else ""
            raise WrongAnswer(f"The {name} are a {type(part).__name__}; a list is needed.{hint}")
        if len(part) != count:
            raise WrongAnswer(
                f"For {count} entries it returned {len(part)} {name}."
                + (" A list times 2 is the list twice." if len(part) == 2 * count else "")
            )
    return list(result[0]), list(result[1])


def integers(sizes: list) -> list[int]:
    """Batch sizes as whole numbers; a float is refused whatever its value."""
    for size in sizes:
        floating = isinstance(size, float | np.floating) or (
            isinstance(size, torch.Tensor) and size.is_floating_point()
        )
        if floating and abs(float(size) - round(float(size))) > 1e-6:
            raise WrongAnswer(
                f"A batch size is {float(size):.4g}, far from a whole number: is it a learning rate? The "
                "learning rates come first, then the batch sizes."
            )
        if floating:
            raise WrongAnswer(
                f"A batch size is {float(size):.17g}, a float: X[:S] and a data loader take whole "
                "numbers only. round() makes one."
            )
    return [int(array(size, (), "A batch size")) for size in sizes]


def scaled_verdict(inputs: dict, outputs: dict) -> str | None:
    """Are the rates c eta and the sizes c S?"""
    rates, sizes, c = np.array(inputs["rates"]), np.array(inputs["sizes"]), inputs["c"]
    got_rates, got_sizes = np.array(outputs["rates"]), np.array(outputs["sizes"])
    message = compare(
        got_rates,
        c * rates,
        1e-5,
        mistakes=[
            (
                np.sqrt(c) * rates,
                (
                    "The learning rates are multiplied by sqrt(c), which keeps eta^2/S. Here eta/S "
                    "is to stay."
                ),
            ),
            (rates / c, "The learning rates are divided by c."),
            (rates, "The learning rates are as they were."),
            (c * rates[0] + 0 * rates, "Every learning rate is c times the first one."),
            (c**2 * rates, "The learning rates are multiplied by c squared."),
            (rates / sizes, "This is eta/S; the new learning rates are asked for."),
            (np.round(c * sizes), "The batch sizes come first: the learning rates belong there."),
        ],
        otherwise="The learning rates times c = %g are {expected}; yours are {got}." % c,  # noqa: UP031
    )
    if message:
        return message
    right = np.round(c * sizes)
    if np.array_equal(got_sizes, right):
        return None
    off = int(np.flatnonzero(got_sizes != right)[0])
    if np.array_equal(got_sizes, np.floor(c * sizes)):
        return (
            f"{c:g} times {sizes[off]} comes out a hair too small in Python, and int() or // cuts "
            f"that to {int(got_sizes[off])}. It stands for {int(right[off])}: round."
        )
    return compare(
        got_sizes,
        right,
        1e-9,
        mistakes=[
            (np.round(sizes / c), "The batch sizes are divided by c: then eta/S is not the same."),
            (sizes, "The batch sizes are as they were, and eta/S is c times as large."),
            (right[0] + 0 * right, "Every batch size is c times the first one."),
        ],
        otherwise="The batch sizes times c = %g are {expected}; yours are {got}." % c,  # noqa: UP031
    )


@rescale_schedule.check("both times c")
class BothTimesC:
    hints = HINTS

    def draw(self, generator):
        rates = 0.02 + 0.1 * torch.rand(4, generator=generator, dtype=torch.float64)
        return {"rates": rates.tolist(), "sizes": [4, 10, 6, 32], "c": 2.5}

    def call(self, student, inputs):
        given = list(inputs["rates"]), list(inputs["sizes"])
        rates, sizes = pair(student(*given, inputs["c"]), len(inputs["sizes"]))
        rates = [array(rate, (), "A learning rate") for rate in rates]
        return {"rates": rates, "sizes": integers(sizes)}

    def verdict(self, inputs, outputs):
        return scaled_verdict(inputs, outputs)


@rescale_schedule.check("products that floats miss by a hair")
class Rounding(BothTimesC):
    hints = (
        *HINTS,
        (
            "ValueError",
            (
                "In floats 0.29 * 100 is 28.999999999999996 and 1.1 * 10 is 11.000000000000002: both "
                "stand for whole numbers. So does all that is within 1e-6 of one: 0.9999997 for 1."
            ),
        ),
    )

    def draw(self, generator):
        return {**super().draw(generator), "sizes": [100, 200, 300, 1000], "c": 0.29}

    def call(self, student, inputs):
        above = pair(student([0.1], [10], 1.1), 1)  # 11.000000000000002
        near = pair(student([0.1], [1], 0.9999997), 1)
        seen = {"above": integers(above[1]), "near": integers(near[1])}
        return {**super().call(student, inputs), **seen}

    def verdict(self, inputs, outputs):
        if outputs["above"] != [11]:
            return f"1.1 times 10 is 11; yours is {int(outputs['above'][0])}."
        message = super().verdict(inputs, outputs)
        if message is None and outputs["near"] != [1]:
            return f"0.9999997 times 1 stands for 1; yours is {int(outputs['near'][0])}."
        return message


@rescale_schedule.check("a batch size that cannot be scaled")
class NotWhole(BothTimesC):
    hints = (*HINTS, NO_ASSERT)

    def draw(self, generator):
        return {
            "sizes": [[8, 5], [8, 1], [3, 8], [400_001, 8], [10, 20], [8, 1]],
            # 100000.25, 10.00001 and almost 0 among the products
            "factors": [0.5, 0.5, 0.5, 0.25, 1.000001, 1e-8],
        }

    def call(self, student, inputs):
        said = []
        for sizes, c in zip(inputs["sizes"], inputs["factors"], strict=True):
            try:
                _, got = student([0.1, 0.1], list(sizes), c)
                said.append(f"{[array(size, ()).item() for size in got]}")
            except ValueError:
                said.append("refused")
        return {"said": said}

    def verdict(self, inputs, outputs):
        for sizes, c, said in zip(inputs["sizes"], inputs["factors"], outputs["said"], strict=True):
            if str(said) != "refused":
                sizes = [int(size) for size in sizes]
                if c < 1e-6:
                    return (
                        f"Batch sizes {sizes} times {c:g} gave {said}. These products count as 0, and a "
                        "batch has at least one sample: raise a ValueError."
                    )
                if c != 0.5:
                    return (
                        f"Batch sizes {sizes} times {c:.7g} gave {said}, though {sizes[0]} times that is "
                        f"{c * sizes[0]:.10g}, more than 1e-6 from a whole number: raise a ValueError. "
                        "(np.isclose and math.isclose allow more for larger numbers.)"
                    )
                return (
                    f"Batch sizes {sizes} times 0.5 gave {said}. No batch has half a sample, and with "
                    "a rounded one eta/S is another: raise a ValueError."
                )
        return None
