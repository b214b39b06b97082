"""InfoGAN: digits whose class, slant and width it finds unaided.

Chen et al. 2016 (arXiv:1606.03657). Beside noise the generator takes codes c, a category of ten and two numbers, and
learns to keep them readable: the discriminator's network, with a second head Q, reads them back from the picture, and

    E log Q(c | picture) + H(c)  <=  I(c; picture)

is maximised by both networks. No label is ever seen. The generator is PyTorch-GAN's, so that `ganrt export` reads
generator.safetensors too. Not as in the paper: no batch norm in the discriminator, so that what Q reads in a picture
does not depend on the others.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from ganrt.latents import Draws
from ganrt.media.image import grid, write_image
from ganrt.spec import Image, Spec
from ganrt_export.families.dcgan import UpsamplingSizes
from ganrt_export.families.infogan import CATEGORIES, CODES, Generator, describe
from ganrt_export.reference import evaluate, sample, to_pixels

from .. import recipe
from ..datasets import open_pictures
from ..losses import NonSaturating
from ..recipe import Batch, Data, Terms, Turn

__all__ = ["Discriminator", "Reading", "Recipe", "Settings", "effects", "information", "unread"]

_SIDE = 7  # of the first maps; pictures are four times that
_LEAST_LOG_SPREAD = -4.0  # a code read better than to e^-4 of its unit is read well enough
_NOISES, _STEPS, _SCALE, _GAP = 8, 10, 2, 12  # codes.png: rows, columns of each code; the last two in pixels
_JUDGED, _QUALITY_SEED = 2_000, 2_024


@dataclass(frozen=True)
class Settings(recipe.Settings):
    least = {**recipe.Settings.least, "width": 2}

    steps: int = 20_000
    batch: int = 64
    learning_rate: float = 2e-4  # the discriminator's and Q's
    generator_rate: float = 5.0  # times that: 1e-3 in the paper
    beta1: float = 0.5
    ema_decay: float = 0.99
    z_dim: int = 62
    width: int = 64  # channels of the generator's first maps, and of the discriminator's
    category_weight: float = 1.0
    code_weight: float = 0.1


class Reading(NamedTuple):
    """What Q makes of pictures: logits float32 [batch, 10]; a normal distribution of each code, [batch, 2] both."""

    category: Tensor
    mean: Tensor
    log_spread: Tensor


class Discriminator(nn.Module):
    """Image float32 [batch, 1, 28, 28] -> score float32 [batch], larger for more real, and its codes' `Reading`."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, width, 4, stride=2, padding=1),
            nn.LeakyReLU(0.1),
            nn.Conv2d(width, 2 * width, 4, stride=2, padding=1),
            nn.LeakyReLU(0.1),
            nn.Flatten(),
            nn.Linear(2 * width * _SIDE**2, 16 * width),
            nn.LeakyReLU(0.1),
        )
        self.score = nn.Linear(16 * width, 1)
        self.codes = nn.Sequential(
            nn.Linear(16 * width, 2 * width), nn.LeakyReLU(0.1), nn.Linear(2 * width, CATEGORIES + 2 * CODES)
        )

    def forward(self, image: Tensor) -> tuple[Tensor, Reading]:
        features = self.features(image)
        category, mean, log_spread = self.codes(features).split((CATEGORIES, CODES, CODES), dim=1)
        return self.score(features).squeeze(1).float(), Reading(category, mean, log_spread.clamp_min(_LEAST_LOG_SPREAD))


