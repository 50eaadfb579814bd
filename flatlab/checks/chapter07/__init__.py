"""Visible checks of chapter 07."""

from flatlab.checks.chapter07.decay import decoupled_weight_decay_step
from flatlab.checks.chapter07.restricted import restricted_loss
from flatlab.checks.chapter07.spectrum import fourier_power
from flatlab.checks.chapter07.split import split_table
from flatlab.checks.chapter07.tables import modular_table
from flatlab.checks.chapter07.times import time_to_threshold

__all__ = [
    "decoupled_weight_decay_step",
    "fourier_power",
    "modular_table",
    "restricted_loss",
    "split_table",
    "time_to_threshold",
]
