"""Small charts as SVG: what they show stands in their text and in a table beside them."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup, escape

from flatlab.course.reports.rows import STATES
from flatlab.course.reports.summary import Spread
from flatlab.plots import COLORS

# Color is never alone: each state has a pattern of its own, and its count stands in the bar.
FILLS = {
    "full": (COLORS["blue"], ""),
    "part": (COLORS["sky"], "M0 8 L8 0"),
    "none": (COLORS["orange"], "M0 0 L8 8"),
    "unwritten": ("#d0d0d0", ""),
    "by hand": ("#ffffff", "M0 4 H8"),
    "unscored": (COLORS["purple"], "M4 0 V8"),
}
_WIDTH, _BAR = 420, 24


def patterns() -> Markup:
    """The fills, once a page."""
    made = []
    for state, (color, path) in FILLS.items():
        line = f'<path d="{path}" stroke="#000" stroke-opacity=".45" stroke-width="1.5"/>'
        made.append(
            f'<pattern id="{_id(state)}" width="8" height="8" patternUnits="userSpaceOnUse">'
            f'<rect width="8" height="8" fill="{color}"/>{line if path else ""}</pattern>'
        )
    return Markup(
        f'<svg width="0" height="0" style="position:absolute" aria-hidden="true"><defs>{"".join(made)}</defs></svg>'
    )


def bar(spread: Spread) -> Markup:
    """One question's submissions as parts of a bar."""
    count, x, parts = sum(spread.counts.values()), 0.0, []
    for state, number in spread.counts.items():
        width = _WIDTH * number / count
        parts.append(
            f'<rect x="{x:.1f}" width="{width:.1f}" height="{_BAR}" fill="url(#{_id(state)})" '
            'stroke="#fff" stroke-width="1"/>'
        )
        if width > 9 * len(str(number)) + 8:
            parts.append(_number(x + width / 2, _BAR / 2 + 5, number))
        x += width
    return _picture(f"{spread.question.title}: {spread.text or 'no submissions'}.", _BAR, parts)


def histogram(bins: Sequence[tuple[str, int]]) -> Markup:
    """Submissions by total points."""
    height, most = 120, max([count for _, count in bins] + [1])
    step, parts = _WIDTH / len(bins), []
    for place, (name, count) in enumerate(bins):
        tall = 84 * count / most
        x = place * step
        parts.append(
            f'<rect x="{x + 3:.1f}" y="{100 - tall:.1f}" width="{step - 6:.1f}" height="{tall:.1f}" '
            f'fill="{COLORS["blue"]}"/>'
        )
        middle = x + step / 2
        if count:
            parts.append(_number(middle, 95 - tall, count, plain=True))
        parts.append(
            f'<text x="{middle:.1f}" y="116" text-anchor="middle" font-size="11" fill="currentColor">{escape(name)}</text>'
        )
    parts.append(f'<path d="M0 100.5 H{_WIDTH}" stroke="currentColor"/>')
    words = ", ".join(f"{count} with {name}" for name, count in bins if count)
    return _picture(f"Submissions by points: {words or 'none'}.", height, parts)


def legend(states: Sequence[str]) -> Markup:
    """A square for each state that is shown, with its name."""
    made = [
        f'<span><svg width="14" height="14" aria-hidden="true"><rect width="14" height="14" '
        f'fill="url(#{_id(state)})" stroke="#555"/></svg> {escape(STATES[state])}</span>'
        for state in STATES
        if state in states
    ]
    return Markup(f'<p class="legend">{" ".join(made)}</p>')


def _number(x: float, y: float, number: int, plain: bool = False) -> str:
    halo = "" if plain else ' stroke="#fff" stroke-width="3.5" paint-order="stroke"'
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="middle" font-size="14" font-weight="600" '
        f'fill="{"currentColor" if plain else "#000"}"{halo}>{number}</text>'
    )


def _id(state: str) -> str:
    return f"fill-{state.replace(' ', '-')}"


def _picture(words: str, height: int, parts: Sequence[str]) -> Markup:
    return Markup(
        f'<svg role="img" aria-label="{escape(words)}" viewBox="0 0 {_WIDTH} {height}" '
        f'class="chart"><title>{escape(words)}</title>{"".join(parts)}</svg>'
    )
