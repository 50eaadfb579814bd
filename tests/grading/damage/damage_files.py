"""Damage to the bytes of a notebook's file, and what platforms do to its name.

Operators as in damage_cells; each sets the sheet's ``data``, so that it comes last.
"""

from __future__ import annotations

import io
import json
import logging
import random
import re
import zipfile
from dataclasses import replace

import nbformat
from damage_cells import everywhere
from damage_notebooks import Sheet


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


_NAMES = ("Untitled3.ipynb", "homework final (2).ipynb", "Kopie von Aufgabe-1.IPYNB")


def renamed(sheet: Sheet, rng: random.Random) -> Sheet:
    """Under another name, another chapter's among them, in the student's folder."""
    name = rng.choice([*_NAMES, *sheet.chapters])
    return replace(sheet, data=sheet.bytes(), path=f"jdoe/{name}", student="jdoe")


def _zip(files: dict[str, bytes]) -> bytes:
    """An archive of ``files`` and of what macOS adds."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
            archive.writestr(f"__MACOSX/._{name}", b"\0\0")
    return buffer.getvalue()


def zipped_by_the_student(sheet: Sheet, rng: random.Random) -> Sheet:
    """One's own archive, in one's folder; named as a notebook now and then."""
    ending = rng.choice(["zip", "ipynb"])
    data = _zip({f"work/{rng.choice(_NAMES)}": sheet.bytes(), "work/data.csv": b"1,2"})
    return replace(sheet, data=data, path=f"jdoe/work.{ending}", student="jdoe")


def zipped_by_moodle(sheet: Sheet, rng: random.Random) -> Sheet:
    """All submissions of a class, with folders or without."""
    edge = rng.choice(["/", ""])
    name = f"Zoë O'Neil_4711_assignsubmission_file_{edge}{rng.choice(_NAMES)}"
    data = _zip({name: sheet.bytes()})
    return replace(sheet, data=data, path="CS1-Exercise 3-99.zip", student="Zoë-O-Neil")


def zipped_by_canvas(sheet: Sheet, rng: random.Random) -> Sheet:
    """All submissions of a class: name, late or not, user, attachment, file."""
    user = rng.choice(["doejane_93", "doejane_LATE_93", "LATE_93", "93"])
    data = _zip({f"{user}_120934_{rng.choice(_NAMES)}": sheet.bytes()})
    return replace(sheet, data=data, path="submissions.zip", student="93")
