"""A phase diagram of grokking: 10 weight decays x 10 training fractions x 3 seeds, p = 31.

    python bench/grokking.py            the diagram, in two processes (--jobs 2)
    python bench/grokking.py --quick    3 x 3: whether it runs, not what it measures

Addition mod 31, the one-hot quadratic network of width 128, full-batch AdamW at 0.01, at most 1000 steps;
a run ends at a test accuracy of 95 %. Groups of runs go to processes, whose start counts. Beside the
wall clock stand the steps that all runs made, and where the clock goes within a step of one stack.
Kept in bench/results/.
"""

import argparse
import itertools
import json
import os
import time
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import joblib
import numpy as np
import torch

from flatlab.grokking import PHASES, OneHotMLP, modular_table, one_hot_mse, phase_diagram
from flatlab.sweeps import Run, grid
from flatlab.sweeps.job import Job
from flatlab.sweeps.lockstep import Lockstep

RESULTS = Path(__file__).parent / "results"
P, STEPS, EVERY, DELAY = 31, 1000, 25, 100
TO_REACH = 60.0  # seconds on 2 cores


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=2, help="processes, one thread each")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--engine", default="auto", help="auto, lockstep or sequential")
    options = parser.parse_args()
    torch.set_num_threads(1)
    size = 3 if options.quick else 10
    decays = np.geomspace(0.03, 3.0, size).tolist()
    fractions = np.linspace(0.2, 0.8, size).tolist()
    table = modular_table(P)
    began = time.perf_counter()
    with joblib.parallel_config(backend="loky", n_jobs=options.jobs):
        diagram = phase_diagram(
            table, decays, fractions, (0, 1, 2), steps=STEPS, evaluate_every=EVERY,
            engine=options.engine,
        )  # fmt: skip
    seconds = time.perf_counter() - began
    steps = np.nan_to_num(diagram.generalized, nan=STEPS).sum()
    counts = np.bincount(diagram.phases(DELAY).ravel(), minlength=4).tolist()
    print(
        f"{diagram.fitted.size} runs, {int(steps)} steps: {seconds:.1f} s, "
        f"{1e3 * seconds / steps:.2f} ms a step; to reach {TO_REACH:.0f} s"
    )
    print(", ".join(f"{n} {name}" for n, name in zip(counts, PHASES, strict=True)))
    parts = clock(table)
    print("a step of one run in a stack of 30, ms of CPU:", parts)
    if not options.quick:
        found = {
            "jobs": options.jobs, "seconds": seconds, "steps": int(steps),
            "to_reach": TO_REACH, "phases": dict(zip(PHASES, counts, strict=True)),
            "step_ms": parts,
        }  # fmt: skip
        (RESULTS / "grokking-cpu.json").write_text(json.dumps(found, indent=1) + "\n")


def clock(table, rounds: int = 15) -> dict[str, float]:
    """CPU milliseconds of the parts of a step, for one run of 30 that train on half the table."""
    runs = grid(Run(optimizer="adamw", learning_rate=0.01, train_fraction=0.5), seed=range(30))

    def build(generator: torch.Generator) -> torch.nn.Module:
        return OneHotMLP(P, generator=generator)

    job = Job(
        build, one_hot_mse, table.data(), None, runs, STEPS, None, -1.0, EVERY, {}, "lockstep", None
    )
    begun = [run.start(build) for run in runs]
    train, test = zip(*(job.data_of(run) for run in runs), strict=True)
    stack = Lockstep([m for m, _ in begun], runs, one_hot_mse, train, test, [g for _, g in begun])
    spent = {"differentiate": 0.0, "update": 0.0, "evaluate (each step's share)": 0.0}
    for step in range(rounds + 2):
        times = [time.process_time()]
        _, gradients = stack.differentiate()
        times.append(time.process_time())
        stack.update(step, gradients)
        times.append(time.process_time())
        stack.evaluate(stack.train)
        stack.evaluate(stack.test)
        times.append(time.process_time())
        if step >= 2:  # the first steps pay for what is set up once
            for name, (begin, end) in zip(spent, itertools.pairwise(times), strict=True):
                spent[name] += 1e3 * (end - begin) / rounds / len(runs)
    spent["evaluate (each step's share)"] /= EVERY
    return {name: round(value, 3) for name, value in spent.items()}


if __name__ == "__main__":
    main()
