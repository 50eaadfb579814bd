"""Chapter 03: the noise of SGD and eta / S. The slides of Jastrzębski et al., 'Three Factors'."""

import math

from ledger.rules import Claim, Runs

from claims import chapter03_rules as judge
from claims.chapter03_rules import FACTORS
from claims.chapter03_runs import CURVES, CYCLES, LINES, MEMORIES, PEAKS, SCHEDULES, WIDTHS
from claims.chapter03_wells import ISOTROPY, RATIOS, WELLS

TITLE = "Chapter 03: the noise of SGD and η/S"
SETTING = (
    "Cross-entropy, the first 1024 Fashion-MNIST images (epochs are whole batches), 10,000 test images "
    "at the end of a run and 2000 along it. Network 784-64-64-10 without batch norm where a row names none. n = η/S. "
    "The Hessian's Frobenius norm is estimated from 10 probes. Noise in the wells: per-sample gradients L' ± 80."
)
SLIDES = "Three Factors Influencing Minima in SGD (Jastrzębski et al.)"
NO = "no number"


def widths(layers: int, init_scale: float, largest: float, epochs: int, stop_loss: float) -> dict:
    settings = {"layers": layers, "init_scale": round(init_scale, 3), "largest": largest}
    return {"runs": Runs(WIDTHS, settings | {"epochs": epochs, "stop_loss": stop_loss})}


def curve(n_train: int, learning_rate: float, size: int, epochs: int, cycle: int = 0) -> Runs:
    settings = {"n_train": n_train, "learning_rate": learning_rate, "batch_size": size}
    return Runs(CURVES, settings | {"epochs": epochs, "cycle": cycle})


def wells(*pairs: tuple[float, int]) -> dict[str, Runs]:
    return {
        f"η = {rate:g}, S = {size}": Runs(WELLS, {"learning_rate": rate, "batch_size": size})
        for rate, size in pairs
    }


STOP = 0.05
MLP = widths(4, 1.0, 1 / 320, 60, STOP)
GOOD, BAD = widths(20, math.sqrt(6), 4e-4, 40, 0.2), widths(20, 2.0, 8e-4, 40, 0.2)
LINE = {"lines": Runs(LINES, {"stop_loss": STOP})}
RESCALED = {
    f"n = {n}, c = {c}": curve(n, 0.005 * c, 4 * c, 30) for n in (1024, 4096) for c in FACTORS
}
SMALL_C = {f"c = {c}": RESCALED[f"n = 1024, c = {c}"] for c in FACTORS[:4]}
EXCHANGE = {
    name: curve(1024, 0.04, 32, 48, cycle)
    for cycle, name in enumerate(("constant", "cyclic η", "cyclic S"))
}
CYCLED = {
    name: Runs(CYCLES, {"schedule": place, "epochs": 60}) for place, name in enumerate(SCHEDULES)
}
SAME_N = wells((0.0025, 8), (0.005, 16), (0.01, 32))
RISING_N = wells((0.005, 16), (0.01, 16), (0.02, 16))


def memorization(name: str, momentum: float) -> Claim:
    return Claim(
        name, f"{SLIDES}, 'Memorization and n'",
        f"At a given level of memorization of random labels, high n generalizes better (momentum {momentum:g}).", NO,
        {"runs": Runs(MEMORIES, {"momentum": momentum, "epochs": 80})}, judge.memorized,
        note="784-256-256-10, a quarter of the labels random, S = 32, η/(1 - momentum) = 0.05, 0.1, 0.2.",
    )  # fmt: skip


