"""Cells deleted, duplicated, split, merged and reordered, as students and editors do it.

An operator takes a ``Sheet`` and a ``random.Random`` and gives the damaged ``Sheet``, which says
what can no longer be found.
"""

from __future__ import annotations

import random
from dataclasses import replace

from damage_notebooks import OWN, C, Sheet


def answers(sheet: Sheet) -> list[int]:
    """The places of the cells that hold answers or what answers call."""
    return [i for i, cell in enumerate(sheet.cells) if cell.holds]


def others(sheet: Sheet) -> list[int]:
    return [i for i, cell in enumerate(sheet.cells) if not cell.holds]


def some(places: list[int], rng: random.Random, share: float = 0.5) -> set[int]:
    """About ``share`` of ``places``, one at least."""
    if not places:
        return set()
    return set(rng.sample(places, max(1, round(share * len(places)))))


def each(sheet: Sheet, chosen: set[int], change) -> Sheet:
    """``sheet`` with ``change`` applied to the chosen cells."""
    cells = (change(c) if i in chosen else c for i, c in enumerate(sheet.cells))
    return replace(sheet, cells=tuple(cells))


def everywhere(sheet: Sheet, change) -> Sheet:
    return each(sheet, set(range(len(sheet.cells))), change)


def delete_other_cells(sheet: Sheet, rng: random.Random) -> Sheet:
    gone = some(others(sheet), rng)
    return sheet.having(c for i, c in enumerate(sheet.cells) if i not in gone)


def delete_test_cells(sheet: Sheet, rng: random.Random) -> Sheet:
    return sheet.having(c for c in sheet.cells if not c.grade_id.startswith("check-"))


def delete_some_answers(sheet: Sheet, rng: random.Random) -> Sheet:
    gone = some(answers(sheet), rng, 0.3)
    return sheet.having(c for i, c in enumerate(sheet.cells) if i not in gone)


def duplicate_in_place(sheet: Sheet, rng: random.Random) -> Sheet:
    twice = some(list(range(len(sheet.cells))), rng, 0.3) | some(answers(sheet), rng)
    return sheet.having(
        c for i, cell in enumerate(sheet.cells) for c in ([cell, cell] if i in twice else [cell])
    )


def duplicate_at_the_end(sheet: Sheet, rng: random.Random) -> Sheet:
    return sheet.having(
        [*sheet.cells, *(sheet.cells[i] for i in sorted(some(answers(sheet), rng)))]
    )


def paste_the_stub_again(sheet: Sheet, rng: random.Random) -> Sheet:
    """The untouched exercise, copied from a fresh notebook, behind the student's answer."""
    cells = []
    for cell in sheet.cells:
        cells.append(cell)
        if cell.grade_id in sheet.keys:
            stub = sheet.stubs[cell.grade_id]
            cells.append(replace(cell, source=stub, holds=(), id=f"{cell.id}-2"))
    return sheet.having(cells)


def _halves(cell: C, at: int, keeps: bool) -> list[C]:
    """``cell`` split before character ``at``, as JupyterLab does: line breaks go at the edge."""
    share = at / max(len(cell.source), 1)
    first = tuple((key, a, a + (b - a) * share) for key, a, b in cell.holds)
    second = tuple((key, a + (b - a) * share, b) for key, a, b in cell.holds)
    metadata = cell.metadata if keeps else {}
    frayed = cell.source[at - 1] != "\n"
    return [
        replace(cell, source=cell.source[:at].strip("\n"), holds=first),
        C(cell.kind, cell.source[at:].strip("\n"), metadata, f"{cell.id}-b", second, frayed=frayed),
    ]


def _line_starts(cell: C) -> list[int]:
    """Where a split leaves text on both sides, the marker's line apart."""
    found, at = [], 0
    for line in cell.source.split("\n")[:-1]:
        at += len(line) + 1
        found.append(at)
    return [at for at in found if cell.source[:at].strip() and cell.source[at:].strip()]


