"""First exits from a well, on recorded paths."""

from __future__ import annotations

import numpy as np
import torch

from flatlab.checks.answers import array
from flatlab.checks.core import Exercise, WrongAnswer

first_exit_time = Exercise(
    "first_exit_time",
    remaining=("a run that ends in NaN", "runs that touch the border", "a single run"),
)

WELL = (-1.0, 2.0)  # low, high


def outside(paths: np.ndarray, low: float, high: float) -> np.ndarray:
    """NaN is neither inside nor on the border, so it is outside."""
    return ~((paths >= low) & (paths <= high))


def first_exits(paths: np.ndarray, low: float, high: float, dt: float) -> tuple:
    """Times (runs,) and whether each run left: the right answer."""
    return _first(outside(paths, low, high), dt)


def _first(out: np.ndarray, dt: float, censored: float | None = None) -> tuple:
    left = out.any(1)
    end = out.shape[1] - 1 if censored is None else censored
    return np.where(left, out.argmax(1), end) * dt, left


def exit_mistakes(paths: np.ndarray, low: float, high: float, dt: float) -> list[tuple]:
    """(times, what was done) of wrong answers; None where whether a run left is wrong too."""
    out = outside(paths, low, high)
    steps = paths.shape[1] - 1
    times, left = _first(out, dt)
    last = np.where(left, steps - out[:, ::-1].argmax(1), steps) * dt
    with np.errstate(invalid="ignore"):
        plainly = (paths < low) | (paths > high)
        radius = np.abs(paths) > high
        ends = [
            (_first(paths > high, dt)[0], "It looks at high alone: a run may leave below low too."),
            (_first(paths < low, dt)[0], "It looks at low alone: a run may leave above high too."),
            (
                _first(~((paths > low) & (paths < high)), dt)[0],
                "A run on the border counts as outside; low and high themselves are inside.",
            ),
            (
                _first(radius, dt)[0],
                (
                    "It compares |x| with high; the well goes from low to high, and 0 need not be its "
                    "middle."
                ),
            ),
            (
                _first(plainly, dt)[0],
                (
                    "A run that became NaN counts as inside: every comparison with NaN is False. Ask for "
                    "x >= low and x <= high, and turn the answer over."
                ),
            ),
        ]
    first_run_out = out.any(0)
    index = int(first_run_out.argmax())
    return [
        *_one_off(times, left, dt),
        (np.trunc(times), "The times are cut to whole numbers: put them into a tensor of floats."),
        (
            _first(out, dt, len(paths) - 1)[0],
            "Runs that never left get dt (runs - 1): paths has one row for each run, so steps is counted along dim 1.",
        ),
        (
            _first(out, dt, len(paths))[0],
            "Runs that never left get dt times runs: paths has one row for each run, so steps is counted along dim 1.",
        ),
        (times / dt, "These are numbers of steps: a step takes dt."),
        (last, "This is the last time outside; a run that came back has left before."),
        (times + dt, "It is one step too late: x_0 is at time 0, so entry i is at time i dt."),
        (times - dt, "It is one step too early: it is the time of the last entry before the exit."),
        (
            (~out).sum(1) * dt,
            "It counts all entries inside, also those after a run came back, and x_0.",
        ),
        (
            np.minimum((~out).sum(1), steps) * dt,
            "It counts all entries inside, also those after a run came back.",
        ),
        (
            out.sum(1) * dt,
            "It counts the entries outside; the first one decides.",
        ),
        (
            _first(out, dt, 0)[0],
            (
                "Runs that never left get the time 0: argmax of a row without True is 0. Their time is "
                "dt times steps."
            ),
        ),
        (
            _first(out, dt, steps + 1)[0],
            "Runs that never left get dt (steps + 1): steps + 1 entries are steps steps apart.",
        ),
        (
            _first(out, dt, -1)[0],
            (
                "Runs that never left get a time below 0; theirs is dt times steps, as long as they were "
                "watched."
            ),
        ),
        (
            np.full(len(paths), index * dt),
            "All runs get the time at which the first of them left: look along each row, dim 1.",
        ),
        *ends,
    ]


def _one_off(times: np.ndarray, left: np.ndarray, dt: float) -> list[tuple]:
    """As late or early by a step in runs that left alone."""
    late = "Runs that left are one step too late: x_0 is at time 0, so entry i is at time i dt."
    early = (
        "Runs that left are one step too early: entry i is at time i dt. Without the first column, "
        "index i is entry i + 1."
    )
    return [(np.where(left, times + dt, times), late), (np.where(left, times - dt, times), early)]


