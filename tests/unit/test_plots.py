"""Figures: one style, colors that can be told apart, text for every picture."""

import base64
import itertools
import warnings

import numpy as np
import pytest

from flatlab import plots, widgets


def relative_luminance(color: str) -> float:
    """WCAG 2 relative luminance of "#rrggbb"."""
    channels = np.array([int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    linear = np.where(channels <= 0.03928, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def seen_by(kind: str, color: str) -> np.ndarray:
    """The color as seen with a color vision deficiency (Vienot, Brettel and Mollon, 1999)."""
    rgb = np.array([int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]) ** 2.2
    to_lms = np.array(
        [[17.8824, 43.5161, 4.1193], [3.4557, 27.1554, 3.8671], [0.02996, 0.18431, 1.467]]
    )
    reduce = {
        "protan": [[0, 2.02344, -2.52581], [0, 1, 0], [0, 0, 1]],
        "deutan": [[1, 0, 0], [0.49421, 0, 1.24827], [0, 0, 1]],
    }[kind]
    return np.linalg.inv(to_lms) @ np.array(reduce) @ to_lms @ rgb


@pytest.mark.parametrize("kind", ["protan", "deutan"])
def test_no_two_colors_look_alike_to_color_blind_readers(kind):
    for a, b in itertools.combinations(plots.COLORS.values(), 2):
        assert np.linalg.norm(seen_by(kind, a) - seen_by(kind, b)) > 0.1, (a, b)


def test_the_first_curves_have_contrast_on_white():
    for color in list(plots.COLORS.values())[:3]:
        assert 1.05 / (relative_luminance(color) + 0.05) >= 3, color


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
    data, metadata = plots.bundle(fig, "An empty figure with two axes.")
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
