"""StyleGAN2 as it is trained: the same functions as in `networks`, constants beside the weights and not in them.

Equalised learning rates (Karras et al. 2017, arXiv:1710.10196): weights begin as N(0, 1) and are scaled where they are
used, so that Adam moves all of them alike. The generator's state is in the layout of NVlabs stylegan2-ada-pytorch;
`nvlabs.load` folds it into the form that is exported. The discriminator is that of the paper: residual, with the
standard deviation of a few samples as one more map.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .networks import SLOPE, modulated, pixel_norm

__all__ = ["Discriminator", "Generator", "Mapping", "Synthesis", "batch_deviation", "features"]

_GAIN = math.sqrt(2)  # of the leaky ReLU
_SMALLEST = 4  # side of the first maps, and of the discriminator's last
_MULTIPLIER = 0.01  # of the mapping network's learning rate
_AVERAGE = 0.998  # how slowly the mean of w follows, a step
_GROUP = 4  # samples whose deviation the discriminator sees


def features(size: int, base: int, most: int) -> int:
    """Channels of the maps of `size` pixels a side."""
    return min(most, base // size)


class Dense(nn.Module):
    """A linear layer with an equalised learning rate, `multiplier` its own; then leaky ReLU, if `active`."""

    def __init__(
        self, inputs: int, outputs: int, *, bias: float = 0.0, multiplier: float = 1.0, active: bool = False
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs) / multiplier)
        self.bias = nn.Parameter(torch.full((outputs,), bias))
        self._scale, self._multiplier, self._active = multiplier / math.sqrt(inputs), multiplier, active

    def forward(self, x: Tensor) -> Tensor:
        x = F.linear(x, self.weight * self._scale, self.bias * self._multiplier)
        return F.leaky_relu(x, SLOPE) * _GAIN if self._active else x


class Mapping(nn.Module):
    """z float32 [batch, z_dim] -> w float32 [batch, w_dim]; `w_avg` [w_dim] is the mean of w over the past steps."""

    w_avg: Tensor

    def __init__(self, z_dim: int, w_dim: int, layers: int) -> None:
        super().__init__()
        self._layers = [f"fc{layer}" for layer in range(layers)]
        for layer, name in enumerate(self._layers):
            dense = Dense(w_dim if layer else z_dim, w_dim, multiplier=_MULTIPLIER, active=True)
            self.add_module(name, dense)
        self.register_buffer("w_avg", torch.zeros(w_dim))

    def forward(self, z: Tensor) -> Tensor:
        w = pixel_norm(z)
        for name in self._layers:
            w = self.get_submodule(name)(w)
        return w.float()  # also where a GPU computes in BF16

    @torch.no_grad()
    def follow(self, w: Tensor) -> None:
        """Moves the mean of w towards that of these, [batch, w_dim]."""
        self.w_avg.lerp_(w.mean(dim=0), 1 - _AVERAGE)


class SynthesisLayer(nn.Module):
    """Modulated 3 x 3 convolution, noise, bias, leaky ReLU; `up`: to twice the size.

    `forward(x, w)`: x float32 [batch or 1, inputs, height, width], w float32 [batch, w_dim]. The noise is new for each
    sample in training mode, and `noise_const` in eval mode.
    """

    resample_filter: Tensor
    noise_const: Tensor

    def __init__(self, inputs: int, outputs: int, w_dim: int, size: int, *, up: bool) -> None:
        super().__init__()
        self.affine = Dense(w_dim, inputs, bias=1.0)
        self.weight = nn.Parameter(torch.randn(outputs, inputs, 3, 3))  # demodulation undoes any scale
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.noise_strength = nn.Parameter(torch.zeros(()))
        self.register_buffer("noise_const", torch.randn(size, size))
        self.register_buffer("resample_filter", _fir())
        self._up = up

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        weight = self.weight.transpose(0, 1) if self._up else self.weight
        power = self.weight.square().sum(dim=(2, 3)).T
        fir = _upsampling(self.resample_filter, len(self.bias)) if self._up else None
        x = modulated(x, self.affine(w), weight, power, fir=fir)
        noise = self.noise_const
        if self.training:
            noise = torch.randn(len(x), 1, *x.shape[2:], device=x.device)
        return F.leaky_relu(x + noise * self.noise_strength + self.bias[:, None, None], SLOPE) * _GAIN


class ToRGB(nn.Module):
    """Features -> image: a modulated 1 x 1 convolution without demodulation. `forward(x, w)` as `SynthesisLayer`."""

    def __init__(self, inputs: int, channels: int, w_dim: int) -> None:
        super().__init__()
        self.affine = Dense(w_dim, inputs, bias=1.0)
        self.weight = nn.Parameter(torch.randn(channels, inputs, 1, 1))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        return modulated(x, self.affine(w), self.weight / math.sqrt(self.weight.shape[1]), None, self.bias)


class SynthesisBlock(nn.Module):
    """The layers of one size, and the image so far. `forward(x, image, ws)`: two w of the first block, else three."""

    const: Tensor
    resample_filter: Tensor

    def __init__(self, inputs: int, outputs: int, channels: int, w_dim: int, size: int) -> None:
        super().__init__()
        self._first = size == _SMALLEST
        if self._first:
            self.const = nn.Parameter(torch.randn(outputs, size, size))
        else:
            self.conv0 = SynthesisLayer(inputs, outputs, w_dim, size, up=True)
        self.conv1 = SynthesisLayer(outputs, outputs, w_dim, size, up=False)
        self.torgb = ToRGB(outputs, channels, w_dim)
        self.register_buffer("resample_filter", _fir())

    def forward(self, x: Tensor | None, image: Tensor | None, *ws: Tensor) -> tuple[Tensor, Tensor]:
        *early, last, for_image = ws
        x = self.const[None] if x is None else self.conv0(x, *early)
        x = self.conv1(x, last)
        rgb: Tensor = self.torgb(x, for_image)
        if image is not None:
            fir = _upsampling(self.resample_filter, image.shape[1])
            rgb = rgb + F.conv_transpose2d(image, fir, stride=2, padding=1, groups=image.shape[1])
        return x, rgb


class Synthesis(nn.Module):
    """ws -> image, as `networks.SynthesisNetwork`: layer i takes ws[:, i], the image of block i ws[:, 2 i + 1]."""

    def __init__(self, w_dim: int, size: int, channels: int, base: int, most: int) -> None:
        super().__init__()
        self._sizes = _doublings(_SMALLEST, size)
        self.num_ws = 2 * len(self._sizes)
        for side in self._sizes:
            widths = features(side // 2, base, most), features(side, base, most)
            self.add_module(f"b{side}", SynthesisBlock(*widths, channels, w_dim, side))

    def forward(self, ws: Tensor) -> Tensor:
        x: Tensor | None = None
        image: Tensor | None = None
        every = ws.unbind(dim=1)
        for number, side in enumerate(self._sizes):
            own = every[max(0, 2 * number - 1) : 2 * number + 2]
            x, image = self.get_submodule(f"b{side}")(x, image, *own)
        assert image is not None
        return image


class Generator(nn.Module):
    """z float32 [batch, z_dim], psi float32 [batch, 1] -> image float32 [batch, channels, size, size], about -1 .. 1.

    `base` and `most` as for `features`.
    """

    def __init__(self, z_dim: int, size: int, channels: int, *, layers: int, base: int, most: int) -> None:
        super().__init__()
        self.mapping = Mapping(z_dim, z_dim, layers)
        self.synthesis = Synthesis(z_dim, size, channels, base, most)

    def forward(self, z: Tensor, psi: Tensor) -> Tensor:
        w = torch.lerp(self.mapping.w_avg, self.mapping(z), psi)
        image: Tensor = self.synthesis(w.unsqueeze(1).expand(-1, self.synthesis.num_ws, -1))
        return image


class Conv(nn.Module):
    """A convolution with an equalised learning rate, leaky ReLU, then a `gain`; `down`: blurred, to half the size."""

    resample_filter: Tensor

    def __init__(
        self, inputs: int, outputs: int, kernel: int, *, down: bool = False, active: bool = True, gain: float = 1.0
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(outputs)) if active else None
        self.register_buffer("resample_filter", _fir(), persistent=False)
        self._scale, self._down, self._gain = 1 / math.sqrt(inputs * kernel**2), down, gain

    def forward(self, x: Tensor) -> Tensor:
        kernel = self.weight.shape[-1]
        stride, padding = (2, 0) if self._down else (1, kernel // 2)
        if self._down:
            fir = self.resample_filter.expand(x.shape[1], 1, *self.resample_filter.shape)
            if kernel == 1:  # the pixels that the stride leaves out need no blur
                x, stride = F.conv2d(x, fir, stride=2, padding=1, groups=x.shape[1]), 1
            else:
                x = F.conv2d(x, fir, padding=2, groups=x.shape[1])
        x = F.conv2d(x, self.weight * self._scale, self.bias, stride, padding)
        return F.leaky_relu(x, SLOPE) * (_GAIN * self._gain) if self.bias is not None else x * self._gain


class DiscriminatorBlock(nn.Module):
    """Half the size: two convolutions beside a 1 x 1 one, both over the root of 2, added."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv0 = Conv(inputs, inputs, 3)
        self.conv1 = Conv(inputs, outputs, 3, down=True, gain=math.sqrt(0.5))
        self.skip = Conv(inputs, outputs, 1, down=True, active=False, gain=math.sqrt(0.5))

    def forward(self, x: Tensor) -> Tensor:
        half: Tensor = self.conv1(self.conv0(x)) + self.skip(x)
        return half


