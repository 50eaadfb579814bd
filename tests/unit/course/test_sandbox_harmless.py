"""What a student wrote or showed runs in no browser, and reads as it was written."""

import json
import time

import nbformat
import pytest
from bs4 import BeautifulSoup
from nbconvert.exporters import HTMLExporter
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from nbgrader.server_extensions.formgrader import handlers
from traitlets.config import Config

from flatlab.course.grading import harmless, results
from flatlab.course.grading.kit import Kit
from flatlab.course.layout import Layout

MARKER = "<!-- open: two-curvatures · 1 point -->"
HONEST = f"""{MARKER}
**Both** curvatures: $\\eta<2/\\lambda$, so $0 < a < b$ and
$$\\begin{{aligned}} a &< 1 \\\\ b[1] &< 2 \\end{{aligned}}$$

- as `w[0] < 1` says, and [the chapter](../01-sharp-and-flat/01-sharp-and-flat.ipynb)
- [1]: see https://example.org, or [here](https://example.org), 1 -> 2, x &lt; y

![p](attachment:p.png) ![q](data:image/png;base64,iVBORw0KGgo=)

```python
if w[0]:
    print(w[1:], 1 < 2)
```"""
ATTACKS = [
    "<script>bad()</script>",
    "<ScRiPt\n>bad()</script>",
    "words <img src=x onerror=bad()> words",
    "<img/src=x/onerror=bad()>",
    "<pre$ onmouseover=bad()>",
    "<div onmouseover=bad() ",
    "<details open ontoggle=bad()>",
    "<details>\n<svg onload=bad()>\n</details>",
    f"{MARKER} <script>bad()</script>",
    "<!-- open: --><script>bad()</script> -->",
    "<!--><script>bad()</script>",
    "<?php ><script>bad()</script>",
    "$a$ <b onclick=bad()>b</b> $c$",
    "\\$ <b onclick=bad()>$</b>",
    "`` <b onclick=bad()>`</b>",
    "```mermaid\n<img src=x onerror=bad()>\n```",
    "> - 1. <iframe src=javascript:bad()>",
    "| a |\n|---|\n| <script>bad()</script> |",
    "[x](javascript:bad())",
    "[x]( <javascript:bad()>)",
    "[x](\njavascript:bad())",
    "[x](java&#115;cript:bad())",
    "[x](javascript\\:bad())",
    "[x](data:text/html;base64,PHNjcmlwdD4=)",
    "[x](data:image/svg+xml;base64,PHN2Zz4=)",
    "<javascript:bad()>",
    "[x]\n\n[x]: javascript:bad()",
    "[x]\n\n> - [x]:\n>   javascript:bad()",
    "[x]\n\n[x]: <javascript:bad()>",
    "[a\\\nb]\n\n[a\\\nb]: javascript:bad()",
]
LOST = ["![x](attachment:missing.png)", "![x](attachment:)"]  # nbconvert refuses the notebook


def formgrader(cells: list) -> BeautifulSoup:
    """The page as nbgrader's formgrader makes it."""
    config = Config()
    config.HTMLExporter.template_name = "formgrade"
    config.HTMLExporter.extra_template_basedirs = [handlers.template_path]
    names = ["assignment_id", "notebook_id", "submission_id", "base_url", "student"]
    names += ["last_name", "first_name", "notebook_path"]
    told = {**dict.fromkeys(names, "x"), "index": 0, "total": 1}
    text = nbformat.writes(new_notebook(cells=cells))
    made = HTMLExporter(config=config).from_notebook_node(nbformat.reads(text, 4), told)[0]
    return BeautifulSoup(made, "html.parser").select_one("#notebook-container")


def live(page: BeautifulSoup) -> list[str]:
    """What of ``page`` a browser would run."""
    found = page.select("script, iframe, object, embed, svg, form, style, link, base")
    for tag in page.find_all(True):
        found += [name for name in tag.attrs if name.startswith("on")]
        links = [tag.get(name, "").strip().lower() for name in ("href", "src")]
        found += [link for link in links if link.startswith(("javascript:", "data:text", "data:i"))]
    return [str(item) for item in found if not str(item).startswith("data:image/png;base64,")]


