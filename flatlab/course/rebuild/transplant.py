"""``rebuild``: a student's answers, put into a fresh copy of the chapter's release."""

from __future__ import annotations

import ast
import copy
from dataclasses import dataclass
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell

from flatlab.course.rebuild import archive, code, prose, words
from flatlab.course.rebuild.answers import Answer, find
from flatlab.course.rebuild.helpers import Own, own_cells
from flatlab.course.rebuild.joining import join
from flatlab.course.rebuild.parting import part_merged, part_own
from flatlab.course.rebuild.pieces import Piece, pieces
from flatlab.course.rebuild.reading import Read, read
from flatlab.course.rebuild.release import ANSWERS, Release, Slot
from flatlab.course.rebuild.unplaced import unplaced
from flatlab.course.rebuild.variant import without_line


@dataclass(frozen=True)
class Rebuilt:
    """A rebuilt notebook and what was done.

    ``report``: one entry for each exercise, open question, oddity of the file and group of other
    cells; plain data with ``subject`` (exercise, open, file, cells), ``name``, ``outcome``
    (intact, recovered, blank, ambiguous, damaged, lost; for the rest what happened), ``how``,
    ``instructor`` and ``student`` (texts; the student's may be empty).
    ``manual``: what a person must look at; plain data with ``subject``, ``name``, ``reason``
    (ambiguous, damaged, lost, incomplete: it uses a name that nothing defines, stray: code without
    a place), ``instructor`` and ``texts``, the student's text as found.
    ``variant``: the number in ``flatlab.use_variant(...)``; 0 where there is none.
    """

    notebook: NotebookNode
    report: list[dict]
    manual: list[dict]
    variant: int = 0


def rebuild(data: bytes | Path, release: NotebookNode | Path | Release) -> Rebuilt:
    """A copy of ``release`` with the answers that ``data``, a submission's bytes or file, holds.

    Test cells, locked cells and all metadata are the release's. Answers are found by nbgrader's
    id, by the marker in the cell's first line, by the function's name, by their place; no code
    runs. Whatever ``data`` holds, this returns. Raises ``ValueError`` for a release without
    exercises and ``OSError`` for a file that cannot be read.
    """
    release = release if isinstance(release, Release) else Release(release)
    if isinstance(data, str | Path):
        data = Path(data).read_bytes()
    found, variant = without_line(_read(data))
    parts = join(pieces(found.cells, release), release)
    parts = part_own(part_merged(parts, release), release)
    early = found.ended_early
    answers = [find(s, parts, release, early) for s in release.answers if s.kind == "exercise"]
    scrambled = _is_scrambled(parts, answers, release)
    answers = sorted(
        [*answers, *prose.find_all(parts, release, early, scrambled)], key=lambda a: a.slot.index
    )
    own, told, cases = own_cells(parts, answers, release)
    strays = _strays(parts, answers, release)
    report = [
        *(note.as_dict() for note in found.notes),
        *(answer.told for answer in answers),
        *_other_cells(parts, release),
        *told,
    ]
    manual = [answer.case for answer in answers if answer.case]
    sewn = any(p.joined or _is_broken(p) for p in parts)
    manual += [*cases, *strays]
    gone = any(line["name"] == "missing" for line in report)
    if strays or sewn or gone:
        manual += _unfinished(answers, own, parts, bool(strays))
    images = {cell.number: cell.images for cell in found.cells if cell.images}
    notebook = _assemble(release, answers, parts, own, images)
    manual += unplaced(parts, answers, notebook, manual, release)
    return Rebuilt(notebook, report, manual, variant)


def _read(data: bytes) -> Read:
    """The cells of a notebook, or of the only notebook in a zip archive."""
    if not data.startswith(archive.SIGNATURE):
        return read(data)
    try:
        return read(archive.only_notebook(data))
    except archive.ArchiveRefused as error:
        return Read((), (words.Note("unreadable", str(error)),))


def _assemble(
    release: Release, answers: list[Answer], parts: list[Piece], own: list[Own], images: dict
) -> NotebookNode:
    notebook = copy.deepcopy(release.notebook)
    for answer in answers:
        notebook.cells[answer.slot.index].source = answer.source
        if answer.slot.kind == "open":
            used = {number for i in answer.places for number in (parts[i].cell, *parts[i].joined)}
            _attach(notebook.cells[answer.slot.index], used, images)
    for piece in parts:
        if piece.slot and piece.slot.kind == "predict" and _is_prediction(piece.text):
            notebook.cells[piece.slot.index].source = f"{piece.slot.marker}\n{piece.text}"
    cells = []
    for index in range(-1, len(notebook.cells)):
        cells += [notebook.cells[index]] if index >= 0 else []
        for number, item in enumerate(own):
            if item.after == index:
                cells.append(_own_cell(item, number))
                _attach(cells[-1], {item.cell}, images)
    notebook.cells = cells
    nbformat.validate(notebook)
    return notebook


def _attach(cell: NotebookNode, numbers: set[int], images: dict) -> None:
    """Put the pictures of the submitted cells ``numbers`` into the text cell ``cell``."""
    for name, kind, data in (image for n in sorted(numbers) for image in images.get(n, ())):
        if cell.cell_type == "markdown":
            cell.setdefault("attachments", NotebookNode())[name] = NotebookNode({kind: data})


