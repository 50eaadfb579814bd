"""What a student reads in every chapter: objectives, times, prerequisites, headings, hints."""

from __future__ import annotations

import re
from dataclasses import dataclass

from flatlab.course.source import TEXT_KINDS, Cell, Percent, regions
from flatlab.student.chapter import EXERCISE, HEADING, HINT, SECTION, TIME

_MACHINE = re.compile(r"(?<![\w/.:])(?:/(?:home|Users|work|tmp|root|mnt)/|[A-Z]:\\)\S*")
_IMAGE = re.compile(r"!\[([^\]]*)\]\([^)]*\)")


_NOTHING = Cell("text", "", "", 0, 0)


@dataclass(frozen=True)
class Heading:
    """A heading of a chapter."""

    level: int
    text: str
    place: int  # index of the cell
    line: int  # in the source file


def problems(chapter: Percent) -> list[str]:
    """What is wrong with the chapter's text."""
    headings = list(_headings(chapter))
    found = _opening(chapter) + _closing(chapter)
    found += _levels(chapter.name, headings) + _sections(chapter, headings)
    found += _exercises(chapter) + _predictions(chapter, headings) + _lines(chapter)
    return found


def heading_problems(name: str, text: str) -> list[str]:
    """What is wrong with the headings of a page of Markdown: one title, and no level left out."""
    headings = [Heading(level, words, 0, line) for level, words, line in _headings_in(text)]
    return _levels(name, headings) if headings else [f"{name}: no title."]


def _headings(chapter: Percent):
    """The headings of all text cells."""
    for place, cell in enumerate(chapter.cells):
        if cell.kind in TEXT_KINDS:
            for level, words, line in _headings_in(cell.text):
                yield Heading(level, words, place, cell.line + line)


def _headings_in(text: str):
    """Level, words and line of each heading; code fences hold none."""
    fenced = False
    for number, line in enumerate(text.split("\n"), 1):
        if line.lstrip().startswith("```"):
            fenced = not fenced
        elif not fenced and (match := HEADING.match(line)):
            yield len(match[1]), match[2], number


def _opening(chapter: Percent) -> list[str]:
    """The first cells: title, objectives, time, prerequisites, slides."""
    text = []
    for cell in chapter.cells:
        if cell.kind != "text":
            break
        text.append(cell.text)
    opening = "\n\n".join(text)
    wanted = {
        "a title: its first line is '# Title'": re.match(r"# \S", opening),
        "'After this chapter you can' and a list": re.search(
            r"After this chapter you can[^\n]*\n+(?:[-*] .+\n?(?: +.+\n?)*){2,}", opening
        ),
        "its total time: 'Time: N min'": TIME.search(opening),
        "its prerequisites: 'Prerequisites'": re.search(r"(?i)\bprerequisites?\b", opening),
        "the slides it follows: 'Slides'": re.search(r"(?i)\bslides?\b", opening),
    }
    return [
        f"{chapter.name}: the text before the first code cell lacks {what}."
        for what, there in wanted.items()
        if not there
    ]


def _closing(chapter: Percent) -> list[str]:
    """Exercises, open question, summary with predictions revealed, further reading."""
    found = []
    count = len(chapter.of("exercise"))
    first = chapter.name.startswith("00")
    low, high = (1, 1) if first else (5, 8)
    if not low <= count <= high:
        wanted = "exactly 1" if first else f"{low} to {high}"
        found.append(f"{chapter.name}: {count} exercises; {wanted} wanted.")
    if not first and not chapter.of("open"):
        found.append(f"{chapter.name}: no open question.")
    if not any(re.search(r"(?im)^(?:#+ |\*\*)further reading", c.text) for c in chapter.of("text")):
        found.append(f"{chapter.name}: no 'Further reading', as a heading or in bold.")
    code = [cell for cell in chapter.cells if cell.kind not in TEXT_KINDS]
    if not any(re.search(r"\breveal\(", cell.text) for cell in code):
        found.append(f"{chapter.name}: no reveal(...): the summary sets predictions by outcomes.")
    return found


def _levels(name: str, headings: list[Heading]) -> list[str]:
    """One title, and no level left out on the way down."""
    found, level = [], 0
    for heading in headings:
        if heading.level > level + 1:
            found.append(
                f"{name}, line {heading.line}: heading {heading.text!r} has level "
                f"{heading.level} under level {level}; use {'#' * (level + 1)}."
            )
        if heading.level == 1 and level > 0:
            found.append(f"{name}, line {heading.line}: a second title {heading.text!r}.")
        level = heading.level
    return found


