"""What a notebook asks: tasks, points, times and hints, with and without metadata."""

import pytest
from pupils import FIRST, RELEASES, cell, fresh, without

from flatlab.course.layout import Layout
from flatlab.course.source import read_chapter
from flatlab.student.chapter import outline
from flatlab.student.find import Unusable

LAYOUT = Layout(RELEASES.parent)
EVERY = sorted(RELEASES.glob("*/*.ipynb"))


@pytest.mark.parametrize("path", EVERY, ids=lambda p: p.stem)
@pytest.mark.parametrize("bare", [False, True], ids=["as handed out", "without metadata"])
def test_the_outline_is_the_sources(path, bare):
    """Ground truth: the chapter's source, as the build reads it."""
    notebook = fresh(path)
    if bare:
        for each in notebook.cells:
            each.metadata = {}
            each.pop("id", None)
    source = read_chapter(LAYOUT.source(path.stem))
    chapter = outline(notebook, path.name)
    checks = source.of("check")
    exercises = [task for task in chapter.tasks if not task.open]
    assert [t.name for t in exercises] == [c.name for c in source.of("exercise")]
    assert [t.points for t in exercises] == [c.options["points"] for c in checks]
    questions = [(t.name, t.points) for t in chapter.tasks if t.open]
    assert questions == [(c.name, c.options["points"]) for c in source.of("open")]
    for task in exercises:
        assert notebook.cells[task.answer].source.startswith(f"# exercise: {task.name}\n")
        assert notebook.cells[task.check].source.startswith(f"# check: {task.name} ")
        assert task.hints and task.minutes > 0
    assert sum(chapter.sections.values()) == chapter.minutes
    assert chapter.minutes_left(set()) == chapter.minutes
    assert chapter.minutes_left({task.name for task in chapter.tasks}) == 0


def test_minutes_left_by_hand():
    """Chapter 01: 110 minutes; section 1 takes 12, exercise 2 takes 8 of section 2's 15."""
    (path,) = [path for path in EVERY if path.stem.startswith("01")]
    chapter = outline(fresh(path), path.name)
    assert chapter.minutes_left({"second_derivative"}) == 110 - 12
    assert chapter.minutes_left({"second_derivative", "hessian_2d"}) == 110 - 12 - 15
    assert chapter.minutes_left({"which-measure"}) == 110 - 8


def test_a_section_without_tasks_is_read_once_a_later_task_is_done():
    """Chapter 00: sections of 3, 8 and 4 minutes; the first has no task, the question is in 3."""
    chapter = outline(fresh(), "it")
    assert chapter.sections == {1: 3, 2: 8, 3: 4}
    assert chapter.minutes_left({"gradient_step"}) == 4


def test_the_marker_may_be_gone_where_metadata_is_there():
    notebook = fresh()
    check = cell(notebook, "check-gradient_step")
    check.source = "check.gradient_step(gradient_step)"
    (task, question) = outline(notebook, "it").tasks
    assert (task.name, task.points, notebook.cells[task.check]) == ("gradient_step", 1, check)
    assert question.open


@pytest.mark.parametrize("points", ["one", None, [1]])
def test_points_that_are_no_number_are_the_markers(points):
    notebook = fresh()
    cell(notebook, "check-gradient_step").metadata.nbgrader.points = points
    assert outline(notebook, "it").tasks[0].points == 1


@pytest.mark.parametrize("metadata", [["x"], "x", 1])
def test_metadata_that_nbgrader_did_not_write_leave_the_marker(metadata):
    notebook = fresh()
    for each in notebook.cells:
        each.metadata.nbgrader = metadata
    (task, question) = outline(notebook, "it").tasks
    assert (task.name, task.points, question.open) == ("gradient_step", 1, True)


@pytest.mark.parametrize("said", ["...", "1.0.0", "one", "2", "1.5"])
def test_a_marker_may_say_its_points_in_any_way(said):
    notebook = fresh()
    check = cell(notebook, "check-gradient_step")
    check.metadata, check.source = {}, f"# check: gradient_step · {said} points\n"
    (task, _) = outline(notebook, "it").tasks
    assert notebook.cells[task.check] is check
    assert task.points == {"2": 2, "1.5": 1.5}.get(said, 1)


def test_a_form_of_colab_may_stand_before_the_marker():
    notebook = fresh()
    for each in notebook.cells:
        each.metadata, each.source = {}, f"#@title\n{each.source}"
    (task, _) = outline(notebook, "it").tasks
    assert notebook.cells[task.answer].source.startswith("#@title\n# exercise: gradient_step\n")
    assert "# check: gradient_step" in notebook.cells[task.check].source


def test_hints_are_whole_and_in_order():
    (path,) = [path for path in EVERY if path.stem.startswith("01")]
    tasks = {task.name: task for task in outline(fresh(path), path.name).tasks}
    first, second = tasks["hvp"].hints
    assert first.startswith("First the gradients") and "then its gradient." in first
    assert second.startswith("`torch.autograd.grad(")
    assert "details" not in first + second


def test_a_lost_check_cell_leaves_its_task():
    (task, _) = outline(without(fresh(), "check-gradient_step"), "it").tasks
    assert (task.name, task.check, task.minutes) == ("gradient_step", None, 3)
    assert task.points == 1  # of its heading


def test_both_cells_lost_leaves_the_heading():
    notebook = without(without(fresh(), "check-gradient_step"), "gradient_step")
    (task, _) = outline(notebook, "it").tasks
    assert (task.name, task.heading) == ("", "Exercise 1 · One step downhill")


def test_a_notebook_of_something_else_is_refused():
    notebook = fresh()
    notebook.cells = [c for c in notebook.cells if c.id == "experiment-two-rates"]
    with pytest.raises(Unusable, match="no exercise of this course"):
        outline(notebook, str(FIRST))
