"""How chapter 06's numbers are judged."""

import numpy as np
from ledger import rules
from ledger.rules import Found, Point

HIGH = 5  # points of training error above the ends that count as a barrier
LOW = 1  # points of error above the worse end that count as none
SHARE = 0.1  # of the line's barrier that a path of near-constant loss may have


def above_ends(run: dict, kind: str, what: str) -> np.ndarray:
    return run[f"{kind}_max_{what}_error_percent"] - run[f"end_{what}_error_percent"]


def barrier(run: dict, kind: str = "line") -> list[Point]:
    """The line's loss rises to ten times that of the ends and more, its error by HIGH points."""
    what = f"highest loss on the {kind} over that at the worse end"
    over = "highest training error minus the worse end's, points"
    return [
        rules.above(what, run[f"{kind}_max_loss"] / run["end_loss"], 10),
        rules.above(over, above_ends(run, kind, "train"), HIGH),
    ]


def line(found: Found) -> list[Point]:
    (run,) = found.values()
    return barrier(run)


def three(found: Found) -> list[Point]:
    (run,) = found.values()
    return [
        rules.above(f"barrier between networks {a} and {b}", run[f"barrier_{k}"], 0.1)
        for k, (a, b) in enumerate(((1, 2), (1, 3), (2, 3)))
    ]


def near_constant(kind: str, found: Found) -> list[Point]:
    (run,) = found.values()
    text = " against ".join(rules.mean_sd(run[f"{k}_barrier"]) for k in (kind, "line"))
    what = f"barrier of the curve against the line's, {text}; its share"
    return [
        rules.below(what, run[f"{kind}_barrier"] / run["line_barrier"], SHARE),
        rules.below("highest training error minus the worse end's, points", above_ends(run, kind, "train"), LOW),
    ]  # fmt: skip


def low_test(found: Found) -> list[Point]:
    (run,) = found.values()
    return [
        rules.below(f"{kind}: highest test error minus the worse end's, points", above_ends(run, kind, "test"), LOW)
        for kind in ("chain", "bezier")
    ]  # fmt: skip


def wide(found: Found) -> list[Point]:
    falling = dict(reversed(found.items()))
    return [
        rules.rising("barrier of the line", {n: run["line_barrier"] for n, run in falling.items()}),
        rules.rising(
            "highest test error on the line minus the worse end's, points",
            {name: above_ends(run, "line", "test") for name, run in falling.items()},
        ),
    ]


def aligned(found: Found) -> list[Point]:
    points = []
    for name, run in found.items():
        text = " against ".join(rules.mean_sd(run[f"{k}_barrier"]) for k in ("aligned", "line"))
        what = f"{name}: barrier after alignment against before, {text}; its share"
        points.append(rules.below(what, run["aligned_barrier"] / run["line_barrier"], 0.5))
    return points


def small_large(found: Found) -> list[Point]:
    (run,) = found.values()
    ratio = run["second_sharpness"] / run["first_sharpness"]
    gone = run["line_max_loss"] / run["end_loss"]
    return [
        rules.above("λ_max, large batch over small batch", ratio, 1),
        rules.above("highest loss on the line over that at the worse end", gone, 10),
        *(
            rules.below(f"{kind}: barrier, share of the line's", run[f"{kind}_barrier"] / run["line_barrier"], SHARE)
            for kind in ("chain", "bezier")
        ),
    ]  # fmt: skip


def error_gain(what: str, worse: np.ndarray, better: np.ndarray) -> Point:
    errors = f"{worse.mean():.2f} and {better.mean():.2f} %"
    return rules.gain(f"test error, {what} ({errors}),", worse - better, " points")


def ensembles(pairs: list[tuple[str, str, str, str]], found: Found) -> list[Point]:
    """For each (name, column, name, column): the first's test error and loss are higher than the second's."""
    (run,) = found.values()
    points = []
    for a, one, b, other in pairs:
        errors, losses = (
            [run[f"{n}_{what}"] for n in (one, other)] for what in ("error_percent", "loss")
        )
        text = " and ".join(f"{loss.mean():.3g}" for loss in losses)
        points += [
            error_gain(f"{a} minus {b}", *errors),
            rules.gain(f"test loss likewise ({text}),", losses[0] - losses[1], ""),
        ]
    return points


def statistics(found: Found) -> list[Point]:
    (run,) = found.values()
    fresh, stale = (run[f"{kind}_max_test_error_percent"] for kind in ("fresh", "stale"))
    text = " against ".join(map(rules.mean_sd, (stale, fresh)))
    return [
        rules.above(f"highest test error on the curve, not re-estimated against re-estimated, {text}; difference", stale - fresh, HIGH),
        rules.above("highest training loss likewise, quotient", run["stale_max_loss"] / run["fresh_max_loss"], 2),
        rules.below("re-estimated: barrier, share of the line's", run["fresh_barrier"] / run["line_barrier"], SHARE),
    ]  # fmt: skip
