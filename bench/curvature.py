"""Curvature, side by side with its peers: times in gradients, errors against float64, memory.

    python bench/curvature.py                 the table, on the CPU (threads: --threads 2)
    python bench/curvature.py --device cuda   the same rows on a GPU
    python bench/curvature.py --growth        how flatlab's costs grow with n, p and k, as a plot
    python bench/curvature.py --report        write docs/performance.md from what was recorded

Times are ratios to the gradient's time measured just before and after, medians over repeats, in one
process. The peers are installed into an environment of their own under build/; nothing is added
to the project's. Results are kept in bench/results/. Needs Fashion-MNIST under $FLATLAB_DATA.
"""

import argparse
import importlib.metadata
import json
import os
import statistics
import subprocess
import sys
import warnings
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # threads of other programs are not starved

from peers import environment

RESULTS = Path(__file__).parent / "results"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rows", nargs="*", help="only rows and tools that contain one of these")
    parser.add_argument("--growth", action="store_true")
    parser.add_argument("--report", action="store_true")
    parser.add_argument("--memory-of", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    environment.enter()
    warnings.simplefilter("ignore")
    import torch

    torch.set_num_threads(options.threads)
    if options.memory_of is not None:
        print(peak_memory(options.memory_of))
    elif options.growth:
        from peers import growth

        growth.run(RESULTS, options.device)
    elif not options.report:
        run_table(options)
    if options.report:
        from peers import report

        report.write(RESULTS)


def run_table(options: argparse.Namespace) -> None:
    """Run every job, print its line, and keep the lines of earlier runs that were not asked for."""
    from peers.jobs import JOBS
    from peers.problem import Problem, machine
    from peers.references import References

    problem = Problem(options.device)
    references = References(problem)
    path = RESULTS / f"curvature-{options.device}.json"
    kept = json.loads(path.read_text())["rows"] if path.exists() and options.rows else {}
    print(f"{machine(options.device)}; one gradient {1e3 * problem.gradient_seconds(15):.1f} ms")
    for index, job in enumerate(JOBS):
        name = f"{job.row} | {job.tool}"
        if options.rows and not any(part in name for part in options.rows):
            continue
        line = measure(problem, references, index, job)
        kept[name] = line
        print(f"{name}: {describe(line)}", flush=True)
        table = {
            "machine": machine(options.device),
            "gradient_ms": 1e3 * problem.gradient_seconds(15),
            "versions": versions(),
            "rows": kept,
        }
        RESULTS.mkdir(exist_ok=True)
        path.write_text(json.dumps(table, indent=1, ensure_ascii=False) + "\n")


def measure(problem, references, index: int, job) -> dict:
    """One line: median and spread in gradients, error, peak memory above model and data."""
    try:
        run = job.prepare(problem)
        ratios, result = problem.in_gradients(run, job.repeats, job.inner)
    except Exception as error:  # noqa: BLE001 - a peer that fails is a result, not the end of the benchmark
        return {"failed": f"{type(error).__name__}: {error}".splitlines()[0][:200]}
    scale = job.times / job.per
    ratios = [scale * ratio for ratio in ratios]
    line = {"gradients": statistics.median(ratios), "low": min(ratios), "high": max(ratios)}
    if job.error is not None:
        line["error"] = references.error(job.error, result)
    if job.times != 1:
        line["estimated"] = f"{job.times:g} times the row above"
    elif problem.device.type == "cpu":
        command = [sys.executable, __file__, "--memory-of", str(index)]
        line["memory_mib"] = float(
            subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout
        )
    return line


def peak_memory(index: int) -> float:
    """MiB above the model, the data and a gradient, for one run in a process of its own (Linux)."""
    from peers.jobs import JOBS
    from peers.problem import Problem

    problem = Problem()
    problem.gradient()
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts again from here
    before = resident("VmHWM")
    JOBS[index].prepare(problem)()
    return (resident("VmHWM") - before) / 1024


def resident(key: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(key))


def describe(line: dict) -> str:
    if "failed" in line:
        return f"failed ({line['failed']})"
    parts = [f"{line['gradients']:.4g} gradients [{line['low']:.3g}, {line['high']:.3g}]"]
    if "error" in line:
        parts.append(f"error {line['error']:.1e}")
    if "memory_mib" in line:
        parts.append(f"{line['memory_mib']:.0f} MiB")
    return ", ".join(parts)


def versions() -> dict[str, str]:
    names = [
        "torch",
        "numpy",
        "scipy",
        "pyhessian",
        "hessian-eigenthings",
        "curvlinops-for-pytorch",
    ]
    return {"python": sys.version.split()[0]} | {n: importlib.metadata.version(n) for n in names}


if __name__ == "__main__":
    main()
