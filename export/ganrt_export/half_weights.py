"""Weights in half the bytes: float16 in the file, float32 in every computation.

Large weights are rounded to float16 in the module itself, so the rounded network is the reference; the graph stores
them as float16 and casts them, and engines fold that cast when they load. Small tensors (biases) stay as they are.
"""

from __future__ import annotations

import copy
from collections.abc import Collection

import numpy as np
import onnx_ir as ir
import torch
from torch import nn

from ganrt.errors import FidelityError

__all__ = ["large_weights", "round_initializers", "round_weights", "store_half"]

SMALLEST = 512  # elements; below it a cast costs more than it saves


def round_weights(module: nn.Module) -> nn.Module:
    """A copy of `module` whose large float32 weights are numbers that float16 holds exactly."""
    rounded = copy.deepcopy(module)
    with torch.no_grad():
        for weight in [*rounded.parameters(), *rounded.buffers()]:
            if weight.dtype == torch.float32 and weight.numel() >= SMALLEST:
                weight.copy_(weight.half())
    return rounded


def large_weights(model: ir.Model) -> list[str]:
    """The initializers that `store_half` stores, by name."""
    return [
        str(value.name)
        for value in model.graph.initializers.values()
        if value.dtype == ir.DataType.FLOAT and value.const_value is not None and value.const_value.size >= SMALLEST
    ]


def round_initializers(model: ir.Model, names: Collection[str]) -> None:
    """Rounds these weights of a graph to numbers that float16 holds, in place; beyond its range they are infinite."""
    for name in names:
        value = model.graph.initializers[name]
        assert value.const_value is not None
        with np.errstate(over="ignore"):
            rounded = value.const_value.numpy().astype(np.float16).astype(np.float32)
        value.const_value = ir.tensor(rounded, name=name)


def store_half(model: ir.Model, keep: Collection[str] = ()) -> None:
    """Large float32 initializers w -> Cast(float16 w), in place, but those named in `keep`.

    Raises FidelityError when a weight is no float16 number: the graph would differ from its module.
    """
    graph = model.graph
    for value in [graph.initializers[name] for name in large_weights(model) if name not in keep]:
        assert value.const_value is not None
        weight = value.const_value.numpy()
        with np.errstate(over="ignore"):
            half = weight.astype(np.float16)
        if not (half.astype(np.float32) == weight).all():
            raise FidelityError(f"The weight '{value.name}' does not fit float16; call round_weights(module) first.")
        name = str(value.name)
        stored = ir.Value(name=f"{name}.half", const_value=ir.tensor(half, name=f"{name}.half"))
        stored.shape, stored.type = ir.Shape(half.shape), ir.TensorType(ir.DataType.FLOAT16)
        cast = ir.node("Cast", [stored], {"to": ir.DataType.FLOAT.value}, name=name)
        value.replace_all_uses_with(cast.outputs[0])
        del graph.initializers[name]
        graph.register_initializer(stored)
        cast.outputs[0].name = name
        graph.insert_before(graph[0], cast)
