"""Attention over any rank and with any mask: softmax(scale Q K^T + mask) V, written out.

The exporter takes `F.scaled_dot_product_attention` only for [batch, heads, length, features], and spreads a row whose
mask forbids everything evenly over all keys, where PyTorch gives zeros. What it takes and has no such mask stays one
call."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ._tools import Handlers, table

__all__ = ["HANDLERS", "attention"]


def attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Any:
    """`F.scaled_dot_product_attention` without dropout: float [..., length, features] with broadcast leading axes."""
    if dropout_p or (attn_mask is None and query.dim() == 4):
        return NotImplemented
    if enable_gqa:
        key, value = (side.repeat_interleave(query.shape[-3] // side.shape[-3], -3) for side in (key, value))
    scores = query @ key.transpose(-2, -1) * (1 / math.sqrt(query.shape[-1]) if scale is None else scale)
    if is_causal:
        attn_mask = torch.ones(query.shape[-2], key.shape[-2], dtype=torch.bool).tril()
    if attn_mask is None:
        return scores.softmax(-1) @ value
    blocked = attn_mask.dtype == torch.bool
    scores = scores.masked_fill(~attn_mask, -math.inf) if blocked else scores + attn_mask
    nothing = scores.amax(-1, keepdim=True) == -math.inf
    return scores.softmax(-1).masked_fill(nothing, 0.0) @ value


HANDLERS: Handlers = table([((F.scaled_dot_product_attention,), attention)])
