"""Which of the pieces found is the answer to each exercise and question, and what to say of it.

The rule where there are several: the answers that differ from the stub count; of those the ones
that are Python and define what is asked; of those the one that a run from top to bottom would
have used, the last before the exercise's check, else the last of all.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from flatlab.course.rebuild import code, words
from flatlab.course.rebuild.pieces import Piece
from flatlab.course.rebuild.release import Release, Slot

LATER = "\n\n*(another version, found in cell {}:)*\n\n"


@dataclass(frozen=True)
class Answer:
    """What goes into one answer cell, and what is said of it."""

    slot: Slot
    source: str  # the whole text of the rebuilt cell
    places: tuple[int, ...]  # indices of the pieces it is made of
    told: dict  # the report's entry
    case: dict | None  # for a person to look at


def find(slot: Slot, pieces: list[Piece], release: Release, early: bool) -> Answer:
    """The answer to ``slot`` among ``pieces``; ``early``: the file ended too early."""
    owned = [i for i, piece in enumerate(pieces) if piece.slot is slot and not piece.exact]
    placed = False
    if not _answered(slot, owned, pieces, release):
        near = _by_place(slot, pieces, release, bool(owned))
        placed = bool(near)
        owned += near
    full = [i for i in owned if not release.is_stub(slot, pieces[i].whole) or pieces[i].cut]
    if not full:
        stubs = [p for p in pieces if p.exact and p.slot.kind == "open" == slot.kind]
        return _empty(slot, [*stubs, *(pieces[i] for i in owned)], early)
    if slot.kind == "open":
        rest = _with_rest(owned, pieces, release)
        return _open(slot, [i for i in rest if i in full or i not in owned], pieces, placed)
    return _exercise(slot, full, pieces, release, placed)


def _answered(slot: Slot, owned: list[int], pieces: list[Piece], release: Release) -> bool:
    return any(not release.is_stub(slot, pieces[i].whole) for i in owned)


def _by_place(slot: Slot, pieces: list[Piece], release: Release, seen: bool) -> list[int]:
    """The student's own pieces that stand where the release has ``slot``.

    Where the empty answer cell was ``seen``, only cells of their own: not a note inside another.
    """
    shared = Counter(piece.cell for piece in pieces)
    before = release.slots[max(slot.index - 1, 0) : slot.index]
    after = release.slots[slot.index + 1 : slot.index + 2]
    found = []
    for i, piece in enumerate(pieces):
        own_text = piece.own and (slot.kind == "open" or piece.kind != "markdown")
        if not own_text or release.resembles(piece.text) or (seen and shared[piece.cell] > 1):
            continue
        if slot.kind == "exercise" and code.parses(piece.text):
            continue  # it would define the name
        first, last = _neighbours(i, pieces)
        if (first in before) or (last in after) or (first is slot):
            found.append(i)
    return found


def _neighbours(i: int, pieces: list[Piece]) -> tuple[Slot | None, Slot | None]:
    """The nearest cells of the release before and after piece ``i``."""
    before = next((p.slot for p in reversed(pieces[:i]) if p.slot), None)
    return before, next((p.slot for p in pieces[i + 1 :] if p.slot), None)


def _empty(slot: Slot, seen: list[Piece], early: bool) -> Answer:
    """Nothing but the stub, or not even that."""
    if seen:
        whole = [p for p in seen if not p.exact and not _how([p], False)]
        written = [p for p in whole if code.is_unwritten(p.text, slot.targets)]
        source = _source(slot, written[-1]) if written else slot.source
        return Answer(slot, source, (), words.answer(slot.kind, slot.name, "blank"), None)
    reason = "the file ends too early" if early else "its cell is not there"
    told = words.answer(slot.kind, slot.name, "lost", reason=reason)
    case = words.case(slot.kind, slot.name, "lost", told["instructor"], [])
    return Answer(slot, slot.source, (), told, case)


def _open(slot: Slot, full: list[int], pieces: list[Piece], placed: bool) -> Answer:
    """An answer in words: a person reads it, so that all of it goes in."""
    cells = [pieces[i] for i in full]
    texts: list[str] = []
    body, versions, other_sides = "", 1, Counter(p.cell for p in cells if p.conflict)
    for place, piece in zip(full, cells, strict=True):
        text = piece.text.strip()
        if not text or text in texts:
            continue
        follows = "marker" not in piece.how and (place - 1 in full or placed or not piece.how)
        follows = follows and not (piece.conflict and other_sides[piece.cell] > 1)
        if texts and not follows:
            body += LATER.format(piece.cell)
            versions += 1
        elif texts:
            body += "\n\n"
        texts.append(text)
        body += text
    source = f"{slot.marker}\n{body}" if slot.marker else body
    how = _how(cells, placed)
    if any(piece.cut for piece in cells):
        return _told(slot, source, full, "damaged", how, texts, reason="The file ends in it")
    if versions > 1:
        told = {"count": versions, "cell": cells[0].cell, "rule": "all are there, to be read"}
        return _told(slot, source, full, "ambiguous", how, texts, **told)
    return _told(slot, source, full, "recovered" if how else "intact", how)


def _with_rest(owned: list[int], pieces: list[Piece], release: Release) -> list[int]:
    """``owned`` and the student's own text right behind each of it: the rest of a split cell."""
    found = set(owned)
    for place in owned:
        following = place + 1
        while following < len(pieces) and _is_prose(pieces[following], release):
            found.add(following)
            following += 1
    return sorted(found)


