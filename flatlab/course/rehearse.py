"""``flatlab rehearse``: a made-up class is graded, and what came out is held to what should.

The class hands in right answers, mistakes (those of the course's cases, where the checkout has
them), half of the answers, nothing, a notebook without metadata and a file that was cut off.
"""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta, timezone
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from flatlab.course.batch.journal import Journal
from flatlab.course.batch.many import Way
from flatlab.course.batch.run import Options, look, run
from flatlab.course.execute import dumps
from flatlab.course.handout import Course, answer, handed_out
from flatlab.course.layout import Layout, Refused
from flatlab.course.source import Percent, read_cases, read_chapter, regions

MISTAKEN = ("wrong-1", "wrong-2")
STUDENTS = ("right", *MISTAKEN, "half", "blank", "bare", "cut")


@dataclass(frozen=True)
class MadeUp:
    """What one made-up student hands in for a chapter, and what it has to get."""

    student: str
    what: str
    data: bytes
    points: dict[str, float] | None  # exercise -> points; None: a person has to look
    late: bool = False


def rehearse(
    echo: Callable[[str], None],
    chapters: tuple[str, ...] = (),
    jobs: int = 1,
    out: Path | None = None,
    no_sandbox: bool = False,
    course: Path | None = None,
) -> list[str]:
    """Grade the made-up class of ``chapters`` (default: all that are handed out); the problems.

    ``out``: a new folder that keeps ``submitted`` and ``graded``, by default a temporary one.
    A problem is what keeps ``flatlab grade`` from its work, and each result that is not the right one.
    """
    with ExitStack() as stack:
        if out is None:
            made = stack.enter_context(tempfile.TemporaryDirectory(prefix="flatlab-rehearsal-"))
            folder = Path(made)
        elif out.exists() and any(out.iterdir()):
            return [f"{out} is not empty: give a new folder."]
        else:
            folder = out
        try:
            given = stack.enter_context(handed_out(Layout.find(), course, STUDENTS))
            classes = {name: _class(given, name) for name in given.layout.select(list(chapters))}
        except Refused as refused:
            return refused.problems
        for name, students in classes.items():
            for one in students:
                _hand_in(folder / "submitted", name, one, given)
        options = Options(
            folder / "submitted",
            folder / "graded",
            tuple(classes),
            sandbox=not no_sandbox,
            way=Way(jobs),
            course=course,
            students=STUDENTS,
        )
        if problems := run(options, echo):
            return problems
        problems = _compared(classes, Journal(folder / "graded"), echo)
    kept = (
        f"look at {out / 'graded'}" if out else "with --out FOLDER the pages stay to be looked at"
    )
    echo(f"{'not ' if problems else ''}all as it should be; {kept}")
    return problems


def transplant(release: NotebookNode, answers: dict[str, str]) -> NotebookNode:
    """A copy of ``release`` whose cells hold ``answers``, by grade id; markers are kept."""
    notebook = copy.deepcopy(release)
    cells = {cell.metadata.get("nbgrader", {}).get("grade_id"): cell for cell in notebook.cells}
    for name, text in answers.items():
        marker = cells[name].source.split("\n")[0]
        cells[name].source = f"{marker}\n{text}"
    return notebook


