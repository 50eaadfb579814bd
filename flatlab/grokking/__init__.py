"""Grokking: modular tables, networks that learn them, and measures of what happens after the fit."""

from flatlab.grokking.fourier import (
    excluded_loss,
    fourier_basis,
    fourier_power,
    key_frequencies,
    participation,
    restricted_loss,
)
from flatlab.grokking.losses import cross_entropy, one_hot_mse
from flatlab.grokking.networks import OneHotMLP, Transformer
from flatlab.grokking.phases import PHASES, PhaseDiagram, phase_diagram
from flatlab.grokking.progress import (
    Reached,
    grokking_delay,
    progress_measures,
    time_to_threshold,
    weight_norm,
)
from flatlab.grokking.tables import OPERATIONS, ModularTable, modular_table, split_table

__all__ = [
    "OPERATIONS",
    "PHASES",
    "ModularTable",
    "OneHotMLP",
    "PhaseDiagram",
    "Reached",
    "Transformer",
    "cross_entropy",
    "excluded_loss",
    "fourier_basis",
    "fourier_power",
    "grokking_delay",
    "key_frequencies",
    "modular_table",
    "one_hot_mse",
    "participation",
    "phase_diagram",
    "progress_measures",
    "restricted_loss",
    "split_table",
    "time_to_threshold",
    "weight_norm",
]
