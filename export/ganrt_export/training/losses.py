"""Adversarial losses, one class a paper, all of one shape, and the gradient penalties that go with them.

    Loss.discriminator(real, generated)    what the discriminator minimises
    Loss.generator(generated, real)        what the generator minimises; only `Relativistic` looks at `real`

`real` and `generated` are the discriminator's scores before any sigmoid, float32 [batch], larger for more real, the
n-th of one beside the n-th of the other. With s the sigmoid, -log s(x) = softplus(-x) and -log(1 - s(x)) = softplus(x).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = [
    "Hinge",
    "NonSaturating",
    "Relativistic",
    "Wasserstein",
    "lipschitz_penalty",
    "path_lengths",
    "zero_centred_penalty",
]


class NonSaturating:
    """Goodfellow et al. 2014 (arXiv:1406.2661): binary cross-entropy of "is it real?", averaged over both kinds.

    D: (-E log s(real) - E log(1 - s(generated))) / 2
    G:  -E log s(generated), which has a gradient where the minimax form, E log(1 - s(generated)), has none.
    """

    @staticmethod
    def discriminator(real: Tensor, generated: Tensor) -> Tensor:
        return (_mean(F.softplus(-real)) + _mean(F.softplus(generated))) / 2

    @staticmethod
    def generator(generated: Tensor, real: Tensor | None = None) -> Tensor:
        return _mean(F.softplus(-generated))


class Hinge:
    """Lim and Ye 2017 (Geometric GAN, arXiv:1705.02894), as in SAGAN and BigGAN.

    D: E max(0, 1 - real) + E max(0, 1 + generated)
    G: -E generated
    """

    @staticmethod
    def discriminator(real: Tensor, generated: Tensor) -> Tensor:
        return _mean(F.relu(1 - real)) + _mean(F.relu(1 + generated))

    @staticmethod
    def generator(generated: Tensor, real: Tensor | None = None) -> Tensor:
        return -_mean(generated)


class Wasserstein:
    """Arjovsky et al. 2017 (arXiv:1701.07875); the critic's slope is held to 1 by `lipschitz_penalty`.

    D: E generated - E real
    G: -E generated
    """

    @staticmethod
    def discriminator(real: Tensor, generated: Tensor) -> Tensor:
        return _mean(generated) - _mean(real)

    @staticmethod
    def generator(generated: Tensor, real: Tensor | None = None) -> Tensor:
        return -_mean(generated)


class Relativistic:
    """Jolicoeur-Martineau 2018 (arXiv:1807.00734), in pairs as in R3GAN (Huang et al. 2024, arXiv:2501.05441).

    D: -E log s(real - generated)
    G: -E log s(generated - real)

    R3GAN adds `zero_centred_penalty` on the real (R1) and on the generated samples (R2), each times gamma / 2.
    """

    @staticmethod
    def discriminator(real: Tensor, generated: Tensor) -> Tensor:
        return _mean(F.softplus(generated - real))

    @staticmethod
    def generator(generated: Tensor, real: Tensor) -> Tensor:
        return _mean(F.softplus(real - generated))


def zero_centred_penalty(sample: Tensor, score: Tensor) -> Tensor:
    """E |d score / d sample|^2 over the batch (Mescheder et al. 2018, arXiv:1801.04406).

    `sample` [batch, ...] must have required a gradient before `score` [batch] was computed from it.
    """
    (slope,) = torch.autograd.grad(score.sum(), sample, create_graph=True)
    return slope.square().flatten(1).sum(dim=1).mean()


def path_lengths(image: Tensor, styles: Tensor) -> Tensor:
    """How far a step of w moves a picture, float32 [batch]: |J^T y| for a random picture y (Karras et al. 2019).

    arXiv:1912.04958, section 3.2: the square of what a length lacks to the mean over time is the penalty. `image`
    [batch, channels, height, width] was computed from `styles` [batch, layers, size]; |.|^2 is the mean of the layers',
    and y is N(0, 1) over the root of the pixels, so that lengths do not grow with the picture.
    """
    noise = torch.randn_like(image) / math.sqrt(image.shape[2] * image.shape[3])
    (slope,) = torch.autograd.grad((image * noise).sum(), styles, create_graph=True)
    return slope.square().sum(dim=2).mean(dim=1).sqrt()


def lipschitz_penalty(critic: Callable[[Tensor], Tensor], real: Tensor, generated: Tensor) -> Tensor:
    """WGAN-GP (Gulrajani et al. 2017, arXiv:1704.00028): E (|d critic(x) / dx| - 1)^2, usually times 10.

    x lies at random on the line from a real to a generated sample, both [batch, ...]; `critic(x)` is [batch]. A critic
    that normalises over the batch has no slope of its own at one sample: give it layer norm instead.
    """
    share = torch.rand(len(real), *[1] * (real.ndim - 1), device=real.device, dtype=real.dtype)
    between = torch.lerp(real.detach(), generated.detach().to(real.dtype), share).requires_grad_()
    (slope,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
    steepness: Tensor = torch.linalg.vector_norm(slope.flatten(1), dim=1)
    return (steepness - 1).square().mean()


def _mean(scores: Tensor) -> Tensor:
    """The mean in FP32 at least: of scores in BF16 it would keep two digits."""
    return scores.mean(dtype=torch.promote_types(scores.dtype, torch.float32))
