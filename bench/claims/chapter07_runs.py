"""What chapter 07's claims measure: networks that learn the table of an operation modulo 31."""

import math
from collections.abc import Callable, Sequence

import torch
from ledger.runs import Experiment
from torch import Tensor, nn
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from flatlab import grokking
from flatlab.grokking import ModularTable
from flatlab.history import History
from flatlab.sweeps import Outcome, Run, sweep

P, WIDTH, RATE, BETAS = 31, 128, 0.01, (0.9, 0.98)
LOOK = 5  # steps between two evaluations
MOVE = 10  # looks in a move; Adam's momentum remembers some ten steps
KNOWN, PATIENCE = 0.95, 3  # an accuracy is reached where it stays for three looks
HALF_GUESS = math.log(P) / 2  # half of the loss of a network that knows nothing
SHARPENED = 10.0  # outputs near 0 and 1, as logits
WAVES = range(1, P // 2 + 1)
ZERO_MSE, ZERO_CROSS_ENTROPY = 1e-3, 1e-2  # training losses that count as zero
PLACES = ("fit", "zero", "rule", "end")
MEASURES = ("sharpness", "trace", "weight_norm", "participation", "column_participation")


def network(generator: torch.Generator) -> nn.Module:
    return grokking.OneHotMLP(P, WIDTH, generator=generator)


def transformer(generator: torch.Generator) -> nn.Module:
    return grokking.Transformer(P, width=32, hidden=64, generator=generator)


def adamw(decay: float, fraction: float, seed: int, **settings) -> Run:
    """The seed draws the network, the split and wrong labels."""
    return Run(
        RATE, optimizer="adamw", betas=BETAS, weight_decay=decay, train_fraction=fraction, seed=seed,
        **settings,
    )  # fmt: skip


def trained(
    table: ModularTable,
    run: Run,
    steps: int,
    build=network,
    loss_fn=grokking.one_hot_mse,
    **options,
) -> Outcome:
    (outcome,) = sweep(
        build, loss_fn, table.data(), [run], steps=steps, evaluate_every=LOOK, engine="sequential",
        progress=False, **options,
    )  # fmt: skip
    return outcome


def reached(history: History, column: str) -> float:
    """The step at which an accuracy reached 95 % and stayed there; NaN: never."""
    step = grokking.time_to_threshold(history, KNOWN, PATIENCE, column)
    return math.nan if step is None else step


def first(steps: Sequence[int], holds: Sequence[bool]) -> float:
    return next((int(step) for step, yes in zip(steps, holds, strict=True) if yes), math.nan)


def ends(outcome: Outcome) -> dict[str, float]:
    """When a run fitted and generalized, and how it ended."""
    history = outcome.history
    fit, rule = (reached(history, f"{part}_accuracy") for part in ("train", "test"))
    at_fit = history.test_accuracy[history.step == fit]
    return {
        "fit": fit,
        "rule": rule,
        "test_at_fit_percent": 100 * float(at_fit[0]) if len(at_fit) else math.nan,
        "train_percent": 100 * float(history.train_accuracy[-1]),
        "test_percent": 100 * float(history.test_accuracy[-1]),
    }


def scan(operation: int, decay: float, fraction: float, steps: int, seed: int) -> dict[str, float]:
    """A run that ends once it has generalized."""
    table = grokking.modular_table(P, grokking.OPERATIONS[int(operation)])
    stop = grokking.Reached(KNOWN, PATIENCE)
    return ends(trained(table, adamw(decay, fraction, seed), int(steps), stop_when=stop))


def noise(decay: float, label_noise: float, steps: int, seed: int) -> dict[str, float]:
    """A run with wrong training labels; the test cells are right."""
    run = adamw(decay, 0.5, seed, label_noise=label_noise)
    return ends(trained(grokking.modular_table(P), run, int(steps)))


class Kept(list):
    """A metric that keeps the weights of every look."""

    def __call__(self, model: nn.Module) -> float:
        self.append(parameters_to_vector(model.parameters()).detach().clone())
        return len(self)


def at(model: nn.Module, weights: Tensor) -> nn.Module:
    vector_to_parameters(weights, model.parameters())
    return model


def places(history: History, zero: float) -> dict[str, int]:
    """The looks of 95 % training accuracy, "zero" training loss, 95 % test accuracy, and the last.

    What is never reached stands for the last.
    """
    steps = history.step.tolist()
    wanted = {
        "fit": reached(history, "train_accuracy"),
        "zero": first(steps, history.train_loss <= zero),
        "rule": reached(history, "test_accuracy"),
        "end": steps[-1],
    }
    return {name: -1 if math.isnan(s) else steps.index(s) for name, s in wanted.items()}


def along(table, run: Run, outcome: Outcome, kept: Kept, model, loss_fn, zero: float) -> dict:
    """Sharpness, trace, norm and participation at the places, and the participation at the start."""
    measures = grokking.progress_measures(table, run.split(len(table))[0], loss_fn)
    found = places(outcome.history, zero)
    values = {
        f"{name}_{place}": measures[name](at(model, kept[look]))
        for place, look in found.items()
        for name in MEASURES
    }
    values |= {f"loss_{place}": float(outcome.history.train_loss[k]) for place, k in found.items()}
    for name in ("weight_norm", "participation", "column_participation"):
        values[f"{name}_start"] = measures[name](at(model, kept[0]))
    return values


def walk(kept: Kept, start: int) -> dict[str, float]:
    """Moves of 50 steps after the fit: a random walk has a cosine of 0 and a path of sqrt(n) distances."""
    moves = torch.stack(kept[start::MOVE]).diff(dim=0)
    path, distance = moves.norm(dim=1).sum(), moves.sum(0).norm()
    return {
        "moves": len(moves),
        "cosine": float(torch.cosine_similarity(moves[1:], moves[:-1], dim=1).mean()),
        "path": float(path / distance),
        "distance": float(distance / kept[start].norm()),
    }


def averaged_accuracy(logits: Tensor, results: Tensor) -> float:
    """The share of results c whose mean output over the rows with this result is largest at c."""
    right = [int(logits[results == c].mean(0).argmax()) == int(c) for c in results.unique()]
    return sum(right) / len(right)


def inside(table: ModularTable, run: Run, outcome: Outcome, kept: Kept, model: nn.Module) -> dict:
    """When the waves appear: restricted and excluded loss, and what the test outputs say on average."""
    rows, apart = run.split(len(table))

    def loss(logits: Tensor, y: Tensor) -> Tensor:
        return grokking.cross_entropy(SHARPENED * logits, y)

    looks = []
    for weights in kept:
        with torch.no_grad():
            logits = at(model, weights)(table.pairs)
        looks.append(
            (
                grokking.restricted_loss(logits, table, WAVES, None, loss),
                grokking.excluded_loss(logits, table, WAVES, rows, loss),
                float(loss(logits[apart], table.results[apart])),
                averaged_accuracy(logits[apart], table.results[apart]),
            )
        )
    restricted, excluded, test, averaged = torch.tensor(looks, dtype=torch.float64).T
    by_heart = torch.zeros(len(table), P)
    by_heart[rows, table.results[rows]] = 1.0
    listed = grokking.restricted_loss(by_heart, table, WAVES, None, loss)
    history, steps = outcome.history, outcome.history.step.tolist()
    fit, least = places(history, ZERO_MSE)["fit"], int(excluded.argmin())
    return {
        "restricted_half": first(steps, restricted <= HALF_GUESS),
        "test_loss_half": first(steps, test <= HALF_GUESS),
        "restricted_fit": float(restricted[fit]),
        "restricted_end": float(restricted[-1]),
        "list_restricted": listed,
        "below_list": first(steps, restricted < listed),
        "test_half": first(steps, history.test_accuracy >= 0.5),
        "read": first(steps, averaged >= KNOWN),
        "test_at_read_percent": 100
        * float(history.test_accuracy[int((averaged >= KNOWN).int().argmax())]),
        "excluded_least": float(excluded[least]),
        "excluded_least_step": steps[least],
        "excluded_end": float(excluded[-1]),
    }


def progress(
    decay: float, fraction: float, batch_size: int, steps: int, seed: int
) -> dict[str, float]:
    """One run of the quadratic network, not ended early, and what changes within it.

    `batch_size`: 0 for all training cells at once.
    """
    table, kept = grokking.modular_table(P), Kept()
    run = adamw(decay, fraction, seed, batch_size=int(batch_size) or None)
    outcome = trained(table, run, int(steps), metrics={"kept": kept})
    model = outcome.model(network)
    fit = places(outcome.history, ZERO_MSE)["fit"]
    return (
        ends(outcome)
        | along(table, run, outcome, kept, model, grokking.one_hot_mse, ZERO_MSE)
        | walk(kept, max(fit, 0))
        | inside(table, run, outcome, kept, model)
    )


def attention(decay: float, fraction: float, steps: int, seed: int) -> dict[str, float]:
    """A small transformer with cross-entropy; `frequencies`: how many hold 90 % of the power."""
    table, kept = grokking.modular_table(P), Kept()
    run = adamw(decay, fraction, seed)
    loss_fn = grokking.cross_entropy
    outcome = trained(table, run, int(steps), transformer, loss_fn, metrics={"kept": kept})
    model = outcome.model(transformer)
    found = ends(outcome) | along(table, run, outcome, kept, model, loss_fn, ZERO_CROSS_ENTROPY)
    for place, look in {"start": 0, "end": -1}.items():
        power = grokking.fourier_power(at(model, kept[look]).embedding)
        found[f"frequencies_{place}"] = len(grokking.key_frequencies(power))
    return found


ENDS = ("fit", "rule", "test_at_fit_percent", "train_percent", "test_percent")
ALONG = (
    *(f"{name}_{place}" for place in PLACES for name in (*MEASURES, "loss")),
    *(f"{name}_start" for name in MEASURES[2:]),
)
WALK = ("moves", "cosine", "path", "distance")
INSIDE = (
    *("restricted_half", "test_loss_half", "restricted_fit", "restricted_end", "list_restricted"),
    *("below_list", "test_half", "read", "test_at_read_percent"),
    *("excluded_least", "excluded_least_step", "excluded_end"),
)


def experiment(name: str, settings: tuple, columns: tuple, measure: Callable) -> Experiment:
    return Experiment(f"07-{name}", settings, columns, measure, scale="laptop")


SCAN = experiment("scan", ("operation", "decay", "fraction", "steps"), ENDS, scan)
NOISE = experiment("noise", ("decay", "label_noise", "steps"), ENDS, noise)
PROGRESS = experiment(
    "progress",
    ("decay", "fraction", "batch_size", "steps"),
    (*ENDS, *ALONG, *WALK, *INSIDE),
    progress,
)
TRANSFORMER = experiment(
    "transformer",
    ("decay", "fraction", "steps"),
    (*ENDS, *ALONG, "frequencies_start", "frequencies_end"),
    attention,
)
