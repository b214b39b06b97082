"""The main graph of an ONNX file as Python objects: its nodes, and its constants as numpy arrays.

For engines that are given a network in a format of their own. Reads GraphProto (onnx.proto3, IR versions 3 and up)
without the `onnx` package; arrays are views of the file's bytes where it holds them raw.
"""

from __future__ import annotations

import struct
from math import prod
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from .errors import NotABundle
from .onnx_wire import DTYPES, fields, integer, integers, message, signed, text

__all__ = ["Attribute", "Node", "OnnxGraph", "read_onnx_graph"]

Attribute: TypeAlias = "int | float | str | list[int] | list[float] | NDArray[Any]"

_RAW = frozenset({"float32", "float64", "float16", "uint8", "int8", "int16", "int32", "int64", "bool"})


class Node(NamedTuple):
    """One operation. An input that is left out is ""; `attributes` are those given, of the kinds in `Attribute`."""

    operation: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: dict[str, Attribute]


class OnnxGraph(NamedTuple):
    """`nodes` in the order they are computed; `constants` are the initializers and the results of Constant nodes."""

    nodes: tuple[Node, ...]
    constants: dict[str, NDArray[Any]]
    opset: int


def read_onnx_graph(data: bytes, source: str) -> OnnxGraph:
    """Raises NotABundle when `data` is not an ONNX model, or holds what is not read here: graphs within the graph,

    sparse tensors, weights in other files. `source` names it in the message.
    """
    try:
        return _model(memoryview(data))
    except (ValueError, IndexError, struct.error) as problem:
        reason = "it ends in the middle of a number" if isinstance(problem, IndexError) else problem
        raise NotABundle(f"{source} cannot be read: {reason}.") from problem


def _model(data: memoryview) -> OnnxGraph:
    nodes, constants, opset = list[Node](), dict[str, NDArray[Any]](), 0
    for number, value in fields(data):
        if number == 8:
            given = dict(fields(message(value)))
            if text(given.get(1, b"")) in ("", "ai.onnx"):
                opset = integer(given.get(2, 0))
        if number != 7:
            continue
        for part, inner in fields(message(value)):
            if part == 1:
                node = _node(message(inner))
                if node.operation == "Constant" and isinstance(array := node.attributes.get("value"), np.ndarray):
                    constants[node.outputs[0]] = array
                else:
                    nodes.append(node)
            elif part == 5:
                name, array = _tensor(message(inner))
                constants[name] = array
            elif part == 15:
                raise ValueError("it holds sparse tensors")
    return OnnxGraph(tuple(nodes), constants, opset)


def _node(data: memoryview) -> Node:
    inputs, outputs, operation, domain = list[str](), list[str](), "", ""
    attributes = dict[str, Attribute]()
    for number, value in fields(data):
        if number == 1:
            inputs.append(text(value))
        elif number == 2:
            outputs.append(text(value))
        elif number == 4:
            operation = text(value)
        elif number == 5:
            name, attribute = _attribute(message(value))
            attributes[name] = attribute
        elif number == 7:
            domain = text(value)
    if domain not in ("", "ai.onnx"):
        operation = f"{domain}.{operation}"
    return Node(operation, tuple(inputs), tuple(outputs), attributes)


def _attribute(data: memoryview) -> tuple[str, Attribute]:
    name, found = "", None
    whole, fractions = list[int](), list[float]()
    for number, value in fields(data):
        if number == 1:
            name = text(value)
        elif number == 2:
            found = struct.unpack("<f", message(value))[0]
        elif number == 3:
            found = signed(integer(value))
        elif number == 4:
            found = text(value)
        elif number == 5:
            found = _tensor(message(value))[1]
        elif number == 7:
            fractions += np.frombuffer(message(value), "<f4").tolist()
        elif number == 8:
            whole += map(signed, integers(value))
        elif number in (6, 11):
            raise ValueError("it has graphs within its graph")
    return name, found if found is not None else fractions or whole


def _tensor(data: memoryview) -> tuple[str, NDArray[Any]]:
    name, kind, shape = "", 0, list[int]()
    raw: memoryview | None = None
    floats, doubles, whole = list[memoryview](), list[memoryview](), list[int]()
    for number, value in fields(data):
        if number == 1:
            shape += integers(value)
        elif number == 2:
            kind = integer(value)
        elif number == 4:
            floats.append(message(value))
        elif number in (5, 7):
            whole += map(signed, integers(value))
        elif number == 8:
            name = text(value)
        elif number == 9:
            raw = message(value)
        elif number == 10:
            doubles.append(message(value))
        elif number == 13 or (number == 14 and value != 0):
            raise ValueError("its weights lie in other files")
    dtype = DTYPES.get(kind, f"type {kind}")
    if dtype not in _RAW:
        raise ValueError(f"a constant in it is {dtype}")
    array: NDArray[Any]
    if raw is not None:
        array = np.frombuffer(raw, np.dtype(dtype).newbyteorder("<"))
    elif dtype == "float32":
        array = np.frombuffer(b"".join(floats), "<f4")
    elif dtype == "float64":
        array = np.frombuffer(b"".join(doubles), "<f8")
    elif dtype == "float16":
        array = np.array(whole, np.uint16).view(np.float16)
    else:
        array = np.array(whole).astype(dtype)
    if array.size != prod(shape):
        raise ValueError(f"a constant of {prod(shape)} numbers holds {array.size}")
    return name, array.reshape(shape)
