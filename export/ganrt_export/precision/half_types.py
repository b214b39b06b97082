"""float32 -> float16 in the types of an ONNX graph, operation by operation.

    x -> Conv -> Pow -> y                 everything lowered but Pow:
                                          x -> Cast(16) -> Conv(16) -> Cast(32) -> Pow -> y

A lowered operation takes and gives float16 wherever its schema allows it; the others keep their types, and casts stand
at the borders, one for each tensor and direction. Nothing is mixed inside an operation, since TensorRT's networks are
strongly typed: what the schema says is one type is one type. Inputs and outputs of the graph keep theirs.

`switched` is the same arithmetic with a switch for each operation. In float32 types every tensor that would be float16
is rounded to float16 where its switch is on; the operations compute in float32 inside, as tensor cores do, and
overflow, underflow and rounding between them are those of float16. An engine without float16 kernels would otherwise
compute in float32 from end to end and hide them all; and one session answers for every choice of operations.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import cache
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray

from .widened import widened

__all__ = ["Halves"]

FLOAT, HALF = ir.DataType.FLOAT, ir.DataType.FLOAT16
_SWITCH = "is_half."
_TYPES_TOLD = ("to", "dtype", "output_datatype")  # attributes that say an output's type
_LOST = 0.01  # relative; float16 is within 0.0005 of any number but the very small


class Halves:
    """A float32 graph and the operations in it that float16 could reach, named by their first output.

    `operations`: in the graph's order. `unfit`: those of them that have a constant which float16 cannot hold (an
    epsilon that would be 0, a bound that would be infinite), so that they are no choice.
    """

    def __init__(self, data: bytes) -> None:
        self._proto = onnx.shape_inference.infer_shapes(ir.to_proto(widened(data)))
        model = ir.from_proto(self._proto)
        self._opset = int(model.opset_imports.get("", 20))
        nodes = [node for node in model.graph if self._reaches(node)]
        self.kinds = {_name(node): node.op_type for node in nodes}
        self.operations = tuple(self.kinds)
        self.unfit = frozenset(_name(node) for node in nodes if any(map(_is_lost, node.inputs)))

    def lowered(self, high: Collection[str]) -> bytes:
        """The graph with every operation in float16 but those in `high`."""
        model = ir.from_proto(self._proto)
        _Lowering(model, set(self.operations) - set(high), self._opset).apply()
        data: bytes = ir.to_proto(model).SerializeToString(deterministic=True)
        return data

    def switched(self) -> bytes:
        """The graph in float32 types with one more input for each operation, a bool: is it float16?"""
        model = ir.from_proto(self._proto)
        _Switching(model, self.operations, self._opset).apply()
        data: bytes = ir.to_proto(model).SerializeToString()
        return data

    def switches(self, high: Collection[str]) -> dict[str, NDArray[np.bool_]]:
        """What `switched` takes for everything in float16 but `high`."""
        return {f"{_SWITCH}{name}": np.array(name not in high) for name in self.operations}

    def _reaches(self, node: ir.Node) -> bool:
        """Whether float16 is possible here and changes anything."""
        if node.domain not in ("", "ai.onnx") or any(_has_graph(attribute) for attribute in node.attributes.values()):
            return False
        if any(one is not None and one.dtype is None for one in (*node.inputs, *node.outputs)):
            return False  # half of an operation in float16 is no graph
        takes = [_allows(node, i, self._opset, output=False) for i, one in enumerate(node.inputs) if _is_float(one)]
        return any(takes) or any(_gives_half(node, index, self._opset) for index in range(len(node.outputs)))


class _Names:
    """Names that no other tensor of the graph has."""

    def __init__(self, graph: ir.Graph) -> None:
        self.taken = {str(value.name) for node in graph.all_nodes() for value in node.outputs}
        self.taken |= {str(value.name) for value in (*graph.inputs, *graph.initializers.values())}

    def fresh(self, name: str) -> str:
        while name in self.taken:
            name = f"{name}_"
        self.taken.add(name)
        return name


class _Lowering:
    """float16 types for the operations in `low`, casts at their borders."""

    def __init__(self, model: ir.Model, low: set[str], opset: int) -> None:
        self.graph, self.low, self.opset, self.names = model.graph, low, opset, _Names(model.graph)
        self.made: dict[tuple[ir.Value, bool], ir.Value] = {}  # a tensor in the other type
        self.halves: set[ir.Value] = set()  # tensors that are float16 now

    def apply(self) -> None:
        for node in list(self.graph):
            if _name(node) in self.low:
                self._lower(node)
            else:
                for index, value in enumerate(node.inputs):
                    if value in self.halves:
                        node.replace_input_with(index, self._as(value, node, half=False))
                for inner, index, value in _inner_uses(node, self.halves):
                    inner.replace_input_with(index, self._as(value, node, half=False))
        for index, value in enumerate(list(self.graph.outputs)):
            if value in self.halves:
                self._restore_output(index, value)
        for value in list(self.graph.initializers.values()):
            if not value.uses() and not value.is_graph_output():
                del self.graph.initializers[str(value.name)]

    def _lower(self, node: ir.Node) -> None:
        for index, value in enumerate(node.inputs):
            if value is None or not (_is_float(value) or value in self.halves):
                continue
            half = _allows(node, index, self.opset, output=False)
            if half != (value in self.halves):
                node.replace_input_with(index, self._as(value, node, half=half))
        given = [value for index, value in enumerate(node.outputs) if _gives_half(node, index, self.opset)]
        if given:
            _tell_type(node)
        for value in given:
            value.type = ir.TensorType(HALF)
            self.halves.add(value)

    def _as(self, value: ir.Value, before: ir.Node, *, half: bool) -> ir.Value:
        """`value` in the other type, made once."""
        if (value, half) not in self.made:
            if value.is_initializer() and half:
                name = self.names.fresh(f"{value.name}.half")
                self.made[value, half] = _constant(self.graph, name, _halved(value))
            else:
                self.made[value, half] = self._cast(value, HALF if half else FLOAT, before)
        return self.made[value, half]

    def _cast(self, value: ir.Value, dtype: ir.DataType, before: ir.Node | None) -> ir.Value:
        made = _node(self.names, "Cast", [value], "half" if dtype == HALF else "float", {"to": dtype.value})
        made.type, made.shape = ir.TensorType(dtype), value.shape
        node, producer = made.producer(), value.producer()
        assert node is not None
        if before is not None:
            self.graph.insert_before(before, node)
        else:
            assert producer is not None
            self.graph.insert_after(producer, node)
        return made

    def _restore_output(self, index: int, value: ir.Value) -> None:
        """An output of the graph is float32 again: its name goes to a cast after it."""
        name = value.name
        value.name = self.names.fresh(f"{name}.half")
        made = self.made.get((value, False)) or self._cast(value, FLOAT, None)
        made.name, made.shape = name, value.shape
        self.graph.outputs[index] = made


class _Switching:
    """Every tensor that an operation would take or give as float16 is rounded to it where the switch is on."""

    def __init__(self, model: ir.Model, operations: Collection[str], opset: int) -> None:
        self.graph, self.operations, self.opset = model.graph, set(operations), opset
        self.names = _Names(model.graph)

    def apply(self) -> None:
        for node in list(self.graph):
            name = _name(node)
            if name not in self.operations:
                continue
            switch = ir.Value(name=f"{_SWITCH}{name}", shape=ir.Shape([]), type=ir.TensorType(ir.DataType.BOOL))
            self.graph.inputs.append(switch)
            for index, value in enumerate(node.inputs):
                if _is_float(value) and _allows(node, index, self.opset, output=False):
                    assert value is not None
                    node.replace_input_with(index, self._either(switch, value, before=node))
            for index, value in enumerate(node.outputs):
                if _gives_half(node, index, self.opset):
                    self._round(switch, value, node)

    def _either(self, switch: ir.Value, value: ir.Value, before: ir.Node) -> ir.Value:
        if value.is_initializer():
            rounded = _constant(
                self.graph, self.names.fresh(f"{value.name}.rounded"), _halved(value).astype(np.float32)
            )
            chain = []
        else:
            half = _node(self.names, "Cast", [value], "half", {"to": HALF.value})
            rounded = _node(self.names, "Cast", [half], "rounded", {"to": FLOAT.value})
            chain = [half.producer(), rounded.producer()]
        either = _node(self.names, "Where", [switch, rounded, value], "either")
        either.type, either.shape = value.type, value.shape
        for one in (*chain, either.producer()):
            assert one is not None
            self.graph.insert_before(before, one)
        return either

    def _round(self, switch: ir.Value, value: ir.Value, node: ir.Node) -> None:
        uses, following = list(value.uses()), node
        half = _node(self.names, "Cast", [value], "half", {"to": HALF.value})
        rounded = _node(self.names, "Cast", [half], "rounded", {"to": FLOAT.value})
        either = _node(self.names, "Where", [switch, rounded, value], "either")
        either.type, either.shape = value.type, value.shape
        for one in (half, rounded, either):
            producer = one.producer()
            assert producer is not None
            self.graph.insert_after(following, producer)
            following = producer
        for user, index in uses:
            user.replace_input_with(index, either)
        for index, output in enumerate(self.graph.outputs):
            if output is value:
                either.name, value.name = value.name, self.names.fresh(f"{value.name}.exact")
                self.graph.outputs[index] = either


def _node(
    names: _Names, op: str, inputs: Sequence[ir.Value], ending: str, attributes: dict[str, Any] | None = None
) -> ir.Value:
    """The output of a new operation, named after its last input."""
    node = ir.node(op, inputs, attributes)
    node.name = node.outputs[0].name = names.fresh(f"{inputs[-1].name}.{ending}")
    return node.outputs[0]


def _constant(graph: ir.Graph, name: str, array: NDArray[Any]) -> ir.Value:
    tensor = ir.tensor(array, name=name)
    made = ir.Value(name=name, const_value=tensor, shape=ir.Shape(array.shape), type=ir.TensorType(tensor.dtype))
    graph.register_initializer(made)
    return made


def _halved(value: ir.Value) -> NDArray[np.float16]:
    with np.errstate(over="ignore"):
        return _array(value).astype(np.float16)


def _name(node: ir.Node) -> str:
    return str(node.outputs[0].name)


def _is_float(value: ir.Value | None) -> bool:
    return value is not None and isinstance(value.type, ir.TensorType) and value.dtype == FLOAT


def _has_graph(attribute: Any) -> bool:
    return getattr(attribute, "type", None) in (ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS)


def _array(value: ir.Value) -> NDArray[Any]:
    assert value.const_value is not None
    return value.const_value.numpy()


def _is_lost(value: ir.Value | None) -> bool:
    """A constant of which float16 makes something else: a single number that becomes 0, or any that become infinite."""
    if value is None or not _is_float(value) or value.const_value is None:
        return False
    exact = _array(value).astype(np.float64)
    with np.errstate(over="ignore"):
        half = exact.astype(np.float16).astype(np.float64)
    if (np.isinf(half) & np.isfinite(exact)).any():
        return True
    return bool(exact.size == 1 and np.isfinite(exact).all() and (np.abs(half - exact) > _LOST * np.abs(exact)).all())


def _inner_uses(node: ir.Node, halves: set[ir.Value]) -> list[tuple[ir.Node, int, ir.Value]]:
    """Where a subgraph of `node` takes tensors of the graph around it that are float16 now."""
    found = []
    for attribute in node.attributes.values():
        if isinstance(attribute, ir.Attr) and _has_graph(attribute):
            graphs: Sequence[ir.Graph] = [attribute.value] if isinstance(attribute.value, ir.Graph) else attribute.value
            for graph in graphs:
                for inner in graph.all_nodes():
                    found += [(inner, i, value) for i, value in enumerate(inner.inputs) if value in halves]
    return [(inner, index, value) for inner, index, value in found if value is not None]


def _tell_type(node: ir.Node) -> None:
    """Attributes that say float32 say float16; constants in them too."""
    for name, attribute in list(node.attributes.items()):
        if name in _TYPES_TOLD and attribute.value == FLOAT.value:
            node.attributes[name] = ir.AttrInt64(name, HALF.value)
        elif name == "value" and isinstance(attribute.value, ir.TensorProtocol) and attribute.value.dtype == FLOAT:
            node.attributes[name] = ir.AttrTensor(name, ir.tensor(attribute.value.numpy().astype(np.float16)))
    if node.op_type in ("RandomNormal", "RandomUniform", "ConstantOfShape") and not (
        {"dtype", "value"} & set(node.attributes)
    ):
        if node.op_type == "ConstantOfShape":
            node.attributes["value"] = ir.AttrTensor("value", ir.tensor(np.zeros(1, np.float16)))
        else:
            node.attributes["dtype"] = ir.AttrInt64("dtype", HALF.value)


def _allows(node: ir.Node, index: int, opset: int, *, output: bool) -> bool:
    """Whether the schema allows float16 for this input or output."""
    return _schema_allows(node.op_type, opset, index, output)


def _gives_half(node: ir.Node, index: int, opset: int) -> bool:
    if not _is_float(node.outputs[index]) or (node.op_type == "Constant" and "value" not in node.attributes):
        return False
    return _allows(node, index, opset, output=True)


@cache
def _schema_allows(op_type: str, opset: int, index: int, output: bool) -> bool:
    try:
        schema = onnx.defs.get_schema(op_type, opset)
    except onnx.defs.SchemaError:
        return False
    formals = schema.outputs if output else schema.inputs
    if not formals:
        return False
    formal = formals[min(index, len(formals) - 1)]
    if index >= len(formals) and formal.option != onnx.defs.OpSchema.FormalParameterOption.Variadic:
        return False
    allowed = {one.type_param_str: one.allowed_type_strs for one in schema.type_constraints}.get(formal.type_str)
    return "tensor(float16)" in (allowed if allowed is not None else (formal.type_str,))
