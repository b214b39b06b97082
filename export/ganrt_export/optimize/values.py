"""What is known of the values of a graph, and how a rewrite puts others in their place.

A weight may lie behind a Cast from float16 (`half_weights`) or a product with a constant (equalised learning rates);
`constant` computes what an engine would fold, so that no rewrite has to know how a weight is stored.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

__all__ = [
    "UNTIL_THE_END",
    "Array",
    "constant",
    "data_inputs",
    "made",
    "new_constant",
    "producer",
    "put",
    "replace",
    "sizes",
    "sole_user",
]

Array = NDArray[Any]
UNTIL_THE_END: Final = 2**63 - 1  # as the end of a Slice

_LARGEST: Final = 1 << 26  # elements that are computed here
_BINARY: Final[Mapping[str, Callable[[Array, Array], Array]]] = {
    "Add": np.add,
    "Sub": np.subtract,
    "Mul": np.multiply,
    "Div": np.divide,
}
_UNARY: Final[Mapping[str, Callable[[Array], Array]]] = {
    "Neg": np.negative,
    "Sqrt": np.sqrt,
    "Reciprocal": np.reciprocal,
    "Identity": lambda x: x,
}

_PLAIN: Final = {"value_int": "int64", "value_ints": "int64", "value_float": "float32", "value_floats": "float32"}


def constant(value: ir.Value | None, depth: int = 16) -> Array | None:
    """The array that `value` always is, or None where it depends on an input, or on more than is folded here."""
    if value is None or value.is_graph_input() or depth == 0:
        return None
    if value.const_value is not None:
        return value.const_value.numpy() if value.const_value.size <= _LARGEST else None
    node = value.producer()
    if node is None or node.domain not in ("", "ai.onnx") or len(node.outputs) != 1:
        return None
    if node.op_type == "Constant":
        return _attribute(node)
    if node.op_type not in (*_BINARY, *_UNARY, "Cast", "Reshape", "Transpose", "Unsqueeze", "Squeeze"):
        return None
    given = [constant(one, depth - 1) for one in node.inputs]
    arrays = [one for one in given if one is not None]
    if len(arrays) != len(given):
        return None
    return _computed(node, arrays)


def _attribute(node: ir.Node) -> Array | None:
    if "value" in node.attributes:
        tensor = node.attributes["value"].as_tensor()
        return tensor.numpy() if tensor.size <= _LARGEST else None
    for name, dtype in _PLAIN.items():
        if name in node.attributes:
            return np.array(node.attributes[name].value, dtype)
    return None


def _computed(node: ir.Node, arrays: Sequence[Array]) -> Array | None:
    first = arrays[0]
    if node.op_type in _BINARY:
        if not np.issubdtype(first.dtype, np.floating):
            return None  # whole numbers divide in another way
        return np.asarray(_BINARY[node.op_type](first, arrays[1]))
    if node.op_type in _UNARY:
        return np.asarray(_UNARY[node.op_type](first))
    match node.op_type:
        case "Cast":
            return np.asarray(first.astype(ir.DataType(node.attributes["to"].as_int()).numpy()))
        case "Transpose":
            return np.transpose(first, node.attributes.get_ints("perm", None))
        case "Reshape":
            shape = [int(size) for size in arrays[1]]
            if not node.attributes.get_int("allowzero", 0):
                shape = [first.shape[axis] if size == 0 else size for axis, size in enumerate(shape)]
            return first.reshape(shape)
        case "Unsqueeze" if len(arrays) == 2:
            return np.expand_dims(first, tuple(int(axis) for axis in arrays[1]))
        case "Squeeze" if len(arrays) == 2:
            return np.squeeze(first, tuple(int(axis) for axis in arrays[1]))
    return None


def sizes(value: ir.Value | None) -> tuple[int | None, ...] | None:
    """The extent of each axis, None where it may change; None where not even the rank is known."""
    if value is None or value.shape is None:
        array = constant(value)
        return None if array is None else array.shape
    return tuple(size if isinstance(size, int) else None for size in value.shape)


def producer(value: ir.Value | None, *operations: str) -> ir.Node | None:
    """The node that makes `value`, if it is one of these standard operations (any, when none is named)."""
    node = None if value is None else value.producer()
    if node is None or node.domain not in ("", "ai.onnx") or (operations and node.op_type not in operations):
        return None
    return node


def sole_user(value: ir.Value) -> tuple[ir.Node, int] | None:
    """The only node that takes `value`, and as which input; None when there are others, or it leaves the graph."""
    uses = list(value.uses())
    if len(uses) != 1 or value.is_graph_output() or uses[0].node.graph is not value.graph:
        return None
    return uses[0].node, uses[0].idx


def data_inputs(node: ir.Node) -> list[ir.Value]:
    """The inputs that are there and no constants."""
    return [value for value in node.inputs if value is not None and constant(value) is None]


def new_constant(graph: ir.Graph, array: Array, name: str) -> ir.Value:
    """An initializer with this array under `name`, or under a name that begins so."""
    free, number = name, 0
    while free in graph.initializers:
        number += 1
        free = f"{name}_{number}"
    array = np.ascontiguousarray(array)
    tensor = ir.tensor(array, name=free)
    value = ir.Value(name=free, shape=ir.Shape(array.shape), type=ir.TensorType(tensor.dtype), const_value=tensor)
    graph.register_initializer(value)
    return value


def made(
    operation: str,
    inputs: Sequence[ir.Value | None],
    attributes: Mapping[str, Any] | None = None,
    *,
    like: ir.Value | None = None,
    shape: Sequence[int | str | None] | None = None,
) -> ir.Node:
    """A node of one output, of the type of `like` and of its shape, unless another is given."""
    node = ir.node(operation, inputs, attributes)
    if like is not None:
        node.outputs[0].type = like.type
        node.outputs[0].shape = like.shape if shape is None else ir.Shape(shape)
    return node


def put(graph: ir.Graph, place: ir.Node, nodes: Sequence[ir.Node]) -> None:
    """Adds nodes, in their order, before `place`."""
    graph.insert_before(place, nodes)


def replace(graph: ir.Graph, old: ir.Value, new: ir.Value) -> None:
    """Whoever took `old` takes `new`, which gets its name where that is an output's. The node of `old` goes if unused.

    `new` must be no output of the graph.
    """
    node, leaves = old.producer(), old.is_graph_output()
    name = old.name
    old.replace_all_uses_with(new, replace_graph_outputs=True)
    if leaves:
        old.name = None
        new.name, new.type, new.shape = name, old.type, old.shape
    if node is not None and not any(list(value.uses()) or value.is_graph_output() for value in node.outputs):
        graph.remove(node, safe=True)
