"""Growing and many-scale generators: fade-in, equalised learning rates, pyramids, lists of pictures."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from awkward_case import Case, normal, uniform
from torch import Tensor, nn
from torch.nn.utils import parametrize


class HookedScale:
    """Equalised learning rate as rosinality's progressive GAN has it: a forward pre-hook that sets the weight."""

    def __call__(self, module: nn.Module, _: Any) -> None:
        weight = module.weight_orig
        fan_in = weight.data.size(1) * weight.data[0][0].numel()
        module.weight = weight * math.sqrt(2 / fan_in)

    @classmethod
    def apply(cls, module: nn.Module) -> nn.Module:
        weight = module.weight
        del module._parameters["weight"]
        module.register_parameter("weight_orig", nn.Parameter(weight.data.normal_()))
        module.register_forward_pre_hook(cls())
        return module


class Scaled(nn.Module):
    def __init__(self, fan_in: int) -> None:
        super().__init__()
        self.scale = math.sqrt(2 / fan_in)

    def forward(self, weight: Tensor) -> Tensor:
        return weight * self.scale


def parametrised(module: nn.Module) -> nn.Module:
    """The same, as a parametrisation."""
    nn.init.normal_(module.weight)
    return parametrize.register_parametrization(module, "weight", Scaled(module.weight[0].numel()))


class PixelNorm(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x / torch.sqrt(torch.mean(x**2, dim=1, keepdim=True) + 1e-8)


class Stage(nn.Sequential):
    def __init__(self, wide: int, out: int, equal: Any) -> None:
        super().__init__(equal(nn.Conv2d(wide, out, 3, padding=1)), PixelNorm(), nn.LeakyReLU(0.2))


class ProGan(nn.Module):
    """Pixel norms, a stage a resolution, the last two pictures blended by alpha; `step` and `alpha` are attributes."""

    def __init__(self, equal: Any, alpha: float) -> None:
        super().__init__()
        self.step, self.alpha = 2, alpha
        self.input = nn.Sequential(PixelNorm(), equal(nn.ConvTranspose2d(8, 8, 4)), PixelNorm(), nn.LeakyReLU(0.2))
        self.progression = nn.ModuleList(Stage(8, 8, equal) for _ in range(3))
        self.to_rgb = nn.ModuleList(equal(nn.Conv2d(8, 3, 1)) for _ in range(3))

    def forward(self, z: Tensor) -> Tensor:
        out = self.input(z.unsqueeze(2).unsqueeze(3))
        for i, (stage, to_rgb) in enumerate(zip(self.progression, self.to_rgb, strict=True)):
            upsample = F.interpolate(out, scale_factor=2) if i > 0 and self.step > 0 else out
            before, out = out, stage(upsample)
            if i == self.step:
                out = to_rgb(out)
                if i > 0 and 0 <= self.alpha < 1:
                    skip = F.interpolate(self.to_rgb[i - 1](before), scale_factor=2)
                    out = (1 - self.alpha) * skip + self.alpha * out
                break
        return out


class SteppedProGan(ProGan):
    """The step and the fade are arguments, Python numbers."""

    def forward(self, z: Tensor, step: int = 0, alpha: float = -1) -> Tensor:
        self.step, self.alpha = step, alpha
        return super().forward(z)


class FadeIn(nn.Module):
    """Alpha is a buffer, the blend a lerp; the nearest upsampling is a view, an expand and a reshape; z is cold."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("alpha", torch.tensor(0.3))
        self.fc, self.norm = nn.Linear(8, 8 * 4 * 4), PixelNorm()
        self.old, self.new = nn.Conv2d(8, 3, 1), nn.Conv2d(8, 3, 3, padding=1)

    @staticmethod
    def upscale2d(x: Tensor) -> Tensor:
        s = x.size()
        x = x.view(-1, s[1], s[2], 1, s[3], 1)
        x = x.expand(-1, s[1], s[2], 2, s[3], 2)
        return x.contiguous().view(-1, s[1], s[2] * 2, s[3] * 2)

    def forward(self, z: Tensor) -> Tensor:
        x = self.norm(self.fc(z * 1e-4).view(-1, 8, 4, 4) * 1e-4)  # small enough for the eps of 1e-8 to count
        x = self.upscale2d(x)
        return torch.lerp(self.old(x), self.new(x), self.alpha)


class MsgGan(nn.Module):
    """A picture from every scale, in a list."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.ConvTranspose2d(8, 8, 4)
        self.layers = nn.ModuleList(nn.Conv2d(8, 8, 3, padding=1) for _ in range(3))
        self.converters = nn.ModuleList(nn.Conv2d(8, 3, 1) for _ in range(4))
        self.norm = PixelNorm()

    def forward(self, x: Tensor) -> list[Tensor]:
        outputs = []
        y = self.norm(self.first(x.view(x.shape[0], -1, 1, 1)))
        outputs.append(self.converters[0](y))
        for block, converter in zip(self.layers, self.converters[1:], strict=True):
            y = self.norm(F.leaky_relu(block(F.interpolate(y, scale_factor=2)), 0.2))
            outputs.append(converter(y))
        return outputs


class ByResolution(nn.Module):
    """Modules in a dict keyed by resolution, run from 4 to the largest; residuals summed over the scales."""

    def __init__(self) -> None:
        super().__init__()
        self.resolutions = [2**i for i in range(2, 5)]
        self.blocks = nn.ModuleDict({str(r): nn.Conv2d(8, 8, 3, padding=1) for r in self.resolutions})
        self.torgb = nn.ModuleDict({f"{r}x{r}": nn.Conv2d(8, 3, 1) for r in self.resolutions})
        self.const = nn.Parameter(torch.randn(8, 4, 4))
        self.style = nn.Linear(8, 8)

    def forward(self, ws: Tensor) -> dict[str, Tensor]:
        x = img = None
        pictures = {}
        for res in self.resolutions:
            w = self.style(ws)[:, :, None, None]
            if x is None:
                x = self.const.unsqueeze(0).repeat([ws.shape[0], 1, 1, 1])
            else:
                x = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
            x = F.leaky_relu(self.blocks[str(res)](x * (1 + w)), 0.2)
            y = self.torgb[f"{res}x{res}"](x)
            img = y if img is None else F.interpolate(img, scale_factor=2, mode="bilinear", align_corners=False) + y
            pictures[f"image_{res}"] = img
        return pictures


class Lapgan(nn.Module):
    """A coarse picture and a noise for each level; the picture grows by a residual a level."""

    def __init__(self) -> None:
        super().__init__()
        self.levels = nn.ModuleList(nn.Conv2d(4, 3, 3, padding=1) for _ in range(2))

    def forward(self, coarse: Tensor, *noises: Tensor) -> Tensor:
        image = coarse
        for level, noise in zip(self.levels, noises, strict=True):
            up = F.interpolate(image, scale_factor=2, mode="bilinear", align_corners=True)
            image = up + torch.tanh(level(torch.cat([up, noise], dim=1)))
        return image


class SinGan(nn.Module):
    """A list of noises, unpadded convolutions on padded pictures, bicubic growth to sizes that are no multiple."""

    def __init__(self, scale: float = 0.75, levels: int = 3) -> None:
        super().__init__()
        self.sizes = [math.ceil(16 * scale ** (levels - 1 - i)) for i in range(levels)]
        self.amplitudes = [1.0, 0.3, 0.1]
        self.bodies = nn.ModuleList(
            nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.LeakyReLU(0.2), nn.Conv2d(4, 3, 3), nn.Tanh())
            for _ in range(levels)
        )
        self.pad = nn.ZeroPad2d(2)

    def forward(self, noises: list[Tensor]) -> Tensor:
        image = torch.zeros_like(noises[0])
        for size, noise, amplitude, body in zip(self.sizes, noises, self.amplitudes, self.bodies, strict=True):
            image = F.interpolate(image, size=(size, size), mode="bicubic", align_corners=True)
            image = image[:, :, 0 : noise.shape[2], 0 : noise.shape[3]]
            image = body(self.pad(amplitude * noise + image)) + image
        return image


