"""Variational autoencoder: pictures, and an encoder beside them.

Kingma and Welling 2013 (arXiv:1312.6114). The encoder gives q(z | x) = N(mean, variance), the decoder p(x | z), and

    -E_q log p(x | z)  +  KL(q(z | x) | N(0, 1))     `reconstruction` and `kl`, nats a picture

is minimised, which is the ELBO with its sign turned; z = mean + deviation * noise, so that the gradient reaches the
encoder. p is one of two:

    bernoulli   each value of a picture is a probability: cross-entropy, whose floor is the entropy of the grey values
    gaussian    one variance for all values, learnt: `reconstruction` is a density's, and falls below 0

The decoder is the generator; what it is given to draw comes from N(0, 1).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from ganrt.errors import ArgumentError
from ganrt.media.image import grid, write_image
from ganrt.spec import Image, Latent, Spec
from ganrt_export.reference import to_pixels

from .. import recipe
from ..recipe import Batch, Data, Terms, Turn
from ._pictures import channels_of, first_side, open_grey_or_coloured

__all__ = ["LIKELIHOODS", "Bernoulli", "Decoder", "Encoder", "Gaussian", "Recipe", "Settings", "divergence"]

_COLUMNS, _ROWS = 8, 4  # of reconstructions.png; a row of pictures, below it their reconstructions
_JUDGED = 2_000  # pictures, at most, behind the figures in the bundle
_PART = 250  # of them at a time
_ACTIVE = 0.01  # variance of a latent's mean over the pictures from which it is in use


@dataclass(frozen=True)
class Settings(recipe.Settings):
    steps: int = 20_000
    batch: int = 128
    learning_rate: float = 1e-3
    beta1: float = 0.9
    decay_last: float = 0.5
    size: int = 28
    z_dim: int = 32
    width: int = 32  # channels of the largest maps; halving the side doubles them
    likelihood: str = "bernoulli"

    def __post_init__(self) -> None:
        super().__post_init__()
        first_side(self.size)
        if self.likelihood not in LIKELIHOODS:
            known = ", ".join(LIKELIHOODS)
            raise ArgumentError(f"'{self.likelihood}' is not a likelihood of this recipe; choose one of {known}.")


class Encoder(nn.Module):
    """Picture float32 [batch, channels, size, size] -> mean and log variance of z, float32 [batch, z_dim] both."""

    def __init__(self, size: int, channels: int, z_dim: int, width: int) -> None:
        super().__init__()
        side = first_side(size)
        widths = [width << level for level in range((size // side).bit_length())]
        layers: list[nn.Module] = [nn.Conv2d(channels, width, 3, padding=1), nn.SiLU()]
        for inner, outer in pairwise(widths):
            layers += [nn.Conv2d(inner, outer, 4, stride=2, padding=1), nn.SiLU()]
        self.layers = nn.Sequential(*layers, nn.Flatten(), nn.Linear(widths[-1] * side**2, 2 * z_dim))

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_variance = self.layers(image).float().chunk(2, dim=1)
        return mean, log_variance


class Decoder(nn.Module):
    """z float32 [batch, z_dim] -> the mean of p(x | z), float32 [batch, channels, size, size] in [-1, 1].

    `logits(z)`: that of the mean taken as a probability p, black 0 and white 1: 2 p - 1 = tanh(logit / 2).
    """

    def __init__(self, size: int, channels: int, z_dim: int, width: int) -> None:
        super().__init__()
        side = first_side(size)
        widths = [width << level for level in reversed(range((size // side).bit_length()))]
        layers: list[nn.Module] = [nn.Linear(z_dim, widths[0] * side**2), nn.Unflatten(1, (widths[0], side, side))]
        for inner, outer in pairwise(widths):
            layers += [nn.SiLU(), nn.ConvTranspose2d(inner, outer, 4, stride=2, padding=1)]
        self.layers = nn.Sequential(*layers, nn.SiLU(), nn.Conv2d(width, channels, 3, padding=1))

    def logits(self, z: Tensor) -> Tensor:
        logits: Tensor = self.layers(z)
        return logits

    def forward(self, z: Tensor) -> Tensor:
        return torch.tanh(self.logits(z) / 2)


class Bernoulli(nn.Module):
    """-log p(x | logits), nats a picture, float32 [batch], of pictures float32 [batch, ...] in [-1, 1]."""

    def forward(self, logits: Tensor, image: Tensor) -> Tensor:
        values = F.binary_cross_entropy_with_logits(logits, (image + 1) / 2, reduction="none")
        return values.flatten(1).sum(dim=1)


class Gaussian(nn.Module):
    """As `Bernoulli`, for N(tanh(logits / 2), deviation^2) with one deviation for all values, which is learnt."""

    def __init__(self) -> None:
        super().__init__()
        self.log_deviation = nn.Parameter(torch.zeros(()))

    def forward(self, logits: Tensor, image: Tensor) -> Tensor:
        off = (image - torch.tanh(logits / 2)) * torch.exp(-self.log_deviation)
        values = off.square() / 2 + self.log_deviation + math.log(math.tau) / 2
        return values.flatten(1).sum(dim=1)


LIKELIHOODS: dict[str, type[nn.Module]] = {"bernoulli": Bernoulli, "gaussian": Gaussian}


class Recipe(recipe.Recipe):
    default_data = "mnist"
    smoke_data = "digits"
    smoke_settings = {**recipe.Recipe.smoke_settings, "width": 8}
    settings: Settings

    def __init__(self, settings: Settings, data: Data) -> None:
        size, channels = settings.size, channels_of(data)
        super().__init__(settings, Spec((Latent(settings.z_dim),), Image(height=size, width=size, channels=channels)))
        sizes = (size, channels, settings.z_dim, settings.width)
        self.encoder, self.generator = Encoder(*sizes), Decoder(*sizes)
        self.likelihood = LIKELIHOODS[settings.likelihood]()
        self.pictures = data

    @staticmethod
    def data(source: Path, settings: Settings) -> Data:
        return open_grey_or_coloured(source, settings.size)

    def turns(self) -> tuple[Turn, ...]:
        return (Turn((self.encoder, self.generator, self.likelihood), self.loss),)

    def loss(self, batch: Batch, step: int) -> Terms:
        (image,) = batch
        mean, log_variance = self.encoder(image)
        z = mean + torch.exp(log_variance / 2) * torch.randn_like(mean)
        logits = self.generator.logits(z).float()  # type: ignore[operator]
        return {
            "reconstruction": self.likelihood(logits, image).mean(),
            "kl": divergence(mean, log_variance).mean(),
        }

    def figures(self, generator: nn.Module, folder: Path) -> None:
        """reconstructions.png: pictures of the data in the odd rows, below each what is left of it after the code."""
        write_image(folder / "reconstructions.png", grid(self.reconstructions(generator), _COLUMNS))

    def reconstructions(self, generator: nn.Module) -> NDArray[np.uint8]:
        """A row of pictures, a row of what the mean of their q(z | x) gives, and so on: uint8 [n, h, w, channels]."""
        real = self._looked_at(_COLUMNS * _ROWS)
        with torch.inference_mode():
            again = generator(self.encoder(real)[0])
        rows = [torch.split(part, _COLUMNS) for part in (real, again)]
        both = torch.cat([picture for pair in zip(*rows, strict=True) for picture in pair])
        assert isinstance(self.spec.output, Image)
        return to_pixels(both.numpy(), self.spec.output)

    def quality(self, generator: nn.Module) -> dict[str, Any]:
        """Both terms of the loss over pictures of the training data, and how many latents are in use."""
        real, terms, means = self._looked_at(_JUDGED), [], []
        torch.manual_seed(self.settings.seed)
        with torch.inference_mode():
            for part in torch.split(real, _PART):
                terms.append({name: float(term) * len(part) for name, term in self.loss((part,), 0).items()})
                means.append(self.encoder(part)[0])
        reconstruction, kl = (sum(one[name] for one in terms) / len(real) for name in ("reconstruction", "kl"))
        return {
            "by": "its own encoder, on pictures it was trained on",
            "pictures": len(real),
            "likelihood": self.settings.likelihood,
            "reconstruction_nats": round(reconstruction, 3),
            "kl_nats": round(kl, 3),
            "elbo_nats": round(-reconstruction - kl, 3),
            "active_latents": int((torch.cat(means).var(dim=0) > _ACTIVE).sum()),
        }

    def _looked_at(self, most: int) -> Tensor:
        """Up to `most` pictures from all over the data."""
        chosen = np.linspace(0, len(self.pictures) - 1, min(most, len(self.pictures))).astype(int).tolist()
        pictures, *_ = self.pictures[chosen]
        return pictures


def divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(N(mean, variance) | N(0, 1)) in nats, float32 [batch], of independent normals [batch, n] (appendix B).

    (mean^2 + variance - 1 - log variance) / 2, summed.
    """
    return (mean.square() + log_variance.exp() - 1 - log_variance).sum(dim=1) / 2
