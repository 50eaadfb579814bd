"""Curvature of a training loss: operators, eigenvalues, estimators, sharpness, landscapes."""

from flatlab.curvature.batch_norm import reestimate_batch_norm
from flatlab.curvature.estimators import (
    Estimate,
    SpectralDensity,
    frobenius_norm,
    spectral_density,
    trace,
)
from flatlab.curvature.lanczos import ConvergenceError, Eigenpairs, top_eigenpairs
from flatlab.curvature.landscape import (
    Landscape1D,
    Landscape2D,
    filter_normalized_direction,
    landscape_1d,
    landscape_2d,
    random_direction,
)
from flatlab.curvature.operators import GaussNewton, Hessian
from flatlab.curvature.sharpness import (
    EpsilonSharpness,
    epsilon_sharpness,
    sharpness,
)
from flatlab.curvature.tangents import UnsupportedLayerError
from flatlab.curvature.tracking import track_sharpness
from flatlab.curvature.variance import HessianVariance, non_uniformity

__all__ = [
    "ConvergenceError",
    "Eigenpairs",
    "EpsilonSharpness",
    "Estimate",
    "GaussNewton",
    "Hessian",
    "HessianVariance",
    "Landscape1D",
    "Landscape2D",
    "SpectralDensity",
    "UnsupportedLayerError",
    "epsilon_sharpness",
    "filter_normalized_direction",
    "frobenius_norm",
    "landscape_1d",
    "landscape_2d",
    "non_uniformity",
    "random_direction",
    "reestimate_batch_norm",
    "sharpness",
    "spectral_density",
    "top_eigenpairs",
    "trace",
    "track_sharpness",
]
