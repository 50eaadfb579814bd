"""Visible checks of chapter 08."""

from flatlab.checks.chapter08.features import random_fourier_features
from flatlab.checks.chapter08.minimum_norm import minimum_norm_fit
from flatlab.checks.chapter08.parts import bias_variance
from flatlab.checks.chapter08.ridge import ridge_fit
from flatlab.checks.chapter08.threshold import interpolation_threshold
from flatlab.checks.chapter08.validation import optimal_ridge

__all__ = [
    "bias_variance",
    "interpolation_threshold",
    "minimum_norm_fit",
    "optimal_ridge",
    "random_fourier_features",
    "ridge_fit",
]
