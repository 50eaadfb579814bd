"""``merge``: records into nbgrader's gradebook, by one writer, one transaction a submission.

What a killed run left undone is done by the next; what is there already stays as it is, so that scores
and comments given by hand survive. The gradebook is any that nbgrader takes.
"""

from __future__ import annotations

import tempfile
from collections.abc import Container, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timezone
from pathlib import Path

from nbgrader.api import (
    Assignment,
    Comment,
    Grade,
    Gradebook,
    GradeCell,
    MissingEntry,
    Notebook,
    SolutionCell,
    SourceCell,
    Student,
    SubmittedAssignment,
    SubmittedNotebook,
)
from sqlalchemy.exc import SQLAlchemyError

from flatlab.course.batch.desk import Desk
from flatlab.course.grading.stamp import stamp
from flatlab.course.layout import Refused
from flatlab.course.reports.wording import of_exercise

COURSE = "flatlab"  # nbgrader_config.py's course_id
_KINDS = (
    (GradeCell, "grade_cells", ("max_score", "cell_type")),
    (SolutionCell, "solution_cells", ()),
)
_SOURCE = ("cell_type", "locked", "source", "checksum")


@dataclass
class Merged:
    """What was written."""

    new: int = 0
    changed: int = 0
    same: int = 0
    left: list[str] = field(default_factory=list)  # not merged, and why; a line each


def merge(
    records: Iterable[dict],
    address: str,
    desks: Mapping[str, Desk],
    anew: Container[tuple[str, str]] = (),
) -> Merged:
    """Write ``records`` into the gradebook at ``address``, an SQLAlchemy URL.

    A score that is None, and one that a person has to look at, waits for manual grading; scores
    and comments given by hand are not touched. ``desks``: chapter -> desk. A record of another
    chapter, and one that the database refuses, is named in the result.
    Raises ``Refused`` where the gradebook has submissions for other cells than the chapter's, and
    ``SQLAlchemyError`` where it cannot be opened.
    """
    merged = Merged()
    with opened(address) as book:
        for desk in desks.values():
            _write_chapter(book, desk)
        for record in records:
            who = f"{record['student']}, {record['path'] or record['chapter']}"
            if record["chapter"] not in desks:
                merged.left.append(f"{who}: it is of no chapter that is graded.")
                continue
            try:
                again = (record["student"], record["chapter"]) in anew
                what = _write_submission(book, record, again)
            except SQLAlchemyError as error:
                book.db.rollback()
                merged.left.append(f"{who}: the gradebook refuses it: {error}")
            else:
                setattr(merged, what, getattr(merged, what) + 1)
    return merged


@contextmanager
def opened(address: str) -> Iterator[Gradebook]:
    """The gradebook at ``address``, made where it is missing or where its making was cut short."""
    stamp(address)
    with Gradebook(address, COURSE) as book:
        yield book


def _write_chapter(book: Gradebook, desk: Desk) -> None:
    """The assignment with its cells, as nbgrader's generate_assignment made them for the kit."""
    with tempfile.TemporaryDirectory(prefix="flatlab-book-") as folder:
        path = Path(folder) / "gradebook.db"
        path.write_bytes(desk.kit.gradebook)
        with Gradebook(f"sqlite:///{path}", COURSE) as made:
            pattern = made.find_notebook(desk.chapter, desk.chapter)
            notebook = _notebook(book, desk.chapter)
            notebook.kernelspec = pattern.kernelspec
            if desk.due:  # nbgrader keeps UTC without a zone
                due = desk.due.astimezone(timezone.utc).replace(tzinfo=None)
                notebook.assignment.duedate = due
            for kind, where, fields in (*_KINDS, (SourceCell, "source_cells", _SOURCE)):
                _write_cells(book, notebook, pattern, kind, where, fields)
            book.db.commit()


def _notebook(book: Gradebook, chapter: str) -> Notebook:
    try:
        return book.find_notebook(chapter, chapter)
    except MissingEntry:
        pass
    try:
        assignment = book.find_assignment(chapter)
    except MissingEntry:
        assignment = Assignment(chapter, course_id=COURSE)
        book.db.add(assignment)
    notebook = Notebook(name=chapter, assignment=assignment)
    book.db.add(notebook)
    return notebook


