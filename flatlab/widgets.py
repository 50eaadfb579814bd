"""Interactive pictures with a static twin: sliders where a kernel runs, a figure everywhere."""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from flatlab import plots

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# name -> (low, high, start, step), or a list of choices with the first as the start
Controls = Mapping[str, tuple[float, float, float, float] | list]


def explore(draw: Callable[..., Figure], alt: Callable[..., str], controls: Controls) -> None:
    """Show ``draw(**values)`` with a slider for each of ``controls``.

    draw, alt: called with the controls' names as keywords; the figure, and what it shows in words.
    The words stand under the picture and follow the sliders. The output also holds the picture at
    the starting values, which a page without a kernel shows instead. A start between two values of
    its slider is taken to the nearest.
    Raises ``ValueError`` for a control whose start lies outside its range.
    """
    start = {name: starting_value(name, control) for name, control in controls.items()}
    figure, text = draw(**start), alt(**start)
    try:
        import ipywidgets
        from IPython.display import display
    except ImportError:
        print("ipywidgets is not installed, so the picture stands still.")
        plots.show(figure, alt=text)
        return
    data, metadata = plots.bundle(figure, text)
    boxes = {
        name: control_widget(ipywidgets, name, controls[name], start[name]) for name in controls
    }
    # An HTML widget and no Output widget: nbclient, and so nbgrader, now and then hangs on those.
    picture = ipywidgets.HTML(as_html(data))

    def redraw(change: Any) -> None:
        values = {name: box.value for name, box in boxes.items()}
        picture.value = as_html(plots.bundle(draw(**values), alt(**values))[0])

    for box in boxes.values():
        box.observe(redraw, names="value")
    live = ipywidgets.VBox([*boxes.values(), picture])._repr_mimebundle_()
    display({**live, **data}, metadata=metadata, raw=True)


def as_html(data: dict) -> str:
    """A figure's data as an image with its words below, which screen readers speak on change.

    No wider than its cell: JupyterLab sees to that for outputs, not inside of widgets.
    """
    image = data["text/html"].replace("<img ", '<img style="max-width: 100%" ', 1)
    return f'{image}<p aria-live="polite">{html.escape(data["text/plain"])}</p>'


def starting_value(name: str, control: tuple | list) -> Any:
    """The value a control starts at, one that its slider can have.

    Raises ``ValueError`` for a control that makes no sense.
    """
    if isinstance(control, list):
        if not control:
            raise ValueError(f"The control {name!r} has no choices.")
        return control[0]
    low, high, start, step = control
    if not low <= start <= high or step <= 0:
        raise ValueError(
            f"The control {name!r} goes from {low} to {high} in steps of {step}, and cannot start "
            f"at {start}."
        )
    nearest = min(low + round((start - low) / step) * step, high)
    return start if abs(nearest - start) < 1e-6 * step else nearest


def control_widget(ipywidgets: Any, name: str, control: tuple | list, start: Any) -> Any:
    """A slider over a list's choices or a range, at ``start``; it redraws on release, not on every
    pixel.

    No menu for a list: Jupyter takes its arrow keys to go from cell to cell.
    """
    common = {
        "description": name.replace("_", " "),
        "style": {"description_width": "11em"},
        "layout": ipywidgets.Layout(width="36em" if isinstance(control, list) else "30em"),
        "continuous_update": False,
    }
    if isinstance(control, list):
        return ipywidgets.SelectionSlider(options=control, value=start, **common)
    low, high, _, step = control
    if all(float(number).is_integer() for number in control):
        common["readout_format"] = ".0f"
    return ipywidgets.FloatSlider(value=start, min=low, max=high, step=step, **common)
