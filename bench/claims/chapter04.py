"""Chapter 04: heavy tails. The slides of Şimşekli, 'A tail-index analysis of gradient noise'."""

from functools import partial

from ledger.rules import Claim, Runs

from claims import chapter04_rules as judge
from claims.chapter04_runs import EXITS, ITERATIONS, STABLE, TAILS

TITLE = "Chapter 04: heavy tails"
SETTING = (
    "Fully connected ReLU network, two hidden layers of 32 where a row names no other, the first 1000 Fashion-MNIST "
    "images, cross-entropy, 20 epochs of SGD (η = 0.1, batches of 32). Gradients of 60 minibatches of 10 minus the full "
    "gradient; α̂ over all their entries, row after row, k1 = √K. Beside each α̂ stand two Gaussian controls: noise of the "
    "same variance in each coordinate, and of the same covariance. 'Without scale and correlation': each coordinate "
    "divided by its root mean square, all entries in random order. Exit times: 400 runs in L = h(x/r)² on [-r, r]."
)
SLIDES = "A tail-index analysis of stochastic gradient noise (Şimşekli)"
NO = "no number"
BASE = {"data": 0, "loss": 0, "width": 32, "depth": 2, "batch_size": 10, "epochs": 20}
BROWNIAN = {"alpha": 2, "sigma": 0.8, "learning_rate": 0.005}
LEVY = {"alpha": 1.5, "sigma": 0.2, "learning_rate": 0.05}
HEIGHTS, LOW_HEIGHTS, HALF_WIDTHS = [1, 2, 3, 4], [1, 2, 4], [1, 2, 4, 8]


def exits(process: dict, heights: list[float], half_widths: list[float]) -> dict[str, Runs]:
    return {
        f"h = {h:g}, r = {r:g}": Runs(EXITS, process | {"height": h, "half_width": r})
        for h in heights
        for r in half_widths
    }


def index_claim(name: str, title: str, what: str, setting: str, values: dict) -> Claim:
    return Claim(
        f"tail-{name}", f"{SLIDES}, '{title}'", f"α̂ is far below 2 {what}.", NO,
        {label: Runs(TAILS, BASE | {setting: value}) for label, value in values.items()},
        judge.below_controls,
    )  # fmt: skip


SIZES = {f"B = {b}": Runs(TAILS, BASE | {"batch_size": b}) for b in (1, 10, 50, 250)}
CLAIMS = (
    index_claim(
        "width", "Network size", "at every width", "width", {f"width {w}": w for w in (16, 32, 64, 128)}
    ),
    index_claim(
        "depth", "Network size", "at every depth", "depth",
        {f"{d} hidden layer{'s' * (d > 1)}": d for d in (1, 2, 4, 8)},
    ),
    index_claim(
        "loss", "Empirical study", "with cross-entropy and with the linear hinge loss", "loss",
        {"cross-entropy": 0, "hinge": 1},
    ),
    index_claim(
        "data", "Empirical study", "on each data set", "data", {"Fashion-MNIST": 0, "CIFAR-10": 1}
    ),
    Claim(
        "tail-batch", f"{SLIDES}, 'Minibatch size'",
        "With larger minibatches the behavior does not become Gaussian.", NO, SIZES, judge.never_gaussian,
        note="The last point is at B = 250. Batches are drawn without replacement from 1000 images.",
    ),
    Claim(
        "tail-clt", f"{SLIDES}, 'Main question'",
        "By the central limit theorem the noise of large minibatches is Gaussian (the assumption that the slides question).",
        NO, SIZES, judge.central_limit,
    ),
    Claim(
        "tail-jumps", f"{SLIDES}, 'Curious jumps'",
        "α̂ jumps early in training.", NO,
        {"run": Runs(ITERATIONS, {"width": 32, "depth": 2, "batch_size": 50})}, judge.jumps,
        note="Minibatches of 50, at steps 0, 1, 3, 10, 30, 100, 200, 300, 600, 1000 of one run.",
    ),
    Claim(
        "non-gaussian", f"{SLIDES}, 'Conclusions'",
        "SGD noise is highly non-Gaussian.", NO, {"B = 10": SIZES["B = 10"]}, judge.non_gaussian,
    ),
    Claim(
        "alpha-stable", f"{SLIDES}, 'Conclusions'",
        "The α-stable assumption seems more appropriate.", NO, {name: SIZES[name] for name in ("B = 1", "B = 50")},
        judge.stable,
        note="Means of stable draws have the tails of one draw, whatever B, and no fourth moment.",
    ),
    Claim(
        "estimator", f"{SLIDES}, 'Empirical study'",
        "The estimator finds α; α = 2 is Gaussian.", NO,
        {f"α = {a:g}": Runs(STABLE, {"alpha": a, "size": 1_000_000}) for a in (1.0, 1.5, 2.0)}, judge.recovered,
        note="Independent draws of one stable law, a million.",
    ),
    Claim(
        "exit-height", f"{SLIDES}, 'Some issues'",
        "With Brownian noise the exit time is exponential in the height.", "exp(h/σ²)", exits(BROWNIAN | {"learning_rate": 0.001}, HEIGHTS, [1]),
        partial(judge.in_height, HEIGHTS, BROWNIAN["sigma"]),
        note="σ = 0.8, steps of 0.001 (at 0.005 the iterates, which look only at the end of a step, stay half as long again at h = 4). d log τ/dh tends to 1/σ² = 1.56 only for high wells; judged by the slope of the exact mean times of this well, a double integral.",
    ),
    Claim(
        "exit-width", f"{SLIDES}, 'Some issues'",
        "and polynomial in the width.", "poly(width)", exits(BROWNIAN, [1], HALF_WIDTHS),
        partial(judge.in_width, HALF_WIDTHS, 2.0),
        note="The slide names no power; x → rx makes it 2 exactly.",
    ),
    Claim(
        "exit-levy-height", f"{SLIDES}, 'New framework and implications'",
        "With Lévy noise the exit time does not depend on the height.", "0", exits(LEVY, LOW_HEIGHTS, [1]),
        partial(judge.not_in_height, LOW_HEIGHTS), note="α = 1.5, σ = 0.2.",
    ),
    Claim(
        "exit-levy-width", f"{SLIDES}, 'New framework and implications'",
        "With Lévy noise it is polynomial in the width.", "width^α", exits(LEVY, [1], HALF_WIDTHS),
        partial(judge.in_width, HALF_WIDTHS, LEVY["alpha"]),
    ),
)  # fmt: skip
