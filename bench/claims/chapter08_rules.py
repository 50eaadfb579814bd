"""How chapter 08's numbers are judged."""

from collections.abc import Mapping, Sequence

import numpy as np
from ledger import rules
from ledger.rules import Found, Point

from claims.chapter08_runs import SHARES, SIZES

NEAR = 5  # percent of n
HIGH = 1.1  # times what lies to both sides that counts as a peak of a network's risk
ERROR = 1.02  # a curve that rises by less between two points falls within the error


def worst_rise(values: Sequence[np.ndarray]) -> np.ndarray:
    """The largest quotient of a value and the lowest before it, for each seed."""
    table = np.stack(values)
    return (table[1:] / np.minimum.accumulate(table)[:-1]).max(axis=0)


def listed(columns: Mapping[str, np.ndarray]) -> str:
    """Medians, since a peak in one seed can be a thousand times that of another."""
    text = ", ".join(f"{np.median(values):.3g} ({name})" for name, values in columns.items())
    return f"medians {text}"


def pair(first: np.ndarray, second: np.ndarray) -> str:
    return f"{rules.mean_sd(first)} and {rules.mean_sd(second)}"


def smaller(what: str, values: np.ndarray, than: np.ndarray) -> Point:
    return rules.every_seed(what, pair(values, than), "the first smaller, in each seed", values < than)  # fmt: skip


def u_shaped(found: Found) -> list[Point]:
    points = []
    for name, run in found.items():
        what = f"{name}: test risk, lowest below n (N = {rules.mean_sd(run['valley_at'])}), and at N = n/50"
        points += [
            smaller(what, run["valley"], run["first"]),
            rules.above("at N = 0.9 n, over the lowest", run["beside"] / run["valley"], 2),
        ]
    return points


def peak(n: int, found: Found) -> list[Point]:
    points = []
    for name, run in found.items():
        points += [
            rules.below(f"{name}: highest test risk {np.median(run['peak']):.3g} (median) at N = {rules.mean_sd(run['peak_at'])}; distance from n, %", 100 * abs(run["peak_at"] / n - 1), NEAR),
            rules.below(f"highest test error {run['error_peak_percent'].mean():.3g} % at N = {rules.mean_sd(run['error_peak_at'])}; the same", 100 * abs(run["error_peak_at"] / n - 1), NEAR),
        ]  # fmt: skip
    return points


def zero_risk(n: int, found: Found) -> list[Point]:
    points = []
    for name, run in found.items():
        points += [
            rules.below(f"{name}: interpolates from N = {rules.mean_sd(run['threshold'])} on; highest training risk from N = n on", run["most_train_beyond"], 1e-8),
            rules.above("lowest below n", run["least_train_below"], 1e-8),
        ]  # fmt: skip
    return points


def second_valley(found: Found) -> list[Point]:
    points = []
    for name, run in found.items():
        points += [
            smaller(f"{name}: test risk at the last N, and lowest below n", run["last"], run["valley"]),
            smaller("test error, %, likewise", run["last_error_percent"], run["valley_error_percent"]),
        ]  # fmt: skip
    return points


def norm(n: int, found: Found) -> list[Point]:
    points = []
    for name, run in found.items():
        places = {place: run[f"norm_{place}"] for place in ("valley", "peak", "last")}
        points += [
            rules.below(f"{name}: norm of the coefficients {listed(places)}; distance of its peak from n, %", 100 * abs(run["norm_peak_at"] / n - 1), NEAR),
            rules.below("norm at the last N, over its peak", places["last"] / places["peak"], 0.5),
        ]  # fmt: skip
    return points


def label_noise(found: Found) -> list[Point]:
    """Runs by rising noise."""
    return [
        rules.rising("test risk at N = 0.9 n", {name: run["beside"] for name, run in found.items()}),
        rules.rising("at its peak", {name: run["peak"] for name, run in found.items()}),
    ]  # fmt: skip


def flat_features(found: Found) -> list[Point]:
    """λ_max of the features' loss has a peak at N = n."""
    points = []
    for name, run in found.items():
        places = {place: run[f"sharpness_{place}"] for place in ("half", "n", "double")}
        around = np.maximum(places["half"], places["double"])
        text = listed({"n/2": places["half"], "n": places["n"], "2n": places["double"]})
        points.append(
            rules.above(f"{name}: λ_max {text}; at n over the larger neighbor", places["n"] / around, HIGH)
        )  # fmt: skip
    return points


