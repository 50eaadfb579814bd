"""A chapter of three plain exercises: no torch, so that one grading takes seconds.

Each exercise has a visible test and a hidden one and is worth two points; an open question is
worth four. It is built by nbgrader like a chapter, but no contract is asked of it.
"""

from __future__ import annotations

import copy
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from flatlab.course.execute import dumps
from flatlab.course.layout import Layout
from flatlab.course.release import make_release

NAME = "00-mini"
SECRET_LINES = {name: f"the_way_to_{name} = {n}" for n, name in enumerate("abc", 2)}
OPEN_SECRET = "the sentence that only the solution holds"
RIGHT = {name: f"def {name}(x):\n    return {n} * x" for n, name in enumerate("abc", 2)}
FULL = {"check-a": 2.0, "check-b": 2.0, "check-c": 2.0}
_SETTINGS = "nbgrader_config.py"


def _cell(new, source: str, identity: str, **nbgrader):
    metadata = {"schema_version": 3, "grade_id": identity, "grade": False, "solution": False}
    metadata |= {"locked": False, "task": False, **nbgrader}
    return new(source, id=identity.replace("_", "-"), metadata={"nbgrader": metadata})


def solution() -> nbformat.NotebookNode:
    """The chapter with its solutions and hidden tests."""
    cells = [
        _cell(new_code_cell, "import os, sys, time\nseen = []", "setup", locked=True),
        new_markdown_cell("# Three functions", id="title"),
    ]
    for n, name in enumerate("abc", 2):
        source = (
            f"def {name}(x):\n    ### BEGIN SOLUTION\n    {SECRET_LINES[name]}\n"
            f"    return the_way_to_{name} * x\n    ### END SOLUTION"
        )
        test = (
            f"assert {name}(1) == {n}, 'visible {name}'\n### BEGIN HIDDEN TESTS\n"
            f"assert {name}(2) == {2 * n}, 'hidden {name}'\n### END HIDDEN TESTS"
        )
        cells.append(_cell(new_code_cell, source, name, solution=True))
        cells.append(_cell(new_code_cell, test, f"check-{name}", grade=True, points=2, locked=True))
    text = f"Why?\n\n### BEGIN SOLUTION\n{OPEN_SECRET}\n### END SOLUTION"
    cells.append(_cell(new_markdown_cell, text, "open-why", grade=True, solution=True, points=4))
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return new_notebook(cells=cells, metadata={"kernelspec": kernel})


def make_course(root: Path, config: Path) -> Layout:
    """A checkout of a course with this chapter below ``root``; ``config`` is nbgrader's."""
    layout = Layout(root)
    notebook = solution()
    files = {
        root / _SETTINGS: config.read_text(encoding="utf-8"),
        layout.solution(NAME): dumps(notebook),
        layout.source(NAME): "\n".join([*SECRET_LINES.values(), OPEN_SECRET]),
    }
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    release = layout.release(NAME)
    release.parent.mkdir(parents=True)
    release.write_text(make_release(notebook, NAME, root / _SETTINGS), encoding="utf-8")
    return layout


def submission(layout: Layout, **answers: str) -> nbformat.NotebookNode:
    """The release with ``answers`` in its exercises, right ones where none is given."""
    notebook = copy.deepcopy(nbformat.read(layout.release(NAME), as_version=4))
    given = {**RIGHT, **answers}
    for cell in notebook.cells:
        identity = cell.metadata.get("nbgrader", {}).get("grade_id")
        cell.source = given.get(identity, cell.source)
    return notebook


def scores(result: dict) -> dict[str, float | None]:
    """Points of the three checks."""
    return {name: result["scores"][name]["score"] for name in FULL}


def cell(result: dict, identity: str) -> dict:
    """What is recorded of a cell."""
    return next(cell for cell in result["cells"] if cell["id"] == identity)


def shown(result: dict, identity: str) -> str:
    """All that a cell of the executed notebook shows, as text."""
    notebook = nbformat.reads(result["notebook"], as_version=4)
    found = next(c for c in notebook.cells if c.id == identity)
    parts = [str(out.get("text", "")) + str(out.get("data", "")) for out in found.outputs]
    return "".join(parts) + "".join(str(out.get("evalue", "")) for out in found.outputs)
