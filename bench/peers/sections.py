"""The sections of docs/performance.md behind those on curvature, one for each recorded table."""

import functools
import json
import statistics
from collections.abc import Iterator
from pathlib import Path


def all_of(results: Path) -> Iterator[str]:
    """Those whose numbers are on file, in order."""
    sweep = {"cpu-1": "1 thread", "cpu-2": "2 threads", "cuda": "GPU"}
    devices = {"cpu": "CPU", "cuda": "GPU"}
    tables = [("chapter01-engine", chapter01), ("curvature-notes", None)]
    part = functools.partial
    tables += [(f"sweep-{kind}", part(sweeps, title, kind)) for kind, title in sweep.items()]
    tables += [("sweep-notes", None)]
    tables += [(f"sam-{kind}", part(sam, title, kind)) for kind, title in devices.items()]
    tables += [("descent-cpu", descent), ("grokking-cpu", grokking), ("import-time", import_time)]
    for name, section in tables:
        path = results / (f"{name}.json" if section else f"{name}.md")
        if path.exists():
            yield section(json.loads(path.read_text())) if section else path.read_text()
    path = results / "grading.md"
    if path.exists():
        yield f"## Grading\n\n`python bench/grading.py`\n\n{path.read_text()}"


def sweeps(title: str, kind: str, recorded: dict) -> str:
    """Runs in lockstep against the same runs one after the other."""
    options = "--device cuda" if kind == "cuda" else f"--threads {recorded['threads']}"
    lines = [
        f"## Sweeps in lockstep ({title})\n",
        f"Medians of seconds. `python bench/sweep.py {options}`\n",
        '| network | runs | batch | steps | one by one | lockstep | times as fast | to reach | `engine="auto"` |',
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in recorded["rows"]:
        ratio = row["sequential"] / row["lockstep"]
        wanted = f"≥ {row['to_reach']:g}" if row["to_reach"] else ""
        counts = f"{row['runs']} | {row['batch']} | {row['steps']}"
        seconds = f"{row['sequential']:.2f} | {row['lockstep']:.2f} | {ratio:.2f}"
        lines.append(f"| {row['network']} | {counts} | {seconds} | {wanted} | {row['auto']:.2f} |")
    return "\n".join(lines) + "\n"


def chapter01(recorded: dict) -> str:
    lines = [
        "## What it is worth to chapter 01\n",
        (
            f"The chapter's calls of the package on the engine it was first written on (commit "
            f"{recorded['before']}: double backward through a kept graph, full "
            f"re-orthogonalization) and on this one, medians of {recorded['repeats']}. "
            "`python bench/chapter01_engine.py`\n"
        ),
        "| call | before, s | now, s | ratio |",
        "|---|---|---|---|",
    ]
    for call, times in recorded["calls"].items():
        before, after = times["before_s"], times["after_s"]
        lines.append(f"| {call} | {before:.2f} | {after:.2f} | {before / after:.2f} |")
    return "\n".join(lines) + "\n"


def sam(title: str, device: str, recorded: dict) -> str:
    """SAM's step beside SGD's and the published implementation's."""
    versions = ", ".join(f"{name} {version}" for name, version in recorded["versions"].items())
    lines = [
        f"## SAM ({title})\n",
        (
            f"{recorded['machine']}; {versions}. A step in steps of SGD, 784-500-500-500-10: ratio of medians over "
            f"{recorded['turns']} turns, [lowest, highest] of single turns. Two gradients for one make 2. Memory is "
            "the peak above SGD's, in copies of the parameters. "
            f"`python bench/sam.py --device {device}`\n"
        ),
        "| batch | to reach | tool | steps of SGD | memory, copies |",
        "|---|---|---|---|---|",
    ]
    for batch, tools in recorded["ratios"].items():
        first = (
            f"{batch} (SGD {recorded['sgd_ms'][batch]:.1f} ms) | ≤ {recorded['limits'][batch]:g}"
        )
        for tool, ratio in tools.items():
            low, high = ratio["turns"]
            took = f"{ratio['median']:.2f} [{low:.2f}, {high:.2f}]"
            lines.append(f"| {first} | {tool} | {took} | {recorded['copies'][tool]:.2f} |")
            first = " | "
    return "\n".join(lines) + "\n"


def descent(recorded: dict) -> str:
    seconds = recorded["seconds"]
    parts = ", ".join(f"{name} {value:.2f}" for name, value in recorded["parts"].items())
    return (
        "## The double descent curve of random features\n\n"
        f"{len(recorded['counts'])} feature counts from {min(recorded['counts'])} to {max(recorded['counts'])}, "
        f"n = 1000, {recorded['threads']} threads: **{statistics.median(seconds):.2f} s** "
        f"[{min(seconds):.2f}, {max(seconds):.2f}]; to reach {recorded['to_reach']:g} s. One least-squares solve a count: "
        f"{recorded['one_by_one']:.1f} s; the test risks differ by {recorded['largest_difference']:.1e} at most, relative. "
        f"Seconds of one round by part: {parts}. `python bench/descent.py`\n"
    )


def grokking(recorded: dict) -> str:
    phases = ", ".join(f"{count} {name}" for name, count in recorded["phases"].items())
    parts = ", ".join(f"{name} {value:.2f}" for name, value in recorded["step_ms"].items())
    return (
        "## A phase diagram of grokking\n\n"
        f"10 weight decays × 10 training fractions × 3 seeds, p = 31, {recorded['steps']:,} steps in "
        f"{recorded['jobs']} processes: **{recorded['seconds']:.1f} s**, the processes' start included; to reach "
        f"{recorded['to_reach']:.0f} s. The runs end as {phases}; those that memorize take all their steps and most of "
        f"the time. Milliseconds of CPU for a step of one run in a stack of 30: {parts}. "
        "`python bench/grokking.py`\n"
    )


def import_time(recorded: dict) -> str:
    """What `import flatlab` adds to `import torch`."""
    versions = ", ".join(f"{name} {version}" for name, version in recorded["versions"].items())
    rounds = len(next(iter(recorded["seconds"].values())))
    lines = [
        "## Import\n",
        (
            f"{recorded['machine']}; {versions}. Seconds of the import statements on the clock and of the processor, "
            f"medians of {rounds} fresh processes with [lowest, highest]; to reach: at most {recorded['to_reach']:g} s "
            "above `import torch`. `python bench/import_time.py`\n"
        ),
        "| statement | clock, s | in `import torch` | above it, s | processor, s | above it, s |",
        "|---|---|---|---|---|---|",
    ]
    alone: list[float] = []
    for row, times in recorded["seconds"].items():
        clock, processor = (sorted(kind) for kind in zip(*times, strict=True))
        medians = [statistics.median(clock), statistics.median(processor)]
        alone = alone or medians
        spread = [
            f"{m:.2f} [{k[0]:.2f}, {k[-1]:.2f}]"
            for m, k in zip(medians, (clock, processor), strict=True)
        ]
        above = [f"{m - a:+.3f}" for m, a in zip(medians, alone, strict=True)]
        ratio = f"{medians[0] / alone[0]:.2f}"
        lines.append(f"| {row} | {spread[0]} | {ratio} | {above[0]} | {spread[1]} | {above[1]} |")
    return "\n".join(lines) + "\n"
