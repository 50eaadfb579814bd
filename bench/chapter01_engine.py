"""What the curvature engine is worth to chapter 01: its calls of the package, before and after.

    python bench/chapter01_engine.py [--before fb78276] [--repeats 5]

Before: the engine that chapter 01 was first written on, taken from git (one batch, double backward
through a kept graph, full re-orthogonalization); after: this folder's. The same calls on the
benchmark's network, each engine in a process of its own, turn by turn. Kept in
bench/results/chapter01-engine.json. Needs Fashion-MNIST under $FLATLAB_DATA and the git history.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "passive")
HERE = Path(__file__).resolve().parents[1]
RESULTS = HERE / "bench" / "results" / "chapter01-engine.json"
CALLS = {
    "λ_max to 1e-3": lambda f, args: f.sharpness(*args),
    "top eigenvector to 5e-2": lambda f, args: f.top_eigenpairs(f.Hessian(*args), 1, tol=0.05),
    "spectral density, 60 steps, 1 probe": lambda f, args: f.spectral_density(
        f.Hessian(*args), 60, 1, width=0.01
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--before", default="fb78276")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(times()))
        return
    old = HERE / "build" / f"engine-{options.before}"
    if not old.exists():
        old.mkdir(parents=True)
        archive = subprocess.run(
            ["git", "-C", HERE, "archive", options.before, "flatlab"],
            check=True,
            capture_output=True,
        )
        subprocess.run(["tar", "-x", "-C", old], input=archive.stdout, check=True)
    seconds = {"before": [], "after": []}
    for _ in range(options.repeats):
        for name, folder in (("before", old), ("after", HERE)):
            seconds[name].append(child(folder))
    table = {}
    for call in CALLS:
        before, after = (statistics.median(run[call] for run in seconds[n]) for n in seconds)
        table[call] = {"before_s": before, "after_s": after}
        print(f"{call}: {before:.2f} s before, {after:.2f} s after, {before / after:.2f} times")
    result = {"before": options.before, "repeats": options.repeats, "calls": table}
    RESULTS.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")


def child(folder: Path) -> dict[str, float]:
    """The times with the package in `folder`."""
    environment = os.environ | {"PYTHONPATH": str(folder)}
    command = [sys.executable, __file__, "--child"]
    run = subprocess.run(
        command, env=environment, cwd=folder, check=True, stdout=subprocess.PIPE, text=True
    )
    return json.loads(run.stdout.splitlines()[-1])


def times() -> dict[str, float]:
    """Seconds of each call, after one that warms up."""
    import torch

    import flatlab
    from flatlab import models

    data = flatlab.load_dataset("fashion_mnist", n_train=1000, one_hot=True).train
    model, loss_fn = models.fnn(generator=torch.Generator().manual_seed(0)), torch.nn.MSELoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(100):
        optimizer.zero_grad()
        loss_fn(model(data[0]), data[1]).backward()
        optimizer.step()
    optimizer.zero_grad()
    args, result = (model, loss_fn, data), {}
    flatlab.sharpness(*args)
    for name, call in CALLS.items():
        began = time.perf_counter()
        call(flatlab, args)
        result[name] = time.perf_counter() - began
    return result


if __name__ == "__main__":
    main()
