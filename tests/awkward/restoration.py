"""Picture -> picture by convolution: super-resolution, translation, inpainting, normalisations, resampling."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from awkward_case import Case, holes, normal, one_hot, uniform
from torch import Tensor, nn


class DenseBlock(nn.Module):
    """Residual dense block: every convolution sees all before it; scaled by 0.2."""

    def __init__(self, width: int = 8, grow: int = 4) -> None:
        super().__init__()
        self.convs = nn.ModuleList(
            nn.Conv2d(width + i * grow, grow if i < 4 else width, 3, padding=1) for i in range(5)
        )
        self.lrelu = nn.LeakyReLU(negative_slope=0.2, inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        features = [x]
        for conv in self.convs[:-1]:
            features.append(self.lrelu(conv(torch.cat(features, 1))))
        return self.convs[-1](torch.cat(features, 1)) * 0.2 + x


class Rrdb(nn.Module):
    """ESRGAN; at scale 2 and 1 the pixels are unshuffled first, by views."""

    def __init__(self, scale: int) -> None:
        super().__init__()
        self.scale = scale
        self.conv_first = nn.Conv2d(3 * (4 // scale) ** 2, 8, 3, padding=1)
        self.body = nn.Sequential(DenseBlock(), DenseBlock())
        self.up1, self.up2 = nn.Conv2d(8, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)
        self.conv_last = nn.Conv2d(8, 3, 3, padding=1)

    def unshuffle(self, x: Tensor, scale: int) -> Tensor:
        b, c, hh, hw = x.size()
        h, w = hh // scale, hw // scale
        view = x.view(b, c, h, scale, w, scale)
        return view.permute(0, 1, 3, 5, 2, 4).reshape(b, c * scale**2, h, w)

    def forward(self, x: Tensor) -> Tensor:
        feat = self.conv_first(x if self.scale == 4 else self.unshuffle(x, 4 // self.scale))
        feat = feat + self.body(feat)
        feat = F.leaky_relu(self.up1(F.interpolate(feat, scale_factor=2, mode="nearest")), 0.2, inplace=True)
        feat = F.leaky_relu(self.up2(F.interpolate(feat, scale_factor=2, mode="nearest")), 0.2, inplace=True)
        return self.conv_last(feat)


class Srvgg(nn.Module):
    """PReLU a channel, a pixel shuffle, the nearest upsampling of the input added."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.ModuleList()
        for wide, out in ((3, 8), (8, 8)):
            self.body.append(nn.Conv2d(wide, out, 3, 1, 1))
            self.body.append(nn.PReLU(num_parameters=out))
        self.body.append(nn.Conv2d(8, 3 * 16, 3, 1, 1))
        self.upsampler = nn.PixelShuffle(4)

    def forward(self, x: Tensor) -> Tensor:
        out = x
        for i in range(len(self.body)):
            out = self.body[i](out)
        out = self.upsampler(out)
        out += F.interpolate(x, scale_factor=4, mode="nearest")
        return out


class SkipBlock(nn.Module):
    """A U-Net in a U-Net: each level wraps the deeper one; instance norm, reflect padding, in-place activations."""

    def __init__(self, outer: int, inner: int, inside: nn.Module | None, outermost: bool, norm: Any) -> None:
        super().__init__()
        self.outermost = outermost
        channels = 3 if outermost else outer
        down = nn.Sequential(nn.ReflectionPad2d(1), nn.Conv2d(channels, inner, 4, stride=2, bias=False))
        up = nn.ConvTranspose2d(inner * 2 if inside else inner, outer, 4, stride=2, padding=1)
        if outermost:
            layers = [down, inside, nn.ReLU(True), up, nn.Tanh()]
        elif inside is None:
            layers = [nn.LeakyReLU(0.2, True), down, nn.ReLU(True), up, norm(outer)]
        else:
            layers = [nn.LeakyReLU(0.2, True), down, norm(inner), inside, nn.ReLU(True), up, norm(outer)]
            layers.append(nn.Dropout(0.5))
        self.model = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        if self.outermost:
            return self.model(x)
        return torch.cat([x, self.model(x)], 1)


