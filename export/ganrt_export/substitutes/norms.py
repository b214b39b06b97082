"""Batch norm with its batch's statistics, called as a function: y = (x - mean) / sqrt(var + eps) * weight + bias.

MUNIT's and FUNIT's adaptive instance norm reshapes x to [1, batch channels, ...] and calls `F.batch_norm` in training
with a weight for every channel of every sample. The exporter writes ONNX's BatchNormalization, which normalises with
the running statistics instead. Here mean and variance are taken over all axes but the channels'; the running
statistics, which only training reads, stay as they are.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ._tools import Handlers, table

__all__ = ["HANDLERS", "batch_norm"]


def batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float | None = 0.1,
    eps: float = 1e-5,
) -> Any:
    """`F.batch_norm` of float [batch, channels, ...] in training; in inference it is left to PyTorch."""
    if not training:
        return NotImplemented
    axes = [axis for axis in range(input.dim()) if axis != 1]
    shape = (1, -1, *[1] * (input.dim() - 2))
    centred = input - input.mean(axes, keepdim=True)
    result = centred * torch.rsqrt((centred * centred).mean(axes, keepdim=True) + eps)
    if weight is not None:
        result = result * weight.reshape(shape)
    return result if bias is None else result + bias.reshape(shape)


def _of_torch(
    input: Tensor,
    weight: Any,
    bias: Any,
    running_mean: Any,
    running_var: Any,
    training: bool,
    momentum: Any,
    eps: float,
    *_: Any,
) -> Any:
    """`torch.batch_norm`, which has another order."""
    return batch_norm(input, running_mean, running_var, weight, bias, training, momentum, eps)


HANDLERS: Handlers = table([((F.batch_norm,), batch_norm), ((torch.batch_norm,), _of_torch)])
