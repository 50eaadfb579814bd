"""A widget's sliders, moved as a student moves them: by keys and by the mouse."""

from collections.abc import Callable
from dataclasses import dataclass

from lab import Notebook
from playwright.sync_api import Locator, expect

REDRAW_MS = 60_000


@dataclass(frozen=True)
class Move:
    """A control in a new place, and what had been there before."""

    control: str  # its label
    before: str  # its value
    value: str
    words: str  # what then stood below the picture


def move_all(notebook: Notebook, name: str) -> list[Move]:
    """Bring each control of the widget ``name`` to both ends and to its middle.

    Each new value must draw another picture and say something else below it; a control that
    already stands in the place where it is sent is no move. Raises ``AssertionError``.
    """
    cell = notebook.cell(name)
    controls = cell.locator(".widget-slider")
    expect(controls.first).to_be_visible()
    moves = []
    for place in range(controls.count()):
        control = controls.nth(place)
        own = [move for send in _sends(control) for move in _moved(cell, control, send)]
        assert len({move.value for move in own}) >= 2, f"{name}: control {place} does not move"
        moves += own
    image, frame = cell.locator("img").bounding_box(), cell.bounding_box()
    assert image["x"] + image["width"] <= frame["x"] + frame["width"], f"{name} is cut off"
    return moves


def _sends(control: Locator) -> list[Callable]:
    """Functions that send a control to its first, last and middle value."""
    slider = control.get_by_role("slider")
    track = control.locator(".noUi-base")
    return [lambda: slider.press("Home"), lambda: slider.press("End"), track.click]


def _value(control: Locator) -> str:
    return control.locator(".widget-readout").text_content().strip()


def _fits(text: Locator) -> bool:
    return text.evaluate("element => element.scrollWidth <= element.clientWidth + 1")


def _moved(cell: Locator, control: Locator, send: Callable) -> list[Move]:
    picture, words = cell.locator("img"), cell.locator("p[aria-live]")
    before, drawn, said = _value(control), picture.get_attribute("src"), words.text_content()
    send()
    value = _value(control)
    assert _fits(control.locator(".widget-readout")), f"{value} is cut off beside its slider"
    if value == before:
        return []
    label = control.locator(".widget-label").first.text_content()
    what = f"{label} from {before} to {value}"
    expect(picture, what).not_to_have_attribute("src", drawn, timeout=REDRAW_MS)
    expect(words, what).not_to_have_text(said)
    assert picture.get_attribute("alt") == words.text_content()
    return [Move(label, before, value, words.text_content())]
