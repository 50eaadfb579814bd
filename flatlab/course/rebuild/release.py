"""What a chapter's release tells of its cells: which hold answers, and how each is recognised."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from flatlab.course.rebuild import code

ANSWERS = ("exercise", "open")
_KINDS = "exercise|check|open|predict|experiment|widget|setup|settings"
_MARKER = re.compile(rf"^(?=#|<!--)#*\s*(?:<!--)?\s*({_KINDS})\s*(?::\s*(\S.*?))?\s*(?:-->)?\s*$")
_SPACES = re.compile(r"\s+")  # runs of them would take the marker's expression cubic time
_WORTH = re.compile(r"\s\S{1,3}\s[\d.]+ points?$")  # " · 4 points", whatever became of the dot
_STUB = ("# YOUR CODE HERE", "raise NotImplementedError()")
_SHORTEST = 8  # characters of a text that is recognised by itself


@dataclass(frozen=True)
class Slot:
    """One cell of the release."""

    index: int
    kind: str  # exercise, check, open, predict, experiment, widget, setup, settings, code, text
    name: str
    source: str
    is_code: bool
    grade_id: str = ""
    targets: frozenset[str] = frozenset()  # the names that an exercise asks for

    @property
    def marker(self) -> str:
        """Its first line, where that says what the cell is; else empty."""
        line = self.source.split("\n", 1)[0]
        return line if _MARKER.match(line) else ""

    @property
    def body(self) -> str:
        """Its text without the marker."""
        return self.source.split("\n", 1)[-1] if self.marker else self.source

    @property
    def is_locked(self) -> bool:
        """Is it not the student's to change?"""
        return self.kind in ("check", "setup", "settings")

    @property
    def label(self) -> str:
        """What reports call it."""
        return f"{self.kind} {self.name}" if self.name else self.kind


def marker_key(line: str) -> tuple[str, str] | None:
    """(kind, name) of a marker line, whatever number of # a heading made of it; None for others."""
    match = _MARKER.match(_SPACES.sub(" ", line.rstrip()))
    if not match:
        return None
    return match[1], _WORTH.sub("", match[2] or "").strip()


