"""HTML pages of their own, without scripts or links outside: one for the class, one a student."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from flatlab.course.reports import charts, summary
from flatlab.course.reports.questions import Questions
from flatlab.course.reports.rows import STATES, Answer, Row
from flatlab.course.reports.sheets import points
from flatlab.course.reports.wording import of_exercise

_VERDICTS = {
    "full": ("Right.", "good"),
    "part": ("Partly right.", ""),
    "none": ("Not right yet.", ""),
    "unwritten": ("Not written yet.", ""),
    "by hand": ("To be graded by hand.", ""),
    "unscored": ("It has no score yet: a person will look at it.", "warn"),
}


@lru_cache(maxsize=1)
def _pages() -> Environment:
    """Every value is escaped: names, messages and paths are strangers' texts."""
    loader = FileSystemLoader(Path(__file__).parent / "pages")
    made = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    made.globals |= {"points": points, "states": STATES, "bar": charts.bar}
    return made


def feedback_path(row: Row) -> Path | None:
    """Where a submission's feedback lies, as nbgrader has it; None where nobody is named."""
    chapter = row.questions.chapter
    return Path("feedback", row.student, chapter, f"{chapter}.html") if row.student else None


def feedback(row: Row) -> str:
    """One student's page: nothing of other students, hidden tests, or the submission's own words."""
    waiting = sum(a.question.points for a in row.answers if a.state == "by hand")
    rebuilt = row.record.get("rebuilt", ())
    told = rebuilt if row.is_graded else [e for e in rebuilt if e["subject"] == "file"]
    notes = [note for note in (row.which_file, *(e["student"] for e in told)) if note]
    return (
        _pages()
        .get_template("feedback.html")
        .render(
            row=row,
            questions=row.questions,
            waiting=waiting,
            notes=list(dict.fromkeys(notes)),
            items=[_item(answer) for answer in row.answers],
        )
    )


def _item(answer: Answer) -> dict:
    verdict, tone = _VERDICTS[answer.state]
    if answer.by_person:
        verdict, tone = "Graded by hand.", ""
    if answer.needs_look and answer.score is not None:
        verdict = f"{verdict} A person will look at it, and may change the points."
        tone = "warn"
    wrong = answer.state in ("part", "none", "unscored")
    messages = of_exercise(answer.failed) if wrong else []
    reread = answer.question.section if answer.state in ("part", "none", "unwritten") else ""
    return {
        "answer": answer,
        "question": answer.question,
        "verdict": verdict,
        "tone": tone,
        "messages": messages,
        "reread": reread,
    }


def class_page(questions: Questions, rows: Sequence[Row]) -> str:
    """The instructor's page of one chapter."""
    spreads = summary.spreads(questions, rows)
    shown = [state for state in STATES if any(state in spread.counts for spread in spreads)]
    scored = [row.total for row in rows if row.total is not None]
    looks = summary.looks(rows)
    open_names = dict.fromkeys(name for row in rows if row.is_graded for name in row.by_hand)
    paths = [feedback_path(row) for row in rows]
    return (
        _pages()
        .get_template("class.html")
        .render(
            questions=questions,
            rows=rows,
            pages=[quote(path.as_posix()) if path else "" for path in paths],
            mean=f"{statistics.mean(scored):.1f}" if scored else "–",
            students_to_look_at=len({look.student for look in looks}),
            not_run=sum(not row.is_graded for row in rows),
            late=sum(bool(row.record.get("late")) for row in rows),
            waiting=", ".join(open_names),
            spreads=spreads,
            shown_states=shown,
            mistakes=summary.mistakes(questions, rows),
            looks=looks,
            repairs=summary.repairs(rows),
            seconds=summary.seconds(rows),
            patterns=charts.patterns(),
            legend=charts.legend(shown),
            histogram=charts.histogram(summary.totals(questions, rows)),
        )
    )
