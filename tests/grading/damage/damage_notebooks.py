"""Made-up submissions, and what is true of them: the ground that rebuilding is tested on.

A ``Sheet`` is a submission as a list of cells that remember which answers they hold, so that an
operator can say what it destroyed. Nothing here uses ``flatlab.course.rebuild``.
"""

from __future__ import annotations

import ast
import copy
import json
import re
from dataclasses import dataclass, field, replace
from functools import cache

import nbformat
from harness import cases, exercises

from flatlab.course.layout import Layout
from flatlab.course.source import read_chapter, regions

WHOLE = (0.0, 1.0)
OWN = "own:"  # the key of a student's own cell that an answer calls


@dataclass(frozen=True)
class C:
    """One cell. ``holds``: (answer, from, to), the share of each answer's text that is in it."""

    kind: str
    source: str
    metadata: dict
    id: str
    holds: tuple[tuple[str, float, float], ...] = ()
    outputs: tuple = ()
    frayed: bool = False  # it begins in the middle of a line

    @property
    def grade_id(self) -> str:
        return self.metadata.get("nbgrader", {}).get("grade_id", "")

    def as_dict(self) -> dict:
        cell = {"cell_type": self.kind, "id": self.id, "metadata": copy.deepcopy(self.metadata)}
        if not self.id:
            del cell["id"]
        if self.kind == "code":
            cell |= {"execution_count": None, "outputs": list(self.outputs)}
        return cell | {"source": self.source.splitlines(keepends=True)}


@dataclass(frozen=True)
class Sheet:
    """A submission on its way through damage.

    ``destroyed``: answers that nobody could find in it; ``unsure``: those of which two versions
    stand there with nothing to tell which is meant, or of which the pieces are strewn about.
    ``data``: the file, once it is bytes; ``path``: where it was handed in, once it was, and
    ``student``: by whom. ``chapters``: the names that the chapters' notebooks have.
    """

    cells: tuple[C, ...]
    metadata: dict
    keys: tuple[str, ...]
    minor: int = 5
    destroyed: frozenset[str] = frozenset()
    unsure: frozenset[str] = frozenset()
    data: bytes | None = None
    path: str = ""
    student: str = ""
    chapters: tuple[str, ...] = ()
    stubs: dict = field(default_factory=dict, compare=False)  # grade id -> the release's text

    def having(self, cells) -> Sheet:
        """The same sheet with other cells; what they no longer hold is destroyed."""
        cells = tuple(cells)
        return replace(self, cells=cells, destroyed=self.destroyed | self.gone(cells))

    def gone(self, cells) -> frozenset[str]:
        """The answers that ``cells`` do not hold to their last line."""
        held = [part for cell in cells for part in cell.holds]
        return frozenset(key.removeprefix(OWN) for key in self.keys if not covered(key, held))

    def apart(self, cells) -> Sheet:
        """The same sheet with other cells, in another order: halves of a cell may be anywhere."""
        halves = {
            k.removeprefix(OWN) for c in self.cells for k, *share in c.holds if (*share,) != WHOLE
        }
        return replace(self.having(cells), unsure=self.unsure | halves)

    def text(self) -> str:
        """The notebook's JSON, as Jupyter writes it, each cell's source last."""
        body = {"cells": [cell.as_dict() for cell in self.cells], "metadata": self.metadata}
        body |= {"nbformat": 4, "nbformat_minor": self.minor}
        return json.dumps(body, indent=1, ensure_ascii=False) + "\n"

    def bytes(self) -> bytes:
        return self.text().encode() if self.data is None else self.data


def covered(key: str, held: list) -> bool:
    """Do the shares in ``held`` make up the whole answer?"""
    reach = 0.0
    for name, begin, end in sorted(held):
        if name == key and begin <= reach:
            reach = max(reach, end)
    return reach >= 1.0


def students(layout: Layout, chapter: str) -> dict[str, Sheet]:
    """Submissions of a chapter by student.

    ``right`` hands in the solutions, ``mixed`` a misconception, a solution and a stub in turn,
    ``helpers`` the solutions with every second one in an own cell that the answer calls.
    """
    release = nbformat.read(layout.release(chapter), as_version=4)
    names = [cell.name for cell in exercises(layout, chapter)]
    right = {cell.name: _solution(cell.text) for cell in exercises(layout, chapter)}
    wrong = {}
    for case in cases(layout, chapter):
        if case.kind == "misconception":
            wrong.setdefault(case.exercise, case.text)
    opens = read_chapter(layout.source(chapter)).of("open")
    words = {f"open-{cell.name}": regions(cell.text, "SOLUTION").text.strip() for cell in opens}
    mixed = {name: (wrong[name], right[name], "")[place % 3] for place, name in enumerate(names)}
    own = {name: _with_helper(name, right[name]) for name in names[::2]}
    helped = right | {name: answer for name, (_, answer) in own.items()}
    helpers = {name: helper for name, (helper, _) in own.items()}
    filled = {
        "right": _fill(release, right | words, {}),
        "mixed": _fill(release, mixed | dict.fromkeys(words, ""), {}),
        "helpers": _fill(release, helped | words, helpers),
    }
    files = tuple(f"{name}.ipynb" for name in layout.chapters())
    return {student: replace(sheet, chapters=files) for student, sheet in filled.items()}


