"""Which operations would overflow float16, seen in float32 on the calibration samples.

Two things can: a tensor that stands between operations, and a sum while it is accumulated. Of the first the largest
magnitude is taken. Of the second, the sum of the magnitudes of all that is added: sum |w x| of a convolution or a
matrix product, sum |x| of a mean, sum x^2 of a norm. It is an upper bound of every partial sum in whatever order, and
an output of 3 may well come of +80,000 and -79,997.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from ganrt.errors import BackendError

from .samples import Feeds, session

__all__ = ["overflowing"]

MOST = 65_504.0  # of float16
_MARGIN = 4.0  # for samples that were not seen
_PRODUCTS = ("Conv", "ConvTranspose", "Gemm", "MatMul")  # sums of products of their first two inputs
_SUMS = {  # sums over the first input, and the operation that adds up magnitudes as they do
    "ReduceSum": "ReduceSum", "ReduceMean": "ReduceSum", "ReduceL1": "ReduceSum",
    "ReduceL2": "ReduceSumSquare", "ReduceSumSquare": "ReduceSumSquare",
}  # fmt: skip
_NORMS = ("InstanceNormalization", "GroupNormalization", "LayerNormalization")  # sums of squares, over what follows
_POOLS = ("GlobalAveragePool", "CumSum")


def overflowing(data: bytes, operations: Sequence[str], feeds: Sequence[Feeds]) -> dict[str, float]:
    """Of `operations` (named by their first output) those that would overflow, and the magnitude that was seen.

    Empty when ONNX Runtime refuses to look inside, which the gate then has to find out the long way.
    """
    model = onnx.shape_inference.infer_shapes(onnx.load_from_string(data))
    probes = list(_probe(model, set(operations)))
    del model.graph.output[:]
    model.graph.output.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name, _ in probes)
    largest: dict[str, float] = {}
    try:
        with closing(session(model.SerializeToString())) as opened:
            for batch in feeds:
                found = opened.evaluate(batch, [name for name, _ in probes])
                for name, operation in probes:
                    seen = float(np.max(found[name], initial=0.0))
                    largest[operation] = max(largest.get(operation, 0.0), seen if np.isfinite(seen) else MOST)
    except BackendError:
        return {}
    return {name: seen for name, seen in largest.items() if seen * _MARGIN > MOST}


def _probe(model: onnx.ModelProto, operations: set[str]) -> Iterator[tuple[str, str]]:
    """Adds what measures each operation; its output's name and the operation's."""
    graph = model.graph
    floats = {value.name for value in graph.value_info if value.type.tensor_type.elem_type == TensorProto.FLOAT}
    floats |= {value.name for value in (*graph.input, *graph.output) if _is_float(value)}
    weights = {weight.name: weight for weight in graph.initializer}
    for node in list(graph.node):
        name = node.output[0] if node.output else ""
        if name not in operations:
            continue
        if name in floats:
            yield _largest(graph, name, f"{name}.peak"), name
        for addends in _addends(graph, node, weights):
            yield _largest(graph, addends, f"{name}.sum"), name


def _addends(graph: onnx.GraphProto, node: onnx.NodeProto, weights: dict[str, TensorProto]) -> Iterator[str]:
    """A tensor of sums of the magnitudes that this operation adds up."""
    name, kind = node.output[0], node.op_type
    if kind in _PRODUCTS:
        twin = onnx.NodeProto()
        twin.CopyFrom(node)
        del twin.input[2:]
        for index in (0, 1):
            twin.input[index] = _magnitude(graph, node.input[index], weights)
        twin.output[0] = twin.name = f"{name}.addends"
        graph.node.append(twin)
        yield twin.output[0]
    elif kind in _SUMS:
        twin = onnx.NodeProto()
        twin.CopyFrom(node)
        twin.op_type = _SUMS[kind]
        twin.input[0] = _magnitude(graph, node.input[0], weights)
        twin.output[0] = twin.name = f"{name}.addends"
        graph.node.append(twin)
        yield twin.output[0]
    elif kind in _NORMS or kind in _POOLS:
        taken, axis = node.input[0], -1
        if kind != "LayerNormalization":  # all that one channel of one sample holds
            graph.initializer.append(helper.make_tensor(f"{name}.rows", TensorProto.INT64, [3], [0, 0, -1]))
            graph.node.append(helper.make_node("Reshape", [taken, f"{name}.rows"], [f"{name}.flat"]))
            taken, axis = f"{name}.flat", 2
        graph.initializer.append(helper.make_tensor(f"{name}.axes", TensorProto.INT64, [1], [axis]))
        operation = "ReduceSumSquare" if kind in _NORMS else "ReduceL1"
        graph.node.append(helper.make_node(operation, [taken, f"{name}.axes"], [f"{name}.addends"]))
        yield f"{name}.addends"


def _magnitude(graph: onnx.GraphProto, name: str, weights: dict[str, TensorProto]) -> str:
    made = f"{name}.magnitude"
    if made in weights or any(made in node.output for node in graph.node):
        return made
    if name in weights:
        weights[made] = numpy_helper.from_array(np.abs(numpy_helper.to_array(weights[name])), made)
        graph.initializer.append(weights[made])
    else:
        graph.node.append(helper.make_node("Abs", [name], [made]))
    return made


def _largest(graph: onnx.GraphProto, name: str, made: str) -> str:
    graph.node.append(helper.make_node("Abs", [name], [f"{made}.all"]))
    graph.node.append(helper.make_node("ReduceMax", [f"{made}.all"], [made], keepdims=0))
    return made


def _is_float(value: Any) -> bool:
    return bool(value.type.tensor_type.elem_type == TensorProto.FLOAT)
