"""What the class page shows: counts a question, mistakes and how often, who needs a look, time."""

from __future__ import annotations

import re
import statistics
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from flatlab.course.reports.questions import Question, Questions
from flatlab.course.reports.rows import STATES, Answer, Row
from flatlab.course.reports.sheets import points

_NUMBERS = re.compile(r"[\[(]?-?\d[\d.,e+\-…\s]*[\])]?(?<=[\d\])])")
_SILENT = {"unwritten", "skipped", "absent"}  # no mistake that could be told apart


@dataclass(frozen=True)
class Spread:
    """How one question came out."""

    question: Question
    counts: dict[str, int]  # state -> submissions; states without any are left out
    mean: float | None

    @property
    def text(self) -> str:
        """The counts in words."""
        return ", ".join(f"{count} {STATES[state]}" for state, count in self.counts.items())


@dataclass(frozen=True)
class Mistake:
    """What a check said of several answers."""

    question: Question
    message: str
    hidden: bool
    students: tuple[str, ...]


@dataclass(frozen=True)
class Look:
    """Why a person has to look at one thing."""

    student: str
    where: str
    reason: str
    detail: str
    nbgrader: str
    decided: str


def spreads(questions: Questions, rows: Sequence[Row]) -> list[Spread]:
    """One for each question."""
    graded = [row for row in rows if row.is_graded]
    found = []
    for place, question in enumerate(questions.all):
        answers = [row.answers[place] for row in graded]
        counted = Counter(answer.state for answer in answers)
        scores = [answer.score for answer in answers if answer.score is not None]
        counts = {state: counted[state] for state in STATES if counted[state]}
        found.append(Spread(question, counts, statistics.mean(scores) if scores else None))
    return found


def mistakes(rows: Sequence[Row]) -> list[Mistake]:
    """What the checks said, most frequent first in each question.

    Of an answer its first failed check counts. Messages that differ in numbers alone are one: the
    inputs are drawn anew for each run.
    """
    first: dict[tuple, str] = {}
    students: dict[tuple, list[str]] = defaultdict(list)
    places: dict[tuple, tuple[int, Answer]] = {}
    for row in rows:
        for place, answer in enumerate(row.answers):
            failed = [f for f in answer.failed if f["kind"] not in _SILENT]
            if not failed:
                continue
            said = _said(failed[0])
            key = (answer.question.name, _NUMBERS.sub("#", said))
            first.setdefault(key, said)
            students[key].append(row.shown_name)
            places.setdefault(key, (place, answer))
    found = []
    for key, names in students.items():
        place, answer = places[key]
        hidden = next(f for f in answer.failed if f["kind"] not in _SILENT)["hidden"]
        found.append(
            (place, -len(names), Mistake(answer.question, first[key], hidden, tuple(names)))
        )
    return [mistake for *_, mistake in sorted(found, key=lambda item: (*item[:2], item[2].message))]


def _said(failed: dict) -> str:
    """A failed check's message without its first line, which names check and aim."""
    lines = failed["message"].split("\n")
    return " ".join(line.strip() for line in lines[1:]) or lines[0]


def looks(rows: Sequence[Row]) -> list[Look]:
    """Flags, cases that rebuilding or running named, scores that are missing: by student."""
    found = []
    for row in rows:
        name, answers = row.shown_name, {a.question.name: a for a in row.answers}
        told = set()
        for flag in row.record.get("flags", ()):
            answer = answers.get(flag["exercise"])
            told.add(flag["exercise"])
            where = flag["exercise"] or "its code"
            found.append(_look(name, where, flag["reason"], flag.get("detail", ""), answer))
        for case in row.record.get("manual", ()):
            exercise = case["where"].removeprefix("exercise ")
            told.add(exercise)
            answer = answers.get(exercise)
            found.append(_look(name, exercise, case["reason"], case["text"], answer))
        for answer in row.answers if row.is_graded else ():
            unscored = answer.needs_look or answer.state == "unscored"
            if unscored and answer.question.name not in told:
                found.append(_look(name, answer.question.name, "no settled score", "", answer))
    return found


def _look(name: str, where: str, reason: str, detail: str, answer: Answer | None) -> Look:
    nbgrader = points(answer.nbgrader) if answer else ""
    decided = points(answer.decided) if answer else ""
    return Look(name, where, reason, detail, nbgrader, decided)


def repairs(rows: Sequence[Row]) -> list[tuple[str, list[str]]]:
    """What was rebuilt, for the instructor: student -> lines; notebooks without damage left out."""
    found = []
    for row in rows:
        lines = [
            f"{entry['name']}: {entry['instructor']}"
            for entry in row.record.get("rebuilt", ())
            if entry["outcome"] not in ("intact", "blank", "kept")
        ]
        if lines:
            found.append((row.shown_name, lines))
    return found


def totals(questions: Questions, rows: Sequence[Row]) -> list[tuple[str, int]]:
    """Up to ten bins of totals from 0 to the most points: (from–to, submissions)."""
    values = [row.total for row in rows if row.total is not None]
    most = questions.points or 1.0
    bins = max(1, min(10, int(most)))
    counts = Counter(min(int(value / most * bins), bins - 1) for value in values)
    edges = [most * i / bins for i in range(bins + 1)]
    return [(f"{edges[i]:.3g}–{edges[i + 1]:.3g}", counts[i]) for i in range(bins)]


def seconds(rows: Sequence[Row]) -> dict[str, float]:
    """Of all submissions: their sum, median and most; in seconds of grading, queues left out."""
    spent = [float((row.record.get("seconds") or {}).get("total", 0.0)) for row in rows]
    if not spent:
        return {"sum": 0.0, "median": 0.0, "most": 0.0}
    return {"sum": sum(spent), "median": statistics.median(spent), "most": max(spent)}
