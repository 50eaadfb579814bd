"""Sharp and flat minima, measured: the package under the flatlab course.

Names are imported when first used, so that ``import flatlab`` stays quick.
"""

import importlib

__version__ = "0.1.0"

_HOME = {
    "Hessian": "curvature",
    "GaussNewton": "curvature",
    "HessianVariance": "curvature",
    "top_eigenpairs": "curvature",
    "trace": "curvature",
    "frobenius_norm": "curvature",
    "spectral_density": "curvature",
    "sharpness": "curvature",
    "epsilon_sharpness": "curvature",
    "non_uniformity": "curvature",
    "SAM": "sam",
    "sharpness_bound": "stability",
    "non_uniformity_bound": "stability",
    "is_linearly_stable": "stability",
    "plot_stability_region": "stability",
    "sample_stable": "tails",
    "tail_index": "tails",
    "load_dataset": "data",
    "use_variant": "data",
    "fit": "training",
    "sweep": "sweeps",
}
_MODULES = {
    "checkpoints",
    "curvature",
    "stability",
    "noise",
    "tails",
    "sam",
    "averaging",
    "curves",
    "grokking",
    "descent",
    "data",
    "models",
    "training",
    "sweeps",
    "plots",
    "widgets",
    "notebook",
    "checks",
    "student",
}

__all__ = [*_HOME, "__version__"]  # noqa: PLE0604 - the keys are strings


def __getattr__(name: str):
    if name in _HOME:
        return getattr(importlib.import_module(f"flatlab.{_HOME[name]}"), name)
    if name in _MODULES:
        return importlib.import_module(f"flatlab.{name}")
    raise AttributeError(f"module 'flatlab' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, *_MODULES])
