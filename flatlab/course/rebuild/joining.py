"""Putting halves together: pieces of a cell that was split, next to each other or not."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import product

from flatlab.course.rebuild import code, cuts
from flatlab.course.rebuild.pieces import Piece, cut_at_definitions
from flatlab.course.rebuild.release import Release

_FARTHEST = 8  # pieces looked at together
_MOST_PAIRS = 4000  # of halves that stand apart and cells
_MOST_EDGES = 5  # pieces that may each be joined by a line break or in mid-line


def join(found: list[Piece], release: Release) -> list[Piece]:
    """``found`` with halves of split cells joined: neighbors first, then those far apart."""
    begun = [p.slot for p in found if "marker" in p.how and not _is_fresh(p)]
    found = [p for p in found if not (_is_fresh(p) and p.slot in begun)]  # it would part halves
    found = [p for i, p in enumerate(found) if not _is_echo(p, found[i - 1] if i else None)]
    known = release.bound.union(*(code.binds(piece.whole) for piece in found if not piece.exact))
    found = _join_neighbors(found, release, known)
    known = known.union(*(code.binds(piece.whole) for piece in found if piece.joined))
    found = _join_strays(found, release, known)
    return [part for p in found for part in (cut_at_definitions(p, release) if p.joined else [p])]


def _is_fresh(piece: Piece) -> bool:
    """Is it an exercise's stub as it was handed out?"""
    known = piece.slot is not None and piece.slot.kind == "exercise" and "marker" in piece.how
    return known and piece.whole.strip() == piece.slot.body.strip()


def _is_echo(piece: Piece, before: Piece | None) -> bool:
    """The same half a cell twice in a row."""
    same = before is not None and (piece.text, piece.slot) == (before.text, before.slot)
    return same and "marker" not in piece.how and not (piece.exact or code.parses(piece.text))


def _join_neighbors(found: list[Piece], release: Release, known: frozenset) -> list[Piece]:
    result: list[Piece] = []
    at = 0
    while at < len(found):
        piece, at = found[at], at + 1
        while _may_grow(piece):
            following = _following(piece, found[at : at + _FARTHEST], release)
            grown, count = _extend(piece, following, release, known)
            if not count:
                break
            piece, at = grown, at + count
        result.append(piece)
    return result


def _may_grow(piece: Piece) -> bool:
    return not piece.exact and (piece.own or piece.slot.kind == "exercise")


def _following(piece: Piece, after: list[Piece], release: Release) -> list[Piece]:
    """The pieces right after ``piece`` that may be its other parts."""
    fitting = []
    elsewhere = release.targets - (piece.slot.targets if piece.slot else frozenset())
    for other in after:
        if other.exact or other.cell == piece.cell or "marker" in other.how:
            break
        if not (other.own or other.slot.kind == "exercise" or _is_code_under_open(other)):
            break
        if code.defines(other.text, elsewhere):
            break
        fitting.append(other)
    return fitting


def _is_code_under_open(piece: Piece) -> bool:
    """Code under the id of a question in words: the id is wrong."""
    return piece.slot.kind == "open" and piece.kind == "code"


def _extend(piece: Piece, after: list[Piece], release: Release, known: frozenset) -> tuple:
    """``piece`` with as many of ``after`` as its text needs, and their number; 0 for none."""
    if not after:
        return piece, 0
    text, other = piece.whole, after[0]
    whole, alone = code.parses(code.repaired(text)), code.parses(other.text)
    targets = piece.slot.targets if piece.slot else frozenset()
    if whole and targets - code.binds(text):
        for count in range(1, min(len(after), _MOST_EDGES - 1) + 1):
            glued = _best([text, *(p.text for p in after[:count])], known)
            if glued is not None and targets <= code.binds(glued):
                return _grown(piece, glued, after[:count]), count
    if whole and alone:
        return _extend_whole(piece, other, targets, known, release.identifiers)
    if (
        whole
        and _finished(text, targets)
        and (
            release.resembles(other.text)
            or (
                other.text[:1].isspace()
                and not cuts.continues_a_line(other.text)
                and (piece.slot is None or other.slot is not piece.slot)
            )
        )
    ):
        return piece, 0  # what stands behind its last return would never run
    prose = other.kind != "code" and not other.text[:1].isspace()
    if whole and prose and piece.own and not cuts.ends_oddly(text, known):
        return piece, 0
    for count in range(1, len(after) + 1):
        chunk = [p.text for p in after[:count]]
        glued = _best([text, *chunk], known)
        same = all(p.slot is piece.slot is not None for p in after[:count])
        if glued is not None and (same or not _foreign(text, glued, release)):
            return _grown(piece, glued, after[:count]), count
    return piece, 0


def _extend_whole(
    piece: Piece, other: Piece, targets: frozenset, known: frozenset, identifiers: frozenset
) -> tuple:
    """Two pieces that are both Python: halves only if an id, a name or a missing target says so."""
    text = piece.whole
    plain, tight = f"{text}\n{other.text}", f"{text}{other.text}"
    fewer = cuts.oddness(tight, known) < cuts.oddness(plain, known)
    fewer = fewer or cuts.in_a_word(text, other.text, identifiers)
    needs = code.needs(other.text)
    inside = needs & code.variables(text) and not needs & targets  # what reads those tries them
    halves = other.slot is piece.slot is not None or inside or cuts.ends_oddly(text, known)
    if halves and fewer and code.parses(tight):
        return _grown(piece, tight, [other]), 1
    if code.is_empty(other.text) and other.text[:1].isspace():  # a comment inside a function
        return _grown(piece, plain, [other]), 1
    if not targets or not (other.own or other.slot is piece.slot):
        return piece, 0
    has, adds = code.binds(text) & targets, code.binds(other.text) & targets
    same_cell = other.slot is piece.slot and not adds
    if same_cell or adds - has or any(code.rebinds(other.text, name) for name in adds):
        return _grown(piece, plain, [other]), 1
    return piece, 0


