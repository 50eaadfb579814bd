"""What a cell may show: how much of it is let in, and what of it counts when it is scored."""

from __future__ import annotations

import json
import math

from nbformat import NotebookNode
from nbformat.v4 import output_from_msg

_MOST_ERROR = 20_000  # characters of an error's text, and of its traceback
_CUT = "\n… the rest of this cell's output was cut.\n"
_SHOWN = ("stream", "display_data", "execute_result", "update_display_data")


class Gate:
    """Lets in a cell's messages up to ``most`` bytes; of text its beginning; errors shortened.

    A ``silent`` gate lets in nothing but a cell's beginning and end.
    """

    def __init__(self, most: int, silent: bool = False) -> None:
        self.most, self.silent = most, silent
        self.taken = 0
        self.cut = False

    def admits(self, msg: dict) -> bool:
        """Is ``msg`` let in? An error's text is shortened in place."""
        kind, content = msg.get("msg_type"), msg.get("content", {})
        if kind == "status":
            return True
        if self.silent or not isinstance(content, dict):
            return False
        if kind == "error":
            shorten(content)
        room = self.most - self.taken
        self.taken += len(json.dumps(content, default=str))
        if kind == "error":
            return self.taken < self.most + 10 * _MOST_ERROR
        if self.taken <= self.most:
            return True
        first = not self.cut
        self.cut |= kind in _SHOWN
        if kind != "stream" or not first:
            return False
        content["text"] = str(content.get("text", ""))[: max(0, room)] + _CUT
        return True

    def notes(self) -> list[str]:
        """What was done, for the record."""
        return ["output cut"] if self.cut else []


def shorten(content: dict) -> None:
    """Bring an error message or reply to text of bounded length, in place."""
    if content.get("status", "error") != "error":
        return
    content["ename"] = _text(content.get("ename", ""))[:200]
    content["evalue"] = _text(content.get("evalue", ""))[:_MOST_ERROR]
    lines = content.get("traceback", [])
    lines = [_text(line) for line in lines] if isinstance(lines, list) else [_text(lines)]
    content["traceback"] = "\n".join(lines)[-_MOST_ERROR:].split("\n") if lines else []


def error_output(name: str, text: str) -> NotebookNode:
    """An error as a cell shows it."""
    content = {"ename": name, "evalue": text, "traceback": [f"{name}: {text}"]}
    return output_from_msg({"header": {"msg_type": "error"}, "content": content})


def plain_error(cell: NotebookNode) -> tuple[str, str]:
    """Name and text of the first error that a cell shows; empty where it shows none."""
    for output in cell.outputs:
        if output.output_type == "error":
            return output.ename, output.evalue
    return "", ""


def settle(cell: NotebookNode, graded: bool) -> None:
    """Make a run cell's outputs such that nbgrader can score and store them.

    nbgrader gives 0 to any text on stderr, so a graded cell's warnings become ordinary text; and
    it stops at a value that is no score, so such a value becomes an error, which scores 0.
    """
    kept = []
    for output in cell.outputs:
        output = _clean(output)
        if output.output_type == "stream" and graded:
            output.name = "stdout"
        if output.output_type == "execute_result" and graded:
            wrong = _no_score(output, float(cell.metadata["nbgrader"]["points"]))
            output = error_output("NoScore", wrong) if wrong else output
        if output.output_type == "error":
            shorten(output)
        kept.append(output)
    cell.outputs = kept


def _no_score(output: NotebookNode, most: float) -> str:
    """Why nbgrader cannot take the cell's value for a score; empty where it can."""
    value = output.get("data", {}).get("text/plain")
    if not value:
        return "The check cell ended in a value without a text."
    try:
        score = float(value[0] if isinstance(value, list) else value)
    except ValueError:
        return ""
    if math.isfinite(score) and 0 <= score <= most:
        return ""
    return f"The check cell ended in the value {score}, which is no score from 0 to {most:g}."


def _clean(value):
    """A copy that can be written as UTF-8: half characters, which a message may hold, replaced."""
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, dict):
        return type(value)({_text(key): _clean(item) for key, item in value.items()})
    return [_clean(item) for item in value] if isinstance(value, list) else value


def _text(value: object) -> str:
    return str(value).encode("utf-8", errors="replace").decode("utf-8")
