"""A chapter's page: the release's cells with the outputs of the executed notebook.

What students must not see is not hidden on the page, it is not there: the page is made from the
release, in which nbgrader has left no solution and no hidden test. ``FOLD`` adds them, folded.
"""

from __future__ import annotations

import copy
import re

LEAVE_OUT, FOLD = "leave-out", "fold"
FOLDED = {"solution": "the solution", "check": "the hidden tests"}  # what a code cell's fold holds
_MARKER = re.compile(r"^[ \t]*### (?:BEGIN|END) (?:SOLUTION|HIDDEN TESTS)[ \t]*\n?", re.MULTILINE)


def page(solution: dict, release: dict, name: str, solutions: str = LEAVE_OUT) -> dict:
    """The notebook that Sphinx shows for chapter ``name``, from its two built notebooks.

    Raises ``ValueError`` where they are not of one build, or a figure has no alternative text.
    """
    ids = [[cell["id"] for cell in notebook["cells"]] for notebook in (solution, release)]
    if ids[0] != ids[1]:
        raise ValueError(
            f"{name}: solution and release have other cells: run `flatlab build {name}`"
        )
    cells = []
    for done, shown in zip(solution["cells"], release["cells"], strict=True):
        cells.append(shown_cell(done, shown, name))
        if solutions == FOLD and _text(done) != _text(shown):
            cells.append(folded_cell(done, shown))
    cells.insert(1, _markdown("about-this-page", about(name, solutions)))
    metadata = copy.deepcopy(release["metadata"])
    metadata["language_info"]["pygments_lexer"] = "ipython3"
    return {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}


def about(name: str, solutions: str) -> str:
    """What the reader of the page is told about it."""
    also = " Solutions and hidden tests stand folded below." if solutions == FOLD else ""
    return (
        "Outputs and figures are those of the finished notebook, at laptop scale; where it has sliders, "
        f"the picture shows their start.{also} To work on it, [take the notebook]"
        f"(path:../../downloads/{name}.ipynb)."
    )


def shown_cell(done: dict, shown: dict, name: str) -> dict:
    """A cell of the release with the outputs of the same cell of the executed notebook."""
    if shown["cell_type"] == "markdown":
        return _markdown(shown["id"], _text(shown))
    cell = _code(shown["id"], _text(shown))
    cell["outputs"] = copy.deepcopy(done["outputs"])
    if "hide-input" in shown["metadata"].get("tags", ()):
        cell["metadata"]["tags"] = ["hide-input"]
    figures = [o for o in cell["outputs"] if "image/png" in o.get("data", {})]
    if len(figures) > 1:
        raise ValueError(f"{name}, cell {shown['id']}: MyST-NB has one alternative text a cell")
    for figure in figures:
        alt = figure.get("metadata", {}).get("image/png", {}).get("alt")
        if not alt:
            raise ValueError(f"{name}, cell {shown['id']}: a figure without alternative text")
        cell["metadata"]["mystnb"] = {"image": {"alt": alt}}
    return cell


def folded_cell(done: dict, shown: dict) -> dict:
    """What the executed notebook has in a cell and the release has not, to be unfolded."""
    text = _MARKER.sub("", _text(done))
    if done["cell_type"] == "markdown":
        body = f"<details><summary>Show a model answer</summary>\n\n{text}\n\n</details>"
        return _markdown(f"{done['id']}-folded", body)
    cell = _code(f"{done['id']}-folded", text)
    what = FOLDED["check" if shown["metadata"]["nbgrader"]["grade"] else "solution"]
    cell["metadata"] = {
        "tags": ["hide-input"],
        "mystnb": {"code_prompt_show": f"Show {what}", "code_prompt_hide": f"Hide {what}"},
    }
    return cell


def _text(cell: dict) -> str:
    return "".join(cell["source"])


def _markdown(identity: str, source: str) -> dict:
    return {"cell_type": "markdown", "id": identity[:64], "metadata": {}, "source": source}


def _code(identity: str, source: str) -> dict:
    return {
        "cell_type": "code",
        "execution_count": None,
        "id": identity[:64],
        "metadata": {},
        "outputs": [],
        "source": source,
    }