def _own_cell(item: Own, number: int) -> NotebookNode:
    if item.kind == "code":
        return new_code_cell(source=item.text, id=f"own-{number}")
    fenced = code.parses(item.text) and not code.is_empty(item.text)  # its fences were taken off
    text = f"```python\n{item.text}\n```" if fenced else item.text
    return new_markdown_cell(source=text, id=f"own-{number}")


def _is_prediction(text: str) -> bool:
    """One call of ``predict`` with constants alone."""
    body = code.statements(text)
    call = body[0][1].value if len(body) == 1 and isinstance(body[0][1], ast.Expr) else None
    if not isinstance(call, ast.Call) or getattr(call.func, "id", "") != "predict":
        return False
    values = [*call.args, *(keyword.value for keyword in call.keywords)]
    return all(
        isinstance(node, ast.Constant | ast.List | ast.Tuple | ast.Load)
        for value in values
        for node in ast.walk(value)
    )


def _other_cells(parts: list[Piece], release: Release) -> list[dict]:
    """The report's lines on cells that hold no answer: missing ones and changed ones."""
    added = {piece.cell for piece in parts if piece.own}
    grown = {p.slot.index for p in parts if p.slot and p.slot.is_locked and p.cell in added}
    exact = {piece.slot.index for piece in parts if piece.exact}
    touched = {piece.slot.index for piece in parts if piece.slot}
    touched |= {slot.index for p in parts if p.own and (slot := release.resembles(p.text))}
    others = [slot for slot in release.slots if slot.kind not in (*ANSWERS, "predict")]
    missing = [slot for slot in others if slot.index not in exact | touched]
    changed = touched - exact | grown
    edited = [slot for slot in others if slot.index in changed and slot.is_locked]
    told = [words.cells("missing", _labels(missing))] if missing else []
    return told + ([words.cells("edited", _labels(edited))] if edited else [])


def _labels(slots: list[Slot]) -> str:
    named = [slot.label for slot in slots if slot.kind not in ("text", "code")]
    rest = len(slots) - len(named)
    return ", ".join([*named, *([f"{rest} of text or folded code"] if rest else [])])


def _is_scrambled(parts: list[Piece], answers: list[Answer], release: Release) -> bool:
    """Were cells moved, split or lost, so that half an answer may stand anywhere?"""
    order = [piece.slot.index for piece in parts if piece.slot]
    told = [answer.told for answer in answers]
    gone = {s.index for s in release.answers} - set(order)
    odd = any("joined" in t["how"] or t["outcome"] in ("lost", "damaged") for t in told)
    halves = any(p.slot and p.slot.kind == "open" and "marker" not in p.how for p in parts)
    coded = {p.cell for p in parts if p.slot and p.slot.kind == "exercise"}
    halves |= any(p.own and p.kind == "markdown" and p.cell in coded for p in parts)
    return order != sorted(order) or bool(gone) or odd or halves


def _unfinished(
    answers: list[Answer], own: list[Own], parts: list[Piece], strays: bool
) -> list[dict]:
    """Exercises that may lack a piece, in a notebook of pieces: functions without a result."""
    cases = []
    strewn = sum(piece.far for piece in parts) > 1  # two halves may have changed places
    for answer in answers:
        if answer.slot.kind != "exercise" or answer.case:
            continue
        texts = [answer.source, *(o.text for o in own if code.binds(o.text) & answer.needs)]
        seen = [p.whole for p in parts if p.slot is answer.slot and not p.exact]
        begun = not answer.places and not any("NotImplementedError" in text for text in seen)
        whole = all(code.parses(text) and code.returns(text, code.binds(text)) for text in texts)
        used = [parts[place] for place in answer.places]
        doubtful = strays and any(piece.joined for piece in used)
        doubtful |= strewn and any(piece.far for piece in used)
        if whole and not begun and not doubtful:
            continue
        text = "It may lack a piece: it is no Python, has no result, or stood in pieces."
        cases.append(words.case("exercise", answer.slot.name, "damaged", text, texts))
    return cases


def _is_broken(piece: Piece) -> bool:
    """A locked cell that was changed, or code of the student's own that is no Python."""
    if piece.own:
        return piece.kind == "code" and not code.parses(piece.text)
    return piece.slot.is_locked and not piece.exact


def _strays(parts: list[Piece], answers: list[Answer], release: Release) -> list[dict]:
    """Pieces that are half an answer and have no place."""
    used = {place for answer in answers for place in answer.places}
    lost = any(answer.told["outcome"] in ("lost", "damaged") for answer in answers)
    cases = []
    for place, piece in enumerate(parts):
        if place in used or not piece.own or piece.kind != "code" or code.parses(piece.text):
            continue
        if not (lost or piece.text[:1].isspace()) or release.resembles(piece.text):
            continue
        name = f"cell {piece.cell}"
        text = f"Code in {name} belongs to no exercise and is no Python by itself."
        cases.append(words.case("piece", name, "stray", text, [piece.text]))
    return cases
