"""Functions in other cells than their exercise's: merged into another's, or in the student's own."""

from __future__ import annotations

from dataclasses import replace

from flatlab.course.rebuild import code
from flatlab.course.rebuild.pieces import Piece, in_force
from flatlab.course.rebuild.release import Release, Slot


def part_merged(found: list[Piece], release: Release) -> list[Piece]:
    """``found`` with the answers taken apart that stand in the cell of another exercise.

    Only what an exercise has nowhere else: a second definition is the student's own business.
    """
    for slot in release.answers:
        mine = [p for p in found if p.slot is slot and not release.is_stub(slot, p.whole)]
        there = frozenset().union(*(code.defines(p.whole, slot.targets) for p in mine))
        missing = slot.targets - there if len(slot.targets) > 1 or not mine else frozenset()
        for place, piece in enumerate(found):
            if piece.slot is None or piece.slot is slot or not piece.slot.targets:
                continue
            if not code.defines(piece.whole, missing):
                continue
            rest, part = _part(piece, slot)
            if part is not None:
                found = [*found[:place], rest, part, *found[place + 1 :]]
                break
    return found


def _part(piece: Piece, slot: Slot) -> tuple[Piece, Piece | None]:
    """``piece`` without the definitions of ``slot``, and these as a piece of their own."""
    lines, targets = piece.whole.split("\n"), slot.targets | piece.slot.targets
    starts = code.first_definitions(piece.whole, targets)
    edges = [0, *(line for line, _ in starts[1:]), len(lines)]
    taken, kept = [], []
    for (_, name), begin, end in zip(starts, edges, edges[1:], strict=False):
        (taken if name in slot.targets else kept).append("\n".join(lines[begin:end]).strip("\n"))
    text = "\n\n".join(taken)
    if not text:
        return piece, None
    rest = replace(piece, text="\n\n".join(kept), above="")
    return rest, replace(piece, text=text, slot=slot, how=("name",), above="")


def part_own(found: list[Piece], release: Release) -> list[Piece]:
    """``found`` where functions of an exercise of several may stand in cells of the student's own.

    Where no piece has all that is written, the exercise's cell keeps what it has, less the stubs
    of what is written elsewhere; the rest stays in own cells, which its ``others`` names.
    """
    for slot in release.answers:
        mine = [i for i, piece in enumerate(found) if piece.slot is slot and not piece.exact]
        written = {i: frozenset(name for name, _ in found[i].definitions()) for i in mine}
        every = frozenset().union(*written.values())
        if len(slot.targets) > 1 and every and every not in written.values():
            found = _with_others(found, slot, written, every, release.check_of(slot))
    return found


def _with_others(
    found: list[Piece], slot: Slot, written: dict[int, frozenset], every: frozenset, check: int
) -> list[Piece]:
    """``found`` with the pieces ``written`` of ``slot`` told apart: its cell, and own cells."""
    asked = {i: code.defines(found[i].whole, slot.targets) for i in written}
    homes = [i for i in written if asked[i] - (every - written[i])] or list(written)
    home = max(
        homes, key=lambda i: ("marker" in found[i].how, "id" in found[i].how, len(written[i]), i)
    )
    missing = every - written[home]
    makers = {
        in_force([i for i in written if name in written[i]], found, check)[0] for name in missing
    }
    others = tuple(found[i].whole for i in sorted(makers))
    result = []
    for i, piece in enumerate(found):
        if i in makers:
            own = replace(piece, kind="code", text=piece.whole, slot=None, how=(), above="")
            result.append(own)
        elif i not in written:
            result.append(piece)
        elif i == home or written[i] or not code.parses(piece.whole):  # else a part of the stub
            bare = code.without_stubs(piece.text, missing)
            far = piece.far or any(found[maker].far for maker in makers)
            joined = sum((found[maker].joined for maker in sorted(makers)), piece.joined)
            result.append(replace(piece, text=bare, others=others, far=far, joined=joined))
    return result
