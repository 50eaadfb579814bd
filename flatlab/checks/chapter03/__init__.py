"""Visible checks of chapter 03."""

from flatlab.checks.chapter03.basins import basin_ratio
from flatlab.checks.chapter03.covariance import noise_covariance
from flatlab.checks.chapter03.cycles import cyclic_schedule
from flatlab.checks.chapter03.gibbs import gibbs_density
from flatlab.checks.chapter03.labels import corrupt_labels
from flatlab.checks.chapter03.langevin import langevin_step
from flatlab.checks.chapter03.rescaling import rescale_schedule

__all__ = [
    "basin_ratio",
    "corrupt_labels",
    "cyclic_schedule",
    "gibbs_density",
    "langevin_step",
    "noise_covariance",
    "rescale_schedule",
]
