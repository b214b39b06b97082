"""Complex numbers as two real tensors, which every engine computes.

PyTorch's exporter knows complex tensors, but not `1j * x`, nor `pad` or `einsum` of them, and gives an engine a last
axis of two with a Concat and a Slice around every step. Here a complex tensor that is made or changed carries its real
and imaginary parts along (`join`), the next function computes with those (`parts`), and the complex tensor itself,
which nobody reads any more, drops out of the graph:

    (a + ib)(c + id) = ac - bd + i(ad + bc)        exp(a + ib) = e^a cos b + i e^a sin b
    (a + ib)/(c + id) = (a + ib)(c - id)/(cc + dd)  |a + ib| = sqrt(aa + bb)   arg = atan2(b, a)

A function that moves or adds elements works on both parts alike. One that is not in the table sees the complex tensor
and is left to PyTorch. Writing into a complex tensor makes it forget its parts.

`torch.atan2` is here too: the exporter gives -pi for atan2(0, x < 0), where PyTorch gives pi.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor

from ._tools import Function, Handlers, methods, table

__all__ = ["HANDLERS", "forget_written", "join", "pair", "parts"]

Part: TypeAlias = Any  # a real tensor, or the number 0 (of a number: any number)

_PARTS = "_ganrt_parts"
_IN_PLACE = {"__setitem__", "__set__", "__iadd__", "__isub__", "__imul__", "__itruediv__", "__ipow__"}


def join(real: Part, imaginary: Part) -> Any:
    """The complex tensor of two parts, which are broadcast against each other; NotImplemented if both are numbers."""
    if isinstance(real, Tensor) and isinstance(imaginary, Tensor):
        wide = torch.promote_types(real.dtype, imaginary.dtype)
        real, imaginary = torch.broadcast_tensors(real.to(wide), imaginary.to(wide))
    elif isinstance(real, Tensor):
        imaginary = torch.full_like(real, imaginary) if imaginary != 0 else 0
    elif isinstance(imaginary, Tensor):
        real = torch.full_like(imaginary, real) if real != 0 else 0
    else:
        return NotImplemented
    result = torch.complex(*_filled(real, imaginary))
    setattr(result, _PARTS, (real, imaginary))
    return result


def parts(value: Any) -> tuple[Part, Part]:
    """Real and imaginary part of a tensor or number; a part that is known to be zero is the number 0."""
    if not isinstance(value, Tensor):
        return complex(value).real, complex(value).imag
    if not value.is_complex():
        return value, 0
    known: tuple[Part, Part] | None = getattr(value, _PARTS, None)
    if known is None:
        pairs = torch.view_as_real(value.resolve_conj())
        known = pairs[..., 0], pairs[..., 1]
    return known


def pair(value: Tensor) -> tuple[Tensor, Tensor]:
    """Real and imaginary part of a tensor, both tensors."""
    return _filled(*parts(value))


def forget_written(func: Function, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
    """A complex tensor that `func` writes into no longer has the parts it was made of."""
    name = getattr(func, "__name__", "")
    written = [kwargs.get("out")]
    if args and (name in _IN_PLACE or (name.endswith("_") and not name.endswith("__"))):
        written.append(args[0])
    for value in written:
        if isinstance(value, Tensor) and hasattr(value, _PARTS):
            delattr(value, _PARTS)


def absolute(input: Tensor) -> Any:
    if not _complex(input):
        return NotImplemented
    real, imaginary = parts(input)
    return torch.sqrt(real * real + imaginary * imaginary)


def angle(input: Tensor) -> Any:
    """pi for a negative number, also where its imaginary part is -0, as a sum of products of zeros may be."""
    if not _complex(input):
        return NotImplemented
    real, imaginary = pair(input)
    return torch.where((imaginary == 0) & (real < 0), math.pi, torch.atan2(imaginary, real)).to(real.dtype)


def atan2(input: Tensor, other: Tensor) -> Tensor:
    """The angle of the point (other, input); pi with the sign of `input` where that is a zero, left of 0."""
    angles = torch.atan2(input, other)
    half_turn = torch.where(1 / input < 0, -math.pi, math.pi).to(angles.dtype)
    return torch.where((input == 0) & (other < 0), half_turn, angles)


def _filled(real: Part, imaginary: Part) -> tuple[Tensor, Tensor]:
    if not isinstance(real, Tensor):
        real = torch.zeros_like(imaginary)
    if not isinstance(imaginary, Tensor):
        imaginary = torch.zeros_like(real)
    return real, imaginary


def _complex(value: Any) -> bool:
    return value.is_complex() if isinstance(value, Tensor) else isinstance(value, complex)


def _unary(compute: Callable[[Part, Part], Any]) -> Function:
    """`compute` of both parts, for complex tensors only."""
    return lambda input: compute(*parts(input)) if _complex(input) else NotImplemented


def _binary(compute: Callable[[Part, Part, Part, Part], tuple[Part, Part]]) -> Function:
    """`compute` of the parts of two operands, at least one of them complex."""

    def replacement(input: Any, other: Any, *, alpha: Any = 1, rounding_mode: str | None = None) -> Any:
        sides = [input, other]
        tensors = [side for side in sides if isinstance(side, Tensor)]
        if not any(_complex(side) for side in sides) or rounding_mode is not None or alpha != 1:
            return NotImplemented
        if not all(tensor.is_floating_point() or tensor.is_complex() for tensor in tensors):
            return NotImplemented  # whole numbers follow PyTorch's promotion
        return join(*compute(*parts(input), *parts(other)))

    return replacement


def _times(a: Part, b: Part) -> Part:
    for one, other in ((a, b), (b, a)):
        if not isinstance(one, Tensor) and one in (0, 1):
            return other if one == 1 else 0
    return a * b


def _plus(a: Part, b: Part) -> Part:
    for one, other in ((a, b), (b, a)):
        if not isinstance(one, Tensor) and one == 0:
            return other
    return a + b


def _minus(a: Part, b: Part) -> Part:
    return a if not isinstance(b, Tensor) and b == 0 else -b if not isinstance(a, Tensor) and a == 0 else a - b


def _product(a: Part, b: Part, c: Part, d: Part) -> tuple[Part, Part]:
    return _minus(_times(a, c), _times(b, d)), _plus(_times(a, d), _times(b, c))


def _quotient(a: Part, b: Part, c: Part, d: Part) -> tuple[Part, Part]:
    if not isinstance(d, Tensor) and d == 0:
        return a / c, b / c
    scale = c * c + d * d
    real, imaginary = _product(a, b, c, -d)
    return real / scale, imaginary / scale


def _exponential(a: Part, b: Part) -> Any:
    size = torch.exp(a) if isinstance(a, Tensor) else 1
    return join(_times(size, torch.cos(b)), _times(size, torch.sin(b))) if isinstance(b, Tensor) else join(size, 0)


def _power(input: Any, exponent: Any) -> Any:
    if not _complex(input) or not isinstance(input, Tensor) or isinstance(exponent, Tensor) or exponent != 2:
        return NotImplemented
    return join(*_product(*parts(input), *parts(input)))


def _bilinear(func: Function, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """einsum, matmul and the like: linear in each of two tensors."""
    *leading, left, right = args if len(args) > 1 else (None, None)
    tensors = isinstance(left, Tensor) and isinstance(right, Tensor)
    if kwargs or not tensors or not (_complex(left) or _complex(right)):
        return NotImplemented

    def term(x: Part, y: Part) -> Part:
        return func(*leading, x, y) if isinstance(x, Tensor) and isinstance(y, Tensor) else 0

    (a, b), (c, d) = parts(left), parts(right)
    return join(_minus(term(a, c), term(b, d)), _plus(term(a, d), term(b, c)))


def _each_part(func: Function, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """A function that moves, repeats or adds elements: once for the real parts and once for the imaginary ones."""
    if not args or "out" in kwargs or "dtype" in kwargs:
        return NotImplemented
    several = isinstance(args[0], list | tuple)
    tensors = args[0] if several else args[:1]
    if not all(isinstance(tensor, Tensor) for tensor in tensors) or not any(_complex(tensor) for tensor in tensors):
        return NotImplemented

    def moved(pieces: list[Part]) -> Any:
        if not several:
            return func(pieces[0], *args[1:], **kwargs) if isinstance(pieces[0], Tensor) else 0
        return func(type(args[0])(pieces), *args[1:], **kwargs)

    sides = [pair(tensor) for tensor in tensors] if several else [parts(tensors[0])]
    real, imaginary = (moved([side[which] for side in sides]) for which in (0, 1))
    if not isinstance(real, list | tuple) and not isinstance(imaginary, list | tuple):
        return join(real, imaginary)
    shape = real if isinstance(real, list | tuple) else imaginary
    columns = [side if isinstance(side, list | tuple) else [0] * len(shape) for side in (real, imaginary)]
    return type(shape)(join(*both) for both in zip(*columns, strict=True))


def _getters(*names: str) -> tuple[Function, ...]:
    return tuple(getattr(Tensor, name).__get__ for name in names)


_MOVING = [
    "cat",
    "concat",
    "stack",
    "hstack",
    "vstack",
    "reshape",
    "view",
    "flatten",
    "unflatten",
    "squeeze",
    "unsqueeze",
    "transpose",
    "permute",
    "movedim",
    "swapaxes",
    "expand",
    "expand_as",
    "broadcast_to",
    "clone",
    "contiguous",
    "detach",
    "chunk",
    "split",
    "narrow",
    "select",
    "index_select",
    "flip",
    "roll",
    "repeat",
    "tile",
    "unbind",
    "sum",
    "mean",
    "diagonal",
    "tril",
    "triu",
    "t",
    "unfold",
    "__getitem__",
]

HANDLERS: Handlers = {
    **dict.fromkeys((*methods(*_MOVING), *_getters("T", "mT"), F.pad), _each_part),
    **dict.fromkeys((*methods("matmul", "bmm", "mm", "__matmul__"), torch.einsum), _bilinear),
    **table(
        [
            ((torch.complex,), lambda real, imag: join(real, imag)),
            ((torch.polar,), lambda abs, angle: join(abs * torch.cos(angle), abs * torch.sin(angle))),
            ((torch.view_as_complex,), lambda input: join(input[..., 0], input[..., 1])),
            ((torch.view_as_real,), _unary(lambda a, b: torch.stack(_filled(a, b), -1))),
            (methods("abs", "absolute"), absolute),
            (methods("angle"), angle),
            (methods("atan2", "arctan2"), atan2),
            ((torch.real, *_getters("real")), _unary(lambda a, b: _filled(a, b)[0])),
            ((torch.imag, *_getters("imag")), _unary(lambda a, b: _filled(a, b)[1])),
            (methods("conj", "conj_physical"), _unary(lambda a, b: join(a, -b))),
            (methods("resolve_conj"), _unary(join)),
            (methods("neg", "negative"), _unary(lambda a, b: join(-a, -b))),
            (methods("exp"), _unary(_exponential)),
            (methods("pow", "__pow__"), _power),
            (methods("add", "__add__"), _binary(lambda a, b, c, d: (_plus(a, c), _plus(b, d)))),
            (methods("sub", "subtract", "__sub__"), _binary(lambda a, b, c, d: (_minus(a, c), _minus(b, d)))),
            (methods("rsub", "__rsub__"), _binary(lambda a, b, c, d: (_minus(c, a), _minus(d, b)))),
            (methods("mul", "multiply", "__mul__"), _binary(_product)),
            (methods("div", "divide", "true_divide", "__truediv__"), _binary(_quotient)),
            (methods("__rdiv__"), _binary(lambda a, b, c, d: _quotient(c, d, a, b))),
        ]
    ),
}
