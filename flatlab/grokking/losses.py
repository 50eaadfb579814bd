"""Losses in float64.

In float32, log-softmax rounds a loss below 6e-8 to zero and its gradient with it, and a long run at zero loss
then moves by rounding ("slingshots"). The logits are turned to float64 first; gradients
reach the parameters in their own dtype. (MPS has no float64: train on the CPU or on CUDA.)
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def cross_entropy(logits: Tensor, y: Tensor) -> Tensor:
    """Mean of -log softmax(logits)[y] for logits (n, p) and y (n,) int64, in float64."""
    return functional.cross_entropy(logits.double(), y)


def one_hot_mse(prediction: Tensor, y: Tensor) -> Tensor:
    """Mean over samples and outputs of (prediction - one-hot of y)^2, the mean taken in float64.

    ``prediction`` (n, p), ``y`` (n,) int64; what ``nn.MSELoss`` gives with one-hot rows, which are never made.
    """
    ones = prediction.new_ones(()).expand(len(y), 1)
    residual = prediction.scatter_add(1, y.unsqueeze(1), -ones)
    return residual.square().mean(dtype=torch.float64)
