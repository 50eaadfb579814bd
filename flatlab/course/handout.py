"""What a ``Choice`` makes of a chapter, and the course that is handed out and graded by it.

A choice changes the chapter's source, as text: everything behind it (release, gradebook, hidden
tests, verdict) is then made from that source as from any other.
"""

from __future__ import annotations

import itertools
import re
import tempfile
from collections.abc import Container, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from flatlab.course import contract_code, contract_graded, contract_names
from flatlab.course.assemble import BADGES, assemble
from flatlab.course.build import write
from flatlab.course.choice import FILE, Choice, read
from flatlab.course.execute import dumps
from flatlab.course.layout import Layout, Refused
from flatlab.course.release import make_release
from flatlab.course.source import CODE_KINDS, TEXT_KINDS, Cell, Percent, parse, read_chapter
from flatlab.course.variants import Variants, with_line

GIVEN = "*Given: its code stands folded below. It is not graded.*"
_WORTH = re.compile(r"^(# ### .*?)\s+[●○]+ · [\d.]+ points? · \d+ min\s*$")
_LINK = re.compile(r"\[([^\]]+)\]\(\.\./([0-9]{2}-[\w-]+)/\2\.ipynb\)")


@dataclass(frozen=True)
class Course:
    """The chapters that are handed out, in folders of their own, and by which choice."""

    layout: Layout
    choices: Mapping[str, Choice] = field(default_factory=dict)  # empty: the course as it is
    file: str = ""
    variants: Variants | None = None  # None: all students get the same notebooks

    def due(self, chapter: str) -> datetime | None:
        """When ``chapter`` has to be handed in."""
        return self.choices[chapter].due if chapter in self.choices else None

    @property
    def text(self) -> str:
        """What was chosen, in a line, and which variants collided; empty where nothing was."""
        if not self.file:
            return ""
        graded = sum(len(c.exercises) + len(c.questions) for c in self.choices.values())
        count = f"{graded} graded question{'s' * (graded != 1)}"
        line = f"{self.file}: chapters {', '.join(self.choices)}; {count}"
        if not self.variants:
            return line
        count = len(self.variants.numbers)
        line += f"; the data in {count} variant{'s' * (count != 1)}, one a student"
        return "\n".join([line, *self.variants.told])

    def notebook(self, chapter: str, student: str = "") -> str:
        """The text of a chapter's release, as ``student`` gets it where there are variants.

        Raises ``Refused`` where it is not built, and for a student who has no variant.
        """
        path = self.layout.release(chapter)
        if not path.is_file():
            raise Refused([f"{chapter} is not built: run `flatlab build {chapter[:2]}` first."])
        text = path.read_text(encoding="utf-8")
        if not (self.variants and student):
            return text
        return with_line(text, self.variants.of(student))


@contextmanager
def handed_out(
    layout: Layout, path: Path | None = None, students: tuple[str, ...] = ()
) -> Iterator[Course]:
    """The course by the course.toml at ``path``, by default the checkout's own, if it has one.

    Without one it is ``layout``'s course as it is. With one, its chapters stand in a temporary
    folder meanwhile; ``students`` stand for those of its ``[variants]``. Raises ``Refused`` for a
    file that is wrong.
    """
    own = layout.root / FILE
    if path is None and not own.is_file():
        yield Course(layout)
        return
    term = read(path or own, layout, students)
    with tempfile.TemporaryDirectory(prefix="flatlab-course-") as folder:
        made = lay_out(layout, term.choices, Path(folder))
        yield Course(made, term.choices, str(path or FILE), term.variants)


def lay_out(layout: Layout, choices: Mapping[str, Choice], folder: Path) -> Layout:
    """Write sources, solved notebooks and releases of the chosen chapters below ``folder``.

    A chapter that is handed out as it is keeps its committed notebooks; one that was never built is
    left out, as everywhere. Raises ``Refused`` where a changed chapter breaks the contract.
    """
    made = Layout(folder, checkout=layout.root)
    for name in ("nbgrader_config.py", "pyproject.toml"):
        if (layout.root / name).is_file():
            write(folder / name, (layout.root / name).read_text(encoding="utf-8"))
    problems: list[str] = []
    for name, choice in choices.items():
        before = layout.source(name).read_text(encoding="utf-8")
        after = chosen(before, choice, choices)
        write(made.source(name), after)
        if after != before:
            problems += _make(made, name)
            continue
        for path, copy in (
            (layout.solution(name), made.solution(name)),
            (layout.release(name), made.release(name)),
        ):
            if path.is_file():
                write(copy, path.read_text(encoding="utf-8"))
    if problems:
        raise Refused(problems)
    return made


def _make(made: Layout, name: str) -> list[str]:
    """Solved notebook and release from the source; what is wrong with it, where it is refused."""
    chapter = read_chapter(made.source(name))
    problems = list(chapter.problems)
    for part in (contract_graded, contract_code, contract_names):
        problems += [] if problems else part.problems(chapter)
    if problems:
        return problems
    notebook = assemble(chapter, made.repository())
    write(made.solution(name), dumps(notebook))
    write(made.release(name), make_release(notebook, name, made.root / "nbgrader_config.py"))
    return []