def _class(course: Course, name: str) -> list[MadeUp]:
    """The made-up class of a chapter, each with its own variant where there are some."""
    layout = course.layout

    def filled(student: str, answers: dict[str, str]) -> NotebookNode:
        text = course.notebook(name, student)
        return transplant(nbformat.reads(text, as_version=4), answers)

    def bytes_of(notebook: NotebookNode) -> bytes:
        return dumps(notebook).encode()

    source = read_chapter(layout.source(name))
    most = {cell.name: float(cell.options["points"]) for cell in source.of("check")}
    solved = {cell.name: answer(cell.text) for cell in source.of("exercise")}
    written = {f"open-{c.name}": regions(c.text, "SOLUTION").text for c in source.of("open")}
    half = dict(list(solved.items())[::2])
    everything = {**solved, **written}
    bare = filled("bare", everything)
    for cell in bare.cells:
        cell.metadata = NotebookNode()
    cut = _cut(bytes_of(filled("cut", everything)), list(solved)[-1])
    nothing = dict.fromkeys(most, 0.0)
    late = course.due(name) is not None
    return [
        MadeUp("right", "the course's own answers", bytes_of(filled("right", everything)), most),
        *(
            MadeUp(
                student, "a mistake in every exercise", bytes_of(filled(student, wrong)), nothing
            )
            for student, wrong in _mistakes(read_cases(layout.cases(name)), list(most)).items()
        ),
        MadeUp(
            "half",
            "every second answer",
            bytes_of(filled("half", half)),
            {**nothing, **{exercise: most[exercise] for exercise in half}},
        ),
        MadeUp(
            "blank",
            "nothing" + ", too late" * late,
            bytes_of(filled("blank", {})),
            nothing,
            late,
        ),
        MadeUp("bare", "right answers without metadata", bytes_of(bare), most),
        MadeUp("cut", "a file that ends in its last exercise", cut, None),
    ]


def _cut(text: bytes, exercise: str) -> bytes:
    """The notebook ``text`` up to the middle of an exercise's cell."""
    begin = text.index(f'"# exercise: {exercise}\\n"'.encode())
    end = text.index(b'"cell_type"', begin)
    return text[: (begin + end) // 2]


def _mistakes(cases: Percent, exercises: list[str]) -> dict[str, dict[str, str]]:
    """Student -> the k-th misconception of every exercise; none where there are no cases."""
    wrong: dict[str, dict[str, str]] = {student: {} for student in MISTAKEN}
    for exercise in exercises:
        found = [case.text for case in cases.of("misconception") if case.name == exercise]
        for answers, text in zip(wrong.values(), found, strict=False):
            answers[exercise] = text
    return {student: answers for student, answers in wrong.items() if answers}


def _hand_in(folder: Path, chapter: str, one: MadeUp, course: Course) -> None:
    """Write it as nbgrader lays it out, with the time where the chapter has a date."""
    path = folder / one.student / chapter / f"{chapter}.ipynb"
    path.parent.mkdir(parents=True)
    path.write_bytes(one.data)
    if due := course.due(chapter):
        at = due + (timedelta(days=1) if one.late else -timedelta(hours=1))
        stamp = at.astimezone(timezone.utc).strftime("%Y-%m-%d %H:%M:%S UTC")
        (path.parent / "timestamp.txt").write_text(stamp)


def _compared(
    classes: dict[str, list[MadeUp]], journal: Journal, echo: Callable[[str], None]
) -> list[str]:
    """A line for each submission; those whose result is not what it has to be come back."""
    problems = []
    for chapter, students in classes.items():
        for one in students:
            got, wrong = _result(one, journal.read(one.student, chapter))
            line = f"{chapter}, {one.student} ({one.what}): {got}"
            echo(line)
            problems += [f"{line}; {wrong}"] if wrong else []
    return problems


def _result(one: MadeUp, record: dict | None) -> tuple[str, str]:
    """What a submission got in words, and what it should have got; "" where it did."""
    if record is None:
        return "not graded", "it should have a record"
    scores = record["scores"]
    earned = {name.removeprefix("check-"): s["score"] for name, s in scores.items()}
    why = look(record)
    told = sum(score or 0.0 for score in earned.values())
    got = f"{told:g} of {sum(s['max'] for s in scores.values()):g} points"
    got += ", late" * bool(record["late"]) + "; a person has to look" * bool(why)
    waits = [n for n, s in scores.items() if n.startswith("open-") and s["score"] is None]
    got += f"; a person grades {', '.join(waits)}" * bool(waits)
    if one.points is None:
        return got, "" if why else "a person should have been asked to look"
    off = {name: most for name, most in one.points.items() if earned.get(name) != most}
    if off:
        return got, "it should have " + ", ".join(f"{n}: {most:g}" for n, most in off.items())
    if bool(record["late"]) != one.late:
        return got, f"it should {'' if one.late else 'not '}be late"
    return got, ""
