"""Honest notebooks get what plain nbgrader gives them, warnings are free, oddities stay inside."""

import copy
import tempfile

import nbformat
import pytest
from harness import grade, submissions
from mini_course import FULL, NAME, cell, scores, shown, submission
from tiny_chapter import NAME as TINY
from tiny_chapter import course

from flatlab.course.build import build
from flatlab.course.grading import GradingRefused, grade_one, make_kit, run
from flatlab.course.layout import Layout, Refused

pytestmark = [pytest.mark.grading, pytest.mark.slow, pytest.mark.beside]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """(layout of the tiny chapter, what plain nbgrader gives its made-up students)."""
    layout = Layout(course(tmp_path_factory.mktemp("tiny")))
    build(None, execute=False, root=layout.root)
    return layout, grade(layout, TINY, tmp_path_factory.mktemp("plain"))


def test_the_tiny_chapter_is_graded_as_by_plain_nbgrader(tiny, bubblewrap):
    layout, plain = tiny
    kit = make_kit(layout, TINY)
    given = {}
    for student, text in submissions(layout, TINY).items():
        result = grade_one(nbformat.reads(text, as_version=4), kit)
        given[student] = {"gradient_step": result["scores"]["check-gradient_step"]["score"]}
        said = plain.outputs[student]["gradient_step"]
        message = cell(result, "check-gradient_step")["message"]
        assert " ".join(message.split()) in said, student
        assert result["manual"] == [] and result["notes"] == []
    assert given == plain.scores
    assert given["solution"] == {"gradient_step": 2} and given["untouched"] == {"gradient_step": 0}


def test_honest_answers_have_full_marks_and_the_release_none(
    layout, kit, bubblewrap, tmp_path, monkeypatch
):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    honest = submission(layout)
    before = copy.deepcopy(honest)
    result = grade_one(honest, kit)
    assert scores(result) == FULL
    assert result["scores"]["open-why"] == {"score": 0.0, "max": 4.0}  # not answered
    assert [c["status"] for c in result["cells"]] == ["ok"] * 7
    assert honest == before  # nothing is changed, nothing is left
    assert list(tmp_path.iterdir()) == []
    untouched = grade_one(nbformat.read(layout.release(NAME), as_version=4), kit)
    assert scores(untouched) == dict.fromkeys(FULL, 0.0)
    assert cell(untouched, "check-a")["error"] == "NotImplementedError"


def test_an_open_answer_waits_for_a_person(layout, kit, bubblewrap):
    answer = submission(layout, **{"open-why": "Because."})
    assert grade_one(answer, kit)["scores"]["open-why"] == {"score": None, "max": 4.0}


def test_a_hidden_test_speaks_and_the_notebook_holds_it(layout, kit, bubblewrap):
    result = grade_one(submission(layout, b="def b(x):\n    return 3"), kit)
    assert scores(result) == {**FULL, "check-b": 0.0}
    found = cell(result, "check-b")
    assert (found["status"], found["error"], found["message"]) == (
        "error",
        "AssertionError",
        "hidden b",
    )
    assert "hidden b" in shown(result, "check-b")
    sources = {c.id: c.source for c in nbformat.reads(result["notebook"], as_version=4).cells}
    assert "BEGIN HIDDEN TESTS" in sources["check-b"] and sources["b"] == "def b(x):\n    return 3"


NOISE = {
    "warning": "import warnings\n    warnings.warn('careful', stacklevel=1)",
    "stderr": "import sys\n    print('40%|####', file=sys.stderr)",
    "descriptor": "import os\n    os.write(2, b'from a library')",
    "logging": "import logging\n    logging.getLogger('x').warning('careful')",
    "child": "import subprocess, sys\n    subprocess.run([sys.executable, '-c', 'import sys;"
    " sys.stderr.write(str(1))'])",
}


@pytest.mark.parametrize("body", ["\n    ".join(NOISE.values())])
def test_text_on_stderr_costs_nothing(body, layout, kit, bubblewrap):
    result = grade_one(submission(layout, b=f"def b(x):\n    {body}\n    return 3 * x"), kit)
    assert scores(result) == FULL
    assert "careful" in shown(result, "check-b") and "40%|####" in shown(result, "check-b")


ODD = {
    "half characters": "print('\\ud800 and on')",
    "a bundle of no texts": "get_ipython().display_pub.publish({'text/plain': {'a': [1, None]}})",
    "a widget of nothing": "from comm import create_comm\n    create_comm(target_name="
    "'jupyter.widget', data={})",
    "clearing": "from IPython.display import clear_output\n    clear_output()",
    "html": "from IPython.display import HTML, display\n    display(HTML('<script>1</script>'))",
}


def test_odd_messages_cost_nothing(layout, kit, bubblewrap):
    tries = "".join(
        f"    try:\n        {line}\n    except Exception: pass\n"
        for line in [text.replace("\n    ", "\n        ") for text in ODD.values()]
    )
    result = grade_one(submission(layout, b=f"def b(x):\n{tries}    return 3 * x"), kit)
    assert scores(result) == FULL
    assert result["manual"] == []


@pytest.mark.parametrize("value", ["1000", "-1", "float('nan')"])
def test_a_value_that_is_no_score_scores_nothing_and_stops_nothing(value, layout, kit, bubblewrap):
    body = f"def b(x):\n    get_ipython().displayhook({value})\n    return 3 * x"
    result = grade_one(submission(layout, b=body), kit)
    assert scores(result) == {**FULL, "check-b": 0.0}
    assert cell(result, "check-b")["error"] == "NoScore"


def test_without_a_sandbox_nothing_runs_unless_asked(layout, kit, monkeypatch):
    monkeypatch.setattr(run.sandbox, "available", lambda: "bubblewrap is missing: install it")
    monkeypatch.setattr(run, "supervise", lambda *_, **__: pytest.fail("it ran"))
    with pytest.raises(GradingRefused, match="bubblewrap is missing"):
        grade_one(submission(layout), kit)


def test_a_chapter_that_is_not_built_is_refused(layout):
    with pytest.raises(Refused, match="flatlab build"):
        grade_one(submission(layout), "99-none", layout=layout, sandbox=False)