def curve(run: Mapping[str, np.ndarray], kind: str, places: Sequence) -> list[np.ndarray]:
    return [run[f"{kind}_{place}"] for place in places]


def ends(run: Mapping[str, np.ndarray], kind: str, places: Sequence) -> str:
    return listed({f"{p:g}": run[f"{kind}_{p}"] for p in (places[0], places[-1])})


def ridge_curve(kind: str, found: Found) -> list[Point]:
    """The test risk over N with the best penalty, or that of cross-validation."""
    points = []
    for name, run in found.items():
        risks = curve(run, kind, SHARES)
        text = f"{name}: test risk without penalty {rules.mean_sd(run['plain_1'])} at N = n, with it {rules.mean_sd(run[f'{kind}_1'])}"
        points.append(rules.below(f"{text}, {ends(run, kind, SHARES)} at multiples of n; largest rise, factor", worst_rise(risks), ERROR))  # fmt: skip
    return points


def cross_validation(found: Found) -> list[Point]:
    points = []
    for name, run in found.items():
        over = np.stack(curve(run, "gcv", SHARES)) / np.stack(curve(run, "best", SHARES))
        points.append(
            rules.below(f"{name}: test risk over the best of 13 penalties, the worst N", over.max(axis=0), 1.05)
        )  # fmt: skip
    return points + ridge_curve("gcv", found)


def more_samples(count: int, found: Found) -> list[Point]:
    points = []
    half, double = count // 2, 2 * count
    for name, run in found.items():
        text = listed({f"{n}": run[f"plain_{n}"] for n in (half, count, double)})
        points += [
            rules.above(f"{name}: test risk {text}; {count} samples over {half}", run[f"plain_{count}"] / run[f"plain_{half}"], HIGH),
            rules.below(f"{double} over {half}", run[f"plain_{double}"] / run[f"plain_{half}"], 1),
        ]  # fmt: skip
    return points


def samples_help(found: Found) -> list[Point]:
    """With the best penalty the risk falls with the number of samples."""
    return [
        rules.below(f"{name}: test risk {ends(run, 'best', SIZES)}; largest rise, factor", worst_rise(curve(run, "best", SIZES)), ERROR)
        for name, run in found.items()
    ]  # fmt: skip


def variance_peaks(found: Found) -> list[Point]:
    points = []
    for name, run in found.items():
        variances = np.stack(curve(run, "variance", SHARES))
        text = listed({f"{s:g} n": run[f"variance_{s}"] for s in (0.1, 0.4, 0.9, 1, 2, 10)})
        share = run["variance_1"] / run["risk_1"]
        points += [
            rules.below(f"{name}: variance {text}; place of its peak, distance from n, %", 100 * abs(np.array(SHARES)[variances.argmax(axis=0)] - 1), NEAR),
            rules.above("its share of the risk at N = n", share, 0.9),
            rules.below("at 10 n, over 0.4 n", run["variance_10"] / run["variance_0.4"], 1),
        ]  # fmt: skip
    return points


def trade_off(found: Found) -> list[Point]:
    """The classical picture: the bias falls with the model's size, and the variance rises."""
    points = []
    for name, run in found.items():
        below = [share for share in SHARES if share < 1]
        biases = {f"{s:g} n": run[f"bias_{s}"] for s in (0.1, 0.4, 2, 10)}
        points += [
            rules.rising(f"{name}: variance below n", {f"{s:g} n": run[f"variance_{s}"] for s in below}),
            rules.rising("squared bias, from many features to few", dict(reversed(biases.items()))),
            rules.above("variance at 10 n, over n", run["variance_10"] / run["variance_1"], 1),
        ]  # fmt: skip
    return points


def by_width(found: Found, column: str) -> np.ndarray:
    """(widths, seeds), runs by rising width."""
    return np.stack([run[column] for run in found.values()])


