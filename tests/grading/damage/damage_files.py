"""Damage to a notebook's metadata and formats, and to the bytes of its file."""

from __future__ import annotations

import io
import json
import logging
import random
import re
import zipfile
from dataclasses import replace

import nbformat
from damage_cells import each, some
from damage_notebooks import OWN, WHOLE, C, Sheet


def everywhere(sheet: Sheet, change) -> Sheet:
    return each(sheet, set(range(len(sheet.cells))), change)


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


def carriage_returns_in_cells(sheet: Sheet, rng: random.Random) -> Sheet:
    return everywhere(sheet, lambda c: replace(c, source=c.source.replace("\n", "\r\n")))


def nbformat_3(sheet: Sheet, rng: random.Random) -> Sheet:
    logging.getLogger("traitlets").setLevel(logging.CRITICAL)
    valid = sheet if all(c.id for c in sheet.cells) else replace(sheet, minor=4)
    ids = {c.id for c in valid.cells}
    if len(ids) < len(valid.cells):
        valid = replace(everywhere(valid, lambda c: replace(c, id="")), minor=4)
    node = nbformat.from_dict(json.loads(valid.text()))
    for cell in node.cells:
        cell.source = "".join(cell.source)
    old = nbformat.convert(node, 3)
    return replace(sheet, data=nbformat.v3.writes_json(old).encode())


def byte_order_mark(sheet: Sheet, rng: random.Random) -> Sheet:
    return replace(sheet, data=b"\xef\xbb\xbf" + sheet.bytes())


def crlf(sheet: Sheet, rng: random.Random) -> Sheet:
    return replace(sheet, data=sheet.bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"))


def utf_16(sheet: Sheet, rng: random.Random) -> Sheet:
    encoding = rng.choice(["utf-16", "utf-16-le", "utf-16-be"])
    return replace(sheet, data=sheet.bytes().decode("utf-8-sig").encode(encoding))


def latin_1(sheet: Sheet, rng: random.Random) -> Sheet:
    """Latin-1 bytes; what that has no letter for, as JSON's escapes."""
    text = sheet.bytes().decode("utf-8-sig")
    escaped = "".join(c if ord(c) < 256 else json.dumps(c)[1:-1] for c in text)
    return replace(sheet, data=escaped.encode("latin-1"))


def read_as_windows(sheet: Sheet, rng: random.Random) -> Sheet:
    """UTF-8 that an editor took for Windows-1252 and saved as UTF-8."""
    text = "".join(
        bytes([byte]).decode("cp1252") if byte not in (0x81, 0x8D, 0x8F, 0x90, 0x9D) else chr(byte)
        for byte in sheet.bytes()
    )
    return replace(sheet, data=text.encode())


def nul_bytes(sheet: Sheet, rng: random.Random) -> Sheet:
    data = bytearray(sheet.bytes())
    for _ in range(20):
        data.insert(rng.randrange(len(data)), 0)
    return replace(sheet, data=bytes(data) + bytes(rng.randrange(4096)))


def compact_json(sheet: Sheet, rng: random.Random) -> Sheet:
    return replace(sheet, data=json.dumps(json.loads(sheet.bytes())).encode())


def trailing_commas(sheet: Sheet, rng: random.Random) -> Sheet:
    """JSON mended by hand: commas before closing brackets, a stray word."""
    text = re.sub(r"\n( *)(\]|\})", r",\n\1\2", sheet.bytes().decode())
    return replace(sheet, data=(text + "\noops").encode())


def truncate(sheet: Sheet, rng: random.Random) -> Sheet:
    """The file ends somewhere: an answer is gone unless all of its text was written before."""
    text = sheet.text()
    at = rng.randrange(len(text) // 5, len(text))
    ends, reach = [], 0
    for cell in sheet.cells:
        dump = json.dumps(cell.as_dict(), indent=1, ensure_ascii=False)
        shifted = dump.replace("\n", "\n  ")
        reach = text.index(shifted, reach) + len(shifted)
        ends.append(reach - len("\n  }"))
    left = [cell for cell, end in zip(sheet.cells, ends, strict=True) if end <= at]
    return replace(sheet, data=text[:at].encode(), destroyed=sheet.destroyed | sheet.gone(left))


def conflict_in_the_file(sheet: Sheet, rng: random.Random) -> Sheet:
    """git's markers between the lines of one cell's JSON; the other side is the stub or shorter."""
    lines = sheet.text().split("\n")
    starts = [i for i, line in enumerate(lines) if line == '   "source": [']
    full = [cell for cell in sheet.cells if cell.source]
    at, cell = rng.choice(list(zip(starts, full, strict=True)))
    end = next(i for i in range(at, len(lines)) if lines[i] == "   ]")
    keys = [key for key, *_ in cell.holds if key in sheet.stubs]
    shorter = "\n".join(cell.source.split("\n")[:-1]) or cell.source
    other = [f"    {json.dumps(sheet.stubs[keys[0]] if keys else shorter)}"]
    sides = [lines[at + 1 : end], other] if rng.random() < 0.5 else [other, lines[at + 1 : end]]
    conflict = ["<<<<<<< HEAD", *sides[0], "=======", *sides[1], ">>>>>>> 3f2a91c"]
    text = "\n".join([*lines[: at + 1], *conflict, *lines[end:]])
    return replace(sheet, data=text.encode())


def zipped(sheet: Sheet, rng: random.Random) -> Sheet:
    """As a platform delivers it, with what macOS adds."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("Jane Doe_4711_assignsubmission_file_/renamed (1).ipynb", sheet.bytes())
        archive.writestr("__MACOSX/._renamed (1).ipynb", b"\0\0")
    return replace(sheet, data=buffer.getvalue())
