"""Chapter 07: grokking. The HSE seminar's slide after Power et al. (2022), and what others say of it."""

from functools import partial

from ledger.rules import Claim, Runs

from claims import chapter07_rules as judge
from claims.chapter07_runs import NOISE, PROGRESS, SCAN, TRANSFORMER
from flatlab.grokking import OPERATIONS

TITLE = "Chapter 07: grokking"
SETTING = (
    "a + b modulo 31 from one-hot pairs, half of the table to train on, the other half to test; a quadratic network of width 128 "
    "without biases, mean squared error, AdamW with the full batch, learning rate 0.01, β = (0.9, 0.98), weight decay λ = 0.05, 2000 "
    "steps, unless said. Transformer: one layer, width 32, 4 heads, cross-entropy, λ = 1, 1500 steps. A seed draws network and split. Fit and rule: 95 % of the training "
    "and of the test cells, for three looks in a row, one every 5 steps; zero training loss: 10⁻³ (cross-entropy: 10⁻²)."
)
SLIDE = "Sharpness-Aware Minimization, Mode Connectivity, ... (HSE), 'Grokking'"
POWER = "Power et al. (2022), cited there"
NANDA = "Nanda et al. (2023), not on the slides"
OMNIGROK = "Liu, Michaud and Tegmark (2023), not on the slides"
NO = "no number"
DECAY, FRACTION, STEPS, LONG = 0.05, 0.5, 2000, 5000
DECAYS = (3.0, 1.0, 0.3, 0.1, 0.05)
FRACTIONS = (0.7, 0.6, 0.5, 0.45, 0.4, 0.35, 0.3, 0.25)
LEVELS = (0, 0.05, 0.1, 0.2)  # of wrong labels


def scan(operation: str = "add", decay: float = DECAY, fraction: float = FRACTION) -> Runs:
    settings = {"operation": OPERATIONS.index(operation), "decay": decay, "fraction": fraction}
    return Runs(SCAN, settings | {"steps": LONG})


def progress(decay: float = DECAY, batch_size: int = 0) -> Runs:
    settings = {"decay": decay, "fraction": FRACTION, "batch_size": batch_size, "steps": STEPS}
    return Runs(PROGRESS, settings)


def attention(decay: float = 1, fraction: float = FRACTION) -> Runs:
    return Runs(TRANSFORMER, {"decay": decay, "fraction": fraction, "steps": 1500})


def percent(share: float) -> str:
    return f"{100 * share:g} %"


def by_fraction(decay: float) -> dict[str, Runs]:
    return {percent(share): scan(decay=decay, fraction=share) for share in FRACTIONS}


