"""The little that must be known of an ONNX file before an engine sees it: its ports, metadata, external data.

Reads the protobuf wire format of ModelProto (onnx.proto3, IR versions 3 and up) and skips everything else, weights
included; nothing is executed and nothing is resolved on disk. The runtime does not need the `onnx` package for this.
What two protobuf readers could understand differently (a graph given twice, an overlong tag) is refused, so that the
engine cannot see another model than the one checked here.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from typing import NamedTuple, TypeAlias

from .errors import NotABundle
from .spec import Port

__all__ = ["OnnxHeader", "count_weights", "read_onnx_header"]

# TensorProto.DataType
_DTYPES = {1: "float32", 2: "uint8", 3: "int8", 5: "int16", 6: "int32", 7: "int64", 9: "bool", 10: "float16",
           11: "float64", 16: "bfloat16"}  # fmt: skip
_DEPTH = 32  # graphs within graphs; real models have two or three

Field: TypeAlias = "tuple[int, int | memoryview]"


class OnnxHeader(NamedTuple):
    """`inputs` and `outputs` of the main graph, `metadata` of the model, and whether weights lie in other files."""

    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    metadata: dict[str, str]
    external_data: bool


def read_onnx_header(data: bytes, source: str) -> OnnxHeader:
    """Raises NotABundle when `data` is not an ONNX model; `source` names it in the message."""
    try:
        return _model(memoryview(data))
    except (ValueError, IndexError) as problem:
        raise _refusal(source, problem) from problem


def count_weights(data: bytes, source: str) -> int:
    """How many numbers the initializers of the main graph hold. Raises NotABundle when `data` is not an ONNX model."""
    try:
        graphs = [_message(value) for number, value in _fields(memoryview(data)) if number == 7]
        return sum(_size(_message(value)) for graph in graphs for number, value in _fields(graph) if number == 5)
    except (ValueError, IndexError) as problem:
        raise _refusal(source, problem) from problem


def _size(tensor: memoryview) -> int:
    """Numbers in a tensor: the product of its extents, each a field of its own or all packed into one."""
    extents = list[int]()
    for number, value in _fields(tensor):
        if number == 1 and isinstance(value, int):
            extents.append(value)
        elif number == 1:
            position, packed = 0, _message(value)
            while position < len(packed):
                extent, position = _varint(packed, position)
                extents.append(extent)
    return prod(extents)


def _refusal(source: str, problem: ValueError | IndexError) -> NotABundle:
    reason = "it ends in the middle of a number" if isinstance(problem, IndexError) else problem
    return NotABundle(f"{source} is not an ONNX model, or is damaged: {reason}.")


def _model(data: memoryview) -> OnnxHeader:
    metadata: dict[str, str] = {}
    graph: memoryview | None = None
    external = False
    for number, value in _fields(data):
        if number == 7:
            if graph is not None:
                raise ValueError("it holds two graphs")
            graph = _message(value)
        elif number == 20:  # training: two graphs
            graphs = (_message(part) for n, part in _fields(_message(value)) if n in (1, 2))
            external |= any(_has_external_data(part, 0) for part in graphs)
        elif number == 25:  # a function: nodes
            nodes = (_message(node) for n, node in _fields(_message(value)) if n == 7)
            external |= any(_node_is_external(node, 0) for node in nodes)
        elif number == 14:
            entry = dict(_fields(_message(value)))
            metadata[_text(entry.get(1, b""))] = _text(entry.get(2, b""))
    if graph is None:
        raise ValueError("it holds no graph")
    inputs, outputs, constants = [], [], set()
    for number, value in _fields(graph):
        if number == 11:
            inputs.append(_port(_message(value)))
        elif number == 12:
            outputs.append(_port(_message(value)))
        elif number == 5:
            constants.add(next((_text(v) for n, v in _fields(_message(value)) if n == 8), ""))
    free = tuple(port for port in inputs if port.name not in constants)
    return OnnxHeader(free, tuple(outputs), metadata, external or _has_external_data(graph, 0))


def _port(value_info: memoryview) -> Port:
    name, dtype = "", ""
    shape: tuple[int | None, ...] = ()
    for number, value in _fields(value_info):
        if number == 1:
            name = _text(value)
        elif number == 2:
            for kind, tensor in _fields(_message(value)):
                if kind == 6:  # a word on what it denotes
                    continue
                if kind != 1:
                    raise ValueError("an input or output is not a tensor")
                for part, inner in _fields(_message(tensor)):
                    if part == 1:
                        dtype = _DTYPES.get(_integer(inner), f"type {_integer(inner)}")
                    elif part == 2:
                        if shape:
                            raise ValueError("an input or output has two shapes")
                        shape = tuple(_extent(_message(d)) for n, d in _fields(_message(inner)) if n == 1)
    return Port(name, dtype, shape)


def _extent(dimension: memoryview) -> int | None:
    given = [(number, value) for number, value in _fields(dimension) if number in (1, 2)]
    if len(given) > 1:
        raise ValueError("an input or output has a size given twice")
    size = _integer(given[0][1]) if given and given[0][0] == 1 else None
    return size - (1 << 64) if size is not None and size >> 63 else size  # int64


def _has_external_data(graph: memoryview, depth: int) -> bool:
    if depth > _DEPTH:
        raise ValueError("its graphs are nested too deep")
    for number, value in _fields(graph):
        if number == 5 and _is_external(_message(value)):
            return True
        if number == 15 and _sparse_is_external(_message(value)):
            return True
        if number == 1 and _node_is_external(_message(value), depth):
            return True
    return False


def _node_is_external(node: memoryview, depth: int) -> bool:
    """A node holds tensors and graphs in its attributes."""
    return any(_attribute_is_external(_message(value), depth) for number, value in _fields(node) if number == 5)


def _attribute_is_external(attribute: memoryview, depth: int) -> bool:
    for number, value in _fields(attribute):
        if number in (5, 10) and _is_external(_message(value)):
            return True
        if number in (22, 23) and _sparse_is_external(_message(value)):
            return True
        if number in (6, 11) and _has_external_data(_message(value), depth + 1):
            return True
    return False


def _sparse_is_external(tensor: memoryview) -> bool:
    """A sparse tensor is a tensor of values and one of indices."""
    return any(_is_external(_message(value)) for number, value in _fields(tensor) if number in (1, 2))


def _is_external(tensor: memoryview) -> bool:
    """It names a file, or gives a location other than DEFAULT (0)."""
    return any(number == 13 or (number == 14 and value != 0) for number, value in _fields(tensor))


def _fields(data: memoryview) -> Iterator[Field]:
    """Field number and value of every field: an integer, or the bytes of a longer one."""
    position, end = 0, len(data)
    while position < end:
        key, position = _varint(data, position)
        number, wire = key >> 3, key & 7
        if number == 0 or key >> 32:
            raise ValueError("it has a field that ONNX cannot have")
        if wire == 0:
            value, position = _varint(data, position)
            yield number, value
            continue
        if wire == 2:
            length, position = _varint(data, position)
        elif wire in (1, 5):
            length = 8 if wire == 1 else 4
        else:
            raise ValueError(f"it has a field of unknown wire type {wire}")
        if position + length > end:
            raise ValueError("it ends in the middle of a field")
        yield number, data[position : position + length]
        position += length


def _varint(data: memoryview, position: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80 and value >> 64 == 0:
            return value, position
    raise ValueError("it holds a number longer than 64 bits")


def _message(value: int | memoryview) -> memoryview:
    if isinstance(value, int):
        raise ValueError("a number stands where a message belongs")
    return value


def _integer(value: int | memoryview) -> int:
    if not isinstance(value, int):
        raise ValueError("a message stands where a number belongs")
    return value


def _text(value: int | memoryview | bytes) -> str:
    if isinstance(value, int):
        raise ValueError("a number stands where a text belongs")
    try:
        return bytes(value).decode()
    except UnicodeDecodeError as problem:
        raise ValueError("a text in it is not UTF-8") from problem
