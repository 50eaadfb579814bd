"""Chapter 01's comparison over several seeds: is the small-batch minimum flatter, is it better?

python bench/sharp_and_flat.py [--seeds 5] [--stop-loss 1e-3]

Prints one row a seed and a summary as a Markdown table, and keeps the rows in
bench/results/sharp_and_flat.csv. Finished rows are kept when the run is interrupted, and not run
again. Needs Fashion-MNIST under $FLATLAB_DATA.
"""

import argparse
import csv
import time
from pathlib import Path

import numpy as np
import torch

import flatlab
from flatlab import curvature, models
from flatlab.training import fit

RESULTS = Path(__file__).parent / "results" / "sharp_and_flat.csv"
COLUMNS = (
    "seed", "batch_size", "stop_loss", "steps", "sharpness", "frobenius_norm", "epsilon_sharpness",
    "test_accuracy_percent", "seconds",
)  # fmt: skip


def measure(
    seed: int, batch_size: int | None, stop_loss: float, data: flatlab.data.Dataset
) -> dict:
    """One training run from the seed's own start, and its measures."""
    begin = time.perf_counter()
    model = models.fnn(generator=torch.Generator().manual_seed(seed))
    loss_fn = torch.nn.functional.mse_loss
    history = fit(
        model, loss_fn, data.train, learning_rate=0.5, batch_size=batch_size, steps=50_000,
        stop_loss=stop_loss, generator=torch.Generator().manual_seed(seed),
    )  # fmt: skip
    hessian = curvature.Hessian(model, loss_fn, data.train)
    x, y = data.test
    with torch.no_grad():
        correct = (model(x).argmax(1) == y.argmax(1)).float().mean().item()
    row = {
        "seed": seed,
        "batch_size": len(data.train[0]) if batch_size is None else batch_size,
        "stop_loss": stop_loss,
        "steps": history.last()["step"],
        "sharpness": float(flatlab.top_eigenpairs(hessian).values[0]),
        "frobenius_norm": curvature.frobenius_norm(hessian, probes=20).value,
        "epsilon_sharpness": curvature.epsilon_sharpness(
            model, loss_fn, data.train, epsilon=0.2, steps=20
        ).value,
        "test_accuracy_percent": 100 * correct,
        "seconds": time.perf_counter() - begin,
    }
    return {k: round(v, 5) if isinstance(v, float) else v for k, v in row.items()}


def finished() -> list[dict]:
    """The rows already on disk."""
    if not RESULTS.exists():
        return []
    with RESULTS.open(newline="") as file:
        return [{k: float(v) for k, v in row.items()} for row in csv.DictReader(file)]


def keep(row: dict) -> None:
    """Append one row to the file."""
    RESULTS.parent.mkdir(exist_ok=True)
    new = not RESULTS.exists()
    with RESULTS.open("a", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        if new:
            writer.writeheader()
        writer.writerow(row)


def summary(rows: list[dict]) -> str:
    """Mean and standard deviation over seeds for each batch size, and the paired difference."""
    lines = [
        "| batch size | seeds | λ_max | Frobenius norm | ε-sharpness (ε = 0.2) | test accuracy (%) |",
        "|---|---|---|---|---|---|",
    ]
    measures = ("sharpness", "frobenius_norm", "epsilon_sharpness", "test_accuracy_percent")
    for size in sorted({row["batch_size"] for row in rows}):
        chosen = [row for row in rows if row["batch_size"] == size]
        cells = []
        for name in measures:
            values = np.array([row[name] for row in chosen])
            cells.append(f"{values.mean():.3g} ± {values.std(ddof=1):.2g}")
        lines.append(f"| {size:.0f} | {len(chosen)} | {' | '.join(cells)} |")
    small, large = min(r["batch_size"] for r in rows), max(r["batch_size"] for r in rows)
    pick = {(r["seed"], r["batch_size"]): r["test_accuracy_percent"] for r in rows}
    gains = np.array([pick[s, small] - pick[s, large] for s, b in pick if b == small])
    error = gains.std(ddof=1) / len(gains) ** 0.5
    lines.append("")
    lines.append(
        f"Test accuracy, batch {small:.0f} minus full batch, same seed: {gains.mean():+.2f} points, "
        f"standard error {error:.2f}, positive in {int((gains > 0).sum())} of {len(gains)}."
    )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--stop-loss", type=float, default=1e-3)
    options = parser.parse_args()
    data = flatlab.load_dataset("fashion_mnist", n_train=1000, one_hot=True)
    done = {(row["seed"], row["batch_size"], row["stop_loss"]) for row in finished()}
    for seed in range(options.seeds):
        for batch_size in (10, None):
            if (seed, batch_size or 1000, options.stop_loss) not in done:
                row = measure(seed, batch_size, options.stop_loss, data)
                keep(row)
                print(row, flush=True)
    rows = [r for r in finished() if r["stop_loss"] == options.stop_loss]
    print(summary([r for r in rows if r["seed"] < options.seeds]))


if __name__ == "__main__":
    main()