class Recipe(recipe.Recipe):
    default_data = "mnist"
    smoke_data = "digits"
    smoke_settings = {**recipe.Recipe.smoke_settings, "width": 16}
    settings: Settings

    def __init__(self, settings: Settings, data: Data) -> None:
        width = settings.width
        sizes = UpsamplingSizes(settings.z_dim + CATEGORIES + CODES, _SIDE, (width, width, width // 2, 1))
        super().__init__(settings, describe(sizes))
        self.generator, self.discriminator = Generator(sizes), Discriminator(width)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    @staticmethod
    def data(source: Path, settings: Settings) -> Data:
        return open_pictures(source, size=4 * _SIDE, channels=1)

    def turns(self) -> tuple[Turn, ...]:
        return (
            Turn(self.discriminator, self.discriminator_loss),
            Turn(self.generator, self.generator_loss, rate=self.settings.generator_rate),
        )

    def discriminator_loss(self, batch: Batch, step: int) -> Terms:
        (real,) = batch
        z, category, code = self.inputs(len(real))
        with torch.no_grad():
            generated = self.generator(z, category, code)
        score_real, _ = self.discriminator(real)
        score_generated, reading = self.discriminator(generated)
        return {
            "loss_d": NonSaturating.discriminator(score_real, score_generated),
            "q": self._read(reading, category, code),
        }

    def generator_loss(self, batch: Batch, step: int) -> Terms:
        (real,) = batch
        z, category, code = self.inputs(len(real))
        score, reading = self.discriminator(self.generator(z, category, code))
        return {
            "loss_g": NonSaturating.generator(score),
            "codes": self._read(reading, category, code),
            "information": information(reading, category, code).detach(),  # to be seen; `codes` is what is minimised
        }

    def _read(self, reading: Reading, category: Tensor, code: Tensor) -> Tensor:
        """-E log Q(c | picture), each kind of code times its weight."""
        nats = unread(reading, category, code)
        return self.settings.category_weight * nats[0] + self.settings.code_weight * nats[1]

    def figures(self, generator: nn.Module, folder: Path) -> None:
        """codes.png: what each code does to eight pictures."""
        write_image(folder / "codes.png", effects(generator, self.spec))

    def quality(self, generator: nn.Module) -> dict[str, Any]:
        """How well Q reads the codes of fixed samples back: nats, shares, and errors in a code's own unit."""
        draws = Draws(self.spec, _QUALITY_SEED, 0, _JUDGED)
        feeds = draws.feeds(0, _JUDGED)
        category, code = torch.from_numpy(feeds["category"]), torch.from_numpy(feeds["code"])
        with torch.inference_mode():
            _, reading = self.discriminator(torch.from_numpy(sample(generator, draws)))
            category_nats, code_nats = unread(reading, category, code)
            right = reading.category.argmax(dim=1) == category.argmax(dim=1)
            errors = (reading.mean - code).square().mean(dim=0).sqrt()
        return {
            "by": f"Q, which learned to read the codes, on {_JUDGED:,} samples",
            "samples": _JUDGED,
            "category_cross_entropy": round(float(category_nats), 4),
            "category_accuracy": round(float(right.float().mean()), 4),
            "code_negative_log_likelihood": round(float(code_nats), 4),
            "code_error": [round(float(error), 4) for error in errors],
            "information": round(float(information(reading, category, code)), 4),
        }


def unread(reading: Reading, category: Tensor, code: Tensor) -> tuple[Tensor, Tensor]:
    """-E log Q of the true category [batch, 10], one-hot, and of the true codes [batch, 2]; nats, scalars."""
    category_nats = F.cross_entropy(reading.category.float(), category.argmax(dim=1))
    mean, log_spread = reading.mean.float(), reading.log_spread.float()
    off = (code - mean) * torch.exp(-log_spread)
    code_nats = (log_spread + off.square() / 2 + math.log(math.tau) / 2).sum(dim=1).mean()
    return category_nats, code_nats


def information(reading: Reading, category: Tensor, code: Tensor) -> Tensor:
    """The lower bound of the mutual information between codes and picture, nats: at most log 10 for the category.

    H is log 10 for the category, which is uniform, and log 2 for each code, uniform over -1 .. 1.
    """
    category_nats, code_nats = unread(reading, category, code)
    return math.log(CATEGORIES) + CODES * math.log(2) - category_nats - code_nats


def effects(generator: nn.Module, spec: Spec) -> NDArray[np.uint8]:
    """What each code does: a row is one latent, a column one value of the code that moves; side by side, all codes.

    Returns uint8 [height, width, 1]. The codes that do not move are 0; the category is the row's number.
    """
    assert isinstance(spec.output, Image)
    z = Draws(spec, 0, 0, _NOISES).feeds(0, _NOISES)["z"].repeat(_STEPS, axis=0)
    row, column = np.divmod(np.arange(len(z)), _STEPS)
    blocks = []
    for moving in range(1 + CODES):
        category = np.eye(CATEGORIES, dtype=np.float32)[(row if moving else column) % CATEGORIES]
        code = np.zeros((len(z), CODES), np.float32)
        if moving:
            code[:, moving - 1] = np.linspace(-1, 1, _STEPS)[column]
        raw = evaluate(generator, spec, {"z": z, "category": category, "code": code})
        blocks.append(grid(to_pixels(raw, spec.output), _STEPS, _SCALE))
    gap = np.full((len(blocks[0]), _GAP, 1), 255, np.uint8)
    return np.concatenate([blocks[0], *(part for block in blocks[1:] for part in (gap, block))], axis=1)
