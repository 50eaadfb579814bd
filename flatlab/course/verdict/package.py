"""The ``flatlab`` that a submission's answers run beside: the ground floor alone.

An exercise asks for what a topic module holds. In a notebook a profile hook names a call into one,
and the student's code can switch such a hook off; so in the sandbox the topics are not there. The
worker puts objects in their place that say so when they are called.
"""

from __future__ import annotations

import ast
import shutil
from functools import lru_cache
from pathlib import Path

import flatlab
from flatlab.checks.guard import FREE

ROOT = Path(flatlab.__file__).parent
NEVER = {"checks", "course", "student", "__main__"}  # checks come cut, as the exercise needs them


@lru_cache(maxsize=1)
def rooms() -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The ground floor's modules, and the topics.

    The ground floor is what the modules that exercises may use import of flatlab.
    """
    every = {p.stem for p in ROOT.glob("*.py")} | {
        p.parent.name for p in ROOT.glob("*/__init__.py")
    }
    every -= {*NEVER, "__init__"}
    ground: set[str] = set()
    pending = [name for name in FREE if name in every]
    while pending:
        name = pending.pop()
        if name not in ground:
            ground.add(name)
            pending += _imported(name) & every
    return tuple(sorted(ground)), tuple(sorted(every - ground))


def _files(name: str) -> list[Path]:
    folder = ROOT / name
    return sorted(folder.rglob("*.py")) if folder.is_dir() else [ROOT / f"{name}.py"]


def _imported(name: str) -> set[str]:
    """The rooms that a room imports."""
    found = set()
    for path in _files(name):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module == "flatlab":
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("flatlab."):
                found.add(node.module.split(".")[1])
            elif isinstance(node, ast.Import):
                names = [alias.name.split(".") for alias in node.names]
                found |= {parts[1] for parts in names if parts[0] == "flatlab" and len(parts) > 1}
    return found


def lay_out(folder: Path) -> None:
    """Copy the ground floor to ``folder``/flatlab."""
    target = folder / "flatlab"
    target.mkdir(parents=True)
    shutil.copyfile(ROOT / "__init__.py", target / "__init__.py")
    for name in rooms()[0]:
        for path in _files(name):
            copy = target / path.relative_to(ROOT)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)
