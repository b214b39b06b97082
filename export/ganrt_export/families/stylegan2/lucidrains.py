"""stylegan2-pytorch on PyPI (lucidrains), 1.2 and later: `S.net.N`, `G.blocks.i`, and their averages `SE`, `GE`.

A relative of StyleGAN2 with a synthesis network of its own: weights times (style + 1), bilinear upsampling before the
convolutions, an image at every size that is added first and then upsampled and blurred, one noise image for all layers,
one w for each block, pictures in 0 .. 1. The multiplier of the mapping network's learning rate is not stored; its
default there is 0.1.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganrt.errors import CheckpointError

from ..base import Loaded, State
from .assembly import assemble, describe, fixed_noise
from .networks import MappingNetwork, ModulatedConv2d, Synthesis, SynthesisLayer, frozen
from .weights import Weights

__all__ = ["Block", "SynthesisNetwork", "detect", "load", "unit_norm"]

_FAMILY = "StyleGAN2 (lucidrains layout)"
_MULTIPLIER = 0.1
_PAIRS = (("SE.", "GE."), ("S.", "G."))  # mapping and synthesis; the averaged ones first
_BLUR = "G.blocks.{}.to_rgb.upsample.1.f"
_RANKS = {"blocks.0.conv1.weight": 4, "blocks.0.to_rgb.conv.weight": 4, "blocks.0.to_noise1.weight": 2}


def unit_norm(z: Tensor) -> Tensor:
    """z over its length: [batch, size] -> [batch, size]."""
    length: Tensor = z.norm(dim=1, keepdim=True)
    return z / length.clamp_min(1e-12)


class Block(nn.Module):
    """Two layers at one size, and the image made from them.

    `forward(x, image, w)`: x float32 [batch or 1, in, height, width]; image the sum so far at the size of this block or
    None; w float32 [batch, w_dim]. Returns x at this block's size, and the image at the next block's.
    """

    def __init__(
        self, layers: Sequence[SynthesisLayer], to_rgb: ModulatedConv2d, blur: Tensor | None, upsample: bool
    ) -> None:
        super().__init__()
        self.layers, self.to_rgb, self.upsample = nn.ModuleList(layers), to_rgb, upsample
        self.blur = None if blur is None else frozen(blur.expand(to_rgb.weight.shape[0], 1, *blur.shape))

    def forward(self, x: Tensor, image: Tensor | None, w: Tensor) -> tuple[Tensor, Tensor]:
        if self.upsample:
            x = _double(x)
        for layer in self.layers:
            x = layer(x, w)
        rgb: Tensor = self.to_rgb(x, w)
        if image is not None:
            rgb = rgb + image
        if self.blur is not None:
            margin = self.blur.shape[-1] // 2
            rgb = F.pad(_double(rgb), (margin, margin, margin, margin), mode="reflect")
            rgb = F.conv2d(rgb, self.blur, groups=self.blur.shape[0])
        return x, rgb


class SynthesisNetwork(Synthesis):
    """ws -> image: a start of 4 x 4, then the blocks, each of twice the size.

    `start` is [channels, 4, 4], or None where `project` [w_dim, channels, 4, 4] and `conv` make one from the mean w.
    `forward(ws)`: float32 [batch, num_ws, w_dim], one w a block.
    Returns float32 [batch, channels, resolution, resolution], about 0 .. 1 and not clipped.
    """

    def __init__(
        self,
        blocks: Sequence[Block],
        start: Tensor | None,
        project: Tensor | None = None,
        conv: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.num_ws, self.blocks = len(blocks), nn.ModuleList(blocks)
        self.start = None if start is None else frozen(start[None])
        self.project, self.conv = None if project is None else frozen(project.flatten(1)), conv

    def render(self, ws: Sequence[Tensor]) -> Tensor:
        x = self._start(ws)
        image: Tensor | None = None
        for block, w in zip(self.blocks, ws, strict=True):
            x, image = block(x, image, w)
        assert image is not None
        return image

    def _start(self, ws: Sequence[Tensor]) -> Tensor:
        if self.project is None or self.conv is None:
            assert self.start is not None
            return self.start
        mean = ws[0] if all(w is ws[0] for w in ws) else torch.stack(tuple(ws)).mean(dim=0)
        x: Tensor = self.conv((mean @ self.project).reshape(-1, self.project.shape[1] // 16, 4, 4))
        return x


def detect(state: State) -> bool:
    """Are these the keys and ranks of this layout?"""
    return _prefixes(state) is not None


def load(state: State) -> Loaded:
    """The generator; CheckpointError when a tensor is missing, left over or of another shape."""
    weights = _own(state)
    w_dim = weights.size("S.net.0.weight", 1)
    mapping = _mapping(weights, w_dim)
    synthesis, channels = _synthesis(weights, w_dim)
    weights.finish()
    spec = describe(w_dim, 4 << (synthesis.num_ws - 1), channels, low=0.0, high=1.0)
    notes = (
        "Noise is frozen to one image from a fixed seed: the same z gives the same picture.",
        f"The mapping network's lr_mlp is taken to be its default, {_MULTIPLIER}.",
    )
    return assemble(mapping, synthesis, spec, None, notes)


def _prefixes(state: State) -> tuple[str, str] | None:
    """What stands before the keys of the mapping and of the synthesis network, also in a whole checkpoint."""
    for outer in ("", "GAN."):
        for mapping, synthesis in _PAIRS:
            ranks = {f"{outer}{synthesis}{key}": rank for key, rank in _RANKS.items()}
            ranks[f"{outer}{mapping}net.0.weight"] = 2
            if all(getattr(state.get(key), "ndim", None) == rank for key, rank in ranks.items()):
                return outer + mapping, outer + synthesis
    return None


def _own(state: State) -> Weights:
    """The tensors of the two networks that are used, as S. and G."""
    own: dict[str, Tensor] = {}
    for name, prefix in zip("SG", _prefixes(state) or (), strict=False):
        own |= {f"{name}.{key.removeprefix(prefix)}": value for key, value in state.items() if key.startswith(prefix)}
    if any(key.startswith("G.attns.") for key in own):
        raise CheckpointError(
            "This stylegan2-pytorch generator has attention layers (attn_layers); they cannot be loaded."
        )
    blurs = _BLUR.format(0) in own or "G.blocks.1.conv1.weight" not in own  # a single block has nothing to blur
    if "G.initial_conv.weight" not in own or not blurs:
        raise CheckpointError(
            "This generator was made by a stylegan2-pytorch before 1.2, whose network was another; it cannot be loaded."
        )
    return Weights(own, _FAMILY)


def _mapping(weights: Weights, w_dim: int) -> MappingNetwork:
    layers: list[nn.Linear] = []
    while f"S.net.{2 * len(layers)}.weight" in weights:  # an activation between each two
        layers.append(weights.linear(f"S.net.{2 * len(layers)}", w_dim, w_dim, scale=_MULTIPLIER))
    return MappingNetwork(layers, normalize=unit_norm)


def _synthesis(weights: Weights, w_dim: int) -> tuple[SynthesisNetwork, int]:
    """The network and the channels of its pictures."""
    features, start, project = weights.size("G.initial_conv.weight", 0), None, None
    conv = nn.Conv2d(features, features, 3, padding=1, device="meta")
    conv.weight = frozen(weights.take("G.initial_conv.weight", features, features, 3, 3))
    conv.bias = frozen(weights.take("G.initial_conv.bias", features))
    if "G.to_initial_block.weight" in weights:
        project = weights.take("G.to_initial_block.weight", w_dim, features, 4, 4)
    else:
        with torch.no_grad():  # the same for every z
            start = conv(weights.take("G.initial_block", 1, features, 4, 4).float())[0]
    count = 0
    while f"G.blocks.{count}.conv1.weight" in weights:
        count += 1
    noise = fixed_noise("noise", 4 << (count - 1), uniform=True)
    channels = weights.size("G.blocks.0.to_rgb.conv.weight", 0)
    blocks: list[Block] = []
    for i in range(count):
        block, features = _block(weights, i, features, channels, w_dim, noise, last=i == count - 1)
        blocks.append(block)
    return SynthesisNetwork(blocks, start, project, conv if start is None else None), channels


def _block(
    weights: Weights, i: int, features: int, channels: int, w_dim: int, noise: Tensor, *, last: bool
) -> tuple[Block, int]:
    """Block `i`, and how many features it gives."""
    name, size, layers = f"G.blocks.{i}", 4 << i, []
    for n in (1, 2):
        weight = weights.take(f"{name}.conv{n}.weight", None, features, 3, 3)
        affine = weights.linear(f"{name}.to_style{n}", w_dim, features, shift=1.0)
        features = weight.shape[0]
        gain = weights.take(f"{name}.to_noise{n}.weight", features, 1)[:, 0]
        bias = weights.take(f"{name}.to_noise{n}.bias", features)
        own = noise[:size, :size].T if gain.any() else None  # upstream transposes it, too
        layers.append(SynthesisLayer(ModulatedConv2d(weight, affine), bias, noise=own, noise_gain=gain))
    weight = weights.take(f"{name}.to_rgb.conv.weight", channels, features, 1, 1)
    affine = weights.linear(f"{name}.to_rgb.to_style", w_dim, features, shift=1.0)
    blur = None if last else weights.take(_BLUR.format(i), 3)
    if blur is not None:
        blur = blur.outer(blur) / blur.outer(blur).abs().sum()
    return Block(layers, ModulatedConv2d(weight, affine, demodulate=False), blur, upsample=i > 0), features


def _double(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)