def inner_peak(found: Found) -> tuple[np.ndarray, np.ndarray]:
    """The highest test risk right of the lowest before it: its place, and the lowest to its left, for each seed.

    The place is the width at which the risk stands highest over the lowest of all narrower widths.
    """
    risks = by_width(found, "test_risk")
    before = np.minimum.accumulate(risks)[:-1]
    place = (risks[1:] / before).argmax(axis=0) + 1
    return place, np.take_along_axis(before, place[None] - 1, 0)[0]


def width_peak(asked: int, found: Found) -> list[Point]:
    risks, parameters = (by_width(found, column) for column in ("test_risk", "parameters"))
    place, valley = inner_peak(found)
    highest, weights = (np.take_along_axis(t, place[None], 0)[0] for t in (risks, parameters))
    text = listed({name: run["test_risk"] for name, run in found.items()})
    return [
        rules.above(f"test risk {text}; peak over the lowest to its left", highest / valley, HIGH),
        rules.above("peak over the widest", highest / risks[-1], HIGH),
        rules.below(f"weights at the peak, {rules.mean_sd(weights)}, over the {asked} numbers asked; factor between them", np.exp(abs(np.log(weights / asked))), 2),
    ]  # fmt: skip


def width_valley(found: Found) -> list[Point]:
    """Runs 'labels, width', by rising width: the widest against the lowest left of the peak."""
    points = []
    for kind in dict.fromkeys(name.split(", ")[0] for name in found):
        part = {n: run for n, run in found.items() if n.startswith(f"{kind}, ")}
        place, valley = inner_peak(part)
        errors = by_width(part, "test_error_percent")
        narrow = np.array([errors[:p, seed].min() for seed, p in enumerate(place)])
        points += [
            smaller(f"{kind}: test risk of the widest, and the lowest left of the peak", by_width(part, "test_risk")[-1], valley),
            smaller("test error, %, likewise", errors[-1], narrow),
        ]  # fmt: skip
    return points


def early_stopping(found: Found) -> list[Point]:
    lowest = {name: run["lowest"] for name, run in found.items()}
    place, _ = inner_peak(found)
    risks = by_width(found, "test_risk")
    stopped = np.take_along_axis(by_width(found, "lowest"), place[None], 0)[0]
    at_end = np.take_along_axis(risks, place[None], 0)[0]
    return [
        rules.below(f"lowest test risk along the training {listed(lowest)}; largest rise with the width, factor", worst_rise(list(lowest.values())), ERROR),
        smaller("at the width of the peak, with and without stopping", stopped, at_end),
    ]  # fmt: skip


def epochs(found: Found) -> list[Point]:
    points = []
    for name, run in found.items():
        rise, fall = run["highest_after"] / run["lowest"], run["test_risk"] / run["highest_after"]
        points += [
            rules.above(f"{name}: test risk at its highest after the lowest (step {rules.mean_sd(run['lowest_step'])}), over the lowest", rise, HIGH),
            rules.below("at the end, over that", fall, 0.9),
        ]  # fmt: skip
    return points


def sharp_networks(found: Found) -> list[Point]:
    values, risks = by_width(found, "sharpness"), by_width(found, "test_risk")
    place, _ = inner_peak(found)
    same = values.argmax(axis=0) == place
    text = listed({name: run["sharpness"] for name, run in found.items()})
    ranks = [spearman(values[:, k], risks[:, k]) for k in range(values.shape[1])]
    return [
        rules.every_seed(f"λ_max {text}", f"highest at the risk's peak in {same.sum()} of {len(same)}", "in each seed", same),
        rules.above("rank correlation of λ_max and test risk over the widths", np.array(ranks), 0.5),
    ]  # fmt: skip


def spearman(a: np.ndarray, b: np.ndarray) -> float:
    """Of values without ties."""
    ranks = [values.argsort().argsort() for values in (a, b)]
    return float(np.corrcoef(*ranks)[0, 1])


def short_networks(found: Found) -> list[Point]:
    """Beyond the peak the norm falls with the width."""
    norms, (place, _) = by_width(found, "norm"), inner_peak(found)
    at_peak = np.take_along_axis(norms, place[None], 0)[0]
    text = listed({name: run["norm"] for name, run in found.items()})
    return [
        rules.below(
            f"norm of the weights {text}; the widest over the peak's", norms[-1] / at_peak, 1
        )
    ]
