"""Chapter 01: sharp and flat minima, how sharpness is measured, and whether flat is better."""

import copy
import time

import numpy as np
import torch
from ledger import networks, rules
from ledger.networks import LOSS
from ledger.rules import Claim, Found, Runs
from ledger.runs import Experiment

import flatlab
from flatlab import curvature
from flatlab.checkpoints import Recipe

TITLE = "Chapter 01: sharp and flat minima"
SETTING = (
    "Network 784-500-500-500-10 (898,510 parameters), the first 1000 Fashion-MNIST images, learning rate 0.5, "
    "trained to a loss of 1e-3; 10,000 test images. Batches of 10 and the full batch start from the same weights. "
    "The Frobenius norm is estimated from 20 probes; ε-sharpness is the best of several projected ascents."
)
SARKAR = "SGD: Role of Randomness and Sharpness (Sarkar)"
JASTRZEBSKI = "Three Factors Influencing Minima in SGD (Jastrzębski et al.)"
RATE, STOP_LOSS = 0.5, 1e-3
TEST_ERROR = 0.4  # points: the standard error of an accuracy of 80 % on 10,000 images


def minimum(batch_size: int, stop_loss: float, seed: int) -> dict[str, float]:
    """Train from the seed's start, and every measure of sharpness on the slides."""
    recipe = Recipe(RATE, batch_size, stop_loss, seed)
    data = networks.dataset(recipe)
    trained = networks.train(recipe, data)
    began = time.perf_counter()
    hessian = curvature.Hessian(trained.model, LOSS, data.train)
    test = flatlab.training.evaluate(trained.model, LOSS, data.test)
    epsilon = curvature.epsilon_sharpness(trained.model, LOSS, data.train, epsilon=0.2, steps=20)
    return {
        "steps": trained.steps,
        "sharpness": float(flatlab.top_eigenpairs(hessian).values[0]),
        "frobenius_norm": curvature.frobenius_norm(hessian, probes=20).value,
        "epsilon_sharpness": epsilon.value,
        "test_accuracy_percent": 100 * test.accuracy,
        "seconds": trained.seconds + time.perf_counter() - began,
    }


def spectrum(batch_size: int, seed: int) -> dict[str, float]:
    """How many eigenvalues are large, and ε-sharpness in a small and a large ball."""
    recipe = Recipe(RATE, batch_size, STOP_LOSS, seed)
    data = networks.dataset(recipe)
    trained = networks.train(recipe, data)
    began = time.perf_counter()
    hessian = curvature.Hessian(trained.model, LOSS, data.train)
    values = flatlab.top_eigenpairs(hessian, 24, tol=1e-2).values
    loss = flatlab.training.evaluate(trained.model, LOSS, data.train).loss
    found = {"sharpness": float(values[0]), "eigenvalues_above_0.4": int((values > 0.4).sum())}
    for epsilon in (0.02, 0.5):
        rise = curvature.epsilon_sharpness(
            trained.model, LOSS, data.train, epsilon=epsilon, steps=20
        )
        taylor = epsilon**2 * float(values[0]) / (2 * (1 + loss))
        found[f"ratio_to_taylor_{epsilon}"] = rise.value / taylor
    return found | {"seconds": trained.seconds + time.perf_counter() - began}


def rescaling(batch_size: int, seed: int) -> dict[str, float]:
    """Twins of one network, W1, b1 times α and W2 divided by α, and where GD takes them."""
    recipe = Recipe(RATE, batch_size, STOP_LOSS, seed)
    data = networks.dataset(recipe)
    trained = networks.train(recipe, data)
    began = time.perf_counter()
    found = {"sharpness": flatlab.sharpness(trained.model, LOSS, data.train)}
    with torch.no_grad():
        before = trained.model(data.X_test)
    for alpha in (2, 3):
        twin = copy.deepcopy(trained.model)
        w1, b1, w2 = list(twin.parameters())[:3]
        with torch.no_grad():
            w1.mul_(alpha), b1.mul_(alpha), w2.div_(alpha)
            change = (twin(data.X_test) - before).abs().max() / before.abs().max()
        found[f"prediction_change_{alpha}"] = float(change)
        found[f"sharpness_{alpha}"] = flatlab.sharpness(twin, LOSS, data.train)
        flatlab.fit(twin, LOSS, data.train, learning_rate=RATE, steps=60, progress=False)
        found[f"sharpness_{alpha}_after_60"] = flatlab.sharpness(twin, LOSS, data.train)
    return found | {"seconds": trained.seconds + time.perf_counter() - began}


MINIMA = Experiment(
    "01-minima",
    ("batch_size", "stop_loss"),
    ("steps", "sharpness", "frobenius_norm", "epsilon_sharpness", "test_accuracy_percent"),
    minimum,
    scale="laptop",
)
SPECTRA = Experiment(
    "01-spectra",
    ("batch_size",),
    ("sharpness", "eigenvalues_above_0.4", "ratio_to_taylor_0.02", "ratio_to_taylor_0.5"),
    spectrum,
    scale="laptop",
)
RESCALING = Experiment(
    "01-rescaling",
    ("batch_size",),
    (
        "sharpness",
        *(f"{name}_{a}" for a in (2, 3) for name in ("prediction_change", "sharpness")),
        *(f"sharpness_{a}_after_60" for a in (2, 3)),
    ),
    rescaling,
    scale="laptop",
)
BOTH = {
    "small": Runs(MINIMA, {"batch_size": 10, "stop_loss": STOP_LOSS}),
    "full": Runs(MINIMA, {"batch_size": 1000, "stop_loss": STOP_LOSS}),
}


