"""Heavy tails: symmetric stable laws, the tail index of gradient noise, first exits from a well."""

from flatlab.tails.exits import Exits, first_exits, levy_step
from flatlab.tails.gradients import batch_gradients, in_blocks
from flatlab.tails.index import (
    correlated_gaussian,
    exchanged,
    gradient_noise,
    matched_gaussian,
    scale_agreement,
    tail_index,
)
from flatlab.tails.stable import sample_stable

__all__ = [
    "Exits",
    "batch_gradients",
    "correlated_gaussian",
    "exchanged",
    "first_exits",
    "gradient_noise",
    "in_blocks",
    "levy_step",
    "matched_gaussian",
    "sample_stable",
    "scale_agreement",
    "tail_index",
]
