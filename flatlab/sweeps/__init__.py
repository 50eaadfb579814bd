"""Sweeps: many runs of one architecture over settings and seeds, trained in lockstep."""

from flatlab.sweeps.runs import Outcome, Run, grid
from flatlab.sweeps.sweep import AllDiverged, sweep

__all__ = ["AllDiverged", "Outcome", "Run", "grid", "sweep"]
