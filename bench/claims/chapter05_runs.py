"""What chapter 05's claims measure: minima of SGD, SAM and others, and SAM's approximations."""

import math
from collections.abc import Callable

import torch
from ledger.runs import Experiment
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import cross_entropy
from torch.optim.lr_scheduler import CosineAnnealingLR

import flatlab
from flatlab import curvature, models
from flatlab.averaging import WeightAverage
from flatlab.batches import Batches
from flatlab.data import Dataset
from flatlab.sam import SAM, dual_norm_ascent, hessian_penalty, sam_gradient

METHODS = ("SGD", "SAM", "ASAM", "SWA", "Hessian penalty", "exact SAM")
RATE, MOMENTUM, SIZE = 0.05, 0.9, 64
HIDDEN = (64, 64)
COST = {"SGD": 1, "SAM": 2, "ASAM": 2, "SWA": 1, "Hessian penalty": 4, "exact SAM": 4}  # gradients
CHECKED = 8  # minibatches over which the approximations are averaged
DELTA = 0.05  # of the theorem: it holds with probability 1 - delta


def images(n_train: int, label_noise: float, seed: int) -> Dataset:
    return flatlab.load_dataset(
        "fashion_mnist", n_train, label_noise=label_noise, download=False,
        generator=torch.Generator().manual_seed(seed),
    )  # fmt: skip


def network(seed: int) -> nn.Module:
    return models.mlp((784, *HIDDEN, 10), generator=torch.Generator().manual_seed(seed))