def _write_cells(
    book: Gradebook, notebook: Notebook, pattern: Notebook, kind: type, where: str, fields: tuple
) -> None:
    """The notebook's cells of one kind, as in ``pattern``."""
    wanted = {cell.name: cell for cell in getattr(pattern, where)}
    there = {cell.name: cell for cell in getattr(notebook, where)}
    if there.keys() != wanted.keys() and notebook.submissions:
        book.db.rollback()
        names = sorted(there.keys() ^ wanted.keys())
        why = f"The gradebook has submissions for {notebook.name} with other cells ({names})"
        raise Refused([f"{why}: the chapter has changed since. Give another gradebook."])
    for name in there.keys() - wanted.keys():
        book.db.delete(there[name])
    for name, cell in wanted.items():
        values = {field_: getattr(cell, field_) for field_ in fields}
        if name not in there:
            book.db.add(kind(name=name, notebook=notebook, **values))
        for field_, value in values.items():
            if name in there and getattr(there[name], field_) != value:
                setattr(there[name], field_, value)


def _write_submission(book: Gradebook, record: dict, anew: bool) -> str:
    """One submission in one transaction: new, changed, or same."""
    chapter, student = record["chapter"], record["student"]
    look = any(entry["needs_look"] for entry in record["scores"].values())
    try:
        submission = book.find_submission(chapter, student)
    except MissingEntry:
        what, submission = "new", _new_submission(book, chapter, student)
    else:
        what = "same"
    (notebook,) = submission.notebooks
    for grade in notebook.grades:
        entry = record["scores"][grade.cell.name]
        if what != "new" and grade.auto_score == entry["score"] and not anew:
            continue
        grade.auto_score = entry["score"]
        waits = entry["score"] is None or entry["needs_look"] or grade.manual_score is not None
        grade.needs_manual_grade = waits
        what = "changed" if what == "same" else what
    for comment in notebook.comments:
        words = told_to_student(record, comment.cell.name)
        if comment.auto_comment != words:
            comment.auto_comment = words
            what = "changed" if what == "same" else what
    if what != "same" and look:
        notebook.flagged = True
    book.db.commit()
    return what


def _new_submission(book: Gradebook, chapter: str, student: str) -> SubmittedAssignment:
    """As nbgrader's ``add_submission``, without its commits in between."""
    person = book.db.get(Student, student) or Student(id=student)
    source = book.find_notebook(chapter, chapter)
    submission = SubmittedAssignment(assignment=source.assignment, student=person)
    book.db.add(submission)
    notebook = SubmittedNotebook(notebook=source, assignment=submission)
    book.db.add(notebook)
    for cell in source.grade_cells:
        book.db.add(Grade(cell_id=cell.id, notebook=notebook))
    for cell in source.solution_cells:
        book.db.add(Comment(cell_id=cell.id, notebook=notebook))
    book.db.flush()
    return submission


def by_hand(
    address: str, chapters: Iterable[str]
) -> dict[tuple[str, str], dict[str, float | None]]:
    """(student, chapter) -> grade id -> the points that a person gave, extra credit included.

    None: given for an earlier attempt, and not looked at since.
    """
    given: dict[tuple[str, str], dict[str, float | None]] = {}
    with opened(address) as book:
        for chapter in chapters:
            for notebook in book.notebook_submissions(chapter, chapter):
                points = {
                    grade.cell.name: None if _waits(grade) else float(grade.score)
                    for grade in notebook.grades
                    if grade.manual_score is not None
                    or (
                        grade.extra_credit
                        and not (grade.needs_manual_grade and grade.auto_score is None)
                    )
                }
                if points:
                    given[notebook.student.id, chapter] = points
    return given


def _waits(grade: Grade) -> bool:
    """formgrader takes the mark away when a person has graded; another attempt sets it again."""
    return grade.manual_score is not None and grade.needs_manual_grade


def told_to_student(record: Mapping, cell: str) -> str | None:
    """The comment on an answer's cell: what the feedback says of its failed checks.

    As nbgrader's own for an answer that is missing. It is a code block, because nbgrader shows
    comments as markdown and a message may hold text of the student's.
    """
    name = cell.removeprefix("open-")
    outcomes = {entry["name"]: entry["outcome"] for entry in record["rebuilt"]}
    if outcomes.get(name) == "blank":
        return "No response."
    failed = record["exercises"].get(cell, {}).get("failed", [])
    if not failed:
        return None
    words = "\n".join(of_exercise(failed)) or "Not written yet."
    fence = "`" * 3
    while fence in words:
        fence += "`"
    return f"{fence}text\n{words}\n{fence}"
