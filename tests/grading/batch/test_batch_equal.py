"""Parallel, serial, plain nbgrader and another database: the same rows."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from handed_in import HONEST, comparable, rows
from nbgrader.api import Gradebook
from servers import postgres
from tiny_chapter import NAME

from flatlab.course.batch import Journal, grade_all, make_desk, merge

pytestmark = [pytest.mark.grading, pytest.mark.slow, pytest.mark.beside]


@pytest.fixture(scope="module")
def book(layout, parallel, tmp_path_factory):
    """The gradebook of the class, graded two at a time."""
    address = f"sqlite:///{tmp_path_factory.mktemp('book') / 'gradebook.db'}"
    merge(parallel, address, {NAME: make_desk(layout, NAME)})
    return address


def test_parallel_equals_serial(layout, handed, parallel, book, tmp_path):
    with Journal(tmp_path / "serial").held() as journal:
        serial = grade_all(handed.items, journal, layout=layout, seed=5)
        assert [comparable(r) for r in serial] == [comparable(r) for r in parallel]
        kept = [comparable(journal.read(r["student"], NAME)) for r in serial]
    assert kept == json.loads(json.dumps([comparable(r) for r in serial]))
    address = f"sqlite:///{tmp_path / 'serial.db'}"
    merge(serial, address, {NAME: make_desk(layout, NAME)})
    assert rows(address) == rows(book)


def test_plain_nbgrader_has_the_same_scores(plain, book):
    """All of its rows for the honest students, but for the comments, which it does not write."""
    graded, paths = plain
    theirs = [row for path in paths for row in rows(f"sqlite:///{path}")]
    theirs = {row for row in theirs if row[0] in ("grade", "submission") and row[2] in HONEST}
    ours = {row for row in rows(book) if row[0] in ("grade", "submission") and row[2] in HONEST}
    assert ours == theirs
    assert {row[2] for row in ours} == set(HONEST)
    full = {row for row in ours if row[:4] == ("grade", NAME, "solution", "check-gradient_step")}
    assert {row[4] for row in full} == {2.0} and graded.scores["solution"]["gradient_step"] == 2


def test_what_is_not_recovered_is_no_silent_zero(parallel, book):
    (empty,) = [record for record in parallel if record["student"] == "empty"]
    assert (empty["status"], empty["manual"][0]["reason"]) == ("manual", "empty")
    found = {row[3]: row[4:] for row in rows(book) if row[:3] == ("grade", NAME, "empty")}
    assert found == dict.fromkeys(["check-gradient_step", "open-why"], (None, None, True))


def test_the_same_in_postgresql(layout, parallel, book):
    with postgres() as address:
        merged = merge(parallel, address, {NAME: make_desk(layout, NAME)})
        assert merged.left == [] and merged.new == len(parallel)
        assert rows(address) == rows(book)
        assert merge(parallel, address, {NAME: make_desk(layout, NAME)}).same == len(parallel)


def test_nbgraders_own_tools_read_it(book, tmp_path):
    tools = Path(sys.executable).parent
    words = [sys.executable, "-m", "nbgrader", "export", f"--CourseDirectory.db_url={book}"]
    environment = {**os.environ, "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        words, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    table = list(csv.DictReader((tmp_path / "grades.csv").open()))
    scores = {line["student_id"]: float(line["score"]) for line in table}
    assert scores == {"solution": 2, "right-1": 2, "wrong-1": 0, "untouched": 0, "empty": 0}
    with Gradebook(book) as gradebook:  # what formgrader's pages show
        lines = gradebook.notebook_submission_dicts(NAME, NAME)
        waits = {line["student"]: line["needs_manual_grade"] for line in lines}
        assert waits == {"empty": True, **dict.fromkeys(HONEST, False)}
        students = {line["id"]: line["score"] for line in gradebook.student_dicts()}
        assert students == scores
