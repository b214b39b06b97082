"""The networks of the league: published layouts. Digits and faces are trained; the others' weights are random.

Time in float32 is the same. How near 8 bits come, and so what the default precision may use, is not.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ganrt.latents import Draws
from ganrt.spec import Image, Latent, Signal, Spec
from ganrt_export.families.stylegan2 import rosinality
from ganrt_export.training.recipes import dcgan_mnist

from ..networks import trained_digits, trained_faces
from ..rewrites.networks import Sample, lively, sample

__all__ = ["NETWORKS", "League", "build", "feeds"]


class League(NamedTuple):
    """`batches`: sizes of a call. `int8`: may a graph in 8 bits be near enough? StyleGAN2's is 22 dB away."""

    sample: Sample
    batches: tuple[int, ...]
    int8: bool = True


NETWORKS = (
    "digits",
    "dcgan28",
    "face",
    "sngan",
    "stylegan2-64",
    "stylegan2-256",
    "srvgg",
    "rrdb",
    "wavegan",
    "hifigan",
)


def build(name: str) -> League:
    """One of NETWORKS, in eval mode."""
    if name == "digits":
        return League(Sample(*trained_digits()), (1, 8, 64))
    if name == "face":
        return League(Sample(*trained_faces()), (1, 8, 64))
    if name == "dcgan28":
        torch.manual_seed(0)
        picture = Image(height=28, width=28, channels=1)
        return League(Sample(lively(dcgan_mnist.Generator(100)), Spec((Latent(100),), picture)), (1, 8, 64))
    if name.startswith("stylegan2"):
        loaded = rosinality.load(_stylegan2(int(name.rpartition("-")[2])))
        return League(Sample(loaded.module, loaded.spec), (1, 8), int8=False)
    made = sample(name)
    if made.spec.signals:
        return League(made, (1,))
    return League(made, (1, 8) if name == "wavegan" else (1, 8, 64))


def feeds(made: League, n: int, seed: int = 7) -> dict[str, NDArray[np.generic]]:
    """`n` samples of a seed, in the order that the network takes them; signals uniform in 0 .. 1."""
    spec, chance = made.sample.spec, np.random.default_rng(seed)
    drawn = Draws(spec, seed, 0, n).feeds(0, n) if any(not isinstance(part, Signal) for part in spec.inputs) else {}
    for part in spec.signals:
        shape = [n, *(made.sample.extent if size is None else size for size in part.shape)]
        drawn[part.name] = chance.random(shape, np.float32)
    return {port.name: drawn[port.name] for port in spec.input_ports()}


def _stylegan2(resolution: int) -> dict[str, Tensor]:
    """Random weights in the layout of rosinality's `Generator(resolution, 512, 8)`, channel multiplier 2."""
    torch.manual_seed(0)
    widths = {4: 512, 8: 512, 16: 512, 32: 512, 64: 512, 128: 256, 256: 128, 512: 64, 1024: 32}
    state: dict[str, Tensor] = {}

    def modulated(name: str, before: int, after: int, size: int) -> None:
        state[f"{name}.conv.weight"] = torch.randn(1, after, before, size, size)
        state[f"{name}.conv.modulation.weight"] = torch.randn(before, 512)
        state[f"{name}.conv.modulation.bias"] = torch.ones(before)

    def layer(name: str, before: int, after: int) -> None:
        modulated(name, before, after, 3)
        state[f"{name}.noise.weight"] = torch.full((1,), 0.1)
        state[f"{name}.activate.bias"] = torch.randn(after) / 10  # trained ones are not zero, which can be left out

    def to_rgb(name: str, width: int) -> None:
        modulated(name, width, 3, 1)
        state[f"{name}.bias"] = torch.randn(1, 3, 1, 1) / 10

    for index in range(1, 9):
        state[f"style.{index}.weight"] = torch.randn(512, 512) / 0.01
        state[f"style.{index}.bias"] = torch.zeros(512)
    state["input.input"] = torch.randn(1, 512, 4, 4)
    layer("conv1", 512, 512)
    to_rgb("to_rgb1", 512)
    fir = torch.tensor([1.0, 3.0, 3.0, 1.0])
    kernel = torch.outer(fir, fir) / 64 * 4
    size, index = 4, 0
    while size < resolution:
        before, after = widths[size], widths[size * 2]
        layer(f"convs.{index * 2}", before, after)
        state[f"convs.{index * 2}.conv.blur.kernel"] = kernel
        layer(f"convs.{index * 2 + 1}", after, after)
        to_rgb(f"to_rgbs.{index}", after)
        state[f"to_rgbs.{index}.upsample.kernel"] = kernel
        size, index = size * 2, index + 1
    for number in range(index * 2 + 1):
        side = 2 ** ((number + 5) // 2)
        state[f"noises.noise_{number}"] = torch.randn(1, 1, side, side)
    return state
