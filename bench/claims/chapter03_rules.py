"""How chapter 03's numbers are judged."""

import math

import numpy as np
from ledger import rules
from ledger.rules import Found, Point

from claims.chapter03_runs import (
    BATCHES,
    HALVINGS,
    LEVELS,
    MEMORY_RATES,
    PARTNERS,
    PEAK,
    SCHEDULES,
)

CYCLIC = SCHEDULES[1:4]
FACTORS = (1, 2, 4, 8, 16, 32, 64, 128)  # c of (c eta, c S)
BROKEN = 5  # points of test accuracy, mean over a curve's epochs, by which c counts as broken


def correlation(
    what: str, x: np.ndarray, y: np.ndarray, sign: int, given: np.ndarray | None = None
) -> Point:
    """Pearson's r over all runs of all seeds; its 95 % interval (Fisher's z) lies on one side of 0.

    With `given`, the partial correlation: of what a straight line in `given` leaves of both.
    """
    fine = np.isfinite(x) & np.isfinite(y)
    count, a, b = int(fine.sum()), x[fine], y[fine]
    if given is not None:
        a, b = (v - np.polyval(np.polyfit(given[fine], v, 1), given[fine]) for v in (a, b))
    r, free = float(np.corrcoef(a, b)[0, 1]), count - 3 - (given is not None)
    low, high = np.tanh(np.arctanh(r) + np.array([-1.96, 1.96]) / math.sqrt(free))
    found = f"r = {r:+.2f}, 95 % interval {low:+.2f} to {high:+.2f}, {count} of {len(x)} runs"
    holds = low > 0 if sign > 0 else high < 0
    return Point(what, found, f"interval {'above' if sign > 0 else 'below'} 0", float(holds))


def over_noise(run, what: str) -> tuple[np.ndarray, np.ndarray]:
    """log(eta / S) up to a constant, and a column, over batch sizes, learning rates and seeds."""
    names = [(f"{what}_{size}_{k}", -k * math.log(2)) for size in BATCHES for k in HALVINGS]
    seeds = len(run["seed"])
    return (
        np.repeat([x for _, x in names], seeds),
        np.concatenate([run[name] for name, _ in names]),
    )


def log_norm(run, what: str = "norm") -> tuple[np.ndarray, np.ndarray]:
    x, norms = over_noise(run, what)
    return x, np.log(norms)


def hessian_norm(found: Found) -> list[Point]:
    (run,) = found.values()
    losses = np.log(over_noise(run, "loss")[1])
    points = []
    unit = "‖H‖_F of the same function with weights of length 1"
    for what, told in (("norm", "‖H‖_F"), ("unit", unit)):
        x, y = log_norm(run, what)
        fall = math.exp(y[x == x.min()].mean() - y[x == x.max()].mean())
        told += f" (falls {fall:.1f} times over the range of η/S)"
        points += [
            correlation(f"log {told} and log η/S", x, y, -1),
            correlation("at a fixed log loss (partial correlation)", x, y, -1, losses),
        ]
    return points


def validation(found: Found) -> list[Point]:
    (run,) = found.values()
    return [correlation("test accuracy and log η/S", *over_noise(run, "accuracy"), 1)]


def both(found: Found) -> list[Point]:
    (run,) = found.values()
    return [correlation("log ‖H‖_F and log η/S", *log_norm(run), -1), *validation(found)]


def peak(found: Found) -> list[Point]:
    (run,) = found.values()
    table = np.stack([run[f"accuracy_{k}"] for k in PEAK])  # (eta / S, seeds)
    best = table.max(0)
    where = ", ".join(f"2^-{PEAK[place]}" for place in table.argmax(0))
    return [
        rules.above(f"best accuracy (at η/S = {where}) minus that at 2^-{PEAK[0]}", best - table[0], 1),
        rules.above(f"minus that at 2^-{PEAK[-1]}", best - table[-1], 1),
    ]  # fmt: skip


def sharper_end(found: Found) -> list[Point]:
    (run,) = found.values()
    points = []
    for place, name in list(enumerate(PARTNERS))[:2]:
        ratio = run[f"curvature_{place}"] / run[f"curvature_first_{place}"]
        points += [
            rules.above(f"{name}: curvature along the line, over that at the other end", ratio, 1),
            rules.above("‖H‖_F likewise", run[f"norm_{place}"] / run["norm"], 1),
        ]
    return points


def same_width(found: Found) -> list[Point]:
    (run,) = found.values()
    points = []
    for place, name in list(enumerate(PARTNERS))[2:]:
        pairs = {
            f"{name}: curvature along the line, larger end over smaller": (
                run[f"curvature_{place}"],
                run[f"curvature_first_{place}"],
            ),
            "‖H‖_F likewise": (run[f"norm_{place}"], run["norm"]),
        }
        for what, (a, b) in pairs.items():
            points.append(rules.below(what, np.exp(abs(np.log(a / b))), 2))
    return points


def table(run, what: str) -> np.ndarray:
    """A curve's column over its epochs, (epochs, seeds)."""
    columns = sorted(
        (c for c in run if c.startswith(f"{what}_")), key=lambda c: int(c.split("_")[1])
    )
    values = np.stack([run[c] for c in columns])
    return values[np.isfinite(values).all(1)]


def apart(one, other) -> np.ndarray:
    """Mean over epochs of |log loss - log loss|, for each seed."""
    return abs(np.log(table(one, "loss")) - np.log(table(other, "loss"))).mean(0)


