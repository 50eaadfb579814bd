"""How far each task of a notebook is, by the outputs that its cells hold."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from flatlab.student.chapter import Chapter, Task

PASSED, ANSWERED, FAILED, NOT_BEGUN = "passed", "answered", "failed", "not begun"
DONE = (PASSED, ANSWERED)
_STUB = "raise NotImplementedError()"
_UNWRITTEN = re.compile(r"^○ (\w+): not written yet\.$|^  Not written yet\.$", re.MULTILINE)
_BLANK = re.compile(r"<!--.*?-->|YOUR ANSWER HERE", re.DOTALL)
_FRESH = "take it from a fresh notebook of the chapter"
_ANSI = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(frozen=True)
class State:
    """A task, how far it is, and what its check says where it is not passed."""

    task: Task
    state: str  # PASSED, ANSWERED, FAILED or NOT_BEGUN
    message: str = ""

    @property
    def name(self) -> str:
        """The task as tables call it."""
        if not self.task.name:
            return self.task.heading
        return f"open: {self.task.name}" if self.task.open else self.task.name


def states(notebook, chapter: Chapter) -> list[State]:
    """The state of every task of ``chapter``, whose notebook this is.

    After a run these are the run's outputs, in a saved notebook those that were saved with it.
    """
    return [
        State(task, *(_question if task.open else _exercise)(notebook.cells, task))
        for task in chapter.tasks
    ]


def lines(found: list[State]) -> Iterable[tuple[State, str]]:
    """Each state with its line of text, in columns."""
    width = max(len(state.name) for state in found)
    for state in found:
        points = f"{state.task.points:g} point{'' if state.task.points == 1 else 's'}"
        yield state, f"  {state.state:<10} {state.name:<{width}}  {points}"


def stopped(notebook, chapter: Chapter) -> list[tuple[str, str]]:
    """Other cells that ended with an error: how to call the cell, and the error."""
    own = {i for task in chapter.tasks for i in (task.answer, task.check)}
    found = []
    for index, cell in enumerate(notebook.cells):
        if index not in own and (error := _error(cell)):
            first = cell.source.split("\n", 1)[0].strip()
            named = re.match(r"# (\w+(?:: [\w -]+)?)$", first)
            found.append((named[1] if named else f"cell {index + 1}", error))
    return found


def _question(cells, task: Task) -> tuple[str, str]:
    if task.answer is None:
        return FAILED, f"Its answer cell is missing: {_FRESH}."
    text = _BLANK.sub("", cells[task.answer].source)
    return (ANSWERED, "") if text.strip() else (NOT_BEGUN, "")


def _exercise(cells, task: Task) -> tuple[str, str]:
    if task.check is None:
        return FAILED, f"Its check cell is missing: {_FRESH}."
    check = cells[task.check]
    answer = cells[task.answer] if task.answer is not None else None
    wanted = set(re.findall(r"^check\.(\w+)\(", check.source, re.MULTILINE))
    if not wanted:
        return FAILED, f"Its check cell no longer calls the check: {_FRESH}."
    if any(cell is not None and cell.cell_type != "code" for cell in (answer, check)):
        return FAILED, "Its answer or its check is no code cell: make it one, and run both."
    said, error = _printed(check), _error(check)
    passed = set(re.findall(r"^✓ (\w+):", said, re.MULTILINE))
    if not passed and _UNWRITTEN.search(said + error):
        return NOT_BEGUN, ""
    if answer is not None and (broken := _error(answer)):
        return FAILED, f"Its cell stopped with {broken}"
    if error or wanted - passed:
        unwritten = [name for name in re.findall(r"^○ (\w+): not written", said, re.MULTILINE)]
        if not error and unwritten:
            error = f"{' and '.join(unwritten)}: not written yet."
        if error:
            return FAILED, error
        if answer is not None and _STUB in answer.source:
            return NOT_BEGUN, ""
        return FAILED, "Not checked yet: run its check cell."
    if answer is not None and (answer.execution_count or 0) > (check.execution_count or 0):
        return FAILED, "Run again since its check: run the check once more."
    return PASSED, ""


def _printed(cell) -> str:
    return "".join(out.text for out in cell.get("outputs", []) if out.output_type == "stream")


def _error(cell) -> str:
    """What ended a cell, in its own words where it is a check; empty where nothing did."""
    for output in cell.get("outputs", []):
        if output.output_type != "error":
            continue
        text = _ANSI.sub("", str(output.evalue)).strip()
        if output.ename == "CheckFailed":
            return re.sub(r"\A✗ \w+ ?", "", text)
        if output.ename == "KeyboardInterrupt":
            return "an interrupt: it took too long, or was stopped by hand"
        return f"{output.ename}: {text.splitlines()[0] if text else ''}".rstrip(": ")
    return ""
