"""Work that does not look at neighbours is done before pixels are repeated or interpolated, not after.

    conv1x1(up(x)) = up(conv1x1(x))         for any `up` whose weights add up to 1: the bias passes, too
    f(up(x), y)    = up(f(x, y))            for up nearest, f elementwise, and y the same for every pixel

A quarter of the work for twice the size. The second moves activations and styles out of the way of `upsampling`.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from .linear import linear
from .repeats import repeated, repetition
from .values import constant, made, producer, put, replace, sizes, sole_user

__all__ = ["commute_pointwise"]

_UNARY = ("Relu", "LeakyRelu", "Sigmoid", "Tanh", "Elu", "Selu", "Softplus", "Softsign", "HardSigmoid", "HardSwish",
          "Mish", "Gelu", "ThresholdedRelu", "Neg", "Abs", "Exp", "Sqrt", "Identity")  # fmt: skip
_BINARY = ("Mul", "Add", "Sub", "Div", "PRelu")


def commute_pointwise(graph: ir.Graph) -> int:
    """Moves such work, in place; returns how many nodes moved. Wants repetitions in their common form, and shapes."""
    moved = 0
    for node in list(graph):
        if node.graph is graph and node.domain in ("", "ai.onnx") and (_conv(graph, node) or _elementwise(graph, node)):
            moved += 1
    return moved


def _conv(graph: ir.Graph, conv: ir.Node) -> bool:
    layer = linear(conv) if conv.op_type == "Conv" else None
    resize = producer(conv.inputs[0], "Resize") if layer is not None else None
    if layer is None or resize is None or resize.inputs[0] is None or not _keeps_means(resize):
        return False
    plain = [*layer.weight.shape[3:], *conv.attributes.get_ints("strides", ())]
    if any(size != 1 for size in plain) or any(conv.attributes.get_ints("pads", ())):
        return False
    _swap(graph, resize, conv, 0, layer.outputs)
    return True


def _elementwise(graph: ir.Graph, node: ir.Node) -> bool:
    if node.op_type not in (*_UNARY, *_BINARY, "BatchNormalization") or len(node.outputs) != 1:
        return False
    for index, value in enumerate(node.inputs[: 2 if node.op_type in ("Mul", "Add", "Sub", "Div") else 1]):
        resize = producer(value, "Resize")
        if resize is None or value is None or sole_user(value) is None or repeated(resize) is None:
            continue
        if node.op_type in _BINARY and not _same_everywhere(node.inputs[1 - index], value, node.outputs[0]):
            continue
        shape = sizes(node.outputs[0])
        _swap(graph, resize, node, index, None if shape is None else shape[1])
        return True
    return False


def _swap(graph: ir.Graph, resize: ir.Node, node: ir.Node, index: int, channels: int | None) -> None:
    """node(resize(x)) -> resize(node(x))."""
    source, result = resize.inputs[0], node.outputs[0]
    assert source is not None
    inputs = list(node.inputs)
    inputs[index] = source
    small: list[int | ir.SymbolicDim | None] | None = None
    if source.shape is not None and result.shape is not None:
        small = [result.shape[0], channels, *list(source.shape)[2:]]  # the batch may be y's alone
    before = ir.Node("", node.op_type, inputs, list(node.attributes.values()), num_outputs=1)
    before.outputs[0].type = result.type
    before.outputs[0].shape = None if small is None else ir.Shape(small)
    found = repeated(resize)
    if found is not None:
        after = repetition(graph, before.outputs[0], found[1], result)
    else:
        after = made("Resize", [before.outputs[0], *resize.inputs[1:]], like=result)
        for attribute in resize.attributes.values():
            after.attributes.add(attribute)
    put(graph, node, [before, after])
    replace(graph, result, after.outputs[0])
    if not list(resize.outputs[0].uses()) and not resize.outputs[0].is_graph_output():
        graph.remove(resize, safe=True)


def _keeps_means(resize: ir.Node) -> bool:
    """Is every result a mean of its inputs, whose scales say nothing of channels?"""
    if repeated(resize) is not None:
        return True
    factors = constant(resize.inputs[2]) if len(resize.inputs) > 2 else None
    if factors is None or factors.size < 3 or (factors[:2] != 1).any() or "axes" in resize.attributes:
        return False
    if float(np.prod(factors)) <= 1 or resize.attributes.get_int("antialias", 0) != 0:
        return False
    how = resize.attributes.get_string("coordinate_transformation_mode", "half_pixel")
    return resize.attributes.get_string("mode", "nearest") == "linear" and how != "tf_crop_and_resize"


def _same_everywhere(other: ir.Value | None, data: ir.Value, result: ir.Value) -> bool:
    """Is `other` one number for each sample and channel, so that the result has the shape of `data`?"""
    small, large, after = sizes(other), sizes(data), sizes(result)
    if small is None or large is None or after is None or len(small) > len(large) or len(after) != len(large):
        return False
    aligned = (*[1] * (len(large) - len(small)), *small)
    channels = aligned[1] == 1 or (aligned[1] is not None and aligned[1] == large[1])
    return channels and all(size == 1 for size in aligned[2:])
