"""Reading what people write: a chapter's percent source, and the cases its checks are tested with.

Both are jupytext's percent format. A header says what its cell is: ``# %% exercise="hvp"``.
Problems are collected and not raised, so that an author sees all of them at once.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import jupytext

# kind -> does its header give a name?
CODE_KINDS = {
    "setup": False,
    "settings": False,
    "folded": False,
    "code": False,
    "predict": True,
    "exercise": True,
    "check": True,
    "experiment": True,
    "widget": True,
}
TEXT_KINDS = {"text": False, "open": True}
CASE_KINDS = {"misconception": True, "alternative": True}
_HEADER = re.compile(r"^#\s*%%(\s|$|%|\[)")
_NAME = re.compile(r"^[A-Za-z][A-Za-z0-9_-]*$")


@dataclass(frozen=True)
class Cell:
    """One cell of a percent file."""

    kind: str
    name: str  # "" for a kind without a name
    text: str
    number: int  # of the cell, from 1
    line: int  # of its header, from 1
    options: dict = field(default_factory=dict)  # points, compare, message, ...

    @property
    def label(self) -> str:
        """The cell as messages call it: number, kind and name, line."""
        what = f'{self.kind}="{self.name}"' if self.name else self.kind
        return f"cell {self.number} ({what}, line {self.line})"


@dataclass(frozen=True)
class Percent:
    """A parsed percent file; ``problems`` names every header that could not be understood."""

    name: str
    cells: tuple[Cell, ...]
    problems: tuple[str, ...]

    def of(self, *kinds: str) -> list[Cell]:
        """The cells of these kinds, in order."""
        return [cell for cell in self.cells if cell.kind in kinds]


@dataclass(frozen=True)
class Regions:
    """A cell's text, parted by its BEGIN/END markers; line numbers count from 1 in the cell."""

    visible: str
    inside: tuple[tuple[int, str], ...]  # (line, text)
    count: int
    problems: tuple[str, ...]

    @property
    def text(self) -> str:
        """What lies between the markers."""
        return "\n".join(text for _, text in self.inside)


def read_chapter(path: Path) -> Percent:
    """The chapter at ``path``; raises ``FileNotFoundError`` where there is none."""
    return parse(path.read_text(encoding="utf-8"), path.stem, {**CODE_KINDS, **TEXT_KINDS})


def read_cases(path: Path) -> Percent:
    """The misconceptions and alternatives at ``path``; no cells where there is no file."""
    if not path.is_file():
        return Percent(path.stem, (), ())
    return parse(path.read_text(encoding="utf-8"), path.stem, {**CASE_KINDS, "text": False})


def parse(text: str, name: str, kinds: dict[str, bool]) -> Percent:
    """``text`` in percent format as cells of the given ``kinds``."""
    return _parsed(text, name, tuple(kinds.items()))


@lru_cache(maxsize=64)  # building and grading a chapter read it a dozen times
def _parsed(text: str, name: str, known: tuple[tuple[str, bool], ...]) -> Percent:
    kinds = dict(known)
    notebook = jupytext.reads(text, fmt="py:percent")
    lines = [i for i, line in enumerate(text.splitlines(), 1) if _HEADER.match(line)]
    if len(lines) != len(notebook.cells):
        problem = (
            f"{name}: {len(notebook.cells)} cells but {len(lines)} '# %%' headers: "
            "is there text before the first header?"
        )
        return Percent(name, (), (problem,))
    cells, problems = [], []
    for number, (line, raw) in enumerate(zip(lines, notebook.cells, strict=True), 1):
        cell, wrong = _classify(raw, number, line, kinds)
        cells.append(cell)
        problems += [f"{name}, {cell.label}: {text}" for text in wrong]
    return Percent(name, tuple(cells), tuple(problems))


def _classify(raw, number: int, line: int, kinds: dict[str, bool]) -> tuple[Cell, list[str]]:
    """The cell that a jupytext cell stands for, and what is wrong with its header."""
    options = {key: raw.metadata[key] for key in raw.metadata if key != "lines_to_next_cell"}
    word = options.pop("title", None)
    named = [key for key in options if kinds.get(key)]
    default = "text" if raw.cell_type == "markdown" else "code"
    kind = word or (named[0] if named else default)
    name = str(options.pop(kind, "")) if kind in named else ""
    cell = Cell(kind, name, raw.source, number, line, options)
    problems = []
    if raw.cell_type not in ("markdown", "code"):
        problems.append(f"a {raw.cell_type} cell has no place in the course.")
    if kind not in kinds:
        problems.append(f"unknown kind {kind!r}; use one of {', '.join(kinds)}.")
    elif kinds[kind] and not name:
        problems.append(f'{kind} needs a name: # %% {kind}="NAME".')
    elif (word and named) or len(named) > 1:
        problems.append(
            f"two kinds in one header: {', '.join([*([word] if word else []), *named])}."
        )
    elif (kind in TEXT_KINDS) != (raw.cell_type == "markdown"):
        problems.append(f"{kind} cannot be a {raw.cell_type} cell.")
    if name and kind != "predict" and not _NAME.match(name):  # a prediction's name is shown
        problems.append(f"{name!r} is no name: letters, digits, - and _ only.")
    problems += [
        f"unknown option {key!r} for {kind}." for key in options if key not in _allowed(kind)
    ]
    return cell, problems


def _allowed(kind: str) -> tuple[str, ...]:
    """The options that a kind's header may carry."""
    if kind in ("check", "open"):
        return ("points",)
    if kind in ("predict", "experiment", "widget"):
        return ("compare",)
    return {"misconception": ("name", "message"), "alternative": ("name",)}.get(kind, ())


def deeds(code: str) -> str:
    """What the code of a cell does: without its comments, docstrings and line breaks.

    Code that Python cannot parse (a magic) stands for itself.
    """
    try:
        tree = ast.parse(code)
    except SyntaxError:
        return code
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and ast.get_docstring(node) is not None:
            node.body = node.body[1:]
    return ast.dump(tree)


def regions(text: str, what: str) -> Regions:
    """Part ``text`` by its ``### BEGIN what`` and ``### END what`` lines.

    A marker is any line that holds the words, as in nbgrader; unlike nbgrader, an END without
    its BEGIN is a problem.
    """
    visible, inside, problems, opened, count = [], [], [], 0, 0
    for number, line in enumerate(text.split("\n"), 1):
        if f"BEGIN {what}" in line:
            if opened:
                problems.append(f"BEGIN {what} on line {number} of the cell, inside another one.")
            opened, count = number, count + 1
        elif f"END {what}" in line:
            if not opened:
                problems.append(f"END {what} on line {number} of the cell without its BEGIN.")
            opened = 0
        elif opened:
            inside.append((number, line))
        else:
            visible.append(line)
    if opened:
        problems.append(f"BEGIN {what} on line {opened} of the cell is never ended.")
    return Regions("\n".join(visible), tuple(inside), count, tuple(problems))
