"""Of the checks only ``call`` halves go into the sandbox, and of the package the ground floor."""

import ast
import json
import re
from pathlib import Path

import pytest

from flatlab.course.layout import Layout
from flatlab.course.verdict import cells, job, package
from flatlab.course.verdict import plan as planning
from flatlab.course.verdict.cut import HIDDEN, CannotCut, call_halves

LAYOUT = Layout.find(Path(__file__).parent)
CHAPTERS = LAYOUT.chapters()

TEXT = '''
"""Secrets of the module."""
import numpy as np
from flatlab.checks.answers import array, compare

EXPECTED = 42.0
SCALE = 3.0


def expected(x):
    return EXPECTED * x


def scaled(x):
    """Tells what is expected."""
    return SCALE * x


class Thing:
    def used_by_students(self):
        return SCALE


class Given(Thing):
    def asked(self):
        return "a student may ask"

    def verdict(self):
        return "secret"


class Base:
    hints = (("size", "secret hint"),)

    def helper(self, x):
        return scaled(x)

    def unused(self):
        return "unused secret"


@check.f.hidden("aim")
class Doubles(Base):
    """The docstring is secret."""

    def draw(self, generator):
        return {"x": 1.0}

    def call(self, student, inputs):
        self.given = Given()
        return {"result": array(student(self.helper(inputs["x"])), ())}

    def verdict(self, inputs, outputs):
        return compare(outputs["result"], expected(1.0), 1e-6)
'''


@pytest.fixture(scope="module")
def cut():
    return call_halves([(HIDDEN, "Doubles")], TEXT)


def test_what_call_needs_is_there_and_runs(cut):
    from flatlab.checks import answers

    line = "from flatlab.checks.answers import array"  # the sandbox has its own
    assert line in cut[HIDDEN][0]
    names = {"array": answers.array}
    exec(cut[HIDDEN][0].replace(line, ""), names)  # noqa: S102
    assert names["Doubles"]().call(lambda x: 2 * x, {"x": 1.0}) == {"result": 6.0}


def test_what_students_are_given_is_whole(cut):
    kept = {n.name for n in ast.walk(ast.parse(cut[HIDDEN][0])) if isinstance(n, ast.FunctionDef)}
    assert {"used_by_students", "asked"} <= kept and "verdict" not in kept


@pytest.mark.parametrize(
    "secret", ["EXPECTED", "42", "expected", "draw", "verdict", "hint", "secret", "unused", "aim"]
)
def test_what_only_verdict_and_draw_use_is_not(cut, secret):
    assert secret not in cut[HIDDEN][0]


def test_modules_of_checks_come_by_name_alone(cut):
    defined = [
        n.name for n in ast.parse(cut["flatlab.checks.answers"][0]).body if hasattr(n, "name")
    ]
    assert "array" in defined and "compare" not in defined


@pytest.mark.parametrize(
    "line",
    ["import flatlab.checks.answers as array", "from flatlab.checks import answers as array"],
)
def test_an_import_that_hides_what_is_used_is_refused(line):
    text = TEXT.replace("from flatlab.checks.answers import array, compare", line)
    with pytest.raises(CannotCut, match="import NAME"):
        call_halves([(HIDDEN, "Doubles")], text)


@pytest.fixture(scope="module", params=CHAPTERS)
def plan(request):
    return planning.make(LAYOUT.source(request.param), 0)


def test_no_half_holds_a_verdict_or_a_draw(plan):
    for modules in plan.modules.values():
        for text, _ in modules.values():
            names = {n.name for n in ast.walk(ast.parse(text)) if hasattr(n, "name")}
            assert not names & {"verdict", "draw", "compare"}


def test_visible_jobs_hold_nothing_of_hidden_checks(plan):
    """No inputs, no class, no text: a visible check's message cannot tell of them."""
    for graded in plan.chapter.graded:
        visible = json.dumps(plan.modules[graded.name, False])
        hidden = [one for one in plan.drawn[graded.name] if one.planned.hidden]
        assert hidden, f"{graded.name} has no hidden check to look for"
        kinds = {one.planned.kind for one in hidden if one.planned.module == HIDDEN}
        text, _ = plan.modules[graded.name, True][HIDDEN]
        assert all(f"class {kind}" in text for kind in kinds)
        assert not any(f"class {kind}" in visible for kind in kinds)
        assert ast.parse(plan.modules[graded.name, False][HIDDEN][0]).body[1:] == []


