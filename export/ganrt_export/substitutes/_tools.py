"""What every substitute needs: constants made while PyTorch traces, sizes known or not, one handler for many names."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = [
    "Function",
    "Handler",
    "Handlers",
    "along",
    "arrays",
    "as_tensor",
    "example",
    "known",
    "methods",
    "scalar",
    "table",
]

Function: TypeAlias = Callable[..., Any]
Handler: TypeAlias = Callable[[Function, tuple[Any, ...], Mapping[str, Any]], Any]
Handlers: TypeAlias = dict[Function, Handler]


def known(*sizes: Any) -> bool:
    """Are these sizes numbers now, rather than symbols that the graph will know when it runs?"""
    return not any(isinstance(size, torch.SymInt | torch.SymFloat | Tensor) for size in sizes)


def example(size: Any) -> int:
    """The size that the example has."""
    return int(size) if known(size) else int(size.node.hint)


def arrays(*sizes: Any) -> Any:
    """numpy for known sizes, torch for symbolic ones: both have arange, cos, clip, so that one formula serves two.

    With numpy the result is a constant of the graph, in float64; with torch the graph computes it, in float32.
    """
    return np if known(*sizes) else torch


def scalar(value: Any) -> Any:
    """`value` as a number of `arrays(value)`: it can be compared and clipped in either."""
    return np.float64(value) if known(value) else torch.scalar_tensor(value, dtype=torch.float32)


def as_tensor(values: NDArray[Any] | Tensor, dtype: torch.dtype) -> Tensor:
    """What a formula of `arrays` gave, as a tensor that a trace takes for a constant."""
    if isinstance(values, np.ndarray):
        name = str(dtype).removeprefix("torch.")
        values = torch.from_numpy(np.ascontiguousarray(values, "float32" if name == "bfloat16" else name))
    return values if values.dtype == dtype else values.to(dtype)


def along(matrix: Tensor, input: Tensor, axis: int) -> Tensor:
    """`matrix` [m, n] times `input` along `axis` of length n, which becomes one of length m."""
    if axis in (-1, input.dim() - 1):
        return input @ matrix.T
    if axis in (-2, input.dim() - 2):
        return matrix @ input
    return (input.movedim(axis, -1) @ matrix.T).movedim(-1, axis)


def methods(*names: str) -> tuple[Function, ...]:
    """The functions of torch and the methods of Tensor that go by these names."""
    found = [getattr(home, name, None) for name in names for home in (torch, Tensor)]
    return tuple(function for function in found if function is not None)


def table(entries: Iterable[tuple[tuple[Function, ...], Function]]) -> Handlers:
    """(the functions of PyTorch, what replaces them) as handlers; a replacement has the signature of what it
    replaces.
    """

    def handler(replacement: Function) -> Handler:
        return lambda _, args, kwargs: NotImplemented if "out" in kwargs else replacement(*args, **kwargs)

    return {function: handler(replacement) for functions, replacement in entries for function in functions}
