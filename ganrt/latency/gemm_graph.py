"""A matrix product and a convolution as ONNX models, written field by field: the runtime needs no `onnx` for this.

Fields and numbers are those of onnx.proto3; the weights are random numbers of a fixed seed.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["conv_model", "matmul_model"]

_FLOAT, _INTS = 1, 7  # TensorProto.DataType, AttributeProto.AttributeType


def matmul_model(size: int) -> tuple[bytes, tuple[int, ...], tuple[int, ...], int]:
    """y = x @ w, all square of `size`: the model, the shapes of "x" and "y", and its multiply-adds."""
    shape = (size, size)
    return _model("MatMul", shape, _weight(shape), shape), shape, shape, size**3


def conv_model(channels: int, size: int) -> tuple[bytes, tuple[int, ...], tuple[int, ...], int]:
    """A 3 x 3 convolution without padding, as many channels out as in: the model, shapes, multiply-adds."""
    given, made, weight = (1, channels, size, size), (1, channels, size - 2, size - 2), (channels, channels, 3, 3)
    work = channels * channels * 9 * (size - 2) ** 2
    return _model("Conv", given, _weight(weight), made, kernel_shape=(3, 3)), given, made, work


def _weight(shape: Sequence[int]) -> NDArray[np.float32]:
    return np.random.Generator(np.random.Philox(key=1)).uniform(-1, 1, shape).astype(np.float32)


def _model(
    operation: str, given: Sequence[int], weight: NDArray[np.float32], made: Sequence[int], **attributes: Sequence[int]
) -> bytes:
    listed = b"".join(
        _text(1, name) + b"".join(_number(8, one) for one in ints) + _number(20, _INTS)
        for name, ints in attributes.items()
    )
    node = _text(1, "x") + _text(1, "w") + _text(2, "y") + _text(4, operation)
    node += _field(5, listed) if listed else b""
    tensor = b"".join(_number(1, size) for size in weight.shape) + _number(2, _FLOAT) + _text(8, "w")
    graph = _field(1, node) + _text(2, operation) + _field(5, tensor + _field(9, weight.tobytes()))
    graph += _field(11, _port("x", given)) + _field(12, _port("y", made))
    return _number(1, 8) + _field(8, _text(1, "") + _number(2, 17)) + _field(7, graph)


def _port(name: str, shape: Sequence[int]) -> bytes:
    extents = b"".join(_field(1, _number(1, size)) for size in shape)
    return _text(1, name) + _field(2, _field(1, _number(1, _FLOAT) + _field(2, extents)))


def _text(number: int, text: str) -> bytes:
    return _field(number, text.encode())


def _field(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _number(number: int, value: int) -> bytes:
    return _varint(number << 3) + _varint(value)


def _varint(value: int) -> bytes:
    parts = bytearray()
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*parts, value))
