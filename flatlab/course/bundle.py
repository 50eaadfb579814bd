"""The zip that students get: releases, the package without this room, how to start.

The students' wheel is built from a copy of the package in which ``flatlab/course`` is missing; the
command ``flatlab`` then has what is there.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from flatlab.course import build
from flatlab.course.handout import Course
from flatlab.course.layout import Refused
from flatlab.student.zipped import zipped

LEFT_OUT = "course"  # of flatlab, in the students' wheel
_EDITABLE = "- -e ."  # environment.yml's last line, for a checkout


def bundle(course: Course, out: Path) -> list[Path]:
    """Write the zip of what ``course`` hands out to the folder ``out``; with variants one a student.

    The paths written. Raises ``Refused``, and writes nothing, for a chapter that is not built or out
    of date.
    """
    layout = course.layout
    root = layout.checkout or layout.root
    if problems := build.check(layout.chapters(), root):
        raise Refused(problems)
    with tempfile.TemporaryDirectory(prefix="flatlab-bundle-") as folder:
        wheel = students_wheel(root, Path(folder))
        top = "-".join(wheel.name.split("-")[:2])  # flatlab-0.1.0
        files: dict[str, bytes] = {
            f"{top}/START.md": _having(wheel.name, root / "docs" / "start.md").encode(),
            f"{top}/environment.yml": _having(_EDITABLE, root / "environment.yml")
            .replace(_EDITABLE, f"- ./{wheel.name}")
            .encode(),
            f"{top}/{wheel.name}": wheel.read_bytes(),
        }
        for name in ("constraints.txt", "LICENSE", "LICENSE-text"):
            files[f"{top}/{name}"] = (root / name).read_bytes()
        made = []
        for student in list(course.variants.numbers) if course.variants else [""]:
            for chapter in layout.chapters():
                text = course.notebook(chapter, student)
                files[f"{top}/notebooks/{chapter}/{chapter}.ipynb"] = text.encode()
            made.append(Path(folder) / f"{top}-{student or 'students'}.zip")
            made[-1].write_bytes(zipped(files))
        out.mkdir(parents=True, exist_ok=True)
        return [Path(shutil.move(path, out / path.name)) for path in made]


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


def _having(words: str, path: Path) -> str:
    """The text of the file at ``path``; raises ``Refused`` where ``words`` are not in it."""
    text = path.read_text(encoding="utf-8")
    if words not in text:
        raise Refused([f"{path} does not hold {words!r}, which the bundle needs: put it in."])
    return text
