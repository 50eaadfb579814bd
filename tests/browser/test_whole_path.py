"""A student's whole path through each chapter: answers, checks, widgets, Validate, the zip."""

import zipfile
from pathlib import Path

import pytest
from controls import move_all
from lab import RUN_MS
from sheets import STUB, UNANSWERED, errors, nearly_solved

from flatlab.course.layout import Layout

LAYOUT = Layout.find(Path(__file__).parent)
EVERY_TIME = (
    ("JupyterLab", "00-start-here"),
    ("JupyterLab", "06-mode-connectivity"),
    ("Notebook", "00-start-here"),
)


def paths() -> list:
    """(application, chapter) for all of both; only a few of them in `make test`."""
    both = [(page, chapter) for page in ("JupyterLab", "Notebook") for chapter in LAYOUT.chapters()]
    return [
        pytest.param(*path, marks=() if path in EVERY_TIME else pytest.mark.extended)
        for path in both
    ]


pytestmark = [pytest.mark.browser, pytest.mark.beside]


@pytest.mark.parametrize(("application", "chapter"), paths())
def test_whole_path(open_chapter, servers, record_property, tmp_path, application, chapter):
    server = servers(application)
    sheet = nearly_solved(LAYOUT, chapter, server.releases[chapter])
    logged = len(server.log.read_text())
    notebook = open_chapter(chapter, sheet.text, application)

    notebook.run("setup")
    notebook.rewrite(sheet.left, STUB, sheet.solution)
    assert notebook.run(sheet.left) == ""
    assert notebook.run(f"check-{sheet.left}").startswith("✓ ")
    for question in sheet.questions:
        notebook.answer(question, UNANSWERED, "The larger curvature decides.")

    notebook.run_all()
    for check in sheet.checks:
        assert notebook.output(check).startswith("✓ "), check
    assert "This experiment waits" not in "".join(map(notebook.output, notebook.cells))

    moves = {}
    for widget in sheet.widgets:
        moves |= {(widget, move.control): move for move in move_all(notebook, widget)}
        notebook.picture_of(widget)
        assert "Traceback" not in notebook.output(widget)
    notebook.picture_of_all("solved")

    notebook.save()
    saved = notebook.saved()
    if found := errors(saved):
        pytest.fail(found)
    assert [cell.id for cell in saved.cells if cell.get("execution_count", 1) is None] == []
    typed = {cell.id: cell for cell in saved.cells}[sheet.left].source
    assert sheet.solution in typed and STUB not in typed

    assert "Success! Your notebook passes all the tests." in notebook.validate(RUN_MS)
    notebook.close_dialog()
    notebook.save()

    done = server.command("submit", chapter[:2], "--out", str(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr
    with zipfile.ZipFile(tmp_path / f"{chapter}.zip") as archive:
        assert archive.namelist() == [f"{chapter}/{chapter}.ipynb"]
        assert archive.read(archive.namelist()[0]) == notebook.path.read_bytes()
    assert "Traceback" not in server.log.read_text()[logged:]
    record_property("exercises", len(sheet.checks))
    record_property("controls", len(moves))
