"""When a history reaches a threshold, and stays there for some evaluations."""

from __future__ import annotations

import numpy as np
import torch

from flatlab.checks.answers import array
from flatlab.checks.core import Exercise, WrongAnswer

time_to_threshold = Exercise(
    "time_to_threshold",
    remaining=(
        "values that are NaN",
        "a history that ends too soon",
        "a patience of one",
    ),
)

HINTS = (
    (
        "IndexError",
        (
            "Near the end fewer than patience evaluations are left: they cannot confirm anything. And where "
            "nothing is found, nothing has a first place: return None."
        ),
    ),
    ("StopIteration", "next() finds nothing where there is no stretch: next(..., None)."),
    *(
        (text, "Where there is no stretch nothing is left to choose from: return None.")
        for text in ("empty sequence", "iterable argument is empty")  # older and newer Pythons
    ),
    ("unpack", "history is a list of pairs: for step, value in history."),
    ("ambiguous", "history is a list of pairs: for step, value in history."),
    ("object has no attribute", "history is a list of pairs: for step, value in history."),
    (
        "not supported between instances of 'tuple'",
        "history is a list of pairs: for step, value in history.",
    ),
    (
        "list indices must be integers or slices, not",
        "history[k] is the pair (step, value) of evaluation k: history[k][1] is its value.",
    ),
)


def right_time(history: np.ndarray, threshold: float, patience: int) -> float | None:
    """The first step of which, and of the patience - 1 after it, no value is below the threshold."""
    reached = [bool(value >= threshold) for value in history[:, 1]]  # NaN >= anything is False
    for k in range(len(reached) - patience + 1):
        if all(reached[k : k + patience]):
            return float(history[k, 0])
    return None


def wrong_times(history: np.ndarray, threshold: float, patience: int) -> list[tuple]:
    """What wrong readings of one history give, and what each got wrong; None is an answer too."""
    steps, values = history.T
    reached = values >= threshold
    m = len(values)
    right = right_time(history, threshold, patience)
    first = None if right is None else int(np.flatnonzero(steps == right)[0])

    def at(k):
        return None if k is None or k >= m else float(steps[k])

    ups = np.flatnonzero(reached)
    downs = np.flatnonzero(~reached)
    stays = int(downs[-1]) + 1 if len(downs) else 0
    strict = np.column_stack([steps, np.where(values > threshold, 2.0, 0.0)])
    below = np.column_stack([steps, np.where(values <= threshold, 2.0, 0.0)])
    longer = right_time(history, threshold, patience + 1)
    gap = float(steps[1] - steps[0])
    spread = [np.mean(values[k : k + patience]) >= threshold for k in range(m - patience + 1)]
    return [
        (
            None if first is None else float(first),
            "It is the number of the evaluation: return its step, the first of the pair.",
        ),
        (
            at(ups[0]) if len(ups) else None,
            (
                "It is the first value at the threshold, though one below comes before patience has passed: "
                "the stretch begins anew after that."
            ),
        ),
        (
            None if first is None else at(first + patience - 1),
            "It is the step at which patience has passed: return the step at which the stretch began.",
        ),
        (
            None if first is None else at(first + patience),
            "It is the step after the patience has passed: return the step at which the stretch began.",
        ),
        (
            at(ups[patience - 1]) if len(ups) >= patience else None,
            "It counts evaluations that are not in a row: a value below starts the count again.",
        ),
        (
            at(stays),
            (
                "It is where the last stretch begins, the one that no value ends: the first that lasts "
                "patience evaluations is asked for."
            ),
        ),
        (
            right_time(strict, 1, patience),
            "A value equal to the threshold counts as below: at least the threshold is >=, not >.",
        ),
        (right_time(below, 1, patience), "It waits for values below the threshold."),
        (
            longer,
            "It waits for one evaluation more: patience counts the first of them too.",
        ),
        (
            right_time(history, threshold, patience - 1) if patience > 1 else right,
            "It is content with one evaluation less: all of the patience must be there.",
        ),
        (
            at(spread.index(True)) if True in spread else None,
            "It asks for a mean of patience values at the threshold: each of them must be there.",
        ),
        (None if right is None else float(values[first]), "It is the value: return the step."),
        (
            float(values[0]),
            "Step and value are exchanged: each pair is (step, value), for step, value in history.",
        ),
        (
            right_time(history[:-1], threshold, patience),
            (
                "It does not look at the stretch that the last evaluation ends: windows of patience begin at "
                "the places in range(len(history) - patience + 1)."
            ),
        ),
        (
            _lasting(steps, reached, patience),
            "It waits for patience steps: patience counts evaluations, whose steps lie apart.",
        ),
        (
            _longest(steps, reached, patience),
            "It is where the longest stretch begins: the first that lasts patience evaluations is asked for.",
        ),
        (
            None if first is None else float(steps[first + patience - 1]) - patience,
            "It goes back by patience steps: patience counts evaluations. Keep the step of the first.",
        ),
        (
            None if first is None else float(steps[first + patience - 1]) - (patience - 1) * gap,
            (
                "It counts back as if all steps were equally far apart: keep the step at which the stretch "
                "began."
            ),
        ),
        (
            at(first - 1) if first else None,
            "It is the evaluation before the stretch, which begins at i - patience + 1 where patience is full at i.",
        ),
    ]