def exit_verdict(paths: np.ndarray, well: list, dt: float, times, left) -> str | None:
    """None where times and flags are right, else the likely cause."""
    right, gone = first_exits(paths, *well, dt)
    stayed = ~gone
    if np.isnan(times[stayed]).any() or np.isinf(times[stayed]).any():
        k = int(np.flatnonzero(stayed & ~np.isfinite(times))[0])
        return (
            f"Run {k} never left, and its time is {times[k]}. It was watched for dt times steps = "
            f"{right[k]:g}: that is its time, and exited is False."
        )
    if not np.isfinite(times).all():
        return "A run that left has a time that is not finite."
    close = np.abs(times - right) <= 1e-5 * (1 + np.abs(right))
    if not close.all():
        if len(paths) > 1:
            for wrong, message in exit_mistakes(paths, *well, dt):
                if np.allclose(times, wrong, rtol=1e-5, atol=1e-6):
                    return message
        k = int(np.flatnonzero(~close)[0])
        what = f"first leaves at entry {round(right[k] / dt)}" if gone[k] else "never leaves"
        return f"Run {k} {what}, so its time is {right[k]:g} with dt = {dt:g}; yours is {times[k]:.4g}."
    if not np.isin(left, (0, 1)).all():
        return "exited holds other values than True and False."
    if (left == gone).all():
        return None
    if (left == stayed).all() and len(left) > 1:
        return "exited is turned round: it is True for runs that left."
    k = int(np.flatnonzero(left != gone)[0])
    if gone[k] and right[k] == (paths.shape[1] - 1) * dt:
        return (
            f"Run {k} left at its very last step, and exited says False: a time of dt times steps does "
            "not tell whether a run left."
        )
    if not gone[k] and left.all():
        return "exited is True for every run, also for those that never left."
    return f"Run {k} {'left' if gone[k] else 'never left'}, and exited says {bool(left[k])}."


def answered(student, paths: np.ndarray, well: list, dt: float) -> dict:
    """The student's times and flags as arrays, and the paths after the call."""
    given = torch.tensor(paths)
    result = student(given, well[0], well[1], dt)
    if not isinstance(result, tuple | list) or len(result) != 2:
        shape = f" of shape {tuple(result.shape)}" if isinstance(result, torch.Tensor) else ""
        kind = (
            f"{len(result)} values" if isinstance(result, tuple | list) else type(result).__name__
        )
        raise WrongAnswer(f"It returned {kind}{shape}; two tensors are needed: times, exited.")
    runs = (len(paths),)
    times = array(result[0], runs, "It (times)")
    return {"times": times, "exited": array(result[1], runs, "It (exited)"), "after": given}


@first_exit_time.check("runs that leave, come back and stay")
class Runs:
    steps = 12
    hints = (
        ("support bool", "argmax does not take bool tensors: outside.int().argmax(1)."),
        ("'Bool'", "argmax does not take bool tensors: outside.int().argmax(1)."),
        *(
            (text, "| and & bind stronger than <: parentheses around each comparison.")
            for text in ("bitwise", "operand type(s) for |", "operand type(s) for &")
        ),
        (
            "builtin_function_or_method",
            "A method is called with (): paths.size(1), or paths.shape[1].",
        ),
        ("ambiguous", "`and`, `or` and `if` take single values: combine tensors with & and |."),
        (
            "slice indices must be integers",
            "Entries are counted in whole steps; only the result is multiplied by dt.",
        ),
        ("with size 0", "A run that never left has no first entry outside: ask for it."),
        (
            "out of bounds",
            (
                "Row k is a run, entry i of it a time: paths[k, i] has i from 0 to steps. A run that never left "
                "has no first entry outside."
            ),
        ),
        ("index 0 is out of", "A run that never left has no first entry outside: ask for it."),
        ("non-empty", "A run that never left has no first entry outside: ask for it."),
    )

    def draw(self, generator):
        """Six runs inside (-1, 2), with exits put in: below, above, both, at the end, never."""
        low, high = WELL
        shape = (6, self.steps + 1)
        paths = low + (high - low) * (
            0.05 + 0.9 * torch.rand(shape, generator=generator, dtype=torch.float64)
        )
        paths[0, 3], paths[0, 8] = low - 1.5, high + 1  # below, back, then above
        paths[1, 1:] = high + 3  # leaves at once and stays out
        paths[3, self.steps] = low - 0.1  # leaves at the last step
        paths[4, 2], paths[4, 5:7] = low - 0.3, high + 0.2  # runs 2 and 5 never leave
        paths[5, 4] = low + 0.02
        return {"paths": paths, "well": [low, high], "dt": 0.25}

    def call(self, student, inputs):
        return answered(student, inputs["paths"], inputs["well"], inputs["dt"])

    def verdict(self, inputs, outputs):
        paths = np.asarray(inputs["paths"])
        wrong = exit_verdict(
            paths, inputs["well"], inputs["dt"], outputs["times"], outputs["exited"]
        )
        if wrong is None and not np.array_equal(outputs["after"], paths, equal_nan=True):
            return "The paths that were passed in have changed. Work on a copy."
        return wrong