class Release:
    """The slots of a chapter's release, and how to find them again.

    Raises ``ValueError`` for a notebook without an exercise: it is no release.
    """

    def __init__(self, notebook: NotebookNode | Path) -> None:
        if isinstance(notebook, str | Path):
            notebook = nbformat.read(notebook, as_version=4)
        self.notebook = notebook
        self.slots = tuple(_slot(index, cell) for index, cell in enumerate(notebook.cells))
        if not any(slot.kind == "exercise" for slot in self.slots):
            raise ValueError(
                "The release holds no exercise (a cell with nbgrader's solution metadata): "
                "give the notebook that `flatlab build` wrote to notebooks/."
            )
        self.answers = tuple(slot for slot in self.slots if slot.kind in ANSWERS)
        self.targets = frozenset().union(*(slot.targets for slot in self.slots))
        arguments = frozenset().union(*(code.variables(s.source) for s in self.answers))
        locked = [s.source for s in self.slots if s.kind in ("setup", "settings")]
        self.arguments = arguments.difference(*map(code.binds, locked))
        self._ids = {slot.grade_id: slot for slot in self.slots if slot.grade_id}
        self._markers = {marker_key(s.marker): s for s in self.slots if s.marker}
        self._blocks = self._known_blocks()
        self._lines = [frozenset(_solid(slot.source)) for slot in self.slots]
        self.bound = frozenset().union(*(code.binds(s.source) for s in self.slots if s.is_code))
        self.identifiers = frozenset(
            re.findall(r"[A-Za-z_]\w*", "\n".join(s.source for s in self.slots))
        )

    def by_id(self, identity: str) -> Slot | None:
        """The slot with this nbgrader id."""
        return self._ids.get(identity)

    def by_marker(self, lines: list[str], at: int, first: bool) -> Slot | None:
        """The slot whose marker is line ``at``.

        ``# setup`` and ``# settings`` are words that a student may write: inside a cell they
        count only where the release's next line follows.
        """
        key = marker_key(lines[at])
        slot = self._markers.get(key) if key else None
        if slot is None or slot.name or first:
            return slot
        after = (lines[i].rstrip() for i in range(at + 1, len(lines)) if lines[i].strip())
        return slot if [next(after, "")] == _solid(slot.body)[:1] else None

    def block_at(self, lines: list[str], at: int) -> tuple[Slot, int] | None:
        """The release's cell that stands unchanged from line ``at`` on, and its length."""
        for slot, block in self._blocks.get(lines[at].rstrip(), ()):
            if [line.rstrip() for line in lines[at : at + len(block)]] == block:
                return slot, len(block)
        return None

    def resembles(self, text: str) -> Slot | None:
        """The cell that ``text`` is a part or an edited copy of; None for the student's own text.

        Of the answers' cells only the lines of a stub count, whichever exercise's they are.
        """
        lines = _solid(text)
        if not lines:
            return None
        if all(line.strip() in _STUB for line in lines):
            return self.answers[0]
        shared = [
            (_shared(lines, known, slot.is_code) / len(lines), -slot.index)
            for slot, known in zip(self.slots, self._lines, strict=True)
            if slot.kind not in ANSWERS
        ]
        share, index = max(shared)
        enough = 0.6 if sum(map(len, lines)) >= _SHORTEST else 1.0
        return self.slots[-index] if share >= enough else None

    def is_stub(self, slot: Slot, text: str) -> bool:
        """Is ``text`` what the release shows for this answer, or less?"""
        if slot.kind == "open":
            parts = re.split(r"\n\s*\n", text.lstrip("# "))  # a heading's # is no answer
            rest = [part for part in parts if not self.resembles(part)] or parts
            return " ".join(" ".join(rest).split()) in " ".join(slot.body.split())
        return code.is_empty(text) or code.is_unwritten(text, slot.targets)

    def bound_before(self, index: int) -> frozenset[str]:
        """The names that the release's cells before ``index`` bind, answers apart."""
        before = [s for s in self.slots[:index] if s.is_code and s.kind != "exercise"]
        return frozenset().union(*(code.binds(slot.source) for slot in before))

    def check_of(self, slot: Slot) -> int:
        """Where the check of an exercise stands; the exercise itself where it has none."""
        found = [s.index for s in self.slots if s.kind == "check" and s.name == slot.name]
        return found[0] if found else slot.index

    def _known_blocks(self) -> dict[str, list[tuple[Slot, list[str]]]]:
        """First line -> cells with and without their marker, longest first; exercises apart."""
        blocks = defaultdict(list)
        for slot in self.slots:
            if slot.kind in ("exercise", "predict"):
                continue
            for text in {slot.body} if slot.kind == "open" else {slot.source, slot.body}:
                lines = [line.rstrip() for line in text.strip("\n").split("\n")]
                if sum(map(len, lines)) >= _SHORTEST:
                    blocks[lines[0]].append((slot, lines))
        for known in blocks.values():
            known.sort(key=lambda pair: -len(pair[1]))
        return blocks


def _solid(text: str) -> list[str]:
    """The lines that say something, without the space behind them."""
    return [line.rstrip() for line in text.split("\n") if line.strip()]


def _shared(lines: list[str], known: frozenset[str], is_code: bool) -> int:
    """How many of ``lines`` are ``known``; of a text also those that were cut at its edges."""
    count = sum(line in known for line in lines)
    if not is_code and lines[0] not in known and len(lines[0]) >= _SHORTEST:
        count += any(line.endswith(lines[0]) or line.startswith(lines[0]) for line in known)
    if not is_code and len(lines) > 1 and lines[-1] not in known and len(lines[-1]) >= _SHORTEST:
        count += any(line.startswith(lines[-1]) for line in known)
    return count


def _targets(stub: str, name: str) -> frozenset[str]:
    """The functions and classes that an exercise leaves open: its name, and other stubs."""
    found = {name}
    for text, node in code.statements(stub):
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and "NotImplementedError" in text:
            found.add(node.name)
    return frozenset(found)


def _slot(index: int, cell: NotebookNode) -> Slot:
    nbgrader = cell.metadata.get("nbgrader", {})
    solution, grade = nbgrader.get("solution", False), nbgrader.get("grade", False)
    key = marker_key(cell.source.split("\n", 1)[0])
    is_code = cell.cell_type == "code"
    kind, name = key or ("code" if is_code else "text", "")
    identity = nbgrader.get("grade_id", "")
    if solution:
        kind = "open" if grade else "exercise"
    elif grade:
        kind = "check"
    if solution or grade:
        name = name or identity
    targets = _targets(cell.source, name) if kind == "exercise" else frozenset()
    return Slot(index, kind, name, cell.source, is_code, identity, targets)
