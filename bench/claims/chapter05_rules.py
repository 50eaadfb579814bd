"""How chapter 05's numbers are judged."""

import math

import numpy as np
from ledger import rules
from ledger.rules import Found, Point

FLATTER = 2  # times by which lambda_max has to be smaller to count as flat beside sharp
GUESSING = math.log(10)  # loss of a network that knows nothing of ten classes


def quotient(found: Found, column: str, other: str) -> np.ndarray:
    return found["SGD"][column] / found[other][column]


def error_gain(what: str, one: dict, other: dict) -> Point:
    """The test error of `one` minus that of `other` is positive by two standard errors."""
    difference = one["test_error_percent"] - other["test_error_percent"]
    errors = (
        f"{one['test_error_percent'].mean():.2f} and {other['test_error_percent'].mean():.2f} %"
    )
    return rules.gain(f"test error, {what} ({errors}),", difference, " points")


def flatter(name: str, found: Found) -> list[Point]:
    pair = " against ".join(rules.mean_sd(found[n]["sharpness"]) for n in ("SGD", name))
    what = f"λ_max, SGD against {name}, {pair}; SGD's over {name}'s"
    return [
        rules.above(what, quotient(found, "sharpness", name), FLATTER),
        rules.above("tr H likewise", quotient(found, "trace", name), 1),
    ]


def averaged(found: Found) -> list[Point]:
    return [*flatter("SWA", found), error_gain("SGD minus SWA", found["SGD"], found["SWA"])]


def narrower(found: Found) -> list[Point]:
    named = {"tr H": "trace", "‖H‖_F": "norm", "fifth eigenvalue": "fifth"}
    return [
        rules.above(f"{what}, SGD's over SAM's", quotient(found, column, "SAM"), FLATTER)
        for what, column in named.items()
    ]


def lower_error(found: Found) -> list[Point]:
    return [
        error_gain(f"SGD minus {name}", found["SGD"], run)
        for name, run in found.items()
        if name != "SGD"
    ]


def equal_time(found: Found) -> list[Point]:
    """The runs come as 'SGD, ...' and 'SAM, ...' in pairs."""
    settings = [name.removeprefix("SGD, ") for name in found if name.startswith("SGD, ")]
    return [
        error_gain(f"{s}, SGD with twice the epochs minus SAM", found[f"SGD, {s}"], found[f"SAM, {s}"])
        for s in settings
    ]  # fmt: skip


def early(found: Found) -> list[Point]:
    return [
        error_gain(f"{name} minus SAM", run, found["SAM"])
        for name, run in found.items()
        if name != "SAM"
    ]


def everywhere(found: Found) -> list[Point]:
    settings = [name.removeprefix("SGD, ") for name in found if name.startswith("SGD, ")]
    return [
        error_gain(f"{s}: SGD minus SAM", found[f"SGD, {s}"], found[f"SAM, {s}"]) for s in settings
    ]


def best_norm(exponents: list[str], found: Found) -> list[Point]:
    """Runs 'p = ..., ρ = ...': the radius of the lowest mean error for each p, then errors seed by seed."""
    best = {}
    for p in exponents:
        runs = {n: r for n, r in found.items() if n.startswith(f"p = {p}, ")}
        name = min(runs, key=lambda n: runs[n]["test_error_percent"].mean())
        best[p] = (name, runs[name])
    name, two = best["2"]
    return [
        error_gain(f"{other} minus {name}", run, two)
        for p, (other, run) in best.items()
        if p != "2"
    ]


def radius(found: Found) -> list[Point]:
    """Runs by rising ρ."""
    falling = dict(reversed(found.items()))
    sharp = {name: run["sharpness"] for name, run in falling.items()}
    errors = {name: run["test_error_percent"] for name, run in falling.items()}
    return [
        rules.rising("λ_max", sharp),
        rules.rising("test error, %", errors),
    ]


def first_order(found: Found) -> list[Point]:
    points = []
    for name, run in found.items():
        points += [
            rules.above(f"{name}: cosine of the gradients with and without the term", run["cosine"], 0.9),
            rules.below("the term's length over the gradient's", run["second_share"], 0.1),
        ]  # fmt: skip
    return points


def linear(found: Found) -> list[Point]:
    return [
        rules.above(f"{name}: share of the largest rise found in the ball", run["rise_share"], 0.9)
        for name, run in found.items()
    ]


def dropped(found: Found) -> list[Point]:
    first, exact = found["SAM"], found["exact SAM"]
    errors = first["test_error_percent"] - exact["test_error_percent"]
    return [
        rules.within("test error, without the term minus with it, points", errors, 0, 0.5),
        rules.near("λ_max likewise, quotient", first["sharpness"] / exact["sharpness"], 1, 25),
    ]


def theorem(found: Found) -> list[Point]:
    points = []
    for name, run in found.items():
        total, first = run["first"] + run["second"], run["first"]
        text = (
            f"L_S = {run['train_loss'].mean():.3g}, rise {(first - run['train_loss']).mean():.3g}, "
            f"h = {run['second'].mean():.3g}, ‖w‖² = {run['norm_squared'].mean():.3g}"
        )
        points += [
            rules.below(f"{name} ({text}): L_D minus both terms", run["test_loss"] - total, 0),
            rules.below("both terms (guessing: log 10)", total, GUESSING),
        ]
    sharp = {name: run["first"] - run["train_loss"] for name, run in reversed(found.items())}
    return [*points, rules.rising("sharpness, max L_S(w + ε) - L_S(w),", sharp)]


def twins(found: Found) -> list[Point]:
    (run,) = found.values()
    change = {kind: abs(np.log(run[f"{kind}_twin"] / run[kind])) for kind in ("sam", "asam")}
    return [
        rules.below("ASAM: |log of the twin's rise over the network's|", change["asam"], 0.01),
        rules.above("SAM: the same", change["sam"], math.log(2)),
    ]