def seeds_apart(run) -> np.ndarray:
    """The same between each seed and the next one."""
    losses = np.log(table(run, "loss"))
    return abs(losses - np.roll(losses, 1, axis=1)).mean(0)


def closer(what: str, distances: np.ndarray, yardstick: np.ndarray, name: str) -> Point:
    found = f"{rules.mean_sd(distances)} against {rules.mean_sd(yardstick)}"
    return rules.every_seed(
        what, found, f"at most that {name}, in each seed", distances <= yardstick
    )


def in_place(found: Found) -> list[Point]:
    first, *others = found.items()
    other_seed = seeds_apart(first[1])
    return [
        closer(f"{name}: mean |Δ log loss|", apart(first[1], run), other_seed, "of another seed")
        for name, run in others
    ]


def exchanged(found: Found) -> list[Point]:
    eta, size, constant = (found[name] for name in ("cyclic η", "cyclic S", "constant"))
    distance = apart(eta, size)
    what = "mean |Δ log loss|, cyclic η to cyclic S"
    return [
        closer(what, distance, apart(eta, constant), "to constant η and S"),
        closer("the same", distance, seeds_apart(eta), "of another seed"),
    ]


def accuracy_change(found: Found, n_train: int, c: int) -> np.ndarray:
    one, many = (found[f"n = {n_train}, c = {f}"] for f in (1, c))
    return abs(table(one, "accuracy") - table(many, "accuracy")).mean(0)


def breakdown(found: Found) -> list[Point]:
    points = []
    for n_train in (1024, 4096):
        change = accuracy_change(found, n_train, FACTORS[-1])
        what = f"n = {n_train}, c = {FACTORS[-1]}: mean change of test accuracy, points"
        points.append(rules.above(what, change, BROKEN))
    return points


def crossing(changes: np.ndarray) -> float:
    """The c at which changes (one for each of FACTORS, 0 first) pass BROKEN, linear in log c."""
    over = changes > BROKEN
    if not over.any():
        return 2.0 * FACTORS[-1]
    place = int(over.argmax())
    share = (BROKEN - changes[place - 1]) / (changes[place] - changes[place - 1])
    return FACTORS[place - 1] * (FACTORS[place] / FACTORS[place - 1]) ** share


def earlier(found: Found) -> list[Point]:
    first = {}
    for n_train in (1024, 4096):
        changes = np.stack([accuracy_change(found, n_train, c) for c in FACTORS])
        first[f"n = {n_train}"] = np.array([crossing(column) for column in changes.T])
    what = f"c from which test accuracy changes by more than {BROKEN} points"
    return [rules.rising(what, first)]


def wider(found: Found) -> list[Point]:
    points = []
    for against in ("baseline", SCHEDULES[4]):
        for name in CYCLIC:
            mine, theirs = found[name]["norm"], found[against]["norm"]
            text = f"{rules.mean_sd(mine)} against {rules.mean_sd(theirs)}"
            what = f"‖H‖_F, {name} against {against},"
            points.append(rules.every_seed(what, text, "smaller, in each seed", mine < theirs))
    return points


def better(found: Found) -> list[Point]:
    points = []
    for against in ("baseline", SCHEDULES[4]):
        for name in CYCLIC:
            gains = found[name]["accuracy_percent"] - found[against]["accuracy_percent"]
            points.append(rules.gain(f"test accuracy, {name} minus {against},", gains, " points"))
    return points


def memorized(found: Found) -> list[Point]:
    (run,) = found.values()
    low, *_, high = (run[f"accuracy_{rate:g}"] for rate in MEMORY_RATES)
    levels = f"{100 * LEVELS[0]:g} to {100 * LEVELS[1]:g} % memorized"
    middle = rules.mean_sd(run[f"accuracy_{MEMORY_RATES[1]:g}"])
    what = f"test accuracy at {levels}, highest η/S minus lowest (mid {middle}),"
    return [rules.gain(what, high - low, " points")]


def lies_on_gibbs(found: Found) -> list[Point]:
    return [
        rules.below(f"{name}: total variation distance", run["distance"], 0.05)
        for name, run in found.items()
    ]


def only_ratio(found: Found) -> list[Point]:
    (_, first), *others = found.items()
    return [
        rules.within(
            f"share of runs in the wide well, {name} minus {next(iter(found))},",
            run["wide_share"] - first["wide_share"],
            0,
            0.02,
        )
        for name, run in others
    ]


def width_over_depth(found: Found) -> list[Point]:
    series = {name: run["wide_share"] for name, run in found.items()}
    return [rules.rising("share of runs in the wide, shallow well", series)]


def basin_ratio(found: Found) -> list[Point]:
    return [
        rules.near(
            f"{name}: p_deep/p_wide", run["deep_over_wide"], float(run["basin_ratio"][0]), 15
        )
        for name, run in found.items()
    ]


def invariant(found: Found) -> list[Point]:
    (run,) = found.values()
    named = {
        "one matrix at both minima": "linear",
        "(2θ₁, θ₂/2) at both": "layers",
        "at A alone, θ₁ and θ₂ of one size": "twin",
        "at A alone, θ₁ larger by two": "unequal_twin",
        "x + x³/10": "nonlinear",
    }
    return [
        rules.below(f"{what}: |new ratio over old - 1|", abs(run[column] - 1), 1e-4)
        for what, column in named.items()
    ]


def isotropic(found: Found) -> list[Point]:
    return [
        rules.above(
            f"{name}: (tr C)²/tr C², which is p = {run['parameters'][0]:g} for σ²I,",
            run["participation"],
            run["parameters"][0] / 2,
        )
        for name, run in found.items()
    ]
