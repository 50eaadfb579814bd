"""The smallest system in which SGD leaves a minimum that gradient descent keeps."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from flatlab.arguments import checked_positive, is_whole, seeded
from flatlab.stability.theorem import mean_square_multiplier


@dataclass(frozen=True)
class EscapeSystem:
    """f(x) = (1/n) sum_i f_i(x), f_i(x) = min{x^2, c_i (x - 1)^2}: two global minima, 0 and 1.

    All f_i agree at 0 (s = 0) and differ at 1, where SGD therefore may not stay while gradient
    descent does. The default is the example of Wu, Ma and E (2018, section 2): a = 2 at both minima,
    s = 1.8 at 1, where B = 1 needs s <= 1 / eta.
    """

    curvatures: tuple[float, ...] = (0.1, 1.9)

    def __post_init__(self):
        if len(self.curvatures) < 2 or not all(0 < c < math.inf for c in self.curvatures):
            raise ValueError(
                f"curvatures is {self.curvatures}: give at least two positive numbers c_i"
            )

    def losses(self, x: Tensor | float) -> Tensor:
        """f_i(x), shape (n, *x.shape), float64; f is their mean over the first axis."""
        x, c = self._aligned(x)
        return torch.minimum(x**2, c * (x - 1) ** 2)

    def gradients(self, x: Tensor | float) -> Tensor:
        """f_i'(x), shape (n, *x.shape); at the kink that of x^2."""
        x, c = self._aligned(x)
        return torch.where(x**2 <= c * (x - 1) ** 2, 2 * x, 2 * c * (x - 1))

    def hessians(self, minimum: int) -> Tensor:
        """f_i'' at the minimum 0 or 1, shape (n, 1, 1)."""
        if minimum not in (0, 1):
            raise ValueError(f"the minima are 0 and 1, not {minimum}")
        c = torch.tensor(self.curvatures, dtype=torch.float64)
        return 2 * (c if minimum == 1 else torch.ones_like(c)).reshape(-1, 1, 1)

    def sharpness(self, minimum: int) -> float:
        """a = mean of f_i'' there."""
        return float(self.hessians(minimum).mean())

    def non_uniformity(self, minimum: int) -> float:
        """s = standard deviation of f_i'' there (divided by n, not n - 1)."""
        return float(self.hessians(minimum).std(correction=0))

    def multiplier(self, minimum: int, learning_rate: float, batch_size: int = 1) -> float:
        """E x_{t+1}^2 / x_t^2 near the minimum, exactly: (1 - eta a)^2 + eta^2 (n-B)/(B(n-1)) s^2."""
        return mean_square_multiplier(self.hessians(minimum), learning_rate, batch_size)

    def trajectory(
        self,
        x0: Tensor | float,
        learning_rate: float,
        steps: int,
        generator: torch.Generator | None = None,
        stochastic: bool = True,
    ) -> Tensor:
        """x_0 .. x_steps, shape (steps + 1, *x0.shape), float64.

        Stochastic: each step follows one f_i, drawn uniformly and for each element of x0 on its own;
        else the mean gradient. `generator=None` means a new one seeded 0. A trajectory that leaves
        every bound goes on to inf, as the system does.
        """
        checked_positive("learning_rate", learning_rate)
        if not is_whole(steps, 0):
            raise ValueError(f"steps is {steps!r}: give a whole number, 0 or more")
        generator = seeded(generator)
        x = torch.as_tensor(x0, dtype=torch.float64)
        path = [x]
        for _ in range(steps):
            each = self.gradients(x)
            if stochastic:
                i = torch.randint(len(each), (1, *x.shape), generator=generator)
                x = x - learning_rate * each.gather(0, i)[0]
            else:
                x = x - learning_rate * each.mean(0)
            x = torch.where(path[-1].isinf(), path[-1], x)  # there inf - inf is no number
            path.append(x)
        return torch.stack(path)

    def _aligned(self, x: Tensor | float) -> tuple[Tensor, Tensor]:
        x = torch.as_tensor(x, dtype=torch.float64)
        c = torch.tensor(self.curvatures, dtype=torch.float64)
        return x, c.reshape(-1, *[1] * x.ndim)