def _solution(text: str) -> str:
    lines = text.split("\n")
    return "\n".join(line for line in lines if not re.search(r"### (BEGIN|END) SOLUTION", line))


def _with_helper(name: str, text: str) -> tuple[str, str]:
    """An own cell with the work in it, and an answer that calls it."""
    helper = "import functools\n\n\n" + re.sub(rf"\b{name}\b", f"my_{name}", text)
    call = f"return functools.partial(my_{name})(*args, **kwargs)"
    return helper, f"def {name}(*args, **kwargs):\n    {call}"


def _fill(release, answers: dict[str, str], helpers: dict[str, str]) -> Sheet:
    cells, answers = [], {key: text.strip("\n") for key, text in answers.items()}
    for cell in release.cells:
        key = cell.metadata.get("nbgrader", {}).get("grade_id", "")
        marker, source = cell.source.split("\n", 1)[0], cell.source
        holds = ((key, *WHOLE),) if key in answers else ()
        if answers.get(key):
            source = f"{marker}\n{answers[key]}"
        if key in helpers:
            held = ((OWN + key, *WHOLE),)
            cells.append(C("code", helpers[key], {}, f"mine-{key}", held))
        metadata = json.loads(json.dumps(cell.metadata))
        cells.append(C(cell.cell_type, source, metadata, cell.id, holds))
    metadata = json.loads(json.dumps(release.metadata))
    keys = (*answers, *(OWN + key for key in helpers))
    stubs = {
        c.metadata.nbgrader.grade_id: c.source for c in release.cells if "nbgrader" in c.metadata
    }
    return Sheet(tuple(cells), metadata, keys, stubs=stubs)


def meaning(notebook, key: str, stubs: dict[str, str]) -> object:
    """What stands for ``key`` in a notebook, so that equal means graded alike.

    For a question in words its text without spaces. For an exercise the syntax trees of all that
    its functions would run, told from the cells above its check as a run from the top would bind
    them. Functions that another exercise asks for are left out: the checks lend right ones.
    """
    place = {
        c.metadata.get("nbgrader", {}).get("grade_id"): i for i, c in enumerate(notebook.cells)
    }
    if key.startswith("open-"):
        lines = notebook.cells[place[key]].source.split("\n")
        return "".join("".join(lines[1:]).split())
    bound: dict[str, tuple[str, ...]] = {}
    uses: dict[str, frozenset[str]] = {}
    for cell in notebook.cells[: place[f"check-{key}"]]:
        for names, read, wraps, dump in _facts(cell.source) if cell.cell_type == "code" else ():
            for name in names:
                chained = wraps and name in read
                bound[name] = (*(bound.get(name, ()) if chained else ()), dump)
                uses[name] = (uses.get(name, frozenset()) if chained else frozenset()) | read
    asked = {name: _asked(text) for name, text in stubs.items() if f"check-{name}" in stubs}
    elsewhere = set().union(*asked.values()) - asked[key]
    return _closure(asked[key], elsewhere, bound, uses)


def _asked(stub: str) -> set[str]:
    """The functions that an exercise's stub leaves open."""
    return {name for names, *_ in _facts(stub) for name in names}


@cache
def _facts(source: str) -> tuple:
    """For each statement: names it binds, names it reads, is it an assignment, its tree."""
    try:
        body = ast.parse(source).body
    except SyntaxError:
        return ()
    return tuple(
        (tuple(_bound(node)), _read(node), isinstance(node, ast.Assign), _dump(node))
        for node in body
    )


def _read(node: ast.stmt) -> frozenset[str]:
    """The names that ``node`` reads, a function's arguments and own variables apart."""
    names = [n for n in ast.walk(node) if isinstance(n, ast.Name)]
    read = {n.id for n in names}
    if isinstance(node, ast.FunctionDef):
        read -= {n.id for n in names if isinstance(n.ctx, ast.Store)}
        read -= {n.arg for n in ast.walk(node) if isinstance(n, ast.arg)}
    return frozenset(read)


def _dump(node: ast.stmt) -> str:
    """The tree without docstrings; all functions that are not written yet are the same."""
    node = copy.deepcopy(node)
    for inner in ast.walk(node):
        body = getattr(inner, "body", None)
        if isinstance(body, list) and body and isinstance(body[0], ast.Expr):
            value = body[0].value
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                del body[0]
    if isinstance(node, ast.FunctionDef) and "NotImplementedError" in ast.dump(node):
        return f"not written: {node.name}"
    return ast.dump(node)


def _closure(names: set[str], elsewhere: set[str], bound: dict, uses: dict) -> dict:
    reached, pending = {}, sorted(names)
    while pending:
        name = pending.pop()
        if name not in reached and name in bound and name not in elsewhere:
            reached[name] = bound[name]
            pending += sorted(uses[name])
    return reached


def _bound(node: ast.stmt) -> set[str]:
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return {node.name}
    if isinstance(node, ast.Import | ast.ImportFrom):
        return {(alias.asname or alias.name).split(".")[0] for alias in node.names}
    return {
        n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)
    }
