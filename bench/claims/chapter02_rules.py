"""How chapter 02's numbers are judged, and the published numbers they are judged by."""

import numpy as np
from ledger import rules
from ledger.rules import Found, Point

from flatlab.stability import EscapeSystem, non_uniformity_bound, sharpness_bound

N, STOP_LOSS = 1000, 1e-4
# Sharpness and its standard deviation, from wu2018-fashionmnist-gd.csv
GD = {0.1: (19.62, 0.15), 0.5: (3.857, 0.025), 1.0: (1.925, 0.024), 5.0: (0.3968, 0.0022)}
# (learning rate, B): sharpness, sd, non-uniformity, sd, from wu2018-fashionmnist-sgd.csv
SGD = {
    (0.1, 10): (7.853, 0.33, 20.66, 0.65),
    (0.1, 100): (19.49, 0.28, 44.42, 1.3),
    (0.5, 4): (0.7322, 0.051, 2.268, 0.072),
    (0.5, 10): (1.234, 0.24, 4.317, 0.84),
    (0.5, 25): (2.301, 0.67, 7.941, 1.8),
    (0.5, 100): (3.737, 0.092, 12.66, 0.42),
    (1.0, 10): (0.6964, 0.017, 2.18, 0.089),
}
# The same files: test accuracy in percent, sd
TEST = {
    (0.5, 1000): (80.47, 0.19), (1.0, 1000): (80.79, 0.16), (5.0, 1000): (81.02, 0.18),
    (0.5, 4): (80.72, 0.22), (0.5, 10): (80.89, 0.24), (0.5, 25): (80.67, 0.53),
}  # fmt: skip
TEST_ERROR = 0.4  # points: the standard error of an accuracy of 80 % on 10,000 images
TABLE = [(0.5, 4), (0.5, 10), (0.5, 25), (0.5, 100), (0.5, N), (1.0, 10), (1.0, N), (5.0, N), (0.1, 10), (0.1, 100)]  # fmt: skip
MOMENTA = ((0.5, 0.5, 800), (0.9, 0.5, 800))  # beta, learning rate, steps


def named(learning_rate: float, batch_size: int) -> str:
    return f"η = {learning_rate:g}, B = {batch_size}"


def bound_share(found: Found, learning_rate: float, batch_size: int) -> np.ndarray:
    """s over its bound."""
    s = found[named(learning_rate, batch_size)]["non_uniformity"]
    return s / non_uniformity_bound(learning_rate, batch_size, N)


def gd(learning_rate: float, found: Found) -> list[Point]:
    a = found["gd"]["sharpness"]
    return [rules.near("λ_max", a, GD[learning_rate][0], 5)]


def sgd(learning_rate: float, batch_size: int, found: Found) -> list[Point]:
    a, a_sd, s, s_sd = SGD[learning_rate, batch_size]
    run = found["sgd"]
    return [
        rules.within_sd("λ_max", run["sharpness"], a, a_sd),
        rules.within_sd("s", run["non_uniformity"], s, s_sd),
    ]


def slide_row(accuracies: tuple[float, float], a: float, s: float, found: Found) -> list[Point]:
    run = found["gd"]
    return [
        rules.within("train", run["train_accuracy_percent"], accuracies[0], 1, " points"),
        rules.within("test", run["test_accuracy_percent"], accuracies[1], 1, " points"),
        rules.near("λ_max", run["sharpness"], a, 5),
        rules.near("s", run["non_uniformity"], s, 5),
    ]


def accuracies(found: Found) -> list[Point]:
    return [
        rules.within_sd(named(*pair), found[named(*pair)]["test_accuracy_percent"], *TEST[pair])
        for pair in TEST
    ]


def batch_size(found: Found) -> list[Point]:
    pairs = [(0.5, 4), (0.5, 10), (0.5, 25), (0.5, N)]
    return [
        rules.rising(what, {f"B = {b}": found[named(rate, b)][column] for rate, b in pairs})
        for what, column in (("λ_max", "sharpness"), ("s", "non_uniformity"))
    ]


def learning_rate(found: Found) -> list[Point]:
    points = []
    for what, batch_size, rates in (
        ("gradient descent", N, (5.0, 1.0, 0.5)),
        ("B = 10", 10, (1.0, 0.5, 0.1)),
    ):
        for symbol, column in (("λ_max", "sharpness"), ("s", "non_uniformity")):
            series = {f"η = {rate:g}": found[named(rate, batch_size)][column] for rate in rates}
            points.append(rules.rising(f"{what}, {symbol}", series))
    return points  # fmt: skip


