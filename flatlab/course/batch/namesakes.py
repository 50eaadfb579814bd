"""Moodle's participants of one name, told apart from run to run.

Moodle names what was handed in by full names, and adds the participant's number. So a student goes
by the name alone, and two who share it by name and number; whoever has the name alone on file
keeps it when the other comes later.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from flatlab.course.batch.journal import Journal
from flatlab.course.rebuild import Handed
from flatlab.course.rebuild.senders import folder_name


def recognized(handed: Iterable[Handed], journal: Journal) -> list[Handed]:
    """``handed``, each under the name that its participant has in ``journal``."""
    return [_recognized(item, journal) for item in handed]


def _recognized(item: Handed, journal: Journal) -> Handed:
    if item.platform != "moodle" or not item.chapter:
        return item
    alone = folder_name(item.name)
    both = f"{alone}-{item.number}"
    numbers = {
        name: record.get("number")
        for name in (alone, both)
        if (record := journal.read(name, item.chapter)) is not None
    }
    for name, number in numbers.items():
        if number == item.number:
            return replace(item, student=name)
    return replace(item, student=both) if alone in numbers else item
