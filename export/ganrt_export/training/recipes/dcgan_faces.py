"""DCGAN of faces, or any pictures, 32 to 128 pixels a side.

Radford et al. 2015 (arXiv:1511.06434): strided convolutions, batch norm, no dense layers; each picture is mirrored at
random. In the layout of PyTorch's tutorial, so that `ganrt export` reads generator.safetensors too. Added here: the
generator's weights are averaged.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from ganrt.errors import ArgumentError
from ganrt.spec import Image, Latent, Spec
from ganrt_export.families.dcgan import Generator, Stages

from .. import recipe
from ..losses import Hinge, NonSaturating
from ..recipe import Batch, Data, Terms, Turn, check_power_of_two
from ._pictures import channels_of, open_grey_or_coloured

__all__ = ["LOSSES", "Discriminator", "Recipe", "Settings", "mirrored", "stages"]

LOSSES: dict[str, type[NonSaturating | Hinge]] = {"non-saturating": NonSaturating, "hinge": Hinge}
_POINT = 4  # side of the first maps, and of the discriminator's last


@dataclass(frozen=True)
class Settings(recipe.Settings):
    steps: int = 20_000
    batch: int = 128
    learning_rate: float = 2e-4
    beta1: float = 0.5
    ema_decay: float = 0.999
    size: int = 64
    z_dim: int = 100
    width: int = 64  # channels of the largest maps; halving the side doubles them
    loss: str = "non-saturating"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_power_of_two(self.size, 32, 128)
        if self.loss not in LOSSES:
            raise ArgumentError(f"'{self.loss}' is not a loss of this recipe; choose one of {', '.join(LOSSES)}.")


class Discriminator(nn.Module):
    """Image float32 [batch, channels, size, size] -> score float32 [batch], larger for more real."""

    def __init__(self, size: int, channels: int, width: int) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(channels, width, 4, stride=2, padding=1, bias=False), nn.LeakyReLU(0.2)]
        side = size // 2
        while side > _POINT:
            layers += [nn.Conv2d(width, 2 * width, 4, stride=2, padding=1, bias=False), nn.BatchNorm2d(2 * width)]
            layers += [nn.LeakyReLU(0.2)]
            width, side = 2 * width, side // 2
        self.main = nn.Sequential(*layers, nn.Conv2d(width, 1, _POINT, bias=False), nn.Flatten(0))

    def forward(self, image: Tensor) -> Tensor:
        score: Tensor = self.main(image)
        return score


class Recipe(recipe.Recipe):
    smoke_settings = {**recipe.Recipe.smoke_settings, "size": 32, "width": 16}
    settings: Settings

    def __init__(self, settings: Settings, data: Data) -> None:
        size, channels = settings.size, channels_of(data)
        super().__init__(settings, Spec((Latent(settings.z_dim),), Image(height=size, width=size, channels=channels)))
        self.generator = Generator(stages(size, settings.z_dim, settings.width, channels))
        self.discriminator = Discriminator(size, channels, settings.width)
        self.apply(_initialise)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    @staticmethod
    def data(source: Path, settings: Settings) -> Data:
        return open_grey_or_coloured(source, settings.size)

    def turns(self) -> tuple[Turn, ...]:
        return Turn(self.discriminator, self.discriminator_loss), Turn(self.generator, self.generator_loss)

    def discriminator_loss(self, batch: Batch, step: int) -> Terms:
        real = mirrored(*batch)
        with torch.no_grad():
            generated = self.generator(*self.inputs(len(real)))
        loss = LOSSES[self.settings.loss].discriminator  # real and generated apart: batch norm sees one kind at a time
        return {"loss_d": loss(self.discriminator(real).float(), self.discriminator(generated).float())}

    def generator_loss(self, batch: Batch, step: int) -> Terms:
        (real,) = batch
        generated = self.generator(*self.inputs(len(real)))
        return {"loss_g": LOSSES[self.settings.loss].generator(self.discriminator(generated).float())}


def stages(size: int, z_dim: int, width: int, channels: int) -> Stages:
    """The generator's layers: from 4 x 4 maps to `size` x `size`, the last but one of `width` channels."""
    doublings = (size // _POINT).bit_length() - 1
    widths = tuple(width << n for n in reversed(range(doublings)))
    return Stages(z_dim, _POINT, (*widths, channels), (False,) * (doublings + 1))


def mirrored(images: Tensor) -> Tensor:
    """Each of the images [batch, channels, height, width], or its mirror image, at random."""
    heads = torch.rand(len(images), 1, 1, 1, device=images.device) < 0.5
    return torch.where(heads, images.flip(3), images)


def _initialise(module: nn.Module) -> None:
    """The paper's: weights from N(0, 0.02); those of a batch norm, which the paper leaves open, around 1."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(module.weight, 0.0, 0.02)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, 0.02)
