"""What came out of the sandbox, checked: the submission may have written any of it.

Only values of the expected form and size are taken; the notebook that results is this side's own,
with the outputs from inside, and nothing in it runs in a browser.
"""

from __future__ import annotations

import copy
import json
import math
from dataclasses import dataclass, field

from nbformat import NotebookNode, from_dict

from flatlab.course.grading import harmless
from flatlab.course.grading.kit import Kit

STATUSES = ("ok", "error", "interrupted", "died", "skipped", "not run")
_MOST_TEXT = 4000  # characters of an error's message


@dataclass
class Told:
    """What one run told, as far as it makes sense."""

    cells: dict[int, dict] = field(default_factory=dict)
    scores: dict[str, float | None] = field(default_factory=dict)
    outputs: dict[int, list] = field(default_factory=dict)
    running: int | None = None  # the cell that had begun and not ended
    ended: bool = False
    failure: str = ""
    nonsense: int = 0  # lines that were no record


def read(lines: list[bytes], notebook: NotebookNode, kit: Kit) -> Told:
    """The records in ``lines`` about a run of ``notebook``."""
    told = Told()
    for line in lines:
        try:
            record = json.loads(line)
            _take(record, told, notebook, kit)
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
            told.nonsense += 1
    return told


def _take(record: dict, told: Told, notebook: NotebookNode, kit: Kit) -> None:
    kind = record["event"]
    if kind == "start":
        told.running = _index(record, notebook)
    elif kind == "cell":
        index = _index(record, notebook)
        if index in told.cells:
            raise ValueError("a second record of one cell")
        told.cells[index] = _cell(record, index, notebook, kit)
        told.running = None
    elif kind == "score":
        name = record["id"]
        most = kit.points[name]  # KeyError: no such cell
        told.scores[name] = score(record["score"], most, name in kit.by_hand)
    elif kind == "notebook":
        told.outputs = _outputs(json.loads(record["text"]), notebook)
    elif kind == "end":
        told.ended = True
    elif kind == "failed":
        told.failure = _text(record["message"])
    elif kind not in ("again", "too large"):
        raise ValueError(kind)


def score(value: object, most: float, by_hand: bool = False) -> float | None:
    """``value`` as a score from 0 to ``most``; raises ``ValueError`` where it is none.

    None, or 0 for no answer, is all that the machine can say of what is graded by hand.
    """
    if by_hand and value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{value!r} is no score")
    if not 0 <= value <= (0 if by_hand else most):
        raise ValueError(f"{value!r} is no score from 0 to {most:g}")
    return float(value)


def merged_notebook(notebook: NotebookNode, outputs: dict[int, list], kit: Kit) -> NotebookNode:
    """A copy of ``notebook`` with whole check cells, as nbgrader makes it, and ``outputs``.

    Its text cells are as ``harmless.words`` leaves them: ``notebook`` holds the student's own words.
    """
    made = copy.deepcopy(notebook)
    for index, cell in enumerate(made.cells):
        identity = cell.metadata.get("nbgrader", {}).get("grade_id", "")
        cell.source = kit.tests.get(identity, cell.source)
        if cell.cell_type == "code":
            cell.outputs = outputs.get(index, [])
            cell.execution_count = None
        else:
            cell.source = harmless.words(cell.source, cell.get("attachments", {}))
    return made


def _index(record: dict, notebook: NotebookNode) -> int:
    index = record["cell"]
    if type(index) is not int or not 0 <= index < len(notebook.cells):
        raise ValueError(f"no cell {index!r}")
    if notebook.cells[index].cell_type != "code":
        raise ValueError(f"cell {index} is no code")
    return index


def _cell(record: dict, index: int, notebook: NotebookNode, kit: Kit) -> dict:
    cell = notebook.cells[index]
    identity = cell.metadata.get("nbgrader", {}).get("grade_id", "") or cell.get("id", "")
    status, seconds = record["status"], record["seconds"]
    if status not in STATUSES:
        raise ValueError(f"no status {status!r}")
    seconds = float(seconds) if isinstance(seconds, int | float) else math.nan
    given = None
    if identity in kit.tests:
        given = score(record["score"], kit.points[identity])
    return {
        "cell": index,
        "id": identity,
        "status": status,
        "error": _text(record["error"])[:200],
        "message": _text(record["message"]),
        "seconds": seconds if 0 <= seconds < 1e6 else 0.0,
        "done": [_text(item)[:200] for item in list(record["done"])[:8]],
        "score": given,
        "max": kit.points.get(identity),
    }


def _outputs(inside: dict, notebook: NotebookNode) -> dict[int, list]:
    """Outputs by cell; raises ``ValueError`` for a notebook of other cells."""
    cells = inside["cells"]
    if len(cells) != len(notebook.cells):
        raise ValueError("another number of cells")
    found = {}
    for index, (cell, own) in enumerate(zip(cells, notebook.cells, strict=True)):
        if own.cell_type == "code":
            found[index] = [from_dict(_output(output)) for output in cell["outputs"]]
    return found


def _output(output: dict) -> dict:
    """A fresh output with the fields that its kind has, and no others."""
    kind = output["output_type"]
    if kind == "stream":
        name = "stderr" if output["name"] == "stderr" else "stdout"
        return {"output_type": kind, "name": name, "text": _joined(output["text"])}
    if kind == "error":
        lines = [_joined(line) for line in output["traceback"]]
        name, value = _joined(output["ename"]), _joined(output["evalue"])
        return {"output_type": kind, "ename": name, "evalue": value, "traceback": lines}
    if kind not in ("display_data", "execute_result"):
        raise ValueError(kind)
    data = {str(mime): _joined(value) for mime, value in output["data"].items()}
    made = {"output_type": kind, "data": harmless.shown(data), "metadata": {}}
    return {**made, "execution_count": None} if kind == "execute_result" else made


def _joined(text: object) -> str:
    return "".join(map(str, text)) if isinstance(text, list) else str(text)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{type(value).__name__} is no text")
    return value[:_MOST_TEXT].encode("utf-8", errors="replace").decode("utf-8")
