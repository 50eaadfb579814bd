"""Each part of a chapter's class is decided once a run, two at a time; the run ends with a table."""

import json
import os
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor

import nbformat
import pytest
from every_case import LAYOUT, handed_in
from filelock import FileLock

from flatlab.course.grading import available
from flatlab.course.verdict import decide
from flatlab.course.verdict import plan as planning
from flatlab.course.verdict.runners import limited, sandboxed

SEED = 20261121
AT_A_TIME = 2


@pytest.fixture(scope="session")
def decided(tmp_path_factory):
    """A function from chapter and part to what ``decide`` says of each student; workers share it."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base

    def get(chapter: str, which: str) -> dict[str, dict]:
        stored = shared / f"{chapter}-{which}-decided.json"
        with FileLock(f"{stored}.lock"):
            if not stored.is_file():
                stored.write_text(json.dumps(_decide(chapter, which)))
        return json.loads(stored.read_text())

    return get


def _decide(chapter: str, which: str) -> dict[str, dict]:
    source, runner = LAYOUT.source(chapter), limited() if available() else sandboxed()
    planning.make(source, SEED)  # once, before the threads

    def one(text: str) -> dict:
        return decide(nbformat.reads(text, as_version=4), source, runner, SEED)

    texts = handed_in(chapter, which)
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        return dict(zip(texts, pool.map(one, texts.values()), strict=True))


def pytest_terminal_summary(terminalreporter):
    """For each chapter: answers decided as nbgrader scored them, seconds for one submission."""
    counts = defaultdict(lambda: [0, 0, 0.0, 0])
    for outcome in ("passed", "failed"):
        for report in terminalreporter.getreports(outcome):
            facts = dict(getattr(report, "user_properties", []))
            if "verdict" in facts and report.when == "call":
                chapter, *told = facts["verdict"]
                counts[chapter] = [a + b for a, b in zip(counts[chapter], told, strict=True)]
    if not counts:
        return
    terminalreporter.section("verdicts outside")
    row = "{:<30}{:>24}{:>26}"
    heads = ("chapter", "answers as nbgrader's", "seconds a submission")
    terminalreporter.write_line(row.format(*heads))
    for chapter, (same, answers, seconds, students) in sorted(counts.items()):
        line = row.format(chapter, f"{same} of {answers}", f"{seconds / students:.1f}")
        terminalreporter.write_line(line)
