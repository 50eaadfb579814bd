"""The palette: contrast on white, and what is left of it for readers who see fewer colors.

Color vision deficiencies are simulated by colorspacious, with the matrices of Machado, Oliveira and
Fernandes (2009) at full severity. Distances are its CAM02-UCS (Luo, Cui and Li, 2006), in which 1
is about what can just be seen.
"""

import itertools

import numpy as np
import pytest
from unclear import LINE_CONTRAST, contrast

from flatlab import plots

cspace = pytest.importorskip("colorspacious")
LEAST_DISTANCE = 10.0
SEEN_AS = {
    "full color vision": None,
    "protan": "protanomaly",
    "deutan": "deuteranomaly",
    "tritan": "tritanomaly",
}
OKABE_ITO_SKY, OKABE_ITO_AMBER = "#56B4E9", "#E69F00"  # what the palette had before


def coordinates(color: str, kind: str) -> np.ndarray:
    """CAM02-UCS coordinates of "#rrggbb" as seen with a kind of color vision."""
    rgb = np.array([int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    if SEEN_AS[kind]:
        space = {"name": "sRGB1+CVD", "cvd_type": SEEN_AS[kind], "severity": 100}
        rgb = np.clip(cspace.cspace_convert(rgb, space, "sRGB1"), 0, 1)
    return cspace.cspace_convert(rgb, "sRGB1", "CAM02-UCS")


def closest(colors: dict[str, str], kind: str) -> tuple[float, str, str]:
    """The two colors that look most alike, and how far apart they are."""
    return min(
        (float(np.linalg.norm(coordinates(colors[a], kind) - coordinates(colors[b], kind))), a, b)
        for a, b in itertools.combinations(colors, 2)
    )


def pale(colors: dict[str, str]) -> list[str]:
    return [name for name, color in colors.items() if contrast(color) < LINE_CONTRAST]


def test_every_color_has_contrast_on_white():
    assert pale(plots.COLORS) == []


def test_colors_that_are_too_pale_are_found():
    assert pale({"sky": OKABE_ITO_SKY, "amber": OKABE_ITO_AMBER}) == ["sky", "amber"]


@pytest.mark.parametrize("kind", SEEN_AS)
def test_no_two_colors_look_alike(kind):
    distance, one, other = closest(plots.COLORS, kind)
    assert distance >= LEAST_DISTANCE, f"{one} and {other}: {distance:.1f}"


@pytest.mark.parametrize(
    ("one", "other", "kind"),
    [
        ("#D55E00", "#7F8F00", "protan"),
        ("#C9453B", "#7B7B2E", "deutan"),
        ("#0072B2", "#008080", "tritan"),
        ("#0072B2", "#0A78B0", "full color vision"),
    ],
)
def test_colors_that_look_alike_are_found(one, other, kind):
    assert closest({"one": one, "other": other}, kind)[0] < LEAST_DISTANCE


@pytest.mark.parametrize(
    ("color", "behind", "ratio"),
    [("#000000", "#ffffff", 21.0), ("#777777", "#ffffff", 4.48), ("#ffffff", "#0000ff", 8.59)],
)
def test_contrast_is_that_of_wcag(color, behind, ratio):
    """The ratios that WebAIM's contrast checker gives."""
    assert contrast(color, behind) == pytest.approx(ratio, abs=0.005)


def test_white_shines_through():
    assert contrast((0, 0, 0, 0.5)) == pytest.approx(contrast("#808080"), abs=0.05)


def test_docs_have_the_measured_values(repository):
    """docs/accessibility.md: a row for each color, a row for each kind of color vision."""
    text = (repository / "docs" / "accessibility.md").read_text(encoding="utf-8")
    for name, color in plots.COLORS.items():
        assert f"| {name} | `{color}` | {contrast(color):.2f} |" in text
    for kind in SEEN_AS:
        distance, one, other = closest(plots.COLORS, kind)
        assert f"| {kind} | {distance:.1f} | {one}, {other} |" in text
