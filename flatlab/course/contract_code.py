"""What a chapter's code cells may do, read from their syntax trees.

A line that starts with % or ! is IPython's and is skipped.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from flatlab.course.contract_graded import checks_module, magic_free
from flatlab.course.source import TEXT_KINDS, Cell, Percent

SCALES = {"quick", "laptop", "paper"}
ALT_LENGTH = 30  # characters; less cannot say what a figure shows
_ABSOLUTE = re.compile(r"^(?:/(?!/)\w+/|~/|[A-Za-z]:[\\/])")


def problems(chapter: Percent) -> list[str]:
    """What is wrong with the chapter's code."""
    found = []
    if chapter.of("setup") and checks_module(chapter) is None:
        line = f"from flatlab.checks import chapter{chapter.name[:2]} as check"
        found.append(f"{chapter.name}: the setup cell lacks the line '{line}'.")
    exercises = {cell.name: cell.number for cell in chapter.of("exercise")}
    for cell in chapter.cells:
        if cell.kind in TEXT_KINDS:
            continue
        try:
            tree = _parse(cell)
        except SyntaxError as error:
            if cell.kind != "exercise":  # contract_graded says it
                line = cell.line + (error.lineno or 0)
                found.append(f"{chapter.name}, {cell.label}: line {line}: {error.msg}.")
            continue
        wrong = [*_paths(tree), *_figures(tree)]
        if cell.options.get("compare"):
            wrong += _compared(tree)
        if cell.kind == "settings":
            wrong += _settings(tree)
        elif cell.kind != "setup":
            wrong += _branches(tree)
        if cell.kind in ("experiment", "widget", "code", "folded"):
            wrong += _uses(tree, cell, exercises)
        if cell.kind == "predict":
            wrong += _prediction(tree, cell)
        found += [f"{chapter.name}, {cell.label}: {_at(cell, n)}{text}" for n, text in wrong]
    return found if found else list(_reveals(chapter))


def _parse(cell: Cell) -> ast.Module:
    return ast.parse(magic_free(cell.text))


def _at(cell: Cell, number: int) -> str:
    return f"line {cell.line + number}: " if number else ""


def _calls(tree: ast.AST, name: str) -> Iterator[ast.Call]:
    """Calls of the plain name or dotted name ``name``."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == name:
            yield node


def _paths(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Absolute paths, and changes to where Python looks for modules."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            if _ABSOLUTE.match(node.value):
                yield node.lineno, f"an absolute path: {node.value!r}."
        elif isinstance(node, ast.Attribute) and ast.unparse(node) == "sys.path":
            yield node.lineno, "it touches sys.path: flatlab is an installed package."
        elif isinstance(node, ast.Call) and ast.unparse(node.func) == "os.chdir":
            yield node.lineno, "it changes the working folder."


def _figures(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Figures go through plots.show, which stores their alt text."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        called = ast.unparse(node.func)
        if called in ("plt.show", "matplotlib.pyplot.show"):
            yield node.lineno, "plt.show() gives no alt text: use plots.show(figure, alt=...)."
        if called == "plots.show":
            alt = next((key.value for key in node.keywords if key.arg == "alt"), None)
            if alt is None:
                yield node.lineno, "plots.show without alt=...: say what the figure shows."
            elif (text := _literal(alt)) is not None and len(text.strip()) < ALT_LENGTH:
                yield node.lineno, f"alt text {text!r} does not say what the figure shows."
            elif isinstance(alt, ast.Constant):
                yield node.lineno, "the alt text is fixed: name values that were measured."


def _compared(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """A figure in a cell whose outputs CI compares: pictures differ between platforms."""
    for name in ("plots.show", "widgets.explore"):
        for call in _calls(tree, name):
            text = f"{name} in a cell with compare=true: compare printed numbers, show the figure in another cell."
            yield call.lineno, text


def _literal(node: ast.expr) -> str | None:
    """The fixed part of a string or f-string; None for any other expression."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(str(v.value) for v in node.values if isinstance(v, ast.Constant))
    return None


def _branches(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """No branch on the scale: what depends on it is in the settings table."""
    for node in ast.walk(tree):
        if isinstance(node, ast.If | ast.IfExp | ast.Match | ast.While):
            test = node.subject if isinstance(node, ast.Match) else node.test
            parts = list(ast.walk(test))
            words = {part.value for part in parts if isinstance(part, ast.Constant)}
            names = {getattr(part, "id", getattr(part, "attr", "")) for part in parts}
            if words & SCALES or "scale" in {name.lower() for name in names}:
                yield test.lineno, "a branch on the scale: put the three values in the settings."


def _settings(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """A table with a value for each scale: settings({name: (quick, laptop, paper), ...})."""
    calls = list(_calls(tree, "settings"))
    if len(calls) != 1 or len(calls[0].args) != 1 or not isinstance(calls[0].args[0], ast.Dict):
        yield 0, "call settings({'name': (quick, laptop, paper), ...}) once."
        return
    for key, row in zip(calls[0].args[0].keys, calls[0].args[0].values, strict=True):
        if not isinstance(row, ast.Tuple | ast.List) or len(row.elts) != len(SCALES):
            name = ast.unparse(key) if key else "**"
            yield row.lineno, f"the setting {name} needs three values: quick, laptop, paper."


def _prediction(tree: ast.AST, cell: Cell) -> Iterator[tuple[int, str]]:
    """predict("name", options, ...): the dots are the student's to replace."""
    calls = list(_calls(tree, "predict"))
    if len(calls) != 1 or not calls[0].args or _literal(calls[0].args[0]) != cell.name:
        yield 0, f'it must call predict("{cell.name}", options, ...) once.'
        return
    answers = [*calls[0].args[2:], *(k.value for k in calls[0].keywords if k.arg == "answer")]
    if [ast.unparse(answer) for answer in answers] != ["..."]:
        yield calls[0].lineno, "the answer of predict is ..., for the student to replace."


def _reveals(chapter: Percent) -> Iterator[str]:
    """Every prediction meets its outcome in a reveal({name: outcome, ...})."""
    revealed = set()
    for cell in chapter.cells:
        if cell.kind in TEXT_KINDS or "reveal(" not in cell.text:
            continue
        for call in _calls(_parse(cell), "reveal"):
            revealed |= {
                _literal(node) for node in ast.walk(call) if isinstance(node, ast.Constant)
            }
    for cell in chapter.of("predict"):
        if cell.name not in revealed:
            yield f"{chapter.name}, {cell.label}: no reveal(...) tells its outcome."


def _uses(tree: ast.AST, cell: Cell, exercises: dict[str, int]) -> Iterator[tuple[int, str]]:
    """An exercise is used after it was asked for, and behind ready(...)."""
    guarded = {
        argument.id
        for call in _calls(tree, "ready")
        for argument in call.args
        if isinstance(argument, ast.Name)
    }
    seen = set()
    for node in ast.walk(tree):
        if not isinstance(node, ast.Name) or node.id not in exercises or node.id in seen:
            continue
        seen.add(node.id)
        if exercises[node.id] > cell.number:
            yield node.lineno, f"it uses {node.id}, which is an exercise further down."
        elif node.id not in guarded and cell.kind != "folded":
            yield node.lineno, f"it uses {node.id}: put it behind `if ready({node.id}):`."
