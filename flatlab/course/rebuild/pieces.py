"""A submission's cells, cut where they were merged: each piece with what tells whose it is."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from itertools import groupby

from flatlab.course.rebuild import code, conflicts
from flatlab.course.rebuild.reading import Cell
from flatlab.course.rebuild.release import ANSWERS, Release, Slot

FENCE = re.compile(r"#{0,6}\s*(`{1,3}|~{1,3})\w*\s*$")  # or what a cut left of it

_HEADED = re.compile(r"\A#{1,6}[ \t]+(?=(async[ \t]+def|def|class)[ \t])")
_TITLE = re.compile(r"(?m)^#@title.*\n?")  # Colab's, above what may be half a cell
_CODE_WORDS = "def|class|if|for|while|with|try|return|raise|import|from|assert|else|elif|lambda|not"
_PROSE = re.compile(
    rf"(?!\s*(?:{_CODE_WORDS})\b)[^\n=]*(?<![A-Za-z])[A-Za-z]+,? [A-Za-z]+,? [A-Za-z]+"
)
_SENTENCE = re.compile(  # five words in a row, whatever stands before them: "With 2/a = 4 ..."
    rf"(?!\s|(?:{_CODE_WORDS})\b)[^\n\"'#]*(?<![A-Za-z])(?:[A-Za-z]+[,.;:]? ){{4}}[A-Za-z]+"
)


@dataclass(frozen=True)
class Piece:
    """A run of lines of one submitted cell."""

    cell: int  # the cell's number, from 1
    kind: str  # code, markdown, raw
    text: str  # without the marker line
    slot: Slot | None = None  # whose it is
    how: tuple[str, ...] = ()  # id, marker, name: what says so; block: it is the release's text
    cut: bool = False  # the file ends in it
    conflict: bool = False  # it held git's markers, or stands on one side of them
    above: str = ""  # what stood above the marker in the same cell
    joined: tuple[int, ...] = ()  # cells whose text was added
    far: bool = False  # some of them stood elsewhere
    others: tuple[str, ...] = ()  # own cells with the rest of the exercise's functions

    @property
    def exact(self) -> bool:
        """Is it a cell of the release as it was handed out?"""
        return "block" in self.how

    @property
    def own(self) -> bool:
        """Is it nobody's: the student's own, as far as one can tell?"""
        return self.slot is None

    @property
    def whole(self) -> str:
        """All its text but the marker."""
        return f"{self.above}\n{self.text}" if self.above else self.text

    def definitions(self) -> frozenset[tuple[str, str]]:
        """(name, meaning) of the exercise's functions as they are written here and in ``others``."""
        texts = (self.whole, *self.others)
        return frozenset().union(*(code.written(text, self.slot.targets) for text in texts))


def pieces(cells: tuple[Cell, ...], release: Release) -> list[Piece]:
    """The pieces of all cells, in order."""
    found = []
    for cell in cells:
        conflict = conflicts.has_conflict(cell.text)
        texts = conflicts.sides(cell.text) if conflict else (cell.text,)
        both: list[Piece] = []
        for text in dict.fromkeys(texts):
            side = [replace(p, conflict=conflict) for p in _cell_pieces(cell, text, release)]
            both = _aligned(both, side)
        found += both
    return found


def _aligned(first: list[Piece], second: list[Piece]) -> list[Piece]:
    """Both sides of a conflict, what they share once, the second's own behind the first's."""
    result = list(first)
    for place, piece in enumerate(second):
        if piece in first:
            continue
        shared = next((p for p in second[place + 1 :] if p in first), None)
        result.insert(result.index(shared) if shared else len(result), piece)
    return result


def _cell_pieces(cell: Cell, text: str, release: Release) -> list[Piece]:
    cut = _cut_at_markers(cell, _TITLE.sub("", text), release)
    cut = _with_id(cut, release.by_id(cell.grade_id), release)
    cut = [_unheaded(_unfenced(piece)) for piece in _with_text_above(cut, release)]
    cut = [part for piece in cut for part in _without_prose(piece)]
    cut = [part for piece in cut for part in cut_at_definitions(piece, release)]
    cut = [part for piece in cut for part in _without_prose(piece)]
    cut = [part for piece in cut for part in _without_release_text(piece, release)]
    if cell.cut and cut:
        cut[-1] = replace(cut[-1], cut=True)
    return cut


