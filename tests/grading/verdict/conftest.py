"""Each chapter's made-up students are decided once a run, two at a time; the run ends with a table."""

import json
import os
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nbformat
import pytest
from filelock import FileLock
from harness import submissions

from flatlab.course.grading import available
from flatlab.course.layout import Layout
from flatlab.course.verdict import decide
from flatlab.course.verdict import plan as planning
from flatlab.course.verdict.runners import limited, sandboxed

SEED = 20261121
AT_A_TIME = 2


@pytest.fixture(scope="session")
def decided(tmp_path_factory):
    """A function from chapter to what ``decide`` says of each student; workers share it."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base

    def get(chapter: str) -> dict[str, dict]:
        stored = shared / f"{chapter}-decided.json"
        with FileLock(f"{stored}.lock"):
            if not stored.is_file():
                stored.write_text(json.dumps(_decide(chapter)))
        return json.loads(stored.read_text())

    return get


def _decide(chapter: str) -> dict[str, dict]:
    layout = Layout.find(Path(__file__).parent)
    source, runner = layout.source(chapter), limited() if available() else sandboxed()
    planning.make(source, SEED)  # once, before the threads

    def one(text: str) -> dict:
        return decide(nbformat.reads(text, as_version=4), source, runner, SEED)

    handed_in = submissions(layout, chapter)
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        return dict(zip(handed_in, pool.map(one, handed_in.values()), strict=True))


def pytest_terminal_summary(terminalreporter):
    """For each chapter: answers decided as nbgrader scored them, seconds for one submission."""
    counts, seconds = defaultdict(lambda: [0, 0]), {}
    for outcome in ("passed", "failed"):
        for report in terminalreporter.getreports(outcome):
            facts = dict(getattr(report, "user_properties", []))
            if "verdict" in facts and report.when == "call":
                chapter, same, answers, mean = facts["verdict"]
                counts[chapter] = [a + b for a, b in zip(counts[chapter], (same, answers))]
                seconds[chapter] = mean
    if not counts:
        return
    terminalreporter.section("verdicts outside")
    row = "{:<30}{:>24}{:>26}"
    heads = ("chapter", "answers as nbgrader's", "seconds a submission")
    terminalreporter.write_line(row.format(*heads))
    for chapter, (same, answers) in sorted(counts.items()):
        line = row.format(chapter, f"{same} of {answers}", f"{seconds[chapter]:.1f}")
        terminalreporter.write_line(line)
