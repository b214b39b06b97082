"""Residual generators whose blocks double the picture: BigGAN, and SNGAN with or without labels.

Sources: Brock et al. 2018 (arXiv:1809.11096) for BigGAN, Zhang et al. 2018 (arXiv:1805.08318) for its attention,
Miyato et al. 2018 (arXiv:1802.05957) and Miyato and Koyama 2018 (arXiv:1802.05637) for SNGAN. Layouts:

    BigGAN-PyTorch   shared; linear; blocks.I.0.{bn1, conv1, bn2, conv2, conv_sc}; blocks.I.1: attention; output_layer
    Mimicry          l1; blockI.{b1, c1, b2, c2, c_sc} from I = 2; then bI and cI with the next I

A conditional norm, with mean m, variance v and a gain g(y), b(y) for each condition y, is

    g(y) (x - m) / sqrt(v + eps) + b(y) = x s(y) + t(y),   s = g / sqrt(v + eps),   t = b - m s

computed in the second form: two passes over the picture, the rest on vectors.
"""

from __future__ import annotations

import math
import re
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ganrt.spec import Image, Label, Latent, Spec, Truncation

from .base import Loaded, State, load_exactly
from .layout import Layout, build, check_channels, count, foreign, matches, shape

__all__ = [
    "LAYOUTS",
    "NAME",
    "SNGAN",
    "Attention",
    "BigGAN",
    "BigGANBlock",
    "BigGANSizes",
    "SNGANBlock",
    "SNGANSizes",
    "detect",
    "load",
]

NAME = "resnet_gan"
BIGGAN: Layout = {
    "shared.weight": 2,
    "linear.weight": 2,
    "blocks.0.0.conv1.weight": 4,
    "blocks.0.0.bn1.gain.weight": 2,
    "output_layer.2.weight": 4,
}
MIMICRY: Layout = {"l1.weight": 2, "block2.c1.weight": 4, "block2.c_sc.weight": 4}
LAYOUTS = (BIGGAN, MIMICRY)
EPSILON = 1e-5
_MOST_BLOCKS = 10
_EPSILON_NOTE = "The epsilon of a batch norm is not in a checkpoint; 1e-5 was taken."


class BigGANSizes(NamedTuple):
    """`widths[0]` maps of `bottom` x `bottom`, then one block to each further width.

    `chunk` is the part of the latent that the first layer takes; if `split`, every block takes another such part.
    `attention` are the blocks that attention follows.
    """

    classes: int
    shared_dim: int
    chunk: int
    split: bool
    bottom: int
    widths: tuple[int, ...]
    attention: frozenset[int]
    channels: int

    @property
    def blocks(self) -> int:
        return len(self.widths) - 1

    @property
    def z_dim(self) -> int:
        return self.chunk * (self.blocks + 1 if self.split else 1)


class SNGANSizes(NamedTuple):
    """`widths[0]` maps of `bottom` x `bottom`, then one block to each further width; `classes` is 0 without labels."""

    z_dim: int
    classes: int
    bottom: int
    widths: tuple[int, ...]
    channels: int


class LinearNorm(nn.Module):
    """BigGAN's conditional norm: the gain is 1 + gain(y), the bias bias(y), both linear."""

    def __init__(self, width: int, condition_dim: int) -> None:
        super().__init__()
        self.gain = nn.Linear(condition_dim, width, bias=False)
        self.bias = nn.Linear(condition_dim, width, bias=False)
        self.stored_mean: Tensor
        self.stored_var: Tensor
        self.register_buffer("stored_mean", torch.zeros(width))
        self.register_buffer("stored_var", torch.ones(width))

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return _scale_and_shift(x, 1 + self.gain(y), self.bias(y), self.stored_mean, self.stored_var)


class PlainNorm(nn.Module):
    """BigGAN's unconditional norm."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))
        self.stored_mean: Tensor
        self.stored_var: Tensor
        self.register_buffer("stored_mean", torch.zeros(width))
        self.register_buffer("stored_var", torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        return F.batch_norm(x, self.stored_mean, self.stored_var, self.gain, self.bias, eps=EPSILON)


class EmbeddedNorm(nn.Module):
    """SNGAN's conditional norm: gain and bias of each class side by side in one table."""

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.bn = nn.BatchNorm2d(width, eps=EPSILON, affine=False)
        self.embed = nn.Embedding(classes, 2 * width)

    def forward(self, x: Tensor, label: Tensor) -> Tensor:
        gain, bias = self.embed(label).chunk(2, dim=1)
        return _scale_and_shift(x, gain, bias, self.bn.running_mean, self.bn.running_var)


