"""What the three layouts share beside the networks: the spec, the mean of w, and noise where a checkpoint has none."""

from __future__ import annotations

import torch
from torch import Tensor

from ganrt.errors import CheckpointError
from ganrt.latents import Draws, draw
from ganrt.spec import Image, Label, Latent, Spec, Truncation

from ..base import Loaded
from .networks import Generator, MappingNetwork, Synthesis

__all__ = ["MEAN_SAMPLES", "assemble", "describe", "fixed_noise"]

MEAN_SAMPLES = 4096
_SEED = 0
_LARGEST = 4096  # pixels; a checkpoint that claims more is damaged, and its noise would not fit into memory


def describe(
    z_dim: int, resolution: int, channels: int, *, classes: int = 0, low: float = -1.0, high: float = 1.0
) -> Spec:
    """What a generator takes and gives: z, psi and, with `classes`, a one-hot label.

    Raises CheckpointError when the picture has more than four channels, or is larger than 4096 x 4096.
    """
    _check_resolution(resolution)
    if channels > 4:
        raise CheckpointError(f"The checkpoint makes pictures of {channels} channels; a picture has at most 4.")
    psi = Truncation(minimum=0.0, maximum=1.5, name="psi", default=1.0, how="graph")
    label = (Label(classes=classes, encoding="one_hot"),) if classes else ()
    image = Image(height=resolution, width=resolution, channels=channels, low=low, high=high)
    return Spec(inputs=(Latent(size=z_dim), psi, *label), output=image)


def assemble(
    mapping: MappingNetwork, synthesis: Synthesis, spec: Spec, w_avg: Tensor | None, notes: tuple[str, ...]
) -> Loaded:
    """The whole generator; without a `w_avg` [w_dim] the mean of w over fixed draws takes its place."""
    if w_avg is None:
        w_avg = _mean_w(mapping, spec)
        notes += (
            f"The checkpoint has no mean w: truncation starts from the mean of {MEAN_SAMPLES} draws of seed {_SEED}.",
        )
    return Loaded(Generator(mapping, synthesis, w_avg).eval().requires_grad_(False), spec, notes)


def fixed_noise(name: str, resolution: int, *, uniform: bool = False) -> Tensor:
    """N(0, 1), or `uniform` over 0 .. 1, from the fixed seed and this name: float32 [resolution, resolution]."""
    _check_resolution(resolution)
    latent = Latent(size=resolution**2, name=name, distribution="uniform" if uniform else "normal")
    noise = torch.from_numpy(draw(latent, _SEED, 0, 1)).reshape(resolution, resolution)
    return (noise + 1) / 2 if uniform else noise


def _check_resolution(resolution: int) -> None:
    if resolution > _LARGEST:
        raise CheckpointError(
            f"The checkpoint has so many blocks that its pictures are {resolution} x {resolution}; "
            f"{_LARGEST} x {_LARGEST} is the most that can be loaded."
        )


def _mean_w(mapping: MappingNetwork, spec: Spec) -> Tensor:
    feeds = Draws(spec, seed=_SEED, start=0, count=MEAN_SAMPLES).feeds(0, MEAN_SAMPLES)
    label = None if spec.label is None else torch.from_numpy(feeds[spec.label.name])
    with torch.no_grad():
        w: Tensor = mapping(torch.from_numpy(feeds[spec.latents[0].name]), label)
    return w.double().mean(dim=0)
