"""Convolutions whose number of groups is the batch: a kernel of its own for every sample.

StyleGAN2's modulated convolution reshapes x to [1, batch channels, ...] and the kernels to [batch out, channels, ...]
and convolves with groups=batch. In ONNX the groups are an attribute, a number fixed when the graph is written, so the
export fails for a batch that may change. The same sums as a batched matrix product, which takes any number of groups:

    y[g] = W[g] X[g],   W[g] [out, channels taps],   X[g] [channels taps, positions]

X stacks the input shifted by every tap of the kernel. Transposed with stride s, output s q + r takes only the taps k
with k dilation = r modulo s: each of the s phases is such a product over its own taps of the unstretched input, and
the phases are interleaved at the end. No multiplication by the zeros between the inputs is done.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ._tools import Handlers, known, table

__all__ = ["HANDLERS", "convolve", "convolve_transposed"]


def convolve(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: Any = 1,
) -> Tensor:
    """`F.conv1d`, `F.conv2d`, `F.conv3d` of a batched input with any number of groups."""
    kernel = weight.shape[2:]
    strides, dilations = (_each(value, len(kernel)) for value in (stride, dilation))
    edges = _edges(padding, kernel, dilations)
    padded = F.pad(input, edges) if any(edges) else input
    sizes = [
        (n - d * (k - 1) - 1) // s + 1 for n, k, s, d in zip(padded.shape[2:], kernel, strides, dilations, strict=True)
    ]
    grouped = _by_group(padded, groups, weight.shape[1])
    taps = [
        _cut(grouped, [(k * d, n, s) for k, d, n, s in zip(tap, dilations, sizes, strides, strict=True)])
        for tap in product(*map(range, kernel))
    ]
    matrix = weight.reshape(groups, -1, weight.shape[1] * len(taps))
    result = _multiply(matrix, taps).reshape(input.shape[0], weight.shape[0], *sizes)
    return _plus_bias(result, bias)


def convolve_transposed(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: Any = 1,
    dilation: Any = 1,
) -> Tensor:
    """`F.conv_transpose1d`, `F.conv_transpose2d` of a batched input with any number of groups."""
    kernel, old = weight.shape[2:], input.shape[2:]
    axes = range(len(kernel))
    strides, paddings, extras, dilations = (
        _each(value, len(kernel)) for value in (stride, padding, output_padding, dilation)
    )
    reach = [dilations[i] * (kernel[i] - 1) for i in axes]
    before, after = ([reach[i] // strides[i] for i in axes], [(reach[i] + extras[i]) // strides[i] for i in axes])
    rows = [old[i] + after[i] for i in axes]  # of each phase
    padded = F.pad(input, [edge for i in reversed(axes) for edge in (before[i], after[i])])
    channels = input.shape[1] // groups
    grouped = _by_group(padded, groups, channels)
    kernels = weight.reshape(groups, channels, weight.shape[1], -1)
    phases: list[Tensor | None] = []
    for phase in product(*map(range, strides)):
        numbers, taps = [], []
        for number, tap in enumerate(product(*map(range, kernel))):
            steps = [tap[i] * dilations[i] - phase[i] for i in axes]
            if all(step % s == 0 for step, s in zip(steps, strides, strict=True)):
                numbers.append(number)
                taps.append(_cut(grouped, [(before[i] - steps[i] // strides[i], rows[i], 1) for i in axes]))
        if not taps:
            phases.append(None)
            continue
        chosen = kernels.index_select(3, torch.tensor(numbers)) if len(taps) < kernels.shape[3] else kernels
        phases.append(_multiply(chosen.transpose(1, 2).reshape(groups, weight.shape[1], channels * len(taps)), taps))
    zeros = next(torch.zeros_like(phase) for phase in phases if phase is not None)
    stacked = torch.stack([zeros if phase is None else phase for phase in phases], 3)
    outputs = groups * weight.shape[1]
    woven = stacked.reshape(input.shape[0], outputs, *strides, *rows)
    order = [place for i in axes for place in (2 + len(kernel) + i, 2 + i)]
    woven = woven.permute(0, 1, *order).reshape(input.shape[0], outputs, *[rows[i] * strides[i] for i in axes])
    sizes = [(old[i] - 1) * strides[i] - 2 * paddings[i] + reach[i] + extras[i] + 1 for i in axes]
    return _plus_bias(_cut(woven, [(paddings[i], sizes[i], 1) for i in axes]), bias)


def _each(value: Any, count: int) -> list[int]:
    numbers = list(value) if isinstance(value, Sequence) else [value]
    return numbers * count if len(numbers) == 1 else numbers


def _edges(padding: Any, kernel: Sequence[int], dilations: list[int]) -> list[int]:
    """The padding of each axis, the last axis first, as `F.pad` takes it."""
    if padding == "valid":
        padding = 0
    if padding == "same":
        totals = [d * (k - 1) for k, d in zip(kernel, dilations, strict=True)]
        return [edge for total in reversed(totals) for edge in (total // 2, total - total // 2)]
    return [edge for edge in reversed(_each(padding, len(kernel))) for _ in range(2)]


def _by_group(input: Tensor, groups: Any, channels: int) -> Tensor:
    return input.reshape(input.shape[0], groups, channels, *input.shape[2:])


def _cut(input: Tensor, pieces: list[tuple[Any, Any, int]]) -> Tensor:
    """(start, length, step) of each of the last axes."""
    spans: list[Any] = [slice(start, start + (length - 1) * step + 1, step) for start, length, step in pieces]
    index: Any = (..., *spans)
    return input[index]


def _multiply(matrix: Tensor, taps: list[Tensor]) -> Tensor:
    """[groups, out, channels taps] times the taps [batch, groups, channels, ...] -> [batch, groups, out, places]."""
    columns = torch.stack(taps, 3) if len(taps) > 1 else taps[0].unsqueeze(3)
    return matrix @ columns.flatten(4).flatten(2, 3)


def _plus_bias(result: Tensor, bias: Tensor | None) -> Tensor:
    return result if bias is None else result + bias.reshape(-1, *[1] * (result.dim() - 2))


def _where_symbolic(function: Any, position: int, dimensions: int) -> Any:
    """`function`, where the groups, its argument at `position`, are a symbol and the input has a batch axis."""

    def replacement(*args: Any, **kwargs: Any) -> Any:
        groups = args[position] if len(args) > position else kwargs.get("groups", 1)
        return NotImplemented if known(groups) or args[0].dim() != dimensions else function(*args, **kwargs)

    return replacement


HANDLERS: Handlers = table(
    [
        *(((getattr(F, f"conv{n}d"),), _where_symbolic(convolve, 6, n + 2)) for n in (1, 2, 3)),
        *(((getattr(F, f"conv_transpose{n}d"),), _where_symbolic(convolve_transposed, 6, n + 2)) for n in (1, 2)),
    ]
)
