"""``flatlab hint``: the folded hints of a chapter's exercises, one at a time."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable
from pathlib import Path

from flatlab.student.chapter import Chapter, Task, outline
from flatlab.student.find import Unusable, locate, read


def hint(wanted: str, exercise: str | None, number: int, start: Path) -> Iterable[str]:
    """The lines to print: one hint of ``exercise``, or without it what there is.

    ``exercise`` is its name or its number in the chapter. Raises ``Unusable`` for an exercise or
    a hint that is not there.
    """
    path = locate(wanted, start)
    chapter = outline(read(path), str(path))
    if not re.fullmatch(r"[\w.:~/\\-]+", wanted):
        wanted = f'"{wanted}"'  # for the commands that are printed; Windows takes these quotes too
    if exercise is None:
        return _contents(chapter, wanted)
    task = _choose(chapter, exercise)
    count = len(task.hints)
    if not 1 <= number <= count:
        what = {0: "no hint", 1: "one hint"}.get(count, f"{count} hints")
        raise Unusable(f"{task.name or task.heading} has {what}.")
    lines = [f"{task.heading}, hint {number} of {count}", ""]
    lines += textwrap.indent(task.hints[number - 1], "  ").split("\n")
    if number < count:
        lines += ["", f"The next one: flatlab hint {wanted} {exercise} {number + 1}"]
    return lines


def _contents(chapter: Chapter, wanted: str) -> list[str]:
    """Which exercises have hints."""
    tasks = [task for task in chapter.tasks if not task.open]
    width = max((len(task.name) for task in tasks), default=0)
    lines = [f"  {task.name:<{width}}  {len(task.hints)}  {task.heading}" for task in tasks]
    return ["hints an exercise:", *lines, f"The first of one: flatlab hint {wanted} NAME"]


def _choose(chapter: Chapter, exercise: str) -> Task:
    tasks = [task for task in chapter.tasks if not task.open]
    for task in tasks:
        if exercise in (task.name, *task.heading.split(" ")[1:2]):
            return task
    raise Unusable(
        f"There is no exercise {exercise}; there are: {', '.join(t.name for t in tasks if t.name)}."
    )
