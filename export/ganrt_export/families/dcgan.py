"""DCGAN: from a latent to a picture through layers that double its side.

Source: Radford et al. 2015 (arXiv:1511.06434). Two layouts of it are common:

    PyTorch's tutorial   main.{0, 3, 6, ..}: ConvTranspose2d; main.{1, 4, 7, ..}: BatchNorm2d
    PyTorch-GAN          l1.0: Linear; conv_blocks.{0, 3, 7}: BatchNorm2d; conv_blocks.{2, 6, 9}: Conv2d

The convolutional parts are shared: `cdcgan` uses the first, `infogan` the second.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from torch import Tensor, nn

from ganrt.spec import Image, Latent, Spec

from .base import Loaded, State, load_exactly
from .layout import Layout, build, check_channels, count, foreign, matches, shape

__all__ = [
    "INFOGAN_INPUTS",
    "LAYOUTS",
    "NAME",
    "UPSAMPLING_NOTE",
    "Generator",
    "Stages",
    "UpsamplingGenerator",
    "UpsamplingSizes",
    "detect",
    "load",
    "read_stages",
    "read_upsampling",
    "transposed",
]

NAME = "dcgan"
TUTORIAL: Layout = {"main.0.weight": 4, "main.1.running_mean": 1, "main.3.weight": 4}
UPSAMPLING: Layout = {"l1.0.weight": 2, "conv_blocks.0.running_mean": 1, "conv_blocks.2.weight": 4}
LAYOUTS = (TUTORIAL, UPSAMPLING)
INFOGAN_INPUTS = 62 + 10 + 2  # z, category and code of PyTorch-GAN's InfoGAN: the same keys, told apart by this width

UPSAMPLING_NOTE = (
    "The epsilon of a batch norm is not in a checkpoint; 1e-5 was taken for the first, 0.8 after it, as in PyTorch-GAN."
)
_MAX_SIDE = 4096


class Stages(NamedTuple):
    """Transposed convolutions in a row: a square kernel of `kernel` on one point, then 4 x 4 of stride 2."""

    inputs: int
    kernel: int
    widths: tuple[int, ...]  # the channels after each
    biased: tuple[bool, ...]

    @property
    def side(self) -> int:
        return self.kernel << (len(self.widths) - 1)


class UpsamplingSizes(NamedTuple):
    """A linear layer to `widths[0]` maps of `side` x `side`, two doublings, three convolutions to `widths[1:]`."""

    inputs: int
    side: int
    widths: tuple[int, int, int, int]


class Generator(nn.Module):
    """The tutorial's network.

    `forward(z)`: `z` float32 [batch, stages.inputs] from N(0, 1).
    Returns float32 [batch, channels, side, side] in [-1, 1].
    """

    def __init__(self, stages: Stages) -> None:
        super().__init__()
        self.main = transposed(stages)

    def forward(self, z: Tensor) -> Tensor:
        image: Tensor = self.main(z[:, :, None, None])
        return image


class Upsampling(nn.Module):
    """PyTorch-GAN's network behind its inputs: nearest-neighbour doubling, then a 3 x 3 convolution, twice."""

    def __init__(self, sizes: UpsamplingSizes) -> None:
        super().__init__()
        first, second, third, channels = sizes.widths
        self.l1 = nn.Sequential(nn.Linear(sizes.inputs, first * sizes.side**2))
        self.unflatten = nn.Unflatten(1, (first, sizes.side, sizes.side))
        self.conv_blocks = nn.Sequential(
            nn.BatchNorm2d(first),
            nn.Upsample(scale_factor=2),
            nn.Conv2d(first, second, 3, padding=1),
            nn.BatchNorm2d(second, eps=0.8),  # large, and trained with
            nn.LeakyReLU(0.2),
            nn.Upsample(scale_factor=2),
            nn.Conv2d(second, third, 3, padding=1),
            nn.BatchNorm2d(third, eps=0.8),
            nn.LeakyReLU(0.2),
            nn.Conv2d(third, channels, 3, padding=1),
            nn.Tanh(),
        )

    def picture(self, inputs: Tensor) -> Tensor:
        """float32 [batch, sizes.inputs] -> float32 [batch, channels, 4 side, 4 side] in [-1, 1]."""
        image: Tensor = self.conv_blocks(self.unflatten(self.l1(inputs)))
        return image


class UpsamplingGenerator(Upsampling):
    """PyTorch-GAN's DCGAN. `forward(z)`: `z` float32 [batch, sizes.inputs] from N(0, 1); returns as `picture`."""

    def forward(self, z: Tensor) -> Tensor:
        return self.picture(z)


