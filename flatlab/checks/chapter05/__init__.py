"""Visible checks of chapter 05."""

from flatlab.checks.chapter05.adaptive import adaptive_ascent
from flatlab.checks.chapter05.ascent import dual_norm_ascent
from flatlab.checks.chapter05.average import swa_average
from flatlab.checks.chapter05.exact import sam_gradient_exact
from flatlab.checks.chapter05.gradient import sam_gradient
from flatlab.checks.chapter05.penalty import hessian_penalty
from flatlab.checks.chapter05.step import sam_step

__all__ = [
    "adaptive_ascent",
    "dual_norm_ascent",
    "hessian_penalty",
    "sam_gradient",
    "sam_gradient_exact",
    "sam_step",
    "swa_average",
]
