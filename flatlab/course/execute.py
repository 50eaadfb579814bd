"""Running a built notebook, and keeping of its outputs what is the same in every run.

Widgets need a kernel, so their views and state go and the picture beside them in the same
output stays: a page without a kernel shows that.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import nbformat
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat import NotebookNode

from flatlab.course.assemble import METADATA
from flatlab.course.layout import Refused
from flatlab.student.running import run

TIMEOUT = 600  # seconds a cell
SCALE = "laptop"
FALLBACK = "using scikit-learn's digits"  # what load_dataset says when it has to
_WIDGET = "application/vnd.jupyter.widget-view+json"
_KEPT = ("image/png", "image/jpeg", "image/svg+xml", "text/html", "text/markdown", "text/latex")
_ADDRESS = re.compile(r"\bat 0x[0-9a-fA-F]{6,}")
_ANSI = re.compile(r"\x1b\[[0-9;]*m")


def execute(notebook: NotebookNode, folder: Path, name: str, timeout: int = TIMEOUT) -> None:
    """Run ``notebook`` in ``folder`` at laptop scale, outputs in place.

    Raises ``Refused``, naming the cell, for an error, a timeout or a dead kernel.
    """
    try:
        run(notebook, folder, {"FLATLAB_SCALE": SCALE, "NBGRADER_EXECUTION": ""}, timeout)
    except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
        failed = next((c for c in notebook.cells if _has_error(c)), None) or _last_run(notebook)
        raise Refused([f"{name}, {_label(failed)}: {_ANSI.sub('', str(error))}"]) from error
    _settle(notebook)


def output_problems(notebook: NotebookNode, name: str) -> list[str]:
    """What is wrong with the stored outputs of an executed notebook."""
    problems = []
    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        where = f"{name}, {_label(cell)}"
        if cell.source.strip() and cell.execution_count is None:
            problems.append(f"{where}: was not executed; build the chapter again.")
            continue
        problems += [f"{where}: {text}" for output in cell.outputs for text in _wrong(output)]
        if cell.id.startswith("widget-") and not any(map(_picture, cell.outputs)):
            problems.append(f"{where}: a widget without a static twin (image/png in its output).")
    return problems


def _wrong(output: NotebookNode) -> list[str]:
    """What is wrong with one output."""
    if output.output_type == "error":
        return [f"stored an error: {output.ename}: {output.evalue[:200]}"]
    if output.output_type == "stream":
        if output.name == "stderr":
            return [f"wrote to stderr, which nbgrader scores 0: {output.text.strip()[:300]}"]
        if FALLBACK in output.text:
            return [
                "ran on the stand-in data; set FLATLAB_DATA to real Fashion-MNIST and build again."
            ]
        return _machine_text(output.text)
    problems = _machine_text(output.data.get("text/plain", ""))
    if _picture(output) and len(alt_text(output).strip()) < 30:
        problems.append(
            f"a figure with alt text {alt_text(output)!r}: say what it shows, in a sentence."
        )
    return problems


def _machine_text(text: str) -> list[str]:
    """Text that differs between machines or runs."""
    problems = []
    if found := _ADDRESS.search(text):
        problems.append(
            f"prints a memory address ({found[0]}): end the cell with a statement or a semicolon."
        )
    if found := re.search(r"/(?:home|Users|work|tmp|root)/\S+", text):
        problems.append(f"prints a path of this machine: {found[0]}")
    return problems


def alt_text(output: NotebookNode) -> str:
    """The alternative text stored beside a picture; empty where there is none."""
    metadata = output.get("metadata", {})
    return str(metadata.get("image/png", {}).get("alt") or metadata.get("alt") or "")


def _picture(output: NotebookNode) -> bool:
    return "image/png" in output.get("data", {})


def _settle(notebook: NotebookNode) -> None:
    """Drop from an executed notebook what belongs to this run only."""
    notebook.metadata = nbformat.from_dict(METADATA)
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        if cell.cell_type == "code":
            cell.outputs = [out for out in cell.outputs if _keep(out)]
            for output in cell.outputs:
                if output.output_type == "stream":
                    output.text = _portable(output.text)


def _portable(text: str) -> str:
    """``text`` with this machine's data folder and home under their general names."""
    for place, name in ((os.environ.get("FLATLAB_DATA"), "$FLATLAB_DATA"), (Path.home(), "~")):
        if place and len(Path(place).parts) > 1:
            text = re.sub(rf"{re.escape(str(place).rstrip('/'))}(?![\w.-])", name, text)
    return text


def _keep(output: NotebookNode) -> bool:
    """Strip widget views and second copies from ``output``; False where nothing is left to show."""
    if "image/png" in output.get("data", {}):
        output.data.pop("text/html", None)  # the same picture, in the form that JupyterLab needs
    if output.get("data", {}).pop(_WIDGET, None) is None:
        return True
    return any(kind in output.data for kind in _KEPT)


def _has_error(cell: NotebookNode) -> bool:
    return any(out.output_type == "error" for out in cell.get("outputs", []))


def _last_run(notebook: NotebookNode) -> NotebookNode:
    """The cell that was running when the kernel stopped answering."""
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    run = [cell for cell in code if cell.execution_count is not None]
    return code[min(len(run), len(code) - 1)]


def _label(cell: NotebookNode) -> str:
    return f"cell {cell.id!r}"


def dumps(notebook: NotebookNode) -> str:
    """The notebook as text, always the same for the same notebook."""
    return nbformat.writes(notebook, version=4).rstrip("\n") + "\n"
