"""Cells retyped, edited, or left with a merge conflict in them; operators as in damage_cells."""

from __future__ import annotations

import os
import random
from dataclasses import replace

from damage_cells import answers, each, everywhere, frayed, merged, others, some
from damage_notebooks import OWN, WHOLE, C, Sheet


def retype_answers(sheet: Sheet, rng: random.Random) -> Sheet:
    kinds = {"code": ("markdown", "raw"), "markdown": ("code", "raw"), "raw": ("code", "markdown")}
    chosen = some(answers(sheet), rng, 0.7)
    return each(sheet, chosen, lambda c: replace(c, kind=rng.choice(kinds[c.kind])))


def retype_all_to_markdown(sheet: Sheet, rng: random.Random) -> Sheet:
    return everywhere(sheet, lambda c: replace(c, kind="markdown"))


def retype_all_to_code(sheet: Sheet, rng: random.Random) -> Sheet:
    return everywhere(sheet, lambda c: replace(c, kind="code"))


def retype_to_heading(sheet: Sheet, rng: random.Random) -> Sheet:
    """JupyterLab's keys 1 to 6: Markdown, with #s before the first line in place of its own.

    Half a cell that begins inside a block or a line would lose its beginning: left out.
    """

    def change(c: C) -> C:
        if c.source[:1].isspace() or c.frayed:
            return c
        return replace(
            c, kind="markdown", source=f"{'#' * rng.randint(1, 6)} {c.source.lstrip('# ')}"
        )

    return each(sheet, some(answers(sheet), rng, 0.7), change)


def retype_to_heading_and_back(sheet: Sheet, rng: random.Random) -> Sheet:
    """A heading by mistake and then code again: the #s stay, as a comment."""
    headings = retype_to_heading(sheet, rng).cells
    cells = (replace(new, kind=old.kind) for old, new in zip(sheet.cells, headings, strict=True))
    return replace(sheet, cells=tuple(cells))


def retype_with_fence(sheet: Sheet, rng: random.Random) -> Sheet:
    """Code pasted into a text cell, between fences."""

    def change(c: C) -> C:
        if c.kind != "code":
            return c
        marker, _, body = c.source.partition("\n")
        if not marker.startswith("# "):
            marker, body = "", c.source
        return replace(c, kind="markdown", source=f"{marker}\n```python\n{body}\n```".strip("\n"))

    return each(sheet, some(answers(sheet), rng), change)


def edit_tests(sheet: Sheet, rng: random.Random) -> Sheet:
    def change(c: C) -> C:
        marker = c.source.split("\n", 1)[0]
        edits = (f"{marker}\nprint('passed')", c.source + "\nassert True", "pass", f"# {c.source}")
        return replace(c, source=rng.choice(edits))

    chosen = {i for i in others(sheet) if sheet.cells[i].grade_id.startswith("check-")}
    return each(sheet, chosen, change)


def edit_setup_and_settings(sheet: Sheet, rng: random.Random) -> Sheet:
    def change(c: C) -> C:
        return replace(c, source=c.source.replace("5", "7") + "\nimport random\n\nrandom.seed(0)")

    chosen = {i for i in others(sheet) if sheet.cells[i].grade_id in ("setup", "settings")}
    return each(sheet, chosen, change)


def helpers_into_setup(sheet: Sheet, rng: random.Random) -> Sheet:
    """The student's own cells, pasted into the locked setup cell."""
    mine = [c for c in sheet.cells if any(key.startswith(OWN) for key, *_ in c.holds)]
    cells = [c for c in sheet.cells if c not in mine]
    pasted = (merged([c, *mine]) if c.grade_id == "setup" else c for c in cells)
    return frayed(sheet.having(pasted), [[sheet.cells[0], *mine]])


def edit_other_cells(sheet: Sheet, rng: random.Random) -> Sheet:
    def change(c: C) -> C:
        lines = c.source.split("\n")
        if len(lines) > 2:
            lines.insert(
                rng.randrange(2, len(lines) + 1), rng.choice(["", "# my note", "print(1)"])
            )
        return replace(c, source="\n".join(lines))

    plain = [i for i in others(sheet) if not sheet.cells[i].grade_id]
    return each(sheet, some(plain, rng), change)


def carriage_returns_in_cells(sheet: Sheet, rng: random.Random) -> Sheet:
    return everywhere(sheet, lambda c: replace(c, source=c.source.replace("\n", "\r\n")))


def conflict_with_the_stub(sheet: Sheet, rng: random.Random) -> Sheet:
    """A merge conflict in one cell: the student's text on one side, the release's on the other."""
    return _conflict(sheet, rng, lambda key: sheet.stubs[key].split("\n", 1)[1])


def conflict_of_two_answers(sheet: Sheet, rng: random.Random) -> Sheet:
    """The same with an older answer: nothing tells which of the two is meant."""

    def older(key: str) -> str:
        return (
            "An older answer." if key.startswith("open-") else f"def {key}(*args):\n    return 17"
        )

    return _conflict(sheet, rng, older, unsure=True)


def _conflict(sheet: Sheet, rng: random.Random, version, unsure: bool = False) -> Sheet:
    """``sheet`` with git's markers in one answer, between its text and ``version`` of its key."""
    fitting = [i for i, cell in enumerate(sheet.cells) if _is_whole_answer(cell, sheet)]
    if not fitting:
        return sheet
    place = rng.choice(fitting)
    cell = sheet.cells[place]
    marker, text = cell.source.split("\n", 1)
    sides = [text.split("\n"), version(cell.grade_id).split("\n")]
    above = os.path.commonprefix(sides) if rng.random() < 0.5 else []  # git's, or a whole cell's
    first, second = rng.sample([lines[len(above) :] for lines in sides], 2)
    lines = [marker, *above, "<<<<<<< HEAD", *first, "=======", *second, ">>>>>>> 3f2a91c"]
    changed = each(sheet, {place}, lambda c: replace(c, source="\n".join(lines)))
    is_stub = "NotImplementedError" in text or "YOUR ANSWER HERE" in text
    if unsure and not is_stub:
        changed = replace(changed, unsure=changed.unsure | {cell.grade_id})
    elif unsure:
        changed = replace(changed, destroyed=changed.destroyed | {cell.grade_id})
    return changed


def _is_whole_answer(cell: C, sheet: Sheet) -> bool:
    """Does ``cell`` hold one answer, all of it, below its marker, and no conflict yet?"""
    return (
        cell.grade_id in sheet.keys
        and [share for _, *share in cell.holds] == [list(WHOLE)]
        and cell.source.startswith(("# exercise", "<!-- open"))
        and "\n" in cell.source
        and "<<<<<<<" not in cell.source
    )