class Discriminator(nn.Module):
    """Image float32 [batch, channels, size, size] -> score float32 [batch], larger for more real."""

    def __init__(self, size: int, channels: int, *, base: int, most: int) -> None:
        super().__init__()
        widths = {side: features(side, base, most) for side in _doublings(_SMALLEST, size)}
        last = widths[_SMALLEST]
        self.from_rgb = Conv(channels, widths[size], 1)
        self.blocks = nn.Sequential(
            *(DiscriminatorBlock(widths[side], widths[side // 2]) for side in reversed(widths) if side > _SMALLEST)
        )
        self.conv = Conv(last + 1, last, 3)
        self.dense = Dense(last * _SMALLEST**2, last, active=True)
        self.score = Dense(last, 1)

    def forward(self, image: Tensor) -> Tensor:
        x = self.blocks(self.from_rgb(image))
        x = self.conv(torch.cat([x, batch_deviation(x)], dim=1))
        score: Tensor = self.score(self.dense(x.flatten(1))).squeeze(1)
        return score.float()


def batch_deviation(x: Tensor) -> Tensor:
    """How much samples differ, one number for each group of up to four of them (Karras et al. 2017, arXiv:1710.10196).

    The standard deviation over the group, averaged over channels and pixels: [batch, channels, height, width] ->
    [batch, 1, height, width]. Sample i is in group i modulo batch / group.
    """
    batch, _, height, width = x.shape
    group = max(size for size in range(1, _GROUP + 1) if batch % size == 0)
    grouped = x.float().reshape(group, batch // group, -1)
    deviation = (grouped.var(dim=0, correction=0) + 1e-8).sqrt().mean(dim=1)
    return deviation.repeat(group)[:, None, None, None].expand(-1, 1, height, width)


def _doublings(first: int, last: int) -> list[int]:
    return [first << doubling for doubling in range((last // first).bit_length())]


def _fir() -> Tensor:
    """The binomial filter [1, 3, 3, 1] in both directions, float32 [4, 4], with sum 1."""
    row = torch.tensor([1.0, 3.0, 3.0, 1.0])
    return row.outer(row) / 64


def _upsampling(fir: Tensor, channels: int) -> Tensor:
    """The filter for each of `channels`, with the sum of 4 that zeros between the pixels need."""
    return 4 * fir.expand(channels, 1, *fir.shape)
