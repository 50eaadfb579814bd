"""Chapter 02: which minima are stable? Wu, Ma and E (2018), and the slides that reproduce it."""

from functools import partial

from ledger.rules import Claim, Runs

from claims import chapter02_rules as judge
from claims.chapter02_rules import GD, MOMENTA, SGD, STOP_LOSS, TABLE, TEST, N, named
from claims.chapter02_runs import CIFAR, EDGES, ESCAPES, ESCAPES_1D, MINIMA

TITLE = "Chapter 02: which minima are stable?"
SETTING = (
    "Network 784-500-500-500-10 (898,510 parameters), the first 1000 Fashion-MNIST images, PyTorch's default "
    "initialization, no momentum, trained until the loss over all of them is at most 1e-4; gradient descent is "
    "B = 1000. The authors' code stops on a moving average of the minibatch losses instead, and their runs of "
    "gradient descent give a batch size of 1200."
)
SLIDES = "How SGD Selects the Global Minima (Skyhawks)"
AUTHORS = "authors' runs (Wu, Ma and E, 2018)"
SGD_NOTES = {
    (0.5, 100): "All five seeds end lower. The rule of stopping does not explain λ_max: trained on to a loss of 2e-5, seed 0 has λ_max 3.47 and s 12.3 (`02-minima.csv`).",
}  # fmt: skip


def at(learning_rate: float, batch_size: int) -> Runs:
    """The minimum of this learning rate and batch size."""
    settings = {"learning_rate": learning_rate, "batch_size": batch_size, "stop_loss": STOP_LOSS}
    return Runs(MINIMA, settings)


def several(*pairs: tuple[float, int]) -> dict[str, Runs]:
    """Minima by name, 'η = 0.5, B = 10'."""
    return {named(*pair): at(*pair) for pair in pairs}


def gd_claim(learning_rate: float) -> Claim:
    a, sd = GD[learning_rate]
    return Claim(
        f"gd-{learning_rate:g}", AUTHORS,
        f"Gradient descent with η = {learning_rate:g} ends at a sharpness just below 2/η = {2 / learning_rate:g}.",
        f"λ_max {a:g} ± {sd:g}", {"gd": at(learning_rate, N)}, partial(judge.gd, learning_rate),
    )  # fmt: skip


def sgd_claim(learning_rate: float, batch_size: int) -> Claim:
    a, a_sd, s, s_sd = SGD[learning_rate, batch_size]
    return Claim(
        f"sgd-{learning_rate:g}-b{batch_size}", AUTHORS,
        f"SGD with η = {learning_rate:g}, B = {batch_size}: sharpness and non-uniformity where it ends.",
        f"λ_max {a:g} ± {a_sd:g}, s {s:g} ± {s_sd:g}", {"sgd": at(learning_rate, batch_size)},
        partial(judge.sgd, learning_rate, batch_size), note=SGD_NOTES.get((learning_rate, batch_size), ""),
    )  # fmt: skip


