"""Discrete Fourier transforms as matrix products with constant cosines and sines.

For w = 2 pi / n, sums over all t or k:

    rfft    X[k] = sum x[t] cos(w k t) - i sum x[t] sin(w k t),  k = 0 .. n // 2
    fft     (Re, Im) -> (Re C + Im S, Im C - Re S), ifft with -S for S
    irfft   x[t] = 1/n sum m[k] (Re X[k] cos(w k t) - Im X[k] sin(w k t)), m = 1 at k = 0 and k = n / 2, else 2

One product an axis, with both parts side by side. n^2 multiplications are less than it sounds: a GPU's tensor cores and
a CPU's matrix products take them for n up to `LARGEST`; above it the transform is left to the graph's own DFT. That DFT
is why this is here: it is exported, but irfft fails for sizes that the graph only knows when it runs, and TensorRT
before 11.2 and most other engines have none.

k t is reduced modulo n in whole numbers before the sine, and what is zero is exactly zero: the first and last bin of a
real signal have no imaginary part, so their angle is 0 or pi as PyTorch's is.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ._tools import Handlers, along, arrays, as_tensor, example, known, scalar, table
from .complexes import join, pair, parts

__all__ = ["HANDLERS", "LARGEST", "fft", "irfft", "rfft"]

LARGEST = 2048


def rfft(input: Tensor, n: Any = None, dim: int = -1, norm: str | None = None) -> Any:
    """`torch.fft.rfft`: real [..., length] -> complex [..., n // 2 + 1]."""
    n = input.shape[dim] if n is None else n
    if not input.is_floating_point() or not _small(n):
        return NotImplemented
    return _from_real(input, n, n // 2 + 1, dim, norm)


def irfft(input: Tensor, n: Any = None, dim: int = -1, norm: str | None = None) -> Any:
    """`torch.fft.irfft`: complex [..., bins] -> real [..., n], n = 2 (bins - 1) unless given."""
    n = 2 * (input.shape[dim] - 1) if n is None else n
    if not _small(n):
        return NotImplemented
    bins = torch.sym_min(input.shape[dim], n // 2 + 1)
    real, imaginary = (_first(part, bins, dim) for part in pair(input))
    cosine, sine = _waves(n, n, bins)
    k = arrays(bins, n).arange(bins)
    twice = 2 - 1 * ((k == 0) | (2 * k == n))
    matrix = _beside(cosine * twice, -sine * twice) * _scale(n, norm, inverse=True)
    return along(as_tensor(matrix, real.dtype), torch.cat([real, imaginary], dim), dim)


def fft(input: Tensor, n: Any = None, dim: int = -1, norm: str | None = None) -> Any:
    """`torch.fft.fft`: complex or real [..., length] -> complex [..., n]."""
    return _transform(input, n, dim, norm, inverse=False)


def ifft(input: Tensor, n: Any = None, dim: int = -1, norm: str | None = None) -> Any:
    """`torch.fft.ifft`: complex or real [..., length] -> complex [..., n]."""
    return _transform(input, n, dim, norm, inverse=True)


def rfftn(input: Tensor, s: Any = None, dim: Any = None, norm: str | None = None) -> Any:
    """Real over the last axis, complex over the others."""
    sizes, axes = _axes(input, s, dim)
    result = rfft(input, sizes[-1], axes[-1], norm)
    return _over(fft, result, sizes[:-1], axes[:-1], norm)


def irfftn(input: Tensor, s: Any = None, dim: Any = None, norm: str | None = None) -> Any:
    """The inverse of `rfftn`."""
    sizes, axes = _axes(input, s, dim)
    result = _over(ifft, input, sizes[:-1], axes[:-1], norm)
    return result if result is NotImplemented else irfft(result, sizes[-1], axes[-1], norm)


def fftn(input: Tensor, s: Any = None, dim: Any = None, norm: str | None = None) -> Any:
    return _over(fft, input, *_axes(input, s, dim), norm)


def ifftn(input: Tensor, s: Any = None, dim: Any = None, norm: str | None = None) -> Any:
    return _over(ifft, input, *_axes(input, s, dim), norm)


def fftshift(input: Tensor, dim: Any = None) -> Any:
    return _shifted(input, dim, lambda n: n - n // 2)


def ifftshift(input: Tensor, dim: Any = None) -> Any:
    return _shifted(input, dim, lambda n: n // 2)


def _from_real(input: Tensor, n: Any, bins: Any, dim: int, norm: str | None) -> Any:
    length = torch.sym_min(input.shape[dim], n)
    cosine, sine = _waves(n, bins, length)
    matrix = _above(cosine, -sine) * _scale(n, norm, inverse=False)
    return _split(along(as_tensor(matrix, input.dtype), _first(input, length, dim), dim), dim)


def _transform(input: Tensor, n: Any, dim: int, norm: str | None, *, inverse: bool) -> Any:
    n = input.shape[dim] if n is None else n
    real, imaginary = parts(input)
    if not _small(n) or (isinstance(real, Tensor) and not real.is_floating_point()):
        return NotImplemented
    if not inverse and not isinstance(imaginary, Tensor):
        return _from_real(real, n, n, dim, norm)
    length = torch.sym_min(input.shape[dim], n)
    cosine, sine = _waves(n, n, length)
    sine = -sine if inverse else sine
    matrix = _above(_beside(cosine, sine), _beside(-sine, cosine)) * _scale(n, norm, inverse)
    both = torch.cat([_first(part, length, dim) for part in pair(join(real, imaginary))], dim)
    return _split(along(as_tensor(matrix, both.dtype), both, dim), dim)


def _over(transform: Any, input: Any, sizes: Sequence[Any], axes: Sequence[int], norm: str | None) -> Any:
    for n, axis in reversed(list(zip(sizes, axes, strict=True))):
        if input is NotImplemented:
            break
        input = transform(input, n, axis, norm)
    return input


def _axes(input: Tensor, s: Any, dim: Any) -> tuple[list[Any], list[int]]:
    if dim is None:
        dim = range(-input.dim(), 0) if s is None else range(-len(s), 0)
    axes = [dim] if isinstance(dim, int) else list(dim)
    sizes = [None] * len(axes) if s is None else [None if known(n) and n == -1 else n for n in s]
    return sizes, axes


def _small(n: Any) -> bool:
    """Is this transform one for a matrix? Of a symbolic size the example decides."""
    return example(n) <= LARGEST


def _waves(n: Any, rows: Any, columns: Any) -> tuple[Any, Any]:
    """cos and sin of 2 pi r c / n, [rows, columns]."""
    xp = arrays(n, rows, columns)
    period = n if known(n) else torch.scalar_tensor(n, dtype=torch.int64)
    turns = (xp.arange(rows)[:, None] * xp.arange(columns)) % period
    phase = turns * (2 * math.pi) / period
    cosine, sine = xp.cos(phase), xp.sin(phase)
    return cosine * (xp.abs(cosine) > 1e-6), sine * (xp.abs(sine) > 1e-6)


def _scale(n: Any, norm: str | None, inverse: bool) -> Any:
    if norm == "ortho":
        return 1 / arrays(n).sqrt(scalar(n))
    return 1 / scalar(n) if inverse == (norm in (None, "backward")) else 1


def _beside(left: Any, right: Any) -> Any:
    return torch.cat([left, right], 1) if isinstance(left, Tensor) else np.concatenate([left, right], 1)


def _above(upper: Any, lower: Any) -> Any:
    return torch.cat([upper, lower], 0) if isinstance(upper, Tensor) else np.concatenate([upper, lower], 0)


def _first(input: Tensor, length: Any, dim: int) -> Tensor:
    """The first `length` of an axis; what is missing up to the transform's size would be multiplied by zero."""
    size = input.shape[dim]
    same = length == size if known(length, size) else str(length) == str(size)
    return input if same else input.narrow(dim, 0, length)


def _split(both: Tensor, dim: int) -> Any:
    half = both.shape[dim] // 2
    return join(*(both.chunk(2, dim) if known(half) else (both.narrow(dim, 0, half), both.narrow(dim, half, half))))


def _shifted(input: Tensor, dim: Any, first: Any) -> Any:
    axes = range(input.dim()) if dim is None else [dim] if isinstance(dim, int) else dim
    pieces = list(parts(input))
    for axis in axes:
        n = input.shape[axis]
        start = first(n)
        for which, part in enumerate(pieces):
            if isinstance(part, Tensor):
                pieces[which] = torch.cat([part.narrow(axis, start, n - start), part.narrow(axis, 0, start)], axis)
    return join(*pieces) if input.is_complex() else pieces[0]


def _frequencies(transform: Any) -> Any:
    def replacement(n: Any, d: float = 1.0, *, dtype: torch.dtype | None = None, **_: Any) -> Any:
        if not known(n, d):
            return NotImplemented
        return as_tensor(transform(n, d), dtype or torch.get_default_dtype())

    return replacement


HANDLERS: Handlers = table(
    [
        ((torch.fft.rfft,), rfft),
        ((torch.fft.irfft,), irfft),
        ((torch.fft.fft,), fft),
        ((torch.fft.ifft,), ifft),
        ((torch.fft.rfftn,), rfftn),
        ((torch.fft.irfftn,), irfftn),
        ((torch.fft.fftn,), fftn),
        ((torch.fft.ifftn,), ifftn),
        ((torch.fft.rfft2,), lambda input, s=None, dim=(-2, -1), norm=None: rfftn(input, s, dim, norm)),
        ((torch.fft.irfft2,), lambda input, s=None, dim=(-2, -1), norm=None: irfftn(input, s, dim, norm)),
        ((torch.fft.fft2,), lambda input, s=None, dim=(-2, -1), norm=None: fftn(input, s, dim, norm)),
        ((torch.fft.ifft2,), lambda input, s=None, dim=(-2, -1), norm=None: ifftn(input, s, dim, norm)),
        ((torch.fft.fftshift,), fftshift),
        ((torch.fft.ifftshift,), ifftshift),
        ((torch.fft.fftfreq,), _frequencies(np.fft.fftfreq)),
        ((torch.fft.rfftfreq,), _frequencies(np.fft.rfftfreq)),
    ]
)
