"""The pixels of a quantized graph in one operation: QuantizeLinear is a product, a rounding, a clip and a cast.

Before: raw -> Mul -> Add -> Round -> Clip -> Transpose -> Cast        After: raw -> Add -> QuantizeLinear -> Transpose

Engines join it to what makes the raw output, as they do with every other of its kind, and transpose bytes, not floats.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from .stripped import tidy

__all__ = ["rounded_pixels"]

_MOVED = ("Transpose", "Reshape")  # to channels last


def rounded_pixels(data: bytes, pixels: str, raw: str) -> bytes:
    """The graph with `pixels` made of `raw` so; as it is where they are made in another way."""
    model = onnx.load_from_string(data)
    graph = model.graph
    makers = {name: node for node in graph.node for name in node.output}
    weights = {weight.name: numpy_helper.to_array(weight) for weight in graph.initializer}
    chain = _chain(makers, weights, pixels, raw)
    if chain is None:
        return data
    moved, scale, offset = chain
    constants = {"scale": np.float32(1 / scale), "zero": np.uint8(0)}
    given, steps, made = raw, f"{pixels}.steps", []
    if offset:
        constants["offset"], given = np.float32(offset / scale), f"{pixels}.moved"
        made.append(helper.make_node("Add", [raw, f"{pixels}.offset"], [given]))
    for name, one in constants.items():
        graph.initializer.append(numpy_helper.from_array(np.array(one), f"{pixels}.{name}"))
    made.append(helper.make_node("QuantizeLinear", [given, f"{pixels}.scale", f"{pixels}.zero"], [steps]))
    last = onnx.NodeProto()
    last.CopyFrom(moved)
    last.input[0], last.output[0] = steps, pixels
    graph.node.remove(makers[pixels])  # the rest of the chain goes as nobody takes it any more
    graph.node.extend((*made, last))
    tidy(graph)
    result: bytes = model.SerializeToString(deterministic=True)
    return result


def _chain(
    makers: dict[str, onnx.NodeProto], weights: dict[str, NDArray[Any]], pixels: str, raw: str
) -> tuple[onnx.NodeProto, float, float] | None:
    """What moves the axes, the factor and the summand; None where it is no such chain."""
    name = pixels

    def take(*kinds: str) -> onnx.NodeProto | None:
        nonlocal name
        node = makers.get(name)
        if node is None or node.op_type not in kinds or name == raw:
            return None
        name = next((one for one in node.input if one not in weights), "")
        return node

    def number(node: onnx.NodeProto | None) -> float | None:
        found = [weights[one] for one in node.input if one in weights] if node is not None else []
        return float(found[0].reshape(())) if len(found) == 1 and found[0].size == 1 else None

    take("Cast")
    moved = take(*_MOVED)
    take("Clip")
    rounded = take("Round")
    summand = take("Add")
    factor = number(take("Mul"))
    offset = 0.0 if summand is None else number(summand)
    if moved is None or rounded is None or not factor or offset is None or name != raw:
        return None
    return moved, factor, offset
