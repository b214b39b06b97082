"""Fourier transforms, spectrograms and complex numbers in real arithmetic."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
import onnx
import pytest
import torch
import torch.nn.functional as F
from hypothesis import assume, given
from hypothesis import strategies as st
from substitute_case import assert_exported, assert_near, assert_same, exported, numbers, run
from torch import Tensor, nn

from ganrt_export.substitutes import Substitutes

NORMS = st.sampled_from([None, "backward", "ortho", "forward"])
WINDOW = torch.hann_window(16)


def two(*shape: int) -> tuple[Tensor, Tensor]:
    return numbers(*shape, seed=1), numbers(*shape, seed=2)


@given(length=st.integers(1, 40), n=st.one_of(st.none(), st.integers(1, 40)), dim=st.integers(0, 2), norm=NORMS)
def test_one_axis_is_transformed_as_pytorch_does(length: int, n: int | None, dim: int, norm: str | None) -> None:
    shape = [2, 3, 2]
    shape[dim] = length
    real, imaginary = two(*shape)
    z = torch.complex(real, imaginary)
    assert_same(lambda x: torch.fft.rfft(x, n, dim, norm), real)
    assert_same(lambda x: torch.fft.fft(x, n, dim, norm), real)
    assert_same(lambda z: torch.fft.fft(z, n, dim, norm), z)
    assert_same(lambda z: torch.fft.ifft(z, n, dim, norm), z)
    assume(n is not None or length > 1)
    assert_same(lambda z: torch.fft.irfft(z, n, dim, norm), z)


@given(height=st.integers(2, 12), width=st.integers(2, 12), norm=NORMS, s=st.sampled_from([None, (5, 8), (9, 3)]))
def test_two_axes_are_transformed_as_pytorch_does(height: int, width: int, norm: str | None, s) -> None:
    x, y = two(2, 3, height, width)
    z = torch.complex(x, y)
    for transform in (torch.fft.rfft2, torch.fft.fft2):
        assert_same(lambda x, transform=transform: transform(x, s=s, norm=norm), x)
    for transform in (torch.fft.irfft2, torch.fft.ifft2):
        assert_same(lambda z, transform=transform: transform(z, s=s, norm=norm), z)
    for transform in (torch.fft.irfftn, torch.fft.ifftn, torch.fft.fftn):
        assert_same(lambda z, transform=transform: transform(z, s=s, dim=(-1, -2), norm=norm), z)


@given(length=st.integers(1, 9))
def test_shifts_and_frequencies(length: int) -> None:
    x = numbers(2, length, 3)
    assert_same(lambda x: torch.fft.fftshift(x), x, tolerance=0)
    assert_same(lambda x: torch.fft.ifftshift(torch.complex(x, x), dim=1), x, tolerance=0)
    assert_same(lambda x: torch.fft.fftfreq(x.shape[1], 0.5), x)
    assert_same(lambda x: torch.fft.rfftfreq(x.shape[1]), x)


@given(
    size=st.integers(4, 20), hop=st.integers(1, 12), extra=st.integers(0, 40), centre=st.booleans(),
    normalized=st.booleans(), onesided=st.booleans(), shorter=st.integers(0, 3), batched=st.booleans(),
)  # fmt: skip
def test_a_spectrogram_is_pytorchs(
    size: int, hop: int, extra: int, centre: bool, normalized: bool, onesided: bool, shorter: int, batched: bool
) -> None:
    x = numbers(2, 2 * size + extra)
    options: dict[str, Any] = {
        "n_fft": size, "hop_length": hop, "win_length": size - shorter, "center": centre, "normalized": normalized,
        "window": torch.hamming_window(size - shorter), "onesided": onesided, "return_complex": True,
    }  # fmt: skip
    assert_same(lambda x: torch.stft(x, **options), x if batched else x[0])


@given(
    size=st.integers(4, 20), hop=st.integers(1, 12), frames=st.integers(2, 9), centre=st.booleans(),
    normalized=st.booleans(), onesided=st.booleans(), batched=st.booleans(),
    length=st.one_of(st.none(), st.integers(1, 60)),
)  # fmt: skip
def test_the_inverse_of_a_spectrogram_is_pytorchs(
    size: int, hop: int, frames: int, centre: bool, normalized: bool, onesided: bool, batched: bool, length: int | None
) -> None:
    z = torch.complex(*two(2, size // 2 + 1 if onesided else size, frames))
    z = z if batched else z[0]
    options: dict[str, Any] = {
        "n_fft": size, "hop_length": hop, "window": torch.hamming_window(size), "center": centre, "length": length,
        "normalized": normalized, "onesided": onesided,
    }  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch's, of zeros after the end
        try:
            torch.istft(z, **options)
        except RuntimeError:
            assume(False)  # PyTorch refuses frames that leave gaps
        assert_same(lambda z: torch.istft(z, **options), z)


@given(rows=st.integers(1, 5), columns=st.integers(2, 5), seed=st.integers(0, 9))
def test_arithmetic_of_complex_numbers_is_pytorchs(rows: int, columns: int, seed: int) -> None:
    x, y = numbers(rows, columns, seed=seed), numbers(rows, columns, seed=seed + 10)

    def chain(x: Tensor, y: Tensor) -> list[Tensor]:
        z, w = torch.complex(x, y), x.exp() * torch.exp(1j * y)
        results = [
            z * w, z + w, z - x, 2 - z, z / (w + 3), 1 / (w + 2), z.conj() * 1j, -z, z**2, z.abs() ** 2, w.angle(),
            torch.polar(x.abs(), y), torch.cat([z, w], 1), torch.stack((z, w)), F.pad(z, (1, 2)), z[:, 1:], z.mT,
            z.transpose(0, 1).reshape(-1), z.sum(0), z.mean(1), (z * 1j).real, (z + 2j).imag, z.unsqueeze(0).squeeze(),
            torch.einsum("ab,cb->ac", z, w), z @ w.mT, z @ y.mT.to(z.dtype), torch.view_as_real(z * 1j),
            torch.view_as_complex(torch.stack([x, y], -1)), z.flip(1), (1j * x).imag, *z.chunk(2, 1), z * (3 + 0j),
        ]  # fmt: skip
        return [torch.view_as_real(one.resolve_conj()) if one.is_complex() else one for one in results]

    assert_same(chain, x, y)


def test_writing_into_a_complex_tensor_is_seen() -> None:
    def written(x: Tensor) -> Tensor:
        z = torch.complex(x, x)
        z[:, 0] = 5
        z *= 2
        return torch.view_as_real(z * 1j)

    assert_same(written, numbers(2, 3))


def test_the_angle_of_a_point_on_the_left_is_pi_and_not_minus_pi() -> None:
    y = torch.tensor([[0.0, 1, 0, 0, -1, -0.0, 1e-30]])
    x = torch.tensor([[0.0, 0, 1, -1, 0, -1, -1]])
    graph = exported(torch.atan2, (y.repeat(2, 1), x.repeat(2, 1)))
    assert_near(run(graph, (y, x))[0], torch.atan2(y, x).numpy())
    whole = torch.tensor([-1, 0, 1])
    assert_same(lambda a: torch.atan2(a, -a), whole)


def test_the_first_and_last_bins_of_a_real_signal_have_the_angle_0_or_pi() -> None:
    with Substitutes():
        angles = torch.fft.rfft(numbers(50, 16)).angle()
    ends = torch.cat([angles[:, 0], angles[:, -1]])
    assert set(ends.tolist()) <= {0.0, float(torch.tensor(math.pi))}


class VocosHead(nn.Module):
    """Magnitude and phase to sound, with "same" padding: overlap-add by fold and a checked envelope."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("window", torch.hann_window(16))

    def forward(self, x: Tensor) -> Tensor:
        magnitude, phase = x.chunk(2, dim=1)
        spectrum = torch.exp(magnitude).clip(max=1e2) * (torch.cos(phase) + 1j * torch.sin(phase))
        frames = torch.fft.irfft(spectrum, 16, dim=1, norm="backward") * self.window[None, :, None]
        count = spectrum.shape[2]
        shape = {"output_size": (1, (count - 1) * 4 + 16), "kernel_size": (1, 16), "stride": (1, 4)}
        signal = F.fold(frames, **shape)[:, 0, 0, 6:-6]
        squares = self.window.square().expand(1, count, -1).transpose(1, 2)
        return signal / F.fold(squares, **shape).squeeze()[6:-6]


