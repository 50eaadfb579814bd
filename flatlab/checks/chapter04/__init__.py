"""Visible checks of chapter 04."""

from flatlab.checks.chapter04.control import matched_gaussian
from flatlab.checks.chapter04.exits import first_exit_time
from flatlab.checks.chapter04.means import mean_exit_time
from flatlab.checks.chapter04.noise import gradient_noise
from flatlab.checks.chapter04.stable import sample_stable
from flatlab.checks.chapter04.step import levy_step
from flatlab.checks.chapter04.tail import tail_index

__all__ = [
    "first_exit_time",
    "gradient_noise",
    "levy_step",
    "matched_gaussian",
    "mean_exit_time",
    "sample_stable",
    "tail_index",
]