def _smaller(found, column: str, what: str) -> rules.Point:
    small, full = found["small"][column], found["full"][column]
    text = f"{rules.mean_sd(small)} against {rules.mean_sd(full)}"
    return rules.every_seed(what, text, "smaller, in each seed", small < full)


def _flatter(found: Found) -> list[rules.Point]:
    return [_smaller(found, "sharpness", "λ_max, batches of 10 against the full batch,")]


def _agree(found: Found) -> list[rules.Point]:
    return [
        _smaller(found, "frobenius_norm", "‖H‖_F, batches of 10 against the full batch,"),
        _smaller(found, "epsilon_sharpness", "ε-sharpness (ε = 0.2)"),
    ]


def _generalize(found: Found) -> list[rules.Point]:
    gains = found["small"]["test_accuracy_percent"] - found["full"]["test_accuracy_percent"]
    larger = gains.mean() > TEST_ERROR
    return [
        rules.gain("test accuracy, batches of 10 minus full batch,", gains, " points"),
        rules.Point(
            "the same", f"{gains.mean():+.2g}", f"more than {TEST_ERROR} points", float(larger)
        ),
    ]


def _eigenvalues(found: Found) -> list[rules.Point]:
    counts = {name: found[name]["eigenvalues_above_0.4"] for name in ("B = 10", "B = 100")}
    tops = {name: found[name]["sharpness"] for name in counts}
    return [
        rules.rising("λ_max", tops),
        rules.rising("eigenvalues above 0.4 (a tenth of 2/η)", counts),
    ]


def _radius(found: Found) -> list[rules.Point]:
    small, large = (found["runs"][f"ratio_to_taylor_{e}"] for e in (0.02, 0.5))
    return [
        rules.within("ε-sharpness over ½ε²λ_max/(1+L) at ε = 0.02", small, 1.0, 0.1),
        rules.above("at ε = 0.5", np.abs(large - 1), 0.5),
    ]


def _rescaled(found: Found) -> list[rules.Point]:
    runs = found["runs"]
    return [
        rules.below("largest relative change of a prediction, α = 3,", runs["prediction_change_3"], 1e-4),
        rules.above("λ_max of the twin over λ_max,", runs["sharpness_3"] / runs["sharpness"], 2),
    ]  # fmt: skip


def _one_twin(found: Found) -> list[rules.Point]:
    runs = found["runs"]
    kept = runs["sharpness_2_after_60"] / runs["sharpness_2"]
    text = f"λ_max {rules.mean_sd(runs['sharpness_2'])}, times {rules.mean_sd(kept)}"
    return [
        rules.above("twin α = 3: λ_max", runs["sharpness_3"], 2 / RATE),
        rules.below("after 60 steps", runs["sharpness_3_after_60"], 1.05 * 2 / RATE),
        rules.every_seed(
            "twin α = 2, below 2/η: after 60 steps",
            text,
            "changed by more than 10 %",
            np.abs(kept - 1) > 0.1,
        ),
    ]


TWINS = {"runs": Runs(RESCALING, {"batch_size": 10})}
CLAIMS = (
    Claim(
        "flatter", f"{SARKAR}, 'SGD prefers flat minima'",
        "SGD finds flatter minima than gradient descent.", "no number", BOTH, _flatter,
    ),
    Claim(
        "measures-agree", f"{SARKAR}, 'Sharpness measures', 'ε-sharpness'",
        "Frobenius norm and ε-sharpness call the same minimum sharp.", "no number", BOTH, _agree,
    ),
    Claim(
        "generalize", f"{SARKAR}, 'Flat and sharp minima'",
        "Flat minima generalize better.", "no number", BOTH, _generalize,
        note="0.4 points is the standard error of one accuracy on 10,000 test images, which no number of seeds removes.",
    ),
    Claim(
        "eigenvalues", f"{SARKAR}, 'Sharpness measures'",
        "More large eigenvalues mean a sharper minimum.", "no number",
        {f"B = {b}": Runs(SPECTRA, {"batch_size": b}) for b in (10, 100)}, _eigenvalues,
        note="Batches of 10 against batches of 100. The 24 largest were computed: 24 stands for 24 or more.",
    ),
    Claim(
        "epsilon-radius", f"{SARKAR}, 'ε-sharpness'",
        "ε-sharpness is one number, but needs a reasonable ε: it is λ_max for a small ball, something else for a large one.",
        "½ε²λ_max/(1+L)", {"runs": Runs(SPECTRA, {"batch_size": 10})}, _radius,
        note="The comparison with ½ε²λ_max/(1+L) is ours; the slide asks for a reasonable ε and names none. At a loss of 1e-3 the gradient, 0.011 to 0.015 long here, is not 0: in the ball of 0.02 its term is as large as the second-order one.",
    ),
    Claim(
        "rescaling", f"{JASTRZEBSKI}, 'Gradient Descent and Reparametrization'",
        "(θ₁, θ₂) → (αθ₁, θ₂/α) leaves the function and changes the sharpness.", "no number", TWINS, _rescaled,
    ),
    Claim(
        "one-twin", f"{JASTRZEBSKI}, 'Gradient Descent and Reparametrization'",
        "Gradient descent only samples one of the equivalent reparametrizations.", "no number", TWINS, _one_twin,
        note="What is excluded are twins above 2/η; below it each twin keeps its sharpness.",
    ),
)  # fmt: skip
