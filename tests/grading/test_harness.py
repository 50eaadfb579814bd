"""The harness tells a caught misconception from one that passes, on the tiny chapter."""

import pytest
from harness import cases, grade, one_line
from tiny_chapter import CASES, NAME, SOURCE, course

from flatlab.course.build import build
from flatlab.course.layout import Layout

pytestmark = [pytest.mark.grading, pytest.mark.slow, pytest.mark.beside]

MORE = """
# %% misconception="gradient_step" name="not-wrong-at-all" message="never said"
def gradient_step(w, gradient, learning_rate):
    return w - learning_rate * gradient

# %% alternative="gradient_step" name="not-right-at-all"
def gradient_step(w, gradient, learning_rate):
    return 2 * w - learning_rate * gradient
"""


@pytest.fixture(scope="module")
def graded(tmp_path_factory):
    source = SOURCE.replace("    print(w.tolist())\n", "    print(w.tolist(), 1 / 0)\n")
    layout = Layout(course(tmp_path_factory.mktemp("tiny"), source, CASES + MORE))
    build(None, execute=False, root=layout.root)
    return layout, grade(layout, NAME, tmp_path_factory.mktemp("grading"))


def test_scores_and_messages(graded):
    layout, result = graded
    scores = {student: given["gradient_step"] for student, given in result.scores.items()}
    assert scores == {
        "solution": 2,
        "untouched": 0,
        **{f"wrong-{k}": 0 for k in (1, 2, 3, 4)},
        "wrong-5": 2,  # right, so the harness must show it as passed
        "right-1": 2,
        "right-2": 2,
        "right-3": 0,  # wrong, so the harness must show it as refused
    }
    assert result.maximum == {"gradient_step": 2}
    for case in cases(layout, NAME)[:4]:
        assert one_line(case.message) in result.outputs[case.student]["gradient_step"]
    assert "Not written yet" in result.outputs["untouched"]["gradient_step"]


def test_errors_outside_checks_are_seen(graded):
    stray = graded[1].stray
    assert set(stray) == set(graded[1].scores)
    assert "experiment-walk" in stray["right-1"] and not stray["untouched"]
    assert "ZeroDivisionError" in stray["right-1"]["experiment-walk"]
    assert not stray["solution"] and not stray["wrong-5"]  # they hand in no experiments


def test_plain_nbgrader_gives_the_release_that_flatlab_build_gives(graded):
    assert graded[1].same_release
