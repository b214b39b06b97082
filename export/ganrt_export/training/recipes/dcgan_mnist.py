"""DCGAN of handwritten digits, or anything grey of 28 x 28.

Radford et al. 2015 (arXiv:1511.06434), in the sizes that TensorFlow's DCGAN tutorial made common: 5 x 5 convolutions,
leaky ReLU on both sides, dropout in the discriminator.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn

from ganrt.spec import Image, Latent, Spec

from .. import recipe
from ..datasets import open_pictures
from ..losses import NonSaturating
from ..recipe import Batch, Data, Terms, Turn

__all__ = ["Discriminator", "Generator", "Recipe", "Settings"]


@dataclass(frozen=True)
class Settings(recipe.Settings):
    least = {**recipe.Settings.least, "width": 2}

    steps: int = 23_450  # 50 epochs of MNIST
    batch: int = 128
    learning_rate: float = 2e-4
    beta1: float = 0.5
    z_dim: int = 100
    width: int = 128  # channels of the generator's maps and of the discriminator's last; its first have half of them


class Generator(nn.Module):
    """z float32 [batch, z_dim] -> float32 [batch, 1, 28, 28] in [-1, 1]."""

    def __init__(self, z_dim: int, width: int = 128) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(z_dim, 7 * 7 * width, bias=False),
            nn.BatchNorm1d(7 * 7 * width),
            nn.LeakyReLU(0.3),
            nn.Unflatten(1, (width, 7, 7)),
            *_doubling(width, stride=1),
            *_doubling(width, stride=2),
            *_doubling(width, stride=2),
            nn.Conv2d(width, 1, 5, padding=2),
            nn.Tanh(),
        )

    def forward(self, z: Tensor) -> Tensor:
        image: Tensor = self.layers(z)
        return image


class Discriminator(nn.Module):
    """Image float32 [batch, 1, 28, 28] -> score float32 [batch], larger for more real."""

    def __init__(self, width: int = 128) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, width // 2, 5, stride=2, padding=2),
            nn.LeakyReLU(0.3),
            nn.Dropout(0.3),
            nn.Conv2d(width // 2, width, 5, stride=2, padding=2),
            nn.LeakyReLU(0.3),
            nn.Dropout(0.3),
            nn.Flatten(),
            nn.Linear(width * 7 * 7, 1),
        )

    def forward(self, image: Tensor) -> Tensor:
        score: Tensor = self.layers(image).squeeze(1)
        return score


class Recipe(recipe.Recipe):
    default_data = "mnist"
    smoke_data = "digits"
    smoke_settings = {**recipe.Recipe.smoke_settings, "width": 16}
    settings: Settings

    def __init__(self, settings: Settings, data: Data) -> None:
        super().__init__(settings, Spec((Latent(settings.z_dim),), Image(height=28, width=28, channels=1)))
        self.generator = Generator(settings.z_dim, settings.width)
        self.discriminator = Discriminator(settings.width)
        self.drawn: list[Tensor] = []  # between the two turns of a step

    @staticmethod
    def data(source: Path, settings: Settings) -> Data:
        return open_pictures(source, size=28, channels=1)

    def turns(self) -> tuple[Turn, ...]:
        return Turn(self.generator, self.generator_loss), Turn(self.discriminator, self.discriminator_loss)

    def generator_loss(self, batch: Batch, step: int) -> Terms:
        (real,) = batch
        generated = self.generator(*self.inputs(len(real)))
        self.drawn.append(generated.detach())
        return {"loss_g": NonSaturating.generator(self.discriminator(generated))}

    def discriminator_loss(self, batch: Batch, step: int) -> Terms:
        (real,) = batch
        generated = self.drawn.pop(0)  # the generator's own: drawing others would cost a quarter of the step
        return {"loss_d": NonSaturating.discriminator(self.discriminator(real), self.discriminator(generated))}


def _doubling(width: int, stride: int) -> list[nn.Module]:
    """Transposed 5 x 5 convolution to `stride` times the side, batch norm, leaky ReLU."""
    up = nn.ConvTranspose2d(width, width, 5, stride, padding=2, output_padding=stride - 1, bias=False)
    return [up, nn.BatchNorm2d(width), nn.LeakyReLU(0.3)]
