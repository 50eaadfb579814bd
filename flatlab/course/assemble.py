"""From a chapter's cells to a notebook: nbgrader's metadata, markers, tags, badges.

The same source gives the same bytes: cell ids come from names or contents, and nothing in the
notebook tells when or where it was made.
"""

from __future__ import annotations

import hashlib
import re
from textwrap import indent

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from flatlab.course.source import Cell, Percent

COMPARE = "nbval-check-output"
BADGES = "<!-- badges -->"
INSTALL = "# <!-- install -->"
METADATA = {
    "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
    "language_info": {"file_extension": ".py", "mimetype": "text/x-python", "name": "python"},
}


def assemble(chapter: Percent, repository: str = "") -> NotebookNode:
    """The chapter as a notebook without outputs, solutions and hidden tests included."""
    used: dict[str, int] = {}
    cells = []
    for cell in chapter.cells:
        body = _with_address(cell.text, chapter.name, repository)
        body = _kept_apart(body) if cell.kind == "check" else body
        marker = marker_line(cell)
        source = f"{marker}\n{body}" if marker else body
        make = new_markdown_cell if cell.kind in ("text", "open") else new_code_cell
        cells.append(
            make(source=source, metadata=_metadata(cell), id=_unique(_cell_id(cell, source), used))
        )
    notebook = new_notebook(cells=cells, metadata=nbformat.from_dict(METADATA))
    notebook.nbformat_minor = 5
    nbformat.validate(notebook)
    return notebook


def grade_id(cell: Cell) -> str:
    """The cell's id in nbgrader and in the gradebook; empty for a cell nbgrader ignores."""
    prefix = {"exercise": "", "check": "check-", "open": "open-"}
    if cell.kind in prefix:
        return prefix[cell.kind] + cell.name
    return cell.kind if cell.kind in ("setup", "settings") else ""


def marker_line(cell: Cell) -> str:
    """The built cell's first line, by which an answer is found again when metadata is lost."""
    points = cell.options.get("points")
    worth = "" if points is None else f" · {points:g} point{'' if points == 1 else 's'}"
    if cell.kind == "open":
        return f"<!-- open: {cell.name}{worth} -->"
    if cell.kind in ("setup", "settings"):
        return f"# {cell.kind}"
    return f"# {cell.kind}: {cell.name}{worth}" if cell.name else ""


def _kept_apart(text: str) -> str:
    """A check whose hidden tests are a function: what they import and define hides nothing.

    They run among the student's own names, and a helper called ``flat`` is not theirs to replace.
    """
    parts = re.split(r"(### BEGIN HIDDEN TESTS\n|### END HIDDEN TESTS)", text)
    if len(parts) != 5:  # the contract says what is wrong with it
        return text
    before, begin, inside, *after = parts
    function = f"def _hidden_tests():\n{indent(inside.strip(), '    ')}"
    return "".join([before, begin, function, "\n\n\n_hidden_tests()\n", *after])


def _metadata(cell: Cell) -> dict:
    """Jupyter's and nbgrader's metadata of the built cell."""
    metadata: dict = {}
    if identity := grade_id(cell):
        graded = cell.kind in ("check", "open")
        metadata["nbgrader"] = {
            "grade": graded,
            "grade_id": identity,
            "locked": cell.kind in ("check", "setup", "settings"),
            "schema_version": 3,
            "solution": cell.kind in ("exercise", "open"),
            "task": False,
        }
        if graded:
            metadata["nbgrader"]["points"] = cell.options["points"]
    if cell.kind == "check" or cell.options.get("compare"):
        metadata["tags"] = [COMPARE]
    if cell.kind == "folded":
        metadata["jupyter"] = {"source_hidden": True}
        metadata["tags"] = ["hide-input"]
    return metadata


def _cell_id(cell: Cell, source: str) -> str:
    """A stable id: the name where there is one, else a hash of the content."""
    if cell.name or cell.kind in ("setup", "settings"):
        identity = grade_id(cell) or f"{cell.kind}-{cell.name}"
        return re.sub(r"[^A-Za-z0-9_]+", "-", identity).strip("-")[:56]
    return f"{cell.kind}-{hashlib.sha256(source.encode()).hexdigest()[:12]}"


def _unique(identity: str, used: dict[str, int]) -> str:
    """``identity``, numbered where cells share it."""
    used[identity] = used.get(identity, 0) + 1
    return identity if used[identity] == 1 else f"{identity}-{used[identity]}"


def _with_address(text: str, chapter: str, repository: str) -> str:
    """``text`` with the badge and install lines filled in, or gone where there is no address."""
    lines = []
    for line in text.split("\n"):
        if line.strip() == BADGES:
            lines += _badges(chapter, repository)
        elif line.strip() == INSTALL:
            indent = line[: len(line) - len(line.lstrip())]
            lines += [indent + new for new in _install(repository)]
        else:
            lines.append(line)
    result = "\n".join(lines).strip("\n")
    return result if len(lines) >= text.count("\n") + 1 else re.sub(r"\n{3,}", "\n\n", result)


def _badges(chapter: str, repository: str) -> list[str]:
    """Colab opens notebooks from GitHub alone; any other address gets no badge."""
    if not repository.startswith("https://github.com/"):
        return []
    path = repository.removeprefix("https://github.com/")
    colab = "https://colab.research.google.com"
    target = f"{colab}/github/{path}/blob/main/notebooks/{chapter}/{chapter}.ipynb"
    return [f"[![Open in Colab]({colab}/assets/colab-badge.svg)]({target})"]


def _install(repository: str) -> list[str]:
    """Install flatlab on Colab, once a machine; elsewhere it is there already."""
    if not repository:
        return []
    return [
        "import importlib.util",
        "import sys",
        "",
        'if "google.colab" in sys.modules and importlib.util.find_spec("flatlab") is None:',
        f'    %pip install --quiet "flatlab @ git+{repository}"',
    ]
