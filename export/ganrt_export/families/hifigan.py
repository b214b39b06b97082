"""HiFi-GAN: a mel spectrogram to the sound it was made from.

Source: Kong et al. 2020 (arXiv:2010.05646); the layout is that of its authors' V1, V2 and V3, weight norms folded:

    conv_pre; ups.I; resblocks.J.convs1.K and convs2.K (V1, V2) or resblocks.J.convs.K (V3); conv_post

What no shape tells is the authors' own: strides of half a kernel, dilations, leaky ReLU of slope 0.1 and before
conv_post 0.01.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from torch import Tensor, nn
from torch.nn import functional as F

from ganrt.spec import Audio, Signal, Spec

from .base import Loaded, State, load_exactly
from .layout import Layout, build, count, foreign, matches, shape

__all__ = ["LAYOUTS", "NAME", "Generator", "Sizes", "detect", "load"]

NAME = "hifigan"
_EDGES: Layout = {"conv_pre.weight": 3, "ups.0.weight": 3, "conv_post.weight": 3}
_TWO: Layout = {**_EDGES, "resblocks.0.convs1.0.weight": 3, "resblocks.0.convs2.0.weight": 3}
_ONE: Layout = {**_EDGES, "resblocks.0.convs.0.weight": 3}
LAYOUTS = (_TWO, _ONE)
SLOPE, LAST_SLOPE, SAMPLE_RATE = 0.1, 0.01, 22_050
DILATIONS = (1, 3, 5)  # of every residual block of V1 and V2
DILATIONS_BY_KERNEL = {3: (1, 2), 5: (2, 6), 7: (3, 12)}  # of V3


class Sizes(NamedTuple):
    """`mels` -> `widths[0]`, then an upsampling to each further width by half of `kernels`.

    After each come residual blocks side by side, one for each of `block_kernels`; `paired` ones have two convolutions a
    step. `edges` are the kernels of the first and last convolution.
    """

    mels: int
    widths: tuple[int, ...]
    kernels: tuple[int, ...]
    block_kernels: tuple[int, ...]
    dilations: tuple[tuple[int, ...], ...]
    paired: bool
    edges: tuple[int, int]
    channels: int

    @property
    def hop(self) -> int:
        return math.prod(kernel // 2 for kernel in self.kernels)


class PairedBlock(nn.Module):
    """x + conv(lrelu(dilated conv(lrelu(x)))) for each dilation in turn: the block of V1 and V2."""

    def __init__(self, width: int, kernel: int, dilations: tuple[int, ...]) -> None:
        super().__init__()
        self.convs1 = nn.ModuleList(_same(width, kernel, dilation) for dilation in dilations)
        self.convs2 = nn.ModuleList(_same(width, kernel, 1) for _ in dilations)

    def forward(self, x: Tensor) -> Tensor:
        for first, second in zip(self.convs1, self.convs2, strict=True):
            x = x + second(F.leaky_relu(first(F.leaky_relu(x, SLOPE)), SLOPE))
        return x


class SingleBlock(nn.Module):
    """x + dilated conv(lrelu(x)) for each dilation in turn: the block of V3."""

    def __init__(self, width: int, kernel: int, dilations: tuple[int, ...]) -> None:
        super().__init__()
        self.convs = nn.ModuleList(_same(width, kernel, dilation) for dilation in dilations)

    def forward(self, x: Tensor) -> Tensor:
        for convolution in self.convs:
            x = x + convolution(F.leaky_relu(x, SLOPE))
        return x


class Generator(nn.Module):
    """The authors' network.

    `forward(mel)`: `mel` float32 [batch, mels, frames], the natural logarithm of a mel spectrogram.
    Returns float32 [batch, channels, hop x frames] in [-1, 1].
    """

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        block = PairedBlock if sizes.paired else SingleBlock
        first, last = sizes.edges
        self.conv_pre = nn.Conv1d(sizes.mels, sizes.widths[0], first, padding=first // 2)
        self.ups = nn.ModuleList(
            nn.ConvTranspose1d(before, after, kernel, kernel // 2, padding=(kernel - kernel // 2) // 2)
            for before, after, kernel in zip(sizes.widths[:-1], sizes.widths[1:], sizes.kernels, strict=True)
        )
        self.resblocks = nn.ModuleList(
            block(width, kernel, dilations)
            for width in sizes.widths[1:]
            for kernel, dilations in zip(sizes.block_kernels, sizes.dilations, strict=True)
        )
        self.conv_post = nn.Conv1d(sizes.widths[-1], sizes.channels, last, padding=last // 2)

    def forward(self, mel: Tensor) -> Tensor:
        x: Tensor = self.conv_pre(mel)
        beside = len(self.resblocks) // len(self.ups)
        for number, up in enumerate(self.ups):
            x = up(F.leaky_relu(x, SLOPE))
            blocks = [self.resblocks[number * beside + index] for index in range(beside)]
            total = blocks[0](x)
            for block in blocks[1:]:
                total = total + block(x)
            x = total / beside
        sound: Tensor = self.conv_post(F.leaky_relu(x, LAST_SLOPE))
        return sound.tanh()


def detect(state: State) -> bool:
    """Are these HiFi-GAN's keys, with weight norms folded?"""
    return any(matches(state, layout) for layout in LAYOUTS)


