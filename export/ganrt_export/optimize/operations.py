"""How much a graph computes: multiply-adds of one sample, and its nodes by operation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from math import prod

import msgspec
import onnx
import onnx_ir as ir
from onnx import shape_inference
from onnxscript.optimizer import fold_constants_ir

from ganrt.errors import ExportError

__all__ = ["Operations", "operations"]

Shape = tuple[int | None, ...]
_EXTENT = 64  # of an input's axis that may have any size


class Operations(msgspec.Struct, frozen=True):
    """`multiply_adds` of one sample in convolutions and matrix products, None where sizes are known only at run time;
    `nodes`: how many of each operation, those that engines fold when they load included.

    `extent`: the size that was taken for axes that may have any.
    """

    multiply_adds: int | None
    nodes: dict[str, int]
    extent: int


def operations(data: bytes, extent: int = _EXTENT) -> Operations:
    """Counts the ONNX model `data` for a batch of one. Raises ExportError when its sizes contradict each other."""
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
    nodes = Counter(_operations(graph))
    try:
        sized = ir.from_proto(model)
        fold_constants_ir(sized)  # sizes that are computed at run time, mostly
        found = shape_inference.infer_shapes(ir.to_proto(sized), data_prop=True)
        total = sum(_of_graph(found.graph, {}))
    except _Unknown:
        return Operations(None, dict(sorted(nodes.items())), extent)
    except Exception as problem:
        line = str(problem).splitlines()[0] if str(problem) else type(problem).__name__
        raise ExportError(f"The sizes in the graph cannot be inferred: {line}.") from problem
    return Operations(total, dict(sorted(nodes.items())), extent)


class _Unknown(Exception):
    """A size that is known only at run time."""


def _operations(graph: onnx.GraphProto) -> Iterator[str]:
    for node in graph.node:
        yield node.op_type
        for inner in _graphs(node):
            yield from _operations(inner)


def _graphs(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    return (attribute.g for attribute in node.attribute if attribute.type == onnx.AttributeProto.GRAPH)


def _of_graph(graph: onnx.GraphProto, outer: Mapping[str, Shape]) -> Iterator[int]:
    shapes = {**outer, **{one.name: tuple(one.dims) for one in graph.initializer}}
    for value in (*graph.input, *graph.value_info, *graph.output):
        if value.type.tensor_type.HasField("shape"):
            shapes[value.name] = tuple(
                size.dim_value if size.HasField("dim_value") else None for size in value.type.tensor_type.shape.dim
            )
    fixed = {one.name for one in graph.initializer}
    for node in graph.node:
        if node.input and fixed.issuperset(node.input):  # engines compute it once, as they load
            fixed.update(node.output)
            continue
        yield _of_node(node, shapes)
        for inner in _graphs(node):
            yield from _of_graph(inner, shapes)


def _of_node(node: onnx.NodeProto, shapes: Mapping[str, Shape]) -> int:
    if node.op_type not in ("Conv", "ConvTranspose", "Gemm", "MatMul"):
        return 0
    data, weight, made = (_known(shapes.get(name)) for name in (*node.input[:2], node.output[0]))
    match node.op_type:
        case "Conv":
            return prod(made) * prod(weight[1:])
        case "ConvTranspose":
            return prod(data) * prod(weight[1:])
        case "Gemm":
            transposed = next((one.i for one in node.attribute if one.name == "transA"), 0)
            return prod(made) * data[0 if transposed else 1]
    return prod(made) * data[-1]


def _known(shape: Shape | None) -> tuple[int, ...]:
    known = [size for size in shape or () if size is not None]
    if shape is None or len(known) != len(shape):
        raise _Unknown
    return tuple(known)
