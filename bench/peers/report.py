"""docs/performance.md, written from the recorded tables and from nothing else."""

import json
from pathlib import Path

from . import sections
from .jobs import LIMITS

MARK, END = "<!-- speed: written by bench/curvature.py --report -->", "<!-- end of speed -->"
RIGHT = 1e-3  # the largest relative error of an answer that counts as right
HEAD = """# Performance

Written by `python bench/curvature.py --report` from `bench/results/`; do not edit. First
`flatlab.curvature`; then sweeps, SAM, random features, phase diagrams and `flatlab grade`, each with its own
setting. The network of the first tables is
784-500-500-500-10 with ReLU (898,510 parameters), the data the first 1000 images of Fashion-MNIST,
the loss MSE on one-hot targets, after 300 gradient-descent steps at 0.1. Times are in **gradients**:
divided by the time of one full-batch gradient measured just before and after, medians over repeats
with [lowest, highest]. Errors are relative, against float64 references computed without flatlab
(for the non-uniformity: with flatlab in float64). Memory is the peak above the model, the data and
one gradient, of a process of its own. Each peer is in its best setting that gives a right answer,
and shown beside its default where that does not.
"""


def write(results: Path) -> None:
    parts = [HEAD]
    for device, title in [("cpu", "CPU"), ("cuda", "GPU")]:
        path = results / f"curvature-{device}.json"
        if path.exists():
            parts.append(table(title, device, json.loads(path.read_text())))
        path = results / f"curvature-growth-{device}.json"
        if path.exists():
            parts.append(growth(title, device, json.loads(path.read_text())))
    parts += sections.all_of(results)
    root = results.parents[1]
    (root / "docs" / "performance.md").write_text("\n".join(parts))
    readme = root / "README.md"
    before, _, rest = readme.read_text().partition(MARK)
    after = rest.partition(END)[2]
    recorded = json.loads((results / "curvature-cpu.json").read_text())
    readme.write_text(before + MARK + "\n" + speed(recorded) + END + after)
    print("wrote docs/performance.md and the table in README.md")


def speed(recorded: dict) -> str:
    """README's table: each row by flatlab, and by the fastest other tool whose answer is right."""
    lines = [
        f"One full-batch gradient is the unit ({recorded['gradient_ms']:.0f} ms; {recorded['machine']}):\n",
        "| work | flatlab | fastest right answer of another tool |",
        "|---|---|---|",
    ]
    for row in LIMITS:
        tools = {
            name.partition(" | ")[2]: line
            for name, line in recorded["rows"].items()
            if name.startswith(f"{row} | ") and "failed" not in line
        }
        own = tools.pop("flatlab")
        right = {
            n: t for n, t in tools.items() if t.get("error", 0) <= RIGHT and "flatlab" not in n
        }
        best = min(right, key=lambda name: right[name]["gradients"])
        lines.append(
            f"| {row} | {short(own['gradients'])} | {short(right[best]['gradients'])}, {best} |"
        )
    return "\n".join(lines) + "\n"


def table(title: str, device: str, recorded: dict) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in recorded["versions"].items())
    lines = [
        f"## {title}\n",
        f"{recorded['machine']}; one gradient takes {recorded['gradient_ms']:.1f} ms; {versions}.",
        f"`python bench/curvature.py --device {device}`\n",
        "| work | to reach | tool | gradients | error | memory, MiB |",
        "|---|---|---|---|---|---|",
    ]
    last = None
    for name, line in recorded["rows"].items():
        row, tool = name.split(" | ")
        limit = f"≤ {LIMITS[row]:g}" if row != last else ""
        lines.append(f"| {row if row != last else ''} | {limit} | {tool} | {cells(line)} |")
        last = row
    return "\n".join(lines) + "\n"


def cells(line: dict) -> str:
    if "failed" in line:
        return f"failed: {line['failed']} | |"
    time = f"{short(line['gradients'])} [{short(line['low'])}, {short(line['high'])}]"
    if "estimated" in line:
        time = f"{short(line['gradients'])}, {line['estimated']}"
    error = f"{line['error']:.1e}" if "error" in line else ""
    memory = f"{line['memory_mib']:.0f}" if "memory_mib" in line else ""
    return f"{time} | {error} | {memory}"


def short(value: float) -> str:
    """Three digits, without an exponent."""
    return f"{value:.3g}" if value < 1000 else f"{value:,.0f}"


def growth(title: str, device: str, recorded: dict) -> str:
    lines = [
        f"## How the costs grow ({title})\n",
        f"{recorded['machine']}. `python bench/curvature.py --growth --device {device}`\n",
        (
            "![Time in gradients against samples, parameters and eigenvalues]"
            f"(../bench/results/curvature-growth-{device}.png)\n"
        ),
        "| | gradient, s | Hv | Σv | λ_max (top k) to 1e-3 | products |",
        "|---|---|---|---|---|---|",
    ]
    for name in ("n", "p", "k", "vgg"):
        for line in recorded[name]:
            key = "vgg p" if name == "vgg" else name
            values = [line.get(c) for c in ("gradient_s", "product", "variance", "top", "products")]
            texts = ["" if value is None else f"{value:.3g}" for value in values]
            label = "small VGG" if name == "vgg" else f"{key} = {line[key]:,}"
            lines.append(f"| {label} | {' | '.join(texts)} |")
    return "\n".join(lines) + "\n"
