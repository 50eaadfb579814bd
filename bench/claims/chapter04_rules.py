"""How chapter 04's numbers are judged."""

import math

import numpy as np
from ledger import rules
from ledger.rules import Found, Point

from claims.chapter04_runs import MOMENTS

MARGIN = 0.1  # by which an estimate must lie below a control to count as below it


def listed(columns: dict[str, np.ndarray]) -> str:
    return ", ".join(f"{values.mean():.3g} ({name})" for name, values in columns.items())


def all_below(what: str, found: Found, column: str, control: str | None) -> Point:
    """In every seed and at every setting the column is below 2, or below the control by MARGIN."""
    mine = {name: run[column] for name, run in found.items()}
    if control is None:
        holds = np.stack([values < 2 for values in mine.values()]).all(0)
        return rules.every_seed(what, listed(mine), "below 2, in each seed", holds)
    theirs = {name: run[control] for name, run in found.items()}
    holds = np.stack([mine[name] < theirs[name] - MARGIN for name in mine]).all(0)
    pairs = (f"{mine[n].mean():.3g} against {theirs[n].mean():.3g} ({n})" for n in mine)
    asks = f"lower by more than {MARGIN}, in each seed"
    return rules.every_seed(what, ", ".join(pairs), asks, holds)


def below_controls(found: Found) -> list[Point]:
    return [
        all_below("α̂", found, "alpha", None),
        all_below("against Gaussian noise of the same variances", found, "alpha", "control"),
        all_below("of the same covariance", found, "alpha", "covariance_control"),
    ]


def never_gaussian(found: Found) -> list[Point]:
    largest = dict([list(found.items())[-1]])
    return [
        *below_controls(found),
        all_below(
            "α̂ without scale and correlation, against Gaussian noise,",
            largest,
            "shuffled",
            "shuffled_control",
        ),
    ]


def central_limit(found: Found) -> list[Point]:
    (name, last) = list(found.items())[-1]
    falling = dict(reversed(found.items()))
    return [
        rules.rising("kurtosis per coordinate", {n: run["kurtosis"] for n, run in falling.items()}),
        rules.below(f"{name}: minus that of Gaussian noise", last["kurtosis"] - last["kurtosis_control"], 0.5),
        rules.within(
            f"{name}: α̂ without scale and correlation, minus the Gaussian's,",
            last["shuffled"] - last["shuffled_control"], 0, MARGIN,
        ),
    ]  # fmt: skip


def non_gaussian(found: Found) -> list[Point]:
    (run,) = found.values()
    times = run["kurtosis"] / run["kurtosis_control"]
    return [
        rules.above("kurtosis per coordinate over that of Gaussian noise", times, 2),
        all_below(
            "α̂ without scale and correlation, against Gaussian noise,",
            found,
            "shuffled",
            "shuffled_control",
        ),
        all_below(
            "α̂ against Gaussian noise of the same covariance", found, "alpha", "covariance_control"
        ),
    ]


def stable(found: Found) -> list[Point]:
    one, many = found["B = 1"], found["B = 50"]
    return [
        rules.within(
            "α̂ without scale and correlation, B = 50 minus B = 1,",
            many["shuffled"] - one["shuffled"], 0, MARGIN,
        ),
        rules.above("kurtosis, B = 50 over B = 1", many["kurtosis"] / one["kurtosis"], 0.8),
    ]  # fmt: skip


def jumps(found: Found) -> list[Point]:
    (run,) = found.values()
    alpha, control = (
        np.stack([run[f"{what}_{step}"] for step in MOMENTS])
        for what in ("alpha", "covariance_control")
    )
    largest = abs(np.diff(alpha, axis=0)).max(0)
    left = abs(np.diff(alpha - control, axis=0)).max(0)
    return [
        rules.above("largest change of α̂ from one measurement to the next", largest, MARGIN),
        rules.above("of α̂ minus that of Gaussian noise, same covariance,", left, MARGIN),
    ]


def log_slope(found: Found, x: list[float], power: bool) -> np.ndarray:
    """Slope of log(mean exit time) on x, or on log x, for each seed."""
    times = np.log(np.stack([run["mean_time"] for run in found.values()]))
    return np.polyfit(np.log(x) if power else x, times, 1)[0]


def times(found: Found) -> str:
    return listed({name: run["mean_time"] for name, run in found.items()})


def exact_time(height: float, sigma: float) -> float:
    """Mean exit time of dx = -L' dt + sigma sqrt(2) dB from 0 in L = h x^2 on [-1, 1].

    (1/D) int_0^1 exp(L(y)/D) int_0^y exp(-L(z)/D) dz dy with D = sigma^2.
    """
    y = np.linspace(0, 1, 20_001)
    scaled = height * y**2 / sigma**2
    inner = np.cumsum(np.exp(-scaled)) * y[1]
    return float(np.trapezoid(np.exp(scaled) * inner, y)) / sigma**2


def in_height(heights: list[float], sigma: float, found: Found) -> list[Point]:
    """The slope of log time on the height is that of the exact times, and does not fall.

    A power of h would grow by a smaller factor from 3 to 4 than from 1 to 2.
    """
    slope = log_slope(found, heights, power=False)
    wanted = np.polyfit(heights, [math.log(exact_time(h, sigma)) for h in heights], 1)[0]
    tau = [run["mean_time"] for run in found.values()]
    growth = {"h = 1 to 2": tau[1] / tau[0], "h = 3 to 4": tau[3] / tau[2]}
    return [
        rules.near(f"mean exit times {times(found)}; d log τ/dh", slope, round(wanted, 3), 10),
        rules.rising("τ grows by the factor", growth),
    ]


def not_in_height(heights: list[float], found: Found) -> list[Point]:
    slope = log_slope(found, heights, power=False)
    return [rules.within(f"mean exit times {times(found)}; d log τ/dh", slope, 0, 0.1)]


def in_width(widths: list[float], wanted: float, found: Found) -> list[Point]:
    slope = log_slope(found, widths, power=True)
    return [rules.near(f"mean exit times {times(found)}; d log τ/d log r", slope, wanted, 10)]


def recovered(found: Found) -> list[Point]:
    return [
        rules.within(f"{name}: estimate", run["estimate"], float(name.split()[-1]), 0.05)
        for name, run in found.items()
    ]
