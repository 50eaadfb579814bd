"""The chapter contract: what every chapter holds, and what makes the build refuse one.

Four files say it: ``contract_graded`` what nbgrader and the checks need, ``contract_text`` what
the student reads, ``contract_code`` what the cells may do, ``contract_names`` that each cell finds
the names it uses. Problems come back as lines that name
chapter, cell and line, all of them at once.
"""

from __future__ import annotations

from pathlib import Path

import nbformat

from flatlab.course import contract_code, contract_graded, contract_names, contract_text
from flatlab.course.execute import output_problems
from flatlab.course.layout import Layout
from flatlab.course.source import read_cases, read_chapter


def violations(chapter: str, root: Path | None = None) -> list[str]:
    """All that is wrong with a chapter: its source, its cases, its stored outputs.

    ``root`` is the course's checkout (default: the one around the current folder). A solution
    notebook that was never built is a violation too; whether it is up to date is ``build.check``'s
    question.
    """
    layout = Layout.find(root)
    problems = source_problems(layout, chapter)
    path = layout.solution(chapter)
    if not path.is_file():
        return [*problems, f"{chapter}: {path.relative_to(layout.root)} is missing: build it."]
    return problems + output_problems(nbformat.read(path, as_version=4), chapter)


def source_problems(layout: Layout, name: str) -> list[str]:
    """What is wrong with the source and the cases of a chapter."""
    chapter = read_chapter(layout.source(name))
    cases = read_cases(layout.cases(name))
    problems = [*chapter.problems, *cases.problems]
    if chapter.cells:
        problems += contract_graded.problems(chapter)
        problems += contract_graded.case_problems(chapter, cases)
        problems += contract_text.problems(chapter)
        problems += contract_code.problems(chapter)
        problems += contract_names.problems(chapter)
    return problems
