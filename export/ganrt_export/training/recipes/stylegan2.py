"""StyleGAN2 of any pictures, 16 to 256 pixels a side.

Karras et al. 2019 (arXiv:1912.04958): styles from a mapping network, mixed between two latents; modulated convolutions,
an image at every size; a residual discriminator; R1 and path-length regularisation, each every so many steps. Weight of
R1, rates and sizes are the defaults of NVlabs stylegan2-ada-pytorch. The bundle holds two graphs, mapping and
synthesis, and takes psi, which draws w towards its mean.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from ganrt.errors import ArgumentError
from ganrt_export.families.stylegan2 import load_nvlabs
from ganrt_export.families.stylegan2.assembly import describe
from ganrt_export.families.stylegan2.trained import Discriminator, Generator

from .. import recipe
from ..losses import NonSaturating, path_lengths, zero_centred_penalty
from ..recipe import Batch, Data, Terms, Turn, check_power_of_two
from ._pictures import channels_of, open_grey_or_coloured

__all__ = ["Recipe", "Settings", "mixed"]

_MEMORY = 0.99  # of the mean path length, a regularised step


@dataclass(frozen=True)
class Settings(recipe.Settings):
    steps: int = 200_000
    batch: int = 32
    learning_rate: float = 2.5e-3
    beta1: float = 0.0
    beta2: float = 0.99
    ema_decay: float = 0.998
    size: int = 64
    z_dim: int = 512
    mapping_layers: int = 8
    channel_base: int = 16_384  # channels times side of any maps ..
    channel_max: int = 512  # .. as long as it is not more than this
    mixing: float = 0.9  # share of pictures whose styles come from two latents
    r1: float | None = None  # by default 0.0002 size^2 / batch
    r1_every: int = 16
    path: float = 2.0
    path_every: int = 4

    def __post_init__(self) -> None:
        super().__post_init__()
        check_power_of_two(self.size, 16, 256)
        if self.channel_base < self.size:
            raise ArgumentError(f"channel_base is {self.channel_base}; it must be at least the size, {self.size}.")

    @property
    def gamma(self) -> float:
        """The weight of R1."""
        return 2e-4 * self.size**2 / self.batch if self.r1 is None else self.r1


class Recipe(recipe.Recipe):
    smoke_settings = {
        **recipe.Recipe.smoke_settings,
        "size": 16,
        "z_dim": 32,
        "mapping_layers": 2,
        "channel_base": 256,
        "channel_max": 32,
    }
    settings: Settings
    generator: Generator
    path_mean: Tensor

    def __init__(self, settings: Settings, data: Data) -> None:
        size, channels = settings.size, channels_of(data)
        super().__init__(settings, describe(settings.z_dim, size, channels))
        widths = {"base": settings.channel_base, "most": settings.channel_max}
        self.generator = Generator(settings.z_dim, size, channels, layers=settings.mapping_layers, **widths)
        self.discriminator = Discriminator(size, channels, **widths)
        self.register_buffer("path_mean", torch.zeros(()))
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    @staticmethod
    def data(source: Path, settings: Settings) -> Data:
        return open_grey_or_coloured(source, settings.size)

    def turns(self) -> tuple[Turn, ...]:
        return Turn(self.discriminator, self.discriminator_loss), Turn(self.generator, self.generator_loss)

    def discriminator_loss(self, batch: Batch, step: int) -> Terms:
        (real,) = batch
        penalised = step % self.settings.r1_every == 0
        with torch.no_grad():
            generated = self.generator.synthesis(self.styles(len(real)))
        real = real.requires_grad_(penalised)
        score = self.discriminator(real)
        terms = {"loss_d": NonSaturating.discriminator(score, self.discriminator(generated))}
        if penalised:  # over 4 and not 2: the loss is a mean of two terms, and in the paper their sum
            terms["r1"] = self.settings.gamma / 4 * self.settings.r1_every * zero_centred_penalty(real, score)
        return terms

    def generator_loss(self, batch: Batch, step: int) -> Terms:
        (real,) = batch
        styles = self.styles(len(real))
        self.generator.mapping.follow(styles[:, 0].detach())
        terms = {"loss_g": NonSaturating.generator(self.discriminator(self.generator.synthesis(styles)))}
        if step % self.settings.path_every == 0:
            terms["path"] = self.settings.path * self.settings.path_every * self.path_penalty(max(1, len(real) // 2))
        return terms

    def styles(self, count: int) -> Tensor:
        """w for each layer, float32 [count, num_ws, w_dim], drawn, some of them mixed."""
        z = torch.randn(2, count, self.settings.z_dim, device=self.device)
        first, second = self.generator.mapping(z.flatten(0, 1)).chunk(2)
        return mixed(first, second, self.generator.synthesis.num_ws, self.settings.mixing)

    def path_penalty(self, count: int) -> Tensor:
        """E (length - mean)^2 over `count` pictures; the mean of the lengths over time moves on."""
        styles = self.styles(count)
        lengths = path_lengths(self.generator.synthesis(styles).float(), styles)
        self.path_mean.lerp_(lengths.detach().mean(), 1 - _MEMORY)
        return (lengths - self.path_mean).square().mean()

    def exportable(self, generator: nn.Module) -> nn.Module:
        """Constants folded into the weights, noise frozen to the network's own."""
        module: nn.Module = load_nvlabs(generator.state_dict(), {}).module
        return module


def mixed(first: Tensor, second: Tensor, layers: int, share: float) -> Tensor:
    """w float32 [batch, w_dim] of two latents -> [batch, layers, w_dim]: the first's up to a layer, then the second's.

    That layer is drawn for each sample, from the second layer on; 1 - `share` of the samples have the first's alone.
    """
    change = torch.randint(1, layers, (len(first), 1), device=first.device)
    change[torch.rand(len(first), device=first.device) >= share] = layers
    early = torch.arange(layers, device=first.device) < change
    return torch.where(early[..., None], first[:, None], second[:, None])
