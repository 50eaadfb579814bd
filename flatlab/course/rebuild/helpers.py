"""The student's own cells: kept where they stood, and in time for the answers that need them."""

from __future__ import annotations

from dataclasses import dataclass

from flatlab.course.rebuild import code, words
from flatlab.course.rebuild.answers import Answer
from flatlab.course.rebuild.pieces import Piece
from flatlab.course.rebuild.release import Release


@dataclass(frozen=True)
class Own:
    """A cell of the student's to be put after the release's cell ``after`` (-1: on top)."""

    after: int
    kind: str
    text: str
    cell: int  # where it stood


@dataclass(frozen=True)
class Supply:
    """Statements that stand where the rebuilt notebook does not have them."""

    text: str
    cell: int


def own_cells(
    pieces: list[Piece], answers: list[Answer], release: Release
) -> tuple[list[Own], list[dict], list[dict]]:
    """The student's own cells in order, the report's lines on them, and cases for a person."""
    used = {place for answer in answers for place in answer.places}
    kept, supplies, dropped = [], [], []
    locked = {piece.cell for piece in pieces if piece.slot and piece.slot.is_locked}
    anchor = -1
    for place, piece in enumerate(pieces):
        if piece.slot is not None:
            anchor = piece.slot.index
        if piece.exact or not piece.text.strip():
            continue
        if place in used:
            supplies += _supplies(piece, release) if piece.kind != "code" or piece.own else []
            continue
        if piece.own and piece.cell not in locked and _is_kept(piece, release):
            own = Own(anchor, piece.kind, piece.text, piece.cell)
            if kept and (whole := _whole_of(kept[-1], own)):  # one side of a conflict is shorter
                kept[-1] = whole
                continue
            kept.append(own)
            if piece.kind == "code" and code.repaired(piece.text) == piece.text:
                continue
        elif piece.own:
            dropped.append(piece.cell)
        supplies += _supplies(piece, release)
    supplies += [
        Supply(text, 0)
        for slot in release.answers
        for text, _ in code.statements(slot.source if slot.is_code else "")
        if not code.binds(text) & release.targets
    ]
    told = []
    if kept:
        told.append(words.cells("kept", _numbers([own.cell for own in kept])))
    if dropped:
        told.append(words.cells("dropped", _numbers(dropped)))
    for answer in sorted(answers, key=lambda a: a.slot.index):
        if answer.slot.kind == "exercise" and answer.places:
            kept, more = _in_time(answer, kept, supplies, answers, release)
            told += more
    cases = [case for answer in answers if (case := _incomplete(answer, answers, kept, release))]
    return kept, told, cases


def _whole_of(first: Own, second: Own) -> Own | None:
    """The longer one of two neighbors that define the same, where the other is its beginning."""
    if first.after != second.after or not first.kind == second.kind == "code":
        return None
    short, long = sorted((first, second), key=lambda own: len(own.text))
    if not f"{long.text}\n".startswith(f"{short.text}\n") or not code.only_defines(short.text):
        return None
    return long if code.binds(short.text) == code.binds(long.text) else None


def _incomplete(
    answer: Answer, answers: list[Answer], kept: list[Own], release: Release
) -> dict | None:
    """The case of an answer that reads a name which nothing defines: a cell may have been lost."""
    texts = [own.text for own in kept if own.kind == "code"]
    texts += [other.source for other in answers if other.slot.kind == "exercise"]
    if answer.slot.kind != "exercise" or answer.case or any("import *" in t for t in texts):
        return None
    known = release.bound.union(*map(code.binds, texts))
    needed, pending = set(), [answer.source]
    while pending:
        more = code.needs(pending.pop()) - needed
        needed |= more
        pending += [text for text in texts if code.binds(text) & more]
    unknown = sorted(needed - known)
    if not unknown or not answer.places:
        return None
    name = answer.slot.name
    text = f"It uses {', '.join(unknown)}, which no cell defines: a mistake, or a cell was lost."
    return words.case("exercise", name, "incomplete", text, [answer.source])


