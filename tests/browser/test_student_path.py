"""What a student meets in JupyterLab, from the untouched release to a saved, validated answer."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import expect
from sheets import STUB, UNANSWERED, errors, printed

from flatlab.course.layout import Layout

pytestmark = [pytest.mark.browser, pytest.mark.beside]
EVERY_TIME = ("00", "01")  # the other chapters in `make test-all`
CHAPTERS = [
    pytest.param(name, marks=() if name[:2] in EVERY_TIME else pytest.mark.extended)
    for name in Layout.find(Path(__file__).parent).chapters()
]
# exercise -> chapter, a right line, a wrong line, what the check says about it, an experiment
# that needs this exercise alone
ANSWERS = {
    "gradient_step": (
        "00-start-here",
        "return w - learning_rate * gradient",
        "return w + learning_rate * gradient",
        "It goes uphill",
        "experiment-two-rates",
    ),
    "hessian_2d": (
        "01-sharp-and-flat",
        "return torch.autograd.functional.hessian(f, w.detach())",
        "return torch.autograd.functional.hessian(f, torch.zeros_like(w))",
        "Hessian at (0, 0)",
        "experiment-eigenvalues-2d",
    ),
}


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_untouched_release_runs_to_its_end(open_chapter, chapter):
    notebook = open_chapter(chapter)
    notebook.run_all()
    notebook.picture_of_all("untouched")
    notebook.save()
    saved = notebook.saved()
    if found := errors(saved):
        pytest.fail(found)
    code = [cell for cell in saved.cells if cell.cell_type == "code"]
    assert [cell.id for cell in code if not cell.execution_count] == []
    checks = [cell for cell in code if cell.id.startswith("check-")]
    assert checks
    for cell in checks:
        assert printed(cell).rstrip().endswith("not written yet."), cell.id
    assert any("This experiment waits for" in printed(cell) for cell in code)


@pytest.mark.parametrize("exercise", ANSWERS)
def test_an_answer_is_typed_checked_and_saved(open_chapter, exercise):
    chapter, right, wrong, message, experiment = ANSWERS[exercise]
    notebook = open_chapter(chapter)
    notebook.run("setup")

    notebook.rewrite(exercise, STUB, wrong)
    assert notebook.run(exercise) == ""
    said = notebook.run(f"check-{exercise}")
    notebook.picture(f"{exercise}-wrong")
    assert said.startswith(f"✗ {exercise} (")
    assert message in said
    assert "Traceback" not in said
    assert "Cell In[" not in said

    notebook.rewrite(exercise, wrong, right)
    assert notebook.run(exercise) == ""
    said = notebook.run(f"check-{exercise}")
    assert said.startswith(f"✓ {exercise}: ")
    assert "hidden check" in said

    notebook.run_above(experiment)
    assert "This experiment waits" not in notebook.run(experiment)
    notebook.picture_of_all(exercise)

    notebook.save()
    saved = {cell.id: cell for cell in notebook.saved().cells}
    if found := errors(notebook.saved()):
        pytest.fail(found)
    assert right in saved[exercise].source
    assert STUB not in saved[exercise].source
    assert saved[exercise].source.startswith(f"# exercise: {exercise}\n")
    assert saved[exercise].metadata.nbgrader.grade_id == exercise
    assert saved[experiment].outputs


def test_a_slider_moves_the_picture_and_its_words(open_chapter):
    notebook = open_chapter("01-sharp-and-flat")
    notebook.run_above("widget-quadratic")
    notebook.run("widget-quadratic")
    cell = notebook.cell("widget-quadratic")
    picture, shown = cell.locator("img"), cell.locator(".jp-OutputArea-output").first
    expect(shown).to_contain_text("learning rate 0.4:")
    expect(picture).to_have_attribute("alt", re.compile("learning rate 0.4:"))
    before = picture.get_attribute("src")

    slider = cell.locator(".widget-slider", has_text="learning rate").get_by_role("slider")
    slider.focus()
    slider.press("ArrowRight")
    expect(shown).to_contain_text("learning rate 0.42:")
    expect(picture).to_have_attribute("alt", re.compile("learning rate 0.42:"))
    expect(picture).not_to_have_attribute("src", before)


def test_a_figure_has_alternative_text(open_chapter):
    chapter, right, _, _, experiment = ANSWERS["gradient_step"]
    notebook = open_chapter(chapter)
    notebook.rewrite("gradient_step", STUB, right)
    notebook.run_above(experiment)
    notebook.run(experiment)
    picture = notebook.cell(experiment).locator("img")
    expect(picture).to_be_visible()
    assert "Distance from the minimum" in (picture.get_attribute("alt") or "")


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_validate_lists_what_is_not_written(open_chapter, chapter):
    notebook = open_chapter(chapter)
    said = notebook.validate()
    checks = [cell for cell in notebook.saved().cells if cell.id.startswith("check-")]
    answers = [name for name in notebook.cells if name.startswith("open-")]
    for cell in checks:
        first = re.search(r"check\.(\w+)\(", cell.source)[1]  # of two functions the first stops it
        assert f"✗ {first}\n  Not written yet." in said
    assert said.count("You did not provide a response.") == len(answers)
    assert said.count("The following cell failed:") == len(checks) + len(answers)


def test_validate_says_success(open_chapter):
    chapter, right, *_ = ANSWERS["gradient_step"]
    notebook = open_chapter(chapter)
    notebook.rewrite("gradient_step", STUB, right)
    notebook.answer("open-two-curvatures", UNANSWERED, "Below 0.5.")
    said = notebook.validate()
    assert "Success! Your notebook passes all the tests." in said
