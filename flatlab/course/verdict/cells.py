"""Which cells of a notebook run before a check: as in the notebook, less what takes long.

What the student wrote always runs, in its order, as do setup and settings. Of the release's own
cells (experiments, folded helpers) only those run that make a name which these cells use.
"""

from __future__ import annotations

import ast
import symtable
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from nbformat import NotebookNode

from flatlab.course.rebuild import code

LOCKED = ("setup", "settings")


class NotRebuilt(ValueError):
    """A notebook that lacks the release's cells: it has to be rebuilt first."""


@dataclass(frozen=True)
class Placed:
    """A code cell: the student's or not, and its text."""

    label: str
    text: str
    role: str  # locked, student, release


def before_checks(notebook: NotebookNode, release: dict) -> dict[str, list[tuple[str, str]]]:
    """For each check cell's name the (label, text) of the cells to run before it.

    ``release``: cell id -> (kind, text) of the chapter's cells that are no answers; their text
    counts, not the notebook's.
    """
    seen: list[Placed] = []
    result = {}
    for number, cell in enumerate(notebook.cells):
        if cell.cell_type != "code":
            continue
        graded = cell.metadata.get("nbgrader", {})
        name = str(graded.get("grade_id", ""))
        if graded.get("grade") and name.startswith("check-"):
            result.setdefault(name.removeprefix("check-"), _chosen(seen))
        elif cell.get("id") in release:
            kind, text = release[cell.id]
            seen.append(Placed(cell.id, text, "locked" if kind in LOCKED else "release"))
        else:
            seen.append(Placed(name or f"cell {number + 1}", cell.source, "student"))
    return result


def student_code(notebook: NotebookNode, release: dict) -> str:
    """All code cells that are the student's, joined."""
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    return "\n".join(
        cell.source
        for cell in cells
        if cell.get("id") not in release and not cell.metadata.get("nbgrader", {}).get("grade")
    )


def _chosen(seen: list[Placed]) -> list[tuple[str, str]]:
    always = [(str(i), cell.text) for i, cell in enumerate(seen) if cell.role != "release"]
    others = [(str(i), cell.text) for i, cell in enumerate(seen) if cell.role == "release"]
    chosen = {int(place) for place, _ in with_needed(always, others)}
    return [(cell.label, cell.text) for i, cell in enumerate(seen) if i in chosen]


def with_needed(
    always: list[tuple[str, str]], others: list[tuple[str, str]], bound: Iterable[str] = ()
) -> list[tuple[str, str]]:
    """``always`` and those of ``others`` that bind a name which the chosen cells use."""
    chosen, left = list(always), list(others)
    early, before = set(), set(bound)
    for _, text in always:
        early |= _read_first(text) - before
        before |= stored(text)
    while True:
        have = set(bound).union(*(stored(text) for _, text in chosen))
        want = set().union(*(loaded(text) for _, text in chosen)) - have | early
        more = [item for item in left if stored(item[1]) & want]
        if not more:
            return chosen
        chosen += more
        left = [item for item in left if item not in more]


def _read_first(text: str) -> set[str]:
    """The global names that a cell's statements read before the cell binds them."""
    found: set[str] = set()
    have: set[str] = set()
    for statement in _body(text):
        names = [node for node in ast.walk(statement) if isinstance(node, ast.Name)]
        added = isinstance(statement, ast.AugAssign)
        found |= {n.id for n in names if added or isinstance(n.ctx, ast.Load)} - have
        have |= {n.id for n in names if isinstance(n.ctx, ast.Store)}
        have |= {getattr(statement, "name", "")}
    return found & loaded(text)


@lru_cache(maxsize=1024)
def stored(text: str) -> frozenset[str]:
    """The names that a cell binds at its top level, ``if`` and loops included."""
    names: set[str] = set()
    pending: list[ast.AST] = list(_body(text))
    while pending:
        node = pending.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
            continue
        if isinstance(node, ast.Import | ast.ImportFrom):
            names |= {alias.asname or alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        if isinstance(node, ast.comprehension):  # its variable ends with it
            pending += [node.iter, *node.ifs]
        elif not isinstance(node, ast.Lambda):
            pending += ast.iter_child_nodes(node)
    return frozenset(names)


@lru_cache(maxsize=1024)
def loaded(text: str) -> frozenset[str]:
    """The global names that a cell reads, in its functions too."""
    names: set[str] = set()
    try:
        pending = [symtable.symtable(plain(text), "cell", "exec")]
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return frozenset()
    while pending:
        table = pending.pop()
        top = table.get_type() == "module"
        names |= {
            s.get_name()
            for s in table.get_symbols()
            if s.is_referenced() and (top or s.is_global())
        }
        pending += table.get_children()
    return frozenset(names)


def plain(text: str) -> str:
    """``text`` with IPython's own lines (``%``, ``!``, ``?``) as ``pass``; Python stays as it is."""
    # A line of Python may begin with % too.
    return text if _tree(text) is not None else code.without_magics(text)


def _tree(text: str) -> ast.Module | None:
    try:
        return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _body(text: str) -> list[ast.stmt]:
    tree = _tree(text) or _tree(code.without_magics(text))
    return tree.body if tree else []  # it runs and fails, as in the notebook