CLAIMS = (
    Claim(
        "width", f"{SLIDES}, 'Width and n'",
        "4-layer batch-norm ReLU MLP: the log of the Hessian's norm falls with η/S.", NO, MLP,
        judge.hessian_norm,
        note="784-64-64-64-10, η/S = 1/2560 to 1/320, S = 32, 64, 128; ended at the first look, every 4 epochs, at a training loss of at most 0.05, or after 60 epochs; they end at 0.004 to 0.05. With cross-entropy the Hessian shrinks with the loss. Batch norm makes the output independent of the length of the weights before it, while their Hessian falls with its square: so the norm is measured at unit length, too. The interval takes the runs as independent; those of one seed share their start.",
    ),
    Claim(
        "width-accuracy", f"{SLIDES}, 'Width and n'",
        "The same network: validation accuracy rises with η/S.", NO, MLP, judge.validation,
    ),
    Claim(
        "deep-good", f"{SLIDES}, 'Width and n'",
        "20-layer ReLU MLP without batch norm, good initialization: the same two.", NO, GOOD, judge.both,
        note="19 hidden layers of width 32, He initialization, η/S = 5e-5 to 4e-4, 40 epochs; the losses at the end differ.",
    ),
    Claim(
        "deep-bad", f"{SLIDES}, 'Width and n'",
        "20-layer ReLU MLP, bad initialization: validation accuracy rises with η/S.", NO, BAD, judge.validation,
        note="Weights 0.82 times He's, η/S = 1e-4 to 8e-4, 40 epochs. Where η/S is small the runs are still on the plateau of the start: speed of training, not width of minima.",
    ),
    Claim(
        "peak", f"{SLIDES}, 'WARNING'",
        "Validation accuracy peaks at some η/S: higher is not always better.", NO,
        {"runs": Runs(PEAKS, {"batch_size": 32, "epochs": 30})}, judge.peak,
        note="The 4-layer network instead of a ResNet-56, S = 32, η/S = 2^-17 to 2^-3, 30 epochs.",
    ),
    Claim(
        "interpolate", f"{SLIDES}, 'Width and n'",
        "On the line between two minima, that of the lower η/S is the sharper.", NO, LINE, judge.sharper_end,
        note="784-64-64-10 instead of a ResNet-56; from the minimum of η = 0.1, S = 16, each stopped at a loss of at most 0.05.",
    ),
    Claim(
        "interpolate-same", f"{SLIDES}, 'Width and n'",
        "With the same η/S both minima have about the same width.", NO, LINE, judge.same_width,
        note="(0.1β, 16β) against β = 1; 'about the same' is judged as within a factor of 2.",
    ),
    Claim(
        "rescale", f"{SLIDES}, 'Simultaneous rescaling'",
        "(η, S) → (cη, cS) leaves the whole training curve in place.", NO, SMALL_C, judge.in_place,
        note="η = 0.005 c, S = 4 c, 30 epochs. The yardstick is the same run with another start and order of samples. Rescaled runs share both, so c = 2 joins two batches of c = 1.",
    ),
    Claim(
        "exchange", f"{SLIDES}, 'Simultaneous rescaling'",
        "A cyclic learning rate can be exchanged for a cyclic batch size.", NO, EXCHANGE, judge.exchanged,
        note="η = 0.04, S = 32, 48 epochs, every other two epochs with 4η or with S/4.",
    ),
    memorization("memorize-momentum", 0.9),
    memorization("memorize-plain", 0.0),
    Claim(
        "cyclic-wider", f"{SLIDES}, 'Cyclic Schedules'",
        "Cyclic schedules find wider minima than the baseline.", "36470, 13918, 35310 against 57838", CYCLED, judge.wider,
        note="The slide does not name its baseline: two stand here, η = 0.02 and 0.16 at S = 32, the cycles' ends. Cycles of 4 epochs, 60 epochs. In two of five seeds constant high noise ends at a loss of 0.16 and 0.45, no cycle above 0.13. The published norms are of VGG-11 on CIFAR-10.",
    ),
    Claim(
        "cyclic-accuracy", f"{SLIDES}, 'Cyclic Schedules'",
        "Cyclic schedules give a higher test accuracy than the baseline.", "90.04, 90.07, 90.03 against 87.70 %",
        CYCLED, judge.better,
    ),
    Claim(
        "breakdown", f"{SLIDES}, 'Breaking down of theory'",
        "With η/S fixed, the invariance breaks down for large c.", NO, RESCALED, judge.breakdown,
        note="η = 0.005 c, S = 4 c, c = 1 to 128, 30 epochs.",
    ),
    Claim(
        "breakdown-size", f"{SLIDES}, 'Breaking down of theory'",
        "It breaks down earlier for a smaller training set.", NO, RESCALED, judge.earlier,
        note="Mean change over the curve's epochs; between c = 1, 2, 4, ... it is interpolated in log c. Powers of 2 alone do not tell the sets apart: both first pass 5 points at c = 64, in two of five seeds.",
    ),
    Claim(
        "gibbs", f"{SLIDES}, 'Boltzmann-Gibbs distribution'",
        "SGD's endpoints have the density exp(-2L/(nσ²)).", NO, SAME_N, judge.lies_on_gibbs,
        note="One dimension, 2000 long runs; a deep narrow and a shallow wide well, nσ² = 2. With single samples L' ± 20 of the same nσ², no Gaussian noise, the wide well held 59 % instead of the density's 63 %.",
    ),
    Claim(
        "only-ratio", f"{SLIDES}, 'Take-Away Theory'",
        "Learning rate and batch size enter only as η/S.", NO, SAME_N, judge.only_ratio,
    ),
    Claim(
        "width-over-depth", f"{SLIDES}, 'Take-Away Theory'",
        "Higher n gives more priority to width and less to depth.", NO, RISING_N, judge.width_over_depth,
    ),
    Claim(
        "basin-ratio", f"{SLIDES}, 'Probability ending in a region'",
        "p_A/p_B = √(det H_B/det H_A) exp(2(L_B - L_A)/(nσ²)).", "the formula", RISING_N, judge.basin_ratio,
        note="The formula takes each well as a whole parabola, which wells with a low border between them are not.",
    ),
    Claim(
        "ratio-invariant", f"{SLIDES}, 'Ratio of Probabilities'",
        "This ratio is invariant to reparametrization.", "1", {"runs": Runs(RATIOS, {"dimension": 6})}, judge.invariant,
        note="Where the Jacobians' determinants at A and B differ, their quotient stays in the ratio.",
    ),
    Claim(
        "isotropic", f"{SLIDES}, 'Fokker-Planck Equation'",
        "Isotropic variance: C = σ²I (an assumption of the slides).", "σ²I",
        {f"after {e} epochs": Runs(ISOTROPY, {"epochs": e}) for e in (0, 20)}, judge.isotropic,
        note="784-16-16-10; 1000 images allow at most 999 directions, of 13,002.",
    ),
)  # fmt: skip
