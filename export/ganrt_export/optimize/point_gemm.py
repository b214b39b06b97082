"""A convolution of a map of one pixel is a matrix product; so is a transposed one, the first layer of a DCGAN.

    y[o, h, w] = b_o + sum_i x_i W[i, o, h + P, w + P]             ConvTranspose, any stride
    y[o, h, w] = b_o + sum_i x_i W[o, i, P - h, P - w]             Conv, as progressive GANs begin

so with x [batch, in] it is Gemm with W [in, out h w], and a Reshape. Reshapes before it go, too. Engines compute the
convolution as such, with most of its taps on padding.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from .linear import Linear, linear
from .values import Array, made, new_constant, producer, put, replace, sizes

__all__ = ["point_to_gemm"]


def point_to_gemm(graph: ir.Graph) -> int:
    """Rewrites such layers, in place; returns how many. Wants shapes."""
    changed = 0
    for node in list(graph):
        layer = linear(node) if node.op_type in ("Conv", "ConvTranspose") and node.graph is graph else None
        shape = None if layer is None else sizes(node.inputs[0])
        if layer is None or shape is None or any(size != 1 for size in shape[2:]) or layer.weight.shape[0] != 1:
            continue
        kernel = _placed(layer)
        if kernel is None:
            continue
        nodes = _gemm(graph, layer, kernel)
        put(graph, node, nodes)
        replace(graph, node.outputs[0], nodes[-1].outputs[0])
        changed += 1
    return changed


def _placed(layer: Linear) -> Array | None:
    """The taps that each place of the result sees: float64 [in, out, places ...]."""
    node = layer.node
    kernel: Array = layer.weight[0]
    rank = kernel.ndim - 2
    pads = node.attributes.get_ints("pads", [0] * 2 * rank)
    strides = node.attributes.get_ints("strides", [1] * rank)
    dilations = node.attributes.get_ints("dilations", [1] * rank)
    more = node.attributes.get_ints("output_padding", [0] * rank)
    for axis in range(rank):
        taps, step, stride, front, rear = (
            kernel.shape[2 + axis], dilations[axis], strides[axis], pads[axis], pads[rank + axis],
        )  # fmt: skip
        reach = step * (taps - 1) + 1
        if node.op_type == "ConvTranspose":
            places = np.arange(reach - front - rear + more[axis]) + front
        else:
            places = front - stride * np.arange((1 + front + rear - reach) // stride + 1)
        if len(places) < 1 or front < 0 or rear < 0:
            return None
        seen = (places >= 0) & (places % step == 0) & (places // step < taps)
        taken = np.take(kernel, np.where(seen, places // step, 0), 2 + axis)
        kernel = taken * seen.reshape([-1, *[1] * (rank - 1 - axis)])
    return kernel


def _gemm(graph: ir.Graph, layer: Linear, kernel: Array) -> list[ir.Node]:
    result, source = layer.node.outputs[0], _flat_source(layer.node.inputs[0])
    given, out, *places = kernel.shape
    nodes: list[ir.Node] = []
    assert source is not None
    shape = sizes(source)
    if shape is None or len(shape) != 2:
        nodes.append(_reshape(graph, source, [given], result, "row"))
        source = nodes[-1].outputs[0]
    count = int(np.prod(places))
    weight = new_constant(graph, kernel.reshape(given, out * count).T.astype(np.float32), f"{result.name}_matrix")
    inputs: list[ir.Value | None] = [source, weight]
    if layer.bias is not None:
        inputs.append(new_constant(graph, np.repeat(layer.bias, count).astype(np.float32), f"{result.name}_offset"))
    gemm = made("Gemm", inputs, {"transB": 1, "alpha": 1.0, "beta": 1.0})
    first = None if result.shape is None else result.shape[0]
    gemm.outputs[0].type, gemm.outputs[0].shape = result.type, ir.Shape([first, out * count])
    nodes.append(gemm)
    map_ = _reshape(graph, gemm.outputs[0], [out, *places], result, "map")
    map_.outputs[0].shape = ir.Shape([first, out, *places])
    return [*nodes, map_]


def _flat_source(value: ir.Value | None) -> ir.Value | None:
    """What a map of one pixel was as a row, [batch, channels], or the map."""
    start = value
    while (node := producer(value, "Reshape", "Unsqueeze", "Squeeze", "Flatten")) is not None:
        before, after = sizes(node.inputs[0]), sizes(value)
        if before is None or after is None or before[1:2] != after[1:2] or any(n != 1 for n in before[2:] + after[2:]):
            break
        value = node.inputs[0]
        if len(before) == 2:
            return value
    return start


def _reshape(graph: ir.Graph, value: ir.Value, sizes_: Sequence[int], like: ir.Value, name: str) -> ir.Node:
    shape = new_constant(graph, np.array([-1, *sizes_], np.int64), f"{like.name}_{name}")
    node = made("Reshape", [value, shape])
    node.outputs[0].type = like.type
    return node