SHARES = {percent(share): share for share in FRACTIONS}
WITH_DECAY = {f"λ = {decay:g}": scan(decay=decay) for decay in DECAYS}
MAIN = {"λ = 0.05": progress()}
BOTH = {**MAIN, "no decay": progress(0)}
ATTENTION = {"transformer": attention()}
CONTROLS = {"25 % of the table": attention(fraction=0.25), "no decay": attention(decay=0)}
WALKS = {**BOTH, "batches of 48": progress(batch_size=48)}
NETWORKS = {"quadratic": progress(), **ATTENTION}
CLAIMS = (
    Claim(
        "grok-delay", f"{SLIDE}, figure 6", "Generalization far after overfitting.",
        "below 10³ and near 10⁶ steps (Power et al.)", MAIN, judge.grokked,
        note="'Far after' is judged as ten times the steps.",
    ),
    Claim(
        "grok-transformer", f"{SLIDE}, figure 6", "The same with a transformer and cross-entropy, as in the figure.",
        "below 10³ and near 10⁶ steps (Power et al.)", ATTENTION, judge.grokked,
    ),
    Claim(
        "grok-operations", POWER, "Not only sums: differences, products and quotients are grokked, too.", NO,
        {name: scan(name) for name in OPERATIONS}, judge.operations, note="At most 5000 steps.",
    ),
    Claim(
        "grok-random-walk", SLIDE,
        "After achieving zero train loss the weights continue evolving in a kind of random walk manner.", NO,
        WALKS, judge.random_walk,
        note="In many dimensions the moves of a random walk have a mean cosine of 0, and a path of √n distances. The slides' walk is SGD's: so batches of 48, too.",
    ),
    Claim(
        "grok-wider", SLIDE, "They slowly drift to a wider minimum: the quadratic network.", NO, WALKS, judge.wider,
        note="Without decay the rule may not come within 2000 steps: the end stands for it then. With batches of 48 the loss reaches 10⁻³ only about when the rule comes.",
    ),
    Claim(
        "grok-wider-transformer", SLIDE, "The same for the transformer.", NO, ATTENTION, judge.wider,
        note="Cross-entropy loses its curvature as the loss falls: the losses stand beside. One of five seeds has not found the rule at the last step, which stands for it: 0.36; in the others the quotient is below 0.01, at losses below 5e-5.",
    ),
    Claim(
        "grok-wider-control", SLIDE, "Grokking confirms it: transformers that do not generalize do not drift to wider minima.", NO,
        ATTENTION | CONTROLS, judge.wider_only_then, note="The control that the row above needs.",
    ),
    Claim(
        "grok-flatter", SLIDE, "Grokking confirms it: of two runs the one that generalizes better ends in the wider minimum.", NO,
        BOTH, judge.flatter_generalizes, note="With weight decay and without, same start and split.",
    ),
    Claim(
        "grok-decay", f"{OMNIGROK}; {POWER}", "The larger the weight decay, the shorter the wait.", NO, WITH_DECAY, judge.decays,
        note="At most 5000 steps.",
    ),
    Claim(
        "grok-decay-inverse", OMNIGROK, "The wait is inversely proportional to the weight decay.", "slope -1",
        WITH_DECAY, partial(judge.inverse, {f"λ = {decay:g}": decay for decay in DECAYS}),
    ),
    Claim(
        "grok-no-decay", "a common reading, not on the slides", "Without weight decay there is no grokking.", NO,
        {"no decay": scan(decay=0)}, judge.never, note="At most 5000 steps.",
    ),
    Claim(
        "grok-fraction", POWER, "Smaller training sets need more steps.", NO,
        {name: run for name, run in by_fraction(1).items() if SHARES[name] >= 0.4}, judge.fractions,
        note="λ = 1, at most 5000 steps.",
    ),
    Claim(
        "grok-critical", "Liu et al. (2022), not on the slides", "Below a critical size of the training set the rule is not found.", NO,
        by_fraction(1), partial(judge.critical, SHARES), note="λ = 1, at most 5000 steps.",
    ),
    Claim(
        "grok-data", POWER, "Weight decay more than halves the number of samples that are needed.", "more than halves",
        {f"{name}, {share}": run for name, decay in (("no decay", 0), ("λ = 1", 1)) for share, run in by_fraction(decay).items()},
        partial(judge.halved, SHARES), note="At most 5000 steps; the shares tried are 25, 30, ..., 50, 60 and 70 %.",
    ),
    Claim(
        "grok-norm", OMNIGROK, "The weights become shorter while it generalizes.", NO,
        {**NETWORKS, "quadratic, λ = 1": progress(1)}, judge.norm_falls,
    ),
    Claim(
        "grok-fourier", NANDA, "The embedding's power becomes concentrated on few frequencies.", NO, NETWORKS, judge.concentrated,
        note="(ΣP)²/ΣP² over the 15 frequencies: of the sum over units, and of each unit alone.",
    ),
    Claim(
        "grok-frequencies", NANDA, "In the end the transformer keeps few of the frequencies.", "5 of 56", ATTENTION, judge.few_waves,
        note="'Few' is judged as a third, 5 of 15. The one of five seeds that has not found the rule keeps 12.",
    ),
    Claim(
        "grok-restricted", NANDA, "The circuit forms before the test accuracy rises: the restricted loss falls first.", NO, MAIN, judge.restricted,
        note="All 15 frequencies, ten times the outputs as logits. The list: 1 at the result of each training cell, else 0.",
    ),
    Claim(
        "grok-excluded", NANDA, "What was memorized is cleaned away: the excluded loss rises before the rule comes.", NO, MAIN, judge.excluded,
    ),
    Claim(
        "grok-label-noise", POWER, "Wrong training labels hamper it.", NO,
        {f"λ = {decay:g}, {percent(share)} wrong": Runs(NOISE, {"decay": decay, "label_noise": share, "steps": STEPS}) for decay in (0.2, 2) for share in LEVELS},
        judge.label_noise,
    ),
)  # fmt: skip
