"""WaveGAN: one-second sounds, sample by sample.

Donahue et al. 2018 (arXiv:1802.04208): a DCGAN stretched out, kernels of 25 that make the signal four times longer or
shorter, trained as WGAN-GP. Phase shuffle between the critic's layers keeps it from telling generated sounds by the
phase at which upsampling leaves its traces. Initial weights as in the authors' TensorFlow code.
"""

from __future__ import annotations

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
from ganrt.latents import Draws
from ganrt.spec import Audio, Latent, Spec
from ganrt_export.families.wavegan import FACTOR, KERNEL, STEPS, Generator, Sizes
from ganrt_export.reference import sample

from .. import recipe
from ..datasets import open_sounds
from ..losses import Wasserstein, lipschitz_penalty
from ..recipe import Batch, Data, Terms, Turn

__all__ = ["LENGTHS", "Critic", "Recipe", "Settings", "band_levels", "phase_shuffle"]

LENGTHS = tuple(STEPS * FACTOR**layers for layers in range(2, 7))
_SLOPE = 0.2
_JUDGED, _QUALITY_SEED = 256, 2_024
_WINDOW, _BANDS = 256, 16  # samples of a spectrum, and bands of equal width that it is summed up in
_SILENCE = 1e-10  # of power, which keeps its logarithm finite: -100 dB


@dataclass(frozen=True)
class Settings(recipe.Settings):
    least = {**recipe.Settings.least, "shuffle": 0}

    steps: int = 200_000
    batch: int = 64
    learning_rate: float = 1e-4
    beta1: float = 0.5
    beta2: float = 0.9
    length: int = 16_384  # samples of a sound
    sample_rate: int = 16_000  # Hz
    z_dim: int = 100
    width: int = 64  # channels of the longest signals; a quarter of the length doubles them
    shuffle: int = 2  # samples of phase shuffle, to either side
    critic_steps: int = 5
    penalty: float = 10.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.length not in LENGTHS:
            allowed = ", ".join(f"{length:,}" for length in LENGTHS)
            raise ArgumentError(f"The length is {self.length:,}; this recipe makes sounds of {allowed} samples.")


class Critic(nn.Module):
    """Sound float32 [batch, 1, length] -> score float32 [batch], larger for more real."""

    def __init__(self, length: int, width: int, shuffle: int) -> None:
        super().__init__()
        widths = [1, *(width << layer for layer in range(_layers(length)))]
        self.convolutions = nn.ModuleList(
            nn.Conv1d(before, after, KERNEL, FACTOR, padding=11) for before, after in pairwise(widths)
        )
        self.score = nn.Linear(widths[-1] * STEPS, 1)
        self._shuffle = shuffle

    def forward(self, sound: Tensor) -> Tensor:
        features = sound
        for number, convolution in enumerate(self.convolutions):
            if number:
                features = phase_shuffle(features, self._shuffle)
            features = F.leaky_relu(convolution(features), _SLOPE)
        score: Tensor = self.score(features.flatten(1)).squeeze(1)
        return score.float()  # also where a GPU computes in BF16


class Recipe(recipe.Recipe):
    smoke_data = "sounds"
    smoke_settings = {**recipe.Recipe.smoke_settings, "length": 1_024, "sample_rate": 8_000, "width": 8}
    settings: Settings

    def __init__(self, settings: Settings, data: Data) -> None:
        sound = Audio(length=settings.length, sample_rate=settings.sample_rate)
        super().__init__(settings, Spec((Latent(settings.z_dim, distribution="uniform"),), sound))
        layers = _layers(settings.length)
        widths = (*(settings.width << layer for layer in reversed(range(layers))), 1)
        names = tuple(f"layers.{layer}" for layer in range(layers))
        self.generator = Generator(Sizes(settings.z_dim, "dense", names, (), widths, transposed=True))
        self.critic = Critic(settings.length, settings.width, settings.shuffle)
        self.apply(_initialise)
        self._real = data

    @staticmethod
    def data(source: Path, settings: Settings) -> Data:
        return open_sounds(source, length=settings.length, sample_rate=settings.sample_rate)

    def turns(self) -> tuple[Turn, ...]:
        return (
            Turn(self.critic, self.critic_loss, times=self.settings.critic_steps),
            Turn(self.generator, self.generator_loss),
        )

    def critic_loss(self, batch: Batch, step: int) -> Terms:
        (real,) = batch
        with torch.no_grad():
            generated = self.generator(*self.inputs(len(real)))
        return {
            "critic": Wasserstein.discriminator(self.critic(real), self.critic(generated)),
            "penalty": self.settings.penalty * lipschitz_penalty(self.critic, real, generated),
        }

    def generator_loss(self, batch: Batch, step: int) -> Terms:
        (real,) = batch
        return {"generator": Wasserstein.generator(self.critic(self.generator(*self.inputs(len(real)))))}

    def quality(self, generator: nn.Module) -> dict[str, Any]:
        """Level and mean spectrum of fixed samples beside those of as many real sounds."""
        chosen = np.linspace(0, len(self._real) - 1, min(2 * _JUDGED, len(self._real))).astype(int)
        real = self._real[chosen.tolist()][0].numpy()
        generated = sample(generator, Draws(self.spec, _QUALITY_SEED, 0, _JUDGED))
        spectra = [band_levels(sounds) for sounds in (generated, real, real[::2], real[1::2])]
        return {
            "by": f"{_JUDGED} samples against real sounds, mean levels in {_BANDS} bands",
            "samples": _JUDGED,
            "level_dbfs": _level(generated),
            "real_level_dbfs": _level(real),
            "spectrum_error_db": _apart(spectra[0], spectra[1]),
            "real_spectrum_error_db": _apart(spectra[2], spectra[3]),  # of one half of them against the other
        }


def phase_shuffle(features: Tensor, most: int) -> Tensor:
    """`features` [batch, channels, length] moved by -`most` .. `most` samples, drawn; what is missing is reflected."""
    if most == 0:
        return features
    start = int(torch.randint(2 * most + 1, ()))
    return F.pad(features, (most, most), mode="reflect").narrow(2, start, features.shape[2])


def band_levels(sounds: NDArray[np.float32]) -> NDArray[np.float64]:
    """The mean power of sounds [n, 1, length] in bands of equal width from 0 to half the sample rate, dB."""
    window = np.hanning(_WINDOW)
    frames = np.lib.stride_tricks.sliding_window_view(sounds, _WINDOW, axis=2)[..., :: _WINDOW // 2, :]
    power = np.square(np.abs(np.fft.rfft(frames * window))).mean(axis=(0, 1, 2))[1:] / np.square(window).sum()
    levels: NDArray[np.float64] = 10 * np.log10(power.reshape(_BANDS, -1).mean(axis=1) + _SILENCE)
    return levels


def _apart(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    return round(float(np.sqrt(np.square(one - other).mean())), 2)


def _level(sounds: NDArray[np.float32]) -> float:
    """dB of the mean power below that of a constant 1."""
    return round(float(10 * np.log10(np.square(sounds, dtype=np.float64).mean() + _SILENCE)), 2)


def _layers(length: int) -> int:
    return LENGTHS.index(length) + 2


def _initialise(module: nn.Module) -> None:
    if isinstance(module, (nn.Linear, nn.Conv1d, nn.ConvTranspose1d)):
        nn.init.xavier_uniform_(module.weight)
        assert module.bias is not None
        nn.init.zeros_(module.bias)
