"""NVlabs stylegan2-ada-pytorch, and the StyleGAN2 networks of NVlabs stylegan3: `mapping.fcN`, `synthesis.bR.convN`.

Their checkpoints are pickles; here come the tensors, as a flat state, and what the network was constructed with. Of the
latter only this changes the function and is not in the shapes: the clamp, the architecture, the activation and the
learning-rate multiplier of the mapping network.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from torch import nn

from ganrt.errors import CheckpointError, legible

from ..base import Loaded, State
from .assembly import assemble, describe
from .networks import FirUpsample, MappingNetwork, ModulatedConv2d, SynthesisLayer, SynthesisNetwork, ToRGB
from .weights import Weights

__all__ = ["detect", "load", "load_nvlabs"]

_FAMILY = "StyleGAN2 (NVlabs layout)"
_RANKS = {"mapping.fc0.weight": 2, "synthesis.b4.const": 3, "synthesis.b4.conv1.weight": 4}
_GAIN = math.sqrt(2)  # of the leaky ReLU
_FIR_GAIN = 4.0  # a filter is stored with sum 1; sampling up by two in both directions needs 4
_SIZES = ("z_dim", "c_dim", "w_dim", "img_resolution", "img_channels")
_SYNTHESIS = {
    *("channel_base", "channel_max", "num_fp16_res", "architecture", "resample_filter", "conv_clamp", "use_noise"),
    *("activation", "kernel_size", "fp16_channels_last", "fused_modconv_default", "channels_last"),
}
_MAPPING = {
    *("num_layers", "embed_features", "layer_features", "activation", "lr_multiplier", "w_avg_beta"),
    *("freeze_layers", "freeze_embed"),
}
_STYLEGAN3_CLAMP = 256  # the default there; in stylegan2-ada-pytorch it is no clamp


class _Settings(NamedTuple):
    multiplier: float = 0.01
    clamp: float | None = None
    depth: int | None = None
    known: bool = False


def detect(state: State) -> bool:
    """Are these the keys and ranks of this layout?"""
    return all(getattr(state.get(key), "ndim", None) == rank for key, rank in _RANKS.items())


def load(state: State) -> Loaded:
    """As `load_nvlabs`, where it is not known what the network was constructed with: the defaults are taken."""
    return _load(state, _Settings(), {})


def load_nvlabs(state: State, kwargs: Mapping[str, Any]) -> Loaded:
    """The generator with the tensors `state` of its module, constructed with `kwargs`.

    `kwargs`: z_dim, c_dim, w_dim, img_resolution, img_channels, mapping_kwargs, and either synthesis_kwargs or, as in
    stylegan3, its entries beside them. Pictures are about -1 .. 1; noise is the network's own constant one.
    Raises CheckpointError when they contradict the tensors, ask for an architecture other than "skip" or an activation
    other than "lrelu", or hold something that is not known here; and when a tensor is missing, left over or of another
    shape.
    """
    mapping, synthesis = dict(kwargs.get("mapping_kwargs") or {}), dict(kwargs.get("synthesis_kwargs") or {})
    beside = {key: value for key, value in kwargs.items() if key not in (*_SIZES, "mapping_kwargs", "synthesis_kwargs")}
    if beside and "synthesis_kwargs" not in kwargs:
        synthesis = {"conv_clamp": _STYLEGAN3_CLAMP, **beside}
    else:
        _known(beside, set())
    _known(mapping, _MAPPING)
    _known(synthesis, _SYNTHESIS)
    architecture = synthesis.get("architecture", "skip")
    if architecture != "skip":
        raise CheckpointError(_other_architecture(architecture))
    for activation in (mapping.get("activation", "lrelu"), synthesis.get("activation", "lrelu")):
        if activation != "lrelu":
            raise CheckpointError(
                f"This StyleGAN2 has the activation '{legible(activation)}'; only 'lrelu' can be loaded."
            )
    settings = _Settings(
        multiplier=_positive("lr_multiplier", mapping.get("lr_multiplier", 0.01)),
        clamp=None if (clamp := synthesis.get("conv_clamp")) is None else _positive("conv_clamp", clamp),
        depth=mapping.get("num_layers"),
        known=True,
    )
    return _load(state, settings, {key: kwargs[key] for key in _SIZES if key in kwargs})


def _load(state: State, settings: _Settings, sizes: Mapping[str, Any]) -> Loaded:
    weights = Weights(state, _FAMILY)
    if "synthesis.b4.torgb.weight" not in weights and any(".torgb." in key for key in state):
        raise CheckpointError(_other_architecture("resnet" if any(".skip." in key for key in state) else "orig"))
    classes = weights.size("mapping.embed.weight", 1) if "mapping.embed.weight" in weights else 0
    mapping, z_dim, w_dim = _mapping(weights, classes, settings)
    synthesis, channels, resolution = _synthesis(weights, w_dim, settings.clamp)
    w_avg = weights.take("mapping.w_avg", w_dim) if "mapping.w_avg" in weights else None
    weights.finish()
    for key, found in zip(_SIZES, (z_dim, classes, w_dim, resolution, channels), strict=True):
        if sizes.get(key, found) != found:
            raise CheckpointError(
                f"The checkpoint contradicts itself: it was constructed with {key} {legible(sizes[key])}, its tensors "
                f"are those of {key} {found}."
            )
    if settings.depth not in (None, len(mapping.layers)):
        raise CheckpointError(
            f"The checkpoint contradicts itself: it was constructed with {legible(settings.depth)} mapping layers, "
            f"its tensors are those of {len(mapping.layers)}."
        )
    spec = describe(z_dim, resolution, channels, classes=classes)
    return assemble(mapping, synthesis, spec, w_avg, _notes(settings, synthesis))


def _notes(settings: _Settings, synthesis: SynthesisNetwork) -> tuple[str, ...]:
    notes = []
    if any(isinstance(layer, SynthesisLayer) and layer.noise is not None for layer in synthesis.layers):
        notes.append("Noise is frozen to the network's own constants (noise_mode 'const').")
    if settings.clamp is not None:
        notes.append(f"Activations are clamped to -{settings.clamp:g} .. {settings.clamp:g} (conv_clamp).")
    if not settings.known:
        notes.append("It is not known what the network was constructed with: no clamp, lr_multiplier 0.01 are assumed.")
    return tuple(notes)


def _mapping(weights: Weights, classes: int, settings: _Settings) -> tuple[MappingNetwork, int, int]:
    """The network, z_dim and w_dim."""
    features = weights.size("mapping.fc0.weight", 1)
    embed = weights.equalized("mapping.embed", classes) if classes else None
    z_dim = features - (embed.out_features if embed else 0)
    if z_dim < 1:
        raise CheckpointError("The checkpoint is a StyleGAN2 generator without a latent z; there is nothing to draw.")
    layers: list[nn.Linear] = []
    while f"mapping.fc{len(layers)}.weight" in weights:
        name = f"mapping.fc{len(layers)}"
        layers.append(weights.equalized(name, features, multiplier=settings.multiplier, gain=_GAIN))
        features = layers[-1].out_features
    return MappingNetwork(layers, embed), z_dim, features


def _synthesis(weights: Weights, w_dim: int, clamp: float | None) -> tuple[SynthesisNetwork, int, int]:
    """The network, the channels of its pictures and their size."""
    const = weights.take("synthesis.b4.const", None, 4, 4)
    channels = weights.size("synthesis.b4.torgb.weight", 0) if "synthesis.b4.torgb.weight" in weights else None
    layers: list[SynthesisLayer] = []
    to_rgbs: list[ToRGB] = []
    features, size = const.shape[0], 4
    while size == 4 or f"synthesis.b{size}.conv1.weight" in weights:
        block = f"synthesis.b{size}"
        for name in ("conv1",) if size == 4 else ("conv0", "conv1"):
            layers.append(_layer(weights, f"{block}.{name}", size, features, w_dim, clamp))
            features = len(layers[-1].bias)
        fir = weights.fir(f"{block}.resample_filter", gain=_FIR_GAIN)
        upsample = None if size == 4 else FirUpsample(fir, to_rgbs[0].conv.out_channels)
        to_rgbs.append(_to_rgb(weights, f"{block}.torgb", features, channels, w_dim, upsample, clamp))
        size *= 2
    return SynthesisNetwork(const, layers, to_rgbs), to_rgbs[0].conv.out_channels, size // 2


def _layer(weights: Weights, name: str, size: int, in_channels: int, w_dim: int, clamp: float | None) -> SynthesisLayer:
    weight = weights.take(f"{name}.weight", None, in_channels, 3, 3)
    affine = weights.equalized(f"{name}.affine", w_dim, in_channels)
    fir = weights.fir(
        f"{name}.resample_filter", gain=_FIR_GAIN
    )  # every layer has one, only those that sample up use it
    bias = weights.take(f"{name}.bias", weight.shape[0]) * _GAIN
    noise = None
    if f"{name}.noise_const" in weights:
        strength = weights.take(f"{name}.noise_strength") * _GAIN
        constant = weights.take(f"{name}.noise_const", size, size)
        noise = constant * strength if strength else None
    # Upsampling layers convolve and the others correlate; a transposed convolution is that without a flip.
    conv = ModulatedConv2d(weight, affine, gain=_GAIN, fir=fir if name.endswith("conv0") else None)
    return SynthesisLayer(conv, bias, noise=noise, clamp=clamp)


def _to_rgb(
    weights: Weights,
    name: str,
    in_channels: int,
    channels: int | None,
    w_dim: int,
    upsample: FirUpsample | None,
    clamp: float | None,
) -> ToRGB:
    weight = weights.take(f"{name}.weight", channels, in_channels, 1, 1) / math.sqrt(in_channels)
    affine = weights.equalized(f"{name}.affine", w_dim, in_channels)
    bias = weights.take(f"{name}.bias", weight.shape[0])
    return ToRGB(ModulatedConv2d(weight, affine, demodulate=False, bias=bias), upsample, clamp)


def _known(kwargs: Mapping[str, Any], known: set[str]) -> None:
    unknown = sorted(str(key) for key in kwargs if key not in known)
    if unknown:
        raise CheckpointError(
            f"This StyleGAN2 was constructed with '{legible(unknown[0])}', which the published networks do not have; "
            "it may be another function, so it cannot be loaded."
        )


def _positive(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < math.inf:
        raise CheckpointError(
            f"This StyleGAN2 was constructed with {name} {legible(value)}; it must be a number above 0."
        )
    return float(value)


def _other_architecture(architecture: object) -> str:
    return (
        f"This StyleGAN2 has the synthesis architecture '{legible(architecture)}'; only 'skip', which the published "
        "generators use, can be loaded."
    )