class Attention(nn.Module):
    """x + gamma o(g softmax(theta . phi)): every point looks at the picture at half its size."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.theta = nn.Conv2d(width, width // 8, 1, bias=False)
        self.phi = nn.Conv2d(width, width // 8, 1, bias=False)
        self.g = nn.Conv2d(width, width // 2, 1, bias=False)
        self.o = nn.Conv2d(width // 2, width, 1, bias=False)
        self.gamma = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        query = self.theta(x).flatten(2)
        key = F.max_pool2d(self.phi(x), 2).flatten(2)
        value = F.max_pool2d(self.g(x), 2).flatten(2)
        weights = torch.softmax(query.transpose(1, 2) @ key, dim=-1)
        seen = (value @ weights.transpose(1, 2)).reshape(-1, value.shape[1], *x.shape[2:])
        result: Tensor = x + self.gamma * self.o(seen)
        return result


class BigGANBlock(nn.Module):
    """Doubles the side by repeating every pixel."""

    def __init__(self, before: int, after: int, condition_dim: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, after, 3, padding=1)
        self.conv2 = nn.Conv2d(after, after, 3, padding=1)
        self.conv_sc = nn.Conv2d(before, after, 1)
        self.bn1 = LinearNorm(before, condition_dim)
        self.bn2 = LinearNorm(after, condition_dim)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        hidden = F.interpolate(F.relu(self.bn1(x, y)), scale_factor=2, mode="nearest")
        hidden = self.conv2(F.relu(self.bn2(self.conv1(hidden), y)))
        # 1 x 1 before repeating is the same function at a quarter of the work
        image: Tensor = hidden + F.interpolate(self.conv_sc(x), scale_factor=2, mode="nearest")
        return image


class BigGAN(nn.Module):
    """BigGAN-PyTorch's network.

    `forward(z, label)`: `z` float32 [batch, sizes.z_dim] from N(0, 1), `label` int64 [batch] in 0 .. classes - 1.
    Returns float32 [batch, channels, side, side] in [-1, 1].
    """

    def __init__(self, sizes: BigGANSizes) -> None:
        super().__init__()
        self._sizes = sizes
        condition_dim = sizes.shared_dim + (sizes.chunk if sizes.split else 0)
        self.shared = nn.Embedding(sizes.classes, sizes.shared_dim)
        self.linear = nn.Linear(sizes.chunk, sizes.widths[0] * sizes.bottom**2)
        self.unflatten = nn.Unflatten(1, (sizes.widths[0], sizes.bottom, sizes.bottom))
        self.blocks = nn.ModuleList()
        for number, (before, after) in enumerate(zip(sizes.widths[:-1], sizes.widths[1:], strict=True)):
            layers = nn.ModuleList([BigGANBlock(before, after, condition_dim)])
            if number in sizes.attention:
                layers.append(Attention(after))
            self.blocks.append(layers)
        self.output_layer = nn.Sequential(
            PlainNorm(sizes.widths[-1]), nn.ReLU(), nn.Conv2d(sizes.widths[-1], sizes.channels, 3, padding=1)
        )

    def forward(self, z: Tensor, label: Tensor) -> Tensor:
        sizes, y = self._sizes, self.shared(label)
        parts = torch.split(z, sizes.chunk, dim=1) if sizes.split else (z,)
        conditions = [torch.cat([y, part], dim=1) for part in parts[1:]] or [y] * sizes.blocks
        x: Tensor = self.unflatten(self.linear(parts[0]))
        for layers, condition in zip(self.blocks, conditions, strict=True):
            assert isinstance(layers, nn.ModuleList)
            for layer in layers:
                x = layer(x, condition)
        image: Tensor = self.output_layer(x)
        return image.tanh()


class SNGANBlock(nn.Module):
    """Doubles the side bilinearly, as Mimicry does; other SNGANs repeat pixels."""

    def __init__(self, before: int, after: int, classes: int) -> None:
        super().__init__()
        self.c1 = nn.Conv2d(before, after, 3, padding=1)
        self.c2 = nn.Conv2d(after, after, 3, padding=1)
        self.c_sc = nn.Conv2d(before, after, 1)
        self.b1 = EmbeddedNorm(before, classes) if classes else nn.BatchNorm2d(before)
        self.b2 = EmbeddedNorm(after, classes) if classes else nn.BatchNorm2d(after)

    def forward(self, x: Tensor, label: tuple[Tensor, ...]) -> Tensor:
        """`label` holds the labels, or nothing."""
        hidden = _bilinear(F.relu(self.b1(x, *label)))
        hidden = self.c2(F.relu(self.b2(self.c1(hidden), *label)))
        # weights of a bilinear step add up to 1, so 1 x 1 before it is the same function, at a quarter of the work
        image: Tensor = hidden + _bilinear(self.c_sc(x))
        return image


class SNGAN(nn.Module):
    """Mimicry's network.

    `forward(z)`, or `forward(z, label)` with classes: `z` float32 [batch, z_dim] from N(0, 1), `label` int64 [batch].
    Returns float32 [batch, channels, side, side] in [-1, 1].
    """

    def __init__(self, sizes: SNGANSizes) -> None:
        super().__init__()
        self._names = [f"block{number}" for number in range(2, len(sizes.widths) + 1)]
        self._last = len(sizes.widths) + 1
        self.l1 = nn.Linear(sizes.z_dim, sizes.widths[0] * sizes.bottom**2)
        self.unflatten = nn.Unflatten(1, (sizes.widths[0], sizes.bottom, sizes.bottom))
        for name, before, after in zip(self._names, sizes.widths[:-1], sizes.widths[1:], strict=True):
            self.add_module(name, SNGANBlock(before, after, sizes.classes))
        self.add_module(f"b{self._last}", nn.BatchNorm2d(sizes.widths[-1]))
        self.add_module(f"c{self._last}", nn.Conv2d(sizes.widths[-1], sizes.channels, 3, padding=1))

    def forward(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        x = self.unflatten(self.l1(z))
        labels = () if label is None else (label,)
        for name in self._names:
            x = self.get_submodule(name)(x, labels)
        x = F.relu(self.get_submodule(f"b{self._last}")(x))
        image: Tensor = self.get_submodule(f"c{self._last}")(x)
        return image.tanh()


def detect(state: State) -> bool:
    """Are these the keys of one of the two layouts?"""
    return any(matches(state, layout) for layout in LAYOUTS)


def load(state: State) -> Loaded:
    """The generator with these weights. Raises CheckpointError when they are neither a BigGAN's nor an SNGAN's."""
    return _load_biggan(state) if "shared.weight" in state else _load_sngan(state)


def _load_biggan(state: State) -> Loaded:
    state = _fold_spectral_norms(state)
    sizes = _read_biggan(state)
    module = load_exactly(build(lambda: BigGAN(sizes), NAME), state, NAME)
    side = sizes.bottom << sizes.blocks
    spec = Spec(
        inputs=(
            Latent(size=sizes.z_dim),
            Label(classes=sizes.classes),
            Truncation(minimum=0.04, maximum=4.0, how="threshold"),
        ),
        output=Image(height=side, width=side, channels=sizes.channels),
    )
    parts = f"in {sizes.blocks + 1} parts, one for each block" if sizes.split else "all to the first layer"
    return Loaded(module, spec, (f"The latent of {sizes.z_dim} goes {parts}.", _EPSILON_NOTE))


def _read_biggan(state: State) -> BigGANSizes:
    classes, shared_dim = shape(state, "shared.weight", 2, NAME)
    rows, chunk = shape(state, "linear.weight", 2, NAME)
    blocks = _check_blocks(count(state, "blocks."))
    widths = [shape(state, "blocks.0.0.conv1.weight", 4, NAME)[1]]
    widths += [shape(state, f"blocks.{number}.0.conv1.weight", 4, NAME)[0] for number in range(blocks)]
    _, condition_dim = shape(state, "blocks.0.0.bn1.gain.weight", 2, NAME)
    if condition_dim not in (shared_dim, shared_dim + chunk):
        wanted = f"{shared_dim} of the label, or {shared_dim + chunk} with a part of the latent"
        raise foreign(NAME, f"its norms take {condition_dim} numbers, where {wanted} belong")
    channels = shape(state, "output_layer.2.weight", 4, NAME)[0]
    check_channels(channels, NAME)
    attention = frozenset(number for number in range(blocks) if f"blocks.{number}.1.gamma" in state)
    narrow = [widths[number + 1] for number in attention if widths[number + 1] < 8]
    if narrow:
        raise foreign(NAME, f"attention, which works on an eighth of the channels, follows {narrow[0]} of them")
    split = condition_dim != shared_dim
    return BigGANSizes(
        classes, shared_dim, chunk, split, _bottom(rows, widths[0], "linear"), tuple(widths), attention, channels
    )


def _fold_spectral_norms(state: State) -> dict[str, Tensor]:
    """Weights divided by their largest singular value, as BigGAN-PyTorch does in every call of a layer.

    It keeps a left singular vector u0 and takes one step of the power method from it: v = W' u / |W' u|, then |W v|.
    """
    folded = {key: value for key, value in state.items() if not re.fullmatch(r"(u|sv)\d+", key.rpartition(".")[2])}
    for key in state:
        weight = folded.get(key.removesuffix("u0") + "weight") if key.endswith(".u0") else None
        if weight is None:
            continue
        matrix, u = weight.double().flatten(1), state[key].double().flatten()
        if len(u) != len(matrix):
            raise foreign(NAME, f"'{key}' has {len(u)} numbers for {len(matrix)} rows")
        v = F.normalize(u @ matrix, dim=0)
        folded[key.removesuffix("u0") + "weight"] = (weight / torch.linalg.vector_norm(matrix @ v)).to(weight.dtype)
    return folded


def _load_sngan(state: State) -> Loaded:
    sizes = _read_sngan(state)
    module = load_exactly(build(lambda: SNGAN(sizes), NAME), state, NAME, ignore=("num_batches_tracked",))
    side = sizes.bottom << (len(sizes.widths) - 1)
    latent = Latent(size=sizes.z_dim)
    spec = Spec(
        inputs=(latent, Label(classes=sizes.classes)) if sizes.classes else (latent,),
        output=Image(height=side, width=side, channels=sizes.channels),
    )
    upsampling = "Pictures are doubled bilinearly, as in Mimicry, whose keys these are; a checkpoint does not say."
    return Loaded(module, spec, (upsampling, _EPSILON_NOTE))


def _read_sngan(state: State) -> SNGANSizes:
    rows, z_dim = shape(state, "l1.weight", 2, NAME)
    last = _check_blocks(count(state, "block") - 2) + 1
    widths = [shape(state, "block2.c1.weight", 4, NAME)[1]]
    widths += [shape(state, f"block{number}.c1.weight", 4, NAME)[0] for number in range(2, last + 1)]
    conditional = "block2.b1.embed.weight" in state
    classes = shape(state, "block2.b1.embed.weight", 2, NAME)[0] if conditional else 0
    channels = shape(state, f"c{last + 1}.weight", 4, NAME)[0]
    check_channels(channels, NAME)
    return SNGANSizes(z_dim, classes, _bottom(rows, widths[0], "l1"), tuple(widths), channels)


def _check_blocks(blocks: int) -> int:
    if not 1 <= blocks <= _MOST_BLOCKS:
        raise foreign(NAME, f"it has {blocks} blocks, where 1 to {_MOST_BLOCKS} double the picture")
    return blocks


def _bottom(rows: int, width: int, layer: str) -> int:
    bottom = math.isqrt(rows // width)
    if bottom < 1 or width * bottom**2 != rows:
        raise foreign(NAME, f"the {rows} rows of '{layer}.weight' are no {width} square maps")
    return bottom


def _scale_and_shift(x: Tensor, gain: Tensor, bias: Tensor, mean: Tensor | None, variance: Tensor | None) -> Tensor:
    assert mean is not None
    assert variance is not None
    scale = gain * torch.rsqrt(variance + EPSILON)
    shift = bias - mean * scale
    return x * scale[:, :, None, None] + shift[:, :, None, None]


def _bilinear(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