def _sections(chapter: Percent, headings: list[Heading]) -> list[str]:
    """Numbered sections carry minutes, which add up to the stated total and hold the exercises'."""
    found, total, number = [], 0, None
    tops = [h for h in headings if h.level == 2]
    for index, heading in enumerate(tops):
        if not re.match(r"\d", heading.text):
            continue
        where = f"{chapter.name}, line {heading.line}"
        if not (match := SECTION.match(heading.text)):
            found.append(f"{where}: write '## N · Title (≈ M min)', not {heading.text!r}.")
            continue
        if number is not None and int(match[1]) != number + 1:
            found.append(f"{where}: section {match[1]} follows section {number}.")
        number, minutes = int(match[1]), int(match[2])
        total += minutes
        end = tops[index + 1].line if index + 1 < len(tops) else float("inf")
        inside = [h for h in headings if heading.line < h.line < end]
        needed = sum(int(m[4]) for h in inside if (m := EXERCISE.match(h.text)))
        if needed > minutes:
            found.append(f"{where}: its exercises take {needed} min, the section {minutes} min.")
    if number is None:
        found.append(f"{chapter.name}: no numbered section '## 1 · Title (≈ M min)'.")
    stated = next((m for c in chapter.of("text") if (m := TIME.search(c.text))), None)
    if stated and int(stated[1]) != total:
        found.append(
            f"{chapter.name}: stated time {stated[1]} min; the sections add up to {total}."
        )
    return found


def _exercises(chapter: Percent) -> list[str]:
    """Each exercise: a numbered heading with difficulty, points, minutes; its name; a hint."""
    found = []
    points = {cell.name: cell.options.get("points") for cell in chapter.of("check")}
    places = [place for place, cell in enumerate(chapter.cells) if cell.kind == "exercise"]
    for number, place in enumerate(places, 1):
        cell, wrong = chapter.cells[place], []
        before = next(c for c in (*chapter.cells[:place][::-1], _NOTHING) if c.kind == "text")
        match = _exercise_heading(before)
        if not match:
            wrong.append(
                "the text before it needs a heading "
                f"'### Exercise {number} · Title   ●●○○ · P points · M min'."
            )
        else:
            if int(match[1]) != number:
                wrong.append(f"its heading says Exercise {match[1]}; it is number {number}.")
            if len(match[2]) != 4:
                wrong.append(f"difficulty {match[2]} has {len(match[2])} signs; four are wanted.")
            if float(match[3]) != points.get(cell.name):
                wrong.append(
                    f"its heading says {match[3]} points, its check {points.get(cell.name)}."
                )
        if not HINT.search(before.text):
            wrong.append("no folded hint (<details><summary>Hint</summary>...) in its text.")
        if f"`{cell.name}" not in before.text:
            wrong.append(f"its text does not name `{cell.name}(...)`.")
        found += [f"{chapter.name}, {cell.label}: {text}" for text in wrong]
    return found


def _exercise_heading(cell: Cell) -> re.Match | None:
    """The last exercise heading in a text cell."""
    headings = [m[2] for line in cell.text.split("\n") if (m := HEADING.match(line))]
    matches = [m for text in headings if (m := EXERCISE.match(text))]
    return matches[-1] if matches else None


def _predictions(chapter: Percent, headings: list[Heading]) -> list[str]:
    """A prediction before the first experiment of each section that has one."""
    found = []
    if not chapter.of("predict"):
        return [f"{chapter.name}: no predict cell."]
    starts = [heading.place for heading in headings if heading.level == 2]
    predicted, section = False, None
    for place, cell in enumerate(chapter.cells):
        here = sum(start <= place for start in starts)
        if cell.kind == "predict":
            predicted = True
        elif cell.kind == "experiment" and "reveal(" not in cell.text:
            if here != section and not predicted:
                found.append(
                    f"{chapter.name}, {cell.label}: no predict cell before this section's experiment."
                )
            section, predicted = here, False
    return found


def _lines(chapter: Percent) -> list[str]:
    """No path of somebody's machine, no picture without words, nothing left to do."""
    found = []
    for cell in chapter.of("text", "open"):
        for number, line in enumerate(cell.text.split("\n"), 1):
            where = f"{chapter.name}, line {cell.line + number}"
            if path := _MACHINE.search(line):
                found.append(f"{where}: an absolute path: {path[0]}")
            if left := re.search(r"\b(?:TODO|FIXME|XXX)\b.*", line):
                found.append(f"{where}: unfinished: {left[0]}")
            for image in _IMAGE.finditer(line):
                if len(image[1].strip()) < 15:
                    found.append(f"{where}: a picture with alt text {image[1]!r}; describe it.")
        if cell.kind == "text" and regions(cell.text, "SOLUTION").count:
            found.append(f"{chapter.name}, {cell.label}: a solution in a text cell.")
    return found
