"""Quantized operations set back to float32, without quantizing anew.

Before: x -> Quantize -> Dequantize -> Conv(Dequantize(int8 w), corrected bias)        After: x -> Conv(w, bias)

A pair that another operation still needs stays; one that nobody needs goes.
"""

from __future__ import annotations

from collections.abc import Collection

import onnx

__all__ = ["Quantized", "tidy"]

# numbers come out of these as they went in, so what is quantized before one is quantized for the operation behind it
_MOVING = frozenset(
    {"Concat", "DepthToSpace", "Expand", "Flatten", "Gather", "Identity", "MaxPool", "Pad", "Relu", "Reshape", "Resize"}
    | {"Slice", "SpaceToDepth", "Split", "Squeeze", "Transpose", "Unsqueeze"}
)


class Quantized:
    """A graph with Quantize/Dequantize pairs and the float32 graph that it was made of, operations of equal outputs.

    `operations`: those that take something quantized, by their first output, in the order of the graph.
    """

    def __init__(self, model: onnx.ModelProto, plain: onnx.ModelProto) -> None:
        self.model = model
        self._plain = {node.output[0]: node for node in plain.graph.node}
        self._weights = {weight.name: weight for weight in plain.graph.initializer}
        self._makers = {name: node for node in model.graph.node for name in node.output}
        self.kinds = {
            node.output[0]: node.op_type
            for node in model.graph.node
            if node.op_type not in ("QuantizeLinear", "DequantizeLinear")
            and any(self._is_dequantized(name) for name in node.input)
        }
        self.operations = tuple(self.kinds)

    def groups(self) -> dict[str, frozenset[str]]:
        """What goes back to float32 together, by name: an operation and those that only move what it takes.

        Those that move for nobody else are groups of their own.
        """
        groups = {
            name: frozenset({name, *self._moving(name)}) for name, kind in self.kinds.items() if kind not in _MOVING
        }
        moved = frozenset().union(*groups.values())
        return groups | {name: frozenset({name}) for name in self.operations if name not in moved}

    def _moving(self, name: str) -> set[str]:
        """Quantized operations before this one, with nothing but moves between."""
        found: set[str] = set()
        names = list(self._makers[name].input)
        while names:
            maker = self._makers.get(names.pop())
            if maker is not None and maker.op_type in _MOVING:
                found |= {maker.output[0]} & self.kinds.keys()
                names += maker.input
        return found

    def without(self, high: Collection[str]) -> bytes:
        """The graph with the operations of `high` in float32."""
        made = onnx.ModelProto()
        made.CopyFrom(self.model)
        have = {weight.name for weight in made.graph.initializer}
        for node in made.graph.node:
            if node.output[0] not in high:
                continue
            plain = self._plain[node.output[0]]
            for index, name in enumerate(plain.input):
                if self._is_dequantized(node.input[index]):
                    node.input[index] = self._source(node.input[index], name)
                elif name in self._weights:  # a bias that was corrected
                    node.input[index] = f"{name}.plain"
                if node.input[index].removesuffix(".plain") == name and name in self._weights:
                    node.input[index] = f"{name}.plain"
                    if f"{name}.plain" not in have:
                        have.add(f"{name}.plain")
                        made.graph.initializer.add().CopyFrom(self._weights[name])
                        made.graph.initializer[-1].name = f"{name}.plain"
        tidy(made.graph)
        data: bytes = made.SerializeToString(deterministic=True)
        return data

    def _is_dequantized(self, name: str) -> bool:
        return name in self._makers and self._makers[name].op_type == "DequantizeLinear"

    def _source(self, name: str, plain: str) -> str:
        """What was quantized: a tensor of this graph, or the weight by its name in the float32 graph."""
        maker = self._makers.get(self._makers[name].input[0])
        return maker.input[0] if maker is not None and maker.op_type == "QuantizeLinear" else plain


def tidy(graph: onnx.GraphProto) -> None:
    """Removes pairs and constants that nothing takes any more."""
    wanted = {output.name for output in graph.output}
    kept = []
    for node in reversed(graph.node):
        if any(name in wanted for name in node.output):
            kept.append(node)
            wanted |= set(node.input) | _taken_inside(node)
    nodes = [onnx.NodeProto.FromString(node.SerializeToString()) for node in reversed(kept)]
    del graph.node[:]
    graph.node.extend(nodes)
    weights = [weight for weight in graph.initializer if weight.name in wanted]
    copies = [onnx.TensorProto.FromString(weight.SerializeToString()) for weight in weights]
    del graph.initializer[:]
    graph.initializer.extend(copies)
    del graph.value_info[:]


def _taken_inside(node: onnx.NodeProto) -> set[str]:
    """What the subgraphs of a node take from outside, and more."""
    graphs = [attribute.g for attribute in node.attribute if attribute.HasField("g")]
    return {name for graph in graphs for inner in graph.node for name in (*inner.input, *_taken_inside(inner))}