def _is_prose(piece: Piece, release: Release) -> bool:
    if not piece.own or release.resembles(piece.text):
        return False
    return piece.kind != "code" or not code.parses(piece.text)


def _exercise(
    slot: Slot, full: list[int], pieces: list[Piece], release: Release, placed: bool
) -> Answer:
    """The piece that is graded, and whether it was the only one."""
    good = [i for i in full if code.parses(pieces[i].whole) and _covers(slot, pieces[i])]
    usable = good or [i for i in full if code.parses(pieces[i].whole)] or full
    check = release.check_of(slot)
    checks = [i for i, p in enumerate(pieces) if p.slot and p.slot.index == check]
    before = [i for i in usable if checks and i < checks[-1]]
    chosen = (before or usable)[-1]
    piece = pieces[chosen]
    source = _source(slot, piece)
    how = _how([piece], placed and chosen not in good)
    others = {code.meaning(pieces[i].whole) for i in usable} - {code.meaning(piece.whole)}
    texts = list(dict.fromkeys(pieces[i].whole for i in [*usable, chosen]))
    if piece.cut:
        return _told(slot, source, [chosen], "damaged", how, texts, reason="The file ends in it")
    touched = piece.conflict or piece.joined or not {"id", "marker"} <= set(piece.how)
    if touched and chosen not in good:
        reason = "Only a part of it was found, or it is no Python, and the cell was damaged"
        return _told(slot, source, [chosen], "damaged", how, texts, reason=reason)
    if others and [i for i in usable if not _how([pieces[i]], False)] != [chosen]:
        rule = words.RULE["before" if before else "after" if checks else "file"]
        told = {"count": len(others) + 1, "cell": piece.cell, "rule": rule}
        return _told(slot, source, [chosen], "ambiguous", how, texts, **told)
    return _told(slot, source, [chosen], "recovered" if how else "intact", how)


def _covers(slot: Slot, piece: Piece) -> bool:
    """Does ``piece`` define all that the exercise asks for?"""
    return slot.targets <= code.binds(piece.whole)


def _source(slot: Slot, piece: Piece) -> str:
    """The text of the rebuilt cell: the student's, with the release's marker."""
    if piece.above:
        return "\n".join(filter(None, [piece.above, slot.marker, piece.text]))
    return f"{slot.marker}\n{piece.text}" if slot.marker else piece.text


def _how(cells: list[Piece], placed: bool) -> tuple[str, ...]:
    """By what an answer was found; empty where id and marker agree and nothing was amiss."""
    steps: list[str] = []
    for piece in cells:
        if not {"id", "marker"} <= set(piece.how):
            steps.append(piece.how[-1] if piece.how else "place" if placed else "name")
        if piece.joined:
            steps.append("joined")
        if piece.conflict:
            steps.append("conflict")
    if len(cells) > 1 and "joined" not in steps and any(not piece.how for piece in cells):
        steps.append("joined")
    return tuple(dict.fromkeys(steps))


def _told(
    slot: Slot, source: str, places: list[int], outcome: str, how: tuple, texts=(), **facts
) -> Answer:
    told = words.answer(slot.kind, slot.name, outcome, how, **facts)
    case = None
    if outcome in ("ambiguous", "damaged"):
        case = words.case(slot.kind, slot.name, outcome, told["instructor"], list(texts))
    return Answer(slot, source, tuple(places), told, case)
