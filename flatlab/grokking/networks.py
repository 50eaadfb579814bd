"""Networks from pairs (n, 2) of numbers below p to logits (n, p): a one-hot MLP and a small transformer.

Both are made of plain matrix products, so that ``torch.func.vmap`` can stack them (sweeps in lockstep) and
autograd can differentiate them twice (curvature). Parameters are drawn from a generator of their
own; the global random state is left as it was.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding, pad, relu

from flatlab.arguments import checked_count, checked_generator, is_whole


class OneHotMLP(nn.Module):
    """f(a, b) = W2 s(W1 [e_a; e_b]) with one-hot e_a, e_b (p,), no biases, s the square by default.

    ``first`` (2p, width) holds W1 transposed: its product with one-hot pairs is a sum of two of its rows, and
    these are gathered, the one-hot vectors never made. ``second`` (width, p) is W2 transposed. Drawn as
    ``nn.Linear`` draws them, uniformly within 1 / sqrt(fan-in). Takes pairs (n, 2) int64 to (n, p).
    Source: Gromov, 2023, "Grokking modular arithmetic", equation 2.

    Raises ValueError for p below 2 or a width below 1.
    """

    def __init__(
        self,
        p: int,
        width: int = 128,
        activation: Callable[[Tensor], Tensor] = torch.square,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.p, self.activation = _checked_p(p), activation
        checked_count("width", width)
        generator = checked_generator(generator)
        self.first = _uniform((2 * p, width), 2 * p, generator)
        self.second = _uniform((width, p), width, generator)

    def forward(self, pairs: Tensor) -> Tensor:
        _check_pairs(pairs)
        hidden = embedding(pairs[:, 0], self.first) + embedding(pairs[:, 1] + self.p, self.first)
        # A product with 8 k columns takes half the time of one with 31
        second = pad(self.second, (0, -self.p % 8))
        return (self.activation(hidden) @ second)[:, : self.p]

    @property
    def embedding(self) -> Tensor:
        """What the first number a is mapped to, (p, width), without a graph."""
        return self.first.detach()[: self.p]


class Transformer(nn.Module):
    """A decoder of the tokens a, b, "=" whose output at "=" are the logits of c, (n, p).

    Learned positions, causal attention, ReLU, no layer norm; read at the last token only, so the last
    layer asks its query there alone. Normal weights with standard deviation 1 / sqrt(width). The
    defaults with p = 113 are those of Nanda, Chan, Lieberum, Smith and Steinhardt, 2023, "Progress
    measures for grokking via mechanistic interpretability", section 3: 226,688 parameters.

    Raises ValueError for p below 2, counts below 1, or a width that the heads do not divide.
    """

    def __init__(
        self,
        p: int,
        layers: int = 1,
        width: int = 128,
        heads: int = 4,
        hidden: int = 512,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.p = _checked_p(p)
        for name, value in (("layers", layers), ("width", width), ("heads", heads)):
            checked_count(name, value)
        checked_count("hidden", hidden)
        if width % heads:
            raise ValueError(f"{heads} heads do not divide a width of {width}: give a multiple")
        generator = checked_generator(generator)

        def normal(*shape: int) -> nn.Parameter:
            return nn.Parameter(torch.randn(shape, generator=generator) / math.sqrt(width))

        self.tokens, self.positions = normal(p + 1, width), normal(3, width)
        self.blocks = nn.ModuleList(_Block(width, heads, hidden, normal) for _ in range(layers))
        self.readout = normal(width, p)

    def forward(self, pairs: Tensor) -> Tensor:
        _check_pairs(pairs)
        equals = torch.full_like(pairs[:, :1], self.p)
        x = embedding(torch.cat([pairs, equals], 1), self.tokens) + self.positions
        for block in self.blocks[:-1]:
            x = block(x)
        return self.blocks[-1](x, last=True)[:, 0] @ self.readout

    @property
    def embedding(self) -> Tensor:
        """The tokens of the numbers, (p, width), without a graph."""
        return self.tokens.detach()[: self.p]


class _Block(nn.Module):
    """x <- x + attention(x), then x <- x + MLP(x), for x (n, length, width)."""

    def __init__(
        self, width: int, heads: int, hidden: int, normal: Callable[..., nn.Parameter]
    ) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key = normal(width, width), normal(width, width)
        self.value, self.output = normal(width, width), normal(width, width)
        self.up, self.up_bias = normal(width, hidden), nn.Parameter(torch.zeros(hidden))
        self.down, self.down_bias = normal(hidden, width), nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor, last: bool = False) -> Tensor:
        """``last``: only the last place's value, (n, 1, width)."""
        asking = x[:, -1:] if last else x
        x = asking + self._attention(asking, x)
        return x + relu(x @ self.up + self.up_bias) @ self.down + self.down_bias

    def _attention(self, asking: Tensor, x: Tensor) -> Tensor:
        # softmax(q k' / sqrt(d)) v by its definition: the fused kernels have no second derivative
        q, k, v = self._split(asking @ self.query), self._split(x @ self.key), x @ self.value
        scores = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])
        if asking.shape[1] == x.shape[1]:
            length = x.shape[1]
            later = torch.ones(length, length, dtype=torch.bool, device=x.device).triu(1)
            scores = scores.masked_fill(later, -math.inf)
        mixed = scores.softmax(-1) @ self._split(v)
        return mixed.transpose(1, 2).flatten(2) @ self.output

    def _split(self, x: Tensor) -> Tensor:
        """(n, length, width) as (n, heads, length, width / heads)."""
        return x.unflatten(2, (self.heads, -1)).transpose(1, 2)


def _uniform(shape: tuple[int, int], fan_in: int, generator: torch.Generator) -> nn.Parameter:
    return nn.Parameter((2 * torch.rand(shape, generator=generator) - 1) / math.sqrt(fan_in))


def _checked_p(p: int) -> int:
    if not is_whole(p, 2):
        raise ValueError(f"p is {p!r}: give a whole number of at least 2, the table's modulus")
    return int(p)


def _check_pairs(pairs: Tensor) -> None:
    if pairs.ndim != 2 or pairs.shape[1] != 2 or pairs.is_floating_point():
        raise ValueError(
            f"the network takes pairs (n, 2) of whole numbers, not {pairs.dtype} of shape "
            f"{tuple(pairs.shape)}: give table.pairs"
        )
