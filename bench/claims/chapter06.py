"""Chapter 06: mode connectivity. Slides of the HSE seminar."""

from functools import partial

from ledger.rules import Claim, Runs

from claims import chapter06_rules as judge
from claims.chapter06_runs import CURVES, ENSEMBLES, NORMS, WIDTHS

TITLE = "Chapter 06: the valleys that join minima"
SETTING = (
    "Network 784-64-64-10, the first 2048 Fashion-MNIST images, cross-entropy, 10,000 test images; SGD with momentum "
    "0.9, batches of 64, the learning rate falling from 0.05 to 0 along a cosine in 40 epochs, for curves in 60. "
    "Losses and errors on 31 points of each path; barrier: how far the training loss rises above the line between its ends' losses."
)
SEMINAR = "Sharpness-Aware Minimization, Mode Connectivity, ... (HSE)"
FIGURE, FINDING = (
    f"{SEMINAR}, 'Mode Connectivity', figure 5",
    f"{SEMINAR}, 'Curve-Finding Procedure'",
)
NO = "no number"
EPOCHS, CURVE_EPOCHS, N = 40, 60, 2048


def curves(second_size: int = 64, second_epochs: int = EPOCHS) -> dict[str, Runs]:
    settings = {"width": 64, "epochs": EPOCHS, "curve_epochs": CURVE_EPOCHS, "n_train": N}
    second = {"second_size": second_size, "second_epochs": second_epochs}
    return {"curves": Runs(CURVES, settings | second)}


def widths(*values: int) -> dict[str, Runs]:
    return {
        f"width {w}": Runs(WIDTHS, {"width": w, "epochs": EPOCHS, "n_train": N}) for w in values
    }


PAIR, LARGE = curves(), curves(512, 4 * EPOCHS)
SETTINGS = {"width": 64, "budget": 30, "share": 0.25, "high": 0.05, "n_train": N}
FAST = {"ensembles": Runs(ENSEMBLES, SETTINGS)}
CLAIMS = (
    Claim(
        "line-barrier", FIGURE, "A direct linear path between two independently trained networks incurs high loss.", NO,
        PAIR, judge.line,
    ),
    Claim("three-optima", FIGURE, "So it does between any two of three.", NO, widths(64), judge.three),
    Claim(
        "chain", FIGURE, "A polygonal chain with one bend connects them along a path of near-constant loss.", NO,
        PAIR, partial(judge.near_constant, "chain"),
    ),
    Claim(
        "bezier", FIGURE, "So does a quadratic Bézier curve.", NO, PAIR, partial(judge.near_constant, "bezier"),
    ),
    Claim(
        "curve-error", FINDING, "The test error, too, stays low along the curve.", NO, PAIR, judge.low_test,
        note="Ours: the slides show the training loss alone; Garipov et al. (2018) report the error.",
    ),
    Claim(
        "barrier-width", FIGURE, "The barrier of the straight line falls with the width (not on the slides).", NO,
        widths(16, 64, 256), judge.wide, note="As the networks come, not aligned; the same after alignment stands in the row on alignment.",
    ),
    Claim(
        "small-large", FIGURE, "A curve connects the minimum of a small batch and that of a large one (not on the slides).",
        NO, LARGE, judge.small_large, note="Batches of 64 for 40 epochs and of 512 for 160.",
    ),
    Claim(
        "alignment", FIGURE, "Part of the line's barrier is the order of the hidden units: weight matching lowers it (not on the slides).",
        NO, widths(16, 64, 256), judge.aligned, note="Ainsworth et al. (2023).",
    ),
    Claim(
        "fge", f"{SEMINAR}, 'Mode Connectivity' (the paper's fast ensembling)",
        "In the time of one network, fast geometric ensembling gives an ensemble that is better than it.", NO,
        FAST, partial(judge.ensembles, [("one network", "single", "FGE", "fge"), ("five networks of a fifth of its epochs", "short", "FGE", "fge")]),
        note="Not on the slides but in the paper's title (Garipov et al., 2018). 30 epochs, the last quarter of them in 5 cycles of FGE; half of them, or a highest rate of 0.02, gave the same error (seed 0).",
    ),
    Claim(
        "fge-independent", f"{SEMINAR}, 'Mode Connectivity' (the paper's fast ensembling)",
        "At equal budget it beats an ensemble of independently trained networks.", NO,
        FAST, partial(judge.ensembles, [("three networks", "independent", "three runs of FGE", "fge_three")]),
        note="Three budgets each: three networks of 30 epochs, or 15 members of three runs of FGE.",
    ),
    Claim(
        "curve-batch-norm", FINDING, "Batch-norm statistics have to be re-estimated at every t.", NO,
        {"curve": Runs(NORMS, {"width": 64, "epochs": EPOCHS, "curve_epochs": CURVE_EPOCHS, "n_train": N})},
        judge.statistics, note="Not re-estimated: the running statistics that training the curve left, over all t.",
    ),
)  # fmt: skip