class IstftNet(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        magnitude, phase = x[:, :9].exp(), torch.sin(x[:, 9:])
        return torch.istft(magnitude * torch.exp(phase * 1j), 16, 4, 16, window=WINDOW.to(magnitude.device))


class FourierUnit(nn.Module):
    """LaMa's."""

    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.Conv2d(6, 6, 1)

    def forward(self, x: Tensor) -> Tensor:
        batch, _, height, width = x.shape
        spectrum = torch.fft.rfftn(x, dim=(-2, -1), norm="ortho")
        both = torch.stack((spectrum.real, spectrum.imag), -1).permute(0, 1, 4, 2, 3).contiguous()
        both = torch.relu(self.mix(both.view(batch, -1, *both.shape[3:])))
        both = both.view(batch, -1, 2, *both.shape[2:]).permute(0, 1, 3, 4, 2).contiguous()
        return torch.fft.irfftn(
            torch.complex(both[..., 0], both[..., 1]), s=(height, width), dim=(-2, -1), norm="ortho"
        )


EXPORTED = {
    "Vocos": (VocosHead(), lambda batch: (numbers(batch, 18, 12 + batch),), (0, 2)),
    "iSTFTNet": (IstftNet(), lambda batch: (numbers(batch, 18, 12),), (0,)),
    "iSTFTNet, any length": (IstftNet(), lambda batch: (numbers(batch, 18, 12 + batch),), (0, 2)),
    "LaMa": (FourierUnit(), lambda batch: (numbers(batch, 3, 8, 10),), (0,)),
    "LaMa, any size": (FourierUnit(), lambda batch: (numbers(batch, 3, 6 + 2 * batch, 8 + 2 * batch),), (0, 2, 3)),
    "spectrogram": (
        lambda x: torch.stft(x, 16, 5, window=WINDOW, return_complex=True).abs(),
        lambda batch: (numbers(batch, 64 + 5 * batch),),
        (0, 1),
    ),
    "shift": (lambda x: torch.fft.fftshift(x, dim=1), lambda batch: (numbers(batch, 9),), (0,)),
    "frequencies": (lambda x: x * torch.fft.rfftfreq(16), lambda batch: (numbers(batch, 9),), (0,)),
}


@pytest.mark.parametrize("name", EXPORTED)
def test_a_graph_has_it_in_real_arithmetic_for_every_batch(name: str) -> None:
    function, inputs, axes = EXPORTED[name]
    operations = assert_exported(function, inputs, axes, opset=18 if name == "LaMa" else 20)
    assert not {"DFT", "STFT", "Col2Im"} & set(operations)


def test_a_long_transform_is_left_to_the_graph() -> None:
    graph = exported(lambda x: torch.fft.rfft(x).abs(), (numbers(2, 4096),))
    assert "DFT" in [node.op_type for node in onnx.load_from_string(graph).graph.node]
    x = numbers(3, 4096)
    assert_near(run(graph, (x,))[0], np.abs(np.fft.rfft(x.numpy())).astype(np.float32))
