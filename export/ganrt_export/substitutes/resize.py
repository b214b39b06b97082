"""Resizing and adaptive pooling: the indices and weights of PyTorch itself, wherever a graph's Resize has others.

nearest        out[i] = in[min(floor(i s), n - 1)], s = n / m or 1 / scale_factor in float32. An engine divides by the
               inverse instead and picks a neighbour at some sizes (4 -> 82), so only whole ratios stay a Resize.
nearest-exact  the same with floor((i + 0.5) s)
antialias      out = W in, an axis at a time: W[i, j] = f((j + 0.5 - c_i) / max(s, 1)), rows summing to one, c_i =
               s (i + 0.5), f the triangle or Keys' cubic with a = -0.5. Resize ignores align_corners and the given
               scale_factor here, and OpenVINO ignores `antialias` altogether.
area, adaptive average and maximum of in[floor(i n / m) : ceil((i + 1) n / m)]: pooling where m divides n, else a matrix
               product for the average and gathered windows for the maximum.

Sizes that the graph only knows when it runs get the same formulas as operations of the graph. Linear and cubic resizing
without antialiasing export right, to the rounding of float32 coordinates, and are left alone.

Sources: Keys 1981 for the cubic; the rest is what torch.nn.functional documents and does.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ._tools import Handlers, along, arrays, as_tensor, known, scalar, table

__all__ = ["HANDLERS", "adaptive_avg_pool", "adaptive_max_pool", "interpolate"]

_FILTERS = ("bilinear", "bicubic")
_CHECKED = np.arange(1, 1 << 14, dtype=np.int64)  # input sizes at which a fraction is held to float arithmetic


def interpolate(
    input: Tensor,
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    antialias: bool = False,
) -> Any:
    """`F.interpolate` of float [batch, channels, length | height, width | depth, height, width]."""
    spatial = input.dim() - 2
    nearest = mode in ("nearest", "nearest-exact")
    filtered = antialias and mode in _FILTERS and spatial == 2 and input.is_floating_point()
    if not 1 <= spatial <= 3 or not (filtered or (not antialias and (nearest or mode == "area"))):
        return NotImplemented
    if (size is None) == (scale_factor is None) or (align_corners is not None and not filtered):
        return NotImplemented  # PyTorch has the sentence for it
    old, target, factors = list(input.shape[2:]), _each(size, spatial), _each(scale_factor, spatial)
    if len(target) != spatial or len(factors) != spatial:
        return NotImplemented
    new = [_scaled(n, factor) if m is None else m for n, m, factor in zip(old, target, factors, strict=True)]
    if recompute_scale_factor:  # then PyTorch forgets the factors; a whole one changes nothing
        factors = [factor if factor is not None and float(factor).is_integer() else None for factor in factors]
    if any(known(m) and m < 1 for m in new):
        return NotImplemented
    if mode == "area":
        return adaptive_avg_pool(input, new)
    if nearest:
        return _nearest(input, new, factors, mode == "nearest-exact")
    for axis, (n, m, factor) in enumerate(zip(old, new, factors, strict=True), start=2):
        if known(n, m) and n == m:
            continue  # PyTorch does so, whatever the given factor
        input = along(_filter(n, m, factor, bool(align_corners), mode, input.dtype), input, axis)
    return input


def adaptive_avg_pool(input: Tensor, output_size: Any) -> Any:
    """Mean over windows that cover the last axes evenly; `output_size` has one size an axis, None keeps an axis."""
    new, axes = _pooled(input, output_size)
    old = [input.shape[axis] for axis in axes]
    if any(known(m) and m < 1 for m in new):
        return NotImplemented
    if all(known(m) and m == 1 for m in new):
        return input.mean(axes, keepdim=True)
    kernel = _kernel(old, new)
    if kernel is not None and len(new) <= 3:
        return getattr(F, f"avg_pool{len(new)}d")(input, kernel)
    for axis, n, m in zip(axes, old, new, strict=True):
        inside, count = _windows(n, m)
        input = along(as_tensor(inside / count[:, None], input.dtype), input, axis)
    return input


def adaptive_max_pool(input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
    """Maximum over windows that cover the last axes evenly; with indices it is left to PyTorch."""
    new, axes = _pooled(input, output_size)
    old = [input.shape[axis] for axis in axes]
    if return_indices or any(known(m) and m < 1 for m in new):
        return NotImplemented
    if all(known(m) and m == 1 for m in new):
        return input.amax(axes, keepdim=True)
    kernel = _kernel(old, new)
    if kernel is not None:
        return getattr(F, f"max_pool{len(new)}d")(input, kernel)
    for axis, n, m in zip(axes, old, new, strict=True):
        input = _window_max(input, axis, n, m)
    return input


def _each(value: Any, count: int) -> list[Any]:
    return list(value) if isinstance(value, Sequence) else [value] * count


def _scaled(size: Any, factor: float) -> Any:
    """floor(size * factor) as PyTorch rounds it; a symbolic size stays in whole numbers where that gives the same."""
    if known(size):
        return math.floor(float(size) * factor)
    fraction = Fraction(factor).limit_denominator(1 << 12)
    if (np.floor(_CHECKED * float(factor)) == _CHECKED * fraction.numerator // fraction.denominator).all():
        return size * fraction.numerator // fraction.denominator
    return math.floor(size * factor)


def _nearest(input: Tensor, new: list[Any], factors: list[Any], exact: bool) -> Tensor:
    axes = list(zip(input.shape[2:], new, factors, strict=True))
    picks = [_picked(n, m, factor, exact, fused=len(axes) != 2) for n, m, factor in axes]
    repeats = [_repeats(*axis, picked) for axis, picked in zip(axes, picks, strict=True)]
    if None not in repeats:
        sizes: Any = {"size": new} if known(*new) else {"scale_factor": [float(repeat or 1) for repeat in repeats]}
        return F.interpolate(input, mode="nearest", **sizes)
    for axis, ((n, m, _), picked) in enumerate(zip(axes, picks, strict=True), start=2):
        if not known(n, m):
            input = input.index_select(axis, picked)
        elif not np.array_equal(picked, np.arange(n)):
            input = input.index_select(axis, as_tensor(picked, torch.int64))
    return input


def _repeats(n: Any, m: Any, factor: float | None, picked: Any) -> int | None:
    """How often each element of an axis is repeated, where that is a whole number."""
    if known(n, m):
        copies = np.arange(m) * n // m
        plain = _picked(n, m, None, exact=False, fused=False)  # what "nearest", which is then called, would take
        return m // n if m % n == 0 and np.array_equal(picked, copies) and np.array_equal(plain, copies) else None
    return int(factor) if factor is not None and float(factor).is_integer() else None


def _picked(n: Any, m: Any, factor: float | None, exact: bool, fused: bool) -> Any:
    """int64 [m]: the positions taken of an axis of length n.

    `fused`: PyTorch's kernel for 1-d and 3-d computes (i + 0.5) s - 0.5 with one rounding, which moves exact ties.
    """
    half = np.float32(0.5 if exact else 0)
    if known(n, m):
        if factor is not None and not (exact or fused) and m in (n, 2 * n):
            factor = m / n  # the 2-d kernel has its own way there
        ratio = np.float32(n) / np.float32(m) if factor is None else np.float32(1 / factor)
        places = np.arange(m, dtype=np.float32) + half
        if exact and fused:
            shifted = (places.astype(np.float64) * ratio - half).astype(np.float32)
            places = np.maximum(shifted, 0) + half
        else:
            places = places * ratio
        return np.minimum(np.floor(places), n - 1).astype(np.int64)
    narrow, wide = (torch.scalar_tensor(size, dtype=torch.float32) for size in (n, m))
    step = narrow / wide if factor is None else 1 / factor
    reached = (torch.arange(m, dtype=torch.float32) + float(half)) * step
    return torch.minimum(reached.floor(), narrow - 1).to(torch.int64)


def _filter(n: Any, m: Any, factor: float | None, align_corners: bool, mode: str, dtype: torch.dtype) -> Tensor:
    """float [m, n]: the weights of an antialiased axis."""
    xp = arrays(n, m)
    if align_corners:
        ratio = scalar(n - 1) / scalar(m - 1) if not known(m) or m > 1 else scalar(0)
    else:
        ratio = scalar(n) / scalar(m) if factor is None else scalar(1 / factor)
    ratio = xp.asarray(ratio)
    centre = (xp.arange(m) + 0.5) * ratio
    away = xp.abs(xp.arange(n) + 0.5 - centre[:, None]) / xp.clip(ratio, 1.0, None)
    if mode == "bilinear":
        weights = xp.clip(1 - away, 0.0, None)
    else:
        near = (1.5 * away - 2.5) * away * away + 1
        far = ((-0.5 * away + 2.5) * away - 4) * away + 2
        weights = near * (away < 1) + far * ((away >= 1) & (away < 2))
    return as_tensor(weights / weights.sum(1)[:, None], dtype)


def _pooled(input: Tensor, output_size: Any) -> tuple[list[Any], list[int]]:
    wanted = _each(output_size, 1) if isinstance(output_size, Sequence) else [output_size]
    axes = list(range(-len(wanted), 0))
    return [input.shape[axis] if m is None else m for axis, m in zip(axes, wanted, strict=True)], axes


def _kernel(old: list[Any], new: list[Any]) -> list[int] | None:
    if known(*old, *new) and all(n % m == 0 for n, m in zip(old, new, strict=True)):
        return [n // m for n, m in zip(old, new, strict=True)]
    return None


def _windows(n: Any, m: Any) -> tuple[Any, Any]:
    """bool [m, n]: is this place in that window; int64 [m]: the windows' lengths."""
    xp = arrays(n, m)
    index, place = xp.arange(m), xp.arange(n)
    start, end = index * n // m, ((index + 1) * n + m - 1) // m
    return (place >= start[:, None]) & (place < end[:, None]), end - start


