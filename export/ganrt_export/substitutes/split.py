"""`chunk` and `split` along an axis whose size the graph only knows when it runs, as slices.

Plain export writes SplitToSequence there, with a length that is no constant; PyTorch's constant folder fails on it, and
few engines have it. How many pieces there are, the example says: Python's own code depends on that number anyway.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ._tools import Handlers, example, known, methods, table

__all__ = ["HANDLERS", "chunk", "split"]


def chunk(input: Tensor, chunks: int, dim: int = 0) -> Any:
    """`torch.chunk`: pieces of the size rounded up, the last one what is left."""
    size = input.shape[dim]
    if known(size):
        return NotImplemented
    return split(input, (size + chunks - 1) // chunks, dim)


def split(tensor: Tensor, split_size_or_sections: Any, dim: int = 0) -> Any:
    """`torch.split` by one size or by a list of them."""
    size, given = tensor.shape[dim], split_size_or_sections
    if isinstance(given, Sequence):
        return NotImplemented if known(size, *given) else _pieces(tensor, given, dim)
    if known(size, given):
        return NotImplemented
    count = max(1, -(-example(size) // example(given)))
    return _pieces(tensor, [*[given] * (count - 1), size - given * (count - 1)], dim)


def _pieces(tensor: Tensor, sizes: Sequence[Any], dim: int) -> tuple[Tensor, ...]:
    pieces, start = [], 0
    for size in sizes:
        pieces.append(tensor.narrow(dim, start, size))
        start = start + size
    return tuple(pieces)


def _of_tensor(tensor: Tensor, split_size: Any, dim: int = 0) -> Any:
    """`Tensor.split`, whose argument has another name."""
    return split(tensor, split_size, dim)


HANDLERS: Handlers = table(
    [
        (methods("chunk", "unsafe_chunk"), chunk),
        (methods("split_with_sizes"), lambda input, split_sizes, dim=0: split(input, split_sizes, dim)),
        ((torch.split,), split),
        ((Tensor.split,), _of_tensor),
    ]
)