def unet(norm: Callable[[int], nn.Module]) -> nn.Module:
    block = SkipBlock(8, 8, None, False, norm)
    block = SkipBlock(4, 8, block, False, norm)
    return SkipBlock(3, 4, block, True, norm)


class CycleGan(nn.Module):
    """Reflection pads of 3, strides of 2, residual blocks, ConvTranspose k3 s2 p1 op1; instance norms of the caller."""

    def __init__(self, norm: Callable[[int], nn.Module], feature_maps: bool = False) -> None:
        super().__init__()
        self.feature_maps = feature_maps
        self.model = nn.Sequential(
            nn.ReflectionPad2d(3),
            nn.Conv2d(3, 4, 7),
            norm(4),
            nn.ReLU(True),
            nn.Conv2d(4, 8, 3, 2, 1),
            norm(8),
            nn.ReLU(True),
            nn.ConvTranspose2d(8, 4, 3, 2, 1, output_padding=1),
            norm(4),
            nn.ReLU(True),
            nn.ReflectionPad2d(3),
            nn.Conv2d(4, 3, 7),
            nn.Tanh(),
        )

    def forward(self, input: Tensor) -> Any:
        if not self.feature_maps:
            return self.model(input)
        features, x = [], input
        for index, layer in enumerate(self.model):
            x = layer(x)
            if index in (4, 7):
                features.append(x)
        return x, features


