"""Chapter 08: double descent. The HSE seminar's slide after Belkin et al. (2019), and what others add."""

from functools import partial

from ledger.rules import Claim, Runs

from claims import chapter08_rules as judge
from claims.chapter08_runs import FEATURES, IMAGES, KINDS, NETWORKS, RIDGE, SAMPLES, VARIANCE

TITLE = "Chapter 08: double descent"
SETTING = (
    "Fashion-MNIST, mean squared error over samples and ten one-hot outputs, in float64; 2000 test images. N random features, Fourier (bandwidth 5) or ReLU, and the "
    "fit of minimum norm to n = 1000 images, N up to 12,000; with label noise n = 500, N up to 5000. Networks 64-w-10, 256 images of 8 × 8, 2000 steps of AdamW with the full batch, "
    "learning rate 0.003. A seed draws features or network and wrong labels, and takes training images of its own. What is lowest or highest is so among the N that were fitted."
)
SLIDE = "Sharpness-Aware Minimization, Mode Connectivity, ... (HSE), 'Double Descent', figure 7"
BELKIN = "Belkin et al. (2019), cited there"
NAKKIRAN = "Nakkiran et al. (2020), not on the slides"
THEME = (
    "Sharpness-Aware Minimization, Mode Connectivity, ... (HSE), 'Flat Minimum vs Sharp Minimum'"
)
NO = "no number"
N, MOST, FEW, FIXED, STEPS = 1000, 12_000, 500, 500, 2000
LEVELS = (0, 0.1, 0.2, 0.4)  # of wrong labels
WIDTHS = (8, 16, 32, 64, 128, 512, 2048)


def labels(share: float) -> str:
    return f"{100 * share:g} % wrong labels" if share else "true labels"


def curve(kind: str = "fourier", n: int = N, most: int = MOST, noise: float = 0) -> Runs:
    settings = {"kind": KINDS.index(kind), "n": n, "most": most, "label_noise": noise}
    return Runs(FEATURES, settings)


def widths(noise: float, named: str = "") -> dict[str, Runs]:
    settings = {"label_noise": noise, "steps": STEPS}
    return {f"{named}w = {w}": Runs(NETWORKS, {"width": w, **settings}) for w in WIDTHS}


def noisy(experiment, levels: tuple = (0, 0.2), **settings) -> dict[str, Runs]:
    return {labels(share): Runs(experiment, settings | {"label_noise": share}) for share in levels}


