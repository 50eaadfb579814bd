"""Grades made-up students with plain nbgrader, and says what each got for each exercise.

Student ``wrong-k`` hands in the k-th misconception of every exercise, ``right-k`` the k-th
alternative; ``solution`` and ``untouched`` are what they say. So a chapter needs as many
submissions as its richest exercise has cases, not one for each case. Where an exercise has no
k-th case its stub stays: experiments wait for it then. The release and the alternatives run their
experiments and widgets. The others hand in without: nothing grades them, they take most of the time,
and tests/notebooks run the solution's. Two nbgrader processes share a large class, each with a course
and gradebook of its own, because autograding is serial and the gradebook takes one writer.
"""

from __future__ import annotations

import copy
import os
import re
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import nbformat
from nbgrader.api import Gradebook

from flatlab.course.execute import dumps
from flatlab.course.layout import Layout
from flatlab.course.rehearse import transplant
from flatlab.course.source import Cell, read_cases, read_chapter

ENOUGH = 8  # for one nbgrader process: each takes seconds before it grades
_ANSI = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(frozen=True)
class Case:
    """One thing handed in for one exercise, and which student hands it in."""

    chapter: str
    exercise: str
    kind: str  # misconception, alternative
    name: str
    message: str
    student: str
    text: str

    @property
    def label(self) -> str:
        """The case as pytest shows it."""
        return f"{self.chapter}-{self.exercise}-{self.name}"


@dataclass(frozen=True)
class Graded:
    """What plain nbgrader made of a chapter's students; all plain data."""

    scores: dict[str, dict[str, float]]  # student -> exercise -> points
    outputs: dict[str, dict[str, str]]  # student -> exercise -> what its check cell shows
    maximum: dict[str, float]  # exercise -> points
    stray: dict[str, dict[str, str]]  # student -> cell that is no check -> its error
    same_release: bool  # did plain generate_assignment give the committed release?
    seconds: float

    def as_dict(self) -> dict:
        """For JSON."""
        return asdict(self)


def cases(layout: Layout, chapter: str) -> list[Case]:
    """The chapter's misconceptions and alternatives, each with its student."""
    found, count = [], {}
    for cell in read_cases(layout.cases(chapter)).of("misconception", "alternative"):
        key = (cell.kind, cell.name)
        count[key] = count.get(key, 0) + 1
        student = f"{'wrong' if cell.kind == 'misconception' else 'right'}-{count[key]}"
        name, message = cell.options.get("name", ""), cell.options.get("message", "")
        found.append(Case(chapter, cell.name, cell.kind, name, message, student, cell.text))
    return found


def exercises(layout: Layout, chapter: str) -> list[Cell]:
    """The chapter's exercise cells."""
    return read_chapter(layout.source(chapter)).of("exercise")


def submissions(layout: Layout, chapter: str) -> dict[str, str]:
    """Notebook texts by student: a fresh release with the student's answers in it."""
    release = nbformat.read(layout.release(chapter), as_version=4)
    solution = {cell.name: cell.text for cell in exercises(layout, chapter)}
    answers: dict[str, dict[str, str]] = {"solution": solution, "untouched": {}}
    for case in cases(layout, chapter):
        answers.setdefault(case.student, {})[case.exercise] = case.text
    bare = _without_experiments(release)
    return {
        student: dumps(transplant(release if _experiments(student) else bare, given))
        for student, given in answers.items()
    }


def _experiments(student: str) -> bool:
    return student == "untouched" or student.startswith("right-")


