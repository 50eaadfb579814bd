"""Chapter 05: sharpness-aware minimization. Slides of the HSE seminar and of Sarkar."""

import math
from functools import partial

from ledger.rules import Claim, Runs

from claims import chapter05_rules as judge
from claims.chapter05_runs import BOUNDS, GRADIENTS, METHODS, MINIMA, TWINS

TITLE = "Chapter 05: sharpness-aware minimization"
SETTING = (
    "Network 784-64-64-10, the first 2048 Fashion-MNIST images, cross-entropy, 60 epochs of batches of 64, SGD with "
    "momentum 0.9, as it is or with SAM around it, the learning rate falling from 0.05 to 0 along a cosine; 10,000 test images. Label noise: that share of "
    "the training labels is replaced by another class. λ_max to 1 %, trace and norm from 20 probes."
)
SEMINAR = "Sharpness-Aware Minimization, Mode Connectivity, ... (HSE)"
SARKAR = "SGD: Role of Randomness and Sharpness (Sarkar)"
NO = "no number"
EPOCHS, N = 60, 2048
STRENGTHS = {"SGD": 0, "SAM": 0.1, "ASAM": 1, "SWA": 0, "Hessian penalty": 0.003, "exact SAM": 0.1}


def run(
    method: str, epochs: int = EPOCHS, n: int = N, noise: float = 0, strength: float | None = None,
    p: float = 2,
) -> Runs:  # fmt: skip
    settings = {"method": METHODS.index(method), "p": p, "epochs": epochs, "n_train": n}
    strength = STRENGTHS[method] if strength is None else strength
    return Runs(MINIMA, settings | {"strength": strength, "label_noise": noise})


def against_sgd(*methods: str, **settings) -> dict[str, Runs]:
    return {name: run(name, **settings) for name in ("SGD", *methods)}


def pairs(settings: dict[str, dict], longer: int = 1) -> dict[str, Runs]:
    """SGD and SAM at each setting; SGD with `longer` times the epochs."""
    return {
        f"{method}, {name}": run(method, EPOCHS * (longer if method == "SGD" else 1), **kept)
        for name, kept in settings.items()
        for method in ("SGD", "SAM")
    }


CLEAN, NOISY = {"true labels": {}}, {"20 % wrong labels": {"noise": 0.2}}
SETTINGS = {
    "n = 256": {"n": 256},
    "n = 1024": {"n": 1024},
    "n = 2048": {},
    "n = 4096": {"n": 4096},
    "n = 2048, 20 % wrong labels": {"noise": 0.2},
    "n = 2048, 40 % wrong labels": {"noise": 0.4},
}
RADII = (0, 0.05, 0.1, 0.2, 0.5)
NORMS = {"1": (0.5, 1, 2), "2": (0.05, 0.1, 0.2), "∞": (0.0005, 0.001, 0.002)}
EXPONENTS = {
    f"p = {p}, ρ = {rho:g}": run(
        "SAM", noise=0.2, strength=rho, p=math.inf if p == "∞" else float(p)
    )
    for p, radii in NORMS.items()
    for rho in radii
}
GRADIENT_RUNS = {
    f"{'start' if not e else f'{e} epochs'}, ρ = {rho:g}": Runs(
        GRADIENTS, {"rho": rho, "epochs": e, "n_train": N}
    )
    for e in (0, 5, EPOCHS)
    for rho in (0.05,)
}


def bound(method: str) -> Runs:
    settings = {"method": METHODS.index(method), "strength": STRENGTHS[method], "rho": 0.1}
    return Runs(BOUNDS, settings | {"epochs": EPOCHS, "n_train": N})


def flat_claim(name: str, method: str, slide: str, says: str, note: str = "") -> Claim:
    rule = judge.averaged if method == "SWA" else partial(judge.flatter, method)
    return Claim(name, slide, says, NO, against_sgd(method), rule, note=note)


