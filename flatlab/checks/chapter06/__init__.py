"""Visible checks of chapter 06."""

from flatlab.checks.chapter06.basis import plane_basis
from flatlab.checks.chapter06.batch_norm import reestimate_batch_norm
from flatlab.checks.chapter06.chain_rule import curve_gradient
from flatlab.checks.chapter06.coordinates import plane_coordinates
from flatlab.checks.chapter06.cycles import fge_learning_rate
from flatlab.checks.chapter06.paths import bezier, polychain
from flatlab.checks.chapter06.walls import barrier

__all__ = [
    "barrier",
    "bezier",
    "curve_gradient",
    "fge_learning_rate",
    "plane_basis",
    "plane_coordinates",
    "polychain",
    "reestimate_batch_norm",
]