def sharpness_unaffected(found: Found) -> list[Point]:
    ratio = found[named(0.5, 4)]["sharpness"] / found[named(0.5, N)]["sharpness"]
    return [rules.within("λ_max at B = 4 over λ_max at B = 1000", ratio, 1, 0.1)]


def proportional(found: Found) -> list[Point]:
    a = np.log(np.stack([run["sharpness"] for run in found.values()]))  # (minima, seeds)
    s = np.log(np.stack([run["non_uniformity"] for run in found.values()]))
    seeds = range(a.shape[1])
    correlation = np.array([np.corrcoef(a[:, i], s[:, i])[0, 1] for i in seeds])
    slope = np.array([np.polyfit(a[:, i], s[:, i], 1)[0] for i in seeds])
    ratio = np.exp(s - a)
    return [
        rules.above("correlation of log s and log λ_max", correlation, 0.9),
        rules.within("slope of log s on log λ_max", slope, 1, 0.1),
        rules.below("largest s/λ_max over smallest", ratio.max(axis=0) / ratio.min(axis=0), 1.5),
    ]


def bounds(pairs: list[tuple[float, int]], found: Found) -> list[Point]:
    a = np.max([found[named(*p)]["sharpness"] / sharpness_bound(p[0]) for p in pairs], axis=0)
    s = np.max([bound_share(found, *pair) for pair in pairs], axis=0)
    return [
        rules.below("largest λ_max over 2/η", a, 1.02),
        rules.below("largest s over its bound", s, 1.0),
    ]


def near_bounds(found: Found) -> list[Point]:
    shares = {f"B = {b}": bound_share(found, 0.5, b) for b in (4, 10, 25, 100)}
    return [
        rules.rising("s over its bound", shares),
        rules.above("at B = 100", shares["B = 100"], 0.8),
    ]


def longer(found: Found) -> list[Point]:
    sgd, gd = found[named(0.5, 10)]["steps"], found[named(0.5, N)]["steps"]
    return [
        rules.rising("steps", {"gradient descent": gd, "B = 10": sgd}),
        rules.rising("passes over the data", {"gradient descent": gd, "B = 10": sgd * 10 / N}),
    ]


def gd_against_sgd(found: Found) -> list[Point]:
    gd, sgd = found[named(0.5, N)], found[named(0.5, 4)]
    train = gd["train_accuracy_percent"] - sgd["train_accuracy_percent"]
    test = gd["test_accuracy_percent"] - sgd["test_accuracy_percent"]
    return [
        rules.above("train accuracy, gradient descent minus B = 4, points", train, 1),
        rules.gain("test accuracy, the same", test, " points"),
    ]


def escape(found: Found) -> list[Point]:
    run = found["escape"]
    bound = non_uniformity_bound(0.1, 4, N)
    return [
        rules.near("λ_max at the start", run["sharpness_start"], 19.7, 5),
        rules.above("s at the start, B = 4 allows", run["non_uniformity_start"], bound),
        rules.below("λ_max after 40 iterations", run["sharpness_40"], 10),
        rules.below("first step measured below 10", run["first_step_below_10"], 40),
        rules.below("λ_max after 3000 iterations", run["sharpness_end"], 10),
    ]


def escape_test(found: Found) -> list[Point]:
    points = []
    for name, run in found.items():
        gains = run["test_accuracy_end_percent"] - run["test_accuracy_start_percent"]
        points.append(rules.below(f"{name}: λ_max after 3000 steps", run["sharpness_end"], 10))
        points.append(rules.gain(f"{name}: test accuracy, end minus start,", gains, " points"))
        points.append(rules.above(f"{name}: the same", gains, TEST_ERROR))
    return points


def escape_1d(found: Found) -> list[Point]:
    run = found["1-D"]
    return [
        rules.above("s at x = 1", np.array([EscapeSystem().non_uniformity(1)]), 1 / 0.7),
        rules.above("mean-square multiplier at x = 1", run["multiplier_at_1"], 1),
        rules.near("growth measured over 4 steps", run["measured_growth_at_1"], 1.7476, 5),
        rules.above("runs of SGD at x = 0 after 300 steps, of 1000, %", run["sgd_at_0_percent"], 99),
    ]  # fmt: skip


def gd_1d(found: Found) -> list[Point]:
    run = found["1-D"]
    return [
        rules.above("factor |1 - ηa| at x = 1", run["gd_factor"], 1),
        rules.above("distance from x = 1 after 300 steps", run["gd_offset_from_1"], 0.5),
    ]


def momentum(found: Found) -> list[Point]:
    return [
        rules.near(f"β = {beta:g}: λ_max", found[f"β = {beta:g}"]["sharpness"], 2 * (1 + beta) / rate, 5)
        for beta, rate, _ in MOMENTA
    ]  # fmt: skip
