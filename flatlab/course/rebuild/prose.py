"""Answers in words: a person reads them, so that all that may belong to one goes in."""

from __future__ import annotations

import re
from collections import Counter

from flatlab.course.rebuild import code
from flatlab.course.rebuild.answers import Answer, empty, how_found, stands_at, tell
from flatlab.course.rebuild.pieces import Piece
from flatlab.course.rebuild.release import Release, Slot

OTHER = "\n\n*(another version, found in cell {}:)*\n\n"
WORD = re.compile(r"[^\W_]")
LOOSE = "\n\n*(found in cell {}; it may belong here:)*\n\n"


def find_all(pieces: list[Piece], release: Release, early: bool, scrambled: bool) -> list[Answer]:
    """The answers to all open questions.

    Text of the student's own that stands elsewhere is added where the notebook is ``scrambled``
    (cells moved, split or lost): there it may be half an answer. Else it is a note, and stays.
    """
    slots = [slot for slot in release.answers if slot.kind == "open"]
    found = {slot.index: _near(slot, pieces, release) for slot in slots}
    taken = {place for places in found.values() for place in places}
    loose = [i for i, p in enumerate(pieces) if i not in taken and _is_prose(p, release)]
    extra: dict[int, list[int]] = {slot.index: [] for slot in slots}
    blank = [s for s in slots if any(p.exact and p.slot is s for p in pieces)]  # its stub is there
    may_miss = [s for s in slots if s not in blank or any(pieces[i].text for i in found[s.index])]
    for place in loose if scrambled and may_miss else []:
        extra[_nearest(place, may_miss, found)].append(place)
    return [_open(s, found[s.index], extra[s.index], pieces, release, early) for s in slots]


def _near(slot: Slot, pieces: list[Piece], release: Release) -> list[int]:
    """The cells of ``slot`` and the student's own text behind each, or else where it should be."""
    owned = [i for i, piece in enumerate(pieces) if piece.slot is slot and not piece.exact]
    found = set(owned)
    for place in owned:
        following = place + 1
        while following < len(pieces) and _is_prose(pieces[following], release):
            found.add(following)
            following += 1
    if any(not release.is_stub(slot, pieces[i].text) for i in found):
        return sorted(found)
    seen = any(p.text.strip() for p in pieces if p.slot is slot)
    shared = Counter(piece.cell for piece in pieces)
    return sorted(found) + [
        i
        for i, piece in enumerate(pieces)
        if i not in found and _is_prose(piece, release) and stands_at(slot, i, pieces)
        if piece.conflict or not (seen and shared[piece.cell] > 1)  # a note inside another cell
    ]


def _is_prose(piece: Piece, release: Release) -> bool:
    if not piece.own or release.resembles(piece.text) or not WORD.search(piece.text):
        return False
    if code.parses(piece.text):
        return piece.kind != "code" and not code.binds(piece.text)
    if piece.kind == "code" and piece.cut and code.begins(piece.text):
        return False
    return piece.kind != "code" or not piece.text[:1].isspace()


def _nearest(place: int, slots: list[Slot], found: dict) -> int:
    """The index of the question to which loose text is added: the last before it, else the first.

    A question of which nothing was found comes first.
    """
    empty_ones = [slot for slot in slots if not found[slot.index]] or slots
    before = [s for s in empty_ones if any(i < place for i in found[s.index])]
    return (before[-1] if before else empty_ones[0]).index


def _open(
    slot: Slot,
    near: list[int],
    loose: list[int],
    pieces: list[Piece],
    release: Release,
    early: bool,
) -> Answer:
    full = [i for i in near if not release.is_stub(slot, pieces[i].text) or pieces[i].cut]
    if not full and not loose:
        stubs = [p for p in pieces if p.exact and p.slot.kind == "open"]
        return empty(slot, [*stubs, *(pieces[i] for i in near)], early)
    body, texts, other = _body(full, loose, pieces)
    if "".join("".join(texts).split()) == "".join(
        slot.body.split()
    ):  # the stub, split and found again
        return empty(slot, [pieces[i] for i in near], early)
    source = f"{slot.marker}\n{body}" if slot.marker else body
    cells = [pieces[i] for i in (full or loose)]
    how = how_found(cells, placed=all(piece.own for piece in cells))
    if any(piece.cut for piece in cells):
        return tell(slot, source, full, "damaged", how, texts, reason="The file ends in it")
    places = [*full, *loose]
    if other:
        told = {"count": len(texts), "cell": cells[0].cell, "rule": "all are there, to be read"}
        return tell(slot, source, places, "ambiguous", how, texts, **told)
    return tell(slot, source, places, "recovered" if how else "intact", how)


def _body(full: list[int], loose: list[int], pieces: list[Piece]) -> tuple[str, list[str], bool]:
    """The text of the cell, its parts, and whether there are several versions or loose text."""
    sides = Counter(pieces[i].cell for i in full if pieces[i].conflict)
    body, texts, other = "", [], False
    for place in [*full, *loose]:
        piece, text = pieces[place], pieces[place].text.strip()
        if not text or text in texts:
            continue
        apart = "marker" in piece.how or (place - 1 not in full and bool(piece.how))
        if texts and place in loose:
            body, other = body + LOOSE.format(piece.cell), True
        elif texts and (apart or (piece.conflict and sides[piece.cell] > 1)):
            body, other = body + OTHER.format(piece.cell), True
        elif texts:
            body += "\n\n"
        texts.append(text)
        body += text
    return body, texts, other
