"""Each thing that not everybody can make out, found in a figure that has it."""

import numpy as np
import pytest
from unclear import unclear

from flatlab import plots


def panel(draw) -> list[str]:
    """What is unclear in a figure of one panel that ``draw(ax)`` draws."""
    fig, ax = plots.figure()
    draw(ax)
    return unclear(fig)


def curves(ax, **options):
    for name, color in (("SGD", "blue"), ("SAM", "orange")):
        ax.plot([0, 1], [0, 1], color=plots.COLORS[color], label=name, **options)


def squares(ax):
    return ax.imshow([[0.0, 1.0], [0.5, 0.2]], cmap="Greys", vmin=0, vmax=1)


def words(ax, color, *cells):
    squares(ax)
    for x, y in cells:
        ax.text(x, y, "0.5", color=color)


EVERY_CELL = [(0, 0), (1, 0), (0, 1), (1, 1)]
WRONG = {
    "lines of one look": (
        lambda ax: curves(ax, linestyle="-"),
        "lines differ in color alone (SGD and SAM)",
    ),
    "points of one marker": (
        lambda ax: curves(ax, linestyle="none", marker="o"),
        "points differ in color alone (SGD and SAM)",
    ),
    "nameless lines": (
        lambda ax: [ax.axhline(y, color=plots.COLORS[c]) for y, c in ((0, "blue"), (1, "green"))],
        "lines differ in color alone (a nameless one in #0072b2ff and",
    ),
    "scattered points": (
        lambda ax: [ax.scatter([0], [y], color=c, label=c) for y, c in ((0, "black"), (1, "blue"))],
        "points differ in color alone (black and blue)",
    ),
    "points of many colors": (
        lambda ax: ax.scatter([0, 1], [0, 1], color=["black", "blue"], label="both"),
        "points differ in color alone (both and both)",
    ),
    "bars": (
        lambda ax: [ax.bar([x], [1], color=c, label=c) for x, c in ((0, "black"), (1, "blue"))],
        "bars differ in color alone (black and blue)",
    ),
    "named shades": (
        lambda ax: [
            ax.fill_between([0, 1], 0, y, color=c, alpha=0.2, label=c)
            for y, c in ((1, "black"), (2, "blue"))
        ],
        "shades differ in color alone (black and blue)",
    ),
    "arrows": (
        lambda ax: [
            ax.annotate("", xy=(1, 1), xytext=(0, y), arrowprops={"arrowstyle": "->", "color": c})
            for y, c in ((0, "black"), (1, "blue"))
        ],
        "arrows differ in color alone",
    ),
    "two names, one look": (
        lambda ax: [ax.plot([0, 1], [y, 1], "k--", label=f"seed {y}") for y in (0, 1)],
        "lines look the same (seed 0 and seed 1)",
    ),
    "a pale line": (lambda ax: ax.plot([0, 1], color="#56B4E9"), "a contrast of 2.31 with white"),
    "a line made pale": (
        lambda ax: ax.plot([0, 1], color=plots.COLORS["blue"], alpha=0.4),
        "with white",
    ),
    "pale contours": (
        lambda ax: ax.contour(np.eye(3), colors="0.7"),
        "contours in #b2b2b2ff have a contrast of 2.12",
    ),
    "pale words": (lambda ax: ax.text(0, 0, "here", color="0.6"), "the text 'here'"),
    "words in a cell": (lambda ax: words(ax, "black", (1, 0), *EVERY_CELL), "the text '0.5' has"),
    "an image without a scale": (squares, "add a color bar"),
    "an image with too few words": (lambda ax: words(ax, "blue", (0, 0)), "add a color bar"),
    "points of measured color": (
        lambda ax: ax.scatter([0, 1], [0, 1], c=[0.1, 0.2], cmap="cividis"),
        "add a color bar",
    ),
    "a mesh": (lambda ax: ax.pcolormesh(np.eye(3)), "add a color bar"),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_not_everybody_can_make_out_is_found(what):
    draw, message = WRONG[what]
    assert any(message in problem for problem in panel(draw)), panel(draw)


FINE = {
    "the cycle of looks": lambda ax: [
        ax.plot([0, 1], [k, k], label=f"{k}") for k in range(len(plots.COLORS))
    ],
    "markers": lambda ax: [
        ax.plot([0], [0], marker=m, color=plots.COLORS[c], linestyle="none", label=c)
        for m, c in (("o", "blue"), ("s", "orange"), ("^", "green"))
    ],
    "full and hollow": lambda ax: [
        ax.plot([0], [0], marker="o", markerfacecolor=face, color=color, linestyle="none")
        for face, color in (("none", "black"), ("#0072B2", "#0072B2"))
    ],
    "hatches": lambda ax: [
        ax.bar([x], [1], color=plots.COLORS[c], hatch=h, label=c)
        for x, c, h in ((0, "blue", "/"), (1, "orange", "x"))
    ],
    "several lines of one color, one name": lambda ax: [
        ax.plot([0, y], "k-", label="seeds" if y == 0 else None) for y in range(3)
    ],
    "error bars": lambda ax: [
        ax.errorbar([0, 1], [y, y], yerr=0.1, marker=m, linestyle=line, color=c, label=c)
        for y, m, line, c in ((0, "o", "-", "black"), (1, "s", "--", "blue"))
    ],
    "a nameless shade": lambda ax: ax.fill_between([0, 1], 0, 1, color="#56B4E9", alpha=0.2),
    "the house's contours": lambda ax: plots.contours(
        ax, range(5), range(5), np.add.outer(np.arange(5.0), np.arange(5.0))
    ),
    "an image and its bar": lambda ax: ax.figure.colorbar(squares(ax), ax=ax, label="share"),
    "words in every cell": lambda ax: [
        words(ax, "black", (0, 0), (0, 1), (1, 1)),
        ax.text(1, 0, "1", color="white"),
    ],
    "words over a blank axis": lambda ax: ax.text(0.5, 0.5, "N = n", color="black"),
}


@pytest.mark.parametrize("what", FINE)
def test_what_everybody_can_make_out_is_passed(what):
    assert panel(FINE[what]) == []


def test_the_panel_is_named():
    fig, (_, right) = plots.figure(columns=2)
    curves(right, linestyle="-")
    assert unclear(fig)[0].startswith("Panel 2: lines differ")
