"""A chapter as the grader's trusted side knows it: its graded cells, their checks, its answers.

The hidden tests' classes are made here by running their text with a recorder in place of the
chapter's check module, so that reading a chapter twice adds nothing to ``flatlab.checks``.
"""

from __future__ import annotations

import ast
import contextlib
import importlib
import io
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np

from flatlab.checks.core import Check, Exercise
from flatlab.course.assemble import assemble, grade_id
from flatlab.course.source import CODE_KINDS, TEXT_KINDS, Cell, Percent, parse, regions
from flatlab.course.verdict import cells as needed
from flatlab.course.verdict.codec import encode
from flatlab.course.verdict.cut import HIDDEN

# Outputs that say what happened in the sandbox, and not what a function gave: a submission that
# means to can forge them. A check class may name more of its own in ``measured``.
MEASURED = {
    *("calls", "repeated", "size", "largest", "gradients", "warnings"),
    *("moved", "has_grad", "flag", "changed", "grads", "w_after", "gradient_after"),
}


@dataclass(frozen=True)
class Planned:
    """One check of one graded cell."""

    exercise: str  # as in check.NAME
    argument: str  # the expression that it is called with
    aim: str
    hidden: bool
    check: Check
    module: str  # where the sandbox finds its class
    kind: str  # the class's name

    def measured(self, inputs: dict, outputs: dict) -> list[str]:
        """The keys of right ``outputs`` that say what happened in the sandbox.

        They are named in ``MEASURED`` or in the check's ``measured``, or are an input as it went in;
        ``result`` is what a function returned.
        """
        names = MEASURED.union(getattr(self.check, "measured", ()))
        given = {encode(value) for value in inputs.values() if isinstance(value, list | np.ndarray)}
        same = {key for key in outputs if key != "result" and encode(outputs[key]) in given}
        return [key for key in outputs if key in names or key in same]


@dataclass(frozen=True)
class Graded:
    """A check cell: what it earns and what it looks at, in its order."""

    name: str
    points: float
    checks: tuple[Planned, ...]
    hidden_module: str  # the text whose ``call`` halves the sandbox may need


@dataclass(frozen=True)
class Chapter:
    """A chapter's source as the verdict needs it."""

    name: str
    graded: tuple[Graded, ...]
    checks: str  # the module of its visible checks
    imports: str  # the import statements of the setup cell
    release: dict[str, tuple[str, str]]  # cell id -> (kind, text) of cells that are no answers
    namespace: dict[str, Any] = field(repr=False)  # holds the chapter's own answers


def read(path: Path) -> Chapter:
    """The chapter whose source is at ``path``.

    Raises ``ValueError``, naming the cell, for checks that cannot be read this way.
    """
    return read_text(path.read_text(encoding="utf-8"), path.stem)


@lru_cache(maxsize=8)
def read_text(text: str, name: str) -> Chapter:
    """As ``read``, from the source's text."""
    source = parse(text, name, {**CODE_KINDS, **TEXT_KINDS})
    if source.problems:
        raise ValueError("\n".join(source.problems))
    (setup,) = source.of("setup")
    imports = _imports(setup.text)
    alias, module = _check_module(setup)
    graded = [_graded(cell, module, alias, imports) for cell in source.of("check")]
    notebook = assemble(source)
    release = {
        built.id: (cell.kind, built.source)
        for cell, built in zip(source.cells, notebook.cells, strict=True)
        if built.cell_type == "code" and cell.kind not in ("exercise", "check")
    }
    namespace = _answers(source, setup)
    return Chapter(name, tuple(graded), module.__name__, imports, release, namespace)


def _imports(text: str) -> str:
    """The import statements of a setup cell, those of Colab's install line aside."""
    body = ast.parse(needed.plain(text)).body
    wanted = [s for s in body if isinstance(s, ast.Import | ast.ImportFrom)]
    return "\n".join(ast.unparse(statement) for statement in wanted)