def _numbers(cells: list[int]) -> str:
    return ", ".join(f"cell {number}" for number in dict.fromkeys(cells))


def _is_kept(piece: Piece, release: Release) -> bool:
    """Code that is Python, and text; not what is left of the release's own cells."""
    if piece.kind == "raw" or release.resembles(piece.text):
        return False
    if piece.kind == "code":
        return code.parses(piece.text) and not code.is_empty(piece.text)
    return True


def _supplies(piece: Piece, release: Release) -> list[Supply]:
    """The statements of ``piece`` that are the student's and define no exercise.

    Own pieces may: they hold what ``part_own`` took for the rest of one.
    """
    slot = piece.slot
    asked = release.targets if slot else frozenset()
    known = {code.meaning(text) for text, _ in code.statements(slot.source)} if slot else set()
    return [
        Supply(text, piece.cell)
        for part in code.paragraphs(code.repaired(piece.whole))
        for text, _ in code.statements(part)
        if code.binds(text) and not code.binds(text) & asked
        if code.meaning(text) not in known
    ]


def _in_time(
    answer: Answer,
    kept: list[Own],
    supplies: list[Supply],
    answers: list[Answer],
    release: Release,
) -> tuple[list[Own], list[dict]]:
    """``kept`` with all that ``answer`` needs before its check, moved or added where it was not."""
    slot, check = answer.slot, release.check_of(answer.slot)
    supplies = supplies + [
        Supply(text, 0)
        for other in answers
        if other.slot.kind == "exercise" and other.slot.index > slot.index
        for text, _ in code.statements(other.source)
        if not code.binds(text) & release.targets
    ]
    now = code.names(answer.source)[1]
    pending = [(name, slot.index if name in now else check) for name in sorted(answer.needs)]
    moved: list[Own] = []
    done: set[str] = set()
    while pending:
        name, deadline = pending.pop(0)
        if (
            name in done
            or name in release.bound_before(deadline)
            or _from_answers(name, answers, slot)
        ):
            continue
        done.add(name)
        there = [own for own in kept if own.kind == "code" and name in code.binds(own.text)]
        early = [own for own in there if own.after < deadline]
        if early:
            pending += [(n, early[-1].after + 1) for n in _sorted_needs(early[-1].text)]
            continue
        found = there[-1] if there else _supply(name, supplies)
        if found is None:
            continue
        if isinstance(found, Own):
            kept = [own for own in kept if own is not found]
        moved.append(Own(slot.index - 1, "code", found.text, found.cell))
        pending += [(n, slot.index) for n in _sorted_needs(found.text)]
    ordered = _by_dependency(list(dict.fromkeys(moved)))
    cells = _numbers([own.cell for own in ordered if own.cell]).removeprefix("cell ")
    told = [words.cells("moved", slot.name, cells)] if cells else []
    return [*kept, *ordered], told


def _sorted_needs(text: str) -> list[str]:
    return sorted(code.needs(text))


def _from_answers(name: str, answers: list[Answer], slot) -> bool:
    """Does an answer up to ``slot`` bind ``name``?"""
    return any(
        name in code.binds(other.source)
        for other in answers
        if other.slot.kind == "exercise" and other.slot.index <= slot.index
    )


def _supply(name: str, supplies: list[Supply]) -> Supply | None:
    """The last statement found anywhere that binds ``name``."""
    return next((s for s in reversed(supplies) if name in code.binds(s.text)), None)


def _by_dependency(cells: list[Own]) -> list[Own]:
    """``cells`` so that each stands after those whose names it reads while it runs."""
    ordered, left = [], list(cells)
    while left:
        free = [
            own
            for own in left
            if not any(code.names(own.text)[1] & code.binds(o.text) for o in left if o is not own)
        ]
        ordered += free or left
        left = [own for own in left if own not in free] if free else []
    return ordered
