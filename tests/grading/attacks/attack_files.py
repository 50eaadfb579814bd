"""Attacks by the file that is handed in: notebooks with forged cells, archives, links."""

from __future__ import annotations

import io
import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import nbformat
from target_chapter import NAME

Plant = Callable[[nbformat.NotebookNode, Path], None]


def _write(notebook: nbformat.NotebookNode, folder: Path, name: str = f"{NAME}.ipynb") -> None:
    (folder / name).write_text(json.dumps(notebook), encoding="utf-8")


def _check(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    ids = [cell.metadata.get("nbgrader", {}).get("grade_id") for cell in notebook.cells]
    return notebook.cells[ids.index("check-gradient_step")]


def edited_check(notebook, folder: Path) -> None:
    """replaces the check cell's text, raises its points to 400, stores a score in its outputs"""
    check = _check(notebook)
    check.source = "# check: gradient_step\nprint('passed')"
    check.metadata.nbgrader.points = 400.0
    check.metadata.nbgrader.locked = False
    check.metadata.nbgrader["auto_score"] = 4.0
    value = nbformat.v4.new_output("execute_result", {"text/plain": "4.0"}, execution_count=9)
    check.outputs = [value]
    _write(notebook, folder)


def second_check(notebook, folder: Path) -> None:
    """adds a second check cell of the same id, which passes, before the true one"""
    place = notebook.cells.index(_check(notebook))
    again = nbformat.from_dict(json.loads(json.dumps(notebook.cells[place])))
    again.source, again.id = "# check: gradient_step\n4.0", "again"
    notebook.cells.insert(place, again)
    _write(notebook, folder)


def settings_beside(notebook, folder: Path) -> None:
    """asks for a kernel of its own; files that nbgrader or Python might run; a link to all files"""
    notebook.metadata["kernelspec"] = {"name": "evil", "display_name": "x", "language": "bash"}
    (folder / "kernel.json").write_text(json.dumps({"argv": ["touch", "/tmp/evil"]}))
    names = (
        "nbgrader_config.py",
        "jupyter_config.py",
        "conftest.py",
        "sitecustomize.py",
        "torch.py",
    )
    for name in names:
        (folder / name).write_text("raise SystemExit('attack-ran')\n")
    os.symlink("/", folder / "root")
    _write(notebook, folder)


def linked(notebook, folder: Path) -> None:
    """hands in a symbolic link to a neighbor's notebook"""
    target = folder.parents[1] / "honest-0" / NAME / f"{NAME}.ipynb"
    os.symlink(target, folder / f"{NAME}.ipynb")


def zip_slip(notebook, folder: Path) -> None:
    """hands in an archive whose entries lie outside of it"""
    with zipfile.ZipFile(folder / f"{NAME}.zip", "w") as archive:
        archive.writestr(f"../../honest-0/{NAME}/{NAME}.ipynb", json.dumps(notebook))
        archive.writestr(f"/tmp/{NAME}.ipynb", json.dumps(notebook))


def zip_link(notebook, folder: Path) -> None:
    """hands in an archive that holds a symbolic link"""
    info = zipfile.ZipInfo(f"{NAME}.ipynb")
    info.external_attr = 0o120777 << 16
    with zipfile.ZipFile(folder / f"{NAME}.zip", "w") as archive:
        archive.writestr(info, f"../../honest-0/{NAME}/{NAME}.ipynb")


def zip_bomb(notebook, folder: Path) -> None:
    """hands in an archive of 300 KB that unpacks to 300 MB"""
    path = folder / f"{NAME}.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"{NAME}.ipynb", bytes(300 << 20))


def nested_zips(notebook, folder: Path) -> None:
    """hands in archives inside archives, six deep"""
    data, name = json.dumps(notebook).encode(), f"{NAME}.ipynb"
    for _ in range(6):
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(name, data)
        data, name = buffer.getvalue(), "more.zip"
    (folder / f"{NAME}.zip").write_bytes(data)


def huge_notebook(notebook, folder: Path) -> None:
    """hands in 3 million characters of code"""
    notebook.cells.append(nbformat.v4.new_code_cell("x = 1  # " + "y" * 3_000_000))
    _write(notebook, folder)


def deep_json(notebook, folder: Path) -> None:
    """hands in a file of 200 000 opening brackets"""
    (folder / f"{NAME}.ipynb").write_text('{"cells": ' + "[" * 200_000)


FILES: dict[str, Plant] = {
    function.__name__.replace("_", "-"): function
    for function in [
        *(edited_check, second_check, settings_beside, linked),
        *(zip_slip, zip_link, zip_bomb, nested_zips, huge_notebook, deep_json),
    ]
}
