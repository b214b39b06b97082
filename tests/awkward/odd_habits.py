"""Habits of well-known code that a trace trips over: sizes made numbers, weights made at every call, packing."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from awkward.restoration_attention import window_partition, window_reverse
from awkward_case import Case, holes, lengths, normal, uniform
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence


class BatchAsNumber(nn.Module):
    """StyleGAN3's modulated convolution: the batch by `int`, as the number of groups."""

    def __init__(self) -> None:
        super().__init__()
        self.affine, self.weight = nn.Linear(6, 4), nn.Parameter(torch.randn(5, 4, 3, 3))
        self.const = nn.Parameter(torch.randn(4, 6, 6))

    def forward(self, z: Tensor) -> Tensor:
        styles = self.affine(z)
        batch_size = int(z.shape[0])
        x = self.const.unsqueeze(0).repeat([batch_size, 1, 1, 1])
        w = self.weight.unsqueeze(0) * styles.reshape(batch_size, 1, -1, 1, 1)
        w = w * (w.square().sum(dim=[2, 3, 4]) + 1e-8).rsqrt().reshape(batch_size, -1, 1, 1, 1)
        x = F.conv2d(x.reshape(1, -1, *x.shape[2:]), w.reshape(-1, 4, 3, 3), padding=2, groups=batch_size)
        return x.reshape(batch_size, -1, *x.shape[2:])