CLAIMS = (
    flat_claim(
        "sam-flatter", "SAM", f"{SEMINAR}, 'Sharpness-Aware Minimization', figures 1 and 2",
        "SGD converges to a sharp minimum, the same network with SAM to a wide one.",
        note="ρ = 0.1, after the same number of epochs. 'Wide' is judged as λ_max smaller by a factor of 2 and more.",
    ),
    Claim(
        "sam-spectrum", f"{SEMINAR}, 'Sharpness-Aware Minimization', figures 1 and 2",
        "The minimum of SAM is wide in all directions, not in one alone.", NO, against_sgd("SAM"), judge.narrower,
        note="Our reading of the two figures: trace, norm and fifth eigenvalue are smaller by the factor that is asked of λ_max.",
    ),
    flat_claim(
        "asam-flatter", "ASAM", f"{SEMINAR}, 'Sharpness-Aware Minimization'",
        "Adaptive SAM finds a wide minimum.", note="ρ = 1. Not on the slides (Kwon et al., 2021).",
    ),
    flat_claim(
        "swa-flatter", "SWA", f"{SARKAR}, 'Other algorithms'",
        "Stochastic weight averaging produces flat minima.",
        note="Weights at the end of each epoch of the second half, constant learning rate; SGD with its falling one stands beside it.",
    ),
    flat_claim(
        "penalty-flatter", "Hessian penalty", f"{SARKAR}, 'Other algorithms'",
        "Using the Hessian for regularization finds flat minima.",
        note="0.003 times an estimate of the minibatch's tr H, one probe a step.",
    ),
    Claim(
        "sam-error", f"{SEMINAR}, 'SAM results'",
        "Switching to SAM reduces the error rate (true labels).", NO,
        against_sgd("SAM", "ASAM"), judge.lower_error, note="At equal epochs: SAM takes twice the gradients.",
    ),
    Claim(
        "sam-error-noise", f"{SEMINAR}, 'SAM results'",
        "Switching to SAM reduces the error rate (20 % of the labels wrong).", NO,
        against_sgd("SAM", "ASAM", noise=0.2), judge.lower_error,
    ),
    Claim(
        "sam-equal-time", f"{SEMINAR}, 'SAM results'",
        "The same with as many gradients: SGD trains for twice the epochs.", NO,
        pairs(CLEAN, 2) | pairs(NOISY, 2), judge.equal_time,
    ),
    Claim(
        "sam-early", f"{SEMINAR}, 'SAM results'",
        "The same against SGD for fewer epochs (20 % wrong labels).", NO,
        {f"SGD, {e} epochs": run("SGD", e, noise=0.2) for e in (15, 30)} | {"SAM": run("SAM", noise=0.2)},
        judge.early, note="Ours: with wrong labels SGD is best before it has learned them. The learning rate falls to 0 within the fewer epochs.",
    ),
    Claim(
        "sam-everywhere", f"{SEMINAR}, 'SAM results'",
        "Each of many data sets, models and augmentations gains.", NO, pairs(SETTINGS), judge.everywhere,
        note="One network; data of several sizes and qualities, ρ = 0.1 throughout. 60 epochs are fewer steps where n is smaller.",
    ),
    Claim(
        "sam-radius", f"{SARKAR}, 'Sharpness aware minimization'",
        "Minimizing L plus sharpness: the larger ρ, the flatter the minimum, and flat minima generalize better.", NO,
        {f"ρ = {rho:g}": run("SAM" if rho else "SGD", strength=rho) for rho in RADII}, judge.radius,
    ),
    Claim(
        "sam-norm", f"{SEMINAR}, 'Sharpness-Aware Minimization'",
        "p = 2 is empirically the best choice.", NO, EXPONENTS, partial(judge.best_norm, list(NORMS)),
        note="20 % wrong labels; each p at the best of three radii, chosen by the same test errors; for p = ∞ larger ones than 0.002 were not tried.",
    ),
    Claim(
        "sam-second-order", f"{SEMINAR}, 'Sharpness-Aware Minimization'",
        "Second-order terms can be dropped: the gradients agree.", NO, GRADIENT_RUNS, judge.first_order,
        note="Of eight minibatches of 64, on the way of SGD.",
    ),
    Claim(
        "sam-dropped", f"{SEMINAR}, 'Sharpness-Aware Minimization'",
        "Second-order terms can be dropped: training ends alike.", NO, against_sgd("SAM", "exact SAM"), judge.dropped,
    ),
    Claim(
        "sam-ascent", f"{SEMINAR}, 'How to minimize L_S^SAM?'",
        "The maximum in the ball is about where the first-order expansion has its.", NO, GRADIENT_RUNS, judge.linear,
        note="The largest rise found by projected gradient ascent from several starts.",
    ),
    Claim(
        "sam-theorem", f"{SEMINAR}, 'What is sharpness?'; {SARKAR}, 'Sharpness aware minimization'",
        "L_D(w) ≤ max L_S(w + ε) + h(‖w‖²/ρ²).", NO, {name: bound(name) for name in ("SGD", "SAM")}, judge.theorem,
        note="h of the proof (Foret et al., 2021, appendix), its O(1) left out, δ = 0.05, ρ = 0.1; the proof asks for a bounded loss. L_D is the loss on 10,000 test images.",
    ),
    Claim(
        "asam-invariant", "Three Factors Influencing Minima in SGD (Jastrzębski et al.), 'Gradient Descent and Reparametrization'",
        "Sharpness depends on the parametrization, (θ₁, θ₂) → (αθ₁, θ₂/α): SAM's step does, ASAM's does not.", NO,
        {"twins": Runs(TWINS, {"epochs": EPOCHS, "n_train": N})}, judge.twins, note="α = 10. Not on the slides (Kwon et al., 2021).",
    ),
)  # fmt: skip
