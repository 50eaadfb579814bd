"""The published sharpness and non-uniformity at learning rate 0.5, reproduced (Wu, Ma and E, 2018).

    python bench/wu2018.py [--seeds 2] [--batch-sizes 10 1000] [--stop-loss 1e-4]

784-500-500-500-10 ReLU, PyTorch's default initialization, the first 1000 images of Fashion-MNIST,
MSE on one-hot targets, SGD at 0.5 until the training loss is 1e-4. Prints a row a run beside the
published mean and standard deviation, and keeps them in bench/results/wu2018.csv; finished runs
are not run again. Needs Fashion-MNIST under $FLATLAB_DATA.
"""

import argparse
import csv
import os
import time
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import torch
from torch import nn

import flatlab
from flatlab import models
from flatlab.curvature import non_uniformity, sharpness

RESULTS = Path(__file__).parent / "results" / "wu2018.csv"
COLUMNS = ("seed", "batch_size", "stop_loss", "steps", "train_loss", "sharpness", "non_uniformity")
COLUMNS += ("sharpness_seconds", "non_uniformity_seconds")
# ../shared/reference/wu2018-fashionmnist-sgd.csv, learning rate 0.5: means and deviations of runs
PUBLISHED = {10: ((1.234, 0.24), (4.317, 0.84)), 1000: ((3.796, 0.19), (13.09, 0.77))}


def run(seed: int, batch_size: int, stop_loss: float) -> dict:
    """Train from the seed's own start, then measure both."""
    data = flatlab.load_dataset("fashion_mnist", n_train=1000, one_hot=True).train
    model, loss_fn = models.fnn(generator=torch.Generator().manual_seed(seed)), nn.MSELoss()
    history = flatlab.fit(
        model, loss_fn, data, learning_rate=0.5, batch_size=batch_size, steps=200_000,
        stop_loss=stop_loss, generator=torch.Generator().manual_seed(seed), progress=False,
    )  # fmt: skip
    began = time.perf_counter()
    a = sharpness(model, loss_fn, data)
    middle = time.perf_counter()
    s = non_uniformity(model, loss_fn, data)
    steps, loss = history.step[-1], history.train_loss[-1]
    times = (middle - began, time.perf_counter() - middle)
    values = (seed, batch_size, stop_loss, int(steps), float(loss), a, s, *times)
    return dict(zip(COLUMNS, values, strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[10, 1000])
    parser.add_argument("--stop-loss", type=float, default=1e-4)
    options = parser.parse_args()
    rows = list(csv.DictReader(RESULTS.open())) if RESULTS.exists() else []
    done = {(int(r["seed"]), int(r["batch_size"]), float(r["stop_loss"])) for r in rows}
    RESULTS.parent.mkdir(exist_ok=True)
    for batch_size in options.batch_sizes:
        for seed in range(options.seeds):
            if (seed, batch_size, options.stop_loss) not in done:
                rows.append(run(seed, batch_size, options.stop_loss))
                with RESULTS.open("w", newline="") as file:
                    writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
                    writer.writeheader()
                    writer.writerows(rows)
    for row in rows:
        print(describe(row))


def describe(row: dict) -> str:
    """A run, and how many published standard deviations it lies from the published means."""
    batch_size, parts = int(row["batch_size"]), []
    measured = (float(row["sharpness"]), float(row["non_uniformity"]))
    for name, value, (mean, sd) in zip(
        ("sharpness", "non-uniformity"), measured, PUBLISHED[batch_size], strict=True
    ):
        parts.append(f"{name} {value:.3f} (published {mean} ± {sd}: {(value - mean) / sd:+.1f} sd)")
    return f"batch {batch_size}, seed {row['seed']}, {row['steps']} steps: {'; '.join(parts)}"


if __name__ == "__main__":
    main()
