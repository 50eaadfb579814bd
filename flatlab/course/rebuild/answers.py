"""Which of the pieces found is the answer to each exercise and question, and what to say of it.

The rule where there are several: the answers that differ from the stub count; of those the ones
that are Python and define what is asked; of those the one that a run from top to bottom would
have used, the last before the exercise's check, else the last of all.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from flatlab.course.rebuild import code, words
from flatlab.course.rebuild.pieces import Piece, in_force
from flatlab.course.rebuild.release import Release, Slot


@dataclass(frozen=True)
class Answer:
    """What goes into one answer cell, and what is said of it."""

    slot: Slot
    source: str  # the whole text of the rebuilt cell
    places: tuple[int, ...]  # indices of the pieces it is made of
    told: dict  # the report's entry
    case: dict | None  # for a person to look at

    @property
    def needs(self) -> frozenset[str]:
        """The global names it reads and those asked for, less those that it binds."""
        return (code.needs(self.source) | self.slot.targets) - code.binds(self.source)


def find(slot: Slot, pieces: list[Piece], release: Release, early: bool) -> Answer:
    """The answer to the exercise ``slot``; ``early``: the file ended too early."""
    owned = [i for i, piece in enumerate(pieces) if piece.slot is slot and not piece.exact]
    placed = False
    if all(release.is_stub(slot, pieces[i].whole) for i in owned):
        near = _by_place(slot, pieces, release, bool(owned))
        placed = bool(near)
        owned += near
    full = [i for i in owned if not release.is_stub(slot, pieces[i].whole) or pieces[i].cut]
    full = [
        i
        for i in full
        if _is_whole(slot, pieces[i])
        or not _is_part(pieces[i], [pieces[j] for j in owned if j != i])
    ]
    if not full:
        mixed = [i for i in owned if pieces[i].joined and _of_another(slot, pieces[i], release)]
        if mixed:
            reason = "Its first lines stand before another exercise's empty cell"
            texts = [pieces[i].whole for i in mixed]
            return tell(slot, slot.source, [], "damaged", ("joined",), texts, reason=reason)
        return empty(slot, [pieces[i] for i in owned], early)
    return _exercise(slot, full, pieces, release, placed)


def _of_another(slot: Slot, piece: Piece, release: Release) -> bool:
    """Does ``piece`` hold a line that only another exercise's empty cell has?"""
    others = {line for one in release.answers if one is not slot for line in _solid(one.source)}
    return not others.isdisjoint(set(_solid(piece.whole)) - set(_solid(slot.source)))


def _is_whole(slot: Slot, piece: Piece) -> bool:
    """Is ``piece`` an answer in its place, with a result on every way: no half of a copy?"""
    placed = not how_found([piece], False) and _covers(slot, piece)
    return placed and code.parses(piece.whole) and code.returns(piece.whole, slot.targets)


def _is_part(piece: Piece, others: list[Piece]) -> bool:
    """Is ``piece`` a run of another's lines, as half a copy is?"""
    part = _solid(piece.text)
    longer = [lines for other in others if len(lines := _solid(other.text)) > len(part)]
    return any(
        lines[start : start + len(part)] == part
        for lines in longer
        for start in range(len(lines) - len(part) + 1)
    )


def _solid(text: str) -> list[str]:
    return [line.rstrip() for line in text.split("\n") if line.strip()]


def _by_place(slot: Slot, pieces: list[Piece], release: Release, seen: bool) -> list[int]:
    """The student's own code, no Python by itself, that stands where the release has ``slot``.

    Where the empty exercise was ``seen``, only cells of their own: not lines inside another.
    """
    shared = Counter(piece.cell for piece in pieces)
    return [
        i
        for i, piece in enumerate(pieces)
        if piece.own and piece.kind != "markdown"
        if not code.parses(piece.text) and not code.foreign(piece.text)
        if not release.resembles(piece.text) and not (seen and shared[piece.cell] > 1)
        if stands_at(slot, i, pieces)
    ]


