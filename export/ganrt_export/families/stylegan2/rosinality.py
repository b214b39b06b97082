"""rosinality/stylegan2-pytorch: `style.N`, `input.input`, `conv1`, `to_rgb1`, `convs.i`, `to_rgbs.i`, `noises.noise_i`.

The state is the generator's own, or a whole checkpoint's with `g_ema.` (else `g.`) before its keys; the mean of w is
beside it as `latent_avg`, in converted official weights. Filters are stored with their gain. The multiplier of the
mapping network's learning rate is not stored; it is 0.01 in that repository and in the paper.
"""

from __future__ import annotations

import math

from torch import nn

from ..base import Loaded, State
from .assembly import assemble, describe, fixed_noise
from .networks import FirUpsample, MappingNetwork, ModulatedConv2d, SynthesisLayer, SynthesisNetwork, ToRGB
from .weights import Weights

__all__ = ["detect", "load"]

_FAMILY = "StyleGAN2 (rosinality layout)"
_RANKS = {"style.1.weight": 2, "input.input": 4, "conv1.conv.weight": 5, "to_rgb1.conv.weight": 5}
_MULTIPLIER = 0.01
_GAIN = math.sqrt(2)  # of the leaky ReLU


def detect(state: State) -> bool:
    """Are these the keys and ranks of this layout?"""
    prefix = _prefix(state)
    return all(getattr(state.get(prefix + key), "ndim", None) == rank for key, rank in _RANKS.items())


def load(state: State) -> Loaded:
    """The generator; CheckpointError when a tensor is missing, left over or of another shape."""
    prefix = _prefix(state)
    own = {key.removeprefix(prefix): tensor for key, tensor in state.items() if key.startswith(prefix)}
    mean = state.get("latent_avg")
    own |= {} if mean is None else {"latent_avg": mean.squeeze(0) if mean.ndim == 2 else mean}
    weights = Weights(own, _FAMILY)
    style_dim = weights.size("style.1.weight", 1)
    mapping = _mapping(weights, style_dim)
    stored_noise = "noises.noise_0" in weights
    synthesis, channels, resolution = _synthesis(weights, style_dim, stored_noise)
    w_avg = weights.take("latent_avg", style_dim) if "latent_avg" in weights else None
    weights.finish()
    whose = "the checkpoint's own constants" if stored_noise else "draws of a fixed seed, as the checkpoint has none"
    notes = [f"Noise is frozen to {whose}: the same z gives the same picture."]
    if prefix == "g.":
        notes.append("The checkpoint has no averaged weights (g_ema): these are the ones that training left.")
    return assemble(mapping, synthesis, describe(style_dim, resolution, channels), w_avg, tuple(notes))


def _prefix(state: State) -> str:
    """What stands before the generator's keys in a whole checkpoint; the averaged weights come first."""
    return next((prefix for prefix in ("g_ema.", "g.") if f"{prefix}input.input" in state), "")


def _mapping(weights: Weights, style_dim: int) -> MappingNetwork:
    layers: list[nn.Linear] = []
    while f"style.{len(layers) + 1}.weight" in weights:  # style.0 is the pixel norm
        name = f"style.{len(layers) + 1}"
        layers.append(weights.equalized(name, style_dim, multiplier=_MULTIPLIER, gain=_GAIN, out_features=style_dim))
    return MappingNetwork(layers)


def _synthesis(weights: Weights, style_dim: int, stored_noise: bool) -> tuple[SynthesisNetwork, int, int]:
    """The network, the channels of its pictures and their size."""
    const = weights.take("input.input", 1, None, 4, 4)[0]
    channels = weights.size("to_rgb1.conv.weight", 1)
    layer = _layer(weights, "conv1", 0, const.shape[0], style_dim, stored_noise)
    layers, to_rgbs = [layer], [_to_rgb(weights, "to_rgb1", len(layer.bias), style_dim, channels)]
    while f"to_rgbs.{len(to_rgbs) - 1}.bias" in weights:
        for i in (len(layers), len(layers) + 1):
            layer = _layer(weights, f"convs.{i - 1}", i, len(layer.bias), style_dim, stored_noise)
            layers.append(layer)
        to_rgbs.append(_to_rgb(weights, f"to_rgbs.{len(to_rgbs) - 1}", len(layer.bias), style_dim, channels))
    return SynthesisNetwork(const, layers, to_rgbs), channels, _resolution(len(layers) - 1)


def _resolution(i: int) -> int:
    """Of layer i: 4, 8, 8, 16, 16, ..."""
    return 4 << ((i + 1) // 2)


def _layer(weights: Weights, name: str, i: int, in_channels: int, style_dim: int, stored_noise: bool) -> SynthesisLayer:
    weight = weights.take(f"{name}.conv.weight", 1, None, in_channels, 3, 3)[0]
    weight = weight / math.sqrt(in_channels * 9)  # equalised learning rate; beside the epsilon, demodulation undoes it
    affine = weights.equalized(f"{name}.conv.modulation", style_dim, out_features=in_channels)
    fir = weights.fir(f"{name}.conv.blur.kernel") if i % 2 else None
    bias = weights.take(f"{name}.activate.bias", weight.shape[0]) * _GAIN
    strength = weights.take(f"{name}.noise.weight", 1) * _GAIN
    size = _resolution(i)
    if stored_noise:
        noise = weights.take(f"noises.noise_{i}", 1, 1, size, size)[0, 0]
    else:
        noise = fixed_noise(f"noise_{i}", size)
    conv = ModulatedConv2d(weight, affine, gain=_GAIN, fir=fir)
    return SynthesisLayer(conv, bias, noise=noise * strength if strength else None)


def _to_rgb(weights: Weights, name: str, in_channels: int, style_dim: int, channels: int) -> ToRGB:
    weight = weights.take(f"{name}.conv.weight", 1, channels, in_channels, 1, 1)[0] / math.sqrt(in_channels)
    affine = weights.equalized(f"{name}.conv.modulation", style_dim, out_features=in_channels)
    bias = weights.take(f"{name}.bias", 1, channels, 1, 1).flatten()
    upsample = None if name == "to_rgb1" else FirUpsample(weights.fir(f"{name}.upsample.kernel"), channels)
    return ToRGB(ModulatedConv2d(weight, affine, demodulate=False, bias=bias), upsample)
