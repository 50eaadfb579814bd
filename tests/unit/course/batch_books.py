"""A made-up chapter's desk and records for it, and a gradebook's rows as plain data."""

from __future__ import annotations

import copy
from pathlib import Path

from nbgrader.api import Gradebook

from flatlab.course.batch import Desk
from flatlab.course.batch.merge import opened
from flatlab.course.grading import Kit

CHAPTER = "00-x"
POINTS = {"check-f": 2.0, "check-g": 3.0, "open-why": 4.0}


def desk(folder: Path) -> Desk:
    """A desk whose gradebook nbgrader's own calls have made, as generate_assignment makes it."""
    path = folder / "kit.db"
    with opened(f"sqlite:///{path}") as book:
        book.add_assignment(CHAPTER)
        book.add_notebook(CHAPTER, CHAPTER, kernelspec='{"name": "python3"}')
        for name, points in POINTS.items():
            kind = "markdown" if name == "open-why" else "code"
            book.add_grade_cell(name, CHAPTER, CHAPTER, max_score=points, cell_type=kind)
        for name in ("f", "g", "open-why"):
            book.add_solution_cell(name, CHAPTER, CHAPTER)
        for name in ("f", "g", *POINTS):
            values = {
                "cell_type": "code",
                "locked": name.startswith("check"),
                "source": f"# {name}",
            }
            book.add_source_cell(name, CHAPTER, CHAPTER, checksum=f"sum of {name}", **values)
    tests = {"check-f": "", "check-g": ""}
    kit = Kit(CHAPTER, path.read_bytes(), POINTS, ("open-why",), tests, "/")
    return Desk(CHAPTER, kit, "release", "source")


def failed(aim: str, hidden: bool, words: str) -> dict:
    """A failed check as ``decide`` has it."""
    label = "hidden check: " if hidden else ""
    message = f"✗ f ({label}{aim})\n  {words}"
    return {"check": "f", "aim": aim, "hidden": hidden, "kind": "verdict", "message": message}


def record(student: str, f=2.0, g=3.0, why=None, look=(), checks=(), blank=()) -> dict:
    """A record with these scores; ``checks``: what failed of f; ``look``: ids to look at."""
    given = {"check-f": f, "check-g": g, "open-why": why}
    return copy.deepcopy(
        {
            "student": student,
            "path": f"{student}/{CHAPTER}/{CHAPTER}.ipynb",
            "chapter": CHAPTER,
            "scores": {
                name: {"score": given[name], "max": most, "needs_look": name in look}
                for name, most in POINTS.items()
            },
            "exercises": {"f": {"failed": list(checks)}, "g": {"failed": []}},
            "rebuilt": [{"name": name, "outcome": "blank"} for name in blank],
        }
    )


def rows(address: str) -> dict[str, list[tuple]]:
    """All that a gradebook holds, table by table, without the numbers drawn for its rows."""
    with Gradebook(address) as book:
        assignments = [(a.name, a.course_id, a.max_score, a.duedate) for a in book.assignments]
        cells, grades, comments, submissions = [], [], [], []
        for assignment in book.assignments:
            for notebook in assignment.notebooks:
                cells += [("grade", c.name, c.max_score, c.cell_type) for c in notebook.grade_cells]
                cells += [("solution", c.name) for c in notebook.solution_cells]
                cells += [
                    ("source", c.name, c.cell_type, c.locked, c.source, c.checksum)
                    for c in notebook.source_cells
                ]
            for submission in assignment.submissions:
                who = (assignment.name, submission.student.id)
                submissions.append((*who, submission.score, submission.needs_manual_grade))
                for notebook in submission.notebooks:
                    submissions.append((*who, notebook.name, notebook.flagged))
                    grades += [
                        (*who, g.name, g.auto_score, g.manual_score, g.needs_manual_grade, g.score)
                        for g in notebook.grades
                    ]
                    comments += [
                        (*who, c.name, c.auto_comment, c.manual_comment) for c in notebook.comments
                    ]
        found = {"assignments": assignments, "cells": cells, "submissions": submissions}
        found |= {"grades": grades, "comments": comments}
        found["students"] = [(s.id,) for s in book.students]
        return {name: sorted(values, key=repr) for name, values in found.items()}
