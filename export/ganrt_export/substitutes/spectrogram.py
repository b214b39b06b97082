"""`torch.stft` and `torch.istft` in real arithmetic: frames, one matrix product, overlap-add.

Plain export writes an istft that no engine loads, and an stft that TensorRT has no operation for.

A frame is r = ceil(n_fft / hop) blocks of hop samples. The signal is cut into blocks and frame t joins blocks t .. t +
r - 1; overlap-add is the same read backwards: the i-th blocks of all frames, shifted by i blocks, are added up. The
inverse divides by the overlap-added squared window (Griffin and Lim 1984) as PyTorch does. All of it holds for a
length that the graph only knows when it runs. `F.fold` of windows one row high is an overlap-add too, without the
Col2Im that TensorRT lacks.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ._tools import Handlers, known, table
from .complexes import join, pair
from .fourier import fft as full_fft
from .fourier import irfft, rfft

__all__ = ["HANDLERS", "fold", "istft", "overlap_add", "stft"]


def stft(
    input: Tensor,
    n_fft: int,
    hop_length: int | None = None,
    win_length: int | None = None,
    window: Tensor | None = None,
    center: bool = True,
    pad_mode: str = "reflect",
    normalized: bool = False,
    onesided: bool | None = None,
    return_complex: bool | None = None,
    align_to_window: bool | None = None,
) -> Any:
    """Real [batch, length] or [length] -> complex [batch, bins, frames], or with a last axis of two parts."""
    if return_complex is None or align_to_window is not None or not input.is_floating_point():
        return NotImplemented
    if not known(n_fft) or (window is not None and window.is_complex()):
        return NotImplemented
    hop = n_fft // 4 if hop_length is None else hop_length
    signal = input if input.dim() == 2 else input[None]
    if center:
        signal = F.pad(signal[:, None], (n_fft // 2, n_fft // 2), mode=pad_mode)[:, 0]
    framed = _frames(signal, n_fft, hop)
    weights = _window(window, win_length, n_fft, input)
    framed = framed if weights is None else framed * weights
    transform, native = (full_fft, torch.fft.fft) if onesided is False else (rfft, torch.fft.rfft)
    result = transform(framed, n_fft)
    real, imaginary = pair(native(framed, n_fft) if result is NotImplemented else result)
    scale = n_fft**-0.5 if normalized else 1
    real, imaginary = (scale * part.transpose(1, 2) for part in (real, imaginary))
    if input.dim() == 1:
        real, imaginary = real[0], imaginary[0]
    return join(real, imaginary) if return_complex else torch.stack([real, imaginary], -1)


def istft(
    input: Tensor,
    n_fft: int,
    hop_length: int | None = None,
    win_length: int | None = None,
    window: Tensor | None = None,
    center: bool = True,
    normalized: bool = False,
    onesided: bool | None = None,
    length: Any = None,
    return_complex: bool = False,
) -> Any:
    """Complex [batch, bins, frames] or [bins, frames] -> real [batch, samples]; the window must cover all of them."""
    if return_complex or not input.is_complex() or not known(n_fft) or (window is not None and window.is_complex()):
        return NotImplemented
    hop = n_fft // 4 if hop_length is None else hop_length
    real, imaginary = (part if part.dim() == 3 else part[None] for part in pair(input))
    half = n_fft // 2 + 1  # of a two-sided one PyTorch reads the first half
    spectrum = join(real[:, :half].transpose(1, 2), imaginary[:, :half].transpose(1, 2))
    framed = irfft(spectrum, n_fft)
    framed = torch.fft.irfft(spectrum, n_fft) if framed is NotImplemented else framed
    weights = _window(window, win_length, n_fft, real)
    weights = torch.ones(n_fft, dtype=real.dtype) if weights is None else weights
    signal = overlap_add(framed * (weights * n_fft**0.5 if normalized else weights), hop)
    covered = overlap_add((weights * weights).expand(1, framed.shape[1], n_fft), hop)
    whole_length = n_fft + hop * (framed.shape[1] - 1)
    start = n_fft // 2 if center else 0
    end = start + length if length is not None else whole_length - start
    signal, covered = signal[:, start:end], covered[:, start:end]
    signal = signal / covered
    if length is not None and not (known(end, whole_length) and end <= whole_length):
        signal = F.pad(signal, (0, torch.sym_max(end - whole_length, 0)))
    return signal if input.dim() == 3 else signal[0]


def overlap_add(frames: Tensor, hop: int) -> Tensor:
    """[batch, frames, size] -> [batch, size + hop (frames - 1)]: frame t is added at hop t."""
    batch, count, size = frames.shape
    blocks = math.ceil(size / hop)
    if blocks * hop != size:
        frames = F.pad(frames, (0, blocks * hop - size))
    pieces = frames.reshape(batch, count, blocks, hop)
    total = F.pad(pieces[:, :, 0], (0, 0, 0, blocks - 1))
    for block in range(1, blocks):
        total = total + F.pad(pieces[:, :, block], (0, 0, block, blocks - 1 - block))
    signal = total.reshape(batch, -1)
    return signal if blocks * hop == size else signal[:, : size + hop * (count - 1)]


def fold(
    input: Tensor, output_size: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1
) -> Any:
    """`F.fold` [batch, channels x size, frames] -> [batch, channels, 1, samples] for windows of 1 x size."""
    (height, width), (rows, size), (_, hop) = (_two(value) for value in (output_size, kernel_size, stride))
    if input.dim() != 3 or (height, rows) != (1, 1) or _two(dilation) != (1, 1) or _two(padding) != (0, 0):
        return NotImplemented
    batch, _, count = input.shape
    if size < hop or (known(width, count) and width != size + hop * (count - 1)):
        return NotImplemented
    signal = overlap_add(input.reshape(-1, size, count).transpose(1, 2), hop)
    return signal.reshape(batch, -1, 1, size + hop * (count - 1))


def _two(value: Any) -> tuple[Any, Any]:
    first, second = value if isinstance(value, list | tuple) else (value, value)
    return first, second


def _frames(signal: Tensor, size: int, hop: int) -> Tensor:
    """[batch, length] -> [batch, 1 + (length - size) // hop, size]."""
    blocks, count = math.ceil(size / hop), 1 + (signal.shape[1] - size) // hop
    padded = F.pad(signal, (0, blocks * hop - size)) if blocks * hop != size else signal
    pieces = padded[:, : (count + blocks - 1) * hop].reshape(signal.shape[0], count + blocks - 1, hop)
    return torch.cat([pieces[:, block : block + count] for block in range(blocks)], 2)[:, :, :size]


def _window(window: Tensor | None, win_length: int | None, n_fft: int, like: Tensor) -> Tensor | None:
    """The window of n_fft values, zero outside its middle; None for ones."""
    size = n_fft if win_length is None else win_length
    if window is None:
        if size == n_fft:
            return None
        window = torch.ones(size, dtype=like.dtype)
    left = (n_fft - size) // 2
    return window if size == n_fft else F.pad(window, (left, n_fft - size - left))


HANDLERS: Handlers = table([((torch.stft, Tensor.stft), stft), ((torch.istft, Tensor.istft), istft), ((F.fold,), fold)])
