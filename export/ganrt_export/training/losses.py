"""Adversarial losses, one function a term.

Source: Huang et al. 2024 (R3GAN, arXiv:2501.05441): relativistic pairing loss (Jolicoeur-Martineau 2018,
arXiv:1807.00734) with zero-centred gradient penalties on real (R1) and generated (R2) images.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["relativistic_loss", "zero_centred_penalty"]


def relativistic_loss(winner: Tensor, loser: Tensor) -> Tensor:
    """Mean of softplus(loser - winner), over pairs of scores float32 [batch].

    The discriminator passes (real, generated); the generator passes (generated, real).
    """
    return F.softplus(loser - winner).mean()


def zero_centred_penalty(image: Tensor, score: Tensor) -> Tensor:
    """Mean over the batch of |d score / d image|^2; `image` must require a gradient."""
    (gradient,) = torch.autograd.grad(score.sum(), image, create_graph=True)
    return gradient.square().flatten(1).sum(dim=1).mean()
