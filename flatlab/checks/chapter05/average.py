"""The average of networks' states."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from flatlab.checks.answers import array, compare
from flatlab.checks.chapter05.truths import flat
from flatlab.checks.core import Exercise, Record, WrongAnswer
from flatlab.checks.toys import normal

swa_average = Exercise(
    "swa_average", remaining=("a single state", "a result with memory of its own")
)

COUNT = "1.num_batches_tracked"
SEEN = "2.seen"  # whole numbers under another name, in int32
NO_MEAN = (
    "Whole numbers have no mean in torch: take those entries of the last state. .is_floating_point() "
    "tells them apart."
)
ENTRIES = 7  # names in a state
WEIGHTS = 15  # entries of a state before the running statistics
HINTS = (
    ("could not infer output dtype", NO_MEAN),
    ("floating point or complex", NO_MEAN),
    (
        "can't be cast to the desired output type",
        "Whole numbers such as num_batches_tracked cannot be divided by `/=`: take the last state's.",
    ),
    (
        "unsupported operand type(s) for +: 'collections.OrderedDict'",
        "State dicts cannot be added: go through the names, and add the tensors of each name.",
    ),
    (
        "unsupported operand type(s) for +: 'dict'",
        "State dicts cannot be added: go through the names, and add the tensors of each name.",
    ),
    (
        "unsupported operand type(s) for +: 'int' and '",
        "State dicts cannot be added: go through the names, and add the tensors of each name.",
    ),
    (
        "changed size during iteration",
        "A dictionary must not grow or shrink while a loop runs through it: fill a new one.",
    ),
)


def states_of(inputs) -> list[dict[str, torch.Tensor]]:
    return [{name: torch.tensor(a) for name, a in state.items()} for state in inputs["states"]]


def read(result: Any, states: list[dict[str, torch.Tensor]]) -> Record:
    """What came back: "floats", the averaged entries in order, and "count"."""
    if result is None:
        raise WrongAnswer("It returned None: is the return statement missing?")
    if not isinstance(result, Mapping):
        hint = " .items() goes back into dict()." if isinstance(result, list | tuple) else ""
        raise WrongAnswer(
            f"It returned a {type(result).__name__}; a dictionary of tensors is needed.{hint}"
        )
    names = list(states[0])
    if COUNT not in result:
        raise WrongAnswer(
            "The entry of num_batches_tracked is missing: load_state_dict asks for every name."
        )
    missing = [name for name in names if name not in result]
    if missing or len(result) > len(names):
        raise WrongAnswer(
            f"It returned a dictionary of {len(result)} entries; the states have {len(names)}, and the "
            "average has the same names."
        )
    shapes = {name: tuple(states[0][name].shape) for name in names}
    whole = (COUNT, SEEN)
    floats = [array(result[name], shapes[name], "An entry") for name in names if name not in whole]
    count = array(result[COUNT], (), "num_batches_tracked")
    return {"floats": floats, "count": count, "seen": array(result[SEEN], (2,), SEEN)}


def average_mistakes(states: np.ndarray, weights: int) -> list[tuple[np.ndarray, str]]:
    """Wrong averages of the rows of (k, entries), ``weights`` first, and what was done."""
    k = len(states)
    total = states.sum(0)
    halved = states[0]
    for row in states[1:]:
        halved = (halved + row) / 2
    return [
        (
            states[-1],
            (
                "This is the last state: is the sum begun anew in every round of the loop? Or are the entries, in "
                "float64 here, not seen as floating-point numbers?"
            ),
        ),
        (states[0], "This is the first state: do the others enter?"),
        (total, "This is the sum of the states: divide by their number."),
        (total / (k - 1), "The sum is divided by one too few."),
        (total / (k + 1), "The sum is divided by one too many, as if there were a state of zeros."),
        (
            halved,
            (
                "(average + state) / 2 in a loop gives the last state half of the weight and the first "
                "ones hardly any: all states have the same weight."
            ),
        ),
        (
            (total + states[0]) / k,
            "The first state counts twice: the sum begins with it, and the loop adds it again.",
        ),
        (
            (total + states[0]) / (k + 1),
            "The first state counts twice: the sum begins with it, and the loop adds it again.",
        ),
        ((total - states[0]) / (k - 1), "The first state does not enter."),
        ((total - states[0]) / k, "The first state does not enter."),
        ((total - states[-1]) / (k - 1), "The last state does not enter."),
        ((total - states[-1]) / k, "The last state does not enter."),
        (
            np.r_[states.mean(0)[:weights], states[-1][weights:-1], states.mean(0)[-1:]],
            "running_mean and running_var are the last state's: average them as the weights.",
        ),
        (
            np.r_[states.mean(0)[:-1], states[-1][-1:]],
            "A floating-point entry of shape () is the last state's: average it like the others.",
        ),
        (
            (states[0] + states[-1]) / 2,
            "This is the mean of the first and the last state: those between them enter too.",
        ),
        (
            (total - states[0] + states[-1]) / k,
            "The last state counts twice, and the first does not enter.",
        ),
        (total / ENTRIES, "The sum is divided by the number of names in a state, not of states."),
        (np.median(states, 0), "This is the median; the mean is asked for."),
        (total / states.shape[1], "The sum is divided by the number of entries, not of states."),
    ]


@swa_average.check("four states of a network with batch norm")
class FourStates:
    hints = HINTS
    count = 4

    def draw(self, generator):
        """States that differ by as much as they are large; the counts have no whole mean."""

        def one(batches: int) -> dict[str, torch.Tensor]:
            return {
                "0.weight": normal(generator, 3, 4),
                "0.bias": normal(generator, 3),
                "1.running_mean": normal(generator, 3),
                "1.running_var": torch.rand(3, generator=generator, dtype=torch.float64) + 0.5,
                "2.scale": normal(generator, 1).reshape(()),
                COUNT: torch.tensor(batches),
                SEEN: torch.tensor([batches // 3, 7 * batches], dtype=torch.int32),
            }

        return {"states": [one(batches) for batches in (150, 201, 270, 303)[: self.count]]}

    def call(self, student, inputs):
        return read(student(states_of(inputs)), states_of(inputs))  # .pop() must not empty ours

    def verdict(self, inputs, outputs):
        states = inputs["states"]
        rows = np.stack([flat([a for n, a in s.items() if n not in (COUNT, SEEN)]) for s in states])
        message = compare(
            flat(outputs["floats"]),
            rows.mean(0),
            1e-5,
            average_mistakes(rows, WEIGHTS) if len(rows) > 1 else (),
            "The entries are {got}; their means over the states are {expected}.",
        )
        message = message or count_verdict([int(s[COUNT]) for s in states], float(outputs["count"]))
        if message or (outputs["seen"] == states[-1][SEEN]).all():
            return message
        return (
            f"The entry {SEEN} holds whole numbers in int32, and is not the last state's: "
            ".is_floating_point() tells them apart, not a name or one dtype."
        )


def count_verdict(counts: list[int], got: float) -> str | None:
    if got == counts[-1]:
        return None
    if len(counts) == 1:
        return f"num_batches_tracked is {got:g}; that of the only state is {counts[0]}."
    mean = sum(counts) / len(counts)
    if abs(got - mean) < 1:
        return f"num_batches_tracked is {got:g}, averaged: it is a count, and the last state's is {counts[-1]}."
    if got == sum(counts):
        return f"num_batches_tracked is {got:g}, the sum; the last state's count is {counts[-1]}."
    if got == counts[0]:
        return f"num_batches_tracked is {got:g}, that of the first state; take the last one's."
    return f"num_batches_tracked is {got:g}; the last state's is {counts[-1]}."


@swa_average.check("states that stay as they were")
class StatesStay(FourStates):
    measured = ("after", "same", "number")

    def call(self, student, inputs):
        states = states_of(inputs)
        entries = [dict(state) for state in states]
        kept = list(states)
        student(states)
        same = [
            list(state) == list(before) and all(state[name] is before[name] for name in before)
            for state, before in zip(kept, entries, strict=True)
        ]
        after = [list(before.values()) for before in entries]
        return {"after": after, "same": same, "number": len(states)}

    def verdict(self, inputs, outputs):
        states = inputs["states"]
        if outputs["number"] != len(states):
            return (
                f"The list held {len(states)} states and holds {outputs['number']} now: .pop() and del "
                "take them from the caller."
            )
        for k, (before, after) in enumerate(zip(states, outputs["after"], strict=True)):
            if (flat(list(before.values())) != flat(after)).any():
                return (
                    f"The tensors of the caller's state {k} have changed: `+=` and `/=` write into them, even "
                    "where the dictionary is a copy. .clone() them first, or write a = a + b."
                )
            if not outputs["same"][k]:
                return (
                    f"The caller's state {k} holds other entries now: `average = states[{k}]` is a second "
                    "name for it, not a copy. Fill a new dictionary."
                )
        return None
