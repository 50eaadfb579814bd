"""A small class's hand-ins for the tiny chapter; the tables of this folder at the end of the run."""

from collections import defaultdict
from pathlib import Path

import pytest
from handed_in import Class, hand_in
from harness import grade
from tiny_chapter import NAME, course

from flatlab.course.batch import Journal, Way, grade_all
from flatlab.course.build import build
from flatlab.course.layout import Layout


@pytest.fixture(scope="session")
def layout(tmp_path_factory):
    """The tiny chapter, built."""
    layout = Layout(course(tmp_path_factory.mktemp("tiny-course")))
    build(None, execute=False, root=layout.root)
    return layout


@pytest.fixture(scope="session")
def handed(layout, tmp_path_factory, bubblewrap) -> Class:
    """The class's folder and what is in it. It needs bubblewrap."""
    return hand_in(layout, tmp_path_factory.mktemp("submitted"))


@pytest.fixture(scope="session")
def plain(layout, tmp_path_factory):
    """What plain nbgrader gives the harness's made-up students, and its gradebooks."""
    folder = tmp_path_factory.mktemp("plain")
    return grade(layout, NAME, folder), sorted(folder.glob("course-*/gradebook.db"))


@pytest.fixture(scope="session")
def parallel(layout, handed, tmp_path_factory):
    """The records of the class, graded two at a time."""
    with Journal(tmp_path_factory.mktemp("parallel")).held() as journal:
        return grade_all(handed.items, journal, layout=layout, seed=5, way=Way(2))


@pytest.fixture
def table(record_property):
    """A function that adds a line to a table."""
    return lambda title, line: record_property("table", (title, line))


def pytest_terminal_summary(terminalreporter):
    tables = defaultdict(list)
    for state in ("passed", "failed"):
        for report in terminalreporter.getreports(state):
            for name, value in getattr(report, "user_properties", []):
                if name == "table" and report.when == "call":
                    tables[value[0]].append(value[1])
    for title, lines in tables.items():
        terminalreporter.section(title)
        for line in lines:
            terminalreporter.write_line(line)


@pytest.fixture
def submitted(handed) -> Path:
    """The class's folder."""
    return handed.folder
