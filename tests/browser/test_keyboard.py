"""Chapter 00 by the keyboard alone: run, answered, checked, saved, validated."""

import re

import pytest
from lab import Notebook
from playwright.sync_api import expect
from sheets import UNANSWERED, errors

pytestmark = [pytest.mark.browser, pytest.mark.beside]
SOLUTION = "return w - learning_rate * gradient"
WORDS = "Below 0.5: the larger curvature decides."
LISTENS = "document.activeElement.closest('.jp-Cell.jp-mod-active')"
FOCUSED = """() => {
    const focused = document.activeElement;
    const toolbar = focused.closest('.jp-NotebookPanel-toolbar') ? 'toolbar: ' : '';
    return toolbar + (focused.getAttribute('aria-label') || focused.textContent).trim();
}"""


def press(notebook: Notebook, *keys: str) -> None:
    for key in keys:
        notebook.page.keyboard.press(key)


def go_on_to(notebook: Notebook, name: str) -> None:
    """Shift+Enter from the active cell, cell by cell, until ``name`` is the active one."""
    active = re.compile("jp-mod-active")
    classes = [notebook.cell(each).get_attribute("class") for each in notebook.cells]
    (start,) = [i for i, each in enumerate(classes) if active.search(each)]
    for following in notebook.cells[start + 1 : notebook.cells.index(name) + 1]:
        notebook.page.wait_for_function(LISTENS)  # the focus follows the active cell a moment later
        press(notebook, "Shift+Enter")
        expect(notebook.cell(following)).to_have_class(active)


def write_last_line(notebook: Notebook, text: str) -> None:
    """Into the active cell, in the place of its last line."""
    press(notebook, "Enter", "Control+End", "Shift+Home")
    notebook.page.keyboard.type(text)


def focus_validate(notebook: Notebook) -> None:
    """Shift+Tab, over the links above, into the notebook's toolbar; then along it by the arrow."""
    for key, wanted in (("Shift+Tab", "toolbar: "), ("ArrowRight", "toolbar: Validate")):
        passed = []
        while not notebook.page.evaluate(FOCUSED).startswith(wanted):
            passed.append(notebook.page.evaluate(FOCUSED))
            assert len(passed) < 60, f"{key} does not lead to {wanted}: {passed}"
            press(notebook, key)


@pytest.mark.parametrize(
    "application", ["JupyterLab", pytest.param("Notebook", marks=pytest.mark.extended)]
)
def test_keyboard_alone(open_chapter, application):
    notebook = open_chapter("00-start-here", application=application)
    go_on_to(notebook, "gradient_step")
    write_last_line(notebook, SOLUTION)
    go_on_to(notebook, "experiment-two-rates")
    check = notebook.cell("check-gradient_step").locator(".jp-OutputArea-output")
    expect(check).to_contain_text("✓ gradient_step: ")
    go_on_to(notebook, "open-two-curvatures")
    write_last_line(notebook, WORDS)
    go_on_to(notebook, notebook.cells[-1])
    expect(notebook.cell("open-two-curvatures").locator(".jp-MarkdownOutput")).to_have_text(WORDS)
    expect(notebook.cell("experiment-two-rates").locator("img")).to_be_visible()
    notebook.save()

    focus_validate(notebook)
    press(notebook, "Enter")
    assert "Success! Your notebook passes all the tests." in notebook.validation()
    notebook.picture("keyboard")
    press(notebook, "Enter")
    expect(notebook.page.locator(".jp-Dialog")).to_have_count(0)

    assert notebook.pointed() == []
    saved = notebook.saved()
    if found := errors(saved):
        pytest.fail(found)
    cells = {cell.id: cell for cell in saved.cells}
    assert cells["gradient_step"].source.endswith(f"\n    {SOLUTION}")
    assert cells["open-two-curvatures"].source.endswith(f"\n{WORDS}")
    assert UNANSWERED not in cells["open-two-curvatures"].source


def test_a_mouse_would_be_seen(open_chapter):
    """Were the page deaf to the mouse, the test above could not fail."""
    notebook = open_chapter("00-start-here")
    notebook.run("setup")
    assert {"pointerdown", "mousedown"} <= set(notebook.pointed())
