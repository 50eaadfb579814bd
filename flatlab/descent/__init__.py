"""Double descent: random features, minimum-norm and ridge fits, risk curves, bias and variance."""

from flatlab.descent.curves import Curve, feature_curve, sample_curve
from flatlab.descent.errors import BiasVariance, bias_variance, interpolation_threshold
from flatlab.descent.features import (
    RandomFeatures,
    random_fourier_features,
    random_relu_features,
)
from flatlab.descent.fits import (
    Fit,
    RidgePath,
    minimum_norm_fit,
    optimal_ridge,
    ridge_fit,
    ridge_path,
)
from flatlab.descent.networks import WidthCurve, along_training, width_curve

__all__ = [
    "BiasVariance",
    "Curve",
    "Fit",
    "RandomFeatures",
    "RidgePath",
    "WidthCurve",
    "along_training",
    "bias_variance",
    "feature_curve",
    "interpolation_threshold",
    "minimum_norm_fit",
    "optimal_ridge",
    "random_fourier_features",
    "random_relu_features",
    "ridge_fit",
    "ridge_path",
    "sample_curve",
    "width_curve",
]
