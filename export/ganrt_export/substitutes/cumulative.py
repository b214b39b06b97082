"""Running products and extremes, searching and sorting: what ONNX has no operation for, from operations it has.

cumprod, cummax, cummin   log2(n) steps y <- y o (y shifted by 1, 2, 4, ...) for o the product or the extreme (Hillis
                          and Steele 1986); for a length that the graph only knows when it runs, over a triangle [n, n]
searchsorted              how many elements of the sorted row are smaller (right: not larger), counted
stable sort, argsort      an ordinary one: ONNX's TopK puts equal elements in the order of their indices by definition
median, kthvalue          taken from the sorted row
cdist                     the differences, or for the Euclidean distance of many points |a|^2 + |b|^2 - 2 a.b as
                          PyTorch does
hypot                     sqrt(a a + b b)

Where equal elements compete for an index, it is PyTorch's for cummax and cummin (the last), and one of them for median
and kthvalue, as PyTorch says itself. NaN is not looked for.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from ._tools import Function, Handlers, known, methods, table

__all__ = ["HANDLERS", "cdist", "cummax", "cummin", "cumprod", "kthvalue", "median", "searchsorted"]

_MANY = 25  # points from which PyTorch takes the matrix product for a Euclidean distance


def cumprod(input: Tensor, dim: int, *, dtype: torch.dtype | None = None) -> Any:
    """`torch.cumprod`; whole numbers are multiplied as int64."""
    if dtype is None:
        dtype = input.dtype if input.is_floating_point() or input.is_complex() else torch.int64
    input = input.to(dtype)
    if input.dim() == 0:
        return input
    if not known(input.shape[dim]):
        return _spread(input, dim, 1).prod(-1).movedim(-1, dim)
    return _doubled(input, dim, torch.mul, torch.ones_like)


def cummax(input: Tensor, dim: int) -> Any:
    """`torch.cummax`: values and the index of the last element that is the maximum so far."""
    values = input if input.dim() == 0 else _extreme(input, dim, largest=True)
    return torch.return_types.cummax((values, _last_equal(input, values, dim)))


def cummin(input: Tensor, dim: int) -> Any:
    """`torch.cummin`: values and the index of the last element that is the minimum so far."""
    values = input if input.dim() == 0 else _extreme(input, dim, largest=False)
    return torch.return_types.cummin((values, _last_equal(input, values, dim)))


def searchsorted(
    sorted_sequence: Tensor,
    input: Any,
    *,
    out_int32: bool = False,
    right: bool = False,
    side: str | None = None,
    sorter: Tensor | None = None,
) -> Any:
    """`torch.searchsorted` of rows [..., n] or one row [n]; memory grows with n times the number of values."""
    if sorter is not None:
        sorted_sequence = sorted_sequence.gather(-1, sorter)
    values = input if isinstance(input, Tensor) else torch.scalar_tensor(input, dtype=sorted_sequence.dtype)
    rows = sorted_sequence if sorted_sequence.dim() == 1 else sorted_sequence.unsqueeze(-2)
    below = rows <= values.unsqueeze(-1) if right or side == "right" else rows < values.unsqueeze(-1)
    return below.sum(-1, dtype=torch.int32 if out_int32 else torch.int64)


def kthvalue(input: Tensor, k: int, dim: int = -1, keepdim: bool = False) -> Any:
    """`torch.kthvalue`: the k-th smallest element, counted from 1, and an index of it."""
    return torch.return_types.kthvalue(_ranked(input, k, dim, keepdim))


def median(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Any:
    """`torch.median`: the lower of the two middle elements."""
    if dim is None:
        flat = input.flatten()
        return _ranked(flat, (flat.shape[0] + 1) // 2, 0, False)[0]
    size = input.shape[dim] if input.dim() else 1
    return torch.return_types.median(_ranked(input, (size + 1) // 2, dim, keepdim))


def cdist(x1: Tensor, x2: Tensor, p: float = 2.0, compute_mode: str | None = None) -> Any:
    """`torch.cdist` of float [..., n, features] and [..., m, features] -> [..., n, m]."""
    few = all(known(points.shape[-2]) and points.shape[-2] <= _MANY for points in (x1, x2))
    by_product = compute_mode == "use_mm_for_euclid_dist" or (
        compute_mode in (None, "use_mm_for_euclid_dist_if_necessary") and not few
    )
    if p == 2 and by_product:
        squares = x1.square().sum(-1, keepdim=True) + x2.square().sum(-1)[..., None, :] - 2 * (x1 @ x2.mT)
        return squares.clamp(min=0).sqrt()
    apart = (x1[..., :, None, :] - x2[..., None, :, :]).abs()
    if p == 0:
        return (apart != 0).to(x1.dtype).sum(-1)
    if p == math.inf:
        return apart.amax(-1)
    if p == 1:
        return apart.sum(-1)
    return apart.square().sum(-1).sqrt() if p == 2 else (apart**p).sum(-1) ** (1 / p)


def _extreme(input: Tensor, dim: int, *, largest: bool) -> Tensor:
    if input.is_floating_point():
        worst: float = -math.inf if largest else math.inf
    else:
        worst = torch.iinfo(input.dtype).min if largest else torch.iinfo(input.dtype).max
    if not known(input.shape[dim]):
        spread = _spread(input, dim, worst)
        return (spread.amax(-1) if largest else spread.amin(-1)).movedim(-1, dim)
    better = torch.maximum if largest else torch.minimum
    return _doubled(input, dim, better, lambda first: first)  # an element twice does not move an extreme


def _doubled(
    input: Tensor, dim: int, combine: Callable[[Tensor, Tensor], Tensor], before: Callable[[Tensor], Tensor]
) -> Tensor:
    """Element i of the result: elements 0 .. i of `input`, combined; `before` is what the first meet at each shift."""
    moved, shift = input.movedim(dim, -1), 1
    while shift < moved.shape[-1]:
        moved = combine(moved, torch.cat([before(moved[..., :shift]), moved[..., :-shift]], -1))
        shift *= 2
    return moved.movedim(-1, dim)


def _spread(input: Tensor, dim: int, neutral: float) -> Tensor:
    """[..., i, j]: element j of `dim`, where it is not after i, else `neutral`."""
    place = torch.arange(input.shape[dim])
    return input.movedim(dim, -1).unsqueeze(-2).masked_fill(place > place[:, None], neutral)


def _last_equal(input: Tensor, values: Tensor, dim: int) -> Tensor:
    if input.dim() == 0:
        return torch.zeros((), dtype=torch.int64)
    place = torch.arange(input.shape[dim])
    equal = input.movedim(dim, -1).unsqueeze(-2) == values.movedim(dim, -1).unsqueeze(-1)
    held = torch.where(equal & (place <= place[:, None]), place, -1)
    return held.amax(-1).movedim(-1, dim)


def _ranked(input: Tensor, k: Any, dim: int, keepdim: bool) -> tuple[Tensor, Tensor]:
    if input.dim() == 0:
        return input, torch.zeros((), dtype=torch.int64)
    values, indices = input.sort(dim)
    place = torch.arange(k - 1, k) if known(k) else torch.scalar_tensor(k - 1, dtype=torch.int64)[None]
    picked = values.index_select(dim, place), indices.index_select(dim, place)
    return picked if keepdim else (picked[0].squeeze(dim), picked[1].squeeze(dim))


def _unstable(func: Function, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """A sort that need not be stable by PyTorch's rules, and is by ONNX's."""
    if not kwargs.get("stable") or not torch.compiler.is_exporting():
        return NotImplemented
    return func(*args, **{name: value for name, value in kwargs.items() if name != "stable"})


HANDLERS: Handlers = {
    **table(
        [
            (methods("cumprod"), cumprod),
            (methods("cummax"), cummax),
            (methods("cummin"), cummin),
            ((torch.searchsorted,), searchsorted),
            (methods("kthvalue"), kthvalue),
            (methods("median"), median),
            ((torch.cdist,), cdist),
            (methods("hypot"), lambda input, other: torch.sqrt(input * input + other * other)),
        ]
    ),
    **dict.fromkeys(methods("sort", "argsort"), _unstable),
}
