"""The package spandrel as ganrt uses it: with or without torchvision, and its networks in a form that can be traced.

Each change leaves the network's function as it is. What is changed is what a tracer makes constants of, or fails on.
"""

from __future__ import annotations

import enum
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Any, Final, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ganrt.errors import ExportError, MissingExtra

__all__ = ["CALLS", "Call", "ModulatedConvolution", "SpectralConvolution", "join_windows", "package", "traceable"]

Call: TypeAlias = Callable[..., Tensor]


@cache
def package() -> Any:
    """spandrel, with `join_windows` in place of its own. Raises MissingExtra."""
    command = "pip install 'ganrt[restoration]'"
    if find_spec("spandrel") is None:
        raise MissingExtra(f"Super-resolution and restoration networks need spandrel; install it with: {command}")
    try:
        with _some_torchvision():
            spandrel = import_module("spandrel")
    except ImportError as problem:
        raise MissingExtra(f"spandrel cannot be used here ({problem}); install it anew: {command}") from problem
    for name, module in list(sys.modules.items()):
        if name.startswith("spandrel.architectures."):
            for function in ("window_reverse", "windows2img"):
                if hasattr(module, function):
                    setattr(module, function, join_windows)
    return spandrel


def join_windows(windows: Tensor, *sizes: int | Sequence[int]) -> Tensor:
    """Windows of Swin-like networks -> pictures [batch, height, width, channels].

    `sizes`: of the window, one or two, and the picture's two. The networks' own functions compute the batch as a
    quotient of sizes, rounded in Python; in a graph that is the batch of the example, for ever.
    """
    numbers: list[int] = []
    for size in sizes:
        numbers.extend(size if isinstance(size, tuple | list) else [size])  # type: ignore[list-item]
    down, across, height, width = numbers if len(numbers) == 4 else (numbers[0], *numbers)
    channels = windows.shape[-1]
    split = windows.view(-1, height // down, width // across, down, across, channels)
    return split.permute(0, 1, 3, 2, 4, 5).reshape(-1, height, width, channels)


# Networks


def traceable(network: nn.Module) -> nn.Module:
    """`network` itself, in eval mode, with the parts replaced that cannot be traced as they are."""
    parent: Any
    part: Any
    for parent in list(network.modules()):
        for name, part in list(parent.named_children()):
            if hasattr(part, "update_params") and isinstance(getattr(part, "eval_conv", None), nn.Module):
                part.update_params()  # SPAN computes one convolution of four at every call
                setattr(parent, name, nn.Sequential(part.eval_conv, *([nn.LeakyReLU(0.05)] if part.has_relu else [])))
            elif type(part).__name__ == "ModulatedConv2d" and hasattr(part, "demodulate"):
                setattr(parent, name, ModulatedConvolution(part))
            elif type(part).__name__ == "FourierUnit" and not (part.ffc3d or part.use_se or part.spectral_pos_encoding):
                setattr(parent, name, SpectralConvolution(part))
        if isinstance(getattr(parent, "density_k", None), nn.Parameter):  # HVI-CIDNet: a weight used as an exponent
            exponent = _Number(parent.density_k.item())
            del parent.density_k
            parent.density_k = exponent
    return network.eval().requires_grad_(False)


class ModulatedConvolution(nn.Module):
    """StyleGAN2's convolution (Karras et al. 2020, arXiv:1912.04958) of a batch, scaling what goes in and comes out.

        weight w s, demodulated:  y = conv(x, d w s) = d conv(s x, w),   d = 1 / sqrt(sum over inputs of s^2 w^2 + eps)

    `part` scales weights, a set for each sample, in groups: a graph would hold the batch as their fixed number.
    """

    def __init__(self, part: Any) -> None:
        super().__init__()
        self.modulation, self.eps, self.demodulate = part.modulation, part.eps, part.demodulate
        self.resample = {"upsample": 2.0, "downsample": 0.5}.get(part.sample_mode)
        self.weight = nn.Parameter(part.weight.detach()[0], requires_grad=False)
        self.squares = nn.Parameter(self.weight.square().sum((2, 3)), requires_grad=False)

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        scale = self.modulation(style)
        x = x * scale[:, :, None, None]
        if self.resample is not None:
            x = F.interpolate(x, scale_factor=self.resample, mode="bilinear", align_corners=False)
        y = F.conv2d(x, self.weight, padding=self.weight.shape[-1] // 2)
        if self.demodulate:
            y = y * torch.rsqrt(F.linear(scale.square(), self.squares) + self.eps)[:, :, None, None]
        return y


class SpectralConvolution(nn.Module):
    """LaMa's convolution of a picture's spectrum (Suvorov et al. 2022, arXiv:2109.07161), the transforms as matrices.

    The transforms of real pictures, along one axis and the other, and back with +i:

        X = F_height x F_width,   F[j, k] = exp(-2 pi i j k / n) / sqrt(n),   k of width only 0 .. n / 2

    They are small, an eighth of the picture; engines lack the operation DFT, or take it for even widths only.
    """

    def __init__(self, part: Any) -> None:
        super().__init__()
        self.convolution, self.norm, self.rescale = part.conv_layer, part.bn, part.spatial_scale_factor

    def forward(self, x: Tensor) -> Tensor:
        size = x.shape[-2:]
        if self.rescale is not None:
            x = F.interpolate(x, scale_factor=self.rescale, mode="bilinear", align_corners=False)
        height, width = x.shape[-2:]
        (down_cos, down_sin), (cos, sin) = _waves(height, height), _waves(width, width // 2 + 1)
        real, imaginary = x @ cos, -(x @ sin)
        real, imaginary = down_cos @ real + down_sin @ imaginary, down_cos @ imaginary - down_sin @ real
        spectrum = torch.stack([real, imaginary], dim=2).flatten(1, 2)
        spectrum = F.relu(self.norm(self.convolution(spectrum)))
        real, imaginary = spectrum[:, 0::2], spectrum[:, 1::2]
        real, imaginary = down_cos @ real - down_sin @ imaginary, down_cos @ imaginary + down_sin @ real
        k = torch.arange(width // 2 + 1)
        times = torch.where((k == 0) | (2 * k == width), 1.0, 2.0)  # how often each is in the whole spectrum
        x = (real * times) @ cos.T - (imaginary * times) @ sin.T
        return x if self.rescale is None else F.interpolate(x, size=size, mode="bilinear", align_corners=False)


def _waves(size: int, count: int) -> tuple[Tensor, Tensor]:
    """cos and sin of 2 pi j k / size, by sqrt(size), float32 [size, count]; j k is reduced while it is a whole one."""
    j, k = torch.arange(size), torch.arange(count)
    n = j[-1] + 1  # the size as a tensor, which the exporter takes where it takes no size
    angle = (j[:, None] * k % n).float() * (2 * math.pi) / n
    return torch.cos(angle) / n.sqrt(), torch.sin(angle) / n.sqrt()


class _Number(float):
    """A number where a tensor of one number was."""

    def item(self) -> float:
        return float(self)


def _plain(network: nn.Module, image: Tensor) -> Tensor:
    result: Tensor = network(image)
    return result


def _with_noise_level(network: nn.Module, image: Tensor) -> Tensor:
    """DRUNet and FDnCNN take the noise's standard deviation as one more channel; spandrel's is for a batch of one."""
    if getattr(network, "mode", "") == "DnCNN":  # the one that is not told
        return _plain(network, image)
    return _plain(network, torch.cat([image, torch.full_like(image[:, :1], 15 / 255)], dim=1))


def _face(network: nn.Module, image: Tensor) -> Tensor:
    """GFPGAN works in -1 .. 1, as its authors feed it; spandrel 0.4 feeds it 0 .. 1, and new noise every time."""
    result: Tensor = network(image * 2 - 1, randomize_noise=False)[0]
    return (result + 1) / 2


def _by_eights(network: nn.Module, image: Tensor) -> Tensor:
    """FBCNN repeats the last pixels up to a multiple of 8, by as many as the example had; here by as many as it takes.

    Of its two results the second is the quality that it saw.
    """
    height, width = image.shape[-2:]
    for axis, size in ((-2, height), (-1, width)):
        image = image.index_select(axis, torch.arange((size + 7) // 8 * 8).clamp(max=size - 1))
    result: Tensor = network(image)[0]
    return result[..., :height, :width]


CALLS: Final[dict[str, Call]] = {
    "DRUNet": _with_noise_level,
    "DnCNN": _with_noise_level,
    "FBCNN": _by_eights,
    "GFPGAN": _face,
}


# torchvision


@contextmanager
def _some_torchvision() -> Iterator[None]:
    """torchvision, or, while this lasts, something with the three names that spandrel takes from it."""
    try:
        import_module("torchvision.transforms.functional")
    except Exception:  # noqa: BLE001  absent; or built for another PyTorch, which shows as any error at all
        ours = _stand_in()
    else:
        yield
        return
    half = {name: sys.modules.pop(name) for name in list(sys.modules) if f"{name}.".startswith("torchvision.")}
    sys.modules.update(ours)
    try:
        yield
    finally:  # the exporter of PyTorch looks for torchvision, too
        for name in ours:
            del sys.modules[name]
        sys.modules.update(half)


def _stand_in() -> dict[str, ModuleType]:
    names = ("torchvision", "torchvision.transforms", "torchvision.transforms.functional")
    modules = {name: ModuleType(name) for name in names}
    vars(modules[names[-1]]).update(InterpolationMode=_InterpolationMode, normalize=_normalize, rotate=_rotate)
    return modules


class _InterpolationMode(enum.Enum):
    BILINEAR = "bilinear"


def _normalize(tensor: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """[..., channels, height, width], each channel less its mean, by its deviation."""
    shift, scale = (torch.tensor(list(values)).to(tensor)[:, None, None] for values in (mean, std))
    return (tensor - shift) / scale


def _rotate(*_: object, **__: object) -> Tensor:
    raise ExportError("This LaMa turns its features, for which torchvision is needed; install the one of this PyTorch.")