class FourierUnit(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv_layer, self.bn = nn.Conv2d(width * 2, width * 2, 1, bias=False), nn.BatchNorm2d(width * 2)

    def forward(self, x: Tensor) -> Tensor:
        batch = x.shape[0]
        ffted = torch.fft.rfftn(x, dim=(-2, -1), norm="ortho")
        ffted = torch.stack((ffted.real, ffted.imag), dim=-1)
        ffted = ffted.permute(0, 1, 4, 2, 3).contiguous().view((batch, -1, *ffted.size()[2:4]))
        ffted = F.relu(self.bn(self.conv_layer(ffted)))
        ffted = ffted.view((batch, -1, 2, *ffted.size()[2:])).permute(0, 1, 3, 4, 2).contiguous()
        return torch.fft.irfftn(torch.complex(ffted[..., 0], ffted[..., 1]), s=x.shape[-2:], dim=(-2, -1), norm="ortho")


class Lama(nn.Module):
    """Fast Fourier convolution: a local and a global branch as a tuple, rfft2 -> 1x1 -> irfft2; the hole put back."""

    def __init__(self) -> None:
        super().__init__()
        self.start = nn.Conv2d(4, 8, 3, padding=1, padding_mode="reflect")
        self.l2l, self.l2g = nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect"), nn.Conv2d(4, 4, 3, padding=1)
        self.g2l, self.unit = nn.Conv2d(4, 4, 3, padding=1), FourierUnit(4)
        self.last = nn.Conv2d(8, 3, 3, padding=1, padding_mode="reflect")

    def forward(self, image: Tensor, mask: Tensor) -> Tensor:
        masked = torch.cat([image * (1 - mask), mask], dim=1)
        x_l, x_g = self.start(masked).split(4, dim=1)
        x_l, x_g = F.relu(self.l2l(x_l) + self.g2l(x_g)), F.relu(self.l2g(x_l) + self.unit(x_g))
        predicted = torch.sigmoid(self.last(torch.cat((x_l, x_g), dim=1)))
        return mask * predicted + (1 - mask) * image


class PartialConv(nn.Conv2d):
    """A convolution renormalised by how much of its window is known; updates the mask; clones what it caches."""

    def __init__(self, wide: int, out: int) -> None:
        super().__init__(wide, out, 3, padding=1)
        self.weight_maskUpdater = torch.ones(1, 1, 3, 3)  # a plain attribute, no buffer
        self.last_size: tuple[Any, ...] = (None, None)
        self.update_mask: Tensor | None = None

    def forward(self, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        with torch.no_grad():
            self.last_size = tuple(x.shape)
            self.update_mask = F.conv2d(mask, self.weight_maskUpdater.to(x), bias=None, padding=self.padding)
            ratio = 9 / (self.update_mask + 1e-8)
            self.update_mask = torch.clamp(self.update_mask, 0, 1)
            ratio = torch.mul(ratio, self.update_mask)
        raw = super().forward(torch.mul(x, mask))
        bias = self.bias.view(1, -1, 1, 1)
        return torch.mul(torch.mul(raw - bias, ratio) + bias, self.update_mask), self.update_mask


class PartialInpainter(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = PartialConv(3, 8), PartialConv(8, 3)

    def forward(self, image: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        x, mask = self.a(image, mask)
        return self.b(F.relu(x), mask)


class GatedInpainter(nn.Module):
    """DeepFill v2: half of the channels gate the others; the mask may have one channel for a batch of many."""

    def __init__(self) -> None:
        super().__init__()
        self.convs = nn.ModuleList([nn.Conv2d(5, 16, 5, padding=2), nn.Conv2d(8, 16, 3, padding=2, dilation=2)])
        self.last = nn.Conv2d(8, 3, 3, padding=1)

    def forward(self, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        ones = torch.ones(x.size(0), 1, x.size(2), x.size(3), device=x.device)
        h = torch.cat([x, ones, ones * mask], dim=1)
        for conv in self.convs:
            h, gate = torch.split(conv(h), 8, dim=1)
            h = F.elu(h) * torch.sigmoid(gate)
        out = torch.clamp(self.last(h), -1.0, 1.0)
        return out, out * mask + x * (1.0 - mask)


class Spade(nn.Module):
    """The segmentation map to each layer's size by nearest, at ratios that are no whole number."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Conv2d(5, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8, affine=False)
        self.shared = nn.Sequential(nn.Conv2d(5, 8, 3, padding=1), nn.ReLU())
        self.gamma, self.beta = nn.Conv2d(8, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)
        self.conv, self.last = nn.Conv2d(8, 8, 3, padding=1), nn.Conv2d(8, 3, 3, padding=1)

    def block(self, x: Tensor, segmap: Tensor) -> Tensor:
        normalized = self.norm(x)
        segmap = F.interpolate(segmap, size=x.size()[2:], mode="nearest")
        actv = self.shared(segmap)
        return self.conv(F.leaky_relu(normalized * (1 + self.gamma(actv)) + self.beta(actv), 2e-1))

    def forward(self, segmap: Tensor) -> Tensor:
        x = self.fc(F.interpolate(segmap, size=(5, 7)))
        x = self.block(x, segmap)
        x = self.block(F.interpolate(x, scale_factor=1.7, mode="nearest"), segmap)
        x = F.interpolate(x, size=segmap.shape[2:], mode="nearest")
        return torch.tanh(self.last(x))


class Resampling(nn.Module):
    """Every kind of F.interpolate, up and down, side by side: bilinear and bicubic, both corners, antialias off."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        found = {}
        for size in ((7, 11), (19, 23)):
            for mode in ("bilinear", "bicubic"):
                for corners in (False, True):
                    resized = F.interpolate(x, size=size, mode=mode, align_corners=corners)
                    found[f"{mode}_{size[0]}_{'corners' if corners else 'centres'}"] = self.conv(resized)
            found[f"nearest_{size[0]}"] = self.conv(F.interpolate(x, size=size, mode="nearest"))
            found[f"nearest_exact_{size[0]}"] = self.conv(F.interpolate(x, size=size, mode="nearest-exact"))
            found[f"area_{size[0]}"] = self.conv(F.interpolate(x, size=size, mode="area"))
        found["recomputed"] = F.interpolate(x, scale_factor=1.3, mode="bilinear", recompute_scale_factor=True)
        found["scaled"] = F.interpolate(x, scale_factor=(0.7, 1.9), mode="bicubic")
        return found


class Antialiased(nn.Module):
    """Downscaling with antialias=True, bilinear and bicubic."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        small = F.interpolate(x, size=(5, 6), mode="bilinear", antialias=True, align_corners=False)
        return small, F.interpolate(x, scale_factor=0.5, mode="bicubic", antialias=True, align_corners=False)


class Pyramid(nn.Module):
    """PSPNet in a generator: adaptive pooling to 1, 2, 3 and 6 of a size that none but 1 divides; max pooling too."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Conv2d(3, 6, 3, padding=1)
        self.stages = nn.ModuleList(
            nn.Sequential(nn.AdaptiveAvgPool2d(size), nn.Conv2d(6, 2, 1, bias=False)) for size in (1, 2, 3, 6)
        )
        self.peaks = nn.AdaptiveMaxPool2d((3, 5))
        self.last = nn.Conv2d(6 + 8 + 6, 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.features(x)
        h, w = x.size(2), x.size(3)
        pooled = [F.interpolate(stage(x), size=(h, w), mode="bilinear") for stage in self.stages]
        pooled.append(F.interpolate(self.peaks(x), size=(h, w), mode="bilinear"))
        return self.last(torch.cat([x, *pooled], 1))


class PadToMultiple(nn.Module):
    """The input is reflected up to a multiple of 8 and the result cut back, by arithmetic on the sizes."""

    def __init__(self) -> None:
        super().__init__()
        self.down, self.up = nn.Conv2d(3, 8, 8, stride=8), nn.ConvTranspose2d(8, 3, 8, stride=8)

    def forward(self, x: Tensor) -> Tensor:
        _, _, h, w = x.size()
        pad_h, pad_w = (8 - h % 8) % 8, (8 - w % 8) % 8
        padded = F.pad(x, (0, pad_w, 0, pad_h), "reflect")
        return self.up(F.gelu(self.down(padded), approximate="tanh"))[:, :, :h, :w] + x


class SelfEnsemble(nn.Module):
    """The mean over the eight flips and turns of the input."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 12, 3, padding=1), nn.PixelShuffle(2))

    def forward(self, x: Tensor) -> Tensor:
        total: Any = 0
        for turns in range(4):
            turned = torch.rot90(x, turns, [2, 3])
            total = total + torch.rot90(self.conv(turned), -turns, [2, 3])
            total += torch.rot90(self.conv(turned.flip(-1)).flip([-1]), -turns, [2, 3])
        return total / 8


class LayerNormFunction(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
        ctx.eps = eps
        _, c, _, _ = x.size()
        mu = x.mean(1, keepdim=True)
        var = (x - mu).pow(2).mean(1, keepdim=True)
        y = (x - mu) / (var + eps).sqrt()
        ctx.save_for_backward(y, var, weight)
        return weight.view(1, c, 1, 1) * y + bias.view(1, c, 1, 1)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None]:
        return grad, None, None, None


class Nafnet(nn.Module):
    """A layer norm that is an autograd function of its own, gates by chunk, a channel gate from a global mean."""

    def __init__(self) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(6)), nn.Parameter(torch.zeros(6))
        self.intro, self.ending = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 3, 3, padding=1)
        self.conv1, self.conv2 = nn.Conv2d(6, 12, 1), nn.Conv2d(12, 12, 3, padding=1, groups=12)
        self.sca, self.conv3 = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(6, 6, 1)), nn.Conv2d(6, 6, 1)
        self.beta = nn.Parameter(torch.zeros((1, 6, 1, 1)))

    def forward(self, inp: Tensor) -> Tensor:
        x = self.intro(inp)
        y = LayerNormFunction.apply(x, self.weight, self.bias, 1e-6)
        x1, x2 = self.conv2(self.conv1(y)).chunk(2, dim=1)
        y = x1 * x2
        return self.ending(x + self.conv3(y * self.sca(y)) * self.beta) + inp


class HalfInstanceNorm(nn.Module):
    """HINet and CBAM: instance norm on half of the channels, attention from mean, max and their pictures."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 8, 3, padding=1), nn.InstanceNorm2d(4, affine=True)
        self.mlp = nn.Sequential(nn.Linear(8, 2), nn.ReLU(), nn.Linear(2, 8))
        self.spatial, self.last = nn.Conv2d(2, 1, 7, padding=3), nn.Conv2d(8, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        out1, out2 = torch.chunk(self.conv(x), 2, dim=1)
        out = F.leaky_relu(torch.cat([self.norm(out1), out2], dim=1), 0.2)
        mean = F.avg_pool2d(out, (out.size(2), out.size(3)), stride=(out.size(2), out.size(3)))
        peak = F.max_pool2d(out, (out.size(2), out.size(3)), stride=(out.size(2), out.size(3)))
        scale = torch.sigmoid(self.mlp(mean.view(out.size(0), -1)) + self.mlp(peak.view(out.size(0), -1)))
        out = out * scale.unsqueeze(2).unsqueeze(3).expand_as(out)
        compressed = torch.cat((torch.max(out, 1)[0].unsqueeze(1), torch.mean(out, 1).unsqueeze(1)), dim=1)
        return self.last(out * torch.sigmoid(self.spatial(compressed)))


class Shuffled(nn.Module):
    """Channel shuffle, a depthwise blur with replicate padding, local response norm, Laplacian residuals."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding=1, padding_mode="circular")
        self.last = nn.Conv2d(8, 3, 3, padding=1, padding_mode="replicate")
        self.blur = torch.ones(1, 1, 3, 3) / 9

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        kernel = self.blur.to(x.device).repeat(3, 1, 1, 1)
        low = F.conv2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), kernel, groups=3)
        h = self.conv(x - low)
        b, c, height, width = h.shape
        h = h.view(b, 2, c // 2, height, width).transpose(1, 2).contiguous().view(b, c, height, width)
        h = F.channel_shuffle(F.local_response_norm(h, 3), 4)
        return self.last(F.hardswish(h)) + low, low


class SegNet(nn.Module):
    """Max pooling that keeps the indices, and the unpooling that uses them."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.last = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv(x)
        pooled, indices = F.max_pool2d(h, 2, stride=2, return_indices=True)
        return self.last(F.max_unpool2d(torch.tanh(pooled), indices, 2, stride=2))


class LabColours(nn.Module):
    """sRGB -> linear -> XYZ by einsum -> Lab with its branch at a threshold, and a gamma back."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("matrix", torch.tensor([[0.41, 0.36, 0.18], [0.21, 0.72, 0.07], [0.02, 0.12, 0.95]]))
        self.conv = nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, rgb: Tensor) -> tuple[Tensor, Tensor]:
        linear = torch.where(rgb > 0.04045, ((rgb + 0.055) / 1.055).pow(2.4), rgb / 12.92)
        xyz = torch.einsum("ij,bjhw->bihw", self.matrix, linear)
        f = torch.where(xyz > 0.008856, xyz.clamp(min=1e-6).pow(1 / 3), 7.787 * xyz + 4 / 29)
        x, y, z = f.unbind(1)
        lab = torch.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], dim=1)
        out = torch.sigmoid(self.conv(lab / 100))
        return torch.where(out <= 0.0031308, out * 12.92, 1.055 * out ** (1 / 2.4) - 0.055), lab


class StyleTransfer(nn.Module):
    """0 .. 255 in and out, unclamped; AdaIN statistics with the unbiased deviation of a second picture."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406]).view(-1, 1, 1))
        self.register_buffer("std", torch.tensor([0.229, 0.224, 0.225]).view(-1, 1, 1))
        self.enc, self.dec = nn.Conv2d(3, 6, 3, stride=2, padding=1), nn.Conv2d(6, 3, 3, padding=1)

    @staticmethod
    def statistics(feat: Tensor, eps: float = 1e-5) -> tuple[Tensor, Tensor]:
        n, c = feat.size()[:2]
        std = (feat.view(n, c, -1).var(dim=2) + eps).sqrt().view(n, c, 1, 1)
        return feat.view(n, c, -1).mean(dim=2).view(n, c, 1, 1), std

    def forward(self, content: Tensor, style: Tensor) -> Tensor:
        content, style = (self.enc((p / 255 - self.mean) / self.std) for p in (content, style))
        size = content.size()
        (mean_c, std_c), (mean_s, std_s) = self.statistics(content), self.statistics(style)
        normalized = (content - mean_c.expand(size)) / std_c.expand(size)
        feat = normalized * std_s.expand(size) + mean_s.expand(size)
        return self.dec(F.interpolate(feat, scale_factor=2)) * 255


class UnusedDomain(nn.Module):
    """An argument that the forward never looks at."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, x: Tensor, domain: Tensor) -> Tensor:
        return self.conv(x)


PICTURE = uniform(3, 16, 16, low=0.0)

CASES = [
    Case("esrgan_rrdb_x4", lambda: Rrdb(4), uniform(3, 6, 8, low=0.0)),
    Case("esrgan_rrdb_x2_unshuffle", lambda: Rrdb(2), uniform(3, 8, 12, low=0.0)),
    Case("srvgg_compact", Srvgg, PICTURE, quick=True),
    Case("pix2pix_unet_instance_norm", lambda: unet(nn.InstanceNorm2d), uniform(3, 16, 16)),
    Case("pix2pix_unet_batch_norm", lambda: unet(nn.BatchNorm2d), uniform(3, 16, 16)),
    Case("cyclegan_instance_norm", lambda: CycleGan(nn.InstanceNorm2d), uniform(3, 16, 16)),
    Case(
        "instance_norm_running_statistics",
        lambda: CycleGan(lambda width: nn.InstanceNorm2d(width, affine=True, track_running_stats=True), True),
        uniform(3, 16, 16),
    ),
    Case("animegan_group_and_layer_norm", lambda: CycleGan(lambda width: nn.GroupNorm(1, width)), uniform(3, 12, 20)),
    Case("lama_fast_fourier_convolution", Lama, {"image": PICTURE, "mask": holes(1, 16, 16)}),
    Case("partial_convolution_mask", PartialInpainter, (PICTURE, holes(1, 16, 16, share=0.04))),
    Case("gated_convolution_two_pictures", GatedInpainter, (uniform(3, 16, 16), holes(1, 16, 16))),
    Case("spade_nearest_no_whole_ratio", Spade, normal(5, 17, 13)),
    Case("interpolate_every_kind", Resampling, normal(3, 12, 14)),
    Case("interpolate_antialias", Antialiased, normal(3, 12, 14)),
    Case("adaptive_pooling_no_divisor", Pyramid, normal(3, 10, 14)),
    Case("pad_to_multiple_and_crop", PadToMultiple, PICTURE),
    Case("pad_to_multiple_odd_size", PadToMultiple, normal(3, 13, 19)),
    Case("self_ensemble_flips", SelfEnsemble, normal(3, 6, 9)),
    Case("nafnet_autograd_function", Nafnet, normal(3, 10, 10)),
    Case("half_instance_norm_cbam", HalfInstanceNorm, normal(3, 12, 12)),
    Case("channel_shuffle_paddings", Shuffled, normal(3, 10, 12)),
    Case("segnet_max_unpool", SegNet, normal(3, 8, 8)),
    Case("lab_colours_powers", LabColours, uniform(3, 8, 8, low=0.0)),
    Case(
        "adain_style_transfer_255", StyleTransfer, {"content": normal(3, 12, 12, scale=50), "style": normal(3, 8, 10)}
    ),
    Case("unused_argument", UnusedDomain, (normal(3, 8, 8), one_hot(4))),
]
