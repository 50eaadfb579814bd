"""SAM's step beside SGD's and beside pytorch_optimizer's SAM: time and memory.

    python bench/sam.py                   the table, on the CPU (threads: --threads 2)
    python bench/sam.py --device cuda     the same rows on a GPU
    python bench/sam.py --quick           a few steps: whether it runs, not what it measures

The network is 784-500-500-500-10 with ReLU (898,510 parameters), the loss cross-entropy, the data random.
The tools take turns, a few steps each, and each step is timed. A ratio is that of the median step to SGD's;
beside it that of the steps at the lowest fifth, which other work on the machine disturbs less, and in
brackets the lowest and highest of single turns. Two gradients for one make a ratio of 2. Memory is the peak of five steps above that of SGD's, in copies of the
parameters, each tool in a process of its own. The peer lives in an environment of its own under
build/. Kept in bench/results/.
"""

import argparse
import importlib.metadata
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import chain
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault(
    "KINETO_LOG_LEVEL", "99"
)  # its profiler reports on stderr that there is no GPU

from peers import environment

RESULTS = Path(__file__).parent / "results"
PEER = "pytorch_optimizer==4.1.0"
LIMITS = {32: 2.3, 128: 2.1, 512: 2.1}  # batch size -> ratio to reach
TOOLS = ("SGD", "flatlab", "flatlab, adaptive", "flatlab, p = 1.5", "pytorch_optimizer")
TOOLS += ("pytorch_optimizer, foreach",)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--turns", type=int, default=25)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--memory-of", help=argparse.SUPPRESS)
    options = parser.parse_args()
    environment.enter("bench-sam", [PEER], [])
    import torch

    torch.set_num_threads(options.threads)
    if options.memory_of is not None:
        print(peak_memory(options.memory_of, options.device))
        return
    from peers.problem import machine

    turns = 2 if options.quick else options.turns
    rows = {batch: times(batch, turns, options.device) for batch in LIMITS}
    copies = memory(options.device)
    sgd_ms = {batch: row.pop("sgd_ms") for batch, row in rows.items()}
    for batch, row in rows.items():
        print(f"batch {batch}: a step of SGD {sgd_ms[batch]:.2f} ms; to reach {LIMITS[batch]}")
        for tool, r in row.items():
            low, high = r["turns"]
            print(
                f"    {tool}: {r['median']:.2f}, lowest fifth {r['lowest_fifth']:.2f}, turns "
                f"[{low:.2f}, {high:.2f}]; {copies[tool]:.2f} copies"
            )
    if not options.quick:
        table = {
            "machine": machine(options.device),
            "versions": {n: importlib.metadata.version(n) for n in ("torch", "pytorch_optimizer")},
            "turns": turns,
            "limits": LIMITS,
            "sgd_ms": sgd_ms,
            "ratios": rows,
            "copies": copies,
        }
        path = RESULTS / f"sam-{options.device}.json"
        path.write_text(json.dumps(table, indent=1) + "\n")


def stepper(tool: str, batch: int, device: str) -> Callable[[], None]:
    """A function that makes one step of training."""
    import pytorch_optimizer
    import torch
    from torch.nn.functional import cross_entropy

    import flatlab

    draw = torch.Generator().manual_seed(0)
    model = flatlab.models.fnn().to(device)
    X = torch.rand(batch, 784, generator=draw).to(device)
    y = torch.randint(10, (batch,), generator=draw).to(device)
    base, rest = torch.optim.SGD, {"lr": 0.01}

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = cross_entropy(model(X), y)
        loss.backward()
        return loss

    def alone() -> None:
        closure()
        optimizer.step()

    def around() -> None:
        optimizer.step(closure)

    def peer() -> None:
        closure()
        optimizer.step(closure)

    name, _, variant = tool.partition(", ")
    if name == "SGD":
        optimizer = base(model.parameters(), **rest)
        return alone
    if name == "flatlab":
        rest |= {"": {}, "adaptive": {"adaptive": True}, "p = 1.5": {"p": 1.5}}[variant]
        optimizer = flatlab.SAM(model.parameters(), base, **rest)
        return around
    rest |= {"foreach": True} if variant else {}
    optimizer = pytorch_optimizer.SAM(model.parameters(), base, **rest)
    return peer


def times(batch: int, turns: int, device: str) -> dict:
    """SGD's milliseconds a step, and the ratios of each tool."""
    steppers = {tool: stepper(tool, batch, device) for tool in TOOLS}
    steps = max(3, 512 // batch)
    for step in steppers.values():
        seconds(step, 3, device)
    seen = {tool: [] for tool in TOOLS}  # of each turn the seconds of its steps
    for _ in range(turns):
        for tool in TOOLS:
            seen[tool].append(seconds(steppers[tool], steps, device))
    each = {tool: list(chain.from_iterable(turns)) for tool, turns in seen.items()}
    sgd = each["SGD"]
    row = {"sgd_ms": 1e3 * statistics.median(sgd)}
    for tool in TOOLS[1:]:
        own = each[tool]
        apart = [sum(a) / sum(b) for a, b in zip(seen[tool], seen["SGD"], strict=True)]
        row[tool] = {
            "median": statistics.median(own) / statistics.median(sgd),
            "lowest_fifth": lowest_fifth(own) / lowest_fifth(sgd),
            "turns": (min(apart), max(apart)),
        }
    return row


def lowest_fifth(times: list[float]) -> float:
    return statistics.quantiles(times, n=5)[0]


def seconds(step: Callable[[], None], steps: int, device: str) -> list[float]:
    import torch

    wait = torch.cuda.synchronize if device == "cuda" else int
    found = []
    for _ in range(steps):
        wait()
        began = time.perf_counter()
        step()
        wait()
        found.append(time.perf_counter() - began)
    return found


def memory(device: str) -> dict[str, float]:
    """Peak of each tool above SGD's, in copies of the parameters."""
    peaks = {}
    for tool in TOOLS:
        command = [sys.executable, __file__, "--device", device, "--memory-of", tool]
        run = subprocess.run(command, stdout=subprocess.PIPE, check=True)
        peaks[tool] = float(run.stdout)
    return {tool: (peaks[tool] - peaks["SGD"]) / (4 * 898_510) for tool in TOOLS[1:]}


def peak_memory(tool: str, device: str) -> float:
    """Bytes that PyTorch's allocator holds at most during five steps."""
    import torch
    from torch.profiler import ProfilerActivity, profile

    step = stepper(tool, 128, device)
    if device == "cuda":
        for _ in range(5):
            step()
        return torch.cuda.max_memory_allocated()
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as record:
        for _ in range(5):
            step()
    held = [e.nbytes() for e in record.profiler.kineto_results.events() if e.name() == "[memory]"]
    total, peak = 0, 0
    for change in held:
        total += change
        peak = max(peak, total)
    return peak


if __name__ == "__main__":
    main()
