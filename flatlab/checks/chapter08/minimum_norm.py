"""The shortest of all least-squares fits: fewer features than samples, more, and repeated ones."""

from __future__ import annotations

import torch

from flatlab.checks.chapter08.fits import HINTS, Fitted, matrix, spread
from flatlab.checks.core import Exercise
from flatlab.checks.toys import normal

minimum_norm_fit = Exercise(
    "minimum_norm_fit",
    remaining=(
        "as many outputs as features",
        "a feature that is 0 everywhere",
        "samples that repeat",
        "features around 1e-3",
    ),
)

SINGULAR = (
    "Where features outnumber samples, or repeat, features.T @ features has no inverse: many fits are "
    "equally good, and the shortest is asked for."
)
FIT_HINTS = (
    ("ingular", SINGULAR),
    ("positive-definite", SINGULAR),
    ("positive definite", SINGULAR),
    ("full rank", SINGULAR),
    *HINTS,
)


class MinimumNorm(Fitted):
    """Not a check by itself."""

    hints = FIT_HINTS


@minimum_norm_fit.check("fewer features than samples")
class FewFeatures(MinimumNorm):
    pass


@minimum_norm_fit.check("more features than samples")
class ManyFeatures(MinimumNorm):
    n, count = 5, 9


@minimum_norm_fit.check("targets in columns")
class Columns(MinimumNorm):
    outputs = (3,)


@minimum_norm_fit.check("two features that are equal")
class Repeated(MinimumNorm):
    """The fourth feature is the second one over again, so that one singular value is 0."""

    n, count = 8, 4

    def draw(self, generator):
        drawn = super().draw(generator)
        return {**drawn, "features": repeated(drawn["features"])}


def repeated(features: torch.Tensor) -> torch.Tensor:
    """The features and the second one once more."""
    return torch.cat([features, features[:, 1:2]], dim=1)


class SameSamples(MinimumNorm):
    """Not a check by itself: more features than samples, one sample given twice with two targets."""

    n, count = 5, 9

    def draw(self, generator):
        features = matrix(generator, 4, self.count, spread(4))
        targets = 1 + normal(generator, self.n, *self.outputs)
        return {"features": torch.cat([features, features[2:3]]), "targets": targets}
