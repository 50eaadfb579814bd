"""The build on the tiny chapter: executed, released, repeatable, and nothing written when refused."""

import hashlib
import json
import shutil

import nbformat
import pytest
from tiny_chapter import NAME, SOURCE, course

from flatlab.course.build import build, check
from flatlab.course.contract import violations
from flatlab.course.layout import Layout, Refused

pytestmark = [pytest.mark.notebooks, pytest.mark.beside]

WIDGET = """# %% widget="wave"
import numpy as np

from flatlab import plots, widgets


def draw(frequency):
    figure, axes = plots.figure(height=2)
    axes.plot(np.sin(frequency * np.linspace(0, 6, 50)))
    return figure


widgets.explore(
    draw,
    lambda frequency: f"A sine wave that rises and falls {frequency} times in six seconds.",
    {"frequency": (1.0, 9.0, 1.0, 2.0)},
)

# %% folded
"""


def files(root):
    """Every file below ``root`` with a hash of its content, so that a failure prints shortly."""
    found = [path for path in root.rglob("*") if path.is_file()]
    return {p.relative_to(root): hashlib.sha256(p.read_bytes()).hexdigest() for p in found}


def edit(root, old, new):
    path = root / "solutions" / f"{NAME}.py"
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A course with the tiny chapter, built and executed once; tests leave it as it is."""
    root = course(tmp_path_factory.mktemp("built"))
    build(None, root=root)
    return root


@pytest.fixture
def copy(built, tmp_path):
    """A copy of the built course, for a test to change."""
    return shutil.copytree(built, tmp_path / "copy")


def read(path):
    return nbformat.read(path, as_version=4)


def solution(root):
    return read(Layout(root).solution(NAME))


def release(root):
    return read(Layout(root).release(NAME))


def test_solution_notebook_is_executed_and_keeps_outputs(built):
    cells = {cell.id: cell for cell in solution(built).cells}
    assert cells["experiment-walk"].outputs[0].text == "[0.125]\n"
    assert "2 hidden checks remain" in cells["check-gradient_step"].outputs[0].text
    counts = [c.execution_count for c in cells.values() if c.cell_type == "code"]
    assert counts == list(range(1, len(counts) + 1))
    assert violations(NAME, built) == []


def test_executed_at_laptop_scale_outside_grading(built, monkeypatch, tmp_path):
    monkeypatch.setenv("FLATLAB_SCALE", "quick")
    monkeypatch.setenv("NBGRADER_EXECUTION", "autograde")
    again = course(tmp_path)
    build(None, root=again)
    assert Layout(again).solution(NAME).read_bytes() == Layout(built).solution(NAME).read_bytes()


def test_nothing_of_the_machine_in_the_notebook(built):
    metadata = solution(built).metadata
    assert set(metadata) == {"kernelspec", "language_info"}
    assert "version" not in metadata.language_info
    assert not any("execution" in cell.metadata for cell in solution(built).cells)


def test_release_has_no_outputs_no_solution_no_hidden_tests(built):
    cells = {cell.id: cell for cell in release(built).cells}
    assert not any(cell.get("outputs") for cell in cells.values())
    assert cells["gradient_step"].source.endswith(
        "# YOUR CODE HERE\n    raise NotImplementedError()"
    )
    assert cells["check-gradient_step"].source.split("\n") == [
        "# check: gradient_step · 2 points",
        "check.gradient_step(gradient_step)",
    ]
    assert cells["open-why"].source.endswith("Two sentences.\n\nYOUR ANSWER HERE")
    text = Layout(built).release(NAME).read_text(encoding="utf-8")
    for word in ("downhill", "uphill", "secret", "Hidden1", "BEGIN", "grade("):
        assert word not in text


def test_release_locks_what_is_locked_and_lets_run_all_continue(built):
    cells = {cell.id: cell for cell in release(built).cells}
    for name in ("setup", "settings", "check-gradient_step"):
        assert cells[name].metadata.editable is False
        assert cells[name].metadata.deletable is False
    assert "editable" not in cells["gradient_step"].metadata
    tagged = {name for name, c in cells.items() if "raises-exception" in c.metadata.get("tags", [])}
    assert tagged == {"check-gradient_step"}


def test_nothing_is_left_beside_the_notebooks(built):
    made = {str(path) for path in files(built) if path.parts[0] in ("solutions", "notebooks")}
    assert made == {
        f"solutions/{NAME}.py",
        f"solutions/{NAME}/{NAME}.ipynb",
        f"notebooks/{NAME}/{NAME}.ipynb",
    }
    assert not list(built.rglob("gradebook.db"))


def test_a_second_build_changes_no_byte(copy):
    before = files(copy)
    build([NAME], execute=False, root=copy)
    build([NAME], execute=False, root=copy)
    assert files(copy) == before
    assert check(None, root=copy) == []


def test_building_without_executing_keeps_outputs_of_unchanged_code_only(copy):
    edit(copy, "# Which way?", "# Which way, then?")
    build(["00"], execute=False, root=copy)
    assert solution(copy).cells[1].execution_count == 1
    edit(copy, "    return 1\n", '    """One."""\n    return (  # number\n        1\n    )\n')
    build(["00"], execute=False, root=copy)
    assert solution(copy).cells[1].execution_count == 1
    assert any("# number" in cell.source for cell in solution(copy).cells)
    edit(copy, "        1\n", "        2\n")
    build(["00"], execute=False, root=copy)
    assert not any(cell.get("outputs") for cell in solution(copy).cells)
    assert any("was not executed" in problem for problem in violations(NAME, copy))


@pytest.mark.parametrize(
    ("path", "old", "new"),
    [
        (f"solutions/{NAME}.py", "Which way?", "Which?"),
        (f"solutions/{NAME}/{NAME}.ipynb", "Which way?", "Which?"),
        (f"notebooks/{NAME}/{NAME}.ipynb", "Which way?", "Which?"),
        (f"notebooks/{NAME}/{NAME}.ipynb", '"points": 2', '"points": 3'),
        ("pyproject.toml", 'repository = ""', 'repository = "https://github.com/a/b"'),
    ],
)
def test_drift_is_found_and_nothing_is_written(copy, path, old, new):
    text = (copy / path).read_text(encoding="utf-8")
    assert old in text
    (copy / path).write_text(text.replace(old, new), encoding="utf-8")
    before = files(copy)
    problems = check(None, root=copy)
    assert problems and all(f"run `flatlab build {NAME}`" in problem for problem in problems)
    assert files(copy) == before


def test_outputs_are_no_drift(copy):
    path = Layout(copy).solution(NAME)
    path.write_text(path.read_text().replace("[0.125]", "[0.25]"))
    assert check(None, root=copy) == []


def test_missing_notebooks_and_files_beside_them_are_drift(copy):
    Layout(copy).release(NAME).unlink()
    (copy / "solutions" / NAME / "answers.txt").write_text("42")
    missing, beside = sorted(check(None, root=copy), key=len, reverse=True)[::-1]
    assert "is missing: build it" in missing or "is missing: build it" in beside
    assert "holds more than the notebook: answers.txt" in missing + beside


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (" points=2\n", "\n", "no points"),  # the contract refuses
        ("    return 1\n", "    return 1\n\n\nhelper() / 0\n", "ZeroDivisionError"),
        ("    return 1\n", "    return 1\n\n\nimport warnings\nwarnings.warn('old')\n", "stderr"),
        ("    return 1\n", "    return 1\n\n\nprint(object())\n", "prints a memory address"),
        ("    return 1\n", "    return 1\n\n\nprint('/' + 'home/me/x')\n", "prints a path"),
        ("    return 1\n", "    return 1\n\n\nprint(4_000 * (400 * 'a' + chr(10)))\n", "1.5 MB is the limit"),
        ("    return 1\n", "    return 1\n\n\nopen('left.txt', 'w').close()\n", "more than the notebook"),
        ('# %% folded\n', '# %% widget="w"\n', "a widget without a static twin"),
        ("return w + downhill", "return w - downhill", "It goes uphill"),
    ],
)  # fmt: skip
def test_nothing_is_written_when_refused(copy, old, new, message):
    edit(copy, old, new)
    before = files(copy)
    with pytest.raises(Refused) as refused:
        build(None, root=copy)
    assert any(message in problem for problem in refused.value.problems), refused.value.problems
    assert all(problem.startswith(NAME) for problem in refused.value.problems)
    after = files(copy)
    after.pop(next((p for p in after if p.name == "left.txt"), None), None)
    assert after == before


def test_data_folder_and_home_are_stored_under_their_general_names(copy, monkeypatch):
    monkeypatch.setenv("FLATLAB_DATA", "/srv/data/")
    edit(copy, "return 1\n", "return 1\n\n\nimport os\nprint(os.environ['FLATLAB_DATA'] + 'x')\n")
    edit(copy, "+ 'x')\n", "+ 'x')\nprint(os.path.expanduser('~') + '/notes')\n")
    build(None, root=copy)
    (cell,) = [cell for cell in solution(copy).cells if cell.id.startswith("folded-")]
    assert cell.outputs[0].text == "$FLATLAB_DATA/x\n~/notes\n"


def test_a_failing_cell_is_named(copy):
    edit(copy, "print(w.tolist())", "print(w.tolost())")
    with pytest.raises(Refused, match=r"cell 'experiment-walk'.*(?s:.*)tolost"):
        build(None, root=copy)


def test_a_widget_keeps_its_picture_and_words_and_loses_its_state(copy):
    edit(copy, "# %% folded\n", WIDGET)
    build(None, root=copy)
    (cell,) = [cell for cell in solution(copy).cells if cell.id == "widget-wave"]
    (output,) = cell.outputs
    assert "image/png" in output.data
    assert not any("widget" in kind for kind in output.data)
    assert "rises and falls" in json.dumps(output.metadata)
    assert violations(NAME, copy) == []


def test_a_figure_without_alt_text_is_refused(copy):
    edit(copy, "return 1\n", "return 1\n\n\nimport matplotlib.pyplot as plt\nplt.plot([1, 2]);\n")
    with pytest.raises(Refused, match="a figure with alt text ''"):
        build(None, root=copy)


@pytest.mark.parametrize("name", ["09-none", "0x", "tiny"])
def test_unknown_chapters(built, name):
    with pytest.raises(Refused, match="No single chapter is called"):
        build([name], root=built)


def test_outside_a_course(tmp_path):
    with pytest.raises(Refused, match=r"No nbgrader_config.py at or above"):
        build(None, root=tmp_path)


def test_an_address_that_is_no_address(tmp_path):
    with pytest.raises(Refused, match="give an https address"):
        build(None, root=course(tmp_path, SOURCE, repository="me/course"))
