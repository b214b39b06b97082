"""The networks that rewrites are measured on: published layouts with random weights, since time does not see them."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ganrt.spec import Audio, Image, Label, Latent, Signal, Spec
from ganrt_export.families.resnet_gan import BigGAN, BigGANSizes

from ..networks import network as published


class UpsampleGan(nn.Module):
    """SNGAN's 64 x 64 generator (arXiv:1802.05957) with repeated pixels: batch norm, ReLU, double, 3 x 3, twice."""

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        widths = [8 * width, 4 * width, 2 * width, width, width]
        self.linear = nn.Linear(128, widths[0] * 16)
        self.blocks = nn.ModuleList(UpsampleBlock(*pair) for pair in pairwise(widths))
        self.last = nn.Sequential(nn.BatchNorm2d(width), nn.ReLU(), nn.Conv2d(width, 3, 3, padding=1), nn.Tanh())

    def forward(self, z: Tensor) -> Tensor:
        x = self.linear(z).unflatten(1, (-1, 4, 4))
        for block in self.blocks:
            x = block(x)
        image: Tensor = self.last(x)
        return image


class UpsampleBlock(nn.Module):
    """The shortcut's 1 x 1 comes behind the doubling, as it was published."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.BatchNorm2d(before), nn.BatchNorm2d(after)
        self.conv1, self.conv2 = nn.Conv2d(before, after, 3, padding=1), nn.Conv2d(after, after, 3, padding=1)
        self.shortcut = nn.Conv2d(before, after, 1)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.conv1(F.interpolate(F.relu(self.norm1(x)), scale_factor=2))
        hidden = self.conv2(F.relu(self.norm2(hidden)))
        image: Tensor = hidden + self.shortcut(F.interpolate(x, scale_factor=2))
        return image


class Doubling(nn.Module):
    """PyTorch-GAN's DCGAN at 64 x 64: linear, batch norm, then (double, 3 x 3, batch norm, leaky ReLU) four times."""

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        self.linear = nn.Linear(128, 8 * width * 16)
        layers: list[nn.Module] = [nn.BatchNorm2d(8 * width)]
        for before, after in ((8, 4), (4, 2), (2, 1), (1, 1)):
            layers += [nn.Upsample(scale_factor=2), nn.Conv2d(before * width, after * width, 3, padding=1)]
            layers += [nn.BatchNorm2d(after * width), nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*layers, nn.Conv2d(width, 3, 3, padding=1), nn.Tanh())

    def forward(self, z: Tensor) -> Tensor:
        image: Tensor = self.layers(self.linear(z).unflatten(1, (-1, 4, 4)))
        return image


class Equalised(nn.Module):
    """Progressive GAN (arXiv:1710.10196) to 64 x 64: learning rates equalised in every call, pixel norm."""

    def __init__(self, width: int = 128) -> None:
        super().__init__()
        sizes = [(128, width, 4), (width, width, 3)] + [(width, width, 3)] * 8 + [(width, 3, 1)]
        self.weights = nn.ParameterList(torch.randn(after, before, k, k) for before, after, k in sizes)
        self.biases = nn.ParameterList(torch.randn(after) * 0.1 for _, after, _ in sizes)

    def forward(self, z: Tensor) -> Tensor:
        x = z[:, :, None, None]
        for number, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            size, last = weight.shape[-1], number == len(self.weights) - 1
            if number % 2 == 0 and number and not last:
                x = F.interpolate(x, scale_factor=2)
            scale = ((1 if last else 2) / weight[0].numel()) ** 0.5
            x = F.conv2d(x * scale, weight, padding=3 if size == 4 else size // 2) + bias[:, None, None]
            if not last:
                x = F.leaky_relu(x, 0.2)
                x = x * torch.rsqrt(x.square().mean(dim=1, keepdim=True) + 1e-8)
        return x


class Srvgg(nn.Module):
    """Real-ESRGAN's compact network (arXiv:2107.10833): 3 x 3 convolutions, pixel shuffle, the picture added."""

    def __init__(self, width: int = 64, depth: int = 16, scale: int = 4) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(3, width, 3, padding=1), nn.PReLU(width)]
        for _ in range(depth):
            layers += [nn.Conv2d(width, width, 3, padding=1), nn.PReLU(width)]
        self.body = nn.Sequential(*layers, nn.Conv2d(width, 3 * scale**2, 3, padding=1), nn.PixelShuffle(scale))
        self.scale = scale

    def forward(self, image: Tensor) -> Tensor:
        restored: Tensor = self.body(image) + F.interpolate(image, scale_factor=self.scale, mode="nearest")
        return restored


class Dense(nn.Module):
    """Five convolutions, each of all before it; a fifth of the last is added to the input."""

    def __init__(self, width: int, grown: int) -> None:
        super().__init__()
        sizes = [(width + n * grown, grown if n < 4 else width) for n in range(5)]
        self.convs = nn.ModuleList(nn.Conv2d(before, after, 3, padding=1) for before, after in sizes)

    def forward(self, x: Tensor) -> Tensor:
        seen = [x]
        for conv in self.convs[:-1]:
            seen.append(F.leaky_relu(conv(torch.cat(seen, 1)), 0.2))
        last: Tensor = self.convs[-1](torch.cat(seen, 1))
        return last * 0.2 + x


