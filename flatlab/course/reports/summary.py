"""What the class page shows: counts a question, mistakes and how often, who needs a look, time."""

from __future__ import annotations

import math
import re
import statistics
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from flatlab.course.reports.questions import Question, Questions
from flatlab.course.reports.rows import STATES, Answer, Row
from flatlab.course.reports.sheets import points

_NUMBERS = re.compile(r"-?\d+(?:\.\d+)?(?:e[+-]?\d+)?|-?\b(?:inf|nan)\b")
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


def mistakes(questions: Questions, rows: Sequence[Row]) -> list[tuple[Question, list[Mistake]]]:
    """What the checks said of each question, most frequent first; questions without any left out.

    Of an answer its first failed check counts. Messages that differ in numbers alone are one: the
    inputs are drawn anew for each run.
    """
    found = []
    for place, question in enumerate(questions.all):
        said: dict[str, tuple[str, bool]] = {}
        students: dict[str, list[str]] = defaultdict(list)
        for row in rows:
            failed = [f for f in row.answers[place].failed if f["kind"] not in _SILENT]
            if failed:
                message = _said(failed[0])
                key = _NUMBERS.sub("#", message)
                said.setdefault(key, (message, failed[0]["hidden"]))
                students[key].append(row.shown_name)
        made = [Mistake(*said[key], tuple(names)) for key, names in students.items()]
        made.sort(key=lambda mistake: (-len(mistake.students), mistake.message))
        found += [(question, made)] if made else []
    return found


def _said(failed: dict) -> str:
    """A failed check's message without its first line, which names check and aim."""
    lines = failed["message"].split("\n")
    return " ".join(line.strip() for line in lines[1:]) or lines[0]


def looks(rows: Sequence[Row]) -> list[Look]:
    """Flags, cases that rebuilding or running named, scores that are missing: by student.

    What a person has given points for since is settled.
    """
    found = []
    for row in rows:
        if row.is_by_person:
            continue
        name, answers = row.shown_name, {a.question.name: a for a in row.answers}
        told = set()
        for flag in row.record.get("flags", ()):
            answer = answers.get(flag["exercise"])
            told.add(flag["exercise"])
            if answer and answer.by_person:
                continue
            where = flag["exercise"] or "its code"
            found.append(_look(name, where, flag["reason"], flag.get("detail", ""), answer))
        for case in row.record.get("manual", ()):
            exercise = case["where"].removeprefix("exercise ").removeprefix("open ")
            told.add(exercise)
            answer = answers.get(exercise)
            if answer and answer.by_person:
                continue
            found.append(_look(name, exercise, case["reason"], case["text"], answer))
        for answer in row.answers if row.is_graded else ():
            unscored = answer.needs_look or answer.state == "unscored"
            if unscored and answer.question.name not in told:
                why = "points of an earlier attempt" if answer.waits else "no settled score"
                found.append(_look(name, answer.question.name, why, "", answer))
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
    """At most ten bins of whole points from 0 to the most: (from–to, submissions)."""
    values = [int(row.total) for row in rows if row.total is not None]
    wide = math.ceil((math.floor(questions.points) + 1) / 10)
    counts = Counter(value // wide for value in values)
    starts = range(0, math.floor(questions.points) + 1, wide)
    ends = [min(start + wide - 1, math.floor(questions.points)) for start in starts]
    names = [f"{s}–{e}" if e > s else f"{s}" for s, e in zip(starts, ends, strict=True)]
    return [(name, counts[place]) for place, name in enumerate(names)]


def seconds(rows: Sequence[Row]) -> dict[str, float]:
    """Of all submissions: their sum, median and most; in seconds of grading, queues left out."""
    spent = [float((row.record.get("seconds") or {}).get("total", 0.0)) for row in rows]
    if not spent:
        return {"sum": 0.0, "median": 0.0, "most": 0.0}
    return {"sum": sum(spent), "median": statistics.median(spent), "most": max(spent)}
