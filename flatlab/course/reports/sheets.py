"""Tables: one row a student with a column for each question, and what learning platforms import."""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Mapping, Sequence

from flatlab.course.reports.questions import Questions
from flatlab.course.reports.rows import Row

PLATFORMS = ("moodle", "canvas")
_FORMULA = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")  # full-width ones too


def per_question(questions: Questions, rows: Sequence[Row]) -> str:
    """CSV, all quoted: who it is, each question's points, total, what waits for a person.

    An empty cell is no score yet, which is not 0.
    """
    names = [question.name for question in questions.all]
    head = ["student", "name", "platform", "late", "status", *names]
    table = [[*head, "total", "max", "needs_look", "by_hand", "path"]]
    for row in rows:
        record = row.record
        who = [row.student, record.get("name", ""), record.get("platform", "")]
        table.append(
            [
                *map(text, who),
                "yes" if record.get("late") else "no",
                record["status"],
                *(points(answer.score) for answer in row.answers),
                points(row.total),
                points(questions.points),
                text("; ".join(row.to_look_at)),
                text("; ".join(row.by_hand)),
                text(record.get("path", "")),
            ]
        )
    return _written(table)


def for_platform(platform: str, questions: Questions, rows: Sequence[Row]) -> str:
    """A CSV that ``platform`` imports as it is.

    Left out are submissions from elsewhere and those with an exercise that has no settled score:
    Canvas takes an empty grade for the wish to delete one.
    """
    known = [r for r in rows if r.record.get("platform") == platform and _identity(platform, r)]
    make = {"moodle": _moodle, "canvas": _canvas}[platform]
    return _written(make(questions, [row for row in known if row.is_settled]))


def moodle_feedback(chapter: str, pages: Sequence[tuple[Row, str]]) -> bytes:
    """A zip of feedback pages as Moodle takes it (mod/assign/feedback/file/importziplib.php)."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as made:
        for row, page in pages:
            if number := row.record.get("platform") == "moodle" and _identity("moodle", row):
                name = f"participant_{number}_assignsubmission_file/{chapter}-feedback.html"
                entry = zipfile.ZipInfo(name)  # dated 1980: the same pages give the same bytes
                entry.compress_type = zipfile.ZIP_DEFLATED
                made.writestr(entry, page.encode("utf-8", "replace"))
    return buffer.getvalue()


def unplaced(records: Sequence[Mapping]) -> str:
    """What belongs to no known chapter: where it lies, and why."""
    table = [["path", "student", "name", "why"]]
    for record in records:
        why = " ".join(case["text"] for case in record.get("manual", ()))
        values = (record.get("path", ""), record.get("student", ""), record.get("name", ""), why)
        table.append([text(value or "") for value in values])
    return _written(table)


def _identity(platform: str, row: Row) -> str:
    """What the platform calls the student: Moodle's participant, Canvas's user number."""
    number = row.record.get("number", "") if platform == "moodle" else row.student
    return number if str(number).isdigit() else ""


def _moodle(questions: Questions, rows: Sequence[Row]) -> list[list[str]]:
    """The columns of an assignment's grading worksheet (mod/assign/feedback/offline)."""
    columns = ["Identifier", "Full name", "Grade", "Maximum Grade", "Last modified (grade)"]
    most = points(questions.points)
    return [columns] + [
        [
            f"Participant {_identity('moodle', row)}",
            text(row.record.get("name", "")),
            points(row.total),
            most,
            "",
        ]
        for row in rows
    ]


def _canvas(questions: Questions, rows: Sequence[Row]) -> list[list[str]]:
    """The columns of Canvas's gradebook (lib/gradebook_importer.rb), the chapter the assignment."""
    columns = ["Student", "ID", "SIS User ID", "SIS Login ID", "Section", questions.chapter]
    most = ["Points Possible", "", "", "", "", points(questions.points)]
    return [columns, most] + [
        [text(row.record.get("name", "")), _identity("canvas", row), "", "", "", points(row.total)]
        for row in rows
    ]


def points(value: float | None) -> str:
    """A score as written in tables; empty for None."""
    return "" if value is None else f"{value:.10g}"


def text(value: str) -> str:
    """``value`` in one line, and never a formula where a spreadsheet opens it."""
    line = " ".join("".join(c if c.isprintable() else " " for c in str(value)).split())
    return f"'{line}" if line.startswith(_FORMULA) else line


def _written(table: list[list[str]]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, quoting=csv.QUOTE_ALL, lineterminator="\r\n").writerows(table)
    return buffer.getvalue()
