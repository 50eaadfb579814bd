"""What `import flatlab` adds to `import torch`: medians over fresh processes.

    python bench/import_time.py            the table; 15 processes a row, the rows taking turns
    python bench/import_time.py --quick    2 processes a row: whether it runs, not what it measures

Seconds are those of the import statements, without the start of Python: on the clock, and of the
processor, which other work on the machine disturbs less. The first round, which reads the files from
the disk, is not counted. Kept in bench/results/, and written to docs/performance.md.
"""

import argparse
import importlib.metadata
import json
import platform
import subprocess
import sys
from pathlib import Path

from peers import report, sections
from peers.problem import machine

RESULTS = Path(__file__).parent / "results"
TO_REACH = 0.3  # seconds above `import torch`
ROWS = {
    "`import torch`": "import torch",
    "`import torch, flatlab`": "import torch, flatlab",
    "and the three names of the quickstart": (
        "import torch; from flatlab import non_uniformity, plot_stability_region, sharpness"
    ),
    "and every public name (`from flatlab import *`)": "import torch; from flatlab import *",
}
TIMED = (
    "import time; began, cpu = time.perf_counter(), time.process_time(); {}; "
    "print(time.perf_counter() - began, time.process_time() - cpu)"
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    rounds = 2 if options.quick else options.rounds
    seconds: dict[str, list[tuple[float, float]]] = {row: [] for row in ROWS}
    for turn in range(1 + rounds):
        for row, code in ROWS.items():
            took = seconds_of(code)
            if turn:
                seconds[row].append(took)
    found = {"machine": machine("cpu"), "versions": versions(), "to_reach": TO_REACH}
    found["seconds"] = seconds
    print(sections.import_time(found))
    if not options.quick:
        text = json.dumps(found, indent=1, ensure_ascii=False)
        (RESULTS / "import-time.json").write_text(text + "\n")
        report.write(RESULTS)


def seconds_of(code: str) -> tuple[float, float]:
    """Seconds that ``code`` takes in a fresh interpreter: on its clock, and of the processor."""
    command = [sys.executable, "-c", TIMED.format(code)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    clock, processor = map(float, done.stdout.split())
    return clock, processor


def versions() -> dict[str, str]:
    return {"python": platform.python_version(), "torch": importlib.metadata.version("torch")}


if __name__ == "__main__":
    main()