def _split(sheet: Sheet, rng: random.Random, keeps: bool, places=_line_starts) -> Sheet:
    chosen, cells = some(answers(sheet), rng, 0.6), []
    for i, cell in enumerate(sheet.cells):
        starts = [] if "<<<<<<<" in cell.source else places(cell)  # git comes after the editor
        if i in chosen and starts:
            cells += _halves(cell, rng.choice(starts), keeps)
        else:
            cells.append(cell)
    return sheet.having(cells)


def split_in_two(sheet: Sheet, rng: random.Random) -> Sheet:
    return _split(sheet, rng, keeps=True)


def split_without_metadata(sheet: Sheet, rng: random.Random) -> Sheet:
    return _split(sheet, rng, keeps=False)


def split_in_three(sheet: Sheet, rng: random.Random) -> Sheet:
    return _split(_split(sheet, rng, keeps=False), rng, keeps=True)


def _in_mid_line(cell: C) -> list[int]:
    """Everywhere inside a line of the answer, first line and line edges apart."""
    first = cell.source.find("\n") + 1
    text = cell.source
    return [
        at
        for at in range(first + 1, len(text))
        if text[at - 1] != "\n" and text[at] != "\n" and text[:at].split("\n")[-1].strip()
        if text[first:at].strip() and text[at:].strip()
    ]


def split_in_mid_line(sheet: Sheet, rng: random.Random) -> Sheet:
    return _split(sheet, rng, keeps=True, places=_in_mid_line)


def split_other_cells(sheet: Sheet, rng: random.Random) -> Sheet:
    chosen, cells = some(others(sheet), rng), []
    for i, cell in enumerate(sheet.cells):
        starts = _line_starts(cell)
        halves = _halves(cell, rng.choice(starts), True) if i in chosen and starts else [cell]
        cells += halves
    return sheet.having(cells)


def merged(cells: list[C]) -> C:
    """``cells`` as JupyterLab merges them: the first one's kind and metadata, an empty line."""
    text = "\n\n".join(cell.source for cell in cells)
    return replace(cells[0], source=text, holds=tuple(h for cell in cells for h in cell.holds))


def frayed(sheet: Sheet, groups: list[list[C]]) -> Sheet:
    """``sheet``; in doubt are the answers whose lines were cut in two by a merge's empty line."""
    keys = {
        k.removeprefix(OWN) for cells in groups for c in cells[1:] if c.frayed for k, *_ in c.holds
    }
    return replace(sheet, unsure=sheet.unsure | keys)


def _merge(sheet: Sheet, rng: random.Random, share: float, size: int) -> Sheet:
    groups, i = [], 0
    while i < len(sheet.cells):
        count = size if rng.random() < share else 1
        groups.append(list(sheet.cells[i : i + count]))
        i += count
    return frayed(sheet.having(map(merged, groups)), groups)


def merge_pairs(sheet: Sheet, rng: random.Random) -> Sheet:
    return _merge(sheet, rng, 0.5, 2)


def merge_many(sheet: Sheet, rng: random.Random) -> Sheet:
    return _merge(sheet, rng, 0.4, 5)


def merge_answers(sheet: Sheet, rng: random.Random) -> Sheet:
    """Answer cells moved together and merged, two by two."""
    places = [i for i in answers(sheet) if not sheet.cells[i].grade_id.startswith("open-")]
    code = [sheet.cells[i] for i in places]
    pairs = [merged(code[i : i + 2]) for i in range(0, len(code), 2)]
    at = {place: pair for place, pair in zip(places[::2], pairs, strict=True)}
    return sheet.apart(
        at.get(i, cell) for i, cell in enumerate(sheet.cells) if i in at or i not in places
    )


def reorder_all(sheet: Sheet, rng: random.Random) -> Sheet:
    return sheet.apart(rng.sample(sheet.cells, len(sheet.cells)))


def reorder_answers_last(sheet: Sheet, rng: random.Random) -> Sheet:
    mine = [c for c in sheet.cells if c.holds]
    return sheet.apart([*(c for c in sheet.cells if not c.holds), *rng.sample(mine, len(mine))])


def reorder_some(sheet: Sheet, rng: random.Random) -> Sheet:
    cells = list(sheet.cells)
    for _ in range(5):
        cells.insert(rng.randrange(len(cells)), cells.pop(rng.randrange(len(cells))))
    return sheet.apart(cells)
