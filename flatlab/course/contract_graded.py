"""What nbgrader and the checks need of a chapter: ids, points, markers, stubs, tests, cases."""

from __future__ import annotations

import ast
import importlib
import re
from collections import Counter
from textwrap import indent

from flatlab.course.assemble import grade_id
from flatlab.course.source import Cell, Percent, Regions, regions

MISCONCEPTIONS = 4  # at least, for each exercise
ALTERNATIVES = 2
STUB = "raise NotImplementedError()"


def problems(chapter: Percent) -> list[str]:
    """What is wrong with the chapter's graded and locked cells."""
    found = _frame(chapter) + _duplicates(chapter)
    for place, cell in enumerate(chapter.cells):
        solution = regions(cell.text, "SOLUTION")
        hidden = regions(cell.text, "HIDDEN TESTS")
        wrong = [*solution.problems, *hidden.problems]
        if solution.count and cell.kind not in ("exercise", "open"):
            wrong.append("a solution region outside an exercise or open question.")
        if hidden.count and cell.kind != "check":
            wrong.append("a hidden-test region outside a check.")
        if cell.kind == "exercise":
            following = chapter.cells[place + 1 : place + 2]
            wrong += _exercise(cell, solution, following[0] if following else None)
        if cell.kind == "check":
            wrong += _check(cell, hidden, chapter)
        if cell.kind in ("check", "open"):
            wrong += _points(cell)
        if cell.kind == "open" and not solution.text.strip():
            wrong.append("no model answer between BEGIN SOLUTION and END SOLUTION.")
        found += [f"{chapter.name}, {cell.label}: {text}" for text in wrong]
    return found


def _frame(chapter: Percent) -> list[str]:
    """One setup cell before all other code, one settings cell."""
    found = []
    for kind in ("setup", "settings"):
        if len(cells := chapter.of(kind)) != 1:
            lines = ", ".join(f"line {cell.line}" for cell in cells) or "none"
            found.append(f"{chapter.name}: exactly one {kind} cell is needed; found {lines}.")
    code = [cell for cell in chapter.cells if cell.kind not in ("text", "open")]
    if code and code[0].kind != "setup":
        found.append(f"{chapter.name}, {code[0].label}: the first code cell must be the setup.")
    return found


def _duplicates(chapter: Percent) -> list[str]:
    """Two cells of one kind and name, or with one id in the gradebook."""
    named = [cell for cell in chapter.cells if cell.name]
    keys = [(cell, grade_id(cell) or f"{cell.kind}-{cell.name}") for cell in named]
    locked = [(cell, cell.kind) for cell in chapter.of("setup", "settings")]
    count = Counter(key for _, key in keys) + Counter({key for _, key in locked})
    return [
        f"{chapter.name}, {cell.label}: the id {key!r} is used {count[key]} times."
        for cell, key in keys
        if count[key] > 1
    ]


def _exercise(cell: Cell, solution: Regions, following: Cell | None) -> list[str]:
    """A stub that parses and documents itself, a solution, and its check right after it."""
    wrong = []
    if not solution.text.strip():
        wrong.append("no solution between ### BEGIN SOLUTION and ### END SOLUTION.")
    if following is None or (following.kind, following.name) != ("check", cell.name):
        wrong.append(f'its check must be the next cell: # %% check="{cell.name}" points=...')
    if solution.problems:
        return wrong
    try:
        stub = ast.parse(stubbed(cell.text))
        ast.parse(cell.text)
    except SyntaxError as error:
        return [*wrong, f"line {cell.line + (error.lineno or 0)} is no Python: {error.msg}."]
    defined = [
        node
        for node in stub.body
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name == cell.name
    ]
    if not defined:
        return [*wrong, f"it does not define {cell.name}."]
    if not ast.get_docstring(defined[0]):
        wrong.append(f"the stub of {cell.name} has no docstring outside the solution.")
    if STUB not in ast.unparse(defined[0]):
        wrong.append(f"the solution region is not inside {cell.name}.")
    return wrong


def stubbed(text: str) -> str:
    """An exercise's text as the release shows it: each solution region replaced by the stub."""
    lines, inside = [], False
    for line in text.split("\n"):
        if "BEGIN SOLUTION" in line:
            inside = True
            lines.append(line[: len(line) - len(line.lstrip())] + STUB)
        elif "END SOLUTION" in line:
            inside = False
        elif not inside:
            lines.append(line)
    return "\n".join(lines)


def _points(cell: Cell) -> list[str]:
    points = cell.options.get("points")
    if isinstance(points, bool) or not isinstance(points, int | float) or points <= 0:
        return ["no points: write points=N, a positive number, in its header."]
    return []


