"""What a chapter's notebook asks of a student: exercises, questions, times, hints.

Read off the notebook's text, since Colab and VS Code may drop its metadata.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, replace

from flatlab.student.find import Unusable

HEADING = re.compile(r"^(#{1,6}) +(.*?)\s*$")
SECTION = re.compile(r"^(\d+) · .+?\s+\*?\(≈ (\d+) min\)\*?$")
EXERCISE = re.compile(r"^Exercise (\d+) · .+?\s+(●+○*) · (\d+(?:\.\d+)?) points? · (\d+) min$")
TIME = re.compile(r"(?i)\btime\b[^\d\n]*(\d+)\s*min")
HINT = re.compile(r"<details>\s*<summary>Hint[^<]*</summary>")
_QUESTION = re.compile(r"^Open question\s+●+○* · (\d+(?:\.\d+)?) points? · (\d+) min$")
_HINT_TEXT = re.compile(HINT.pattern + r"(.*?)</details>", re.DOTALL)
_MARKER = re.compile(
    r"^(?:# |<!-- )(exercise|check|open): ([\w-]+)(?: · (\d+(?:\.\d+)?)?.* points?)?(?: -->)?$"
)


@dataclass(frozen=True)
class Task:
    """An exercise or an open question of a notebook; cells by their index, None: not there."""

    name: str
    heading: str
    points: float
    minutes: int = 0
    section: int = 0  # 0: before the first
    hints: tuple[str, ...] = ()
    answer: int | None = None
    check: int | None = None
    open: bool = False


@dataclass(frozen=True)
class Chapter:
    """A notebook's tasks in order, the minutes of its sections, and of the whole."""

    tasks: tuple[Task, ...]
    sections: dict[int, int]
    minutes: int

    def minutes_left(self, done: set[str]) -> int:
        """What the chapter's own times leave, where the tasks named in ``done`` are done.

        A section without tasks counts as read once a later task is done.
        """
        last = max((t.section for t in self.tasks if t.name in done), default=0)
        if all(task.name in done for task in self.tasks):
            return 0
        left = 0
        for section, minutes in self.sections.items():
            here = [task for task in self.tasks if task.section == section]
            if here and not all(task.name in done for task in here):
                left += minutes - sum(task.minutes for task in here if task.name in done)
            elif not here and section > last:
                left += minutes
        return left


def outline(notebook, name: str) -> Chapter:
    """The chapter in ``notebook``; raises ``Unusable`` where it holds no exercise of the course."""
    tasks: list[Task] = []
    sections: dict[int, int] = {}
    section, minutes = 0, 0
    for index, cell in enumerate(notebook.cells):
        kind, named, points = _identity(cell)
        if kind:
            _place(tasks, kind, named, points, index, section)
        elif cell.cell_type == "markdown":
            if not minutes and (match := TIME.search(cell.source)):
                minutes = int(match[1])
            for heading in _headings(cell.source):
                if match := SECTION.match(heading):
                    section = int(match[1])
                    sections[section] = int(match[2])
                elif task := _announced(heading, section):
                    tasks.append(task)
            hints = tuple(m[1].strip() for m in _HINT_TEXT.finditer(cell.source))
            if hints and tasks and tasks[-1].answer is None:
                tasks[-1] = replace(tasks[-1], hints=tasks[-1].hints + hints)
    if not tasks:
        raise Unusable(f"{name} holds no exercise of this course: is it a chapter's notebook?")
    return Chapter(tuple(tasks), sections, minutes or sum(sections.values()))


def copies(notebook) -> list[str]:
    """The exercises and open questions that have more than one cell for the answer."""
    counts = Counter(
        name for kind, name, _ in map(_identity, notebook.cells) if kind in ("exercise", "open")
    )
    return [name for name, count in counts.items() if count > 1]


def _headings(text: str) -> list[str]:
    """The headings of a markdown cell, without their signs; code fences hold none."""
    found, fenced = [], False
    for line in text.split("\n"):
        if line.lstrip().startswith("```"):
            fenced = not fenced
        elif not fenced and (match := HEADING.match(line)):
            found.append(match[2])
    return found


def _announced(heading: str, section: int) -> Task | None:
    """The task that a heading announces; its name comes with its cells."""
    if match := EXERCISE.match(heading):
        title = re.split(r"\s+●", heading)[0]
        return Task("", title, float(match[3]), int(match[4]), section)
    if match := _QUESTION.match(heading):
        return Task("", "Open question", float(match[1]), int(match[2]), section, open=True)
    return None


def _identity(cell) -> tuple[str, str, float | None]:
    """Kind (exercise, check, open), name and points of a cell; "" for any other cell.

    By nbgrader's metadata, or by the first line where that is gone, after a form's title of Colab.
    """
    lines = (line.strip() for line in cell.source.split("\n"))
    match = _MARKER.match(next((line for line in lines if not line.startswith("#@")), ""))
    marked = (
        (match[1], match[2], float(match[3]) if match[3] else None) if match else ("", "", None)
    )
    told = cell.metadata.get("nbgrader")
    told = told if isinstance(told, dict) else {}
    points = told.get("points")
    points = points if isinstance(points, (int, float)) else marked[2]
    identity = str(told.get("grade_id", ""))
    for kind in ("check", "open"):
        if told.get("grade") and identity.startswith(f"{kind}-"):
            return kind, identity.removeprefix(f"{kind}-"), points
    if told.get("solution") and not told.get("grade") and identity:
        return "exercise", identity, None
    return marked


def _place(
    tasks: list[Task], kind: str, name: str, points: float | None, index: int, section: int
) -> None:
    """Put a cell to its task: the one of its name, else the one announced last."""
    place = next((i for i, task in enumerate(tasks) if task.name == name), None)
    if place is None and tasks and not tasks[-1].name and tasks[-1].open == (kind == "open"):
        place = len(tasks) - 1
    if place is None:
        tasks.append(Task(name, name, 0.0, section=section, open=kind == "open"))
        place = len(tasks) - 1
    task = replace(tasks[place], name=name)
    if points is not None:
        task = replace(task, points=float(points))
    slot = "check" if kind == "check" else "answer"
    if getattr(task, slot) is None or kind == "check":  # of a copied cell the last one counts
        task = replace(task, **{slot: index})
    tasks[place] = task
