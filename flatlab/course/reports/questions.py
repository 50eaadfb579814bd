"""A chapter's graded questions, with the names that its readers know: from the release notebook."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import nbformat

_HEADING = re.compile(r"^(#{1,3}) +(.+?)\s*$", re.MULTILINE)
_EXTRAS = re.compile(r"\s+(?:[●○]+.*|\(≈.*\))$")  # difficulty, points, minutes


@dataclass(frozen=True)
class Question:
    """One graded cell: an exercise, or an open question that a person grades."""

    grade_id: str
    name: str
    title: str
    section: str  # the heading of the chapter's section that it stands in; what to reread
    points: float
    by_hand: bool


@dataclass(frozen=True)
class Questions:
    """All graded cells of a chapter, in its order."""

    chapter: str
    title: str
    all: tuple[Question, ...]

    @property
    def points(self) -> float:
        """The most that a student can have."""
        return sum(question.points for question in self.all)


def read(release: Path) -> Questions:
    """The questions of the release notebook at ``release``.

    Raises ``ValueError`` where it holds none.
    """
    notebook = nbformat.read(release, as_version=4)
    title, headings, found = "", {2: "", 3: ""}, []
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            for marks, text in _HEADING.findall(cell.source):
                title = title or _bare(text)
                headings = {**headings, 3: "", len(marks): _bare(text)}
        graded = cell.metadata.get("nbgrader", {})
        if graded.get("grade"):
            found.append(_question(graded, headings))
    if not found:
        raise ValueError(f"{release} holds no graded cell: it is no release of a chapter.")
    return Questions(release.stem, title or release.stem, tuple(found))


def _question(graded: dict, headings: dict[int, str]) -> Question:
    identity = str(graded["grade_id"])
    by_hand = bool(graded.get("solution"))
    prefix = "open-" if by_hand else "check-"
    name = identity.removeprefix(prefix)
    title = headings[3] or name
    points = float(graded.get("points", 0))
    return Question(identity, name, title, headings[2], points, by_hand)


def _bare(heading: str) -> str:
    return _EXTRAS.sub("", heading).strip()
