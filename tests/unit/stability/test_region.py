"""The diagram shows the bounds that the functions give, and every point."""

import math

import pytest

from flatlab import plots
from flatlab.stability import non_uniformity_bound, plot_stability_region, sharpness_bound


def shaded(ax):
    """The corner of the shaded region farthest from the origin."""
    box = ax.collections[0].get_datalim(ax.transData)
    return box.x1, box.y1


def test_the_shade_ends_at_the_bounds():
    ax = plot_stability_region(0.1, 10, 1000)
    assert shaded(ax) == pytest.approx((sharpness_bound(0.1), non_uniformity_bound(0.1, 10, 1000)))
    assert ax.get_xlabel() == "sharpness a" and ax.get_ylabel() == "non-uniformity s"


def test_the_exact_line_lies_inside_and_touches_the_second_bound():
    ax = plot_stability_region(0.1, 10, 1000)
    a, s = max((line.get_data() for line in ax.lines), key=lambda data: len(data[0]))
    assert max(s) == pytest.approx(non_uniformity_bound(0.1, 10, 1000))
    share = 990 / (10 * 999)
    for x, y in zip(a, s, strict=True):
        assert (1 - 0.1 * x) ** 2 + 0.01 * share * y**2 == pytest.approx(1, abs=1e-9)


def test_gradient_descent_is_shaded_to_the_top():
    ax = plot_stability_region(0.1, 1000, 1000, points=[(19.0, 45.0)])
    assert shaded(ax)[1] == pytest.approx(ax.get_ylim()[1])
    assert ax.get_ylim()[1] > 45


def test_points_are_drawn_named_and_in_view():
    fig, ax = plots.figure()
    points = {"GD": (30.0, 90.0), "SGD": [(1.0, 2.0), (2.0, 3.0)]}
    assert plot_stability_region(0.1, 10, 1000, points=points, ax=ax) is ax
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels == ["GD", "SGD"]
    assert ax.get_xlim()[1] > 30 and ax.get_ylim()[1] > 90
    assert fig.axes == [ax]


def test_bad_points():
    for points in [[(1.0, math.nan)], [(1.0, 2.0, 3.0)], {"x": [1.0]}]:
        with pytest.raises(ValueError, match="pairs"):
            plot_stability_region(0.1, 10, 1000, points=points)
    with pytest.raises(ValueError, match="batch_size"):
        plot_stability_region(0.1, 0, 1000)
