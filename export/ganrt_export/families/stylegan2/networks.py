"""The networks of StyleGAN2 in the form that is exported.

Source: Karras et al. 2019, "Analyzing and improving the image quality of StyleGAN" (arXiv:1912.04958). There, section
2.2, each sample has a kernel of its own: w'_oik = s_i w_oik, w''_oik = w'_oik / sqrt(sum_ik w'_oik^2 + eps). The style
s scales input channels and the denominator scales output channels, so both can scale the activations instead:

    y = d * conv(s * x, w),    d_o = 1 / sqrt(sum_i s_i^2 P_io + eps),    P_io = sum_k w_oik^2, a constant

This is the same function with one kernel for the whole batch. (A grouped convolution, a group a sample, cannot have a
dynamic batch in ONNX.) Constants are folded into the weights when a checkpoint is read: equalised learning rates, noise
strengths, and the gain of the activations, since g leaky_relu(x) = leaky_relu(g x) for g > 0.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = [
    "EPSILON",
    "SLOPE",
    "FirUpsample",
    "Generator",
    "MappingNetwork",
    "ModulatedConv2d",
    "Synthesis",
    "SynthesisLayer",
    "SynthesisNetwork",
    "ToRGB",
    "frozen",
    "linear",
    "modulated",
    "pixel_norm",
]

SLOPE = 0.2  # of every leaky ReLU
EPSILON = 1e-8


def frozen(tensor: Tensor) -> nn.Parameter:
    """A float32 weight that is not trained."""
    return nn.Parameter(tensor.float().contiguous(), requires_grad=False)


def linear(weight: Tensor, bias: Tensor) -> nn.Linear:
    """A linear layer with this weight [out, in] and bias [out]."""
    layer = nn.Linear(weight.shape[1], weight.shape[0], device="meta")
    layer.weight, layer.bias = frozen(weight), frozen(bias)
    return layer


def pixel_norm(x: Tensor) -> Tensor:
    """x over the root of its mean square, per sample: [batch, size] -> [batch, size] (arXiv:1710.10196)."""
    return x * torch.rsqrt((x * x).mean(dim=1, keepdim=True) + EPSILON)


class MappingNetwork(nn.Module):
    """z, and the label of a conditional network -> w.

    `forward(z, label)`: z float32 [batch, z_dim]; label float32 [batch, classes], one-hot, where there is an `embed`.
    Returns float32 [batch, w_dim], not truncated.
    """

    def __init__(
        self,
        layers: Sequence[nn.Linear],
        embed: nn.Linear | None = None,
        normalize: Callable[[Tensor], Tensor] = pixel_norm,
    ) -> None:
        super().__init__()
        self.layers, self.embed, self.normalize = nn.ModuleList(layers), embed, normalize

    def forward(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        x = self.normalize(z)
        if self.embed is not None:
            x = torch.cat([x, self.normalize(self.embed(label))], dim=1)
        for layer in self.layers:
            x = F.leaky_relu(layer(x), SLOPE)
        return x


def modulated(
    x: Tensor,
    style: Tensor,
    weight: Tensor,
    power: Tensor | None,
    bias: Tensor | None = None,
    fir: Tensor | None = None,
) -> Tensor:
    """The module docstring's y, without d where there is no `power`.

    `x` float32 [batch or 1, in, height, width]; `style` is s, [batch, in]; `power` is P, [in, out]. `weight` is
    [out, in, size, size], size odd; with a `fir` [out, 1, n, n] it is [in, out, size, size], transposed with stride 2,
    and the filter follows. Returns float32 [batch, out, height, width], twice the size with a `fir`.
    """
    x = x * style.reshape(-1, style.shape[1], 1, 1)
    if fir is None:
        x = F.conv2d(x, weight, bias, padding=weight.shape[-1] // 2)
    else:
        x = F.conv_transpose2d(x, weight, bias, stride=2)  # one row and column too many
        x = F.conv2d(x, fir, padding=fir.shape[-1] // 2 - 1, groups=fir.shape[0])
    if power is not None:
        demodulation = torch.rsqrt((style * style) @ power + EPSILON)
        x = x * demodulation.reshape(-1, demodulation.shape[1], 1, 1)
    return x


class ModulatedConv2d(nn.Module):
    """A convolution with styles: the module docstring's y, without d unless it demodulates.

    `weight` [out, in, size, size], size odd; `affine` gives s from w; `gain` scales y and leaves d alone. With a `fir`
    [n, n] the convolution is transposed with stride 2 and the filter follows it (arXiv:1912.04958, appendix B).
    `forward(x, w)`: x float32 [batch or 1, in, height, width], w float32 [batch, w_dim].
    Returns float32 [batch, out, height, width], twice the size with a `fir`.
    """

    def __init__(
        self,
        weight: Tensor,
        affine: nn.Linear,
        *,
        gain: float = 1.0,
        demodulate: bool = True,
        bias: Tensor | None = None,
        fir: Tensor | None = None,
    ) -> None:
        super().__init__()
        self.affine, self.out_channels = affine, weight.shape[0]
        self.weight = frozen(gain * (weight if fir is None else weight.transpose(0, 1)))
        self.bias = None if bias is None else frozen(bias)
        self.power = frozen(weight.square().sum(dim=(2, 3)).T) if demodulate else None
        self.fir = None if fir is None else _depthwise(fir.flip(0, 1), weight.shape[0])  # conv2d correlates

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        return modulated(x, self.affine(w), self.weight, self.power, self.bias, self.fir)


class SynthesisLayer(nn.Module):
    """Modulated convolution, noise, bias, leaky ReLU, and a clamp to -clamp .. clamp if there is one.

    `noise` [height, width] is a constant, times `noise_gain` [out] where the channels differ.
    `forward(x, w)`: as `ModulatedConv2d`.
    """

    def __init__(
        self,
        conv: ModulatedConv2d,
        bias: Tensor,
        *,
        noise: Tensor | None = None,
        noise_gain: Tensor | None = None,
        clamp: float | None = None,
    ) -> None:
        super().__init__()
        self.conv, self.clamp = conv, clamp
        self.bias = frozen(bias[:, None, None])
        self.noise = None if noise is None else frozen(noise[None, None])
        self.noise_gain = None if noise_gain is None else frozen(noise_gain[:, None, None])

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        x = self.conv(x, w)
        if self.noise is not None:
            x = x + (self.noise if self.noise_gain is None else self.noise * self.noise_gain)
        x = F.leaky_relu(x + self.bias, SLOPE)
        return x if self.clamp is None else x.clamp(-self.clamp, self.clamp)


class FirUpsample(nn.Module):
    """Twice the size: zeros between the pixels, then a filter `fir` [n, n], n even, whose sum is 4."""

    def __init__(self, fir: Tensor, channels: int) -> None:
        super().__init__()
        self.fir = _depthwise(fir, channels)

    def forward(self, image: Tensor) -> Tensor:
        padding = self.fir.shape[-1] // 2 - 1
        return F.conv_transpose2d(image, self.fir, stride=2, padding=padding, groups=self.fir.shape[0])


class ToRGB(nn.Module):
    """Features -> image, added to the upsampled image of the block before.

    `forward(x, w, image)`: x and w as `ModulatedConv2d`; image [batch, channels, height / 2, width / 2] or None.
    """

    def __init__(self, conv: ModulatedConv2d, upsample: FirUpsample | None, clamp: float | None = None) -> None:
        super().__init__()
        self.conv, self.upsample, self.clamp = conv, upsample, clamp

    def forward(self, x: Tensor, w: Tensor, image: Tensor | None = None) -> Tensor:
        rgb: Tensor = self.conv(x, w)
        if self.clamp is not None:
            rgb = rgb.clamp(-self.clamp, self.clamp)
        return rgb if self.upsample is None else rgb + self.upsample(image)


class Synthesis(nn.Module):
    """ws -> image, as `Generator` calls it: `render` takes `num_ws` tensors [batch, w_dim], often the same one.

    `forward(ws)`: float32 [batch, num_ws, w_dim]. That the whole generator needs neither a broadcast nor slices of it
    is why both are there.
    """

    num_ws: int

    def forward(self, ws: Tensor) -> Tensor:
        return self.render(ws.unbind(dim=1))

    def render(self, ws: Sequence[Tensor]) -> Tensor:
        raise NotImplementedError


class SynthesisNetwork(Synthesis):
    """ws -> image: a constant, one layer at 4 x 4, two at every size above, an image at every size ("skip").

    `const` [channels, 4, 4]; `layers[0]` is at 4 x 4 and `layers[2 i - 1]` samples up; `to_rgbs[i]` follows
    `layers[2 i]`.
    `forward(ws)`: float32 [batch, num_ws, w_dim]; layer i takes ws[:, i], to_rgb i takes ws[:, 2 i + 1].
    Returns float32 [batch, channels, resolution, resolution], about -1 .. 1 and not clipped.
    """

    def __init__(self, const: Tensor, layers: Sequence[SynthesisLayer], to_rgbs: Sequence[ToRGB]) -> None:
        super().__init__()
        self.num_ws = len(layers) + 1
        self.const = frozen(const[None])
        self.layers, self.to_rgbs = nn.ModuleList(layers), nn.ModuleList(to_rgbs)

    def render(self, ws: Sequence[Tensor]) -> Tensor:
        x: Tensor = self.const
        image: Tensor | None = None
        for i, layer in enumerate(self.layers):
            x = layer(x, ws[i])
            if i % 2 == 0:
                image = self.to_rgbs[i // 2](x, ws[i + 1], image)
        assert image is not None
        return image


class Generator(nn.Module):
    """z, truncated by psi towards the mean of w -> image.

    `forward(z, psi, label)`: z float32 [batch, z_dim]; psi float32 [batch, 1], 1 for no truncation; label float32
    [batch, classes], one-hot, in conditional networks. Returns what `synthesis` returns.
    """

    def __init__(self, mapping: MappingNetwork, synthesis: Synthesis, w_avg: Tensor) -> None:
        super().__init__()
        self.mapping, self.synthesis = mapping, synthesis
        self.w_avg = frozen(w_avg)

    def forward(self, z: Tensor, psi: Tensor, label: Tensor | None = None) -> Tensor:
        w = self.mapping(z, label)
        w = self.w_avg + psi * (w - self.w_avg)
        return self.synthesis.render([w] * self.synthesis.num_ws)

    def halves(self) -> tuple[nn.Module, nn.Module]:
        """(z, psi, label) -> w [batch, num_ws, w_dim] for every layer, and w -> image: styles can be mixed and kept."""
        return Styles(self).eval(), self.synthesis


class Styles(nn.Module):
    """The first half of a `Generator`, up to w."""

    def __init__(self, generator: Generator) -> None:
        super().__init__()
        self.mapping, self.w_avg, self.num_ws = generator.mapping, generator.w_avg, generator.synthesis.num_ws

    def forward(self, z: Tensor, psi: Tensor, label: Tensor | None = None) -> Tensor:
        w = self.mapping(z, label)
        w = self.w_avg + psi * (w - self.w_avg)
        ws: Tensor = w.unsqueeze(1).repeat(1, self.num_ws, 1)
        return ws


def _depthwise(fir: Tensor, channels: int) -> nn.Parameter:
    return frozen(fir.expand(channels, 1, *fir.shape))