def detect(state: State) -> bool:
    """Are these the keys of one of the two layouts, and not of a family that shares them?

    PyTorch-GAN's InfoGAN is told apart by the width of its input, `cdcgan` by the embedding of its label.
    """
    if matches(state, UPSAMPLING):
        return state["l1.0.weight"].shape[1] != INFOGAN_INPUTS
    return matches(state, TUTORIAL) and not any(key.endswith(".weight") and state[key].ndim == 2 for key in state)


def load(state: State) -> Loaded:
    """The generator with these weights. Raises CheckpointError when they are not a DCGAN's."""
    if matches(state, UPSAMPLING):
        return _load_upsampling(state)
    stages = read_stages(state, "main", NAME)
    module = load_exactly(build(lambda: Generator(stages), NAME), state, NAME, ignore=("num_batches_tracked",))
    spec = Spec(
        inputs=(Latent(size=stages.inputs),),
        output=Image(height=stages.side, width=stages.side, channels=stages.widths[-1]),
    )
    note = "ReLU, the strides and the batch norms' epsilon of 1e-5 are those of PyTorch's DCGAN tutorial."
    return Loaded(module, spec, (note,))


def read_stages(state: State, prefix: str, family: str) -> Stages:
    """The sizes of the transposed convolutions `prefix`.{0, 3, 6, ..}. Raises CheckpointError."""
    number = (count(state, f"{prefix}.") + 2) // 3
    names = [f"{prefix}.{3 * stage}" for stage in range(number)]
    shapes = [shape(state, f"{name}.weight", 4, family) for name in names]
    if number < 2:
        raise foreign(family, f"it lacks {prefix}.3.weight")
    inputs, _, kernel, _ = shapes[0]
    for name, (_, _, *kernels), size in zip(names, shapes, [kernel] + [4] * (number - 1), strict=True):
        if kernels != [size, size]:
            wanted = "the first is square, the others 4 x 4 and double the side"
            raise foreign(family, f"'{name}.weight' has a kernel of {kernels[0]} x {kernels[1]}; {wanted}")
    stages = Stages(inputs, kernel, tuple(one[1] for one in shapes), tuple(f"{name}.bias" in state for name in names))
    check_channels(stages.widths[-1], family)
    if stages.side > _MAX_SIDE:
        raise foreign(family, f"its {number} layers make pictures of more than {_MAX_SIDE} pixels a side")
    return stages


def transposed(stages: Stages) -> nn.Sequential:
    """[batch, inputs, 1, 1] -> [batch, widths[-1], side, side] in [-1, 1]; batch norm and ReLU between the layers."""
    layers: list[nn.Module] = []
    width, last = stages.inputs, len(stages.widths) - 1
    for number, (outputs, bias) in enumerate(zip(stages.widths, stages.biased, strict=True)):
        kernel, stride, padding = (4, 2, 1) if number else (stages.kernel, 1, 0)
        layers.append(nn.ConvTranspose2d(width, outputs, kernel, stride, padding, bias=bias))
        layers += [nn.Tanh()] if number == last else [nn.BatchNorm2d(outputs), nn.ReLU()]
        width = outputs
    return nn.Sequential(*layers)


def read_upsampling(state: State, family: str) -> UpsamplingSizes:
    """The sizes of PyTorch-GAN's network. Raises CheckpointError."""
    rows, inputs = shape(state, "l1.0.weight", 2, family)
    (first,) = shape(state, "conv_blocks.0.running_mean", 1, family)
    second, third, channels = (shape(state, f"conv_blocks.{at}.weight", 4, family)[0] for at in (2, 6, 9))
    side = math.isqrt(rows // first)
    if side < 1 or first * side**2 != rows:
        raise foreign(family, f"the {rows} rows of 'l1.0.weight' are no {first} square maps")
    check_channels(channels, family)
    return UpsamplingSizes(inputs, side, (first, second, third, channels))


def _load_upsampling(state: State) -> Loaded:
    sizes = read_upsampling(state, NAME)
    network = build(lambda: UpsamplingGenerator(sizes), NAME)
    module = load_exactly(network, state, NAME, ignore=("num_batches_tracked",))
    side = 4 * sizes.side
    spec = Spec(inputs=(Latent(size=sizes.inputs),), output=Image(height=side, width=side, channels=sizes.widths[-1]))
    shared = (
        f"PyTorch-GAN's InfoGAN has the same keys; with {sizes.inputs} inputs, not {INFOGAN_INPUTS}, "
        "this one was taken for a DCGAN."
    )
    return Loaded(module, spec, (UPSAMPLING_NOTE, shared))