def load(state: State) -> Loaded:
    """The generator with these weights. Raises CheckpointError when they are not a HiFi-GAN's."""
    sizes = _read(state)
    module = load_exactly(build(lambda: Generator(sizes), NAME), state, NAME)
    spec = Spec(
        inputs=(Signal(name="mel", kind="mel", shape=(sizes.mels, None)),),
        output=Audio(length=None, sample_rate=SAMPLE_RATE, channels=sizes.channels),
    )
    strides = " x ".join(str(kernel // 2) for kernel in sizes.kernels)
    dilations = ", ".join(
        f"{kernel}: {'-'.join(map(str, each))}"
        for kernel, each in zip(sizes.block_kernels, sizes.dilations, strict=True)
    )
    notes = (
        f"Each upsampling was taken to stride by half its kernel: {strides} = {sizes.hop} samples a frame.",
        f"The dilations of the residual blocks, by kernel, were taken to be {dilations}, as in HiFi-GAN's own.",
        f"A sample rate of {SAMPLE_RATE:,} Hz was taken; the mel must be the one that the checkpoint was trained on.",
    )
    return Loaded(module, spec, notes)


def _read(state: State) -> Sizes:
    paired = "resblocks.0.convs1.0.weight" in state
    width, mels, first = shape(state, "conv_pre.weight", 3, NAME)
    channels, _, last = shape(state, "conv_post.weight", 3, NAME)
    ups = [shape(state, f"ups.{number}.weight", 3, NAME) for number in range(count(state, "ups."))]
    kernels = tuple(kernel for _, _, kernel in ups)
    for number, kernel in enumerate(kernels):
        if kernel < 2:
            raise foreign(NAME, f"ups.{number} has a kernel of {kernel}, whose half is no stride")
    blocks = count(state, "resblocks.")
    if not ups or blocks % len(ups):
        raise foreign(NAME, f"it has {blocks} residual blocks for {len(ups)} upsamplings, which do not divide evenly")
    stem = "convs1" if paired else "convs"
    block_kernels = tuple(
        shape(state, f"resblocks.{number}.{stem}.0.weight", 3, NAME)[2] for number in range(blocks // len(ups))
    )
    if any(kernel % 2 == 0 for kernel in (first, last, *block_kernels)):
        raise foreign(NAME, "one of its convolutions has an even kernel, which does not keep the length")
    unknown = [kernel for kernel in block_kernels if not paired and kernel not in DILATIONS_BY_KERNEL]
    if unknown:
        raise foreign(NAME, f"the dilations of V3 are known for kernels of 3, 5 and 7, not for its {unknown[0]}")
    dilations = tuple(DILATIONS if paired else DILATIONS_BY_KERNEL[kernel] for kernel in block_kernels)
    widths = (width, *(after for _, after, _ in ups))
    return Sizes(mels, widths, kernels, block_kernels, dilations, paired, (first, last), channels)


def _same(width: int, kernel: int, dilation: int) -> nn.Conv1d:
    return nn.Conv1d(width, width, kernel, dilation=dilation, padding=dilation * (kernel // 2))
