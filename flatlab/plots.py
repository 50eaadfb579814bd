"""One look for every figure: a palette that survives color blindness, and text for every picture.

Figures are made without pyplot, so nothing is shown twice and no global state changes. A figure
reaches the notebook through ``show``, which asks for its alternative text.
"""

from __future__ import annotations

import base64
import html
import io
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito (2008), but for the last two before black: theirs are too pale for lines on white.
COLORS = {
    "blue": "#0072B2",
    "orange": "#D55E00",
    "green": "#009E73",
    "purple": "#CC79A7",
    "sky": "#5C8AFF",
    "brown": "#804D1A",
    "black": "#000000",
}
# Color is never alone: the n-th curve has its own dashes too.
DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1)), (0, (1, 1)), (0, (8, 2)))
_STYLE: Any = {
    "axes.grid": True,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.labelsize": 10,
    "font.size": 10,
    "grid.alpha": 0.3,
}


def figure(
    columns: int = 1, rows: int = 1, width: float = 7.0, height: float = 3.4, **subplot_options: Any
) -> tuple[Figure, Axes | np.ndarray]:
    """A figure and its axes in the course's style; sizes in inches.

    Returns one ``Axes`` for a single panel, else an array of them as ``Figure.subplots`` gives.
    """
    import matplotlib
    from cycler import cycler
    from matplotlib.figure import Figure

    count = len(COLORS)
    cycle = cycler(color=list(COLORS.values()), linestyle=DASHES[:count], linewidth=[1.8] * count)
    with matplotlib.rc_context({**_STYLE, "axes.prop_cycle": cycle}):
        fig = Figure(figsize=(width, height), layout="constrained")
        axes = fig.subplots(rows, columns, **subplot_options)
    return fig, axes


def png(fig: Figure, dpi: int = 110) -> bytes:
    """The figure as PNG bytes, the same for the same figure and matplotlib."""
    import matplotlib

    buffer = io.BytesIO()
    for legend in filter(None, (ax.get_legend() for ax in fig.axes)):
        legend.set_frame_on(False)
    with matplotlib.rc_context(_STYLE):
        fig.savefig(buffer, format="png", dpi=dpi, metadata={"Software": None})
    return buffer.getvalue()


def bundle(fig: Figure, alt: str) -> tuple[dict, dict]:
    """The figure as a notebook's data and metadata: the picture, and its text for those who
    cannot see it. Raises ``ValueError`` where ``alt`` says too little to stand for a picture.

    With ``$FLATLAB_FIGURES`` = off, as ``flatlab grade`` has it, the text alone: drawing takes an
    eighth of a notebook's time there, and pictures at quick scale show nothing.
    """
    alt = " ".join(alt.split())  # readings are printed on several lines, and said on one
    if alt.count(" ") < 4:  # fewer than five words
        raise ValueError(
            f"The alternative text {alt!r} is too short: say what the figure shows, so that who "
            "cannot see it learns the same."
        )
    if os.environ.get("FLATLAB_FIGURES") == "off":
        words = f"[not drawn] {alt}"
        return {"text/html": f"<p>{html.escape(words)}</p>", "text/plain": words}, {}
    encoded = base64.b64encode(png(fig)).decode()
    data = {"image/png": encoded, "text/html": image_tag(encoded, alt), "text/plain": alt}
    return data, {"image/png": {"alt": alt}}


def image_tag(encoded: str, alt: str) -> str:
    """An HTML image of base64 PNG data. JupyterLab shows ``image/png`` without its alt text."""
    return f'<img alt="{html.escape(alt)}" src="data:image/png;base64,{encoded}">'


def show(fig: Figure, alt: str) -> None:
    """Show ``fig`` in the notebook with the alternative text ``alt``; outside one, print the text."""
    data, metadata = bundle(fig, alt)
    try:
        from IPython import get_ipython
        from IPython.display import display
    except ImportError:
        get_ipython = lambda: None
    if get_ipython() is None:
        print(f"[figure] {data['text/plain']}")
    else:
        display(data, metadata=metadata, raw=True)


def density(ax: Axes, results: dict[str, Any], floor: float = 1e-6) -> None:
    """Spectral densities on a log axis, one line for each name in ``results``.

    A result has ``grid`` and ``density`` as tensors, as ``flatlab.spectral_density`` returns them.
    """
    for name, result in results.items():
        values = np.clip(np.asarray(result.density, dtype=float), floor, None)
        ax.semilogy(np.asarray(result.grid, dtype=float), values, label=name)
    ax.set_xlabel("eigenvalue of the Hessian")
    ax.set_ylabel("density")
    ax.set_ylim(bottom=floor)
    ax.legend()


def contours(
    ax: Axes,
    xs: Sequence[float],
    ys: Sequence[float],
    values: Any,
    levels: Sequence[float] | None = None,
    origin: bool = True,
) -> None:
    """Labeled contour lines of ``values`` (len(ys), len(xs)), darker where higher; a star at 0, 0."""
    from matplotlib import colormaps
    from matplotlib.colors import ListedColormap

    # The palest part of cividis is left out: it cannot be read on white.
    shades = ListedColormap(colormaps["cividis_r"](np.linspace(0.38, 1.0, 256)))
    drawn = ax.contour(
        np.asarray(xs, dtype=float),
        np.asarray(ys, dtype=float),
        np.asarray(values, dtype=float),
        levels=levels,
        cmap=shades,
        linewidths=1.2,
    )
    for text in ax.clabel(drawn, inline=False, fontsize=8, fmt="%.3g", colors="black"):
        text.set_bbox({"facecolor": "white", "edgecolor": "none", "pad": 1})  # no gap where removed
        place = ax.transAxes.inverted().transform(ax.transData.transform(text.get_position()))
        if np.abs(place - 0.5).max() > 0.45:  # the frame would cut it
            text.remove()
    if origin:
        ax.plot(0, 0, marker="*", color=COLORS["orange"], markersize=10, linestyle="none")
    ax.set_aspect("equal", adjustable="box")
