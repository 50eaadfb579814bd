"""The mini course and its kit, made once a run; these tests need bubblewrap."""

from pathlib import Path

import pytest
from mini_course import NAME, make_course

from flatlab.course.grading import make_kit

CONFIG = Path(__file__).resolve().parents[3] / "nbgrader_config.py"


@pytest.fixture(scope="session")
def layout(tmp_path_factory):
    return make_course(tmp_path_factory.mktemp("mini"), CONFIG)


@pytest.fixture(scope="session")
def kit(layout):
    return make_kit(layout, NAME)
