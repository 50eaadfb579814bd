"""The zip that students get: releases, the package without this room, how to start.

The students' wheel is built from a copy of the package in which ``flatlab/course`` is missing; the
command ``flatlab`` then has what is there.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from flatlab.course import build
from flatlab.course.layout import Layout, Refused

LEFT_OUT = "course"  # of flatlab, in the students' wheel
_EDITABLE = "- -e ."  # environment.yml's last line, for a checkout
_WHEEL_HERE = "WHEEL"  # in docs/start.md
_EPOCH = (1980, 1, 1, 0, 0, 0)  # of every file: the same course gives the same zip


def bundle(layout: Layout, out: Path, notebooks: Path | None = None) -> Path:
    """Write the zip to the folder ``out`` and return its path.

    ``notebooks`` is a folder of releases, NN-name/NN-name.ipynb each (default: the checkout's own,
    which must be what the sources give). Raises ``Refused``, and writes nothing, for releases that
    are missing, out of date, or hold a solution, a hidden test or outputs.
    """
    if notebooks is None:
        if problems := build.check(root=layout.root):
            raise Refused(problems)
        notebooks = layout.root / "notebooks"
    releases = {p.stem: p for p in sorted(notebooks.glob("[0-9][0-9]-*/*.ipynb"))}
    problems = [line for path in releases.values() for line in _not_a_release(path)]
    if not releases:
        problems = [f"{notebooks} holds no NN-name/NN-name.ipynb."]
    if problems:
        raise Refused(problems)
    with tempfile.TemporaryDirectory(prefix="flatlab-bundle-") as folder:
        wheel = students_wheel(layout.root, Path(folder))
        top = "-".join(wheel.name.split("-")[:2])  # flatlab-0.1.0
        files: dict[str, bytes] = {
            "START.md": _text(layout.root / "docs" / "start.md", _WHEEL_HERE, wheel.name),
            "environment.yml": _text(
                layout.root / "environment.yml", _EDITABLE, f"- ./{wheel.name}"
            ),
            wheel.name: wheel.read_bytes(),
        }
        for name in ("constraints.txt", "LICENSE", "LICENSE-text"):
            files[name] = (layout.root / name).read_bytes()
        for chapter, path in releases.items():
            files[f"notebooks/{chapter}/{chapter}.ipynb"] = path.read_bytes()
        made = Path(folder) / f"{top}-students.zip"
        with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in sorted(files.items()):
                archive.writestr(
                    zipfile.ZipInfo(f"{top}/{name}", _EPOCH), data, zipfile.ZIP_DEFLATED
                )
        out.mkdir(parents=True, exist_ok=True)
        return Path(shutil.move(made, out / made.name))


def students_wheel(root: Path, out: Path) -> Path:
    """Build the wheel without ``flatlab.course`` from the checkout at ``root`` into ``out``.

    Raises ``Refused`` with the builder's last words where it fails.
    """
    copy = out / "copy"
    package = root / "flatlab"

    def ignored(folder: str, names: list[str]) -> list[str]:
        return [
            name
            for name in names
            if name == "__pycache__" or (Path(folder) == package and name == LEFT_OUT)
        ]

    shutil.copytree(package, copy / "flatlab", ignore=ignored)
    for name in ("pyproject.toml", "README.md", "LICENSE", "LICENSE-text"):
        shutil.copy(root / name, copy)
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", out, copy]
    done = subprocess.run(
        command,
        env={**os.environ, "SOURCE_DATE_EPOCH": "315532800"},
        capture_output=True,
        text=True,
        check=False,
    )
    made = sorted(out.glob("*.whl"))
    if done.returncode or len(made) != 1:
        raise Refused([f"The wheel could not be built: {(done.stdout + done.stderr)[-2000:]}"])
    return made[0]


def _not_a_release(path: Path) -> list[str]:
    """Why the notebook at ``path`` must not be handed out."""
    text = path.read_text(encoding="utf-8")
    if "### BEGIN SOLUTION" in text or "### BEGIN HIDDEN" in text:
        return [f"{path} holds solutions or hidden tests: give the folder of the releases."]
    if any(cell.get("outputs") for cell in json.loads(text)["cells"]):
        return [f"{path} holds outputs: give the folder of the releases."]
    return []


def _text(path: Path, old: str, new: str) -> bytes:
    """The file at ``path`` with ``new`` for ``old``, which must be in it."""
    text = path.read_text(encoding="utf-8")
    if old not in text:
        raise Refused([f"{path} does not hold {old!r}, which the bundle replaces."])
    return text.replace(old, new).encode()
