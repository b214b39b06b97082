"""Inverses and determinants of small matrices, which ONNX has no operation for, by cofactors.

    inverse = adjugate / determinant        row i of A times column i of the adjugate is the determinant

Camera poses, homographies and affine maps are such matrices, made of a generator's inputs. Up to 4x4; a larger one is
left to PyTorch's exporter, which has no form for it either. One of weights alone is computed before: see `folding`.
"""

from __future__ import annotations

import itertools
from typing import Any

import torch
from torch import Tensor

from ._tools import Handlers, table

__all__ = ["HANDLERS", "adjugate", "determinant", "inverse"]

_LARGEST = 4


def inverse(input: Tensor) -> Any:
    """`torch.linalg.inv`: float [..., n, n], n at most 4."""
    if not _small(input):
        return NotImplemented
    turned = adjugate(input)
    return turned / (input[..., :1, :] @ turned[..., :, :1])


def determinant(input: Tensor) -> Any:
    """`torch.linalg.det`: float [..., n, n] -> [...], n at most 4."""
    return _minor(input, range(input.shape[-1]), range(input.shape[-1])) if _small(input) else NotImplemented


def solve(A: Tensor, B: Tensor) -> Any:  # noqa: N803  PyTorch's names, which a call may use
    """`torch.linalg.solve`: X of A X = B, for B [..., n, k] or a vector [n] or [..., n] beside A [..., n, n]."""
    inverted = inverse(A)
    if inverted is NotImplemented:
        return NotImplemented
    vector = B.dim() == 1 or B.shape == A.shape[:-1]
    return (inverted @ B.unsqueeze(-1)).squeeze(-1) if vector else inverted @ B


def adjugate(input: Tensor) -> Tensor:
    """The transposed matrix of cofactors, [..., n, n]."""
    n = input.shape[-1]
    if n == 1:
        return torch.ones_like(input)
    entries = [
        (-1) ** (row + column) * _minor(input, _without(row, n), _without(column, n))
        for column, row in itertools.product(range(n), repeat=2)
    ]
    return torch.stack(entries, -1).reshape(input.shape)


def _minor(input: Tensor, rows: Any, columns: Any) -> Tensor:
    """The determinant of some rows and as many columns, expanded along the first row."""
    first, *others = rows
    if not others:
        only: Tensor = input[..., first, columns[0]]
        return only
    terms = [
        (-1) ** place * input[..., first, column] * _minor(input, others, [one for one in columns if one != column])
        for place, column in enumerate(columns)
    ]
    total: Tensor = terms[0]
    for term in terms[1:]:
        total = total + term
    return total


def _without(index: int, n: int) -> list[int]:
    return [one for one in range(n) if one != index]


def _small(input: Tensor) -> bool:
    sizes = input.shape[-2:]
    square = input.dim() >= 2 and all(isinstance(size, int) for size in sizes) and sizes[0] == sizes[1]
    return bool(square and 1 <= sizes[0] <= _LARGEST and input.is_floating_point())


HANDLERS: Handlers = table(
    [
        ((torch.inverse, Tensor.inverse, torch.linalg.inv), inverse),
        ((torch.det, Tensor.det, torch.linalg.det), determinant),
        ((torch.linalg.solve,), solve),
    ]
)