def _check(cell: Cell, hidden: Regions, chapter: Percent) -> list[str]:
    """The visible call, the hidden tests, and the hidden tests the student was promised."""
    wrong = []
    name = cell.name
    if name not in {exercise.name for exercise in chapter.of("exercise")}:
        wrong.append(f"there is no exercise {name!r}.")
    if f"check.{name}({name})" not in hidden.visible:
        wrong.append(f"the visible part must call check.{name}({name}).")
    if not hidden.text.strip():
        return [*wrong, "no hidden tests between ### BEGIN and ### END HIDDEN TESTS."]
    if f"check.{name}.grade({name})" not in hidden.text:
        wrong.append(f"the hidden tests are never run: end them with check.{name}.grade({name}).")
    try:
        written = hidden_aims(hidden.text, name)
    except SyntaxError as error:
        return [*wrong, f"the hidden tests are no Python: {error.msg}."]
    if not _can_be_indented(hidden.text):
        wrong.append(
            "the hidden tests hold a string of several lines, which the build would indent."
        )
    return wrong + _promises(name, written, chapter)


def _can_be_indented(code: str) -> bool:
    inside = ast.parse(f"if True:\n{indent(code, ' ')}").body[0].body
    return [*map(ast.dump, inside)] == [*map(ast.dump, ast.parse(code).body)]


def hidden_aims(code: str, name: str) -> list[str]:
    """The aims of the classes that ``@check.NAME.hidden("aim")`` decorates in ``code``."""
    aims = []
    for node in ast.walk(ast.parse(code)):
        for call in getattr(node, "decorator_list", []):
            if isinstance(call, ast.Call) and ast.unparse(call.func) == f"check.{name}.hidden":
                aims.append(ast.literal_eval(call.args[0]))
    return aims


def _promises(name: str, written: list[str], chapter: Percent) -> list[str]:
    """Differences between hidden tests written and hidden tests promised to the student."""
    module = checks_module(chapter)
    if module is None:
        return []  # said once, by contract_code
    exercise = getattr(importlib.import_module(module), name, None)
    if exercise is None:
        return [f"{module} has no exercise {name!r}."]
    promised = list(exercise.remaining)
    wrong = [
        f"promised in {module}, but not written here: {a!r}." for a in promised if a not in written
    ]
    wrong += [f"hidden test not promised in {module}: {a!r}." for a in written if a not in promised]
    wrong += [f"two hidden tests of {a!r}." for a, n in Counter(written).items() if n > 1]
    return wrong


def checks_module(chapter: Percent) -> str | None:
    """The module that the setup cell imports as ``check``: flatlab.checks.chapterNN."""
    wanted = f"chapter{chapter.name[:2]}"
    for cell in chapter.of("setup"):
        try:
            tree = ast.parse(magic_free(cell.text))
        except SyntaxError:
            continue
        for node in ast.walk(tree):
            if not isinstance(node, ast.ImportFrom) or node.module != "flatlab.checks":
                continue
            if any((alias.name, alias.asname) == (wanted, "check") for alias in node.names):
                return f"flatlab.checks.{wanted}"
    return None


def magic_free(code: str) -> str:
    """``code`` with IPython's own lines, those that start with % or !, turned into ``pass``."""
    return re.sub(r"(?m)^(\s*)[%!].*$", r"\1pass", code)


def case_problems(chapter: Percent, cases: Percent) -> list[str]:
    """Exercises with too few misconceptions or alternatives, and cases that are none."""
    exercises = [cell.name for cell in chapter.of("exercise")]
    where = f"tests/grading/cases/{chapter.name}.py"
    found = []
    for name in exercises:
        for kind, least in (("misconception", MISCONCEPTIONS), ("alternative", ALTERNATIVES)):
            count = sum(case.name == name for case in cases.of(kind))
            if count < least:
                found.append(
                    f"{chapter.name}, exercise {name!r}: {count} {kind}s in {where}; "
                    f"at least {least} are needed."
                )
    named = Counter((c.kind, c.name, c.options.get("name")) for c in cases.cells if c.name)
    for case in cases.of("misconception", "alternative"):
        wrong = _case(case, exercises)
        if named[case.kind, case.name, case.options.get("name")] > 1:
            wrong.append("another case has the same name.")
        found += [f"{where}, {case.label}: {text}" for text in wrong]
    return found


def _case(case: Cell, exercises: list[str]) -> list[str]:
    """What is wrong with one misconception or alternative."""
    wrong = []
    if case.name not in exercises:
        wrong.append(f"there is no exercise {case.name!r}.")
    if not case.options.get("name"):
        wrong.append('no name: name="what-goes-wrong".')
    if case.kind == "misconception" and len(str(case.options.get("message", "")).strip()) < 4:
        wrong.append("no message: a fragment of what the failing check must say.")
    try:
        body = ast.parse(case.text).body
    except SyntaxError as error:
        return [*wrong, f"line {case.line + (error.lineno or 0)} is no Python: {error.msg}."]
    if not any(case.name in _bound(node) for node in body):
        wrong.append(f"it does not define {case.name}.")
    return wrong


def _bound(node: ast.stmt) -> list[str]:
    """The names that a top-level statement defines."""
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return [node.name]
    if isinstance(node, ast.Assign):
        return [target.id for target in node.targets if isinstance(target, ast.Name)]
    return []