def _cut_at_markers(cell: Cell, text: str, release: Release) -> list[Piece]:
    """Pieces that begin at a marker, or are a known cell of the release; empty ones are dropped."""
    lines = text.split("\n")
    found: list[Piece] = []
    start, slot, how, first = 0, None, (), True

    def flush(end: int) -> None:
        body = "\n".join(lines[start:end])
        bare = body.strip("\n")
        if bare.strip() or slot is not None:
            found.append(Piece(cell.number, cell.kind, bare, slot, how))

    at = 0
    while at < len(lines):
        if not lines[at].strip():
            at += 1
            continue
        block = release.block_at(lines, at)
        if block and block[0].kind == "open" and slot is not None:
            block = None  # what the student left standing above or below an answer
        marked = None if block else release.by_marker(lines, at, first)
        if block or marked:
            flush(at)
        if block:
            text_there = "\n".join(lines[at : at + block[1]])
            found.append(Piece(cell.number, cell.kind, text_there, block[0], ("block",)))
            at += block[1]
            start, slot, how = at, None, ()
        elif marked:
            at += 1
            start, slot, how = at, marked, ("marker",)
        else:
            at += 1
        first = False
    flush(len(lines))
    return found


def _is_wrong_id(piece: Piece, slot: Slot, release: Release) -> bool:
    """Does the text say otherwise than the id: prose for an exercise, code for a question?"""
    python, like = code.parses(piece.text), release.resembles(piece.text)
    if slot.kind not in ANSWERS:
        return not python and like is not slot
    if like is not None and like.kind not in ANSWERS:
        return True
    if slot.kind == "exercise":
        lines = piece.text.split("\n")
        prose = sum(bool(_PROSE.match(line)) for line in lines) > len(lines) / 2
        begins = piece.kind == "markdown" and _begins_in_words(lines[0])
        return not python and (prose or begins)
    indented = piece.text[:1].isspace() and not _PROSE.match(piece.text)
    if code.defines(piece.text, release.targets):
        return True
    return piece.kind == "code" and (bool(code.binds(piece.text)) or indented)


def _begins_in_words(line: str) -> bool:
    """Is ``line`` prose, be it with an equation in it?"""
    return bool(_PROSE.match(line) or (_SENTENCE.match(line) and not code.parses(line)))


def _with_id(found: list[Piece], slot: Slot | None, release: Release) -> list[Piece]:
    """The cell's nbgrader id, put on the piece that has it: the one its marker names, or the first.

    A merged cell keeps the id of the first of the cells that it was made of.
    """
    if slot is None:
        return found
    if found and found[0].own and _is_wrong_id(found[0], slot, release):
        return found
    for place, piece in enumerate(found):
        if piece.slot is slot and not piece.exact:
            return [*found[:place], replace(piece, how=("id", *piece.how)), *found[place + 1 :]]
    if found and found[0].own and not any(piece.slot is slot for piece in found):
        return [replace(found[0], slot=slot, how=("id",)), *found[1:]]
    return found


def _with_text_above(found: list[Piece], release: Release) -> list[Piece]:
    """Code that stands right above an exercise's marker belongs to the exercise, not to a stub."""
    if len(found) < 2 or found[0].kind != "code" or not found[0].own:
        return found
    above, piece, *rest = found
    if piece.slot is None or piece.slot.kind != "exercise" or not code.parses(above.text):
        return found
    another = code.defines(above.text, release.targets - piece.slot.targets)
    if another or release.is_stub(piece.slot, piece.text):  # what stands above may be an answer
        return found
    return [replace(piece, above=above.text), *rest]


def _unfenced(piece: Piece) -> Piece:
    """A text cell's code without the fences around it."""
    lines = piece.text.split("\n")
    fences = sum(bool(FENCE.match(line)) for line in lines)
    if piece.exact or not (piece.own or piece.slot.kind == "exercise"):
        return piece
    bare = "\n".join(line for line in lines if not FENCE.match(line))
    if fences and not code.parses(piece.text) and code.parses(bare):
        return replace(piece, text=bare)
    first = int(bool(FENCE.match(lines[0])))
    last = len(lines) - int(bool(FENCE.match(lines[-1])) and (first > 0 or fences % 2 > 0))
    return replace(piece, text="\n".join(lines[first:last])) if fences else piece


