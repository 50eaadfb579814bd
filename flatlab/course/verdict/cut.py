"""The ``call`` halves of checks, cut out of their modules: what a submission may run beside.

A student's code finds in its process what lies in its process. So of ``flatlab.checks`` and of a
chapter's hidden tests only that goes there which the ``call`` methods reach, name by name; ``draw``,
``verdict``, hints, and the helpers that only these use stay outside. A class of which they make an
object goes there whole: the student's function may be given it, and use what no check does.
"""

from __future__ import annotations

import ast
import importlib.util
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

CHECKS = "flatlab.checks"
HIDDEN = f"{CHECKS}._hidden"  # the module that a chapter's hidden tests become
NEVER = {"draw", "verdict", "hints"}  # members of a class that stay outside
_REGISTER = {"check", "hidden"}  # decorators that only register


class CannotCut(ValueError):
    """Checks written in a way that cannot be taken apart; the text says how to write them."""


@dataclass
class _Module:
    name: str
    package: bool
    statements: list[ast.stmt]
    kept: set[int] = field(default_factory=set)  # indices of statements

    def defines(self, name: str) -> int | None:
        """The index of the last statement that binds ``name`` at the top level."""
        found = [i for i, s in enumerate(self.statements) if name in _bound(s)]
        return found[-1] if found else None


def _bound(statement: ast.stmt) -> set[str]:
    """The names that a top-level statement binds."""
    if isinstance(statement, ast.FunctionDef | ast.ClassDef):
        return {statement.name}
    if isinstance(statement, ast.Import | ast.ImportFrom):
        return {alias.asname or alias.name.split(".")[0] for alias in statement.names}
    nodes = ast.walk(statement)
    return {n.id for n in nodes if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}


def _parsed(text: str) -> list[ast.stmt]:
    """The statements of ``text``, imports of several names parted."""
    parted: list[ast.stmt] = []
    for statement in ast.parse(text).body:
        if isinstance(statement, ast.Import):
            parted += [ast.Import([alias]) for alias in statement.names]
        elif isinstance(statement, ast.ImportFrom):
            if statement.level:
                raise CannotCut("Checks import each other by full names, not relative ones.")
            make = ast.ImportFrom
            parted += [make(statement.module, [alias], 0) for alias in statement.names]
        else:
            parted.append(statement)
    return parted


@lru_cache(maxsize=256)
def _source(name: str) -> tuple[str, bool] | None:
    """The text of a module of ``flatlab.checks``, and whether it is a package."""
    try:
        spec = importlib.util.find_spec(name)
    except ModuleNotFoundError:
        return None
    if spec is None or not spec.origin:
        return None
    path = Path(spec.origin)
    return path.read_text(encoding="utf-8"), path.name == "__init__.py"


def call_halves(roots: list[tuple[str, str]], hidden: str) -> dict[str, tuple[str, bool]]:
    """Module name -> (its text, is it a package?), holding what ``roots`` need to be called.

    ``roots``: (module, name) pairs of check classes and functions. ``hidden``: the text of the
    module ``HIDDEN``. Raises ``CannotCut`` where an import hides what is used.
    """
    cutter = _Cutter(hidden)
    for module, name in roots:
        cutter.reach(module, name)
    cutter.settle()
    return cutter.texts()