def _foreign(text: str, glued: str, release: Release) -> frozenset[str]:
    """The names that ``glued`` needs beyond ``text`` and that are another exercise's arguments."""
    return (code.needs(glued) - code.needs(text)) & release.arguments


def _best(texts: list[str], known: frozenset) -> str | None:
    """``texts`` as one Python text: by lines, or in mid-line, with the fewest unknown names."""
    count = len(texts) - 1
    few = product(("\n", ""), repeat=count) if len(texts) <= _MOST_EDGES else ()
    indented = tuple("\n" if text[:4].isspace() else "" for text in texts[1:])
    edges = list(few) or [("\n",) * count, indented, ("",) * count]
    tries = [_sewn(texts, edge) for edge in edges if not _swallows(texts, edge)]
    fits = [text for text in tries if code.parses(text)]
    return min(fits, key=lambda text: cuts.oddness(text, known), default=None)


def _sewn(texts: list[str], edges: tuple[str, ...]) -> str:
    return texts[0] + "".join(edge + text for edge, text in zip(edges, texts[1:], strict=True))


def _swallows(texts: list[str], edges: tuple[str, ...]) -> bool:
    """Would an indented line become the end of a comment?"""
    pairs = zip(texts, texts[1:], edges, strict=False)
    return any(
        not edge and after.startswith("  ") and "#" in before.rpartition("\n")[2]
        for before, after, edge in pairs
    )


def _grown(piece: Piece, text: str, parts: list[Piece]) -> Piece:
    return replace(
        piece,
        text=text,
        above="",
        joined=(*piece.joined, *(n for part in parts for n in (part.cell, *part.joined))),
        cut=piece.cut or any(part.cut for part in parts),
        conflict=piece.conflict or any(part.conflict for part in parts),
    )


def _finished(text: str, targets: frozenset) -> bool:
    """Does ``text`` define ``targets`` (for own code: a function), each ending with its result?

    The last function counts too, whatever its name: it is what an indented line would continue.
    """
    functions = code.functions(text)
    asked = targets or frozenset(functions)
    return bool(asked & code.binds(text)) and code.returns(text, asked.union(functions[-1:]))


def _join_strays(found: list[Piece], release: Release, known: frozenset) -> list[Piece]:
    """Halves that stand apart: each goes where it fits best, the surest first.

    How well: as many names of the half as are variables of the function that it may continue; the
    same id is worth more. A half that fits two places equally well stays where it is; of a flood
    all do, since each round tries every pair.
    """
    result = list(found)
    if sum(_is_stray(piece, release) for piece in found) * len(found) > _MOST_PAIRS:
        return result
    while True:
        fits = []
        for place, stray in enumerate(result):
            homes = _homes(stray, result, known, release) if _is_stray(stray, release) else []
            best = max((score for score, *_ in homes), default=-1)
            if [score for score, *_ in homes].count(best) == 1:
                ends = code.ENDS.search(stray.text) is not None
                fits.append((best, not ends, -place, *max(homes)[1:]))
        if not fits:
            return result
        *_, place, home, text = max(fits)
        result[home] = replace(_grown(result[home], text, [result[-place]]), far=True)
        del result[-place]


def _is_stray(piece: Piece, release: Release) -> bool:
    """Half a cell: no Python by itself, with nothing that says whose it is."""
    if piece.exact or not piece.text.strip():
        return False
    if (
        "marker" in piece.how
        or code.parses(piece.text)
        or code.defines(piece.text, release.targets)
    ):
        return False
    if piece.kind != "code" and not piece.text[:1].isspace() and not piece.slot:
        return False
    return piece.slot.kind == "exercise" if piece.slot else release.resembles(piece.text) is None


def _homes(
    stray: Piece, found: list[Piece], known: frozenset, release: Release
) -> list[tuple[int, int, str]]:
    """(how well, place, joined text) of the unfinished pieces that ``stray`` may continue."""
    fits = []
    for place, piece in enumerate(found):
        same = stray.slot is not None and piece.slot is stray.slot
        if piece is stray or not _may_grow(piece) or (stray.slot and not same):
            continue
        text = piece.whole
        targets = piece.slot.targets if piece.slot else frozenset()
        glued = _best([text, stray.text], known)
        finished = code.parses(text) and _finished(text, targets)
        if glued is None or (finished and cuts.oddness(glued, known) >= cuts.oddness(text, known)):
            continue
        if _foreign(text, glued, release):
            continue
        if code.needs(glued) - known - code.needs(text):
            continue
        before = code.variables(text) if code.parses(text) else frozenset()
        read = {name for name in re.findall(r"[A-Za-z_]\w*", stray.text)}
        fits.append((100 * same + len(read & before), place, glued))
    return fits