ESCAPE = {"learning_rate": 0.1, "batch_size": 4, "steps": 3000}
LONG = several((0.5, 4), (0.5, 10), (0.5, 25), (0.5, N))
CLAIMS = (
    *(gd_claim(rate) for rate in GD),
    *(sgd_claim(*pair) for pair in SGD),
    Claim(
        "slide-table", f"{SLIDES}, 'Results'",
        "Fashion-MNIST: train and test accuracy, sharpness, non-uniformity.",
        "99.9, 80.4, 19.9, 40.4", {"gd": at(0.1, N)}, partial(judge.slide_row, (99.9, 80.4), 19.9, 40.4),
        note="The slide names neither η nor B. A sharpness of 19.9 is 2/η at η = 0.1, so this is compared with gradient descent at 0.1.",
    ),
    Claim(
        "slide-cifar", f"{SLIDES}, 'Results'",
        "CIFAR-10, airplane and automobile, small VGG: the same four.",
        "100, 88.9, 19.2, 53", {"gd": Runs(CIFAR, {"learning_rate": 0.1, "batch_size": 100, "stop_loss": STOP_LOSS})},
        partial(judge.slide_row, (100, 88.9), 19.2, 53),
        note="η and B are not named; 0.1 and 100 here. On one busy CPU core a step of the small VGG took 0.2 s, and after 60 steps the loss still stood at 0.25: this run wants a GPU.",
    ),
    Claim(
        "test-accuracy", AUTHORS, "Test accuracy, %, at six settings.",
        "80.5 to 81.0", several(*TEST), judge.accuracies,
    ),
    Claim(
        "batch-size", f"{SLIDES}, 'Non-uniformity and Sharpness vs Batch Size'",
        "As the batch size grows, sharpness and non-uniformity grow (η = 0.5).", "no number", LONG, judge.batch_size,
    ),
    Claim(
        "learning-rate", f"{SLIDES}, 'Non-uniformity and Sharpness vs Batch Size'",
        "Lower learning rates give higher sharpness and non-uniformity.", "no number",
        several((5.0, N), (1.0, N), (0.5, N), (1.0, 10), (0.5, 10), (0.1, 10)), judge.learning_rate,
    ),
    Claim(
        "sharpness-unaffected", f"{SLIDES}, 'Sharpness-non-uniformity diagram of SGD'",
        "Decreasing the batch size forces a smaller non-uniformity and does not affect sharpness.",
        "ratio 1", LONG, judge.sharpness_unaffected,
        note="The bound on the sharpness does not depend on B; the sharpness that SGD ends at does, as the slides' own plot shows.",
    ),
    Claim(
        "proportional", f"{SLIDES}, 'Non-uniformity vs Sharpness', 'Conclusion'",
        "Non-uniformity is approximately proportional to sharpness.", "no number", several(*TABLE), judge.proportional,
    ),
    Claim(
        "bounds", f"{SLIDES}, 'Claim / Target Task'",
        "SGD ends within 0 ≤ a ≤ 2/η, 0 ≤ s ≤ √(B(n-1)/(n-B))/η.", "ratios at most 1",
        several(*TABLE), partial(judge.bounds, TABLE),
        note="The largest is gradient descent's at η = 5 in each seed: it ends at 0.399 to 0.409, with 2/η = 0.4: above it in four seeds, by up to 2.2 %. SGD with B up to 100 stays below 0.98 of the bound.",
    ),
    Claim(
        "near-bounds", f"{SLIDES}, 'Non-uniformity vs Sharpness'",
        "Larger batch sizes bring the non-uniformity close to its upper bound.", "no number",
        several((0.5, 4), (0.5, 10), (0.5, 25), (0.5, 100)), judge.near_bounds,
    ),
    Claim(
        "sgd-takes-longer", f"{SLIDES}, 'Background - Escape Phenomenon'",
        "SGD takes longer to converge.", "no number", several((0.5, 10), (0.5, N)), judge.longer,
    ),
    Claim(
        "gd-train-accuracy", f"{SLIDES}, 'Comparing GD and SGD Performance'",
        "Gradient descent is much better in training accuracy, marginally better in test accuracy.",
        "no number", several((0.5, 4), (0.5, N)), judge.gd_against_sgd,
        note="Both are trained to the same loss here; the slide does not say when its runs stop.",
    ),
    Claim(
        "escape", f"{SLIDES}, 'Sharpness, Training Accuracy and Test Accuracy vs Iterations'",
        "SGD (η = 0.1, B = 4) leaves gradient descent's solution within 40 iterations.", "λ_max about 19.7, then below 10",
        {"escape": Runs(ESCAPES, ESCAPE | {"corrupted": 0})}, judge.escape,
        note="The seeds draw the order of samples; all start from one checkpoint.",
    ),
    Claim(
        "escape-test", f"{SLIDES}, 'Sharpness, Training Accuracy and Test Accuracy vs Iterations'",
        "Where the escape ends, sharpness is lower and test accuracy higher, with clean and corrupted labels.",
        "no number", {"clean": Runs(ESCAPES, ESCAPE | {"corrupted": 0}), "20 % corrupted": Runs(ESCAPES, ESCAPE | {"corrupted": 1})},
        judge.escape_test,
    ),
    Claim(
        "escape-1d", f"{SLIDES}, 'Background - Escape Phenomenon'",
        "In 1-D, η = 0.7, SGD leaves x = 1 (s = 1.8 > 1/0.7) for x = 0.", "s = 1.8",
        {"1-D": Runs(ESCAPES_1D, {"learning_rate": 0.7, "steps": 300})}, judge.escape_1d,
    ),
    Claim(
        "gd-escape-1d", f"{SLIDES}, 'Background - Escape Phenomenon'",
        "Gradient descent behaved in a similar manner with the same learning rate.", "leaves x = 1",
        {"1-D": Runs(ESCAPES_1D, {"learning_rate": 0.7, "steps": 300})}, judge.gd_1d,
        note="Theorem 1 says that it stays: |1 - 0.7·2| = 0.4.",
    ),
    Claim(
        "momentum", "Cohen et al. (2021), edge of stability",
        "With heavy-ball momentum gradient descent's sharpness settles at 2(1+β)/η.", "6 (β = 0.5), 7.6 (β = 0.9) at η = 0.5",
        {f"β = {b:g}": Runs(EDGES, {"learning_rate": r, "momentum": b, "steps": n}) for b, r, n in MOMENTA}, judge.momentum,
    ),
)  # fmt: skip
