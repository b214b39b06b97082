"""How much a graph computes: multiply-adds of one sample, and its nodes by operation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from math import prod

import msgspec
import onnx
from onnx import shape_inference

from ganrt.errors import ExportError

__all__ = ["Operations", "operations"]

_EXTENT = 64  # of an input's axis that may have any size


class Operations(msgspec.Struct, frozen=True):
    """`multiply_adds` of one sample in convolutions and matrix products; `nodes`: how many of each operation.

    `extent`: the size that was taken for axes that may have any.
    """

    multiply_adds: int
    nodes: dict[str, int]
    extent: int


def operations(data: bytes, extent: int = _EXTENT) -> Operations:
    """Counts the ONNX model `data` for a batch of one. Casts of weights and the like are nodes, too.

    Raises ExportError when its sizes cannot be inferred.
    """
    model = onnx.load_from_string(data)
    graph = model.graph
    constants = {one.name for one in graph.initializer}
    for port in graph.input:
        if port.name in constants:
            continue
        for axis, size in enumerate(port.type.tensor_type.shape.dim):
            if not size.HasField("dim_value"):
                size.dim_value = extent if axis else 1
    for port in graph.output:
        port.type.tensor_type.ClearField("shape")
    del graph.value_info[:]
    try:
        model = shape_inference.infer_shapes(model, data_prop=True)
    except Exception as problem:
        raise ExportError(f"The sizes in the graph cannot be inferred: {problem}.") from problem
    counted: Counter[str] = Counter()
    total = sum(_of_graph(model.graph, {}, counted))
    return Operations(total, dict(sorted(counted.items())), extent)


def _of_graph(graph: onnx.GraphProto, outer: Mapping[str, tuple[int, ...]], counted: Counter[str]) -> Iterator[int]:
    shapes = {**outer, **{one.name: tuple(one.dims) for one in graph.initializer}}
    for value in (*graph.input, *graph.value_info, *graph.output):
        shapes[value.name] = tuple(size.dim_value for size in value.type.tensor_type.shape.dim)
    for node in graph.node:
        counted[node.op_type] += 1
        yield _of_node(node, shapes)
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                yield from _of_graph(attribute.g, shapes, counted)


def _of_node(node: onnx.NodeProto, shapes: Mapping[str, tuple[int, ...]]) -> int:
    given, made = [shapes.get(name, ()) for name in node.input], shapes.get(node.output[0], ())
    match node.op_type:
        case "Conv":
            return prod(made) * prod(given[1][1:])
        case "ConvTranspose":
            return prod(given[0]) * prod(given[1][1:])
        case "Gemm":
            transposed = next((one.i for one in node.attribute if one.name == "transA"), 0)
            return prod(made) * given[0][0 if transposed else 1]
        case "MatMul":
            return prod(made) * given[0][-1] if given[0] else 0
    return 0
