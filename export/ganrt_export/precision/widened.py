"""A graph whose constants are all plain float32: what lowering starts from.

Before: Cast(float16 w, to float32) -> Conv        After: float32 w -> Conv
"""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir

__all__ = ["widened"]


def widened(data: bytes) -> ir.Model:
    """The graph with every float16 weight (`half_weights.store_half`) as float32, which holds it exactly."""
    model = ir.from_proto(onnx.load_from_string(data))
    graph = model.graph
    for node in list(graph):
        stored = node.inputs[0] if node.op_type == "Cast" and node.domain == "" else None
        if stored is None or stored.const_value is None or not stored.is_initializer():
            continue
        (made,) = node.outputs
        if stored.dtype != ir.DataType.FLOAT16 or node.attributes["to"].as_int() != ir.DataType.FLOAT or _leaves(made):
            continue
        array, name = stored.const_value.numpy().astype(np.float32), str(made.name)
        plain = ir.Value(name=name, const_value=ir.tensor(array, name=name), type=ir.TensorType(ir.DataType.FLOAT))
        plain.shape = ir.Shape(array.shape)
        made.replace_all_uses_with(plain)
        graph.remove(node, safe=True)
        graph.register_initializer(plain)
        if not stored.uses():
            del graph.initializers[str(stored.name)]
    return model


def _leaves(value: ir.Value) -> bool:
    return value.is_graph_output()
