"""Late or not, by the timestamp.txt that nbgrader writes beside a submission."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from dateutil import parser, tz

from flatlab.course.handout import Course
from flatlab.course.layout import Refused
from flatlab.course.rebuild import Handed


def timed(item: Handed, submitted: Path, course: Course) -> Handed:
    """``item`` marked late where its timestamp.txt below the folder ``submitted`` says so."""
    due, parts, known = course.due(item.chapter), Path(item.path).parts, course.layout.chapters()
    depth = next((at for at, part in enumerate(parts) if at and part in known), 0)
    stamp = submitted.joinpath(*parts[: depth + 1], "timestamp.txt")  # below: the student's
    if due is None or item.platform != "nbgrader" or not stamp.is_file():
        return item
    try:
        late = read_stamp(stamp.read_text(encoding="utf-8").strip()) > due
    except (ValueError, OverflowError) as error:
        raise Refused([f"{stamp} holds no date and time: {error}."]) from error
    return replace(item, late=late)


def read_stamp(text: str) -> datetime:
    """A date, a time and a zone as nbgrader writes them; UTC without a zone.

    Raises ``ValueError`` for what is no date, and for letters that are no zone's name: nbgrader
    writes CEST for Europe/Berlin, and others write CST for three zones.
    """
    *date, zone = text.split() if text.count(" ") > 1 else (text, "UTC")
    when = parser.parse(" ".join(date))
    if re.fullmatch(r"[+-]\d\d:?\d\d", zone):
        return parser.parse(f"{when.isoformat()}{zone}")
    if when.tzinfo is None and (known := tz.gettz(zone)) is None:
        raise ValueError(f"for {zone} write UTC, an offset such as +0200 or the zone's whole name")
    return when if when.tzinfo else when.replace(tzinfo=known)
