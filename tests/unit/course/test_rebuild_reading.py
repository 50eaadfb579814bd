"""Bytes to cells: encodings, JSON that stops or has holes, old formats, conflicts."""

import json

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from flatlab.course.rebuild import lenient
from flatlab.course.rebuild.decode import MOST_BYTES, decode, settle
from flatlab.course.rebuild.reading import MOST_CELLS, read

TEXT = '{"a": "Grüße, η · ½ 😀", "b": [1, 2]}'
SOURCES = ["# one\nx = 1", "Grüße\n\n- η ≤ ½", "print('<<<')\n"]


def notebook(sources=SOURCES) -> nbformat.NotebookNode:
    cells = [
        new_code_cell(s) if "=" in s or "print" in s else new_markdown_cell(s) for s in sources
    ]
    return new_notebook(cells=cells)


def written(sources=SOURCES) -> str:
    return nbformat.writes(notebook(sources))


def codes(result) -> list[str]:
    return [note.code for note in result.notes]


@pytest.mark.parametrize(
    ("encoding", "note"),
    [
        ("utf-8", []),
        ("utf-8-sig", ["bom"]),
        ("utf-16", ["encoding"]),
        ("utf-16-le", ["encoding"]),
        ("utf-16-be", ["encoding"]),
        ("utf-32", ["encoding"]),
    ],
)
def test_unicode_in_every_form(encoding, note):
    text, notes = decode(TEXT.encode(encoding))
    assert text == TEXT
    assert [n.code for n in notes] == note


def test_latin_1_and_stray_bytes_in_utf_8():
    assert decode("é · ½ ü".encode("latin-1"))[0] == "é · ½ ü"
    assert decode("η".encode() + b" \x93quoted\x94 " + "η".encode())[0] == "η “quoted” η"


def test_nul_bytes_are_dropped_even_inside_a_character():
    data = "aη".encode()
    text, notes = decode(data[:2] + b"\0\0" + data[2:] + b"\0" * 5)
    assert text == "aη"
    assert [(n.code, n.detail) for n in notes] == [("nul", "7")]


def test_settle_puts_right_what_windows_made_of_utf_8_and_nothing_else():
    assert settle("η · ½".encode().decode("latin-1")) == "η · ½"
    for right in ("η · ½", "é", "naïve café", "“x”", "Â"):
        assert settle(right) == right
    assert settle("a\r\nb\rc\0\ufeff") == "a\nb\nc"
    assert settle("x = '\ud83d'") == "x = '\ufffd'"


def test_lenient_equals_json_where_json_is_valid():
    value = {"a": [1, -2.5e3, True, None, 'q"\\\n\u00e9'], "b": {}, "c": [[], {"d": ""}]}
    for indent in (None, 1):
        assert lenient.loads(json.dumps(value, indent=indent)) == (value, False)


@pytest.mark.parametrize("indent", [None, 1])
def test_every_prefix_gives_the_cells_that_are_complete(indent):
    text = json.dumps(json.loads(written()), indent=indent)
    ends = [text.index(json.dumps(s.splitlines(keepends=True)[-1])) for s in SOURCES]
    for at in range(len(text)):
        cells = read(text[:at].encode()).cells
        whole = [cell.text for cell in cells if not cell.cut]
        assert whole == [settle(s) for s in SOURCES][: len(whole)], at
        complete = sum(
            end + len(json.dumps(s.splitlines()[-1])) + 3 < at
            for end, s in zip(ends, SOURCES, strict=True)
        )
        assert len(whole) >= complete - 1
        assert len(whole) <= sum(end < at for end in ends)


def test_a_hole_costs_only_the_cells_it_touches():
    sources = [f"x_{i} = {i}\ny = {i}" for i in range(9)]
    text = written(sources)
    start = text.index("x_4") + 2
    result = read((text[:start] + text[start + 12 :]).encode())
    whole = [cell.text for cell in result.cells if not cell.cut]
    assert [s for s in sources if s in whole] == sources[:4] + sources[5:]
    assert "broken" in codes(result) or "truncated" in codes(result)


@pytest.mark.parametrize("major", [3, 4])
@pytest.mark.filterwarnings("ignore")
def test_formats_old_and_new(major):
    text = nbformat.writes(notebook(), version=major)
    result = read(text.encode())
    assert [cell.text for cell in result.cells] == SOURCES
    assert [cell.kind for cell in result.cells] == ["code", "markdown", "code"]
    assert codes(result) == (["old-format"] if major == 3 else [])


