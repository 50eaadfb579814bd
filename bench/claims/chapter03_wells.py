"""What chapter 03's claims measure of the theory: the density in two wells, its ratio, its noise."""

import math

import torch
from ledger.runs import Experiment
from torch import Tensor
from torch.func import functional_call, grad, vmap
from torch.nn.functional import cross_entropy

import flatlab
from flatlab import models
from flatlab.noise import basin_ratio, gibbs_density

DEEP, WIDE = (-1.0, 0.0, 16.0), (1.0, 0.5, 2.0)  # place, loss, second derivative
SOFT = 0.02  # how far the two parabolas are rounded where they meet
BINS = torch.linspace(-5, 8, 131, dtype=torch.float64)
CHAINS, BURN, KEEP, EVERY = 2000, 12000, 8000, 20  # steps at a learning rate of 0.005
SIGMA = 80.0


def parabolas(x: Tensor) -> Tensor:
    return torch.stack([loss + h / 2 * (x - place) ** 2 for place, loss, h in (DEEP, WIDE)])


def two_wells(x: Tensor) -> Tensor:
    """A soft minimum of two parabolas: a deep narrow well at -1, a shallow wide one at 1."""
    return -SOFT * torch.logsumexp(-parabolas(x) / SOFT, 0)


def slope(x: Tensor) -> Tensor:
    (a, loss_a, h), (b, loss_b, k) = DEEP, WIDE
    u, v = x - a, x - b
    share = torch.sigmoid((loss_a - loss_b + h / 2 * u * u - k / 2 * v * v) / SOFT)  # of WIDE
    return torch.lerp(h * u, k * v, share)


def gibbs(learning_rate: float, batch_size: int, seed: int) -> dict[str, float]:
    """SGD on samples with gradients L'(x) + 80 or L'(x) - 80: its histogram beside the Gibbs density.

    2000 runs, half from each well; a batch of S samples has noise of variance 6400 / S. `distance` is
    the total variation: half the sum of the differences of the bins' probabilities.
    """
    generator = torch.Generator().manual_seed(seed)
    x = torch.tensor([DEEP[0], WIDE[0]], dtype=torch.float64).repeat(CHAINS // 2)
    counts = torch.zeros(len(BINS) - 1, dtype=torch.float64)
    slower = 0.005 / learning_rate
    burn, keep, every = (math.ceil(steps * slower) for steps in (BURN, KEEP, EVERY))
    for step in range(burn + keep):
        signs = torch.randint(2, (batch_size, CHAINS), generator=generator).double().mean(0) * 2 - 1
        x = x - learning_rate * (slope(x) + SIGMA * signs)
        if step >= burn and step % every == 0:
            counts += torch.histogram(x, BINS).hist
    n = learning_rate / batch_size
    fine = torch.linspace(-5, 8, 13001, dtype=torch.float64)
    density = gibbs_density(two_wells, SIGMA, n, fine)
    share = counts / counts.sum()
    wanted = (density[:-1] * fine.diff()).reshape(len(share), -1).sum(1)
    between = (fine > DEEP[0]) & (fine < WIDE[0])
    top = float(fine[between][two_wells(fine[between]).argmax()])
    deep = BINS[:-1] < top
    ratio = basin_ratio(
        DEEP[1], torch.tensor([[DEEP[2]]]), WIDE[1], torch.tensor([[WIDE[2]]]), n, SIGMA
    )
    return {
        "distance": float((share - wanted / wanted.sum()).abs().sum() / 2),
        "wide_share": float(share[~deep].sum()),
        "wide_share_gibbs": float(wanted[~deep].sum()),
        "deep_over_wide": float(share[deep].sum() / share[~deep].sum()),
        "basin_ratio": ratio,
    }


def ratio(dimension: int, seed: int) -> dict[str, float]:
    """p_A / p_B before and after changes of variables, the new value over the old.

    Random positive definite Hessians. `linear`: one random matrix at both minima. `layers`: (alpha t1,
    t2 / alpha), alpha = 2, at both. `twin`, `unequal_twin`: the same at A alone, which has the same
    function there, with as many entries in t1 as in t2, and with two more. `nonlinear`: x + x^3 / 10 in
    each coordinate, the minima at two random places.
    """
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    a, b = (m @ m.T / dimension + torch.eye(dimension) for m in draw(2, dimension, dimension))

    def of(jacobian_a: Tensor, jacobian_b: Tensor) -> float:
        new_a = jacobian_a.T @ a @ jacobian_a
        new_b = jacobian_b.T @ b @ jacobian_b
        return basin_ratio(0.1, symmetric(new_a), 0.2, symmetric(new_b), n=0.01, sigma=5.0)

    same = torch.eye(dimension, dtype=torch.float64)
    before, mixed = of(same, same), draw(dimension, dimension)
    half = dimension // 2

    def layers(first: int) -> Tensor:
        return torch.diag(torch.tensor([2.0] * first + [0.5] * (dimension - first)).double())

    places = draw(2, dimension)
    slopes = [torch.diag(1 + 0.3 * place**2) for place in places]
    return {
        "linear": of(mixed, mixed) / before,
        "layers": of(layers(half), layers(half)) / before,
        "twin": of(layers(half), same) / before,
        "unequal_twin": of(layers(half + 1), same) / before,
        "nonlinear": of(*slopes) / before,
    }


def symmetric(matrix: Tensor) -> Tensor:
    return (matrix + matrix.T) / 2


def isotropy(epochs: int, seed: int) -> dict[str, float]:
    """How far C = cov of per-sample gradients is from sigma^2 I: 784-16-16-10, 1000 images.

    `participation` is (tr C)^2 / tr C^2, which is p for sigma^2 I; `directions_90` the number of
    directions that hold 90 % of tr C. C has rank 999 at most; its eigenvalues are those of the
    1000 x 1000 Gram matrix.
    """
    data = flatlab.load_dataset("fashion_mnist", 1000, 10, download=False)
    generator = torch.Generator().manual_seed(seed)
    model = models.mlp((784, 16, 16, 10), generator=generator)
    if epochs:
        flatlab.fit(
            model, cross_entropy, data.train, learning_rate=0.1, batch_size=32, epochs=epochs,
            generator=generator, progress=False, evaluate_every=10**6,
        )  # fmt: skip
    weights = {name: p.detach() for name, p in model.named_parameters()}

    def loss(weights: dict[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
        return cross_entropy(functional_call(model, weights, (x[None],)), y[None])

    gradients = vmap(grad(loss), in_dims=(None, 0, 0))(weights, *data.train)
    rows = torch.cat([g.flatten(1) for g in gradients.values()], 1).double()
    apart = rows - rows.mean(0)
    values = torch.linalg.eigvalsh(apart @ apart.T / len(apart)).flip(0).clamp_min(0)
    total = values.sum()
    return {
        "parameters": rows.shape[1],
        "participation": float(total**2 / values.square().sum()),
        "directions_90": int((values.cumsum(0) < 0.9 * total).sum()) + 1,
        "top_share": float(values[0] / total),
    }


WELLS = Experiment(
    "03-gibbs",
    ("learning_rate", "batch_size"),
    ("distance", "wide_share", "wide_share_gibbs", "deep_over_wide", "basin_ratio"),
    gibbs,
)
RATIOS = Experiment(
    "03-ratio", ("dimension",), ("linear", "layers", "twin", "unequal_twin", "nonlinear"), ratio
)
ISOTROPY = Experiment(
    "03-isotropy",
    ("epochs",),
    ("parameters", "participation", "directions_90", "top_share"),
    isotropy,
    scale="laptop",
)
