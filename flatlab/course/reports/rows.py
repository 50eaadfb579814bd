"""One submission as the reports see it: its record beside its chapter's questions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from flatlab.course.reports.questions import Question, Questions

# How an answer came out, in the order of charts and tables -> what it is called
STATES = {
    "full": "full points",
    "part": "some points",
    "none": "no points",
    "unwritten": "not written",
    "by hand": "for a person to grade",
    "unscored": "no score",
}


@dataclass(frozen=True)
class Answer:
    """What one question of one submission earned."""

    question: Question
    score: float | None
    nbgrader: float | None
    decided: float | None
    needs_look: bool
    by_person: bool  # a person gave the score
    waits: bool  # a person gave points for an earlier attempt
    failed: tuple[Mapping, ...]  # the verdict's failed checks

    @property
    def state(self) -> str:
        """One of ``STATES``."""
        if self.score is None:
            return "by hand" if self.question.by_hand else "unscored"
        if self.score > 0:
            return "full" if self.score >= self.question.points else "part"
        if self.by_person:
            return "none"
        unwritten = any(failed["kind"] == "unwritten" for failed in self.failed)
        return "unwritten" if unwritten or self.question.by_hand else "none"


@dataclass(frozen=True)
class Row:
    """One submission."""

    record: Mapping
    questions: Questions
    answers: tuple[Answer, ...]

    @property
    def student(self) -> str:
        """The student's folder name; empty where the path did not say whose it is."""
        return self.record.get("student") or ""

    @property
    def shown_name(self) -> str:
        """What a person knows the student by; for the instructor's side only."""
        name = self.record.get("name") or self.student
        return name or f"unknown: {self.record.get('path', '')}"

    @property
    def which_file(self) -> str:
        """A sentence on which of several files counts; empty where there was one."""
        earlier = self.record.get("earlier") or ()
        name = PurePosixPath(self.record.get("path", "")).name
        return f"Of {len(earlier) + 1} files this one counts: {name}." if earlier else ""

    @property
    def is_graded(self) -> bool:
        """False where nothing could be run or graded by hand: then it has no points, and not 0."""
        return self.record["status"] == "graded" or self.is_by_person

    @property
    def is_by_person(self) -> bool:
        """Has a person given points for every question?"""
        return bool(self.answers) and all(answer.by_person for answer in self.answers)

    @property
    def total(self) -> float | None:
        """The points so far; None where nothing could be run."""
        return sum(a.score or 0.0 for a in self.answers) if self.is_graded else None

    @property
    def is_settled(self) -> bool:
        """Has every exercise a score that no person has to look at?"""
        return self.is_graded and not any(
            answer.needs_look or answer.state == "unscored" for answer in self.answers
        )

    @property
    def to_look_at(self) -> tuple[str, ...]:
        """The names of the exercises that a person has to look at."""
        settled = {a.question.name for a in self.answers if a.by_person}
        named = {a.question.name for a in self.answers if a.needs_look or a.state == "unscored"}
        named |= {flag["exercise"] or "code" for flag in self.record.get("flags", ())} - settled
        order = [a.question.name for a in self.answers]
        return tuple(sorted(named, key=lambda n: (order.index(n) if n in order else 99, n)))

    @property
    def by_hand(self) -> tuple[str, ...]:
        """The names of the open questions that wait for a person."""
        return tuple(a.question.name for a in self.answers if a.state == "by hand")


def row(
    record: Mapping, questions: Questions, given: Mapping[str, float | None] | None = None
) -> Row:
    """The row of ``record``; ``given``: grade id -> points by a person, None for another attempt's."""
    given = given or {}
    scores, exercises = record.get("scores") or {}, record.get("exercises") or {}
    answers = []
    for question in questions.all:
        found = scores.get(question.grade_id) or {}
        by_person = given.get(question.grade_id) is not None
        waits = question.grade_id in given and not by_person
        score = given[question.grade_id] if by_person else found.get("score")
        look = bool(found.get("needs_look")) and not (by_person or question.by_hand)
        numbers = found.get("nbgrader"), found.get("decided")
        failed = (exercises.get(question.name) or {}).get("failed") or ()
        person = by_person, waits
        answers.append(Answer(question, score, *numbers, look or waits, *person, tuple(failed)))
    return Row(record, questions, tuple(answers))
