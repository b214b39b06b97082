"""Each substitute gives what PyTorch's own function gives, and a module that uses it exports for any batch at once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from ganrt_export import export_generator
from ganrt_export.substitutes import Substitutes

WINDOW = torch.hann_window(16)


def per_sample_convolution(x: Tensor) -> Tensor:
    """StyleGAN2's: one group for each sample."""
    batch, channels = x.shape[:2]
    weight = (
        torch.linspace(-1, 1, 6 * channels * 9).reshape(1, 6, channels, 3, 3) * x.mean((2, 3))[:, None, :, None, None]
    )
    folded = x.reshape(1, batch * channels, *x.shape[2:])
    weights = weight.reshape(batch * 6, channels, 3, 3)
    return F.conv2d(folded, weights, padding=1, groups=batch).reshape(batch, 6, *x.shape[2:])


def vocoder_head(x: Tensor) -> Tensor:
    magnitude, phase = (
        x.flatten(2)[:, :1, : 9 * 7].reshape(-1, 9, 7).exp(),
        x.flatten(2)[:, 1, : 9 * 7].reshape(-1, 9, 7),
    )
    spectrum = magnitude * (torch.cos(phase) + 1j * torch.sin(phase))
    return torch.istft(spectrum, 16, hop_length=4, window=WINDOW)


def fourier_unit(x: Tensor) -> Tensor:
    spectrum = torch.fft.rfftn(x, dim=(-2, -1), norm="ortho")
    parts = torch.stack((spectrum.real, spectrum.imag), -1) * torch.tensor([0.5, 2.0])
    return torch.fft.irfftn(torch.complex(parts[..., 0], parts[..., 1]), s=x.shape[-2:], dim=(-2, -1), norm="ortho")


FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "nearest to no multiple": lambda x: F.interpolate(x, size=(11, 5), mode="nearest"),
    "nearest-exact": lambda x: F.interpolate(x, scale_factor=1.7, mode="nearest-exact"),
    "bilinear, antialiased": lambda x: F.interpolate(x, size=(5, 6), mode="bilinear", antialias=True),
    "bicubic, antialiased, aligned": lambda x: F.interpolate(
        x, size=(5, 13), mode="bicubic", antialias=True, align_corners=True
    ),
    "bilinear by a factor": lambda x: F.interpolate(x, scale_factor=1.3, mode="bilinear", align_corners=False),
    "area": lambda x: F.interpolate(x, size=(3, 5), mode="area"),
    "adaptive average": lambda x: F.adaptive_avg_pool2d(x, (3, 5)),
    "adaptive maximum": lambda x: F.adaptive_max_pool2d(x, (3, 5)),
    "one group a sample": per_sample_convolution,
    "inverse short-time Fourier transform": vocoder_head,
    "Fourier convolution": fourier_unit,
    "spectrogram": lambda x: torch.stft(x.flatten(1), 16, hop_length=4, window=WINDOW, return_complex=True).abs(),
    "running product": lambda x: x.cumprod(-1),
    "running maximum": lambda x: x.cummax(2).values,
    "median": lambda x: x.median(-1).values,
    "search": lambda x: torch.searchsorted(x.sort(-1).values.contiguous(), x.contiguous()).float(),
    "distances": lambda x: torch.cdist(x[:, 0], x[:, 1]),
    "attention with a mask": lambda x: F.scaled_dot_product_attention(
        x[:, 0], x[:, 1], x[:, 2], torch.ones(8, 8).tril()
    ),
    ".data": lambda x: x.data * 2,
}


@pytest.mark.parametrize("name", FUNCTIONS)
@settings(max_examples=8)
@given(seed=st.integers(0, 1000), batch=st.integers(1, 4))
def test_it_is_the_function_of_pytorch(name: str, seed: int, batch: int) -> None:
    x = torch.randn(batch, 3, 8, 8, generator=torch.Generator().manual_seed(seed))
    expected = FUNCTIONS[name](x)
    with Substitutes():
        found = FUNCTIONS[name](x)
    assert found.shape == expected.shape
    assert float((found - expected).abs().max()) <= 2e-5 * max(1.0, float(expected.abs().max()))


@pytest.mark.slow
@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_module_that_uses_it_is_traced_for_any_batch(name: str, tmp_path: Path) -> None:
    class Module(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return FUNCTIONS[name](x * 2)

    bundle = export_generator(
        Module().eval(), tmp_path / "x.ganrt", example_inputs=torch.randn(2, 3, 8, 8), sizes="fixed"
    )
    assert bundle.manifest.provenance["traced"] == "traced"
