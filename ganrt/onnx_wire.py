"""The protobuf wire format that ONNX files are written in: fields, and what their values may be.

Specification: https://protobuf.dev/programming-guides/encoding/. Every function raises ValueError, or IndexError where
the data ends in the middle of a number.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

__all__ = ["DTYPES", "Field", "fields", "integer", "integers", "message", "signed", "text", "varint"]

# TensorProto.DataType
DTYPES = {1: "float32", 2: "uint8", 3: "int8", 5: "int16", 6: "int32", 7: "int64", 9: "bool", 10: "float16",
          11: "float64", 16: "bfloat16"}  # fmt: skip

Field: TypeAlias = "tuple[int, int | memoryview]"


def fields(data: memoryview) -> Iterator[Field]:
    """Field number and value of every field: an integer, or the bytes of a longer one."""
    position, end = 0, len(data)
    while position < end:
        key, position = varint(data, position)
        number, wire = key >> 3, key & 7
        if number == 0 or key >> 32:
            raise ValueError("it has a field that ONNX cannot have")
        if wire == 0:
            value, position = varint(data, position)
            yield number, value
            continue
        if wire == 2:
            length, position = varint(data, position)
        elif wire in (1, 5):
            length = 8 if wire == 1 else 4
        else:
            raise ValueError(f"it has a field of unknown wire type {wire}")
        if position + length > end:
            raise ValueError("it ends in the middle of a field")
        yield number, data[position : position + length]
        position += length


def varint(data: memoryview, position: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80 and value >> 64 == 0:
            return value, position
    raise ValueError("it holds a number longer than 64 bits")


def message(value: int | memoryview) -> memoryview:
    if isinstance(value, int):
        raise ValueError("a number stands where a message belongs")
    return value


def integer(value: int | memoryview) -> int:
    if not isinstance(value, int):
        raise ValueError("a message stands where a number belongs")
    return value


def text(value: int | memoryview | bytes) -> str:
    if isinstance(value, int):
        raise ValueError("a number stands where a text belongs")
    try:
        return bytes(value).decode()
    except UnicodeDecodeError as problem:
        raise ValueError("a text in it is not UTF-8") from problem


def integers(value: int | memoryview) -> Iterator[int]:
    """A repeated integer: one of several fields, or all of them packed into one."""
    if isinstance(value, int):
        yield value
        return
    position = 0
    while position < len(value):
        number, position = varint(value, position)
        yield number


def signed(value: int) -> int:
    """An int64 of its 64 bits."""
    return value - (1 << 64) if value >> 63 else value
