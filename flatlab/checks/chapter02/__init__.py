"""Visible checks of chapter 02."""

from flatlab.checks.chapter02.bounds import non_uniformity_bound, sharpness_bound
from flatlab.checks.chapter02.escape import escape_trajectory
from flatlab.checks.chapter02.multiplier import mean_square_multiplier
from flatlab.checks.chapter02.power import non_uniformity
from flatlab.checks.chapter02.products import variance_product
from flatlab.checks.chapter02.region import region_contains
from flatlab.checks.chapter02.theorem import stability_matrix
from flatlab.checks.chapter02.verdicts import is_linearly_stable

__all__ = [
    "escape_trajectory",
    "is_linearly_stable",
    "mean_square_multiplier",
    "non_uniformity",
    "non_uniformity_bound",
    "region_contains",
    "sharpness_bound",
    "stability_matrix",
    "variance_product",
]
