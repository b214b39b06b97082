"""StyleGAN 1, 2, 3 and what grew out of them: modulation, noise, truncation, filtered activations, triplanes."""

from __future__ import annotations

import math
import random
from typing import Any

import torch
import torch.nn.functional as F
from awkward_case import Case, normal, one_hot, uniform
from torch import Tensor, nn


def normalize_2nd_moment(x: Tensor, dim: int = 1, eps: float = 1e-8) -> Tensor:
    return x * (x.square().mean(dim=dim, keepdim=True) + eps).rsqrt()


class FullyConnected(nn.Module):
    """Weight and bias scaled at run time, addmm for the linear one."""

    def __init__(self, wide: int, out: int, activation: str = "linear", lr: float = 1.0, bias: float = 0.0) -> None:
        super().__init__()
        self.activation, self.bias_gain, self.weight_gain = activation, lr, lr / math.sqrt(wide)
        self.weight = nn.Parameter(torch.randn(out, wide) / lr)
        self.bias = nn.Parameter(torch.full([out], bias))

    def forward(self, x: Tensor) -> Tensor:
        w = self.weight.to(x.dtype) * self.weight_gain
        b = self.bias.to(x.dtype)
        if self.bias_gain != 1:
            b = b * self.bias_gain
        if self.activation == "linear":
            return torch.addmm(b.unsqueeze(0), x, w.t())
        return F.leaky_relu(x.matmul(w.t()) + b, 0.2) * math.sqrt(2)


