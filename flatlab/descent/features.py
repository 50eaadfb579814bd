"""Random features: a fixed random layer, of which only the linear readout is fitted."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from flatlab.arguments import checked_count, checked_generator, checked_positive


def random_fourier_features(X: Tensor, frequencies: Tensor, phases: Tensor) -> Tensor:
    """sqrt(2 / N) cos(X V + b), (n, N), for X (n, d), frequencies V (d, N) and phases b (N,).

    With V ~ N(0, 1 / sigma^2) and b uniform on [0, 2 pi) the product of two rows tends to the Gaussian kernel
    exp(-|x - x'|^2 / (2 sigma^2)) as N grows. Source: Rahimi and Recht, 2007, algorithm 1.

    Raises ValueError for shapes that do not fit together.
    """
    _check_product(X, frequencies, "frequencies")
    if phases.shape != frequencies.shape[1:]:
        raise ValueError(
            f"phases has shape {tuple(phases.shape)} and there are {frequencies.shape[1]} frequencies: "
            "give one phase for each"
        )
    return (X @ frequencies + phases).cos() * math.sqrt(2 / frequencies.shape[1])


def random_relu_features(X: Tensor, directions: Tensor) -> Tensor:
    """sqrt(2 / N) max(X V, 0), (n, N), for X (n, d) and directions V (d, N).

    Source: Belkin, Hsu, Ma and Mandal, 2019, supplement, who draw V on the unit sphere. Raises
    ValueError for shapes that do not fit together.
    """
    _check_product(X, directions, "directions")
    return (X @ directions).relu() * math.sqrt(2 / directions.shape[1])


@dataclass(frozen=True, eq=False)
class RandomFeatures:
    """Features drawn once, of which a fit takes the first few: those of a smaller fit are among them."""

    directions: Tensor  # (d, most)
    phases: Tensor | None  # (most,) of Fourier features; None for ReLU

    @classmethod
    def fourier(
        cls, d: int, most: int, bandwidth: float = 5.0, generator: torch.Generator | None = None
    ) -> RandomFeatures:
        """Frequencies ~ N(0, 1 / bandwidth^2), phases uniform; 5 suits 28 x 28 images in [0, 1].

        Raises ValueError for d or most below 1, or a bandwidth that is not positive.
        """
        generator = _checked(d, most, generator)
        checked_positive("bandwidth", bandwidth)
        directions = torch.randn(d, most, generator=generator) / bandwidth
        return cls(directions, 2 * math.pi * torch.rand(most, generator=generator))

    @classmethod
    def relu(cls, d: int, most: int, generator: torch.Generator | None = None) -> RandomFeatures:
        """Directions uniform on the unit sphere. Raises ValueError for d or most below 1."""
        directions = torch.randn(d, most, generator=_checked(d, most, generator))
        return cls(directions / torch.linalg.vector_norm(directions, dim=0), None)

    @property
    def most(self) -> int:
        """How many were drawn."""
        return self.directions.shape[1]

    def __call__(self, X: Tensor, count: int | None = None) -> Tensor:
        """The first ``count`` features (all by default) of X (n, ...), whose samples are flattened: (n, count).

        In X's dtype, scaled by sqrt(2 / count). Raises ValueError for more features than were drawn, samples
        of another size, or whole numbers, in which the features would be rounded.
        """
        count = self.most if count is None else checked_count("count", count)
        if count > self.most:
            raise ValueError(
                f"{count} features are asked for and {self.most} were drawn: draw more, most={count}"
            )
        if not X.is_floating_point():
            raise ValueError(
                f"X is {X.dtype}: give floating-point samples, such as X.float() / 255"
            )
        X = X.flatten(1)
        directions = self.directions[:, :count].to(X)
        if self.phases is None:
            return random_relu_features(X, directions)
        return random_fourier_features(X, directions, self.phases[:count].to(X))


def _checked(d: int, most: int, generator: torch.Generator | None) -> torch.Generator:
    checked_count("d", d)
    checked_count("most", most)
    return checked_generator(generator)


def _check_product(X: Tensor, V: Tensor, name: str) -> None:
    if X.ndim != 2 or V.ndim != 2 or X.shape[1] != V.shape[0] or V.shape[1] == 0:
        raise ValueError(
            f"X has shape {tuple(X.shape)} and {name} {tuple(V.shape)}: give X (n, d) and {name} (d, N)"
        )
