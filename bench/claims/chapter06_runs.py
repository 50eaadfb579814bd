"""What chapter 06's claims measure: losses on lines and curves between networks, and ensembles."""

import torch
from ledger.runs import Experiment
from torch import nn
from torch.nn.functional import cross_entropy
from torch.optim.lr_scheduler import CosineAnnealingLR

import flatlab
from flatlab import models
from flatlab.averaging import Ensemble, fge
from flatlab.curves import Bezier, Curve, PolygonalChain, align, losses_along
from flatlab.data import Dataset

RATE, MOMENTUM, SIZE = 0.05, 0.9, 64
KINDS = ("line", "chain", "bezier")
POINTS = torch.linspace(0, 1, 31, dtype=torch.float64)
MEMBERS = 3  # networks of an independent ensemble, and runs of FGE at three budgets
CYCLES = 5  # of one run of FGE


def images(n_train: int) -> Dataset:
    return flatlab.load_dataset("fashion_mnist", n_train, download=False)


def network(width: int, seed: int, batch_norm: bool = False) -> nn.Sequential:
    generator = torch.Generator().manual_seed(seed)
    return models.mlp((784, width, width, 10), batch_norm=batch_norm, generator=generator)


def train(model: nn.Module, data: Dataset, epochs: int, seed: int, size: int = SIZE) -> nn.Module:
    """SGD with momentum 0.9, the learning rate falling from 0.05 to 0 along a cosine."""
    steps = epochs * -(-len(data.X_train) // size)
    flatlab.fit(
        model, cross_entropy, data.train, learning_rate=RATE, momentum=MOMENTUM, batch_size=size,
        steps=steps, scheduler=lambda o: CosineAnnealingLR(o, steps), evaluate_every=10**6,
        generator=torch.Generator().manual_seed(1000 + seed), progress=False,
    )  # fmt: skip
    return model.eval()


def pair(width: int, data: Dataset, epochs: int, seed: int, batch_norm: bool = False) -> list:
    """Two networks of their own start and order of samples."""
    starts = (2 * seed, 2 * seed + 1)
    return [train(network(width, s, batch_norm), data, epochs, s) for s in starts]


def curve_of(kind: str, first: nn.Module, second: nn.Module) -> Curve:
    if kind == "bezier":
        return Bezier(first, second)
    return PolygonalChain(first, second, bends=0 if kind == "line" else 1)


def along(curve: Curve, data: Dataset, kind: str, batch_norm: bool = False) -> dict[str, float]:
    """What is kept of a curve: its highest and mean loss and error on 31 points, and its length."""
    gathered = data.train if batch_norm else None
    train_set, test_set = (
        losses_along(curve, cross_entropy, part, POINTS, batch_norm_data=gathered)
        for part in (data.train, data.test)
    )
    straight = float((curve.ends[1] - curve.ends[0]).norm())
    return {
        f"{kind}_max_loss": float(train_set.losses.max()),
        f"{kind}_mean_loss": float(train_set.losses.mean()),
        f"{kind}_barrier": train_set.barrier,
        f"{kind}_max_train_error_percent": 100 * float(train_set.errors.max()),
        f"{kind}_max_test_error_percent": 100 * float(test_set.errors.max()),
        f"{kind}_mean_test_error_percent": 100 * float(test_set.errors.mean()),
        f"{kind}_length": float(train_set.lengths[-1]) / straight,
        "end_loss": max(float(train_set.losses[0]), float(train_set.losses[-1])),
        "end_train_error_percent": 100 * max(map(float, train_set.errors[[0, -1]])),
        "end_test_error_percent": 100 * max(map(float, test_set.errors[[0, -1]])),
    }


def curves(
    width: int, epochs: int, curve_epochs: int, second_size: int, second_epochs: int, n_train: int,
    seed: int,
) -> dict[str, float]:  # fmt: skip
    """Line, chain and Bezier curve between two networks, 784-width-width-10.

    The second is trained in batches of `second_size`; 64 is the first's. `end_...`: the worse end.
    """
    data = images(n_train)
    first = train(network(width, 2 * seed), data, epochs, 2 * seed)
    second = network(width, 2 * seed + 1)
    train(second, data, second_epochs, 2 * seed + 1, second_size)
    found = {}
    for kind in KINDS:
        curve = curve_of(kind, first, second)
        if kind != "line":
            train(curve, data, curve_epochs, seed)
        found |= along(curve, data, kind)
    for name, end in (("first", first), ("second", second)):
        found[f"{name}_sharpness"] = flatlab.sharpness(end, cross_entropy, data.train, tol=1e-2)
        test = flatlab.training.evaluate(end, cross_entropy, data.test)
        found[f"{name}_test_error_percent"] = 100 * (1 - test.accuracy)
    return found


def widths(width: int, epochs: int, n_train: int, seed: int) -> dict[str, float]:
    """The straight line between two networks, as they are and after alignment; three optima.

    `barrier_k`: between the pairs of three networks. The first pair is aligned.
    """
    data = images(n_train)
    starts = range(3 * seed, 3 * seed + 3)
    networks = [train(network(width, s), data, epochs, s) for s in starts]
    found = {}
    for k, (i, j) in enumerate(((0, 1), (0, 2), (1, 2))):
        line = PolygonalChain(networks[i], networks[j], bends=0)
        found[f"barrier_{k}"] = losses_along(line, cross_entropy, data.train, POINTS).barrier
    first, second = networks[:2]
    aligned = align(first, second, torch.Generator().manual_seed(seed))
    for name, end in (("line", second), ("aligned", aligned.network)):
        kept = along(PolygonalChain(first, end, bends=0), data, name)
        found |= {key: value for key, value in kept.items() if not key.endswith("length")}
    return found | {"distance": aligned.distance_after / aligned.distance_before}


def batch_norm(width: int, epochs: int, curve_epochs: int, n_train: int, seed: int) -> dict:
    """A Bezier curve between networks with batch norm: its statistics anew at each t, or not.

    `stale`: the running statistics that training the curve left, gathered over all t.
    """
    data = images(n_train)
    curve = Bezier(*pair(width, data, epochs, seed, batch_norm=True))
    found = along(PolygonalChain(*map(curve.network_at, (0.0, 1.0)), bends=0), data, "line", True)
    train(curve, data, curve_epochs, seed)
    found |= along(curve, data, "fresh", True)
    stale = [
        [flatlab.training.evaluate(at, cross_entropy, part) for part in (data.train, data.test)]
        for at in map(curve.network_at, POINTS.tolist())
    ]
    found["stale_max_loss"] = max(there.loss for there, _ in stale)
    found["stale_max_test_error_percent"] = 100 * max(1 - there.accuracy for _, there in stale)
    return found


def ensembles(
    width: int, budget: int, share: float, high: float, n_train: int, seed: int
) -> dict[str, float]:
    """Test errors of ensembles at one budget and at three.

    One budget is `budget` epochs: a network (`single`); FGE, which spends `share` of it on 5 cycles after a
    training of the rest (`fge`); five networks of a fifth of it each (`short`). Three
    budgets: three networks (`independent`); three runs of FGE, all members together (`fge_three`).
    """
    data = images(n_train)
    per_epoch = -(-n_train // SIZE)
    seeds = range(MEMBERS * seed, MEMBERS * seed + MEMBERS)
    cycle = 2 * round(share * budget * per_epoch / (2 * CYCLES - 1))  # the last one ends half-way
    spent = (CYCLES * cycle - cycle // 2) / per_epoch
    singles, runs = [], []
    for s in seeds:
        singles.append(train(network(width, s), data, budget, s))
        model = train(network(width, s), data, round(budget - spent), s)
        members, _ = fge(
            model, cross_entropy, data.train, cycle=cycle, cycles=CYCLES, low=high / 100, high=high,
            batch_size=SIZE, momentum=MOMENTUM, generator=torch.Generator().manual_seed(2000 + s),
            progress=False,
        )  # fmt: skip
        runs.append(members)
    short = [
        train(network(width, s), data, budget // CYCLES, s)
        for s in range(5000 + 5 * seed, 5005 + 5 * seed)
    ]
    everyone = [member for run in runs for member in run.members]
    tried = {
        "single": singles[0],
        "fge": runs[0],
        "fge_last": runs[0].members[-1],
        "short": Ensemble(short),
        "independent": Ensemble(singles),
        "fge_three": Ensemble(everyone),
    }
    found = {}
    for name, model in tried.items():
        test = flatlab.training.evaluate(model, cross_entropy, data.test)
        found[f"{name}_error_percent"] = 100 * (1 - test.accuracy)
        found[f"{name}_loss"] = test.loss
    return found


def columns(*kinds: str, length: bool = True) -> tuple[str, ...]:
    of_curve = (
        *("max_loss", "mean_loss", "barrier", "max_train_error_percent"),
        *("max_test_error_percent", "mean_test_error_percent"),
        *(("length",) if length else ()),
    )
    of_ends = ("end_loss", "end_train_error_percent", "end_test_error_percent")
    return (*(f"{kind}_{what}" for kind in kinds for what in of_curve), *of_ends)


CURVES = Experiment(
    "06-curves",
    ("width", "epochs", "curve_epochs", "second_size", "second_epochs", "n_train"),
    (
        *columns(*KINDS),
        *(f"{e}_{what}" for e in ("first", "second") for what in ("sharpness", "test_error_percent")),
    ),
    curves,
    scale="laptop",
)  # fmt: skip
WIDTHS = Experiment(
    "06-widths",
    ("width", "epochs", "n_train"),
    (*(f"barrier_{k}" for k in range(3)), *columns("line", "aligned", length=False), "distance"),
    widths,
    scale="laptop",
)
NORMS = Experiment(
    "06-batch-norm",
    ("width", "epochs", "curve_epochs", "n_train"),
    (*columns("line", "fresh"), "stale_max_loss", "stale_max_test_error_percent"),
    batch_norm,
    scale="laptop",
)
TRIED = ("single", "fge", "fge_last", "short", "independent", "fge_three")
ENSEMBLES = Experiment(
    "06-ensembles",
    ("width", "budget", "share", "high", "n_train"),
    tuple(f"{name}_{what}" for name in TRIED for what in ("error_percent", "loss")),
    ensembles,
    scale="laptop",
)