def _lasting(steps: np.ndarray, reached: np.ndarray, patience: int) -> float | None:
    """Where a stretch begins that lasts for ``patience`` steps, not evaluations."""
    start = None
    for step, there in zip(steps, reached, strict=True):
        start = (step if start is None else start) if there else None
        if start is not None and step - start >= patience:
            return float(start)
    return None


def _longest(steps: np.ndarray, reached: np.ndarray, patience: int) -> float | None:
    """Where the longest stretch begins, if it has ``patience`` evaluations."""
    place, best, count = None, patience - 1, 0
    for k, there in enumerate(reached):
        count = count + 1 if there else 0
        if count > best:
            place, best = k - count + 1, count
    return None if place is None else float(steps[place])


def asked(student, inputs) -> dict:
    """The student's times, 0 where it said None, and where it said so."""
    times, none = [], []
    for history, patience in zip(inputs["histories"], inputs["patience"]):
        pairs = [(int(step), float(value)) for step, value in history]
        result = student(pairs, inputs["threshold"], int(patience))
        if isinstance(result, tuple | list):
            raise WrongAnswer(f"It returned a {type(result).__name__}: the step alone is needed.")
        none.append(result is None)
        times.append(0.0 if result is None else float(array(result, ())))
    return {"times": np.array(times), "none": np.array(none)}


def said(outputs) -> list[float | None]:
    """The answers as they were given."""
    pairs = zip(outputs["times"], outputs["none"], strict=True)
    return [None if none else float(time) for time, none in pairs]


@time_to_threshold.check("stretches that last, and some that do not")
class Stretches:
    hints = HINTS
    threshold = 0.9

    def draw(self, generator):
        """Spikes that are too short, a stretch, a relapse, others, and a last stretch; or that alone."""
        kinds = (
            *("..^.^^^..=^^^.^.^^^^", ".^..^^.^^^^..=^^..^^^", ".^.^^.^^^^^.=^.^^"),
            "..^..^^.^^^",
        )
        patience, histories = (4, 3, 2, 3), []
        level = {".": 0.85, "^": 0.96, "=": self.threshold}  # one low value leaves a high mean
        for kind in kinds:
            gaps = torch.randint(3, 40, (len(kind),), generator=generator)
            noise = 0.02 * torch.rand(len(kind), generator=generator, dtype=torch.float64)
            values = [level[c] + (0.0 if c == "=" else float(e)) for c, e in zip(kind, noise)]
            steps = (gaps.cumsum(0) + 50).double()
            histories.append(torch.stack([steps, torch.tensor(values, dtype=torch.float64)], 1))
        return {"histories": histories, "patience": list(patience), "threshold": self.threshold}

    def call(self, student, inputs):
        return asked(student, inputs)

    def verdict(self, inputs, outputs):
        threshold, got = inputs["threshold"], said(outputs)
        cases = list(zip(map(np.asarray, inputs["histories"]), inputs["patience"], strict=True))
        right = [right_time(history, threshold, int(n)) for history, n in cases]
        if got == right:
            return None
        wrong = [wrong_times(history, threshold, int(n)) for history, n in cases]
        for kinds in zip(*wrong, strict=True):
            if [value for value, _ in kinds] == got:
                return kinds[0][1]
        k = next(k for k in range(len(got)) if got[k] != right[k])
        history, n = cases[k]
        place = int(np.flatnonzero(history[:, 0] == right[k])[0])
        text = (
            f"In a history of {len(history)} evaluations the values from place {place} on, step "
            f"{right[k]:g}, are at the threshold {n} times in a row."
        )
        if got[k] is None:
            return f"{text} Here it returns None."
        return f"{text} Here it returns {got[k]:g}."


@time_to_threshold.check("never, and from the first step on")
class NeverOrAtOnce:
    hints = HINTS

    def draw(self, generator):
        low, high = (0.1 * torch.rand(2, 5, generator=generator, dtype=torch.float64)).unbind()
        steps = torch.arange(0, 50, 10, dtype=torch.float64)
        values = (0.5 + low, 0.9 + high, torch.full_like(low, 0.8 - 1e-6), 0.9 + high)
        histories = [torch.stack([steps, value], 1) for value in values]
        histories[3][:, 0] += 7  # from the first evaluation on, and its step is not 0
        return {"histories": histories, "patience": [2, 2, 2, 2], "threshold": 0.8}

    def call(self, student, inputs):
        return asked(student, inputs)

    def verdict(self, inputs, outputs):
        never, at_once, just_below, later = said(outputs)
        if later != 7:
            gives = "None" if later is None else f"{later:g}"
            return (
                f"A history that is at the threshold from its first evaluation on, at step 7, gives {gives}; "
                "7 is right. The first one counts, too: no value below it has to come before."
            )
        if never is not None:
            return (
                f"A history that never reaches the threshold gives {never:g}: return None. A number would "
                "go into means and plots as if it were a step."
            )
        if at_once is None:
            return (
                "A history that is at the threshold from step 0 on gives None. Python takes 0 for False: "
                "ask `is not None`."
            )
        if at_once != 0:
            return (
                f"A history that is at the threshold from step 0 on gives {at_once:g}; 0 is right. Python "
                "takes 0 for False: ask `is None` where you ask whether there is a start already."
            )
        if just_below is not None:
            return (
                "Values of 0.799999 count as at the threshold 0.8: ask value >= threshold, with no margin "
                "and nothing rounded."
            )
        return None
