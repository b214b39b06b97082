"""The GAN of 2014, linear layers only, on handwritten digits.

Goodfellow et al. 2014 (arXiv:1406.2661): two hidden layers on each side, 1,200 units in the generator, 240 maxout units
of 5 pieces with dropout in the discriminator. Changed, as is usual since: leaky ReLU for ReLU, tanh for the sigmoid,
normal latents for uniform ones, Adam for momentum. generator.safetensors is read by `ganrt export` too.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from ganrt.spec import Image, Latent, Spec
from ganrt_export.families.mlp_gan import SLOPE, Generator

from .. import recipe
from ..datasets import open_pictures
from ..losses import NonSaturating
from ..recipe import Batch, Data, Terms, Turn

__all__ = ["Discriminator", "Maxout", "Recipe", "Settings"]

SIDE = 28


@dataclass(frozen=True)
class Settings(recipe.Settings):
    steps: int = 30_000  # 50 epochs of MNIST
    batch: int = 100
    z_dim: int = 100
    width: int = 1_200


class Maxout(nn.Module):
    """The largest of `pieces` linear functions of [batch, inputs], for each unit: [batch, units].

    Source: Goodfellow et al. 2013 (arXiv:1302.4389).
    """

    def __init__(self, inputs: int, units: int, pieces: int = 5) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, units * pieces)
        self.unflatten = nn.Unflatten(1, (units, pieces))

    def forward(self, values: Tensor) -> Tensor:
        pieces: Tensor = self.unflatten(self.linear(values))
        return pieces.amax(dim=2)


class Discriminator(nn.Module):
    """Image float32 [batch, 1, 28, 28] -> score float32 [batch], larger for more real."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Flatten(),
            nn.Dropout(0.2),
            Maxout(SIDE**2, 240),
            nn.Dropout(0.5),
            Maxout(240, 240),
            nn.Dropout(0.5),
            nn.Linear(240, 1),
        )

    def forward(self, image: Tensor) -> Tensor:
        score: Tensor = self.layers(image).squeeze(1)
        return score


class Recipe(recipe.Recipe):
    default_data = "mnist"
    smoke_data = "digits"
    settings: Settings

    def __init__(self, settings: Settings, data: Data) -> None:
        super().__init__(settings, Spec((Latent(settings.z_dim),), Image(height=SIDE, width=SIDE, channels=1)))
        layers = nn.Sequential(
            nn.Linear(settings.z_dim, settings.width),
            nn.LeakyReLU(SLOPE),
            nn.Linear(settings.width, settings.width),
            nn.LeakyReLU(SLOPE),
            nn.Linear(settings.width, SIDE**2),
            nn.Tanh(),
        )
        self.generator, self.discriminator = Generator(layers, (1, SIDE, SIDE)), Discriminator()

    @staticmethod
    def data(source: Path, settings: Settings) -> Data:
        return open_pictures(source, size=SIDE, channels=1)

    def turns(self) -> tuple[Turn, ...]:
        return Turn(self.discriminator, self.discriminator_loss), Turn(self.generator, self.generator_loss)

    def discriminator_loss(self, batch: Batch, step: int) -> Terms:
        (real,) = batch
        with torch.no_grad():
            generated = self.generator(*self.inputs(len(real)))
        return {"loss_d": NonSaturating.discriminator(self.discriminator(real), self.discriminator(generated))}

    def generator_loss(self, batch: Batch, step: int) -> Terms:
        (real,) = batch
        generated = self.generator(*self.inputs(len(real)))
        return {"loss_g": NonSaturating.generator(self.discriminator(generated))}
