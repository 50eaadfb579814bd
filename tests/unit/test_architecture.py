"""The house's arrows: who may import whom, and how long files may be.

The ground floor carries the topics; checks, student and course stand beside them and import none;
course stands on student, and nothing but the command imports course. A new module of the package is a topic, unless it is named here.
"""

import ast
import io
import tokenize
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from flatlab.checks.guard import FREE

PACKAGE = Path(__file__).resolve().parents[2] / "flatlab"
GROUND_FLOOR = {
    *("archives", "arguments", "batches", "checkpoints", "data", "evaluation", "folders"),
    *("history", "isolation", "models", "notebook", "plots", "sources", "sweeps", "training"),
    "widgets",
}
BESIDE = {"checks", "student", "course", "__main__", "__init__"}
FILES = sorted(PACKAGE.rglob("*.py"))
MOST_LINES = 300
MOST_CODE_TOGETHER = 7950  # lines of topics and ground floor; docstrings and comments are free


def room(path: Path) -> str:
    """The module or subpackage of ``flatlab`` that a file belongs to."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def kind(name: str) -> str:
    if name in GROUND_FLOOR:
        return "ground floor"
    return name if name in BESIDE else "topic"


def imported_rooms(path: Path) -> set[str]:
    """The rooms that a file imports anywhere in it, inside functions too."""
    package = ["flatlab", *path.relative_to(PACKAGE).parts[:-1]]
    rooms = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            parent = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*parent, *([node.module] if node.module else [])])
            names = [f"{module}.{alias.name}" for alias in node.names]
        else:
            continue
        parts = [name.split(".") for name in names]
        rooms |= {p[1] for p in parts if p[0] == "flatlab" and len(p) > 1 and is_room(p[1])}
    return rooms


def is_room(name: str) -> bool:
    return (PACKAGE / name).is_dir() or (PACKAGE / f"{name}.py").is_file()


def test_the_walk_sees_every_form_of_import(tmp_path, monkeypatch):
    """Were it blind, the tests below could not fail."""
    monkeypatch.setattr(f"{__name__}.PACKAGE", tmp_path)
    for name in ("data", "models", "training", "plots", "curvature"):
        (tmp_path / f"{name}.py").touch()
    (tmp_path / "stability").mkdir()
    path = tmp_path / "stability" / "bounds.py"
    path.write_text(
        "import flatlab.data as d\nfrom flatlab import models, __version__\n"
        "from flatlab.training import fit\n\ndef late():\n    from .. import plots\n"
        "    from ..curvature import Hessian\n    from . import near\n"
    )
    assert imported_rooms(path) == {"data", "models", "training", "plots", "curvature", "stability"}


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_arrows_point_down(path):
    here = room(path)
    others = imported_rooms(path) - {here}
    allowed = {
        "ground floor": {"ground floor"},
        "topic": {"ground floor"},
        "checks": {"ground floor"},
        "student": {"ground floor", "checks"},
        "course": {"ground floor", "checks", "student"},
        "__main__": {"student", "course"},
        "__init__": set(),  # names are looked up when first used
    }[kind(here)]
    wrong = {o for o in others if kind(o) not in allowed}
    if kind(here) == "topic":
        wrong.discard("curvature")
    assert not wrong, f"{path.relative_to(PACKAGE)} may not import {', '.join(sorted(wrong))}"


def test_rooms_do_not_import_in_circles():
    graph: dict[str, set[str]] = {}
    for path in FILES:
        graph.setdefault(room(path), set()).update(imported_rooms(path) - {room(path)})
    list(TopologicalSorter(graph).static_order())  # raises CycleError, which names the circle


def test_exercises_may_use_the_ground_floor_and_no_topic():
    assert set(FREE) == GROUND_FLOOR | {"checks"}


def test_chapters_do_not_import_course():
    for path in sorted((PACKAGE.parent / "solutions").glob("*.py")):
        assert "flatlab.course" not in path.read_text(encoding="utf-8"), path.name


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_a_file_can_be_read_in_one_sitting(path):
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines <= MOST_LINES, f"{lines} lines; {MOST_LINES} is the limit: take something out"


def code_lines(path: Path) -> int:
    """Lines that hold code: no blank lines, comments or docstrings, which are free."""
    text = path.read_text(encoding="utf-8")
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef)
    docstrings = {
        line
        for node in ast.walk(ast.parse(text))
        if isinstance(node, documented) and ast.get_docstring(node, clean=False) is not None
        for line in range(node.body[0].lineno, node.body[0].end_lineno + 1)
    }
    silent = (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT)
    lines = {
        line
        for token in tokenize.generate_tokens(io.StringIO(text).readline)
        if token.type not in (*silent, tokenize.ENDMARKER)
        for line in range(token.start[0], token.end[0] + 1)
    }
    return len(lines - docstrings)


def test_code_lines_counts_code_alone(tmp_path):
    file = tmp_path / "a.py"
    file.write_text(
        '"""Two\nlines."""\n\n# why\nx = (\n    1\n)\n\n\ndef f():\n    """Doc."""\n    return x\n'
    )
    assert code_lines(file) == 5


def test_the_package_stays_small():
    counted = [p for p in FILES if kind(room(p)) in ("ground floor", "topic")]
    assert sum(map(code_lines, counted)) <= MOST_CODE_TOGETHER
