"""What chapter 08's claims measure: random features and small networks on Fashion-MNIST.

A seed draws the features or the network and the wrong labels, and takes training images of its own; the test images are
the first 2000 of the test set.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from ledger.runs import Experiment
from torch import Tensor, nn
from torch.nn.functional import mse_loss, one_hot

import flatlab
from flatlab import descent, models
from flatlab.data import relabel
from flatlab.descent import RandomFeatures
from flatlab.sweeps import Run

KINDS = ("fourier", "relu")
TESTED = 2000
PENALTIES = np.logspace(-4, 2, 13).tolist()
NEAR = np.linspace(0.9, 1.1, 11)  # in parts of n, where the peak is looked for
SHARES = (0.1, 0.2, 0.4, 0.7, 0.9, 1, 1.1, 1.5, 2, 4, 10)  # features over samples
SIZES = (125, 250, 400, 450, 500, 550, 600, 750, 1000, 2000)  # samples of the sample-wise curve
PIXELS, IMAGES, RATE, LOOKS = 8, 256, 0.003, 50  # of the networks
Data = tuple[Tensor, Tensor]


def clothes(
    n: int, seed: int, label_noise: float = 0, pixels: int | None = None
) -> tuple[Data, Data]:
    """Training and test images with one-hot rows: the seed-th n of the training set, in float64."""
    data = flatlab.load_dataset(
        "fashion_mnist", n * (seed + 1), TESTED, dtype=torch.float64, image_size=pixels, download=False
    )  # fmt: skip
    labels, generator = data.y_train[n * seed :], torch.Generator().manual_seed(seed)
    labels, _ = relabel(labels, label_noise, 10, generator)
    train = data.X_train[n * seed :], one_hot(labels, 10).double()
    return train, (data.X_test, one_hot(data.y_test, 10).double())


def drawn(kind: int, most: int, seed: int) -> RandomFeatures:
    draw = {"fourier": RandomFeatures.fourier, "relu": RandomFeatures.relu}[KINDS[int(kind)]]
    return draw(784, most, generator=torch.Generator().manual_seed(seed))


def risk(prediction: Tensor, y: Tensor) -> float:
    return float((prediction - y).square().mean())


def sharpness(phi: Tensor) -> float:
    """λ_max of the mean squared error over samples and ten outputs: 2 s² / 10 n, s the largest singular value."""
    square = phi @ phi.T if len(phi) < phi.shape[1] else phi.T @ phi
    return 2 * float(torch.linalg.eigvalsh(square)[-1]) / (10 * len(phi))


def features(kind: int, n: int, most: int, label_noise: float, seed: int) -> dict[str, float]:
    """The curve over the number of features, and its landmarks: the classical valley, the peak, the end."""
    n, most = int(n), int(most)
    train, test = clothes(n, seed, label_noise)
    draw = drawn(kind, most, seed)
    shares = (*np.geomspace(0.02, 1, 22), *NEAR, *np.geomspace(1.1, most / n, 12))
    counts = sorted({round(share * n) for share in shares})
    curve = descent.feature_curve(draw, train, test, counts)
    risks, errors, norms = (
        c[:, 0].numpy() for c in (curve.test_risk, curve.test_error, curve.norm)
    )
    counts = np.array(counts)
    under = counts < n
    valley = int(risks[under].argmin())
    again = counts[(counts > n) & (risks < risks[valley])]
    threshold = descent.interpolation_threshold(counts, curve.train_risk[:, 0])
    found = {
        "first": risks[0],
        "valley": risks[valley],
        "valley_at": counts[valley],
        "valley_error_percent": 100 * errors[under].min(),
        "beside": risks[counts == round(0.9 * n)][0],
        "peak": risks.max(),
        "peak_at": counts[risks.argmax()],
        "error_peak_percent": 100 * errors.max(),
        "error_peak_at": counts[errors.argmax()],
        "again": again[0] if len(again) else math.nan,
        "last": risks[-1],
        "last_error_percent": 100 * errors[-1],
        "threshold": math.nan if threshold is None else threshold,
        "most_train_beyond": float(curve.train_risk[~under].max()),
        "least_train_below": float(curve.train_risk[under].min()),
        "norm_valley": norms[valley],
        "norm_peak": norms.max(),
        "norm_peak_at": counts[norms.argmax()],
        "norm_last": norms[-1],
    }
    for name, share in (("half", 0.5), ("n", 1), ("double", 2)):
        found[f"sharpness_{name}"] = sharpness(draw(train[0], round(share * n)))
    return {name: float(value) for name, value in found.items()}


def ridge(n: int, label_noise: float, seed: int) -> dict[str, float]:
    """Test risks over features without a penalty, with that of cross-validation, with the best of all."""
    n = int(n)
    train, test = clothes(n, seed, label_noise)
    counts = [round(share * n) for share in SHARES]
    return penalised(drawn(0, counts[-1], seed), train, test, [(n, N) for N in counts], SHARES)


def samples(count: int, label_noise: float, seed: int) -> dict[str, float]:
    """The same over the number of training samples."""
    count = int(count)
    train, test = clothes(SIZES[-1], seed, label_noise)
    return penalised(drawn(0, count, seed), train, test, [(n, count) for n in SIZES], SIZES)


def penalised(
    draw: RandomFeatures, train: Data, test: Data, sizes: Sequence[tuple[int, int]], names: Sequence
) -> dict[str, float]:
    """`sizes`: samples and features of each fit."""
    found = {}
    for (n, count), name in zip(sizes, names, strict=True):
        phi, phi_test, y = draw(train[0][:n], count), draw(test[0], count), train[1][:n]
        path = descent.ridge_path(phi, y, PENALTIES)
        risks = [risk(phi_test @ b, test[1]) for b in path.coefficients]
        plain = descent.minimum_norm_fit(phi, y)
        found |= {
            f"plain_{name}": risk(plain.predict(phi_test), test[1]),
            f"gcv_{name}": risks[path.best],
            f"best_{name}": min(risks),
            f"penalty_{name}": path.penalties[path.best],
        }
    return found


def variance(n: int, sets: int, label_noise: float, seed: int) -> dict[str, float]:
    """Squared bias and variance over training sets of n, both without the bias of few sets."""
    n, sets = int(n), int(sets)
    train, test = clothes(n * sets, seed, label_noise)
    draw, found = drawn(0, round(SHARES[-1] * n), seed), {}
    for share in SHARES:
        count = round(share * n)
        phi, phi_test = draw(train[0], count), draw(test[0], count)
        predictions = [
            descent.minimum_norm_fit(phi[k : k + n], train[1][k : k + n]).predict(phi_test)
            for k in range(0, n * sets, n)
        ]
        parts = descent.bias_variance(torch.stack(predictions), test[1])
        found |= {
            f"risk_{share}": parts.risk,
            f"bias_{share}": parts.unbiased_bias,
            f"variance_{share}": parts.unbiased_variance,
        }
    return found


def networks(width: int, label_noise: float, steps: int, seed: int) -> dict[str, float]:
    """A network 64-width-10 on 256 images of 8 x 8, mean squared error, AdamW with the full batch."""
    width, steps = int(width), int(steps)
    (X, y), (X_test, y_test) = clothes(IMAGES, seed, label_noise, PIXELS)
    train, test = (X.float(), y.float()), (X_test.float(), y_test.float())

    def build(width: int) -> Callable[[torch.Generator], nn.Module]:
        return lambda generator: models.mlp((PIXELS**2, width, 10), generator=generator)

    curve = descent.width_curve(
        (width,), build, mse_loss, train, [Run(RATE, seed=seed, optimizer="adamw")], steps=steps,
        evaluate_every=steps // LOOKS, test_data=test, engine="sequential", progress=False,
    )  # fmt: skip
    ((outcome,),) = curve.outcomes
    _, (course,) = descent.along_training([outcome])
    lowest = int(course.argmin())
    model, last = outcome.model(build(width)), outcome.history.last()
    vector = nn.utils.parameters_to_vector(model.parameters())
    return {
        "parameters": curve.parameters[0],
        "train_risk": last["train_loss"],
        "test_risk": last["test_loss"],
        "test_error_percent": 100 * (1 - last["test_accuracy"]),
        "lowest": float(course[lowest]),
        "lowest_step": int(outcome.history.step[lowest]),
        "highest_after": float(course[lowest:].max()),
        "sharpness": flatlab.sharpness(model, mse_loss, train, tol=1e-2),
        "norm": float(vector.detach().double().norm()),
    }


def experiment(name: str, settings: tuple, columns: Sequence[str], measure: Callable) -> Experiment:
    return Experiment(f"08-{name}", settings, tuple(columns), measure, scale="laptop")


def each(kinds: Sequence[str], places: Sequence) -> list[str]:
    return [f"{kind}_{place}" for place in places for kind in kinds]


PENALISED = ("plain", "gcv", "best", "penalty")
FEATURES = experiment(
    "features",
    ("kind", "n", "most", "label_noise"),
    (
        *("first", "valley", "valley_at", "valley_error_percent", "beside", "peak", "peak_at"),
        *("error_peak_percent", "error_peak_at", "again", "last", "last_error_percent"),
        *("threshold", "most_train_beyond", "least_train_below"),
        *("norm_valley", "norm_peak", "norm_peak_at", "norm_last"),
        *("sharpness_half", "sharpness_n", "sharpness_double"),
    ),
    features,
)
RIDGE = experiment("ridge", ("n", "label_noise"), each(PENALISED, SHARES), ridge)
SAMPLES = experiment("samples", ("count", "label_noise"), each(PENALISED, SIZES), samples)
VARIANCE = experiment(
    "variance",
    ("n", "sets", "label_noise"),
    each(("risk", "bias", "variance"), SHARES),
    variance,
)
NETWORKS = experiment(
    "networks",
    ("width", "label_noise", "steps"),
    (
        *("parameters", "train_risk", "test_risk", "test_error_percent"),
        *("lowest", "lowest_step", "highest_after", "sharpness", "norm"),
    ),
    networks,
)
