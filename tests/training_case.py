"""A recipe that trains in milliseconds and has what resuming must get right: batch norm, dropout, a lazy penalty."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ganrt.spec import Image, Label, Latent, Spec
from ganrt_export.training import recipe
from ganrt_export.training.datasets import Pictures
from ganrt_export.training.loop import train
from ganrt_export.training.losses import Relativistic, zero_centred_penalty
from ganrt_export.training.recipe import Batch, Data, Terms, Turn

__all__ = ["Recipe", "Settings", "pictures", "run"]


@dataclass(frozen=True)
class Settings(recipe.Settings):
    steps: int = 6
    batch: int = 4
    learning_rate: float = 4e-4
    beta1: float = 0.0
    beta2: float = 0.99
    decay_last: float = 0.5
    ema_decay: float = 0.999
    norm_batches: int = 2
    gamma: float = 1.0
    discriminator_steps: int = 1


class Generator(nn.Module):
    """4 x 4 pictures from two numbers and a label, with a batch norm."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(3, 2)
        self.linear = nn.Linear(4, 16)
        self.norm = nn.BatchNorm2d(1)

    def forward(self, z: Tensor, label: Tensor) -> Tensor:
        flat = self.linear(torch.cat([z, self.embedding(label)], dim=1))
        return torch.tanh(self.norm(flat.view(-1, 1, 4, 4)))


class Discriminator(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(16, 8), nn.LeakyReLU(0.2), nn.Dropout(0.3), nn.Linear(8, 3))

    def forward(self, image: Tensor, label: Tensor) -> Tensor:
        return self.layers(image).gather(1, label[:, None]).squeeze(1)


class Recipe(recipe.Recipe):
    settings: Settings

    def __init__(self, settings: Settings, data: Data) -> None:
        spec = Spec((Latent(2), Label(3)), Image(height=4, width=4, channels=1))
        super().__init__(settings, spec)
        self.generator, self.discriminator = Generator(), Discriminator()
        self.register_buffer("scored", torch.zeros(()))  # a state of its own, as path lengths are

    @staticmethod
    def data(source: Path, settings: Settings) -> Data:
        return pictures()

    def turns(self) -> tuple[Turn, ...]:
        return (
            Turn(self.discriminator, self.discriminator_loss, times=self.settings.discriminator_steps),
            Turn(self.generator, self.generator_loss, rate=0.5),
        )

    def discriminator_loss(self, batch: Batch, step: int) -> Terms:
        real, label = batch
        with torch.no_grad():
            generated = self.generator(torch.randn(len(real), 2, device=self.device), label)
        real.requires_grad_()
        score = self.discriminator(real, label)
        self.scored += float(score.detach().mean())
        terms = {"loss_d": Relativistic.discriminator(score, self.discriminator(generated, label))}
        if step % 2 == 0:
            terms["penalty"] = self.settings.gamma * zero_centred_penalty(real, score)
        return terms

    def generator_loss(self, batch: Batch, step: int) -> Terms:
        real, label = batch
        generated = self.generator(torch.randn(len(real), 2, device=self.device), label)
        with torch.no_grad():
            score = self.discriminator(real, label)
        return {"loss_g": Relativistic.generator(self.discriminator(generated, label), score)}


def pictures(count: int = 18) -> Pictures:
    draws = np.random.default_rng(0)
    return Pictures(draws.integers(0, 256, (count, 1, 4, 4), np.uint8), np.arange(count) % 3, ("a", "b", "c"))


def run(folder: Path, settings: Settings | None = None, data: Data | None = None, **options: Any) -> nn.Module:
    """The generator after training in `folder`, whose weights began as those of any other run of the same seed."""
    settings, data = settings or Settings(), data or pictures()
    torch.manual_seed(settings.seed)
    return train(Recipe(settings, data), data, folder, **options)
