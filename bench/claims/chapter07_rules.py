"""How chapter 07's numbers are judged. NaN in `fit` and `rule` stands for: never in this budget."""

import math
from collections.abc import Mapping

import numpy as np
from ledger import rules
from ledger.rules import Found, Point

FAR = 10  # times the steps of the fit that count as far beyond it
KNOWN = 95  # percent
GUESS = 100 / 31
FALLEN = 0.9  # of a number, to count as fallen


def told(steps: np.ndarray) -> str:
    """The mean over the seeds that got there, and how many did not."""
    known = steps[~np.isnan(steps)]
    if len(known) == len(steps):
        return rules.mean_sd(steps)
    if not len(known):
        return "never"
    return f"{known.mean():.4g}, never in {len(steps) - len(known)} of {len(steps)}"


def later(what: str, series: Mapping[str, np.ndarray]) -> Point:
    """In every seed each step is later than the one before; what never happens is later than all that does."""
    table = np.stack([np.where(np.isnan(steps), np.inf, steps) for steps in series.values()])
    found = ", ".join(f"{told(steps)} ({name})" for name, steps in series.items())
    return rules.every_seed(
        what, found, "rising, in each seed", (table[1:] > table[:-1]).all(axis=0)
    )


def delay(run: Mapping[str, np.ndarray]) -> np.ndarray:
    return run["rule"] - run["fit"]


def far_beyond(name: str, run: Mapping[str, np.ndarray]) -> Point:
    """Generalisation takes FAR times the steps of the fit, and comes."""
    ratio = run["rule"] / run["fit"]
    found = f"{told(run['fit'])} and {told(run['rule'])}, quotient {told(ratio)}"
    return rules.every_seed(
        f"{name}steps to 95 % of the training and of the test cells", found, f"more than {FAR}", ratio > FAR
    )  # fmt: skip


def grokked(found: Found) -> list[Point]:
    (run,) = found.values()
    return [
        far_beyond("", run),
        rules.below(
            f"test accuracy at the fit, % (guessing: {GUESS:.1f})", run["test_at_fit_percent"], 10
        ),
        rules.above("test accuracy in the end, %", run["test_percent"], KNOWN),
    ]


def operations(found: Found) -> list[Point]:
    return [far_beyond(f"{name}: ", run) for name, run in found.items()]


def random_walk(found: Found) -> list[Point]:
    points = []
    for name, run in found.items():
        share = run["path"] / np.sqrt(run["moves"])
        n = f"{run['moves'].mean():.0f} moves of 50 steps after the fit"
        points += [
            rules.within(f"{name}: cosine of neighbors among {n}", run["cosine"], 0, 0.1),
            rules.near("path over distance, in parts of √n", share, 1, 25),
        ]
    return points


def quotient(run: Mapping[str, np.ndarray], name: str, start: str, end: str) -> np.ndarray:
    return run[f"{name}_{end}"] / run[f"{name}_{start}"]


def wider(found: Found) -> list[Point]:
    """λ_max and trace fall from zero training loss, and from the fit, to the rule."""
    points = []
    for name, run in found.items():
        losses = " and ".join(f"{run[f'loss_{place}'].mean():.2g}" for place in ("zero", "rule"))
        points += [
            rules.below(f"{name}: λ_max, rule over zero training loss (losses {losses})", quotient(run, "sharpness", "zero", "rule"), FALLEN),
            rules.below("tr H likewise", quotient(run, "trace", "zero", "rule"), FALLEN),
            rules.below("λ_max, end over zero training loss", quotient(run, "sharpness", "zero", "end"), FALLEN),
        ]  # fmt: skip
    return points


def wider_only_then(found: Found) -> list[Point]:
    """The first run generalizes; where another does not, its λ_max does not fall either."""
    points = []
    for name, run in list(found.items())[1:]:
        known = f"{name} (test accuracy in the end {rules.mean_sd(run['test_percent'])} %)"
        losses = " and ".join(f"{run[f'loss_{place}'].mean():.2g}" for place in ("zero", "end"))
        fall = quotient(run, "sharpness", "zero", "end")
        points.append(
            rules.above(f"{known}: λ_max, end over zero training loss (losses {losses})", fall, FALLEN)
        )  # fmt: skip
    return points


def flatter_generalizes(found: Found) -> list[Point]:
    """Runs with and without decay: who knows more test cells in the end has the flatter minimum."""
    decay, none = found.values()
    points = [
        rules.above("test accuracy in the end, with decay minus without, points", decay["test_percent"] - none["test_percent"], 0)
    ]  # fmt: skip
    for name, text in (("sharpness", "λ_max"), ("trace", "tr H")):
        pair = " against ".join(rules.mean_sd(run[f"{name}_end"]) for run in (decay, none))
        ratio = decay[f"{name}_end"] / none[f"{name}_end"]
        points.append(rules.below(f"{text} there, {pair}; quotient", ratio, 1))
    return points


def decays(found: Found) -> list[Point]:
    """Runs by falling decay."""
    return [later("steps from fit to rule", {name: delay(run) for name, run in found.items()})]