def _check_module(setup: Cell) -> tuple[str, ModuleType]:
    """What the setup cell calls the chapter's check module, and the module."""
    for statement in ast.parse(needed.plain(setup.text)).body:
        if isinstance(statement, ast.ImportFrom) and statement.module == "flatlab.checks":
            for alias in statement.names:
                if alias.name.startswith("chapter"):
                    module = importlib.import_module(f"flatlab.checks.{alias.name}")
                    return alias.asname or alias.name, module
    raise ValueError(f"{setup.label}: no `from flatlab.checks import chapterNN as check`.")


class _Recorder:
    """Stands for an ``Exercise``: keeps what is called with what, and registers hidden checks."""

    def __init__(self, name: str, steps: list) -> None:
        self.name, self.steps, self.found = name, steps, {}

    def hidden(self, aim: str):
        def add(kind: type) -> type:
            self.found[aim] = kind
            return kind

        return add

    def __call__(self, argument: str) -> None:
        self.steps.append((self, argument, False))

    def grade(self, argument: str) -> None:
        self.steps.append((self, argument, True))


def _graded(cell: Cell, module: ModuleType, alias: str, imports: str) -> Graded:
    parted = regions(cell.text, "HIDDEN TESTS")
    code = f"{imports}\n{parted.visible}\n{parted.text}"
    steps: list[tuple[_Recorder, str, bool]] = []
    exercises = [name for name, value in vars(module).items() if isinstance(value, Exercise)]
    recorders = {name: _Recorder(name, steps) for name in exercises}
    names: dict[str, Any] = {"__name__": HIDDEN}
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            exec(compile(imports, f"{cell.label}, imports", "exec"), names)  # noqa: S102
            names[alias] = SimpleNamespace(**recorders)
            body = f"{parted.visible}\n{parted.text}"
            exec(compile(_arguments_as_text(body, alias), cell.label, "exec"), names)  # noqa: S102
    except Exception as error:
        raise ValueError(
            f"{cell.label}: its tests cannot be run outside the notebook "
            f"({type(error).__name__}: {error}). They may use the setup cell's imports and their own."
        ) from error
    checks = []
    for recorder, argument, hidden in steps:
        exercise = getattr(module, recorder.name)
        if hidden:
            found = {aim: (kind(), HIDDEN) for aim, kind in recorder.found.items()}
        else:
            found = {aim: (c, type(c).__module__) for aim, c in exercise.visible.items()}
        for aim, (check, where) in found.items():
            kind = type(check).__name__
            checks.append(Planned(recorder.name, argument, aim, hidden, check, where, kind))
    return Graded(cell.name, float(cell.options["points"]), tuple(checks), code)


class _Quote(ast.NodeTransformer):
    """``check.hvp(hvp)`` becomes ``check.hvp("hvp")``: the student's function is not here."""

    def __init__(self, alias: str) -> None:
        self.alias = alias

    def visit_Expr(self, node: ast.Expr) -> ast.AST:
        call = node.value
        if isinstance(call, ast.Call) and ast.unparse(call.func).startswith(f"{self.alias}."):
            call.args = [ast.Constant(ast.unparse(argument)) for argument in call.args]
        return node


def _arguments_as_text(code: str, alias: str) -> ast.Module:
    return ast.fix_missing_locations(_Quote(alias).visit(ast.parse(code)))


def _answers(source: Percent, setup: Cell) -> dict[str, Any]:
    """The names after the chapter's setup and its own answers have run."""
    answers = [(cell.label, cell.text) for cell in source.of("exercise")]
    others = [(cell.label, cell.text) for cell in source.of("folded", "settings", "code")]
    chosen = needed.with_needed(answers, others, bound=needed.stored(setup.text))
    order = {cell.label: cell.number for cell in source.cells}
    names: dict[str, Any] = {"__name__": f"flatlab_answers_{grade_id(setup)}"}
    with contextlib.redirect_stdout(io.StringIO()):
        exec(compile(needed.plain(setup.text), setup.label, "exec"), names)  # noqa: S102
        for label, text in sorted(chosen, key=lambda item: order[item[0]]):
            exec(compile(text, label, "exec"), names)  # noqa: S102
    return names
