"""Visible checks of chapter 01."""

from flatlab.checks.chapter01.ball import epsilon_sharpness
from flatlab.checks.chapter01.derivatives import hessian_2d, second_derivative
from flatlab.checks.chapter01.hvp import hvp
from flatlab.checks.chapter01.probes import frobenius_norm
from flatlab.checks.chapter01.rescaling import rescale_relu
from flatlab.checks.chapter01.spectrum import power_iteration

__all__ = [
    "epsilon_sharpness",
    "frobenius_norm",
    "hessian_2d",
    "hvp",
    "power_iteration",
    "rescale_relu",
    "second_derivative",
]