def _without_experiments(release: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """A copy whose experiments and widgets are empty cells."""
    notebook = copy.deepcopy(release)
    for cell in notebook.cells:
        if cell.id.startswith(("experiment-", "widget-")):
            cell.source = ""
    return notebook


def grade(
    layout: Layout, chapter: str, folder: Path, handed_in: dict[str, str] | None = None
) -> Graded:
    """Autograde ``handed_in``, by default all made-up students, in courses below ``folder``."""
    start = time.monotonic()
    handed_in = handed_in or submissions(layout, chapter)
    students = list(handed_in)
    roots = [folder / f"course-{i}" for i in range(1 if len(students) <= ENOUGH else 2)]
    running = []
    for i, root in enumerate(roots):
        mine = {student: handed_in[student] for student in students[i :: len(roots)]}
        _make_course(layout, chapter, root, mine)
        running.append(_nbgrader(root, chapter))
    for process, root in zip(running, roots, strict=True):
        if process.wait():
            raise RuntimeError(f"nbgrader failed:\n{(root / 'log.txt').read_text()[-4000:]}")
    results: dict = {"scores": {}, "outputs": {}, "maximum": {}, "stray": {}}
    names = [cell.name for cell in exercises(layout, chapter)]
    for root in roots:
        _collect(root, chapter, names, results)
    made = roots[0] / "notebooks" / chapter / f"{chapter}.ipynb"
    same = made.read_text() == layout.release(chapter).read_text()
    return Graded(**results, same_release=same, seconds=time.monotonic() - start)


def _make_course(layout: Layout, chapter: str, root: Path, handed_in: dict[str, str]) -> None:
    """A course folder with the chapter's solution notebook and these students' submissions."""
    files = {
        root / "nbgrader_config.py": (layout.root / "nbgrader_config.py").read_text(),
        root / "solutions" / chapter / f"{chapter}.ipynb": layout.solution(chapter).read_text(),
    }
    for student, text in handed_in.items():
        files[root / "submitted" / student / chapter / f"{chapter}.ipynb"] = text
    for path, text in files.items():
        path.parent.mkdir(parents=True)
        path.write_text(text, encoding="utf-8")


def _nbgrader(root: Path, chapter: str) -> subprocess.Popen:
    """Plain generate_assignment and autograde in ``root``, started; its words go to log.txt."""
    tools = Path(sys.executable).parent  # nbgrader calls alembic by name
    environment = {
        **os.environ,
        "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}",
        "OMP_NUM_THREADS": "1",
        "FLATLAB_FIGURES": "off",  # a third of the time; tests/notebooks run the chapters with them
    }
    nbgrader = f'"{sys.executable}" -m nbgrader'
    # On a busy machine a kernel now and then fails to start. A second autograde takes up what the
    # first left out, and nothing else.
    autograde = f'{nbgrader} autograde "{chapter}"'
    command = f'{nbgrader} generate_assignment "{chapter}" && ({autograde} || {autograde})'
    with (root / "log.txt").open("w") as log:
        return subprocess.Popen(
            command, shell=True, cwd=root, env=environment, stdout=log, stderr=subprocess.STDOUT
        )


def _collect(root: Path, chapter: str, names: list[str], results: dict) -> None:
    """Scores from the gradebook and the check cells' outputs from the autograded notebooks."""
    with Gradebook(f"sqlite:///{root / 'gradebook.db'}") as gradebook:
        for submission in gradebook.assignment_submissions(chapter):
            student = submission.student.id
            grades = {g.name: g for notebook in submission.notebooks for g in notebook.grades}
            checks = {name: grades[f"check-{name}"] for name in names}
            results["scores"][student] = {name: g.auto_score for name, g in checks.items()}
            results["maximum"] |= {name: g.max_score for name, g in checks.items()}
    for student in results["scores"]:
        path = root / "autograded" / student / chapter / f"{chapter}.ipynb"
        if path.is_file():
            shown = _shown(nbformat.read(path, as_version=4))
            results["outputs"][student] = {name: shown[f"check-{name}"][0] for name in names}
            results["stray"][student] = {
                cell: text
                for cell, (text, failed) in shown.items()
                if failed and not cell.startswith("check-")
            }


def _shown(notebook: nbformat.NotebookNode) -> dict[str, tuple[str, bool]]:
    """What each code cell shows, as one line of plain text, and whether that is an error."""
    shown = {}
    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        parts, failed = [], False
        for output in cell.outputs:
            parts.append(output.get("text", ""))
            parts += output.get("traceback", []) or [output.get("evalue", "")]
            failed |= output.output_type == "error" or output.get("name") == "stderr"
        shown[cell.id] = (one_line(" ".join(parts)), failed)
    return shown


def one_line(text: str) -> str:
    """``text`` without colors and line breaks, for comparing fragments."""
    return " ".join(_ANSI.sub("", text).split())
