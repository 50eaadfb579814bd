"""What was driven with which versions: the package's tests outside the checkout, in other environments.

    python bench/versions.py                every row; downloads several GB, takes half an hour
    python bench/versions.py --rows 3.12    these rows alone, by name
    python bench/versions.py --report       write docs/versions.md from what was recorded

A row makes an environment with a Python of its own, installs the wheel or the source distribution
with the oldest versions that pyproject.toml claims, or those of constraints.txt, and runs the
package's unit tests from a folder that holds nothing but them. The git checkout, a package registry and
the interpreters (python3.10 ..., on the path or under ~/.pyenv) are needed. Kept in bench/results/versions.json.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from xml.etree import ElementTree

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[1]
RESULTS = Path(__file__).parent / "results" / "versions.json"
PAGE = ROOT / "docs" / "versions.md"
WORK = ROOT / "build" / "versions"
UV = "uv==0.13.8"  # one copy of a package on disk, however many environments have it
OLDEST, TESTED = "oldest claimed", "constraints.txt"
ROWS = {  # name -> Python, versions, what is installed
    "3.10, oldest": ("3.10", OLDEST, "wheel"),
    "3.12": ("3.12", TESTED, "sdist"),
    "3.13": ("3.13", TESTED, "wheel"),
}
TESTS = [
    *("curvature", "stability", "tails", "sam", "curves", "descent", "grokking", "sweeps"),
    *(f"test_{name}.py" for name in ("archives", "averaging", "checkpoints", "checks", "data")),
    *(f"test_{name}.py" for name in ("models", "noise", "notebook", "plots", "training")),
]
SHOWN = ["torch", "torchvision", "numpy", "scipy", "matplotlib", "scikit-learn", "joblib"]
SHOWN += ["nbgrader", "jupyterlab", "notebook", "ipywidgets"]
HEAD = """# Versions

Written by `python bench/versions.py --report` from `bench/results/versions.json`; do not edit.

Each row is an environment of its own outside the checkout: a Python, flatlab installed from the wheel or the
source distribution with its extra `course`, and the package's unit tests ({tests}; without slow ones)
in a folder that holds nothing else. "{oldest}" are the lowest versions that pyproject.toml allows, "{tested}"
those that `make test` installs (its own runs, with Python 3.11, have no row). `python bench/versions.py` makes the rows again.

"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", nargs="*", choices=ROWS, metavar="ROW", help="only these")
    parser.add_argument("--report", action="store_true")
    options = parser.parse_args()
    if not options.report:
        made = built(WORK)
        uv = tool()
        for row in options.rows or ROWS:
            record = driven(row, made, uv)
            recorded = json.loads(RESULTS.read_text("utf-8")) if RESULTS.exists() else {}
            recorded[row] = record
            ordered = {name: recorded[name] for name in ROWS if name in recorded}
            RESULTS.write_text(json.dumps(ordered, indent=1) + "\n", encoding="utf-8")
            print(f"{row}: {told(recorded[row])}", flush=True)
    PAGE.write_text(page(json.loads(RESULTS.read_text("utf-8"))), encoding="utf-8")


def built(work: Path) -> dict[str, Path]:
    """The wheel and the source distribution of the files that git knows, made in ``work``."""
    shutil.rmtree(work / "source", ignore_errors=True)
    shutil.rmtree(work / "dist", ignore_errors=True)
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    for name in listed.stdout.split("\0"):
        if (name.startswith("flatlab/") or "/" not in name) and (ROOT / name).is_file():
            target = work / "source" / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, target)
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", work / "dist"]
    subprocess.run([*command, work / "source"], check=True, stdout=subprocess.DEVNULL)
    (wheel,), (sdist,) = work.glob("dist/*.whl"), work.glob("dist/*.tar.gz")
    return {"wheel": wheel, "sdist": sdist}


def tool() -> Path:
    """uv, in an environment of its own."""
    uv = WORK / "tools" / "bin" / "uv"
    if not uv.exists():
        subprocess.run([sys.executable, "-m", "venv", WORK / "tools"], check=True)
        subprocess.run([WORK / "tools/bin/python", "-m", "pip", "install", "-q", UV], check=True)
    return uv


