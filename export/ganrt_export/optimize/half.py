"""Rewritten weights in half the bytes, in a graph that stores its weights so, where they are float16 numbers still.

Rearranged weights are; scaled or summed ones are not, and stay float32: no number changes for the sake of size.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from ..half_weights import SMALLEST
from .values import made, new_constant

__all__ = ["is_half", "store_half_where_exact"]


def is_half(graph: ir.Graph) -> bool:
    """Does the graph keep float32 weights as float16 behind a Cast?"""
    return any(
        value.dtype == ir.DataType.FLOAT16 and any(use.node.op_type == "Cast" for use in value.uses())
        for value in graph.initializers.values()
    )


def store_half_where_exact(model: ir.Model) -> None:
    """Large float32 initializers that are float16 numbers become those and a Cast, in place."""
    graph = model.graph
    for value in list(graph.initializers.values()):
        if value.dtype != ir.DataType.FLOAT or value.const_value is None or value.const_value.size < SMALLEST:
            continue
        weight = value.const_value.numpy()
        with np.errstate(over="ignore"):
            stored = weight.astype(np.float16)
        if not list(value.uses()) or not (stored.astype(np.float32) == weight).all():
            continue
        cast = made("Cast", [new_constant(graph, stored, f"{value.name}.half")], {"to": ir.DataType.FLOAT.value})
        cast.outputs[0].type, cast.outputs[0].shape = value.type, value.shape
        value.replace_all_uses_with(cast.outputs[0])
        graph.insert_before(graph[0], cast)
        del graph.initializers[str(value.name)]
