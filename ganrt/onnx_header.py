"""The little that must be known of an ONNX file before an engine sees it: its ports, metadata, external data.

Reads ModelProto (onnx.proto3, IR versions 3 and up) and skips everything else, weights included; nothing is executed
and nothing is resolved on disk. The runtime does not need the `onnx` package for this.
What two protobuf readers could understand differently (a graph given twice, an overlong tag) is refused, so that the
engine cannot see another model than the one checked here.
"""

from __future__ import annotations

from math import prod
from typing import NamedTuple

from .errors import NotABundle
from .onnx_wire import DTYPES, fields, integer, integers, message, signed, text
from .spec import Port

__all__ = ["OnnxHeader", "count_weights", "read_onnx_header"]

_DEPTH = 32  # graphs within graphs; real models have two or three


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
        graphs = [message(value) for number, value in fields(memoryview(data)) if number == 7]
        return sum(_size(message(value)) for graph in graphs for number, value in fields(graph) if number == 5)
    except (ValueError, IndexError) as problem:
        raise _refusal(source, problem) from problem


def _size(tensor: memoryview) -> int:
    """Numbers in a tensor: the product of its extents, each a field of its own or all packed into one."""
    return prod(extent for number, value in fields(tensor) if number == 1 for extent in integers(value))


def _refusal(source: str, problem: ValueError | IndexError) -> NotABundle:
    reason = "it ends in the middle of a number" if isinstance(problem, IndexError) else problem
    return NotABundle(f"{source} is not an ONNX model, or is damaged: {reason}.")


def _model(data: memoryview) -> OnnxHeader:
    metadata: dict[str, str] = {}
    graph: memoryview | None = None
    external = False
    for number, value in fields(data):
        if number == 7:
            if graph is not None:
                raise ValueError("it holds two graphs")
            graph = message(value)
        elif number == 20:  # training: two graphs
            graphs = (message(part) for n, part in fields(message(value)) if n in (1, 2))
            external |= any(_has_external_data(part, 0) for part in graphs)
        elif number == 25:  # a function: nodes
            nodes = (message(node) for n, node in fields(message(value)) if n == 7)
            external |= any(_node_is_external(node, 0) for node in nodes)
        elif number == 14:
            entry = dict(fields(message(value)))
            metadata[text(entry.get(1, b""))] = text(entry.get(2, b""))
    if graph is None:
        raise ValueError("it holds no graph")
    inputs, outputs, constants = [], [], set()
    for number, value in fields(graph):
        if number == 11:
            inputs.append(_port(message(value)))
        elif number == 12:
            outputs.append(_port(message(value)))
        elif number == 5:
            constants.add(next((text(v) for n, v in fields(message(value)) if n == 8), ""))
    free = tuple(port for port in inputs if port.name not in constants)
    return OnnxHeader(free, tuple(outputs), metadata, external or _has_external_data(graph, 0))


def _port(value_info: memoryview) -> Port:
    name, dtype = "", ""
    shape: tuple[int | None, ...] = ()
    for number, value in fields(value_info):
        if number == 1:
            name = text(value)
        elif number == 2:
            for kind, tensor in fields(message(value)):
                if kind == 6:  # a word on what it denotes
                    continue
                if kind != 1:
                    raise ValueError("an input or output is not a tensor")
                for part, inner in fields(message(tensor)):
                    if part == 1:
                        dtype = DTYPES.get(integer(inner), f"type {integer(inner)}")
                    elif part == 2:
                        if shape:
                            raise ValueError("an input or output has two shapes")
                        shape = tuple(_extent(message(d)) for n, d in fields(message(inner)) if n == 1)
    return Port(name, dtype, shape)


def _extent(dimension: memoryview) -> int | None:
    given = [(number, value) for number, value in fields(dimension) if number in (1, 2)]
    if len(given) > 1:
        raise ValueError("an input or output has a size given twice")
    size = integer(given[0][1]) if given and given[0][0] == 1 else None
    return None if size is None else signed(size)


def _has_external_data(graph: memoryview, depth: int) -> bool:
    if depth > _DEPTH:
        raise ValueError("its graphs are nested too deep")
    for number, value in fields(graph):
        if number == 5 and _is_external(message(value)):
            return True
        if number == 15 and _sparse_is_external(message(value)):
            return True
        if number == 1 and _node_is_external(message(value), depth):
            return True
    return False


def _node_is_external(node: memoryview, depth: int) -> bool:
    """A node holds tensors and graphs in its attributes."""
    return any(_attribute_is_external(message(value), depth) for number, value in fields(node) if number == 5)


def _attribute_is_external(attribute: memoryview, depth: int) -> bool:
    for number, value in fields(attribute):
        if number in (5, 10) and _is_external(message(value)):
            return True
        if number in (22, 23) and _sparse_is_external(message(value)):
            return True
        if number in (6, 11) and _has_external_data(message(value), depth + 1):
            return True
    return False


def _sparse_is_external(tensor: memoryview) -> bool:
    """A sparse tensor is a tensor of values and one of indices."""
    return any(_is_external(message(value)) for number, value in fields(tensor) if number in (1, 2))


def _is_external(tensor: memoryview) -> bool:
    """It names a file, or gives a location other than DEFAULT (0)."""
    return any(number == 13 or (number == 14 and value != 0) for number, value in fields(tensor))
