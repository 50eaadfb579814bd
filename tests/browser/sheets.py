"""Notebooks as files: what a student has written into them, and what stands in their outputs."""

import re
from dataclasses import dataclass

import nbformat

from flatlab.course.execute import dumps
from flatlab.course.handout import answer
from flatlab.course.layout import Layout
from flatlab.course.rehearse import transplant
from flatlab.course.source import read_chapter, regions

STUB = "raise NotImplementedError()"
UNANSWERED = "YOUR ANSWER HERE"
# Matplotlib's, in a home that is new, on a machine that takes more than five seconds for it.
FIRST_TIME = "Matplotlib is building the font cache"


@dataclass(frozen=True)
class Nearly:
    """A chapter with every exercise solved but one, which is left to be typed."""

    text: str  # the notebook
    left: str  # the exercise that is not written yet: the shortest that uses no other
    solution: str  # its lines, indented as in the source
    checks: tuple[str, ...]  # the ids of all check cells
    questions: tuple[str, ...]  # of all open questions, unanswered
    widgets: tuple[str, ...]


def nearly_solved(layout: Layout, chapter: str, release: str) -> Nearly:
    """The chapter's ``release`` with the source's own solutions written in."""
    source = read_chapter(layout.source(chapter))
    parts = {cell.name: regions(cell.text, "SOLUTION") for cell in source.of("exercise")}
    alone = [
        name
        for name, part in parts.items()
        if part.count == 1 and not any(other in part.text for other in parts if other != name)
    ]
    left = min(alone, key=lambda name: len(parts[name].inside))
    solved = {cell.name: answer(cell.text) for cell in source.of("exercise") if cell.name != left}
    notebook = transplant(nbformat.reads(release, as_version=4), solved)
    return Nearly(
        dumps(notebook),
        left,
        parts[left].text,
        tuple(f"check-{cell.name}" for cell in source.of("check")),
        tuple(f"open-{cell.name}" for cell in source.of("open")),
        tuple(f"widget-{cell.name}" for cell in source.of("widget")),
    )


def errors(notebook: nbformat.NotebookNode) -> str:
    """The text of every error output, and of everything on stderr."""
    found = []
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if output.output_type == "error":
                found.append(f"{cell.id}: " + "\n".join(output.traceback))
            elif output.get("name") == "stderr" and FIRST_TIME not in output.text:
                found.append(f"{cell.id}, stderr: {output.text}")
    return re.sub(r"\x1b\[[\d;]*m", "", "\n\n".join(found))


def printed(cell: nbformat.NotebookNode) -> str:
    """What a cell printed."""
    return "".join(output.text for output in cell.outputs if output.output_type == "stream")
