"""Every name a cell uses is there, whichever exercises the student has solved.

A check that fails ends its cell, so nothing in its hidden tests reaches another cell; what an
experiment makes behind ``if ready(hvp):`` is missing where hvp is. A cell that needs such a name
would stop with a NameError, and in a check cell that costs the points of a right answer. The
solution notebook cannot show it, because there every check passes.
"""

from __future__ import annotations

import ast
import builtins
import symtable
from collections.abc import Iterator

from flatlab.course.contract_graded import magic_free, stubbed
from flatlab.course.source import TEXT_KINDS, Cell, Percent

_ALWAYS = {*dir(builtins), "get_ipython", "display", "__name__"}
Needs = frozenset[str]  # exercises that must be solved


def problems(chapter: Percent) -> list[str]:
    """The cells that use a name which no cell before them makes for sure."""
    exercises = {cell.name for cell in chapter.of("exercise")}
    made: dict[str, set[Needs]] = {}
    found = []
    for cell in chapter.cells:
        if cell.kind in TEXT_KINDS:
            continue
        try:
            parts = list(_parts(cell, exercises))
        except SyntaxError:
            continue  # contract_graded and contract_code say it
        here = {name: {*needs} for name, needs in made.items()}
        for needs, _, binds in parts:
            for name in binds:
                here.setdefault(name, set()).add(needs)
        for needs, uses, _ in parts:
            for name in sorted(uses - _ALWAYS):
                if not any(given <= needs for given in here.get(name, ())):
                    found.append(f"{chapter.name}, {cell.label}: {_why(name, here)}")
        if cell.kind != "check":
            kept = here if cell.kind != "exercise" else _visible(cell, made, exercises)
            made = kept
    return list(dict.fromkeys(found))


def _why(name: str, here: dict[str, set[Needs]]) -> str:
    """What to do about a name that may be missing."""
    if name not in here:
        return (
            f"{name} is not there: nothing that a check cell defines or imports outlives the "
            "cell. Import it in the setup or in this cell."
        )
    needed = " or ".join(sorted(", ".join(sorted(needs)) for needs in here[name]))
    return f"{name} is there only when these are solved: {needed}. Add them to ready(...)."


def _visible(cell: Cell, made: dict, exercises: set[str]) -> dict[str, set[Needs]]:
    """What is there after an exercise cell as the student gets it."""
    kept = {name: {*needs} for name, needs in made.items()}
    for needs, _, binds in _parts(cell, exercises, stubbed(cell.text)):
        for name in binds:
            kept.setdefault(name, set()).add(needs)
    return kept


def _parts(
    cell: Cell, exercises: set[str], text: str | None = None
) -> Iterator[tuple[Needs, set[str], set[str]]]:
    """For each statement of a cell: what it needs solved, the names it uses, those it makes."""
    for statement in ast.parse(magic_free(cell.text if text is None else text)).body:
        guard = _guard(statement, exercises)
        if guard is None:
            yield frozenset(), *_names([statement])
            continue
        yield frozenset(), *_names([ast.Expr(statement.test)])
        yield guard, *_names(statement.body)
        yield frozenset(), *_names(statement.orelse)


def _guard(statement: ast.stmt, exercises: set[str]) -> Needs | None:
    """The exercises named in ``if ready(...)``; None for any other statement."""
    if not isinstance(statement, ast.If):
        return None
    calls = [
        node
        for node in ast.walk(statement.test)
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "ready"
    ]
    if not calls:
        return None
    return frozenset(ast.unparse(arg) for call in calls for arg in call.args) & exercises


def _names(statements: list[ast.stmt]) -> tuple[set[str], set[str]]:
    """The global names that statements use, functions' bodies included, and those they make."""
    code = ast.unparse(ast.Module(body=statements, type_ignores=[]))
    table = symtable.symtable(code, "cell", "exec")
    binds = {
        symbol.get_name()
        for symbol in table.get_symbols()
        if symbol.is_assigned() or symbol.is_imported() or symbol.is_namespace()
    }
    uses = {symbol.get_name() for symbol in table.get_symbols() if symbol.is_referenced()}
    waiting = list(table.get_children())
    while waiting:
        inner = waiting.pop()
        waiting += inner.get_children()
        uses |= {s.get_name() for s in inner.get_symbols() if s.is_global() and s.is_referenced()}
    return uses - binds, binds
