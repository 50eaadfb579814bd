"""Weight norm that can be differentiated twice.

PyTorch's fused kernel takes the norms for constants in its second derivative: Hessians through it
are wrong, and not symmetric.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode


class PlainWeightNorm(TorchFunctionMode):
    """Inside, g v / |v| is written out; everything else is as it was, but some 5 us a call slower."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch._weight_norm:
            v, g, dim = args
            return v * (g / torch.norm_except_dim(v, 2, dim))
        return func(*args, **(kwargs or {}))


def is_weight_normed(model: nn.Module) -> bool:
    """Whether a layer has PyTorch's weight norm, as a parametrization or as the older hook."""
    hooks = [hook for m in model.modules() for hook in m._forward_pre_hooks.values()]
    return any(type(x).__name__.endswith("WeightNorm") for x in (*model.modules(), *hooks))