class WindowedGenerator(nn.Module):
    """TransGAN after Swin: attention within windows, the batch by `len` and found again by a division."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.qkv, self.rgb = nn.Linear(6, 64 * 4), nn.Linear(4, 12), nn.Linear(4, 3)

    def forward(self, z: Tensor) -> Tensor:
        x = self.first(z).view(len(z), 8, 8, 4)
        q, k, v = self.qkv(window_partition(x, 4).view(-1, 16, 4)).chunk(3, -1)
        attended = (q @ k.transpose(-2, -1)).softmax(-1) @ v
        x = x + window_reverse(attended.view(-1, 4, 4, 4), 4, 8, 8)
        return self.rgb(x).permute(0, 3, 1, 2)


class AssignedNorm(nn.Module):
    """MUNIT: batch norm in training over [1, batch channels, ...], its weight and bias assigned from a style."""

    weight: Any = None
    bias: Any = None

    def __init__(self, features: int) -> None:
        super().__init__()
        self.num_features = features
        self.register_buffer("running_mean", torch.zeros(features))
        self.register_buffer("running_var", torch.ones(features))

    def forward(self, x: Tensor) -> Tensor:
        assert self.weight is not None, "Please assign weight and bias before calling AdaIN!"
        b, c = x.size(0), x.size(1)
        mean, var = self.running_mean.repeat(b), self.running_var.repeat(b)
        flat = x.contiguous().view(1, b * c, *x.size()[2:])
        return F.batch_norm(flat, mean, var, self.weight, self.bias, True, 0.1, 1e-5).view(b, c, *x.size()[2:])


class Munit(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.content = nn.Sequential(nn.ReflectionPad2d(1), nn.Conv2d(3, 4, 3), nn.InstanceNorm2d(4))
        self.norm, self.out, self.mlp = AssignedNorm(4), nn.Conv2d(4, 3, 1), nn.Linear(5, 8)

    def forward(self, images: Tensor, style: Tensor) -> Tensor:
        parameters = self.mlp(style.view(style.size(0), -1))
        self.norm.bias = parameters[:, :4].contiguous().view(-1)
        self.norm.weight = parameters[:, 4:].contiguous().view(-1)
        return self.out(F.relu(self.norm(self.content(images)), inplace=True))


class OwnSpectralNorm(nn.Module):
    """The spectral norm of 2018, which goes on with its power iteration at every call, in eval mode too."""

    def __init__(self, module: nn.Module, converged: bool) -> None:
        super().__init__()
        self.module = module
        weight = module._parameters.pop("weight")
        assert weight is not None
        height, width = weight.shape[0], weight[0].numel()
        module.register_parameter("weight_u", nn.Parameter(torch.randn(height), requires_grad=False))
        module.register_parameter("weight_v", nn.Parameter(torch.randn(width), requires_grad=False))
        module.register_parameter("weight_bar", nn.Parameter(weight.data))
        for _ in range(300 if converged else 0):
            self._update()

    def _update(self) -> None:
        u, v, w = self.module.weight_u, self.module.weight_v, self.module.weight_bar
        height = w.data.shape[0]
        v.data = F.normalize(torch.mv(torch.t(w.view(height, -1).data), u.data), dim=0)
        u.data = F.normalize(torch.mv(w.view(height, -1).data, v.data), dim=0)
        sigma = u.dot(w.view(height, -1).mv(v))
        self.module.weight = w / sigma.expand_as(w)

    def forward(self, *args: Tensor) -> Any:
        self._update()
        return self.module.forward(*args)


class OldSagan(nn.Module):
    def __init__(self, converged: bool = True) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            OwnSpectralNorm(nn.ConvTranspose2d(6, 8, 4, bias=False), converged),
            nn.ReLU(),
            OwnSpectralNorm(nn.ConvTranspose2d(8, 3, 4, 2, 1, bias=False), converged),
        )

    def forward(self, z: Tensor) -> Any:
        return self.layers(z.view(z.size(0), z.size(1), 1, 1))


class ModConvolution(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.randn(2, 4, 4, 3, 3))

    def forward(self, fmap: Tensor, mod: Tensor, kernel_mod: Tensor | None = None) -> Tensor:
        b = fmap.shape[0]
        assert kernel_mod is not None
        weights = (self.weights[None] * kernel_mod.softmax(-1)[(..., *(None,) * 4)]).sum(1) * (
            mod[:, None, :, None, None] + 1
        )
        out = F.conv2d(
            fmap.reshape(1, -1, *fmap.shape[2:]), weights.reshape(-1, *weights.shape[2:]), padding=1, groups=b
        )
        return out.reshape(b, -1, *out.shape[2:])


class GigaGan(nn.Module):
    """A layer called with a keyword `mod`, and the last of a list returned beside the list."""

    def __init__(self) -> None:
        super().__init__()
        self.style, self.const = nn.Linear(6, 12), nn.Parameter(torch.randn(4, 4, 4))
        self.convs = nn.ModuleList([ModConvolution(), ModConvolution()])
        self.rgb = nn.Conv2d(4, 3, 1)

    def forward(self, noise: Tensor) -> Any:
        mods = iter(self.style(noise).split([4, 2] * 2, dim=-1))
        x, rgbs = self.const.repeat(noise.shape[0], 1, 1, 1), []
        for conv in self.convs:
            x = F.leaky_relu(conv(x, mod=next(mods), kernel_mod=next(mods)), 0.2)
            rgbs.append(self.rgb(x))
            x = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
        return rgbs[-1], rgbs


class WeightBeside(nn.Module):
    """A decoder of VAEs: its learned `sigma` is an output, by its name, and used as well."""

    def __init__(self) -> None:
        super().__init__()
        self.linear, self.sigma = nn.Linear(5, 4), nn.Parameter(torch.rand(4) + 0.1)

    def forward(self, z: Tensor) -> dict[str, Tensor]:
        return {"data": torch.tanh(self.linear(z)) * self.sigma, "sigma": self.sigma}


class FilledBatch(nn.Module):
    """LaMa: results written into the dict that came in, which goes out again with what was in it; the local Fourier
    unit splits height and width into halves.
    """

    def __init__(self) -> None:
        super().__init__()
        self.head, self.spectral = nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect"), nn.Conv2d(8, 8, 1)
        self.out = nn.Conv2d(4, 3, 1)

    def forward(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        image, mask = batch["image"], batch["mask"]
        x = self.head(torch.cat([image * (1 - mask), mask], dim=1))
        c, h = x.shape[1], x.shape[2]
        xs = torch.cat(torch.split(x[:, : c // 4], h // 2, dim=-2), dim=1).contiguous()
        xs = torch.cat(torch.split(xs, h // 2, dim=-1), dim=1).contiguous()
        spectrum = torch.fft.rfftn(xs, dim=(-2, -1), norm="ortho")
        both = F.relu(self.spectral(torch.cat([spectrum.real, spectrum.imag], 1)))
        real, imaginary = torch.chunk(both, 2, dim=1)
        xs = torch.fft.irfftn(torch.complex(real, imaginary), s=xs.shape[-2:], dim=(-2, -1), norm="ortho")
        batch["predicted_image"] = self.out(x + xs.repeat(1, 1, 2, 2))
        batch["inpainted"] = mask * batch["predicted_image"] + (1 - mask) * batch["image"]
        return batch


class HalvesOfAnySize(nn.Module):
    """`chunk` and `split` of a width, by a size and by a list of sizes."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(2, 2, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        left, right = self.conv(x).chunk(2, dim=-1)
        n = left.shape[-1]
        first, rest = torch.split(x, [n - 1, x.shape[-1] - n + 1], -1)
        return torch.cat([right, first, left, rest, *x.split(n, 2)], -1)