FOURIER, RELU = {"Fourier": curve()}, {"ReLU": curve("relu")}
NOISE = {labels(share): curve(n=FEW, most=10 * FEW, noise=share) for share in LEVELS}
NETS = widths(0.2)
CLAIMS = (
    Claim(
        "descent-u", f"{SLIDE} (a)", "The classical U: below the interpolation threshold the test risk falls, then rises.", NO,
        FOURIER | RELU, judge.u_shaped,
    ),
    Claim(
        "descent-peak", f"{SLIDE} (b)", "The test risk peaks at the interpolation threshold, N = n.", "N = n",
        FOURIER | RELU, partial(judge.peak, N), note="N in steps of 2 % of n around n.",
    ),
    Claim(
        "descent-zero-risk", f"{SLIDE} (b)", "The predictors to the right of the interpolation threshold have zero training risk.", "0",
        FOURIER | RELU, partial(judge.zero_risk, N), note="Zero is judged as 1e-8. In two of five seeds the first 1000 ReLU features have rank 999: one meets no image, or they are dependent otherwise.",
    ),
    Claim(
        "descent-second-valley", f"{SLIDE} (b)", "Far beyond the threshold the test risk is lower than in the classical valley.", NO,
        FOURIER, judge.second_valley, note="As the figure is drawn. N = 12 n.",
    ),
    Claim(
        "descent-second-valley-relu", f"{SLIDE} (b)", "The same with ReLU features.", NO, RELU, judge.second_valley,
    ),
    Claim(
        "descent-norm", BELKIN, "The norm of the coefficients peaks with the risk, and falls beyond.", "N = n",
        FOURIER | RELU, partial(judge.norm, N),
    ),
    Claim(
        "descent-label-noise", NAKKIRAN, "Label noise makes the peak higher.", NO, NOISE, judge.label_noise,
        note="At the peak itself one singular value decides; N = 0.9 n is steadier.",
    ),
    Claim(
        "descent-ridge", "Nakkiran et al. (2021), not on the slides", "With the best ridge the risk falls with the number of features, without a peak.", NO,
        noisy(RIDGE, LEVELS, n=FEW), partial(judge.ridge_curve, "best"),
        note="The best of 13 penalties on the test set, 11 values of N from 0.1 n to 10 n; a rise by less than 2 % is error.",
    ),
    Claim(
        "descent-gcv", "Golub, Heath and Wahba (1979), not on the slides", "Generalized cross-validation finds that penalty from the training set alone.", NO,
        noisy(RIDGE, LEVELS, n=FEW), judge.cross_validation, note="Within 5 % of the best test risk at every N.",
    ),
    Claim(
        "descent-samples", NAKKIRAN, "More training samples can hurt: near n = N.", NO, noisy(SAMPLES, count=FIXED), partial(judge.more_samples, FIXED),
        note="500 features.",
    ),
    Claim(
        "descent-samples-ridge", "Nakkiran et al. (2021), not on the slides", "With the best ridge more samples never hurt.", NO,
        noisy(SAMPLES, count=FIXED), judge.samples_help, note="500 features, ten values of n from 125 to 2000.",
    ),
    Claim(
        "descent-trade-off", f"{SLIDE} (a)", "The U arises from the bias-variance trade-off: a larger model has less bias and more variance.", NO,
        noisy(VARIANCE, n=200, sets=10), judge.trade_off, note="10 training sets of 200 images for each seed, the same features for all of them.",
    ),
    Claim(
        "descent-variance", "Neal et al. (2018) and others, not on the slides", "What peaks at N = n is the variance; beyond it falls.", NO,
        noisy(VARIANCE, n=200, sets=10), judge.variance_peaks,
    ),
    Claim(
        "descent-width", BELKIN, "Networks: the test risk over the width peaks where weights and numbers asked are equal in number (20 % wrong labels).", "n · 10",
        NETS, partial(judge.width_peak, 10 * IMAGES), note="At the end of training; widths 8 to 2048.",
    ),
    Claim(
        "descent-width-valley", BELKIN, "Beyond that peak the networks' risk falls below the first valley.", NO,
        widths(0.2, "20 % wrong labels, ") | widths(0, "true labels, "), judge.width_valley,
    ),
    Claim(
        "descent-early-stopping", NAKKIRAN, "With optimal early stopping the risk falls with the width, without a peak.", NO, NETS, judge.early_stopping,
        note="Stopped where the test risk is lowest, at one of 50 looks.",
    ),
    Claim(
        "descent-epochs", NAKKIRAN, "Along the training of a large network the test risk falls, rises, and falls again.", NO,
        {name: NETS[name] for name in ("w = 512", "w = 2048")}, judge.epochs, note="20 % wrong labels.",
    ),
    Claim(
        "descent-sharp-features", THEME, "The fit that generalizes worst lies in the sharpest minimum: random features.", NO, FOURIER | RELU, judge.flat_features,
        note="The Hessian of least squares does not depend on the coefficients.",
    ),
    Claim(
        "descent-sharp-networks", THEME, "The same for networks over their width.", NO, NETS, judge.sharp_networks,
        note="Each width is a space of its own; 20 % wrong labels.",
    ),
    Claim(
        "descent-short-networks", BELKIN, "Wider networks beyond the peak have a smaller norm.", NO, NETS, judge.short_networks,
        note="The paper's reason for random features, asked of networks that AdamW trained. 20 % wrong labels.",
    ),
)  # fmt: skip
