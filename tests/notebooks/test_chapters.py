"""Every chapter of the course: its contract, its drift, its leaks, its stored results."""

import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from leaks import leaks
from tiny_chapter import NAME, course

from flatlab.course.build import build, check
from flatlab.course.contract import violations
from flatlab.course.layout import Layout

LAYOUT = Layout.find(Path(__file__).parent)
every_chapter = pytest.mark.parametrize("chapter", LAYOUT.chapters())
# Five to ten minutes of one core each, where it is busy: left to `make test-all`.
LONG = ("01", "02", "03", "05", "07")
executed_again = pytest.mark.parametrize(
    "chapter",
    [
        pytest.param(name, marks=pytest.mark.extended if name[:2] in LONG else ())
        for name in LAYOUT.chapters()
    ],
)


def test_there_are_chapters():
    assert LAYOUT.chapters()[:2] == ["00-start-here", "01-sharp-and-flat"]


@every_chapter
def test_chapter_keeps_the_contract(chapter):
    assert violations(chapter, LAYOUT.root) == []


@every_chapter
def test_committed_notebooks_are_what_the_source_gives(chapter):
    assert check([chapter], LAYOUT.root) == []


def test_no_notebook_without_a_source():
    for folder in ("solutions", "notebooks"):
        paths = (LAYOUT.root / folder).rglob("*.ipynb")
        # JupyterLab's copies, which git ignores, are there once a course was opened.
        found = {path.stem for path in paths if path.parent.name != ".ipynb_checkpoints"}
        assert found <= set(LAYOUT.chapters())


@every_chapter
def test_release_holds_no_line_of_a_solution_or_hidden_test(chapter):
    leaked, looked_for = leaks(LAYOUT.source(chapter), LAYOUT.release(chapter))
    assert leaked == []
    exercises = LAYOUT.source(chapter).read_text(encoding="utf-8").count("# %% exercise=")
    assert looked_for >= 5 * exercises  # a solution and two hidden tests have more lines than that


@every_chapter
def test_release_has_no_output_and_nothing_beside_it(chapter):
    path = LAYOUT.release(chapter)
    cells = nbformat.read(path, as_version=4).cells
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in cells)
    assert [p.name for p in path.parent.iterdir() if p.name != ".ipynb_checkpoints"] == [path.name]


@every_chapter
def test_no_printed_line_is_wider_than_a_page(chapter):
    """JupyterLab breaks longer ones in the middle of a word."""
    wide = [
        (cell.id, line)
        for cell in nbformat.read(LAYOUT.solution(chapter), as_version=4).cells
        for output in cell.get("outputs", [])
        for line in output.get("text", "").splitlines()
        if len(line) > 100
    ]
    assert wide == []


@every_chapter
def test_no_line_of_code_is_much_wider_than_a_page(chapter):
    """JupyterLab hides their ends behind a scroll bar. What a prediction asks stays on one line."""
    wide = [
        (cell.id, line)
        for cell in nbformat.read(LAYOUT.release(chapter), as_version=4).cells
        if cell.cell_type == "code"
        for line in cell.source.splitlines()
        if len(line) > 120
    ]
    assert wide == []


def nbval(notebook: Path) -> subprocess.CompletedProcess:
    """Run every cell again at the scale of the stored outputs; compare the cells so marked."""
    environment = {**os.environ, "FLATLAB_SCALE": "laptop", "FLATLAB_PROGRESS": "off"}
    environment.pop("NBGRADER_EXECUTION", None)
    environment = {k: v for k, v in environment.items() if not k.startswith("PYTEST_")}
    options = ["--nbval-lax", "--nbval-current-env", "--nbval-cell-timeout", "1800"]
    plain = ["-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-c", os.devnull]
    return subprocess.run(
        [sys.executable, "-m", "pytest", *plain, *options, str(notebook)],
        cwd=notebook.parent,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
@pytest.mark.beside
@pytest.mark.notebooks
@executed_again
def test_stored_results_come_out_again(chapter):
    result = nbval(LAYOUT.solution(chapter))
    assert result.returncode == 0, result.stdout[-6000:]


@pytest.fixture
def tiny(tmp_path):
    layout = Layout(course(tmp_path))
    build(None, execute=False, root=layout.root)
    return layout


@pytest.mark.slow
@pytest.mark.beside
@pytest.mark.notebooks
def test_nbval_notices_another_result(tiny):
    build(None, root=tiny.root)
    assert nbval(tiny.solution(NAME)).returncode == 0
    path = tiny.solution(NAME)
    path.write_text(path.read_text(encoding="utf-8").replace("[0.125]", "[0.25]"), encoding="utf-8")
    result = nbval(path)
    assert result.returncode == 1
    assert "1 failed" in result.stdout


@pytest.mark.parametrize(
    "secret",
    [
        "downhill = -learning_rate * gradient",
        "class Hidden1:",
        "The gradient points uphill, where the loss grows.",
    ],
)
@pytest.mark.parametrize("where", ["cell", "metadata"])
def test_a_leak_is_found(tiny, secret, where):
    path = tiny.release(NAME)
    assert leaks(tiny.source(NAME), path)[0] == []
    notebook = nbformat.read(path, as_version=4)
    if where == "cell":
        notebook.cells[2].source += f"\n    {secret}\n"
    else:
        notebook.metadata["note"] = {"kept": [secret]}
    nbformat.write(notebook, path)
    assert leaks(tiny.source(NAME), path)[0] == [secret]
