"""The line that gives a student's notebook its own sample of the images, taken out again.

It is no damage: without it the setup cell is the release's.
"""

from __future__ import annotations

import re
from dataclasses import replace

from flatlab.course.rebuild.reading import Read

LINE = "flatlab.use_variant({})  # your own sample of the data"
_MADE = re.compile(r"(?:\n\n|\n|\A)flatlab\.use_variant\b\(?(\d{1,10})?[^\n]*")


def without_line(found: Read) -> tuple[Read, int]:
    """What was read of a submission less the line, and the line's number; 0 where there is none."""
    numbers, cells = [], []
    for cell in found.cells:
        text = cell.text
        if cell.kind == "code" and "use_variant" in text:
            numbers += [int(match[1] or 0) for match in _MADE.finditer(text)]
            text = _MADE.sub("", text)
        cells.append(replace(cell, text=text))
    return replace(found, cells=tuple(cells)), next(filter(None, numbers), 0)
