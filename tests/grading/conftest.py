"""Each part of a chapter's class is graded once a run; the run ends with a table of what was caught."""

import json
import os
from collections import Counter

import pytest
from every_case import LAYOUT, handed_in
from filelock import FileLock
from harness import Graded, grade


@pytest.fixture(scope="session")
def graded(tmp_path_factory):
    """A function from chapter and part to ``Graded``; pytest-xdist's workers share what one has graded."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base

    def get(chapter: str, which: str) -> Graded:
        stored = shared / f"{chapter}-{which}.json"
        with FileLock(f"{stored}.lock"):
            if not stored.is_file():
                folder = tmp_path_factory.mktemp(chapter)
                result = grade(LAYOUT, chapter, folder, handed_in(chapter, which))
                stored.write_text(json.dumps(result.as_dict()))
        return Graded(**json.loads(stored.read_text()))

    return get


def pytest_terminal_summary(terminalreporter):
    """For each chapter: exercises, misconceptions caught, alternatives accepted, seconds."""
    ran, passed, exercises, seconds = Counter(), Counter(), {}, {}
    for outcome in ("passed", "failed", "error"):
        for report in terminalreporter.getreports(outcome):
            facts = dict(getattr(report, "user_properties", []))
            if "grading" not in facts or (outcome != "error" and report.when != "call"):
                continue
            chapter, exercise, kind = facts["grading"]
            ran[chapter, kind] += 1
            passed[chapter, kind] += outcome == "passed"
            exercises.setdefault(chapter, set()).add(exercise)
            seconds[chapter] = facts.get("seconds", 0.0)
    if not exercises:
        return
    terminalreporter.section("autograding")
    row = "{:<22}{:>10}{:>24}{:>24}{:>12}"
    heads = ("chapter", "exercises", "misconceptions caught", "alternatives accepted", "seconds")
    terminalreporter.write_line(row.format(*heads))
    for chapter in sorted(exercises):
        counts = [
            f"{passed[chapter, kind]} of {ran[chapter, kind]}"
            for kind in ("misconception", "alternative")
        ]
        line = row.format(chapter, len(exercises[chapter]), *counts, f"{seconds[chapter]:.0f}")
        terminalreporter.write_line(line)
