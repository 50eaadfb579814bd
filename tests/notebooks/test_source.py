"""Percent source -> cells, and cells -> notebook."""

from unittest.mock import MagicMock

import pytest
from tiny_chapter import NAME, SOURCE

from flatlab.course.assemble import assemble
from flatlab.course.source import (
    CODE_KINDS,
    TEXT_KINDS,
    parse,
    read_cases,
    regions,
)

KINDS = {**CODE_KINDS, **TEXT_KINDS}


def cells_of(text):
    return parse(text, "01-x", KINDS)


def test_kinds_names_options_and_lines():
    chapter = parse(SOURCE, NAME, KINDS)
    assert not chapter.problems
    assert [cell.kind for cell in chapter.cells if cell.kind != "text"] == [
        "setup", "settings", "predict", "exercise", "check", "experiment", "folded", "open", "code",
    ]  # fmt: skip
    check = chapter.of("check")[0]
    assert (check.name, check.options) == ("gradient_step", {"points": 2})
    assert chapter.of("experiment")[0].options == {"compare": True}
    lines = SOURCE.split("\n")
    for cell in chapter.cells:
        assert lines[cell.line - 1].startswith("# %%")
        assert lines[cell.line].endswith(cell.text.split("\n")[0])


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("# %% quiz\n1\n", "unknown kind 'quiz'"),
        ("# %% exercise\n1\n", 'exercise needs a name: # %% exercise="NAME"'),
        ('# %% exercise="a" check="a"\n1\n', "two kinds in one header: exercise, check"),
        ('# %% setup exercise="a"\n1\n', "two kinds in one header: setup, exercise"),
        ("# %% [markdown] setup\n# text\n", "setup cannot be a markdown cell"),
        ('# %% open="why" points=2\n1\n', "open cannot be a code cell"),
        ('# %% experiment="a b"\n1\n', "'a b' is no name"),
        ('# %% exercise="a" points=3\n1\n', "unknown option 'points' for exercise"),
        ('# %% check="a" score=3\n1\n', "unknown option 'score' for check"),
        ("x = 1\n# %%\n1\n", "text before the first header"),
    ],
)
def test_headers_that_cannot_be_understood(source, message):
    problems = cells_of(source).problems
    assert any(message in problem for problem in problems), problems
    assert all("01-x" in problem for problem in problems)


def test_regions_part_visible_from_hidden():
    parts = regions("a\n  ### BEGIN SOLUTION\nb\n  ### END SOLUTION\nc", "SOLUTION")
    assert (parts.visible, parts.text, parts.count, parts.problems) == ("a\nc", "b", 1, ())
    assert parts.inside == ((3, "b"),)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("### BEGIN SOLUTION\na", "BEGIN SOLUTION on line 1 of the cell is never ended"),
        ("a\n### END SOLUTION", "END SOLUTION on line 2 of the cell without its BEGIN"),
        ("### BEGIN SOLUTION\n### BEGIN SOLUTION\n### END SOLUTION", "inside another one"),
    ],
)
def test_unbalanced_regions(text, message):
    (problem,) = regions(text, "SOLUTION").problems
    assert message in problem


def test_no_cases_file_means_no_cases(tmp_path):
    assert read_cases(tmp_path / "none.py").cells == ()


def built(repository=""):
    return assemble(parse(SOURCE, NAME, KINDS), repository)


def test_nbgrader_metadata_and_markers():
    cells = {cell.id: cell for cell in built().cells}
    nbgrader = {name: cell.metadata.get("nbgrader", {}) for name, cell in cells.items()}
    flags = {
        name: (meta["grade"], meta["solution"], meta["locked"], meta.get("points"))
        for name, meta in nbgrader.items()
        if meta
    }
    assert flags == {
        "setup": (False, False, True, None),
        "settings": (False, False, True, None),
        "gradient_step": (False, True, False, None),
        "check-gradient_step": (True, False, True, 2),
        "open-why": (True, True, False, 4),
    }
    assert all(meta["grade_id"] == name for name, meta in nbgrader.items() if meta)
    first = {name: cell.source.split("\n")[0] for name, cell in cells.items()}
    assert first["gradient_step"] == "# exercise: gradient_step"
    assert first["check-gradient_step"] == "# check: gradient_step · 2 points"
    assert first["open-why"] == "<!-- open: why · 4 points -->"
    assert first["experiment-walk"] == "# experiment: walk"
    assert first["setup"] == "# setup"


def test_hidden_tests_take_no_name_of_the_students():
    """A helper may be called as something that they import or define."""
    (source,) = (cell.source for cell in built().cells if cell.id == "check-gradient_step")
    check, names = MagicMock(), {"Hidden1": "the student's"}
    exec(source, {"check": check, "gradient_step": "an answer"}, names)  # noqa: S102
    assert names["Hidden1"] == "the student's"
    check.gradient_step.grade.assert_called_once_with("an answer")


def test_tags():
    tags = {cell.id: cell.metadata.get("tags") for cell in built().cells}
    assert tags["check-gradient_step"] == tags["experiment-walk"] == ["nbval-check-output"]
    assert not any("raises-exception" in (t or []) for t in tags.values())  # nbval would pass it
    (folded,) = [cell for cell in built().cells if cell.id.startswith("folded-")]
    assert folded.metadata == {"jupyter": {"source_hidden": True}, "tags": ["hide-input"]}


def test_same_source_same_ids_and_no_id_twice():
    ids = [cell.id for cell in built().cells]
    assert ids == [cell.id for cell in built().cells]
    assert len(ids) == len(set(ids))
    twice = parse("# %% [markdown]\n# a\n# %% [markdown]\n# a\n", "01-x", KINDS)
    first, second = assemble(twice).cells
    assert second.id == f"{first.id}-2"


def test_without_an_address_neither_badge_nor_install_line():
    text = "\n".join(cell.source for cell in built().cells)
    for word in ("badge", "colab", "<!-- install", "pip install", "http"):
        assert word not in text.lower()
    assert built().cells[0].source.startswith("# A tiny chapter\n\n**Time:**")


def test_an_address_on_github_gives_badge_and_install_line():
    title, setup = built("https://github.com/a/b").cells[:2]
    target = (
        "https://colab.research.google.com/github/a/b/blob/main/notebooks/00-tiny/00-tiny.ipynb"
    )
    assert "[![Open in Colab](" in title.source and f"({target})" in title.source
    assert '    %pip install --quiet "flatlab @ git+https://github.com/a/b"' in setup.source


def test_an_address_elsewhere_gives_no_badge_because_colab_could_not_open_it():
    title, setup = built("https://git.example.org/b").cells[:2]
    assert "colab" not in title.source.lower()
    assert "git+https://git.example.org/b" in setup.source