class InvertibleConvolution(nn.Module):
    """Glow and SRFlow: a 1x1 convolution inverted at every call, with its log determinant."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.linalg.qr(torch.randn(12, 12))[0] + 0.1 * torch.randn(12, 12))
        self.shift = nn.Conv2d(3, 12, 3, padding=1)

    def forward(self, lr: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        logdet = torch.zeros_like(lr[:, 0, 0, 0]) - torch.slogdet(self.weight)[1] * (z.size(2) * z.size(3))
        weight = torch.inverse(self.weight.double()).float().view(12, 12, 1, 1)
        return F.pixel_shuffle(F.conv2d(z, weight) - self.shift(lr), 2), logdet


class PosedPoints(nn.Module):
    """A camera's matrix inverted, a homography solved for, a volume by its determinant."""

    def __init__(self) -> None:
        super().__init__()
        self.points = nn.Parameter(torch.randn(5, 4))
        self.eye = nn.Parameter(2 * torch.eye(4) + 0.1 * torch.randn(4, 4))

    def forward(self, cam2world: Tensor, offset: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        matrix = 0.3 * cam2world.view(-1, 4, 4) + self.eye
        world2cam = torch.inverse(matrix)
        solved = torch.linalg.solve(matrix[:, :3, :3], offset)
        return self.points @ world2cam.transpose(1, 2), solved, torch.linalg.det(matrix[:, :3, :3])


class TimeGan(nn.Module):
    """Three recurrent networks, each packing what the last one padded; one with two layers, one that goes both ways."""

    def __init__(self, total: bool = True) -> None:
        super().__init__()
        self.total = total
        self.first, self.second = nn.GRU(4, 5, 2, batch_first=True), nn.LSTM(5, 3, batch_first=True, bidirectional=True)
        self.third, self.out = nn.RNN(6, 4), nn.Linear(4, 2)

    def packed(self, rnn: nn.Module, x: Tensor, t: Tensor, first: bool, fill: float = 0.0) -> tuple[Tensor, Any]:
        given = pack_padded_sequence(x, t, batch_first=first, enforce_sorted=False)
        result, state = rnn(given)
        length = x.shape[1 if first else 0] if self.total else None
        return pad_packed_sequence(result, batch_first=first, padding_value=fill, total_length=length)[0], state

    def forward(self, z: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        x, _ = self.packed(self.first, z, t, True)
        x, (hidden, _) = self.packed(self.second, x, t, True, fill=-1.0)
        x, _ = self.packed(self.third, x.transpose(0, 1), t, False)
        return torch.sigmoid(self.out(x.transpose(0, 1))), hidden.transpose(0, 1).reshape(z.size(0), -1)


class PackedFeatures(nn.Module):
    """Features of every packed step changed by a layer of their own before the next network, as in many text encoders;
    or their mean over all real steps taken, where those beyond a sequence's end must not count."""

    def __init__(self, mean: bool = False) -> None:
        super().__init__()
        self.mean, self.between = mean, nn.Sequential(nn.Linear(5, 6), nn.LeakyReLU(0.2))
        self.first, self.second = nn.GRU(4, 5, batch_first=True), nn.LSTM(6, 3, batch_first=True)

    def forward(self, z: Tensor, t: Tensor) -> Tensor:
        hidden, _ = self.first(pack_padded_sequence(z, t, batch_first=True, enforce_sorted=False))
        if self.mean:
            hidden = hidden._replace(data=hidden.data - hidden.data.mean(0, keepdim=True))
        features, rest = self.between(hidden.data).chunk(2, dim=1)
        hidden = hidden._replace(data=torch.cat([features * 2, torch.sigmoid(rest)], -1))
        return pad_packed_sequence(self.second(hidden)[0], batch_first=True, total_length=z.shape[1])[0]


class MirrorCheck(nn.Module):
    """BasicVSR: looks whether the second half of a clip mirrors the first."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, lrs: Tensor) -> Tensor:
        first, second = torch.chunk(lrs, 2, dim=1)
        frames = first if torch.norm(first - second.flip(1)) == 0 else lrs
        return self.conv(frames.flatten(0, 1)).unflatten(0, frames.shape[:2])


LAMA = ({"image": uniform(3, 8, 8, low=0.0), "mask": holes(1, 8, 8)},)

CASES = [
    Case("stylegan3_batch_as_int", BatchAsNumber, normal(6)),
    Case("transgan_windows_reversed_by_int", WindowedGenerator, normal(6)),
    Case("munit_assigned_adain", Munit, (uniform(3, 8, 8), normal(5, 1, 1)), quick=True),
    Case("sagan_spectral_norm_of_its_own", OldSagan, normal(6)),
    Case("sagan_spectral_norm_not_converged", lambda: OldSagan(False), normal(6), refused="changes its own state"),
    Case("gigagan_keyword_mod", GigaGan, normal(6)),
    Case("weight_beside_the_data", WeightBeside, normal(5), rowwise=False),
    Case("lama_batch_filled", FilledBatch, LAMA),
    Case("halves_of_any_size", HalvesOfAnySize, normal(2, 12)),
    Case("srflow_inverse_convolution", InvertibleConvolution, (uniform(3, 4, 6, low=0.0), normal(12, 4, 6))),
    Case("camera_inverted", PosedPoints, (normal(16), normal(3))),
    Case("timegan_packed_layers", TimeGan, (normal(7, 4), lengths(7))),
    Case("packed_to_the_longest", lambda: TimeGan(False), (normal(7, 4), lengths(7)), refused="total_length"),
    Case("packed_features", PackedFeatures, (normal(7, 4), lengths(7))),
    Case("packed_mean", lambda: PackedFeatures(True), (normal(7, 4), lengths(7)), refused="packed sequences.*mean"),
    Case("basicvsr_mirror_check", MirrorCheck, uniform(4, 3, 6, 6), refused=r"value.*torch\.norm"),
]
