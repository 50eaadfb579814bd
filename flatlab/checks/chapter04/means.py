"""The mean exit time where some runs never left."""

from __future__ import annotations

import math
import warnings

import numpy as np
import torch

from flatlab.checks.answers import array, compare
from flatlab.checks.core import Exercise, WrongAnswer

mean_exit_time = Exercise("mean_exit_time", remaining=())


def watched(generator: torch.Generator, limit: float = 1.0) -> tuple:
    """Exponential times of mean 2 of 4000 runs, watched until ``limit``, and which of them left."""
    times = -2 * torch.log1p(-torch.rand(4000, generator=generator, dtype=torch.float64))
    return times.clamp(max=limit), times < limit


@mean_exit_time.check("runs watched for a limited time")
class LimitedTime:
    hints = (
        (
            "Got: Bool",
            "exited is a bool tensor: exited.sum() counts, and .mean() needs exited.float() first.",
        ),
        ("Integral", "exited is a bool tensor: exited.sum() counts the runs that left."),
    )

    def draw(self, generator):
        times, exited = watched(generator)
        return {"times": times, "exited": exited}

    def call(self, student, inputs):
        times, exited = torch.tensor(inputs["times"]), torch.tensor(inputs["exited"])
        result = student(times, exited)
        if isinstance(result, torch.Tensor) and result.numel() > 1:
            raise WrongAnswer(
                f"It returned shape {tuple(result.shape)}; a single number is needed: the sums are taken "
                "over all runs, then divided."
            )
        return {"mean": array(result, ())}

    def verdict(self, inputs, outputs):
        times, left = np.asarray(inputs["times"]), np.asarray(inputs["exited"])
        count, total = left.sum(), times.sum()
        return compare(
            outputs["mean"],
            total / count,
            1e-4,
            [
                (
                    times[left].mean(),
                    (
                        "Runs that never left are dropped. They lasted longest: without them the mean is "
                        f"{times[left].mean():.2f}, and these times were drawn with mean 2."
                    ),
                ),
                (
                    times.mean(),
                    (
                        "Runs that never left count as if they had left when the watching ended. That is "
                        f"{times.mean():.2f}, and these times were drawn with mean 2. Their time counts, "
                        "their exit does not."
                    ),
                ),
                (
                    times[left].sum() / len(times),
                    "Only the times of runs that left are added, and divided by all runs.",
                ),
                (
                    count / total,
                    "It is turned over: this is the number of exits in a unit of time.",
                ),
                (
                    total / (~left).sum(),
                    "It divides by the number of runs that never left; divide by the number of exits.",
                ),
                (np.median(times), "This is the median of all times."),
                (total, "This is the total time: divide by the number of exits."),
            ],
            "The total time over the number of exits is {expected}, yours is {got}; the times were drawn "
            "with mean 2.",
        )


@mean_exit_time.check("no run left")
class NobodyLeft:
    hints = (
        ("ZeroDivisionError", "No run left, so there are 0 exits: ask for it, return math.inf."),
        ("empty", "No run left: ask for it, return math.inf."),
    )

    def draw(self, generator):
        return {"times": torch.full((5,), 3.0, dtype=torch.float64)}

    def call(self, student, inputs):
        times = torch.tensor(inputs["times"])
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            mean = array(student(times, torch.zeros(5, dtype=torch.bool)), ())
        return {"mean": mean, "warnings": [str(w.message)[:200] for w in caught]}

    def verdict(self, inputs, outputs):
        mean = float(outputs["mean"])
        if not (math.isinf(mean) and mean > 0):
            return (
                f"Where no run left it gives {mean:.4g}. Five runs of time 3 without an exit set no upper "
                "limit: the mean is math.inf."
            )
        if outputs["warnings"]:
            return f"Where no run left it warns: {outputs['warnings'][0]}. Ask for it first."
        return None