def interpreter(version: str) -> Path | None:
    """A Python of this version that runs."""
    named = shutil.which(f"python{version}")
    found = [Path(named)] if named else []
    found += sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python"))
    for python in found:
        if subprocess.run([python, "-c", ""], capture_output=True, check=False).returncode == 0:
            return python
    return None


def driven(row: str, made: dict[str, Path], uv: Path) -> dict:
    """The row's record: versions and counts, or what went wrong."""
    version, versions, kind = ROWS[row]
    python = interpreter(version)
    if python is None:
        return {"failed": f"no Python {version} on this machine"}
    folder = WORK / row.replace(", ", "-")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    subprocess.run([uv, "venv", "-q", "--python", python, folder / "env"], check=True)
    wanted = [f"flatlab[course] @ {made[kind].as_uri()}", "hypothesis>=6.100"]
    limits = ["-c", "constraints.txt"]
    if versions == OLDEST:
        limits = ["--resolution", "lowest-direct"]
        project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
        wanted += [*project["dependencies"], *project["optional-dependencies"]["course"]]
    install = [uv, "pip", "install", "-q", "--python", folder / "env" / "bin" / "python"]
    done = subprocess.run(
        [*install, *limits, *wanted], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode:
        return {"failed": "not installed: " + done.stderr.strip()[:300]}
    return tested(folder, kind)


def tested(folder: Path, kind: str) -> dict:
    """Run the tests in ``folder``, from copies, by the environment in it."""
    shutil.copytree(ROOT / "tests" / "unit", folder / "tests" / "unit")
    for name in ("conftest.py", "sharing.py"):
        shutil.copy(ROOT / "tests" / name, folder / "tests")
    shutil.copy(ROOT / "pyproject.toml", folder)  # pytest's settings
    python = folder / "env" / "bin" / "python"
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
    chosen = [f"tests/unit/{name}" for name in TESTS]
    command = [python, "-m", "pytest", "-q", "-m", "not (slow or extended or peers or gpu)"]
    began = time.monotonic()
    with (folder / "log.txt").open("w") as log:
        subprocess.run(
            [*command, "--junitxml", "tests.xml", *chosen], cwd=folder, env=environment, check=False,
            stdout=log, stderr=subprocess.STDOUT,
        )  # fmt: skip
    suite = ElementTree.parse(folder / "tests.xml").getroot().find("testsuite")
    counts = {key: int(suite.get(key)) for key in ("tests", "failures", "errors", "skipped")}
    code = (
        "import importlib.metadata as m, json, platform, flatlab; print(json.dumps([flatlab.__file__, "
        f"platform.python_version(), {{n: m.version(n) for n in {SHOWN}}}]))"
    )
    said = subprocess.run(
        [python, "-c", code],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    where, version, versions = json.loads(said.stdout)
    if not Path(where).is_relative_to(folder / "env"):
        raise RuntimeError(f"the tests ran on {where}, not on what was installed in {folder}")
    record = {"python": version, "from": kind, "versions": versions, **counts}
    return record | {"seconds": round(time.monotonic() - began)}


def told(record: dict) -> str:
    if "failed" in record:
        return record["failed"]
    failed = record["failures"] + record["errors"]
    passed = record["tests"] - failed - record["skipped"]
    return f"{passed} passed, {failed} failed, {record['skipped']} skipped"


def page(recorded: dict) -> str:
    """docs/versions.md."""
    names = ", ".join(f"`{name.removesuffix('.py')}`" for name in TESTS)
    lines = [
        HEAD.format(tests=names, oldest=OLDEST, tested=TESTED)
        + f"| Python | versions | from | {' | '.join(SHOWN)} | tests |",
        "|---" * (4 + len(SHOWN)) + "|",
    ]
    for row, record in recorded.items():
        asked = ROWS[row]
        if "failed" in record:
            lines.append(
                f"| {asked[0]} | {asked[1]} | {asked[2]} {'| ' * len(SHOWN)}| {told(record)} |"
            )
            continue
        shown = " | ".join(record["versions"][name] for name in SHOWN)
        lines.append(f"| {record['python']} | {asked[1]} | {asked[2]} | {shown} | {told(record)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
