"""Claims, and the rules by which numbers become verdicts.

A claim is judged point by point. Each rule below says in words what it asks (`asks`), and from the
measured numbers alone whether the point holds. Over all points of a claim:

    reproduced   every point holds
    not          no point holds, not even in more than half of the seeds
    partly       anything between
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from ledger.runs import Experiment

Found = Mapping[str, Mapping[str, np.ndarray]]  # name of runs -> column -> (seeds,)


@dataclass(frozen=True)
class Point:
    """One number of a claim: what was found, what the rule asks, and how far it holds."""

    what: str
    found: str
    asks: str
    share: float  # 1: holds; 0: does not; between: the fraction of seeds in which it does

    @property
    def mark(self) -> str:
        if self.share in (0, 1):
            return "yes" if self.share else "no"
        return f"in {100 * self.share:.0f} % of the seeds"


@dataclass(frozen=True)
class Runs:
    """The runs of one setting that a claim needs, one a seed."""

    experiment: Experiment
    settings: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Claim:
    """What a slide says, the runs that test it, and how they are judged."""

    name: str  # make reproduce CLAIM=name
    slide: str  # whose, and its title
    says: str
    published: str  # the published number, or "no number"
    runs: Mapping[str, Runs]
    judge: Callable[[Found], list[Point]]  # the runs' columns, seeds aligned
    note: str = ""  # what differs from the slide's setting


def verdict(points: list[Point]) -> str:
    """The rule at the head of this file."""
    if not points:
        raise ValueError("a claim without points cannot be judged")
    if all(point.share == 1 for point in points):
        return "reproduced"
    return "partly" if any(point.share > 0.5 for point in points) else "not"


def mean_sd(values: np.ndarray) -> str:
    """Mean ± standard deviation (n - 1); a single value, or always the same, alone."""
    values = np.asarray(values, dtype=float)
    if len(values) == 1 or np.ptp(values) <= 1e-9 * abs(values.mean()):
        return f"{values[0]:.4g}"
    return f"{values.mean():.4g} ± {values.std(ddof=1):.2g}"


def near(what: str, values: np.ndarray, published: float, percent: float) -> Point:
    """The mean lies within `percent` of the published mean."""
    holds = abs(np.mean(values) - published) <= percent / 100 * abs(published)
    return Point(what, mean_sd(values), f"within {percent:g} % of {published:g}", float(holds))


def within(what: str, values: np.ndarray, published: float, margin: float, unit: str = "") -> Point:
    """The mean lies within `margin` of the published mean."""
    holds = abs(np.mean(values) - published) <= margin
    return Point(what, mean_sd(values), f"within {margin:g}{unit} of {published:g}", float(holds))


def within_sd(
    what: str, values: np.ndarray, published: float, sd: float, times: float = 2
) -> Point:
    """The mean lies within `times` published standard deviations of the published mean."""
    distance = (np.mean(values) - published) / sd
    found = f"{mean_sd(values)} ({distance:+.1f} sd)"
    return Point(
        what, found, f"within {times:g} sd of {published:g} ± {sd:g}", float(abs(distance) <= times)
    )


def every_seed(what: str, found: str, asks: str, holds: np.ndarray) -> Point:
    """A statement that is true or false in each seed."""
    return Point(what, found, asks, float(np.mean(np.asarray(holds, dtype=float))))


def below(what: str, values: np.ndarray, bound: float) -> Point:
    """In every seed at most `bound`."""
    return every_seed(what, mean_sd(values), f"at most {bound:.4g}", np.asarray(values) <= bound)


def above(what: str, values: np.ndarray, bound: float) -> Point:
    """In every seed more than `bound`."""
    return every_seed(what, mean_sd(values), f"more than {bound:.4g}", np.asarray(values) > bound)


def rising(what: str, series: Mapping[str, np.ndarray]) -> Point:
    """In every seed each value is larger than the one before."""
    table = np.stack([np.asarray(values, dtype=float) for values in series.values()])
    found = " < ".join(f"{np.mean(values):.4g} ({name})" for name, values in series.items())
    found = found.replace(" < ", ", ")
    return every_seed(what, found, "rising, in each seed", (np.diff(table, axis=0) > 0).all(axis=0))


def gain(what: str, differences: np.ndarray, unit: str) -> Point:
    """The mean difference is positive by more than two standard errors over the seeds."""
    differences = np.asarray(differences, dtype=float)
    error = differences.std(ddof=1) / np.sqrt(len(differences)) if len(differences) > 1 else np.inf
    found = f"{differences.mean():+.3g}{unit}, standard error {error:.2g}"
    return Point(
        what, found, "above 0 by two standard errors", float(differences.mean() > 2 * error)
    )
