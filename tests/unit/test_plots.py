"""Figures: one style, colors that can be told apart, text for every picture."""

import base64
import warnings

import numpy as np
import pytest

from flatlab import plots, widgets


def test_color_is_never_alone():
    _, ax = plots.figure()
    lines = [ax.plot([0, 1], [i, i])[0] for i in range(len(plots.COLORS))]
    assert len({line.get_linestyle() + str(line._dash_pattern) for line in lines}) == len(lines)
    assert len({line.get_color() for line in lines}) == len(lines)


def test_a_figure_is_the_same_bytes_twice_and_touches_no_global_state():
    import matplotlib

    before = dict(matplotlib.rcParams)

    def picture() -> bytes:
        fig, ax = plots.figure()
        ax.plot([0, 1], [0, 1], label="line")
        ax.legend()
        return plots.png(fig)

    assert picture() == picture()
    assert dict(matplotlib.rcParams) == before


def test_a_figure_needs_a_text_that_says_something():
    fig, _ = plots.figure()
    with pytest.raises(ValueError, match="too short"):
        plots.show(fig, alt="a figure")


def test_the_text_travels_with_the_picture():
    fig, _ = plots.figure()
    data, metadata = plots.bundle(fig, "An empty figure\n    with two axes.")  # said on one line
    assert base64.b64decode(data["image/png"]).startswith(b"\x89PNG")
    assert metadata["image/png"]["alt"] == data["text/plain"] == "An empty figure with two axes."


def test_outside_a_notebook_the_text_is_printed(capsys):
    fig, _ = plots.figure()
    plots.show(fig, alt="An empty figure with two axes.")
    assert "[figure] An empty figure" in capsys.readouterr().out


def test_contours_take_a_shared_axis_and_a_constant_surface():
    fig, axes = plots.figure(columns=2, sharex=True, sharey=True)
    grid = np.linspace(-1, 1, 9)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for ax in axes:
            plots.contours(ax, grid, grid, grid[:, None] ** 2 + grid[None] ** 2)
        plots.png(fig)


def test_the_frame_cuts_no_label_of_a_contour():
    fig, ax = plots.figure()
    grid = np.linspace(-1, 1, 50)
    plots.contours(ax, grid, grid, 3 * grid[:, None] ** 2 + grid[None] ** 2)
    fig.canvas.draw()
    frame = ax.get_window_extent()
    assert len(ax.texts) > 3
    for label in ax.texts:
        box = label.get_window_extent()
        assert frame.x0 <= box.x0 and box.x1 <= frame.x1, label
        assert frame.y0 <= box.y0 and box.y1 <= frame.y1, label


def draw(height: float):
    fig, ax = plots.figure()
    ax.plot([0, 1], [0, height])
    return fig


def say(height: float) -> str:
    return f"A line that climbs to {height:g} from zero."


def test_a_control_that_cannot_start_is_told():
    with pytest.raises(ValueError, match="cannot start"):
        widgets.explore(draw, say, {"height": (0.0, 1.0, 2.0, 0.1)})
    with pytest.raises(ValueError, match="no choices"):
        widgets.explore(draw, say, {"height": []})


@pytest.mark.parametrize(
    ("control", "start"),
    [
        ((0, 20, 1, 5), 0),  # chapter 07 at quick scale: the picture at 1 was that of 0
        ((0, 20, 8, 5), 10),
        ((0, 19, 18, 5), 19),
        ((-2.0, 1.0, -0.15, 0.05), -0.15),
        ((0.25, 3.0, 1.0, 0.25), 1.0),
    ],
)
def test_a_control_starts_where_its_slider_can_stand(control, start):
    import ipywidgets

    assert widgets.starting_value("n", control) == start
    assert widgets.control_widget(ipywidgets, "n", control, start).value == start


def test_a_widget_carries_its_static_twin(monkeypatch):
    import IPython.display

    shown = []
    monkeypatch.setattr(
        IPython.display, "display", lambda data, **options: shown.append((data, options))
    )
    widgets.explore(draw, say, {"height": (0.0, 2.0, 1.0, 0.5)})
    data, options = shown[-1]
    assert "application/vnd.jupyter.widget-view+json" in data
    assert base64.b64decode(data["image/png"]).startswith(b"\x89PNG")
    assert options["metadata"]["image/png"]["alt"] == "A line that climbs to 1 from zero."


def test_moving_a_slider_draws_again(monkeypatch):
    import ipywidgets

    seen = []

    def watched(height: float):
        seen.append(height)
        return draw(height)

    made = []
    original = ipywidgets.FloatSlider
    monkeypatch.setattr(
        ipywidgets, "FloatSlider", lambda **options: made.append(original(**options)) or made[-1]
    )
    widgets.explore(watched, say, {"height": (0.0, 2.0, 1.0, 0.5)})
    made[0].value = 2.0
    assert seen[-1] == 2.0


def test_whole_numbers_are_shown_as_such():
    import ipywidgets

    for control, shown in (((1, 60, 30, 1), ".0f"), ((0.0, 2.0, 1.0, 0.5), ".2f")):
        assert widgets.control_widget(ipywidgets, "n", control, 1).readout_format == shown


def test_a_widget_uses_no_output_widget(monkeypatch):
    """nbclient, under nbgrader too, sometimes waits for ever on a cell with one (its issue 312)."""
    import ipywidgets

    def refused(*arguments, **options):
        raise AssertionError("an Output widget was made")

    monkeypatch.setattr(ipywidgets, "Output", refused)
    widgets.explore(draw, say, {"height": (0.0, 2.0, 1.0, 0.5)})


def test_where_figures_are_off_the_words_stay(monkeypatch):
    monkeypatch.setenv("FLATLAB_FIGURES", "off")
    fig, _ = plots.figure()
    with pytest.raises(ValueError, match="too short"):
        plots.bundle(fig, "A figure.")
    data, metadata = plots.bundle(fig, "A line < from 0 to 1.")
    assert data["text/plain"] == "[not drawn] A line < from 0 to 1."
    assert data["text/html"] == "<p>[not drawn] A line &lt; from 0 to 1.</p>"
    assert "image/png" not in data and not metadata
