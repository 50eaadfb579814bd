"""Sharpness-aware minimization: the optimizer, its exact gradient, and penalties on the Hessian."""

from flatlab.sam.ascent import dual_norm_ascent
from flatlab.sam.gradient import SAMGradient, sam_gradient
from flatlab.sam.optimizer import SAM
from flatlab.sam.penalty import hessian_penalty

__all__ = ["SAM", "SAMGradient", "dual_norm_ascent", "hessian_penalty", "sam_gradient"]
