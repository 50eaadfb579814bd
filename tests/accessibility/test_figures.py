"""Every figure of every chapter: can it be read without its colors, and without being seen?

Chapters run at quick scale here, which draws fewer curves than laptop scale;
`FLATLAB_SCALE=laptop python tests/accessibility/drawn.py solutions/NN-name.py` looks at those.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import nbformat
import numpy as np
import pytest
from words_of_figures import is_among, numbers, plotted, unnamed_axes

from flatlab import plots
from flatlab.course.execute import alt_text
from flatlab.course.layout import Layout

LAYOUT = Layout.find(Path(__file__).parent)


def drawn(source: Path) -> list[dict]:
    """The figures of a chapter at quick scale."""
    done = subprocess.run(
        [sys.executable, Path(__file__).with_name("drawn.py"), source],
        env={**os.environ, "FLATLAB_SCALE": "quick", "OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout)


def stored(path: Path) -> dict[str, str]:
    """The texts of the figures in an executed notebook, by cell."""
    return {
        cell.id: alt_text(output)
        for cell in nbformat.read(path, as_version=4).cells
        for output in cell.get("outputs", [])
        if "image/png" in output.get("data", {})
    }


def faults(figures: list[dict], texts: dict[str, str]) -> list[str]:
    """What is wrong with a chapter's figures; ``texts`` are those of its executed notebook."""
    found = []
    for figure in figures:
        where, text = figure["cell"], texts.get(figure["cell"], "")
        found += [f"{where}: {problem}" for problem in figure["unclear"]]
        found += [f"{where}: the text does not name {axis!r}" for axis in figure["unnamed"]]
        if not numbers(text):
            found.append(f"{where}: the text has no measured value")
        elif not figure["plotted"] and numbers(text) == numbers(figure["alt"]):
            found.append(f"{where}: the numbers in the text are neither plotted nor measured")
    return found


@pytest.mark.slow
@pytest.mark.beside
@pytest.mark.parametrize("chapter", LAYOUT.chapters())
def test_a_chapters_figures_can_be_read_by_everybody(chapter):
    figures, texts = drawn(LAYOUT.source(chapter)), stored(LAYOUT.solution(chapter))
    assert [figure["cell"] for figure in figures] == list(texts)
    assert faults(figures, texts) == []


def example(**changes):
    """A figure's record as ``drawn`` gives it, with nothing wrong; and its stored text."""
    text = "The loss falls from 0.93 to 0.12 over 40 steps."
    record = {
        "cell": "experiment-x",
        "alt": text,
        "unclear": [],
        "unnamed": [],
        "plotted": ["0.93"],
    }
    return [{**record, **changes}], {"experiment-x": text}


def test_a_fine_figure_has_no_faults():
    assert faults(*example()) == []
    assert faults(*example(plotted=[], alt="The loss falls from 0.87 to 0.2 over 10 steps.")) == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"unclear": ["lines differ in color alone"]}, "experiment-x: lines differ in color alone"),
        ({"unnamed": ["step"]}, "does not name 'step'"),
        ({"plotted": []}, "neither plotted nor measured"),
    ],
)
def test_faults_are_told(changes, message):
    (fault,) = faults(*example(**changes))
    assert message in fault


def test_a_text_without_a_value_is_a_fault():
    figures, _ = example()
    (fault,) = faults(figures, {"experiment-x": "The loss falls with the steps."})
    assert "no measured value" in fault


@pytest.fixture
def falling():
    fig, ax = plots.figure()
    ax.plot([0, 20, 40], [0.934, 0.5, 0.1178])
    ax.set(xlabel="step", ylabel="$w_1$")
    return fig


@pytest.mark.parametrize(
    ("number", "there"),
    [
        ("0.93", True),
        ("0.94", False),
        ("93", True),
        ("93.4", True),
        ("9.3e-01", True),
        ("0.118", True),
        ("0.1177", False),
    ],
)
def test_a_number_is_looked_for_to_its_digits(falling, number, there):
    assert is_among(number, plotted(falling)) == there


def test_everything_that_is_drawn_is_looked_through():
    fig, ax = plots.figure()
    ax.scatter([11.0], [12.0])
    ax.bar([0], [13.0])
    ax.imshow([[14.0]])
    ax.text(0, 0, "never, or 15 steps")
    ax.contour(np.arange(9.0).reshape(3, 3), levels=[2.5])
    found = plotted(fig)
    assert all(is_among(number, found) for number in ("11", "12", "13", "14", "15", "2.5"))
    assert not is_among("17", found)


def test_numbers_of_two_digits_count():
    text = "At η = 0.05, f₁ and x1 fall from 1.2e-03 to -40 in 7 steps, 3 of 4 runs"
    assert numbers(text) == ["1.2e-03", "-40"]


def test_axes_without_a_name_are_found(falling):
    assert unnamed_axes(falling, "w₁ falls to 0.12.") == ["step"]
    assert unnamed_axes(falling, "The first weight falls over 40 steps.") == ["$w_1$"]
    assert unnamed_axes(falling, "w₁ falls over 40 steps.") == []