def _unheaded(piece: Piece) -> Piece:
    """A text cell's code without a heading's # before its first line."""
    bare = _HEADED.sub("", piece.text) if piece.kind == "markdown" and not piece.exact else ""
    return replace(piece, text=bare) if bare else piece


def _without_prose(piece: Piece) -> list[Piece]:
    """An exercise's code and, as a piece of nobody's, the prose that was merged behind it."""
    if piece.slot is None or piece.slot.kind != "exercise" or code.parses(piece.text):
        return [piece]
    parts = code.paragraphs(piece.text)
    prose = next((i for i, part in enumerate(parts) if _PROSE.match(part)), 0)
    start = "\n\n".join(parts[:prose])
    if not prose or not code.parses(start) or not all(map(_PROSE.match, parts[prose:])):
        return [piece]
    rest = "\n\n".join(parts[prose:])
    return [
        replace(piece, text=start),
        replace(piece, kind="markdown", text=rest, slot=None, how=()),
    ]


def _without_release_text(piece: Piece, release: Release) -> list[Piece]:
    """A text cell of nobody's, parted where paragraphs of the release and others meet."""
    if not piece.own or piece.kind != "markdown" or "\n\n" not in piece.text:
        return [piece]
    groups = groupby(piece.text.split("\n\n"), lambda part: release.resembles(part) is not None)
    texts = ["\n\n".join(parts).strip("\n") for _, parts in groups]
    return [replace(piece, text=text) for text in texts if text.strip()]


def cut_at_definitions(piece: Piece, release: Release) -> list[Piece]:
    """A piece whose slot is not an exercise it defines: one piece for each exercise it defines."""
    if piece.exact or (piece.slot and piece.slot.kind == "open"):
        return [piece]
    marked = "marker" in piece.how and code.parses(piece.text)  # a heading's # is on the marker
    text = piece.text if marked else code.repaired(piece.text)
    starts = code.first_definitions(text, release.targets)
    starts = [(line, name) for line, name in starts if not _extends(text, name)]
    owners = {name: slot for slot in release.answers for name in slot.targets}
    if not starts:
        return [piece]
    if piece.slot and any(name in piece.slot.targets for _, name in starts):
        return [replace(piece, text=text)]
    lines = text.split("\n")
    parts: list[Piece] = []
    edges = [0, *(line for line, _ in starts[1:]), len(lines)]
    head = "\n".join(lines[: starts[0][0]]).strip("\n")
    if (piece.slot and piece.slot.kind != "exercise") or not code.parses(head):
        edges[0] = starts[0][0]  # what a known cell begins with is its own, and so is half a cell
        parts += [replace(piece, text=head)] if head else []
    for (_, name), begin, end in zip(starts, edges, edges[1:], strict=False):
        part = "\n".join(lines[begin:end]).strip("\n")
        slot = owners[name]
        if parts and parts[-1].slot is slot:  # two functions of one exercise
            parts[-1] = replace(parts[-1], text=f"{parts[-1].text}\n\n{part}")
        else:
            parts.append(replace(piece, text=part, slot=slot, how=("name",), above=""))
    if piece.above:
        parts[0] = replace(parts[0], above=piece.above)
    return parts


def in_force(places: list[int], found: list[Piece], check: int) -> tuple[int, str]:
    """Which of the pieces at ``places`` a run from the top would have used, and why.

    The last one before the cell ``check`` (why: before), else the last (after; file: no check).
    """
    checks = [i for i, p in enumerate(found) if p.slot and p.slot.index == check]
    before = [i for i in places if checks and i < checks[-1]]
    return (before or places)[-1], "before" if before else "after" if checks else "file"


def _extends(text: str, name: str) -> bool:
    """Is ``name`` only wrapped there (``f = timed(f)``), not defined anew?"""
    return code.parses(text) and code.rebinds(text, name)
