"""A submission's bytes to its cells, in whatever format and state they came."""

from __future__ import annotations

import json
import logging
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any

import nbformat

from flatlab.course.rebuild import conflicts, lenient
from flatlab.course.rebuild.decode import MOST_BYTES, decode, settle
from flatlab.course.rebuild.words import Note

MOST_CELLS = 1000  # ten times the longest chapter's: the time grows with their square
MOST_TEXT = 4_000_000  # characters in all: each is read many times
_MOST_ALIGNED = 1000
_PICTURES = ("image/png", "image/jpeg", "image/gif")
_BASE64 = re.compile(r"[A-Za-z0-9+/=\s]*")
_KINDS = ("code", "markdown", "raw")
_SCRIPT = re.compile(r"(?m)^(def |class |import |from |# (exercise|%%))")


@dataclass(frozen=True)
class Cell:
    """A cell as it was handed in; ``number`` counts from 1."""

    number: int
    kind: str  # code, markdown, raw
    text: str
    grade_id: str = ""
    cut: bool = False  # its text is not all there
    images: tuple[tuple[str, str, str], ...] = ()  # attached: name, media type, base64


@dataclass(frozen=True)
class Read:
    """What could be read of a file."""

    cells: tuple[Cell, ...]
    notes: tuple[Note, ...] = ()
    ended_early: bool = False


def read(data: bytes) -> Read:
    """The cells in ``data``; never raises for what the bytes hold."""
    if len(data) > MOST_BYTES:
        size = f"{len(data) / 2**20:.0f} MiB, more than {MOST_BYTES // 2**20}"
        return Read((), (Note("unreadable", size),))
    text, notes = decode(data)
    if not text.strip():
        return Read((), (*notes, Note("empty")))
    value, more, early = _parse(text)
    notes += more
    raw = _raw_cells(value, notes)
    if not raw and "{" not in text[:2000] and _SCRIPT.search(text):
        raw = [{"cell_type": "code", "source": text}]
        notes.append(Note("script"))
    cells = tuple(_cell(number, item) for number, item in enumerate(raw[:MOST_CELLS], 1))
    if len(raw) > MOST_CELLS:
        notes.append(Note("many", str(MOST_CELLS)))
    notes = [
        Note(note.code, str(len(cells))) if note.code in ("truncated", "broken") else note
        for note in notes
    ]
    if sum(len(cell.text) for cell in cells) > MOST_TEXT:
        cells = ()
        notes.append(Note("unreadable", f"its cells hold more than {MOST_TEXT:,} characters"))
    elif not cells:
        notes.append(Note("unreadable", "it holds no notebook"))
    return Read(cells, tuple(notes), early)


def _parse(text: str) -> tuple[Any, list[Note], bool]:
    """The JSON value of ``text``, what was wrong with it, and whether it ended too early."""
    value = _strict(text)
    if value is not None:
        return value, [], False
    if conflicts.has_conflict(text):
        both = [_parse(side) for side in conflicts.sides(text)]
        notes = [Note("conflict"), *both[1][1]]
        return _merge(both[0][0], both[1][0]), notes, both[0][2] or both[1][2]
    value, early = lenient.loads(text)
    if value is None:
        return None, [], False
    return value, [Note("truncated" if early else "broken")], early


def _strict(text: str) -> Any:
    """What ``json`` makes of ``text``; None where it refuses."""
    try:
        return json.loads(text, strict=False)
    except (ValueError, RecursionError):
        return None


def _merge(ours: Any, theirs: Any) -> Any:
    """One notebook with the cells of both sides: what differs stands twice, ours first."""
    first, second = _cell_list(ours), _cell_list(theirs)
    if not first or not second or max(len(first), len(second)) > _MOST_ALIGNED:
        return theirs if second else ours
    texts = [[_source(cell) for cell in side] for side in (first, second)]
    merged = []
    for what, a, b, c, d in SequenceMatcher(a=texts[0], b=texts[1], autojunk=False).get_opcodes():
        merged += first[a:b] if what != "insert" else []
        merged += second[c:d] if what in ("replace", "insert") else []
    return {"cells": merged, "nbformat": 4, "nbformat_minor": 5}


