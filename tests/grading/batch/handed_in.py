"""A class for the tiny chapter: honest students, an empty file, one that hangs, one of no chapter."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from harness import submissions
from nbgrader.api import Gradebook
from tiny_chapter import NAME

from flatlab.course.batch.desk import releases
from flatlab.course.layout import Layout
from flatlab.course.rebuild import Handed, collect

HONEST = ("solution", "untouched", "wrong-1", "right-1")


@dataclass(frozen=True)
class Class:
    """The folder that was handed in, and what is in it."""

    folder: Path
    items: list[Handed]

    def of(self, *students: str) -> list[Handed]:
        """These students' notebooks."""
        return [item for item in self.items if item.student in students]


def hand_in(layout: Layout, folder: Path) -> Class:
    """Write the class's notebooks below ``folder``, as nbgrader lays them out."""
    texts = submissions(layout, NAME)
    given = {student: texts[student] for student in HONEST}
    given["empty"] = ""
    for student, text in given.items():
        path = folder / student / NAME / f"{NAME}.ipynb"
        path.parent.mkdir(parents=True)
        path.write_text(text, encoding="utf-8")
    return Class(folder, collect(folder, releases(layout, [NAME])))


def rows(address: str) -> list[tuple]:
    """A gradebook's grades, comments and submissions, without the numbers drawn for rows."""
    found = []
    with Gradebook(address) as book:
        for assignment in book.assignments:
            found.append(("assignment", assignment.name, assignment.max_score))
            for submission in assignment.submissions:
                who = (assignment.name, submission.student.id)
                (notebook,) = submission.notebooks
                found.append(("submission", *who, submission.score, notebook.flagged))
                found += [
                    ("grade", *who, g.name, g.auto_score, g.manual_score, g.needs_manual_grade)
                    for g in notebook.grades
                ]
                found += [("comment", *who, c.name, c.comment) for c in notebook.comments]
    return sorted(found, key=repr)


def comparable(record: dict) -> dict:
    """A record without what differs from run to run: times, and what names places in memory."""
    left_out = ("seconds", "notebook", "cells", "digest")
    return {name: value for name, value in record.items() if name not in left_out}