class Mapping(nn.Module):
    """z (and a one-hot class) -> ws [batch, num_ws, w], with the truncation of the first `cutoff` in place."""

    def __init__(self, classes: int = 0, num_ws: int = 4, psi: float = 1.0, cutoff: int | None = None) -> None:
        super().__init__()
        self.num_ws, self.psi, self.cutoff = num_ws, psi, cutoff
        self.embed = FullyConnected(classes, 8) if classes else None
        self.fc0 = FullyConnected(16 if classes else 8, 8, "lrelu", lr=0.01)
        self.fc1 = FullyConnected(8, 8, "lrelu", lr=0.01)
        self.register_buffer("w_avg", torch.randn(8))

    def forward(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        x = normalize_2nd_moment(z.to(torch.float32))
        if self.embed is not None:
            x = torch.cat([x, normalize_2nd_moment(self.embed(c.to(torch.float32)))], dim=1)
        for idx in range(2):
            x = getattr(self, f"fc{idx}")(x)
        x = x.unsqueeze(1).repeat([1, self.num_ws, 1])
        if self.psi != 1:
            if self.cutoff is None:
                x = self.w_avg.lerp(x, self.psi)
            else:
                x[:, : self.cutoff] = self.w_avg.lerp(x[:, : self.cutoff], self.psi)
        return x


def upfirdn2d(x: Tensor, f: Tensor, up: int = 1, down: int = 1, padding: tuple[int, int, int, int] = (0, 0, 0, 0)):
    """Zero insertion by reshape and pad, a depthwise convolution with the flipped filter, a strided slice."""
    batch_size, num_channels, in_height, in_width = x.shape
    x = x.reshape([batch_size, num_channels, in_height, 1, in_width, 1])
    x = F.pad(x, [0, up - 1, 0, 0, 0, up - 1])
    x = x.reshape([batch_size, num_channels, in_height * up, in_width * up])
    padx0, padx1, pady0, pady1 = padding
    x = F.pad(x, [max(padx0, 0), max(padx1, 0), max(pady0, 0), max(pady1, 0)])
    x = x[:, :, max(-pady0, 0) : x.shape[2] - max(-pady1, 0), max(-padx0, 0) : x.shape[3] - max(-padx1, 0)]
    f = (f * (up**2)).to(x.dtype).flip(list(range(f.ndim)))
    f = f[None, None].repeat([num_channels, 1] + [1] * f.ndim)
    if f.ndim == 4:
        x = F.conv2d(x, f, groups=num_channels)
    else:
        x = F.conv2d(F.conv2d(x, f.unsqueeze(2), groups=num_channels), f.unsqueeze(3), groups=num_channels)
    return x[:, :, ::down, ::down]


def fir() -> Tensor:
    f = torch.tensor([1.0, 3.0, 3.0, 1.0])
    f = torch.outer(f, f)
    return f / f.sum()


def modulated(x: Tensor, weight: Tensor, styles: Tensor, demodulate: bool, up: int, fused: bool) -> Tensor:
    """Both forms of the paper: a group a sample, or scaled activations; `up` 2 by a transposed convolution."""
    n = x.shape[0]
    out, wide, kh, kw = weight.shape
    w = weight.unsqueeze(0) * styles.reshape(n, 1, -1, 1, 1)
    dcoefs = (w.square().sum(dim=[2, 3, 4]) + 1e-8).rsqrt() if demodulate else torch.ones_like(w[:, :, 0, 0, 0])
    padding = kh // 2
    if not fused:
        x = x * styles.to(x.dtype).reshape(n, -1, 1, 1)
        x = F.conv2d(x, weight, padding=padding) if up == 1 else F.conv_transpose2d(x, weight.transpose(0, 1), stride=2)
        return x * dcoefs.reshape(n, -1, 1, 1)
    w = w * dcoefs.reshape(n, -1, 1, 1, 1)
    x = x.reshape(1, -1, *x.shape[2:])
    if up == 2:
        w = w.transpose(1, 2).reshape(n * wide, out, kh, kw)
        x = F.conv_transpose2d(x, w, stride=2, groups=n)
    else:
        x = F.conv2d(x, w.reshape(-1, wide, kh, kw), padding=padding, groups=n)
    return x.reshape(n, -1, *x.shape[2:])


class SynthesisLayer(nn.Module):
    """Noise of the caller's choice: a buffer, drawn afresh, or none; gain and clamp after the activation."""

    def __init__(self, wide: int, out: int, resolution: int, up: int, fused: bool) -> None:
        super().__init__()
        self.resolution, self.up, self.fused = resolution, up, fused
        self.affine = FullyConnected(8, wide, bias=1.0)
        self.weight = nn.Parameter(torch.randn(out, wide, 3, 3))
        self.register_buffer("resample_filter", fir())
        self.register_buffer("noise_const", torch.randn([resolution, resolution]))
        self.noise_strength = nn.Parameter(torch.zeros([]))
        self.bias = nn.Parameter(torch.zeros([out]))

    def forward(self, x: Tensor, w: Tensor, noise_mode: str = "random", gain: float = 1) -> Tensor:
        styles = self.affine(w)
        noise: Any = None
        if noise_mode == "random":
            noise = torch.randn([x.shape[0], 1, self.resolution, self.resolution], device=x.device)
            noise = noise * self.noise_strength
        if noise_mode == "const":
            noise = self.noise_const * self.noise_strength
        x = modulated(x, self.weight, styles, True, self.up, self.fused)
        if self.up == 2:
            x = upfirdn2d(x, self.resample_filter * 4, padding=(1, 1, 1, 1))
        if noise is not None:
            x = x.add_(noise)
        x = F.leaky_relu(x + self.bias.reshape([-1 if i == 1 else 1 for i in range(x.ndim)]), 0.2)
        return (x * (math.sqrt(2) * gain)).clamp(-256 * gain, 256 * gain)


class ToRgb(nn.Module):
    def __init__(self, wide: int, fused: bool) -> None:
        super().__init__()
        self.fused, self.weight_gain = fused, 1 / math.sqrt(wide)
        self.affine = FullyConnected(8, wide, bias=1.0)
        self.weight = nn.Parameter(torch.randn(3, wide, 1, 1))
        self.bias = nn.Parameter(torch.zeros([3]))

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        styles = self.affine(w) * self.weight_gain
        return modulated(x, self.weight, styles, False, 1, self.fused) + self.bias[None, :, None, None]


class Synthesis(nn.Module):
    """4x4 constant -> 8x8, skips upsampled by FIR; the ws are cut by narrow and unbind."""

    def __init__(self, fused: bool) -> None:
        super().__init__()
        self.const = nn.Parameter(torch.randn([6, 4, 4]))
        self.conv4, self.rgb4 = SynthesisLayer(6, 6, 4, 1, fused), ToRgb(6, fused)
        self.conv8a, self.conv8b = SynthesisLayer(6, 4, 8, 2, fused), SynthesisLayer(4, 4, 8, 1, fused)
        self.rgb8 = ToRgb(4, fused)
        self.register_buffer("resample_filter", fir())

    def forward(self, ws: Tensor, **layer: Any) -> Tensor:
        ws = ws.to(torch.float32)
        first = iter(ws.narrow(1, 0, 2).unbind(dim=1))
        x = self.const.to(ws.dtype).unsqueeze(0).repeat([ws.shape[0], 1, 1, 1])
        x = self.conv4(x, next(first), **layer)
        img = self.rgb4(x, next(first))
        second = iter(ws.narrow(1, 1, 3).unbind(dim=1))
        x = self.conv8a(x, next(second), **layer)
        x = self.conv8b(x, next(second), gain=math.sqrt(0.5), **layer)
        img = upfirdn2d(img, self.resample_filter, up=2, padding=(2, 1, 2, 1))
        return img.add_(self.rgb8(x, next(second)))


class StyleGan2(nn.Module):
    def __init__(
        self, fused: bool = True, classes: int = 0, psi: float = 1.0, cutoff: int | None = None, noise: str = "const"
    ) -> None:
        super().__init__()
        self.mapping, self.synthesis, self.noise = Mapping(classes, 4, psi, cutoff), Synthesis(fused), noise

    def forward(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        return self.synthesis(self.mapping(z, c), noise_mode=self.noise)


class Rosinality(nn.Module):
    """`styles` is a list of one or two latents, the noise a list; the second result is the latents or None."""

    def __init__(self, fused: bool = False, mixing: str = "given") -> None:
        super().__init__()
        self.fused, self.mixing, self.n_latent, self.num_layers = fused, mixing, 4, 3
        self.style = nn.Sequential(FullyConnected(8, 8, "lrelu"), FullyConnected(8, 8, "lrelu"))
        self.input = nn.Parameter(torch.randn(1, 6, 4, 4))
        self.weights = nn.ParameterList(nn.Parameter(torch.randn(6, 6, 3, 3)) for _ in range(3))
        self.affine = nn.ModuleList(FullyConnected(8, 6, bias=1.0) for _ in range(4))
        self.noises = nn.Module()
        for index, side in enumerate((4, 8, 8)):
            self.noises.register_buffer(f"noise_{index}", torch.randn(1, 1, side, side))
        self.strength = nn.Parameter(torch.zeros(3))
        self.blur = nn.Parameter(fir() * 4, requires_grad=False)
        self.rgb = nn.Parameter(torch.randn(3, 6, 1, 1))

    def forward(
        self,
        styles: list[Tensor],
        return_latents: bool = False,
        inject_index: int | None = None,
        truncation: float = 1,
        truncation_latent: Tensor | None = None,
        input_is_latent: bool = False,
        noise: list[Tensor | None] | None = None,
        randomize_noise: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        if not input_is_latent:
            styles = [self.style(s) for s in styles]
        if noise is None:
            if randomize_noise:
                noise = [None] * self.num_layers
            else:
                noise = [getattr(self.noises, f"noise_{i}") for i in range(self.num_layers)]
        if truncation < 1 and truncation_latent is not None:
            styles = [truncation_latent + truncation * (style - truncation_latent) for style in styles]
        if len(styles) < 2:
            inject_index = self.n_latent
            latent = styles[0].unsqueeze(1).repeat(1, inject_index, 1) if styles[0].ndim < 3 else styles[0]
        else:
            if inject_index is None:
                inject_index = random.randint(1, self.n_latent - 1) if self.mixing == "random" else 2
            latent = styles[0].unsqueeze(1).repeat(1, inject_index, 1)
            latent2 = styles[1].unsqueeze(1).repeat(1, self.n_latent - inject_index, 1)
            latent = torch.cat([latent, latent2], 1)
        out = self.input.repeat(latent.shape[0], 1, 1, 1)
        for i, weight in enumerate(self.weights):
            style = self.affine[i](latent[:, i])
            out = modulated(out, weight, style, True, 2 if i == 1 else 1, self.fused)
            if i == 1:
                out = F.conv2d(F.pad(out, (1, 1, 1, 1)), self.blur.expand(6, 1, -1, -1), groups=6)
            layer_noise = noise[i]
            if layer_noise is None:
                batch, _, height, width = out.shape
                layer_noise = out.new_empty(batch, 1, height, width).normal_()
            out = F.leaky_relu(out + self.strength[i] * layer_noise, 0.2) * 2**0.5
        image = modulated(out, self.rgb, self.affine[3](latent[:, 3]), False, 1, self.fused)
        return (image, latent) if return_latents else (image, None)


class StyleGan1(nn.Module):
    """AdaIN by instance norm and a chunked style, noise buffers, a blur buffer, truncation of the coarse layers."""

    def __init__(self) -> None:
        super().__init__()
        self.mapping = nn.Sequential(nn.Linear(8, 8), nn.LeakyReLU(0.2), nn.Linear(8, 8), nn.LeakyReLU(0.2))
        self.const = nn.Parameter(torch.ones(1, 6, 4, 4))
        self.convs = nn.ModuleList(nn.Conv2d(6, 6, 3, padding=1) for _ in range(2))
        self.styles = nn.ModuleList(nn.Linear(8, 12) for _ in range(2))
        self.noise_weight = nn.Parameter(torch.zeros(2, 1, 6, 1, 1))
        self.register_buffer("noise0", torch.randn(1, 1, 4, 4))
        self.register_buffer("noise1", torch.randn(1, 1, 8, 8))
        self.register_buffer("w_avg", torch.randn(8))
        self.register_buffer("blur", (torch.tensor([[1.0, 2, 1], [2, 4, 2], [1, 2, 1]]) / 16)[None, None])
        self.rgb = nn.Conv2d(6, 3, 1)

    def forward(self, z: Tensor) -> Tensor:
        w = self.mapping(z / torch.sqrt(torch.mean(z**2, dim=1, keepdim=True) + 1e-8)).unsqueeze(1).expand(-1, 2, -1)
        coarse = torch.arange(2, device=w.device)[None, :, None] < 1
        w = torch.where(coarse, torch.lerp(self.w_avg.expand_as(w), w, 0.7), w)
        x = self.const.expand(z.size(0), -1, -1, -1)
        for i, (conv, affine) in enumerate(zip(self.convs, self.styles, strict=True)):
            if i:
                x = F.interpolate(x, scale_factor=2, mode="nearest")
                x = F.conv2d(x, self.blur.expand(x.size(1), -1, -1, -1), padding=1, groups=x.size(1))
            x = conv(x) + self.noise_weight[i] * getattr(self, f"noise{i}")
            x = F.leaky_relu(x, 0.2)
            style = affine(w[:, i]).view(-1, 2, x.size(1), 1, 1)
            x = (x - x.mean((2, 3), keepdim=True)) * torch.rsqrt(x.var((2, 3), unbiased=False, keepdim=True) + 1e-5)
            x = x * (style[:, 0] + 1.0) + style[:, 1]
        return self.rgb(x)


class StyleGan3(nn.Module):
    """Fourier features moved by a learned transform, filtered leaky ReLU, styles normalised over the whole batch."""

    def __init__(self) -> None:
        super().__init__()
        self.size, self.channels, self.bandwidth, self.sampling_rate = 12, 6, 2.0, 16.0
        freqs = torch.randn([6, 2])
        self.register_buffer("freqs", freqs / freqs.square().sum(dim=1, keepdim=True).sqrt() * self.bandwidth)
        self.register_buffer("phases", torch.rand([6]) - 0.5)
        self.register_buffer("transform", torch.eye(3, 3))
        self.register_buffer("magnitude_ema", torch.ones([]))
        taps = torch.hann_window(14, periodic=False)[1:-1]
        self.register_buffer("up_filter", taps / taps.sum())
        self.register_buffer("down_filter", torch.outer(taps, taps) / taps.sum() ** 2)
        self.affine, self.style = FullyConnected(8, 4), FullyConnected(8, 6, bias=1.0)
        with torch.no_grad():
            self.affine.weight.mul_(0.1)
            self.affine.bias.copy_(torch.tensor([1.0, 0.1, 0.1, 0.1]))
        self.weight, self.rgb = nn.Parameter(torch.randn([6, 6])), nn.Parameter(torch.randn([3, 6, 3, 3]))
        self.bias = nn.Parameter(torch.zeros([3]))

    def fourier(self, w: Tensor) -> Tensor:
        transforms, freqs, phases = self.transform.unsqueeze(0), self.freqs.unsqueeze(0), self.phases.unsqueeze(0)
        t = self.affine(w)
        t = t / t[:, :2].norm(dim=1, keepdim=True)
        m_r = torch.eye(3, device=w.device).unsqueeze(0).repeat([w.shape[0], 1, 1])
        m_r[:, 0, 0] = t[:, 0]
        m_r[:, 0, 1] = -t[:, 1]
        m_r[:, 1, 0] = t[:, 1]
        m_r[:, 1, 1] = t[:, 0]
        m_t = torch.eye(3, device=w.device).unsqueeze(0).repeat([w.shape[0], 1, 1])
        m_t[:, 0, 2] = -t[:, 2]
        m_t[:, 1, 2] = -t[:, 3]
        transforms = m_r @ m_t @ transforms
        phases = phases + (freqs @ transforms[:, :2, 2:]).squeeze(2)
        freqs = freqs @ transforms[:, :2, :2]
        amplitudes = (1 - (freqs.norm(dim=2) - self.bandwidth) / (self.sampling_rate / 2 - self.bandwidth)).clamp(0, 1)
        theta = torch.eye(2, 3, device=w.device)
        theta[0, 0] = theta[1, 1] = 0.5 * self.size / self.sampling_rate
        grids = F.affine_grid(theta.unsqueeze(0), [1, 1, self.size, self.size], align_corners=False)
        x = (grids.unsqueeze(3) @ freqs.permute(0, 2, 1).unsqueeze(1).unsqueeze(2)).squeeze(3)
        x = torch.sin((x + phases.unsqueeze(1).unsqueeze(2)) * (math.pi * 2))
        x = x * amplitudes.unsqueeze(1).unsqueeze(2)
        return (x @ (self.weight / math.sqrt(self.channels)).t()).permute(0, 3, 1, 2)

    def forward(self, w: Tensor) -> Tensor:
        x = self.fourier(w)
        s = self.style(w)
        weight = self.rgb * self.rgb.square().mean([1, 2, 3], keepdim=True).rsqrt()
        s = s * s.square().mean().rsqrt()  # over the batch; the demodulation takes it out again
        weight = weight.unsqueeze(0) * s.unsqueeze(1).unsqueeze(3).unsqueeze(4)
        weight = weight * (weight.square().sum(dim=[2, 3, 4]) + 1e-8).rsqrt().unsqueeze(2).unsqueeze(3).unsqueeze(4)
        weight = weight * self.magnitude_ema.rsqrt()
        n = x.shape[0]
        x = F.conv2d(x.reshape(1, -1, *x.shape[2:]), weight.reshape(-1, 6, 3, 3), padding=2, groups=n)
        x = x.reshape(n, -1, *x.shape[2:])
        x = x + self.bias.reshape(1, -1, 1, 1)
        x = upfirdn2d(x, self.up_filter, up=2, padding=(9, 8, 9, 8))
        x = F.leaky_relu(x, 0.2).mul(math.sqrt(2)).clamp(-256, 256)
        x = upfirdn2d(x, self.down_filter, down=2, padding=(-2, -1, -2, -1))
        return x * 0.25


class PerSampleLoop(nn.Module):
    """The modulated convolution of a sample at a time, in a Python loop over the batch."""

    def __init__(self) -> None:
        super().__init__()
        self.const = nn.Parameter(torch.randn(6, 4, 4))
        self.weight, self.affine = nn.Parameter(torch.randn(3, 6, 3, 3)), nn.Linear(8, 6)

    def forward(self, w: Tensor) -> Tensor:
        styles = self.affine(w) + 1
        rows = []
        for i in range(w.shape[0]):
            weight = self.weight * styles[i].view(1, -1, 1, 1)
            weight = weight * torch.rsqrt(weight.pow(2).sum([1, 2, 3], keepdim=True) + 1e-8)
            rows.append(F.conv2d(self.const.unsqueeze(0), weight, padding=1))
        return torch.cat(rows, dim=0)


class FaceRestorer(nn.Module):
    """GFPGAN: an encoder's features give the latents and, on half of the channels, a scale and a shift."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.ModuleList([nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 6, 3, padding=1)])
        self.final_linear = nn.Linear(6 * 4 * 4, 2 * 8)
        self.scale, self.shift = nn.Conv2d(6, 3, 3, padding=1), nn.Conv2d(6, 3, 3, padding=1)
        self.const = nn.Parameter(torch.randn(1, 6, 4, 4))
        self.weight, self.affine = nn.Parameter(torch.randn(6, 6, 3, 3)), FullyConnected(8, 6, bias=1.0)
        self.rgb = nn.Conv2d(6, 3, 1)

    def forward(self, x: Tensor, return_rgb: bool = True) -> tuple[Tensor, list[Tensor]]:
        feat = F.leaky_relu(self.down[0](x), 0.2)
        feat = F.interpolate(feat, scale_factor=0.5, mode="bilinear", align_corners=False)
        conditions = [self.scale(feat), self.shift(feat)]
        small = F.interpolate(self.down[1](feat), scale_factor=0.5, mode="bilinear", align_corners=False)
        style_code = self.final_linear(small.view(small.size(0), -1))
        style_code = style_code.view(style_code.size(0), -1, 8)
        out = self.const.repeat(x.shape[0], 1, 1, 1)
        rgbs = []
        for i in range(style_code.shape[1]):
            out = F.interpolate(out, scale_factor=2, mode="bilinear", align_corners=False) if i else out
            out = F.leaky_relu(modulated(out, self.weight, self.affine(style_code[:, i]), True, 1, True), 0.2)
            if i:
                out_same, out_sft = torch.split(out, int(out.size(1) // 2), dim=1)
                out = torch.cat([out_same, out_sft * conditions[0] + conditions[1]], dim=1)
            if return_rgb:
                rgbs.append(self.rgb(out))
        return F.interpolate(rgbs[-1], scale_factor=2, mode="bilinear", align_corners=False), rgbs


class Wavelets(nn.Module):
    """MobileStyleGAN: four Haar bands put together by grouped transposed convolutions and by slices in place."""

    def __init__(self) -> None:
        super().__init__()
        haar = torch.tensor([[[1.0, 1], [1, 1]], [[1, 1], [-1, -1]], [[1, -1], [1, -1]], [[1, -1], [-1, 1]]]) / 2
        self.register_buffer("filters", haar.unsqueeze(1).repeat(3, 1, 1, 1))
        self.fc = nn.Linear(8, 12 * 4 * 4)

    def forward(self, w: Tensor) -> tuple[Tensor, Tensor]:
        x = self.fc(w).view(-1, 12, 4, 4)
        by_filter = F.conv_transpose2d(x, self.filters, stride=2, groups=3)
        a, b, c, d = (x[:, i::4] / 2 for i in range(4))
        by_slices = torch.zeros(x.size(0), 3, 8, 8, dtype=x.dtype, device=x.device)
        by_slices[:, :, 0::2, 0::2] = a + b + c + d
        by_slices[:, :, 0::2, 1::2] = a + b - c - d
        by_slices[:, :, 1::2, 0::2] = a - b + c - d
        by_slices[:, :, 1::2, 1::2] = a - b - c + d
        return by_filter, by_slices


class Triplane(nn.Module):
    """EG3D: rays from a camera matrix, three planes sampled by grid_sample, a march with a cumulative product."""

    def __init__(self, side: int = 4, depth: int = 6) -> None:
        super().__init__()
        self.side, self.depth = side, depth
        self.planes = nn.Linear(8, 3 * 4 * 8 * 8)
        self.decoder = nn.Sequential(nn.Linear(4, 8), nn.Softplus(), nn.Linear(8, 4))

    def forward(self, ws: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        cam2world = c[:, :16].view(-1, 4, 4)
        n, m = ws.shape[0], self.side**2
        uv = torch.stack(torch.meshgrid(torch.arange(self.side), torch.arange(self.side), indexing="ij")).float()
        uv = uv.flip(0).reshape(2, -1).transpose(1, 0).unsqueeze(0).repeat(n, 1, 1) / self.side - 0.5
        points = torch.cat([uv, torch.ones(n, m, 1), torch.ones(n, m, 1)], dim=-1)
        world = torch.bmm(cam2world, points.permute(0, 2, 1)).permute(0, 2, 1)[:, :, :3]
        origins = cam2world[:, :3, 3]
        directions = F.normalize(world - origins[:, None, :], dim=2)
        depths = torch.linspace(0.3, 1.3, self.depth).view(1, 1, -1, 1).expand(n, m, -1, 1)
        samples = (origins[:, None, None] + depths * directions.unsqueeze(-2)).reshape(n, -1, 3)
        planes = self.planes(ws).view(n * 3, 4, 8, 8)
        axes = torch.stack([samples[..., [0, 1]], samples[..., [0, 2]], samples[..., [2, 0]]], 1).flatten(0, 1)
        found = F.grid_sample(planes, axes.unsqueeze(1), mode="bilinear", padding_mode="zeros", align_corners=False)
        found = found.permute(0, 3, 2, 1).reshape(n, 3, m * self.depth, 4).mean(1)
        out = self.decoder(found).view(n, m, self.depth, 4)
        rgb, sigma = torch.sigmoid(out[..., 1:]) * (1 + 2 * 0.001) - 0.001, F.softplus(out[..., :1] - 1)
        deltas = depths[:, :, 1:] - depths[:, :, :-1]
        alpha = 1 - torch.exp(-sigma[:, :, :-1] * deltas)
        shifted = torch.cat([torch.ones_like(alpha[:, :, :1]), 1 - alpha + 1e-10], -2)
        weights = alpha * torch.cumprod(shifted, -2)[:, :, :-1]
        image = torch.sum(weights * (rgb[:, :, :-1] + rgb[:, :, 1:]) / 2, -2) * 2 - 1
        depth = torch.sum(weights * depths[:, :, 1:], -2) / weights.sum(2)
        depth = torch.nan_to_num(depth, float("inf")).clamp(0.3, 1.3)
        return image.permute(0, 2, 1).reshape(n, -1, self.side, self.side), depth.view(n, 1, self.side, self.side)


CAMERA = uniform(25, low=-0.5, high=0.5)

CASES = [
    Case("stylegan1_adain", StyleGan1, normal(8)),
    Case("stylegan2_grouped", StyleGan2, normal(8), quick=True),
    Case("stylegan2_scaled_activations", lambda: StyleGan2(fused=False), normal(8)),
    Case("stylegan2_class_one_hot_psi", lambda: StyleGan2(classes=5, psi=0.7), (normal(8), one_hot(5))),
    Case("stylegan2_psi_cutoff_in_place", lambda: StyleGan2(psi=0.5, cutoff=2), normal(8)),
    Case("stylegan2_no_noise", lambda: StyleGan2(noise="none"), normal(8)),
    Case("stylegan2_random_noise", lambda: StyleGan2(noise="random"), normal(8), refused="random"),
    Case("stylegan2_synthesis_of_ws", lambda: Synthesis(True), {"ws": normal(4, 8), "noise_mode": "const"}),
    Case("rosinality_styles_list", Rosinality, ([normal(8)],)),
    Case("rosinality_returns_latents", lambda: Rosinality(fused=True), {"styles": [normal(8)], "return_latents": True}),
    Case("rosinality_two_styles", Rosinality, ([normal(8), normal(8)], True)),
    Case("rosinality_w_plus", Rosinality, {"styles": [normal(4, 8)], "input_is_latent": True}),
    Case("rosinality_noise_given", Rosinality, {"styles": [normal(8)], "noise": [normal(1, s, s) for s in (4, 8, 8)]}),
    Case("rosinality_randomize_noise", Rosinality, {"styles": [normal(8)], "randomize_noise": True}, refused="random"),
    Case(
        "rosinality_random_mixing",
        lambda: Rosinality(mixing="random"),
        ([normal(8), normal(8)], True),
        refused="random",
    ),
    Case("stylegan3_fourier_filtered_lrelu", StyleGan3, normal(8)),
    Case("modulation_a_sample_at_a_time", PerSampleLoop, normal(8)),
    Case("gfpgan_channel_split_sft", FaceRestorer, uniform(3, 16, 16)),
    Case("mobile_stylegan_wavelets", Wavelets, normal(8)),
    Case("eg3d_triplane_march", Triplane, (normal(8), CAMERA)),
]
