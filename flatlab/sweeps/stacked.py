"""The data of runs that take their steps together: one set for all of them, or one for each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from flatlab.evaluation import Batch, class_labels


@dataclass
class Stacked:
    """X and y, each (n, ...) for all runs, or (runs, n, ...) where the runs have their own."""

    X: Tensor
    y: Tensor
    own_X: bool
    own_y: bool
    labeled: bool = False  # whether y are classes; asked of whole sets alone

    @classmethod
    def of(cls, sets: Sequence[Batch]) -> Stacked:
        """The runs' sets, all of one size; a tensor that is the same object in all is not copied."""
        columns = list(zip(*sets, strict=True))
        own = [any(tensor is not column[0] for tensor in column) for column in columns]
        X, y = (torch.stack(c) if o else c[0] for c, o in zip(columns, own, strict=True))
        return cls(X, y, own[0], own[1], class_labels(columns[1][0]) is not None)

    def __len__(self) -> int:
        return self.X.shape[1] if self.own_X else len(self.X)

    @property
    def dims(self) -> tuple[int | None, int | None]:
        """Where the runs lie in X and y, as ``vmap`` asks."""
        return (0 if self.own_X else None), (0 if self.own_y else None)

    def batch(self, index: Tensor | None) -> Stacked:
        """Each run's samples at its row of ``index`` (runs, size); None stands for all of them."""
        if index is None:
            return self
        X, y = _taken(self.X, self.own_X, index), _taken(self.y, self.own_y, index)
        return Stacked(X, y, True, True)

    def part(self, rows: slice) -> Stacked:
        X = self.X[:, rows] if self.own_X else self.X[rows]
        y = self.y[:, rows] if self.own_y else self.y[rows]
        return Stacked(X, y, self.own_X, self.own_y)

    def keep(self, index: Tensor) -> None:
        """Go on with these runs alone."""
        if self.own_X:
            self.X = self.X.index_select(0, index)
        if self.own_y:
            self.y = self.y.index_select(0, index)


def _taken(tensor: Tensor, own: bool, index: Tensor) -> Tensor:
    if own:
        return tensor[torch.arange(len(index), device=index.device).unsqueeze(1), index]
    return tensor.index_select(0, index.reshape(-1)).unflatten(0, index.shape)