def merged(cells: list, outputs: dict | None = None) -> list:
    kit = Kit("00-x", b"", {}, (), {}, "/course")
    return results.merged_notebook(new_notebook(cells=cells), outputs or {}, kit).cells


def text_cells(page: BeautifulSoup) -> list:
    return page.select(".text_cell")


def test_text_cells_run_nothing_and_are_shown():
    cells = [new_markdown_cell(f"Before.\n\n{text}") for text in ATTACKS + LOST]
    shown = text_cells(formgrader(merged(cells)))
    assert len(shown) == len(cells)
    for cell, text in zip(shown, ATTACKS + LOST, strict=True):
        assert (live(cell), "Before." in cell.get_text()) == ([], True), text


def test_as_they_were_written_they_would_run():
    cells = [new_markdown_cell(text) for text in ATTACKS]
    page = formgrader(cells)
    assert len(live(page)) > len(cells) / 2


def test_an_honest_answer_stays_as_it_is():
    assert harmless.words(HONEST, {"p.png": {}}) == HONEST.replace("[1]:", "[1] :")
    cell = new_markdown_cell(HONEST, attachments={"p.png": {"image/png": "iVBORw0KGgo="}})
    page = formgrader(merged([cell]))
    assert len(page.select("img")) == 2 and "w[0] < 1" in page.get_text()


def test_a_tag_in_a_formula_or_code_gets_a_space_and_no_more():
    assert harmless.words("$a<b$ and `if a<b:`") == "$a< b$ and `if a< b:`"


def test_the_courses_own_texts_stay_as_they_are():
    layout = Layout.find()
    for chapter in layout.chapters():
        for cell in nbformat.read(layout.release(chapter), as_version=4).cells:
            if cell.cell_type == "markdown":
                assert harmless.words(cell.source) == cell.source


@pytest.mark.parametrize(
    "part", ["<a", "](", "[x]:\n", "[", "](attachment:", "<!-- open: ", "](\n"]
)
def test_no_text_takes_an_expression_forever(part):
    begin = time.process_time()
    harmless.words(part * (1_000_000 // len(part)))
    assert time.process_time() - begin < 10


@pytest.mark.parametrize(
    ("data", "kept"),
    [
        ({"text/html": "<script>bad()</script>", "text/plain": "words"}, {"text/plain": "words"}),
        (
            {"application/javascript": "bad()"},
            {"text/plain": "[not shown: application/javascript]"},
        ),
        ({"text/markdown": "<b>", "image/svg+xml": "<svg onload=bad()>"}, None),
        ({"text/latex": "$x$", "text/plain": "x"}, {"text/plain": "x"}),
        (
            {"image/png": "iVBO\nRw0=", "text/plain": "p"},
            {"image/png": "iVBO\nRw0=", "text/plain": "p"},
        ),
        ({"image/png": '"><script>bad()</script>'}, {"text/plain": "[not shown: image/png]"}),
        ({"<script>bad()</script>": "x"}, {"text/plain": "[not shown: <script>bad()</script>]"}),
    ],
    ids=range(7),
)
def test_an_output_is_text_and_pictures(data, kept):
    odd = {"image/png": {"width": "1 onload=bad()"}, "text/html": {"isolated": True}}
    output = {"output_type": "display_data", "data": data, "metadata": odd}
    written = json.dumps({"cells": [{"outputs": [output]}]})
    line = json.dumps({"event": "notebook", "text": written}).encode()
    notebook = new_notebook(cells=[new_code_cell("x")])
    told = results.read([line], notebook, Kit("00-x", b"", {}, (), {}, "/course"))
    (made,) = told.outputs[0]
    assert made.data == (kept or {"text/plain": "[not shown: text/markdown, image/svg+xml]"})
    assert made.metadata == {}
    assert live(formgrader(merged(notebook.cells, told.outputs))) == []
