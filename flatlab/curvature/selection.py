"""Which parameters an operator acts on, and flat vectors over them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

_ROWS = re.compile(r"(?P<name>[^\[\]]+)\[(?P<first>\d+)(:(?P<last>\d+))?\]")


class Selection:
    """Flat vectors (p,) over some of a model's parameters, in the order of `model.parameters()`.

    `entries` None means all that require grad. Else each entry is a parameter ("0.weight"), a module
    ("0": all its parameters, also of modules within and those it shares with others), or rows of a
    parameter, which are the filters of a convolution and the neurons of a linear layer:
    "0.weight[3]", "0.weight[3:8]".

    Raises ValueError for an entry that names nothing, or rows that are not there, or parameters
    that do not require grad.
    """

    def __init__(self, model: nn.Module, entries: Sequence[str] | str | None = None):
        available = {name: p for name, p in model.named_parameters() if p.requires_grad}
        entries = [entries] if isinstance(entries, str) else entries
        chosen: dict[str, set[int] | None] = dict.fromkeys(available) if entries is None else {}
        every = {n: p for n, p in model.named_parameters(remove_duplicate=False) if p.requires_grad}
        first = {id(p): name for name, p in available.items()}  # a shared one has several names
        for entry in entries or ():
            names, rows = _resolve(entry, every)
            for name in (first[id(every[name])] for name in names):
                whole = rows is None or chosen.get(name, ()) is None
                chosen[name] = None if whole else chosen.get(name, set()) | rows
        if entries is not None and not chosen:
            raise ValueError("parameters is empty: name at least one, or pass None for all")
        self.names = [name for name in available if name in chosen]
        self.shapes = [available[name].shape for name in self.names]
        device = next(iter(available.values())).device if available else None
        self.rows = [_index(chosen[name], device) for name in self.names]
        self.sizes = [
            shape.numel() if rows is None else len(rows) * shape[1:].numel()
            for shape, rows in zip(self.shapes, self.rows, strict=True)
        ]
        self.size = sum(self.sizes)

    def split(self, v: Tensor) -> list[Tensor]:
        """Directions (..., *shape) for each parameter from v (..., p), zero outside the selection."""
        pieces, lead = v.split(self.sizes, -1), v.shape[:-1]
        parts = []
        for piece, shape, rows in zip(pieces, self.shapes, self.rows, strict=True):
            if rows is None:
                parts.append(piece.reshape(lead + shape))
            else:
                full = v.new_zeros(lead + shape)
                piece = piece.reshape(*lead, len(rows), *shape[1:])
                parts.append(full.index_copy(len(lead), rows, piece))
        return parts

    def join(self, parts: Sequence[Tensor | None], like: Tensor) -> Tensor:
        """The transpose of `split`, to (..., p) with the leading dimensions of `like` (..., p)."""
        lead, flat = like.shape[:-1], []
        for part, shape, rows, size in zip(parts, self.shapes, self.rows, self.sizes, strict=True):
            if part is None:
                part = like.new_zeros(*lead, size)
            elif rows is not None:
                part = part.index_select(part.ndim - len(shape), rows)
            flat.append(part.reshape(*lead, size))
        return torch.cat(flat, -1)

    def views(self, out: Tensor) -> list[Tensor]:
        """Tensors shaped as the parameters to write a result to; `gather` then completes `out` (p,).

        They are views of `out`, but for parameters of which only rows are selected.
        """
        pieces = out.split(self.sizes)
        items = zip(pieces, self.shapes, self.rows, strict=True)
        return [
            piece.view(shape) if rows is None else out.new_empty(shape)
            for piece, shape, rows in items
        ]

    def gather(self, parts: Sequence[Tensor], out: Tensor) -> Tensor:
        """Put the selected rows of `parts`, made by `views(out)`, into `out`."""
        for piece, part, rows in zip(out.split(self.sizes), parts, self.rows, strict=True):
            if rows is not None:
                piece.copy_(part.index_select(0, rows).reshape(-1))
        return out

    def project(self, parts: Sequence[Tensor]) -> list[Tensor]:
        """Directions (n, *shape) with what lies outside the selected rows set to zero."""
        projected = []
        for part, rows in zip(parts, self.rows, strict=True):
            if rows is not None:
                part = torch.zeros_like(part).index_copy(1, rows, part.index_select(1, rows))
            projected.append(part)
        return projected


def _resolve(entry: str, available: Mapping[str, Tensor]) -> tuple[list[str], set[int] | None]:
    match = _ROWS.fullmatch(entry)
    name = match["name"] if match else entry
    names = [n for n in available if n == name or (not match and n.startswith(name + "."))]
    if not names:
        raise ValueError(
            f"{entry!r} names no parameter that requires grad, nor a module with any; "
            f"there are: {', '.join(available)}"
        )
    if not match:
        return names, None
    first = int(match["first"])
    last = first + 1 if match["last"] is None else int(match["last"])
    length = available[name].shape[0] if available[name].ndim else 0
    if not first < last <= length:
        raise ValueError(f"{entry!r}: {name} has rows 0 to {length - 1}")
    return names, set(range(first, last))


def _index(rows: set[int] | None, device: torch.device | None) -> Tensor | None:
    return None if rows is None else torch.tensor(sorted(rows), device=device)