def test_the_release_has_its_jobs_visible_ones_first(plan):
    import nbformat

    notebook = nbformat.read(LAYOUT.release(plan.chapter.name), as_version=4)
    wanted = job.jobs(notebook, plan)
    order = [one.hidden for one in wanted]
    assert order == sorted(order) and set(order) == {False, True}
    checks = [one.planned for found in wanted for one in found.drawn]
    assert len(checks) == sum(len(drawn) for drawn in plan.drawn.values())
    assert all(one.planned.hidden == found.hidden for found in wanted for one in found.drawn)


def test_what_lies_in_the_job_folder_holds_no_job(plan, tmp_path):
    import nbformat

    notebook = nbformat.read(LAYOUT.release(plan.chapter.name), as_version=4)
    job.lay_out(tmp_path, job.jobs(notebook, plan), plan.chapter, 60.0)
    (tmp_path / "jobs").unlink()  # as runners do
    kinds = {p.kind for g in plan.chapter.graded for p in g.checks if p.hidden}
    texts = [path.read_text() for path in tmp_path.rglob("*") if path.is_file()]
    assert len(texts) > 5 and kinds
    words = {name for text in texts for name in re.findall(r"\bclass (\w+)", text)}
    assert words and not kinds & words
    assert not list(tmp_path.rglob("checks")) and not list(tmp_path.rglob("course"))


def test_the_ground_floor_is_whole_and_no_topic_is_in_it():
    ground, topics = package.rooms()
    assert {"models", "data", "notebook"} <= set(ground)
    assert {"curvature"} <= set(topics) and not set(ground) & set(topics)


def test_a_notebook_without_the_release_is_not_decided(plan):
    from nbformat.v4 import new_code_cell, new_notebook

    with pytest.raises(cells.NotRebuilt, match="rebuild"):
        job.jobs(new_notebook(cells=[new_code_cell("x = 1")]), plan)


def test_own_cells_always_run_and_the_releases_only_where_they_are_needed():
    always = [("0", "import numpy as np"), ("1", "def f(x):\n    return g(x) + b")]
    others = [("2", "def g(x):\n    return h(x)"), ("3", "b = 1"), ("4", "def h(x): return x")]
    unused = ("5", "import time; time.sleep(100); z = 1")
    chosen = cells.with_needed(always, [*others, unused])
    assert sorted(place for place, _ in chosen) == ["0", "1", "2", "3", "4"]


@pytest.mark.parametrize(
    "rest",
    [
        *("g?", "y = (f(1)\n     % 7)", 'print("""f is\n%s""" % f(1))', "if f:\n    !ls"),
        *(
            "x = [g for g in (1, 2)]",
            "files = !ls",
            "%time 1\ndef h():\n    x = 1\n# is this right?\n    return x",
        ),
    ],
)
def test_a_helper_is_found_whatever_else_the_cell_holds(rest):
    always = [("0", f"def f(x):\n    return g(x)\n\n{rest}")]
    assert len(cells.with_needed(always, [("1", "def g(x):\n    return x")])) == 2


def test_a_name_that_a_cell_changes_is_made_first():
    always = [("0", "scale = 2 * scale"), ("1", "w = 1"), ("2", "print(w)")]
    chosen = cells.with_needed(always, [("3", "scale = 1"), ("4", "w = 2")])
    assert [place for place, _ in chosen] == ["0", "1", "2", "3"]


@pytest.mark.parametrize("text", ["def f(:", "%matplotlib inline\nx = 1", "!ls", "x = '\0'", ""])
def test_cells_that_are_no_python_are_read_all_the_same(text):
    assert cells.stored(text) <= {"x"} and cells.loaded(text) == set()
