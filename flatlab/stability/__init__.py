"""Which minima SGD can stay at: Theorem 1 of Wu, Ma and E (2018), its bounds, and where they bite."""

from flatlab.stability.escape import EscapeSystem
from flatlab.stability.region import plot_stability_region
from flatlab.stability.theorem import (
    StabilityOperator,
    is_linearly_stable,
    mean_square_multiplier,
    non_uniformity_bound,
    sharpness_bound,
    stability_matrix,
)

__all__ = [
    "EscapeSystem",
    "StabilityOperator",
    "is_linearly_stable",
    "mean_square_multiplier",
    "non_uniformity_bound",
    "plot_stability_region",
    "sharpness_bound",
    "stability_matrix",
]