def trained(
    method: str, strength: float, p: float, epochs: int, data: Dataset, seed: int
) -> nn.Module:
    """784-64-64-10 after `epochs` epochs. `strength`: rho, or the penalty's weight.

    The learning rate falls to 0 along a cosine, for SWA alone it is constant: the weights at the end of
    each epoch of the second half are averaged. The penalty is an estimate of the batch's tr(H), one
    probe a step. Exact SAM takes the gradient of L(w + e(w)), second-order term included, of each batch.
    """
    model, loss_fn, callbacks = network(seed), cross_entropy, []
    generator = torch.Generator().manual_seed(1000 + seed)
    per_epoch = math.ceil(len(data.X_train) / SIZE)
    optimizer = torch.optim.SGD(model.parameters(), lr=RATE, momentum=MOMENTUM)
    if method in ("SAM", "ASAM"):
        optimizer = SAM(model.parameters(), optimizer, strength, p, method == "ASAM")
    if method == "Hessian penalty":
        loss_fn = penalized(model, strength, seed)
    if method == "SWA":
        callbacks = [average := WeightAverage(per_epoch, epochs // 2 * per_epoch)]
    schedule = None if method == "SWA" else CosineAnnealingLR(optimizer, epochs * per_epoch)
    if method == "exact SAM":
        return exactly(model, schedule, strength, data, generator)
    flatlab.fit(
        model, loss_fn, data.train, optimizer=optimizer, scheduler=schedule, batch_size=SIZE,
        epochs=epochs, evaluate_every=10**6, callbacks=callbacks, generator=generator, progress=False,
    )  # fmt: skip
    return average.network() if method == "SWA" else model.eval()


def penalized(model: nn.Module, strength: float, seed: int) -> Callable[[Tensor, Tensor], Tensor]:
    probes = torch.Generator().manual_seed(seed)

    def loss_fn(prediction: Tensor, y: Tensor) -> Tensor:
        loss = cross_entropy(prediction, y)
        if not torch.is_grad_enabled():
            return loss
        return loss + strength * hessian_penalty(loss, model.parameters(), probes)

    return loss_fn


def exactly(
    model: nn.Module, schedule: CosineAnnealingLR, rho: float, data: Dataset,
    generator: torch.Generator,
) -> nn.Module:  # fmt: skip
    names, weights = zip(*model.named_parameters(), strict=True)
    X, y = data.train
    batches = Batches(len(X), SIZE, [generator])
    for _ in range(schedule.T_max):
        index = batches.draw()
        part = slice(None) if index is None else index[0]
        loss = cross_entropy(model(X[part]), y[part])
        gradients = torch.autograd.grad(loss, weights, create_graph=True)
        steps = dual_norm_ascent(gradients, rho)
        moved = {name: w + e for name, w, e in zip(names, weights, steps, strict=True)}
        schedule.optimizer.zero_grad()
        cross_entropy(functional_call(model, moved, (X[part],)), y[part]).backward()
        schedule.optimizer.step()
        schedule.step()
    return model.eval()


def minimum(
    method: int, strength: float, p: float, epochs: int, n_train: int, label_noise: float, seed: int
) -> dict[str, float]:
    """Losses, errors and curvature of cross-entropy where METHODS[method] ends."""
    data = images(n_train, label_noise, seed)
    model = trained(METHODS[method], strength, p, epochs, data, seed)
    train, test = (
        flatlab.training.evaluate(model, cross_entropy, part) for part in (data.train, data.test)
    )
    hessian = curvature.Hessian(model, cross_entropy, data.train)
    top = flatlab.top_eigenpairs(hessian, 5, tol=1e-2).values
    return {
        "train_loss": train.loss,
        "train_error_percent": 100 * (1 - train.accuracy),
        "test_loss": test.loss,
        "test_error_percent": 100 * (1 - test.accuracy),
        "sharpness": float(top[0]),
        "fifth": float(top[4]),
        "trace": curvature.trace(hessian, probes=20).value,
        "norm": curvature.frobenius_norm(hessian, probes=20).value,
        "gradients": COST[METHODS[method]] * epochs * math.ceil(n_train / SIZE),
    }


def approximation(rho: float, epochs: int, n_train: int, seed: int) -> dict[str, float]:
    """SAM's two approximations after `epochs` epochs of SGD, means over 8 minibatches of 64.

    `cosine`, `second_share`: between the gradient with and without the second-order term, and the
    term's length over the exact gradient's. `plain_cosine`: between the exact gradient and that at w.
    `rise_share`: the loss's rise at the first-order step over the largest found in the ball.
    """
    data = images(n_train, 0.0, seed)
    model = trained("SGD", 0.0, 2.0, epochs, data, seed) if epochs else network(seed)
    found: dict[str, list[float]] = {}
    for start in range(0, CHECKED * SIZE, SIZE):
        batch = tuple(part[start : start + SIZE] for part in data.train)
        gradient = sam_gradient(model, cross_entropy, batch, rho)
        exact, first = gradient.exact, gradient.first_order
        ball = curvature.epsilon_sharpness(model, cross_entropy, batch, rho)
        rise = gradient.perturbed_loss - gradient.loss
        here = {
            "loss": gradient.loss,
            "cosine": cosine(exact, first),
            "plain_cosine": cosine(exact, gradient.perturbation),  # p = 2: along the gradient at w
            "second_share": float(gradient.second_order.norm() / exact.norm()),
            "rise": rise,
            "rise_share": rise / (ball.value * (1 + ball.loss)),
        }
        for name, value in here.items():
            found.setdefault(name, []).append(value)
    return {name: sum(values) / len(values) for name, values in found.items()}


def cosine(a: Tensor, b: Tensor) -> float:
    return float(torch.nn.functional.cosine_similarity(a.double(), b.double(), dim=0))


def bound(method: int, strength: float, rho: float, epochs: int, n_train: int, seed: int) -> dict:
    """The theorem's two terms where a method ends: `first` = max L_S(w + e), `second` = h(|w|^2/rho^2).

    h as in the proof (Foret et al., 2021, appendix A.1), its unnamed constant left out:
    sqrt((k log(1 + |w|^2/rho^2 (1 + sqrt(log(n)/k))^2) + 4 log(n/delta)) / (n - 1)), k parameters.
    """
    data = images(n_train, 0.0, seed)
    model = trained(METHODS[method], strength, 2.0, epochs, data, seed)
    ball = curvature.epsilon_sharpness(model, cross_entropy, data.train, rho)
    square = sum(float(w.detach().square().sum()) for w in model.parameters())
    n, k = n_train, models.count_parameters(model)
    inner = math.log1p(square / rho**2 * (1 + math.sqrt(math.log(n) / k)) ** 2)
    return {
        "train_loss": ball.loss,
        "test_loss": flatlab.training.evaluate(model, cross_entropy, data.test).loss,
        "first": ball.loss + ball.value * (1 + ball.loss),
        "second": math.sqrt((k * inner + 4 * math.log(n / DELTA)) / (n - 1)),
        "norm_squared": square,
    }


def twins(epochs: int, n_train: int, seed: int) -> dict[str, float]:
    """The loss's rise at SAM's and at ASAM's step, for a network and (alpha t1, t2 / alpha), alpha = 10.

    Radii: 0.05, and for ASAM 0.5; the full training set's gradient.
    """
    data = images(n_train, 0.0, seed)
    model = trained("SGD", 0.0, 2.0, epochs, data, seed)
    found = {}
    for name in ("", "_twin"):
        if name:
            w1, b1, w2 = list(model.parameters())[:3]
            with torch.no_grad():
                w1.mul_(10), b1.mul_(10), w2.div_(10)
        for kind, rho, adaptive in (("sam", 0.05, False), ("asam", 0.5, True)):
            there = sam_gradient(model, cross_entropy, data.train, rho, adaptive=adaptive)
            found[f"{kind}{name}"] = there.perturbed_loss - there.loss
        found[f"loss{name}"] = there.loss
    return found


MINIMA = Experiment(
    "05-minima",
    ("method", "strength", "p", "epochs", "n_train", "label_noise"),
    (
        *("train_loss", "train_error_percent", "test_loss", "test_error_percent"),
        *("sharpness", "fifth", "trace", "norm", "gradients"),
    ),
    minimum,
    scale="laptop",
)
GRADIENTS = Experiment(
    "05-gradients",
    ("rho", "epochs", "n_train"),
    ("loss", "cosine", "plain_cosine", "second_share", "rise", "rise_share"),
    approximation,
    scale="laptop",
)
BOUNDS = Experiment(
    "05-bound",
    ("method", "strength", "rho", "epochs", "n_train"),
    ("train_loss", "test_loss", "first", "second", "norm_squared"),
    bound,
    scale="laptop",
)
TWINS = Experiment(
    "05-twins",
    ("epochs", "n_train"),
    ("sam", "sam_twin", "asam", "asam_twin", "loss", "loss_twin"),
    twins,
    scale="laptop",
)
