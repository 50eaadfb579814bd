"""What in a figure cannot be made out without color vision, or for lack of contrast."""

import itertools
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PathCollection, PolyCollection, QuadMesh
from matplotlib.colors import to_hex, to_rgba
from matplotlib.container import BarContainer
from matplotlib.contour import ContourSet
from matplotlib.figure import Figure

# Least contrast with what is behind, by WCAG 2.2, success criteria 1.4.11 and 1.4.3.
LINE_CONTRAST, TEXT_CONTRAST = 3.0, 4.5


class Mark(NamedTuple):
    """Something drawn in a panel: its kind, its name in the legend, how it looks but for color."""

    kind: str
    name: str
    look: tuple | None  # None: it need not be told from others
    color: str  # "#rrggbbaa"


def unclear(fig: Figure) -> list[str]:
    """What in ``fig`` cannot be made out without color vision, or for lack of contrast, in words.

    Of the lines, points, bars and arrows of a panel, two of different color or name differ in
    dashes, marker or hatching too. Where colors stand for values there is a color bar, or a text
    in each cell. Lines, points, bars and contours have a contrast of 3 with white, texts of 4.5
    with white or the image behind (WCAG 2.2, success criteria 1.4.1, 1.4.11 and 1.4.3). Shades
    between lines may be paler.
    """
    found = []
    colored = [one for ax in fig.axes for one in (*ax.images, *ax.collections)]
    bars = [one.colorbar.ax for one in colored if one.colorbar is not None]
    for number, ax in enumerate((ax for ax in fig.axes if ax not in bars), 1):
        marks = list(dict.fromkeys(_marks(ax)))
        problems = [*_alike(marks), *_pale(ax, marks), *_without_scale(ax)]
        found += [f"Panel {number}: {problem}" for problem in dict.fromkeys(problems)]
    return found


def contrast(color: Any, behind: Any = "white") -> float:
    """Contrast ratio of two of matplotlib's colors, from 1 to 21 (WCAG 2.2, "contrast ratio").

    White shines through where a color is transparent.
    """
    luminances = []
    for one in (color, behind):
        *channels, alpha = to_rgba(one)
        mixed = 1 - alpha + alpha * np.array(channels)
        linear = np.where(mixed <= 0.04045, mixed / 12.92, ((mixed + 0.055) / 1.055) ** 2.4)
        luminances.append(float(linear @ [0.2126, 0.7152, 0.0722]))
    return (max(luminances) + 0.05) / (min(luminances) + 0.05)


def _alike(marks: list[Mark]) -> Iterator[str]:
    """Marks that nothing but color or name tells apart."""
    for one, other in itertools.combinations([m for m in marks if m.look is not None], 2):
        if (one.kind, one.look) != (other.kind, other.look):
            continue
        both = " and ".join(mark.name or f"a nameless one in {mark.color}" for mark in (one, other))
        if one.color != other.color:
            yield f"{one.kind} differ in color alone ({both}): vary dashes, markers or hatching."
        elif one.name and other.name:
            yield f"{one.kind} look the same ({both})."


def _pale(ax: Axes, marks: list[Mark]) -> Iterator[str]:
    """Marks and texts with too little contrast."""
    for mark in marks:
        if mark.kind != "shades" and (ratio := contrast(mark.color)) < LINE_CONTRAST:
            name = f" of {mark.name}" if mark.name else ""
            yield f"{mark.kind}{name} in {mark.color} have a contrast of {ratio:.2f} with white."
    for text in ax.texts:
        ratio = contrast(text.get_color(), _behind(ax, text))
        if text.get_text().strip() and ratio < TEXT_CONTRAST:
            yield f"the text {text.get_text()!r} has a contrast of {ratio:.2f} with what is behind."


def _without_scale(ax: Axes) -> Iterator[str]:
    """Colors that stand for values which nobody can look up."""

    for image in (*ax.images, *ax.collections):
        if image in ax.images or isinstance(image, QuadMesh | PathCollection):
            values = image.get_array()
            if values is not None and image.colorbar is None and len(ax.texts) < np.size(values):
                yield "colors stand for values: add a color bar, or write the value in each cell."


def _behind(ax: Axes, text: Any) -> Any:
    """The color of the image under the anchor of a text; white where there is none."""
    x, y = text.get_position()
    for image in ax.images:
        left, right, bottom, top = image.get_extent()
        across, up = (x - left) / (right - left), (y - bottom) / (top - bottom)
        if text.get_transform() == ax.transData and 0 <= across < 1 and 0 <= up < 1:
            colors = image.to_rgba(image.get_array())
            down = up if image.origin == "lower" else 1 - up
            return colors[int(down * len(colors)), int(across * len(colors[0]))]
    return "white"


def _marks(ax: Axes) -> Iterator[Mark]:
    """All that is drawn with data, and the arrows."""

    nothing = ("None", "none", " ", "")

    def mark(kind: str, artist: Any, look: tuple | None, color: Any) -> Mark:
        label = str(artist.get_label() or "")
        return Mark(kind, "" if label.startswith("_") else label, look, to_hex(color, True))

    for line in ax.lines:
        # matplotlib calls every pattern of dashes '--', and keeps the pattern to itself
        dashes = (line.get_linestyle(), str(getattr(line, "_unscaled_dash_pattern", "")))
        points = (str(line.get_marker()), str(line.get_markerfacecolor()) in nothing)
        drawn = (*dashes, *(points if points[0] not in nothing else ()))
        if dashes[0] not in nothing:
            yield mark("lines", line, drawn, to_rgba(line.get_color(), line.get_alpha()))
        elif points[0] not in nothing:
            edge = to_rgba(line.get_markeredgecolor(), line.get_alpha())
            yield mark("points", line, drawn, edge)
    for group in ax.collections:
        unnamed = str(group.get_label()).startswith("_")
        for edge in group.get_edgecolor() if isinstance(group, ContourSet) else ():
            yield mark("contours", group, None, edge)
        if isinstance(group, PathCollection):
            look = (group.get_paths()[0].vertices.tobytes(), not len(group.get_facecolor()))
            for color in group.get_edgecolor() if group.get_array() is None else ():
                yield mark("points", group, look, color)
        elif isinstance(group, LineCollection):  # of an error bar, if unnamed
            look = None if unnamed else (str(group.get_linestyle()),)
            yield mark("lines", group, look, group.get_edgecolor()[0])
        elif isinstance(group, PolyCollection) and len(group.get_facecolor()):
            look = None if unnamed else (group.get_hatch(),)
            yield mark("shades", group, look, group.get_facecolor()[0])
    for bars in ax.containers:
        if isinstance(bars, BarContainer) and len(bars):
            yield mark("bars", bars, (bars[0].get_hatch(),), bars[0].get_facecolor())
    for text in ax.texts:
        if arrow := getattr(text, "arrow_patch", None):
            yield mark("arrows", arrow, (arrow.get_linestyle(),), arrow.get_edgecolor())