@pytest.mark.parametrize("level", [10**8, -1, 2.5, "2", None])
@pytest.mark.parametrize("decoy", [[], [{"cell_type": "code", "source": "a"}]])
def test_an_old_heading_is_as_short_as_it_was_written(level, decoy):
    """nbformat multiplies "#" by the level: 1 KB of headings fills the memory."""
    heading = {"cell_type": "heading", "level": level, "source": "title", "metadata": {}}
    sheets = [{"cells": [heading], "metadata": {}}]
    value = {"nbformat": 3, "nbformat_minor": 0, "metadata": {}, "worksheets": sheets}
    (cell,) = read(json.dumps({**value, "cells": decoy} if decoy else value).encode()).cells
    assert len(cell.text) <= len("###### title")


@pytest.mark.parametrize("major", [3, 4])
def test_more_cells_than_anybody_writes_are_left_and_it_is_said(major):
    cells = [{"cell_type": "code", "source": "a", "outputs": [], "metadata": {}}] * 9000
    value = {"nbformat": major, "nbformat_minor": 0, "metadata": {}, "cells": cells}
    value["worksheets"] = [{"cells": cells}]
    result = read(json.dumps(value).encode())
    assert len(result.cells) == MOST_CELLS and "many" in codes(result)


def test_only_pictures_are_taken_for_pictures():
    kinds = {"image/png": "iVBORw0KGgo=", "image/gif": '"><script>', "image/svg+xml": "PHN2Zz4="}
    cell = {"cell_type": "markdown", "source": "a", "attachments": {"p": kinds}}
    (found,) = read(json.dumps({"cells": [cell], "nbformat": 4}).encode()).cells
    assert found.images == (("p", "image/png", "iVBORw0KGgo="),)


def test_lines_without_line_ends():
    data = {"cells": [{"cell_type": "code", "source": ["a = 1", "b = 2"]}]}
    assert read(json.dumps(data).encode()).cells[0].text == "a = 1\nb = 2"


def test_a_conflict_in_the_file_keeps_both_sides():
    lines = written().split("\n")
    at = next(i for i, line in enumerate(lines) if '"x = 1"' in line)
    conflict = ["<<<<<<< HEAD", lines[at], "=======", lines[at].replace("1", "2"), ">>>>>>> b"]
    result = read("\n".join([*lines[:at], *conflict, *lines[at + 1 :]]).encode())
    assert [c.text for c in result.cells] == ["# one\nx = 1", "# one\nx = 2", *SOURCES[1:]]
    assert codes(result) == ["conflict"]


@pytest.mark.parametrize(
    ("data", "note"),
    [
        (b"", "empty"),
        (b"\0" * 100, "empty"),
        (b"[1, 2, 3]", "unreadable"),
        (b'{"cells": "none"}', "unreadable"),
        (b'{"cells": [7, null, []]}', "unreadable"),
        (b"{" * 100_000, "unreadable"),
        (b'{"cells": ' * 5000, "unreadable"),
        (bytes(range(256)) * 50, "unreadable"),
    ],
)
def test_what_is_no_notebook_is_said_and_never_raised(data, note):
    result = read(data)
    assert result.cells == () or codes(result) == ["script"]
    assert note in codes(result) or "script" in codes(result)


def test_a_file_too_large_is_not_read():
    assert codes(read(b" " * (MOST_BYTES + 1))) == ["unreadable"]


def test_a_script_is_one_cell():
    result = read(b"# exercise: f\ndef f():\n    return 1\n")
    assert [c.text for c in result.cells] == ["# exercise: f\ndef f():\n    return 1\n"]
    assert codes(result) == ["script"]


def test_odd_metadata_is_survived():
    cells = [
        {"cell_type": "code", "source": "a", "metadata": {"nbgrader": {"grade_id": ["list"]}}},
        {"cell_type": "code", "source": 5, "metadata": []},
        {"cell_type": ["?"], "source": "b", "metadata": {"nbgrader": "text"}},
    ]
    result = read(json.dumps({"cells": cells, "nbformat": "four"}).encode())
    assert [(c.text, c.grade_id) for c in result.cells] == [("a", ""), ("", ""), ("b", "")]