class StackGan(nn.Module):
    """Three stages, each fed by the hidden features of the one before; condition means, no noise in eval."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(5, 10)
        self.start = nn.Sequential(nn.Linear(5 + 6, 16 * 16, bias=False), nn.BatchNorm1d(16 * 16), nn.GLU(1))
        self.joint = nn.ModuleList(nn.Sequential(nn.Conv2d(8 + 5, 16, 3, padding=1), nn.GLU(1)) for _ in range(2))
        self.images = nn.ModuleList(nn.Conv2d(8, 3, 3, padding=1) for _ in range(3))

    def reparametrize(self, mu: Tensor, logvar: Tensor) -> Tensor:
        if not self.training:
            return mu
        return torch.randn_like(mu) * torch.exp(0.5 * logvar) + mu

    def forward(self, noise: Tensor, embedding: Tensor) -> tuple[list[Tensor], Tensor, Tensor]:
        mu, logvar = self.fc(embedding).chunk(2, 1)
        code = self.reparametrize(mu, logvar)
        h = self.start(torch.cat((noise, code), 1)).view(-1, 8, 4, 4)
        fake = [torch.tanh(self.images[0](h))]
        for joint, image in zip(self.joint, list(self.images)[1:], strict=True):
            spread = code.view(-1, 5, 1, 1).repeat(1, 1, h.size(2), h.size(3))
            h = F.interpolate(joint(torch.cat((spread, h), 1)), scale_factor=2)
            fake.append(torch.tanh(image(h)))
        return fake, mu, logvar


CASES = [
    Case("progan_hooked_equal_rate", lambda: ProGan(HookedScale.apply, -1.0), normal(8)),
    Case("progan_fading_in", lambda: ProGan(HookedScale.apply, 0.25), normal(8)),
    Case("progan_parametrised_equal_rate", lambda: ProGan(parametrised, 0.75), normal(8)),
    Case("progan_step_and_alpha_given", lambda: SteppedProGan(parametrised, 1.0), (normal(8), 1, 0.5)),
    Case("pixel_norm_of_tiny_values", FadeIn, normal(8)),
    Case("msg_gan_list_of_scales", MsgGan, normal(8)),
    Case("pictures_by_resolution_dict", ByResolution, normal(8)),
    Case("lapgan_variadic_noises", Lapgan, (uniform(3, 4, 4), normal(1, 8, 8), normal(1, 16, 16))),
    Case("singan_noise_list", SinGan, ([normal(3, 9, 9), normal(3, 12, 12), normal(3, 16, 16)],)),
    Case("stackgan_three_stages", StackGan, (normal(6), normal(5))),
]
