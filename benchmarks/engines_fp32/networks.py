"""Networks of 3x3 convolutions and one without, with random weights, since time does not see them.

They give what the network itself gives, float32 pictures, so that every engine does the same work.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import torch
from torch import nn

from ganrt_export.families.resnet_gan import SNGAN, SNGANSizes

__all__ = ["CASES", "Case", "Compact", "Residual", "build"]


class Case(NamedTuple):
    """A network and the shape of one call's input, the batch first."""

    network: str
    shape: tuple[int, ...]


CASES = {
    "SRVGG x4, 128x128": Case("srvgg", (1, 3, 128, 128)),
    "RRDB x4 of 6 blocks, 64x64": Case("rrdb", (1, 3, 64, 64)),
    "ResNet GAN 64x64, batch 1": Case("resnet", (1, 128)),
    "ResNet GAN 64x64, batch 8": Case("resnet", (8, 128)),
    "DCGAN 64x64, batch 1": Case("dcgan", (1, 100)),
    "DCGAN 64x64, batch 8": Case("dcgan", (8, 100)),
}


class Compact(nn.Module):
    """Real-ESRGAN's SRVGGNetCompact: [batch, 3, height, width] in 0 .. 1 -> four times as high and wide."""

    def __init__(self, width: int = 64, layers: int = 16, scale: int = 4) -> None:
        super().__init__()
        body: list[nn.Module] = [nn.Conv2d(3, width, 3, 1, 1), nn.PReLU(width)]
        for _ in range(layers):
            body += [nn.Conv2d(width, width, 3, 1, 1), nn.PReLU(width)]
        body += [nn.Conv2d(width, 3 * scale**2, 3, 1, 1), nn.PixelShuffle(scale)]
        self.body, self.base = nn.Sequential(*body), nn.Upsample(scale_factor=scale, mode="nearest")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        pictures: torch.Tensor = self.body(x) + self.base(x)
        return pictures


class Dense(nn.Module):
    """ESRGAN's residual dense block: five convolutions, each of everything before it."""

    def __init__(self, width: int, growth: int) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(
            nn.Conv2d(width + i * growth, width if i == 4 else growth, 3, 1, 1) for i in range(5)
        )
        self.activation = nn.LeakyReLU(0.2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        parts = [x]
        for convolution in list(self.convolutions)[:-1]:
            parts.append(self.activation(convolution(torch.cat(parts, 1))))
        result: torch.Tensor = self.convolutions[-1](torch.cat(parts, 1)) * 0.2 + x
        return result


class Residual(nn.Module):
    """ESRGAN's RRDBNet: [batch, 3, height, width] in 0 .. 1 -> four times as high and wide; `blocks` of three."""

    def __init__(self, blocks: int = 6, width: int = 64, growth: int = 32) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, width, 3, 1, 1)
        self.body = nn.ModuleList(nn.Sequential(*(Dense(width, growth) for _ in range(3))) for _ in range(blocks))
        self.after, self.up1, self.up2, self.high = (nn.Conv2d(width, width, 3, 1, 1) for _ in range(4))
        self.last, self.activation = nn.Conv2d(width, 3, 3, 1, 1), nn.LeakyReLU(0.2)
        self.larger = nn.Upsample(scale_factor=2, mode="nearest")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        first = self.first(x)
        features = first
        for block in self.body:
            features = block(features) * 0.2 + features
        features = first + self.after(features)
        features = self.activation(self.up1(self.larger(features)))
        features = self.activation(self.up2(self.larger(features)))
        pictures: torch.Tensor = self.last(self.activation(self.high(features)))
        return pictures


class Dcgan(nn.Module):
    """The PyTorch tutorial's generator: z [batch, 100] -> [batch, 3, 64, 64]; convolutions of 4x4, all transposed."""

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        sizes = [100, 8 * width, 4 * width, 2 * width, width, 3]
        layers: list[nn.Module] = []
        for stage, (taken, given) in enumerate(pairwise(sizes)):
            layers.append(nn.ConvTranspose2d(taken, given, 4, 2 if stage else 1, 1 if stage else 0, bias=False))
            layers += [nn.BatchNorm2d(given), nn.ReLU(True)] if stage < 4 else [nn.Tanh()]
        self.main = nn.Sequential(*layers)

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        pictures: torch.Tensor = self.main(z.reshape(-1, 100, 1, 1))
        return pictures


def build(network: str) -> nn.Module:
    """The network of that name, in eval mode, the same weights every time."""
    torch.manual_seed(0)
    made: dict[str, type[nn.Module]] = {"srvgg": Compact, "rrdb": Residual, "dcgan": Dcgan}
    module = made[network]() if network in made else SNGAN(SNGANSizes(128, 0, 4, (1024, 512, 256, 128, 64), 3))
    return module.eval()
