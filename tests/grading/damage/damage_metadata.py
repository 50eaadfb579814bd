"""Metadata stripped, ids duplicated or renamed, notebooks saved by other programs.

Operators as in damage_cells.
"""

from __future__ import annotations

import random
import re
from dataclasses import replace

from damage_cells import each, everywhere, some
from damage_notebooks import OWN, WHOLE, C, Sheet


def _without(cell: C, *keys: str) -> C:
    return replace(cell, metadata={k: v for k, v in cell.metadata.items() if k not in keys})


def _with_id(cell: C, identity: str) -> C:
    nbgrader = {**cell.metadata.get("nbgrader", {}), "grade_id": identity}
    return replace(cell, metadata={**cell.metadata, "nbgrader": nbgrader})


def strip_nbgrader_metadata(sheet: Sheet, rng: random.Random) -> Sheet:
    return everywhere(sheet, lambda c: _without(c, "nbgrader"))


def strip_all_metadata(sheet: Sheet, rng: random.Random) -> Sheet:
    return replace(
        everywhere(sheet, lambda c: replace(c, metadata={}, id="")), metadata={}, minor=4
    )


def remove_markers(sheet: Sheet, rng: random.Random) -> Sheet:
    return everywhere(sheet, _unmarked)


def _unmarked(cell: C) -> C:
    if not re.match(
        r"(#|<!--) ?(exercise|check|open|experiment|predict|widget|setup)", cell.source
    ):
        return cell
    return replace(cell, source=cell.source.partition("\n")[2])


def remove_markers_and_metadata(sheet: Sheet, rng: random.Random) -> Sheet:
    return strip_all_metadata(remove_markers(sheet, rng), rng)


def _lied(sheet: Sheet, places: set[int]) -> Sheet:
    """``sheet``; half a cell has nothing but its id, so that a wrong one leaves it in doubt."""
    halves = [share for i in places for share in sheet.cells[i].holds if share[1:] != WHOLE]
    return replace(sheet, unsure=sheet.unsure | {key.removeprefix(OWN) for key, *_ in halves})


def duplicate_ids(sheet: Sheet, rng: random.Random) -> Sheet:
    """Cells pasted over others: a third of the named cells carry the id of another one."""
    names = [c.grade_id for c in sheet.cells if c.grade_id]
    named = [i for i, c in enumerate(sheet.cells) if c.grade_id]
    chosen = some(named, rng, 0.3)
    return _lied(each(sheet, chosen, lambda c: _with_id(c, rng.choice(names))), chosen)


def rename_ids(sheet: Sheet, rng: random.Random) -> Sheet:
    named = [i for i, c in enumerate(sheet.cells) if c.grade_id]
    return each(
        sheet, some(named, rng, 0.7), lambda c: _with_id(c, f"cell-{rng.getrandbits(32):x}")
    )


def swap_ids(sheet: Sheet, rng: random.Random) -> Sheet:
    """The ids of all answer cells, dealt out anew."""
    mine = [i for i, c in enumerate(sheet.cells) if c.grade_id in sheet.keys]
    names = [sheet.cells[i].grade_id for i in mine]
    deal = dict(zip(mine, rng.sample(names, len(names)), strict=True))
    cells = [_with_id(c, deal[i]) if i in deal else c for i, c in enumerate(sheet.cells)]
    return _lied(replace(sheet, cells=tuple(cells)), set(mine))


def duplicate_cell_ids(sheet: Sheet, rng: random.Random) -> Sheet:
    return everywhere(sheet, lambda c: replace(c, id="a1b2"))


def saved_by_colab(sheet: Sheet, rng: random.Random) -> Sheet:
    """nbformat 4.0 without cell ids, an id of its own in the metadata, a form title on top."""

    def change(c: C) -> C:
        source = "#@title\n" + c.source if c.kind == "code" and rng.random() < 0.3 else c.source
        kept = {**_without(c, "nbgrader", "tags", "editable", "deletable").metadata}
        return replace(c, source=source, metadata={**kept, "id": f"{rng.getrandbits(40):x}"}, id="")

    metadata = {"colab": {"provenance": []}, "kernelspec": {"name": "python3", "display_name": "P"}}
    return replace(everywhere(sheet, change), metadata=metadata, minor=0)


def saved_by_vs_code(sheet: Sheet, rng: random.Random) -> Sheet:
    """nbformat 4.2 without cell ids, a language id in each cell, outputs kept."""
    output = {"output_type": "stream", "name": "stdout", "text": ["# exercise: none\n"]}

    def change(c: C) -> C:
        metadata = {**c.metadata, "vscode": {"languageId": "python"}}
        return replace(c, metadata=metadata, id="", outputs=(output,))

    return replace(everywhere(sheet, change), minor=2)


def older_minor(sheet: Sheet, rng: random.Random) -> Sheet:
    return replace(everywhere(sheet, lambda c: replace(c, id="")), minor=rng.randrange(5))
