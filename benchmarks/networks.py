"""The networks that exports are measured on: well-known layouts with random weights, since time does not see them."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import nn

from ganrt.spec import Image, Latent, Spec


class Dcgan(nn.Module):
    """The PyTorch tutorial's 64 x 64 generator: z [batch, 100] -> [batch, 3, 64, 64]; `width` 64 as published."""

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        sizes = [100, 8 * width, 4 * width, 2 * width, width, 3]
        layers: list[nn.Module] = []
        for stage, (taken, given) in enumerate(pairwise(sizes)):
            layers.append(
                nn.ConvTranspose2d(taken, given, 4, 1 if stage == 0 else 2, 0 if stage == 0 else 1, bias=False)
            )
            layers += [nn.BatchNorm2d(given), nn.ReLU(True)] if stage < 4 else [nn.Tanh()]
        self.main = nn.Sequential(*layers)

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        return self.main(z.reshape(-1, 100, 1, 1))


def network(name: str) -> tuple[nn.Module, Spec]:
    """ "faces": 3.6 M parameters; "large": the same four times as wide, 53 M."""
    torch.manual_seed(0)
    module = Dcgan({"faces": 64, "large": 250}[name])
    return module.eval(), Spec(inputs=(Latent(size=100),), output=Image(height=64, width=64, channels=3))