def _window_max(input: Tensor, axis: int, n: Any, m: Any) -> Tensor:
    inside, count = _windows(n, m)
    if known(n, m):
        places = inside.argmax(1)[:, None] + np.minimum(np.arange(count.max()), count[:, None] - 1)
        taken = input.index_select(axis, as_tensor(places.ravel(), torch.int64))
        largest: Tensor = taken.unflatten(axis, places.shape).amax(axis)
        return largest
    spread = input.movedim(axis, -1).unsqueeze(-2)
    lowest = -math.inf if input.is_floating_point() else torch.iinfo(input.dtype).min
    return spread.masked_fill(~inside, lowest).amax(-1).movedim(-1, axis)


def _pool(function: Any, count: int) -> Any:
    def replacement(input: Tensor, output_size: Any, *rest: Any, **named: Any) -> Any:
        return function(input, _each(output_size, count), *rest, **named)

    return replacement


HANDLERS: Handlers = table(
    [
        ((F.interpolate,), interpolate),
        *(((getattr(F, f"adaptive_avg_pool{count}d"),), _pool(adaptive_avg_pool, count)) for count in (1, 2, 3)),
        *(((getattr(F, f"adaptive_max_pool{count}d"),), _pool(adaptive_max_pool, count)) for count in (1, 2, 3)),
    ]
)
