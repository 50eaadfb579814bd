"""Sweeps in lockstep against the same runs one after the other.

    python bench/sweep.py                 the table, on the CPU (threads: --threads 2)
    python bench/sweep.py --device cuda   64 runs on a GPU

Each row trains the same runs by ``sweep(engine="lockstep")``, by ``engine="sequential"`` (``fit``, run
after run) and by ``engine="auto"``, in turn, several rounds; the ratio is that of the medians. Seconds
hold all of a sweep: networks, trial, training, two evaluations a run. Kept in bench/results/, and
written to docs/performance.md.
"""

import argparse
import json
import os
import statistics
import time
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import torch
from peers import report
from torch.nn.functional import cross_entropy

from flatlab import models
from flatlab.sweeps import Run, grid, sweep

RESULTS = Path(__file__).parent / "results"
SMALL, WIDE = (784, 64, 64, 10), (784, 500, 500, 500, 10)
ROWS = [  # widths, batch norm, runs, batch size, steps, ratio to reach
    (SMALL, False, 16, 8, 800, 2.5),
    (SMALL, False, 16, 32, 600, 2.5),
    (SMALL, False, 16, 256, 200, 1.9),
    (SMALL, True, 16, 32, 400, None),
    (SMALL, False, 4, 32, 1200, None),
    ((784, 256, 256, 10), False, 16, 32, 200, None),
    (WIDE, False, 16, 32, 60, 1.0),
    (WIDE, False, 16, 256, 24, 1.0),
]
ENGINES = ("lockstep", "sequential", "auto")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rows", type=int, default=len(ROWS), help="only the first so many")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    rows = ROWS[: options.rows] if options.device == "cpu" else [(SMALL, False, 64, 32, 600, 20.0)]
    table = []
    for row in rows:
        line = measured(row, options)
        table.append(line)
        ratio = line["sequential"] / line["lockstep"]
        print(
            f"{line['network']}, {line['runs']} runs, batch {line['batch']}: one by one "
            f"{line['sequential']:.2f} s, lockstep {line['lockstep']:.2f} s ({ratio:.2f} times as "
            f"fast), auto {line['auto']:.2f} s",
            flush=True,
        )
    name = "cuda" if options.device == "cuda" else f"cpu-{options.threads}"
    path = RESULTS / f"sweep-{name}.json"
    path.write_text(json.dumps({"threads": options.threads, "rows": table}, indent=1) + "\n")
    report.write(RESULTS)


def measured(row: tuple, options: argparse.Namespace) -> dict:
    """Median seconds of each engine."""
    widths, norm, count, batch, steps, wanted = row
    draw = torch.Generator().manual_seed(0)
    X = torch.rand(2000, 784, generator=draw).to(options.device)
    y = torch.randint(10, (2000,), generator=draw).to(options.device)

    def build(generator: torch.Generator) -> torch.nn.Module:
        return models.mlp(widths, batch_norm=norm, generator=generator).to(options.device)

    runs = grid(Run(batch_size=batch), learning_rate=[0.02, 0.05], seed=range(count // 2))
    rest = {"steps": steps, "evaluate_every": steps, "progress": False}
    seconds = {engine: [] for engine in ENGINES}
    for _ in range(options.rounds):
        for engine in ENGINES:
            begin = time.perf_counter()
            sweep(build, cross_entropy, (X, y), runs, engine=engine, **rest)
            if X.is_cuda:
                torch.cuda.synchronize()
            seconds[engine].append(time.perf_counter() - begin)
    name = "-".join(map(str, widths)) + (", batch norm" if norm else "")
    facts = {"network": name, "runs": count, "batch": batch, "steps": steps, "to_reach": wanted}
    return facts | {engine: statistics.median(times) for engine, times in seconds.items()}


if __name__ == "__main__":
    main()