class Rrdb(nn.Module):
    """ESRGAN's network (arXiv:1809.00219): dense blocks, then (double, 3 x 3, leaky ReLU) twice."""

    def __init__(self, width: int = 64, grown: int = 32, blocks: int = 3, doublings: int = 2) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, width, 3, padding=1)
        self.blocks = nn.ModuleList(nn.Sequential(*(Dense(width, grown) for _ in range(3))) for _ in range(blocks))
        self.trunk = nn.Conv2d(width, width, 3, padding=1)
        self.ups = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1) for _ in range(doublings))
        self.high, self.last = nn.Conv2d(width, width, 3, padding=1), nn.Conv2d(width, 3, 3, padding=1)

    def forward(self, image: Tensor) -> Tensor:
        start = x = self.first(image)
        for block in self.blocks:
            x = block(x) * 0.2 + x
        x = start + self.trunk(x)
        for up in self.ups:
            x = F.leaky_relu(up(F.interpolate(x, scale_factor=2, mode="nearest")), 0.2)
        restored: Tensor = self.last(F.leaky_relu(self.high(x), 0.2))
        return restored


class WaveGan(nn.Module):
    """WaveGAN (arXiv:1802.04208): a linear layer to 16 steps, then five transposed convolutions k25 s4."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        sizes = [16 * width, 8 * width, 4 * width, 2 * width, width, 1]
        self.linear = nn.Linear(100, 16 * sizes[0])
        layers: list[nn.Module] = [nn.ReLU()]
        for before, after in pairwise(sizes):
            layers += [nn.ConvTranspose1d(before, after, 25, 4, 11, output_padding=1)]
            layers += [nn.Tanh() if after == 1 else nn.ReLU()]
        self.layers = nn.Sequential(*layers)

    def forward(self, z: Tensor) -> Tensor:
        sound: Tensor = self.layers(self.linear(z).unflatten(1, (-1, 16)))
        return sound


class HifiGan(nn.Module):
    """HiFi-GAN's V3 upsampling (arXiv:2010.05646): transposed convolutions of stride 8, 8, 4 and one block a stage."""

    def __init__(self, width: int = 128) -> None:
        super().__init__()
        self.first = nn.Conv1d(80, width, 7, padding=3)
        self.ups, self.blocks = nn.ModuleList(), nn.ModuleList()
        for stage, (stride, kernel) in enumerate(((8, 16), (8, 16), (4, 8))):
            after = width >> (stage + 1)
            self.ups.append(nn.ConvTranspose1d(2 * after, after, kernel, stride, (kernel - stride) // 2))
            self.blocks.append(nn.ModuleList(nn.Conv1d(after, after, 3, dilation=d, padding=d) for d in (1, 3, 5)))
        self.last = nn.Conv1d(width >> 3, 1, 7, padding=3)

    def forward(self, mel: Tensor) -> Tensor:
        x = self.first(mel)
        for up, block in zip(self.ups, self.blocks, strict=True):
            x = up(F.leaky_relu(x, 0.1))
            assert isinstance(block, nn.ModuleList)
            for conv in block:
                x = x + conv(F.leaky_relu(x, 0.1))
        return self.last(F.leaky_relu(x)).tanh()


class Sample(NamedTuple):
    """A network in eval mode, its spec, and the extent of a signal, where it takes one, that it is timed at."""

    module: nn.Module
    spec: Spec
    extent: int = 0


def _face() -> Sample:
    return Sample(*published("faces"))


def _biggan() -> Sample:
    sizes = BigGANSizes(10, 32, 20, True, 4, (256, 256, 128, 64), frozenset({1}), 3)
    spec = Spec(inputs=(Latent(size=80), Label(classes=10)), output=_picture(32))
    return Sample(BigGAN(sizes), spec)


def _picture(side: int) -> Image:
    return Image(height=side, width=side, channels=3)


def _latent(module: nn.Module, size: int = 128) -> Sample:
    return Sample(module, Spec(inputs=(Latent(size=size),), output=_picture(64)))


def _restorer(module: nn.Module, extent: int) -> Sample:
    picture = Image(height=None, width=None, channels=3, name="restored", raw="restored_float", low=0.0, high=1.0)
    return Sample(
        module, Spec(inputs=(Signal(name="image", kind="image", shape=(3, None, None)),), output=picture), extent
    )


def _wavegan() -> Sample:
    sound = Audio(length=16_384, sample_rate=16_000, channels=1)
    return Sample(WaveGan(), Spec(inputs=(Latent(size=100, distribution="uniform"),), output=sound))


def _hifigan() -> Sample:
    sound = Audio(length=None, sample_rate=22_050, channels=1)
    return Sample(HifiGan(), Spec(inputs=(Signal(name="mel", kind="mel", shape=(80, None)),), output=sound), 64)


MAKERS: dict[str, Callable[[], Sample]] = {
    "face": _face,
    "sngan": lambda: _latent(UpsampleGan()),
    "doubling": lambda: _latent(Doubling()),
    "biggan": _biggan,
    "equalised": lambda: _latent(Equalised()),
    "srvgg": lambda: _restorer(Srvgg(), 64),
    "rrdb": lambda: _restorer(Rrdb(), 48),
    "wavegan": _wavegan,
    "hifigan": _hifigan,
}


def sample(name: str) -> Sample:
    """One of `MAKERS`, its norms with statistics that are not 0 and 1."""
    torch.manual_seed(0)
    made = MAKERS[name]()
    return made._replace(module=lively(made.module))


def lively(module: nn.Module) -> nn.Module:
    """The module in eval mode, its batch norms as if they had been trained."""
    with torch.no_grad():
        for part in module.modules():
            if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d):
                for values in (part.weight, part.running_var):
                    values.uniform_(0.5, 2)
                for values in (part.bias, part.running_mean):
                    values.normal_()
    return module.eval().requires_grad_(False)