def stands_at(slot: Slot, i: int, pieces: list[Piece]) -> bool:
    """Does piece ``i`` stand behind the cell that precedes ``slot``, or before its successor?"""
    before = next((p.slot for p in reversed(pieces[:i]) if p.slot), None)
    after = next((p.slot for p in pieces[i + 1 :] if p.slot), None)
    first = before is not None and before.index in (slot.index - 1, slot.index)
    return first or (after is not None and after.index == slot.index + 1)


def empty(slot: Slot, seen: list[Piece], early: bool) -> Answer:
    """Nothing but the stub, or not even that."""
    if seen:
        whole = [p for p in seen if not p.exact and not how_found([p], False)]
        written = [p for p in whole if "NotImplementedError" in p.text]
        source = _source(slot, written[-1]) if written else slot.source
        return Answer(slot, source, (), words.answer(slot.kind, slot.name, "blank"), None)
    reason = "the file ends too early" if early else "its cell is not there"
    told = words.answer(slot.kind, slot.name, "lost", reason=reason)
    case = words.case(slot.kind, slot.name, "lost", told["instructor"], [])
    return Answer(slot, slot.source, (), told, case)


def _exercise(
    slot: Slot, full: list[int], pieces: list[Piece], release: Release, placed: bool
) -> Answer:
    """The piece that is graded, and whether it was the only one."""
    good = [i for i in full if code.parses(pieces[i].whole) and _covers(slot, pieces[i])]
    usable = good or [i for i in full if code.parses(pieces[i].whole)] or full
    chosen, why = in_force(usable, pieces, release.check_of(slot))
    piece = pieces[chosen]
    rivals = [i for i in full if i not in usable and pieces[i].definitions() - piece.definitions()]
    why = "whole" if rivals else why
    usable += rivals
    source = _source(slot, piece)
    how = how_found([piece], placed and chosen not in good)
    others = {code.meaning(pieces[i].whole) for i in usable} - {code.meaning(piece.whole)}
    texts = list(dict.fromkeys(pieces[i].whole for i in [*usable, chosen]))
    if piece.cut:
        return tell(slot, source, [chosen], "damaged", how, texts, reason="The file ends in it")
    touched = piece.conflict or piece.joined or not {"id", "marker"} <= set(piece.how)
    if touched and chosen not in good:
        reason = "Only a part of it was found, or it is no Python, and the cell was damaged"
        return tell(slot, source, [chosen], "damaged", how, texts, reason=reason)
    if others and [i for i in usable if not how_found([pieces[i]], False)] != [chosen]:
        told = {"count": len(others) + 1, "cell": piece.cell, "rule": words.RULE[why]}
        return tell(slot, source, [chosen], "ambiguous", how, texts, **told)
    return tell(slot, source, [chosen], "recovered" if how else "intact", how)


def _covers(slot: Slot, piece: Piece) -> bool:
    """Does ``piece`` define all that the exercise asks for?"""
    return slot.targets <= frozenset().union(*map(code.binds, (piece.whole, *piece.others)))


def _source(slot: Slot, piece: Piece) -> str:
    """The text of the rebuilt cell: the student's, with the release's marker."""
    if piece.above:
        return "\n".join(filter(None, [piece.above, slot.marker, piece.text]))
    return f"{slot.marker}\n{piece.text}" if slot.marker else piece.text


def how_found(cells: list[Piece], placed: bool) -> tuple[str, ...]:
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


def tell(
    slot: Slot, source: str, places: list[int], outcome: str, how: tuple, texts=(), **facts
) -> Answer:
    told = words.answer(slot.kind, slot.name, outcome, how, **facts)
    case = None
    if outcome in ("ambiguous", "damaged"):
        case = words.case(slot.kind, slot.name, outcome, told["instructor"], list(texts))
    return Answer(slot, source, tuple(places), told, case)