class _Cutter:
    def __init__(self, hidden: str) -> None:
        self.modules = {HIDDEN: _Module(HIDDEN, False, _parsed(hidden))}
        self.attributes: set[str] = set()  # every .name in kept code
        self.made: set[str] = set()  # every NAME(...) in kept code: functions, classes

    def module(self, name: str) -> _Module | None:
        if name not in self.modules:
            found = _source(name)
            if found is None:
                return None
            self.modules[name] = _Module(name, found[1], _parsed(found[0]))
        return self.modules[name]

    def reach(self, module_name: str, name: str) -> None:
        """Keep what binds ``name`` in the module, and all that it needs."""
        module = self.module(module_name)
        index = module.defines(name) if module else None
        if index is None or index in module.kept:
            return
        module.kept.add(index)
        statement = module.statements[index]
        if isinstance(statement, ast.Import | ast.ImportFrom):
            self.follow(module, statement)
        else:
            self.look_into(module, statement)

    def follow(self, module: _Module, statement: ast.Import | ast.ImportFrom) -> None:
        """Keep in ``flatlab.checks`` what the import brings from there."""
        (alias,) = statement.names
        origin = statement.module if isinstance(statement, ast.ImportFrom) else alias.name
        if origin != CHECKS and not origin.startswith(f"{CHECKS}."):
            return
        target = self.module(origin)
        named = isinstance(statement, ast.ImportFrom) and target is not None
        if not named or target.defines(alias.name) is None:
            raise CannotCut(
                f"{module.name}: {ast.unparse(statement)!r} hides which helpers are used: "
                "write `from flatlab.checks.MODULE import NAME`."
            )
        self.reach(origin, alias.name)

    def look_into(self, module: _Module, statement: ast.stmt) -> None:
        """Keep every name and remember every attribute that the kept part of it mentions."""
        if isinstance(statement, ast.ClassDef) and statement.name in self.made:
            bases = [base.id for base in statement.bases if isinstance(base, ast.Name)]
            self.made.update(bases)  # what it inherits too
        for node in self.part(statement):
            for inner in ast.walk(node):
                if isinstance(inner, ast.Call) and isinstance(inner.func, ast.Name):
                    self.made.add(inner.func.id)
                if isinstance(inner, ast.Name):
                    self.reach(module.name, inner.id)
                elif isinstance(inner, ast.Attribute):
                    self.attributes.add(inner.attr)

    def part(self, statement: ast.stmt) -> list[ast.AST]:
        """What of a statement is kept: all of it, or of a class its used members."""
        if not isinstance(statement, ast.ClassDef):
            return [statement]
        return [
            *statement.bases,
            *statement.keywords,
            *_decorators(statement),
            *self.members(statement),
        ]

    def members(self, statement: ast.ClassDef) -> list[ast.stmt]:
        # A dataclass, say: fields count though unused.
        whole = bool(_decorators(statement)) or statement.name in self.made
        kept = []
        for member in statement.body:
            names = _bound(member)
            if names & NEVER or not names:
                continue
            special = any(n == "call" or (n[:2] == "__" == n[-2:]) for n in names)
            if whole or special or names & self.attributes:
                kept.append(member)
        return kept

    def settle(self) -> None:
        """Look into classes again until no new member is used."""
        while True:
            before = self.size()
            for module in list(self.modules.values()):
                for index in list(module.kept):
                    if isinstance(module.statements[index], ast.ClassDef):
                        self.look_into(module, module.statements[index])
            if self.size() == before:
                return

    def size(self) -> tuple[int, ...]:
        kept = sum(len(module.kept) for module in self.modules.values())
        return len(self.attributes), len(self.made), kept

    def texts(self) -> dict[str, tuple[str, bool]]:
        texts = {}
        for name, module in self.modules.items():
            kept = [self.written(module.statements[i]) for i in sorted(module.kept)]
            future = "from __future__ import annotations"
            lines = [line for line in kept if line != future]
            texts[name] = ("\n".join([future, *lines, ""]), module.package)
        return texts

    def written(self, statement: ast.stmt) -> str:
        if isinstance(statement, ast.ClassDef):
            body = self.members(statement) or [ast.Pass()]
            parts = (statement.name, statement.bases, statement.keywords)
            cut = {"body": body, "decorator_list": _decorators(statement)}
            fields = dict(zip(("name", "bases", "keywords"), parts, strict=True))
            fields |= {"type_params": []} if "type_params" in ast.ClassDef._fields else {}
            statement = ast.ClassDef(**fields, **cut)
        return ast.unparse(ast.fix_missing_locations(_Silent().visit(_copy(statement))))


def _decorators(statement: ast.ClassDef) -> list[ast.expr]:
    """A class's decorators but those that register a check."""
    return [
        d
        for d in statement.decorator_list
        if not (
            isinstance(d, ast.Call)
            and isinstance(d.func, ast.Attribute)
            and d.func.attr in _REGISTER
        )
    ]


def _copy(statement: ast.stmt) -> ast.stmt:
    """A copy whose nodes may be changed."""
    return ast.parse(ast.unparse(ast.fix_missing_locations(statement))).body[0]


class _Silent(ast.NodeTransformer):
    """Drops docstrings, which may tell what is expected."""

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        return self._without(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        return self._without(node)

    def _without(self, node):
        self.generic_visit(node)
        if ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:] or [ast.Pass()]
        return node
