"""``course.toml``: what of the course is handed out this term. All of it is optional.

    [chapters.01]                             # a chapter's number or name; one without a table stays out
    exercises = ["hvp", "power_iteration"]    # graded; the others are given, with their solution
    questions = []                            # open questions; the others are left out
    points.hvp = 6                            # of an exercise or open question, in place of its own
    due = 2026-11-06T18:00:00+01:00

A table's missing keys mean: all exercises, all questions, their own points, no date. Without any
table all chapters are handed out. ``[variants]`` is told in ``variants``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from flatlab.course.layout import Layout, Refused, tomllib
from flatlab.course.source import read_chapter
from flatlab.course.variants import Variants, numbered, read_variants

FILE = "course.toml"
KEYS = ("exercises", "questions", "points", "due")
_TABLE = re.compile(r"\s*\[\s*([^\[\]]+?)\s*\]")
_KEY = re.compile(r"\s*([\w\"'-][\w\"'. -]*?)\s*=")


@dataclass(frozen=True)
class Choice:
    """What is handed out of one chapter."""

    chapter: str
    exercises: tuple[str, ...]  # graded, in the chapter's order
    questions: tuple[str, ...]
    points: Mapping[str, float] = field(
        default_factory=dict
    )  # only where they are not the source's
    due: datetime | None = None  # with its zone


@dataclass(frozen=True)
class Term:
    """What a course.toml says."""

    choices: Mapping[str, Choice]  # by chapter, in the course's order
    variants: Variants | None = None  # None: all students get the same notebooks


def read(path: Path, layout: Layout, students: tuple[str, ...] = ()) -> Term:
    """What the file at ``path`` says.

    ``students``: of the variants, in place of those on its list. Raises ``Refused`` with a line for
    each thing that is wrong: where, and what is allowed.
    """
    try:
        text = path.read_text(encoding="utf-8")
        table = tomllib.loads(text)
    except OSError as error:
        raise Refused([f"{path} cannot be read: {error.strerror}."]) from error
    except ValueError as error:  # also of text that is no UTF-8
        raise Refused([f"{path.name} is no TOML: {error}."]) from error
    return _Reader(path, text, layout).read(table, students)


class _Reader:
    """Collects what is wrong, so that an instructor sees all of it at once."""

    def __init__(self, path: Path, text: str, layout: Layout) -> None:
        self.path, self.text, self.layout = path, text, layout
        self.problems: list[str] = []

    def read(self, table: dict, students: tuple[str, ...]) -> Term:
        for key in table:
            if key not in ("chapters", "variants"):
                text = "unknown; at the top only [chapters.NN] and [variants] are allowed."
                self.wrong((key,), text)
        tables = table.get("chapters", {})
        if not isinstance(tables, dict):
            self.wrong(("chapters",), "write a table for each chapter: [chapters.01].")
            tables = {}
        found: dict[str, Choice] = {}
        for name, entry in tables.items():
            chapter = self.chapter(name, entry)
            if chapter in found:
                self.wrong(("chapters", name), f"a second table for {chapter}.")
            elif chapter:
                found[chapter] = self.choice(name, chapter, entry)
        variants = None
        if "variants" in table:
            variants = read_variants(table["variants"], self.path.parent, self.wrong)
        if self.problems:
            raise Refused(self.problems)
        if variants and students:
            variants = numbered(students, table["variants"]["secret"])
        everything = found or {name: self.choice(name, name, {}) for name in self.layout.chapters()}
        return Term(dict(sorted(everything.items())), variants)

    def chapter(self, name: str, entry: object) -> str:
        """The full name of a table's chapter; empty where there is none."""
        if not isinstance(entry, dict):
            self.wrong(("chapters", name), f"write a table: [chapters.{name}].")
            return ""
        try:
            (chapter,) = self.layout.select([name])
        except Refused as refused:
            self.wrong(("chapters", name), refused.problems[0])
            return ""
        return chapter

    def choice(self, table: str, chapter: str, entry: dict) -> Choice:
        where = ("chapters", table)
        for key in entry:
            if key not in KEYS:
                self.wrong((*where, key), f"unknown; allowed: {', '.join(KEYS)}.")
        source = read_chapter(self.layout.source(chapter))
        exercises = self.names(where, "exercises", entry, [c.name for c in source.of("exercise")])
        questions = self.names(where, "questions", entry, [c.name for c in source.of("open")])
        if not exercises:
            text = f"at least one has to be graded, of {[c.name for c in source.of('exercise')]}."
            self.wrong((*where, "exercises"), text)
        points = self.points(where, entry, (*exercises, *questions))
        return Choice(chapter, exercises, questions, points, self.due(where, entry))

    def names(self, where: tuple, key: str, entry: dict, known: list[str]) -> tuple[str, ...]:
        """The chosen ones of ``known``, in their order; all where the key is missing."""
        given = entry.get(key, known)
        if not isinstance(given, list) or not all(isinstance(name, str) for name in given):
            self.wrong((*where, key), f"{given!r} is no list of names; allowed: {known}.")
            return tuple(known)
        for name in given:
            if name not in known:
                self.wrong((*where, key), f"there is no {name!r}; allowed: {known}.")
            elif given.count(name) > 1:
                self.wrong((*where, key), f"{name!r} is there {given.count(name)} times.")
        return tuple(name for name in known if name in given)

    def points(self, where: tuple, entry: dict, graded: tuple[str, ...]) -> dict[str, float]:
        given = entry.get("points", {})
        if not isinstance(given, dict):
            self.wrong((*where, "points"), f"{given!r} is no table: write points.NAME = 4.")
            return {}
        found = {}
        for name, value in given.items():
            number = isinstance(value, int | float) and not isinstance(value, bool)
            if name not in graded:
                text = f"nothing graded is called {name!r}; allowed: {list(graded)}."
                self.wrong((*where, "points", name), text)
            elif not number or not (0 < value < math.inf):
                self.wrong((*where, "points", name), f"{value!r} is no number above 0.")
            else:
                found[name] = value
        return found

    def due(self, where: tuple, entry: dict) -> datetime | None:
        given = entry.get("due")
        if given is None or (isinstance(given, datetime) and given.tzinfo is not None):
            return given
        text = f"{given} is no date with time and zone: write 2026-11-06T18:00:00+01:00."
        self.wrong((*where, "due"), text)
        return None

    def wrong(self, path: tuple[str, ...], text: str) -> None:
        line = f"{self.path.name}, line {_line(self.text, path)}, {'.'.join(path)}: {text}"
        if line not in self.problems:
            self.problems.append(line)


def _line(text: str, path: tuple[str, ...]) -> int:
    """The first line of a TOML text that sets ``path``, or else what it is in; 1 where none does."""
    table: tuple[str, ...] = ()
    for number, line in enumerate(text.splitlines(), 1):
        if match := _TABLE.match(line):
            table = here = _parts(match[1])
        elif match := _KEY.match(line):
            here = (*table, *_parts(match[1]))
        else:
            continue
        if here[: len(path)] == path:
            return number
    return _line(text, path[:-1]) if path else 1


def _parts(dotted: str) -> tuple[str, ...]:
    return tuple(part.strip(" \"'") for part in dotted.split("."))