def release(course: Course, folder: Path) -> list[Path]:
    """Write the students' notebooks as ``folder``/NN-name/NN-name.ipynb; the paths written.

    With variants they are ``folder``/STUDENT/NN-name/NN-name.ipynb, and the students' folders are
    returned. Raises ``Refused``, before anything is written, where a chapter is not built and for a
    folder in which the course keeps its own notebooks.
    """
    layout = course.layout
    own = layout.checkout or layout.root
    for kept in (own / "notebooks", own / "solutions", own / "tests"):
        if folder.resolve().is_relative_to(kept.resolve()):
            raise Refused([f"{folder} is in {kept}: give a folder that is not the course's own."])
    students = list(course.variants.numbers) if course.variants else [""]
    for name in layout.chapters():
        course.notebook(name, students[0])  # what is wrong is said before anything is written
    written = []
    for student in students:
        paths = [folder / student / name / f"{name}.ipynb" for name in layout.chapters()]
        for path in paths:
            write(path, course.notebook(path.stem, student))
        written += [folder / student] if student else paths
    return written


def chosen(text: str, choice: Choice, chapters: Container[str]) -> str:
    """A chapter's source with ``choice`` made; ``chapters``: all that are handed out.

    An exercise that is not chosen is given: its solution and its visible check stay, as cells that
    nothing grades, so that experiments and later exercises find the function.
    """
    chapter = parse(text, choice.chapter, {**CODE_KINDS, **TEXT_KINDS})
    if chapter.problems:
        raise Refused(list(chapter.problems))
    blocks = _blocks(text, chapter)
    for place, cell in enumerate(chapter.cells):
        graded = choice.questions if cell.kind == "open" else choice.exercises
        if cell.kind == "exercise" and cell.name not in graded:
            _give(blocks, chapter, place)
        elif cell.kind == "open" and cell.name not in graded:
            _leave_out(blocks, chapter, place)
        elif cell.kind in ("check", "open") and cell.name in choice.points:
            _worth(blocks, chapter, place, choice.points[cell.name])
    if choice.due:
        _say_due(blocks, choice)
    made = "\n".join(line for block in blocks for line in block)
    made = _LINK.sub(lambda link: link[0] if link[2] in chapters else link[1], made)
    # The badge would open the repository's notebook, with other exercises.
    return made if made == text else made.replace(f"# {BADGES}\n", "")


def answer(text: str) -> str:
    """An exercise's cell without the markers of its solution."""
    lines = text.split("\n")
    return "\n".join(x for x in lines if not re.search("### (BEGIN|END) SOLUTION", x))


def _blocks(text: str, chapter: Percent) -> list[list[str]]:
    """The lines of each cell, its header first; the first cell also has what stands before it."""
    lines = text.split("\n")
    starts = [0, *(cell.line - 1 for cell in chapter.cells[1:]), len(lines)]
    return [lines[a:b] for a, b in itertools.pairwise(starts)]


def _give(blocks: list[list[str]], chapter: Percent, place: int) -> None:
    """The exercise at ``place`` with its solution, folded; its check without points."""
    where, line = _heading(blocks, chapter, place)
    if line is not None:
        head = _WORTH.match(blocks[where][line])
        blocks[where][line : line + 1] = [f"{head[1]} (given)", "#", f"# {GIVEN}"]
    blocks[place] = ["# %% folded", *answer("\n".join(blocks[place][1:])).split("\n")]
    check, inside = [], False
    for text in blocks[place + 1][1:]:
        inside = inside or "### BEGIN HIDDEN" in text
        check += [] if inside else [text]
        inside = inside and "### END HIDDEN" not in text
    blocks[place + 1] = ["# %%", *check]


def _leave_out(blocks: list[list[str]], chapter: Percent, place: int) -> None:
    """Drop the open question at ``place`` and, in the text before it, its heading and what follows."""
    where, line = _heading(blocks, chapter, place)
    if line is not None:
        kept = blocks[where][:line]
        while kept and kept[-1].strip() in ("", "#"):
            kept.pop()
        blocks[where] = [*kept, ""] if len(kept) > 1 else []
    blocks[place] = []


def _worth(blocks: list[list[str]], chapter: Percent, place: int, points: float) -> None:
    """Other points, in the cell's header and in the heading that tells them."""
    blocks[place][0] = re.sub(r"\bpoints=[\d.]+", f"points={points:g}", blocks[place][0])
    where, line = _heading(blocks, chapter, place)
    if line is not None:
        told = f" · {points:g} point{'' if points == 1 else 's'} · "
        blocks[where][line] = re.sub(r" · [\d.]+ points? · ", told, blocks[where][line])


def _heading(blocks: list[list[str]], chapter: Percent, place: int) -> tuple[int, int | None]:
    """Where the heading with the points of the graded cell at ``place`` is: block and line.

    It is the last of its kind in the nearest text before. An open question may have none: None.
    """
    cell: Cell = chapter.cells[place]
    start = "# ### Open question" if cell.kind == "open" else "# ### Exercise "
    texts = [i for i in range(place) if chapter.cells[i].kind == "text" and blocks[i]]
    where = texts[-1] if texts else 0
    found = [
        number
        for number, line in enumerate(blocks[where])
        if line.startswith(start) and _WORTH.match(line)
    ]
    return where, found[-1] if found else None


def _say_due(blocks: list[list[str]], choice: Choice) -> None:
    """The date under the chapter's title."""
    day, zone = choice.due.strftime(f"%A {choice.due.day} %B %Y, %H:%M"), choice.due.strftime("%z")
    said = f"# **Due** {day} (UTC{zone[:3]}:{zone[3:5]})."
    for number, line in enumerate(blocks[0]):
        if line.startswith("# # "):
            blocks[0][number + 1 : number + 1] = ["#", said]
            return
    raise Refused([f"{choice.chapter} has no title in its first cell to put the date under."])
