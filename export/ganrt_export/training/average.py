"""The moving average of a generator's weights, and what else its weights need to be used.

Source: Yazici et al. 2018 (The unusual effectiveness of averaging in GAN training, arXiv:1806.04498).
"""

from __future__ import annotations

import copy

import torch
from torch import nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from .recipe import Recipe

__all__ = ["average", "settled"]

_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
_SAMPLES = 256  # a batch of the re-estimation


def average(averaged: nn.Module, generator: nn.Module, decay: float, step: int) -> None:
    """Moves `averaged` towards `generator` by 1 - `decay`, and by more in the first steps, which count for little.

    Buffers are copied.
    """
    decay = min(decay, (1 + step) / (10 + step))
    with torch.no_grad():
        get_ema_multi_avg_fn(decay)(list(averaged.parameters()), list(generator.parameters()), 0)  # type: ignore[no-untyped-call]
        for mine, latest in zip(averaged.buffers(), generator.buffers(), strict=True):
            mine.copy_(latest)


def settled(averaged: nn.Module, recipe: Recipe, batches: int) -> nn.Module:
    """A copy of an averaged generator in eval mode, for use.

    Its batch-norm statistics are estimated from `batches` batches of `recipe.inputs`, always the same: the running ones
    belong to other weights, and lag behind even their own. Other buffers stay.
    """
    network = copy.deepcopy(averaged).requires_grad_(False).eval()
    norms = [module for module in network.modules() if isinstance(module, _NORMS)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain mean over the batches
        norm.train()
    torch.manual_seed(recipe.settings.seed)
    with torch.no_grad():
        for _ in range(batches if norms else 0):
            network(*recipe.inputs(_SAMPLES))
    return network.eval()