def _raw_cells(value: Any, notes: list[Note]) -> list[dict]:
    """The notebook's cells as dictionaries, in nbformat 4's keys where nbformat can upgrade it."""
    if isinstance(value, dict):
        major = value.get("nbformat", 4 if "cells" in value else 3)
        old = isinstance(major, int) and 1 <= major < 4
        if old and (upgraded := _upgrade(value, major)) is not None:
            notes.append(Note("old-format", str(major)))
            value = upgraded
    return _cell_list(value)


def _upgrade(value: dict, major: int) -> dict | None:
    """``value`` as nbformat 4, by nbformat; None where nbformat cannot.

    Numbers above 6 become 6: nbformat writes as many # as a heading cell's level says.
    """
    logger = logging.getLogger("traitlets")
    level, logger.disabled = logger.disabled, True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            text = json.dumps(_cell_list(value)[: MOST_CELLS + 1])
            cells = json.loads(text, parse_int=lambda digits: min(int(digits), 6))
            value = {**value, "cells": cells, "worksheets": [{"cells": cells}]}
            return nbformat.convert(nbformat.versions[major].to_notebook_json(value), 4)
    except Exception:  # noqa: BLE001 - whatever a made-up notebook does to nbformat
        return None
    finally:
        logger.disabled = level


def _cell_list(value: Any) -> list[dict]:
    """The cells in ``value``, nbformat 4's or those of worksheets, whatever else is wrong."""
    found: list = []
    if isinstance(value, dict):
        sheets = value.get("worksheets")
        found = value.get("cells") or [
            cell
            for sheet in (sheets if isinstance(sheets, list) else [])
            if isinstance(sheet, dict) and isinstance(sheet.get("cells"), list)
            for cell in sheet["cells"]
        ]
        if not found and "cell_type" in value:
            found = [value]
    elif isinstance(value, list):
        found = value
    if not isinstance(found, list):
        return []
    return [cell for cell in found if isinstance(cell, dict) and _is_cell(cell)]


def _is_cell(item: dict) -> bool:
    return "cell_type" in item or "source" in item or "input" in item


def _source(cell: dict) -> str:
    """The cell's text, from a string or a list of lines, under any version's key."""
    value = next((cell[key] for key in ("source", "input", "text") if cell.get(key)), "")
    if isinstance(value, str):
        return value
    if not isinstance(value, list):
        return ""
    lines = [line for line in value if isinstance(line, str)]
    ended = any(line.endswith("\n") for line in lines[:-1])
    return ("" if ended else "\n").join(lines)


def _cell(number: int, item: dict) -> Cell:
    kind = item.get("cell_type")
    kind = kind if kind in _KINDS else ("markdown" if kind in ("heading", "html") else "code")
    metadata = item.get("metadata")
    nbgrader = metadata.get("nbgrader") if isinstance(metadata, dict) else None
    identity = nbgrader.get("grade_id") if isinstance(nbgrader, dict) else ""
    cut = bool(item.get(lenient.CUT))
    return Cell(
        *(number, kind, settle(_source(item)), identity if isinstance(identity, str) else ""),
        *(cut, tuple(_images(item.get("attachments")))),
    )


def _images(attached: Any) -> Iterator[tuple[str, str, str]]:
    """(name, media type, base64) of the pictures pasted into a text cell."""
    for name, bundle in attached.items() if isinstance(attached, dict) else ():
        for kind, data in bundle.items() if isinstance(bundle, dict) else ():
            if kind in _PICTURES and isinstance(data, str) and _BASE64.fullmatch(data):
                yield name, kind, data
