"""The double descent curve of random Fourier features: 40 counts from 10 to 6000, n = 1000.

    python bench/descent.py            Fashion-MNIST under $FLATLAB_DATA (threads: --threads 2)
    python bench/descent.py --quick    n = 100, counts to 600, random images: whether it runs

1000 training and 1000 test images, one-hot targets, minimum-norm fits, bandwidth 5. Rounds of
``feature_curve``, and once the same curve from one ``minimum_norm_fit`` a count, as a check and to
compare. Beside the seconds stands where they go. Kept in bench/results/.
"""

import argparse
import json
import os
import statistics
import time
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import numpy as np
import torch
from torch import Tensor

from flatlab import load_dataset
from flatlab.descent import RandomFeatures, curves, feature_curve, minimum_norm_fit

RESULTS = Path(__file__).parent / "results"
TO_REACH = 3.0  # seconds on 2 cores


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    n = 100 if options.quick else 1000
    train, test = images(n, options.quick)
    counts = np.unique(np.concatenate([np.geomspace(0.01, 6, 29), np.linspace(0.9, 1.1, 11)]) * n)
    counts = sorted({max(round(c), 1) for c in counts})
    drawn = RandomFeatures.fourier(train[0].flatten(1).shape[1], counts[-1])
    seconds, busy = [], []
    for _ in range(2 if options.quick else options.rounds):
        began, cpu = time.perf_counter(), time.process_time()
        curve = feature_curve(drawn, train, test, counts)
        seconds.append(time.perf_counter() - began)
        busy.append(time.process_time() - cpu)
    parts = clock(lambda: feature_curve(drawn, train, test, counts))
    began = time.perf_counter()
    risks = [one_by_one(drawn, train, test, count) for count in counts]
    apart = time.perf_counter() - began
    gap = max(abs(a / b - 1) for a, b in zip(curve.test_risk[:, 0].tolist(), risks, strict=True))
    print(
        f"{len(counts)} counts, n = {n}: {statistics.median(seconds):.2f} s [{min(seconds):.2f}, "
        f"{max(seconds):.2f}] ({statistics.median(busy):.2f} s of CPU); to reach {TO_REACH} s; one by "
        f"one {apart:.1f} s, test risks differ by {gap:.1e} at most"
    )
    print(
        f"the peak is at {curve.peak()} features, with a test risk of {curve.test_risk.max():.3g}"
    )
    print("seconds of it:", parts)
    if not options.quick:
        found = {
            "threads": options.threads, "counts": counts, "seconds": seconds, "cpu_seconds": busy,
            "one_by_one": apart, "largest_difference": gap, "to_reach": TO_REACH, "parts": parts,
            "peak": curve.peak(),
        }  # fmt: skip
        (RESULTS / "descent-cpu.json").write_text(json.dumps(found, indent=1) + "\n")


def images(n: int, random: bool) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    if random:
        draw = torch.Generator().manual_seed(0)
        labels = torch.nn.functional.one_hot(torch.arange(n) % 10, 10).double()
        return tuple((torch.rand(n, 20, generator=draw), labels) for _ in range(2))
    data = load_dataset("fashion_mnist", n_train=n, n_test=n)
    sets = ((data.X_train, data.y_train), (data.X_test, data.y_test))
    return tuple((X, torch.nn.functional.one_hot(y, 10).double()) for X, y in sets)


def one_by_one(drawn: RandomFeatures, train: tuple, test: tuple, count: int) -> float:
    fit = minimum_norm_fit(drawn(train[0], count), train[1])
    return float((fit.predict(drawn(test[0], count)) - test[1]).square().mean())


def clock(work) -> dict[str, float]:
    """Seconds of the parts of one curve, by wrapping the functions it is made of."""
    spent: dict[str, float] = {}

    def timed(name, function):
        def wrapped(*args, **rest):
            began = time.perf_counter()
            result = function(*args, **rest)
            spent[name] = spent.get(name, 0.0) + time.perf_counter() - began
            return result

        return wrapped

    grown = curves._Growing
    places = [
        (RandomFeatures, "__call__", "features"), (torch.linalg, "qr", "one QR"),
        (grown, "_outer", "growing the Gram matrix"), (grown, "_solved", "Cholesky"),
        (curves, "_risks", "risks"), (curves, "ridge_fit", "fits again from singular values"),
    ]  # fmt: skip
    before = [getattr(owner, name) for owner, name, _ in places]
    for (owner, name, label), function in zip(places, before, strict=True):
        setattr(owner, name, timed(label, function))
    try:
        began = time.perf_counter()
        work()
        total = time.perf_counter() - began
    finally:
        for (owner, name, _), function in zip(places, before, strict=True):
            setattr(owner, name, function)
    spent["products with coefficients, and the rest"] = total - sum(spent.values())
    return {name: round(value, 3) for name, value in spent.items()}


if __name__ == "__main__":
    main()