def inverse(decay: Mapping[str, float], found: Found) -> list[Point]:
    """log delay falls with log decay with a slope of -1."""
    x = np.log([decay[name] for name in found])
    y = np.log(np.stack([delay(run) for run in found.values()]))
    slopes = np.polyfit(x, y, 1)[0] if np.isfinite(y).all() else np.full(y.shape[1], math.nan)
    products = ", ".join(f"{(decay[n] * delay(run)).mean():.3g} ({n})" for n, run in found.items())
    return [
        rules.within(f"λ times delay: {products}; slope of log delay over log λ", slopes, -1, 0.25)
    ]


def never(found: Found) -> list[Point]:
    (run,) = found.values()
    return [
        rules.every_seed("step of 95 % of the test cells", told(run["rule"]), "never", np.isnan(run["rule"])),
        rules.below("test accuracy in the end, %", run["test_percent"], 2 * GUESS),
    ]  # fmt: skip


def fractions(found: Found) -> list[Point]:
    """Runs by falling fraction."""
    return [later("steps from fit to rule", {name: delay(run) for name, run in found.items()})]


def smallest(share: Mapping[str, float], found: Found) -> np.ndarray:
    """The smallest fraction of each seed from which on all runs generalize; NaN: not even the largest.

    Runs by falling fraction.
    """
    known = np.stack([~np.isnan(run["rule"]) for run in found.values()])
    reached = np.logical_and.accumulate(known).sum(axis=0)
    values = np.array([math.nan, *(share[name] for name in found)])
    return values[reached]


def critical(share: Mapping[str, float], found: Found) -> list[Point]:
    """Runs by falling fraction: the largest generalize, the smallest do not."""
    least = 100 * smallest(share, found)
    last = list(found)[-1]
    return [
        rules.above("smallest share of the table from which on all generalize, %", least, 100 * share[last]),
        rules.below(f"test accuracy in the end with {last}, %", found[last]["test_percent"], KNOWN),
        rules.above("training accuracy there, %", found[last]["train_percent"], KNOWN),
    ]  # fmt: skip


def halved(share: Mapping[str, float], found: Found) -> list[Point]:
    """Runs 'name of the decay, name of the fraction', fractions falling."""
    least = []
    for kind in dict.fromkeys(name.split(", ")[0] for name in found):
        part = {n.split(", ")[1]: run for n, run in found.items() if n.startswith(f"{kind}, ")}
        least.append((kind, 100 * smallest(share, part)))
    (one, without), (other, decayed) = least
    text = f"{told(without)} ({one}), {told(decayed)} ({other})"
    return [rules.above(f"smallest share that generalizes, %: {text}; quotient", without / decayed, 2)]  # fmt: skip


def norm_falls(found: Found) -> list[Point]:
    return [
        rules.below(f"{name}: |w|, rule over zero training loss", quotient(run, "weight_norm", "zero", "rule"), FALLEN)
        for name, run in found.items()
    ]  # fmt: skip


def concentrated(found: Found) -> list[Point]:
    points = []
    for name, run in found.items():
        for column, what in (
            ("participation", "frequencies that carry the embedding's power"),
            ("column_participation", "the same within a unit, mean"),
        ):
            values = {p: run[f"{column}_{p}"] for p in ("start", "fit", "rule")}
            text = ", ".join(f"{v.mean():.3g} ({p})" for p, v in values.items())
            ratio = values["rule"] / values["start"]
            points.append(rules.below(f"{name}: {what}, {text}; rule over start", ratio, 0.5))
    return points


def few_waves(found: Found) -> list[Point]:
    return [
        rules.below(f"{name}: frequencies, of 15, with 90 % of the power in the end", run["frequencies_end"], 5)
        for name, run in found.items()
    ]  # fmt: skip


def restricted(found: Found) -> list[Point]:
    (run,) = found.values()
    text = f"{rules.mean_sd(run['restricted_fit'])} at the fit; a list learned by heart has {rules.mean_sd(run['list_restricted'])}"
    return [
        later(f"restricted loss ({text}): step at which it, and then the test loss, is half of guessing's", {"restricted": run["restricted_half"], "test": run["test_loss_half"]}),
        later("step at which it is below that of such a list, and the test accuracy is 50 %", {"restricted": run["below_list"], "test": run["test_half"]}),
        rules.below("test accuracy where the averaged test outputs are right for 95 % of the results, %", run["test_at_read_percent"], 50),
    ]  # fmt: skip


def excluded(found: Found) -> list[Point]:
    (run,) = found.values()
    ratio = run["excluded_end"] / run["excluded_least"]
    text = f"{rules.mean_sd(run['excluded_least'])} and {rules.mean_sd(run['excluded_end'])}"
    return [
        rules.above(f"excluded loss at its lowest and in the end, {text}; quotient", ratio, 1.5),
        later("step of the lowest, and of the rule", {"lowest": run["excluded_least_step"], "rule": run["rule"]}),
    ]  # fmt: skip


def label_noise(found: Found) -> list[Point]:
    """Runs 'λ = ..., ... % wrong', by rising noise."""
    points = []
    for kind in dict.fromkeys(name.split(", ")[0] for name in found):
        part = {n.split(", ")[1]: run for n, run in found.items() if n.startswith(f"{kind}, ")}
        falling = dict(reversed(part.items()))
        points += [
            later(f"{kind}: steps from fit to rule", {n: delay(run) for n, run in part.items()}),
            rules.rising(f"{kind}: test accuracy in the end, %", {n: run["test_percent"] for n, run in falling.items()}),
        ]  # fmt: skip
    return points
