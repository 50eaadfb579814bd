"""Building a chapter: source -> executed solution notebook -> student release.

``build`` writes both or, where a chapter is refused, nothing. ``check`` writes nothing: it says
where the committed notebooks differ from what their sources give.
"""

from __future__ import annotations

from pathlib import Path

import nbformat
from nbformat import NotebookNode

from flatlab.course.assemble import assemble
from flatlab.course.contract import source_problems
from flatlab.course.execute import dumps, execute, output_problems
from flatlab.course.layout import Layout, Refused
from flatlab.course.release import make_release
from flatlab.course.source import deeds, read_chapter

MAX_BYTES = 1_500_000


def build(
    chapters: list[str] | None = None, execute: bool = True, root: Path | None = None
) -> list[Path]:
    """Build ``chapters`` (names or numbers; None: all) and return the notebooks written.

    With ``execute=False`` no kernel starts: stored outputs are kept where the code does the same,
    and dropped where it does not. ``root`` is the course's checkout (default: the one around the
    current folder). Raises ``Refused``, whose ``problems`` name chapter, cell and line; a chapter
    that is refused is left as it was.
    """
    layout = Layout.find(root)
    written, problems = [], []
    for name in layout.select(chapters):
        try:
            written += build_chapter(layout, name, execute)
        except Refused as refused:
            problems += refused.problems
    if problems:
        raise Refused(problems)
    return written


def build_chapter(layout: Layout, name: str, run: bool = True) -> list[Path]:
    """Build one chapter; see ``build``."""
    if problems := source_problems(layout, name):
        raise Refused(problems)
    notebook = assemble(read_chapter(layout.source(name)), layout.repository())
    release = make_release(notebook, name, layout.root / "nbgrader_config.py")
    if run:
        _run(notebook, layout, name)
    else:
        _keep_outputs(notebook, layout.solution(name))
    text = dumps(notebook)
    if len(text.encode()) > MAX_BYTES:
        size = len(text.encode()) / 1e6
        raise Refused([f"{name}: the executed notebook has {size:.2f} MB; 1.5 MB is the limit."])
    write(layout.solution(name), text)
    write(layout.release(name), release)
    return [layout.solution(name), layout.release(name)]


def check(chapters: list[str] | None = None, root: Path | None = None) -> list[str]:
    """Where the committed notebooks of ``chapters`` (None: all) differ from their sources.

    One line for each difference; empty when all is up to date. Writes nothing, runs nothing.
    """
    layout = Layout.find(root)
    problems = []
    for name in layout.select(chapters):
        try:
            problems += check_chapter(layout, name)
        except Refused as refused:
            problems += refused.problems
    return problems


def check_chapter(layout: Layout, name: str) -> list[str]:
    """Drift of one chapter; see ``check``."""
    if problems := source_problems(layout, name):
        return problems
    notebook = assemble(read_chapter(layout.source(name)), layout.repository())
    release = make_release(notebook, name, layout.root / "nbgrader_config.py")
    problems = []
    for path, wanted, read in (
        (layout.solution(name), dumps(notebook), lambda p: dumps(without_outputs(_read(p)))),
        (layout.release(name), release, lambda p: p.read_text(encoding="utf-8")),
    ):
        if not path.is_file():
            problems.append(f"{name}: {path.relative_to(layout.root)} is missing: build it.")
        elif (found := read(path)) != wanted:
            problems.append(
                f"{name}: {path.relative_to(layout.root)} is not what the source gives "
                f"({_first_difference(found, wanted)}): run `flatlab build {name}`."
            )
        problems += _beside(path, layout.root, name)
    return problems


def without_outputs(notebook: NotebookNode) -> NotebookNode:
    """``notebook`` with outputs and execution counts removed, in place."""
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    return notebook


def _run(notebook: NotebookNode, layout: Layout, name: str) -> None:
    """Execute in the chapter's solution folder and refuse outputs that break the contract."""
    folder = layout.solution(name).parent
    made = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        execute(notebook, folder, name)
        if problems := output_problems(notebook, name) + _beside(
            layout.solution(name), layout.root, name
        ):
            raise Refused(problems)
    except Refused:
        if made and not any(folder.iterdir()):
            folder.rmdir()
        raise


def _keep_outputs(notebook: NotebookNode, path: Path) -> None:
    """Take over the stored outputs of the notebook at ``path`` where its code is the same."""
    if not path.is_file():
        return
    old = [cell for cell in _read(path).cells if cell.cell_type == "code"]
    new = [cell for cell in notebook.cells if cell.cell_type == "code"]
    if [deeds(cell.source) for cell in old] != [deeds(cell.source) for cell in new]:
        return
    for before, after in zip(old, new, strict=True):
        after.outputs, after.execution_count = before.outputs, before.execution_count


def _beside(path: Path, root: Path, name: str) -> list[str]:
    """Files beside a notebook: plain nbgrader would copy them to the students."""
    extra = sorted(
        p.name
        for p in path.parent.glob("*")
        if p != path and p.name not in (".ipynb_checkpoints", "__pycache__")
    )
    folder = path.parent.relative_to(root)
    return [f"{name}: {folder} holds more than the notebook: {', '.join(extra)}"] if extra else []


def _read(path: Path) -> NotebookNode:
    return nbformat.read(path, as_version=4)


def _first_difference(found: str, wanted: str) -> str:
    """The first line in which two texts differ."""
    pairs = zip(found.splitlines(), wanted.splitlines(), strict=False)
    for number, (old, new) in enumerate(pairs, 1):
        if old != new:
            return f"line {number} is {old.strip()[:80]!r}, wanted {new.strip()[:80]!r}"
    return "one is longer than the other"


def write(path: Path, text: str) -> None:
    """Replace the file at ``path`` in one step."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".new")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)
