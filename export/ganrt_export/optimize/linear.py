"""Layers that are linear in their data: Conv, ConvTranspose, Gemm and MatMul with constant weights.

    y_o = sum_i W_oi x_i + b_o

    behind it   s_o y_o + t_o          is the layer with  s_o W_oi,  s_o b_o + t_o
    before it   W (s_i x_i + t_i) + b  is the layer with  W_oi s_i,  b_o + sum_i W_oi t_i

with the sum over the kernel's taps, too, which is the same at every place only where nothing is padded. Computed in
float64 and rounded to float32 once.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import onnx_ir as ir

from .values import Array, constant, new_constant, sizes

__all__ = ["Linear", "linear"]


class Linear(NamedTuple):
    """`weight` float64 [groups, in / groups, out / groups, taps ...] and `bias` float64 [out] of a node.

    `in_axis` and `out_axis` are the axes of data and result that hold the channels.
    """

    node: ir.Node
    weight: Array
    bias: Array | None
    in_axis: int
    out_axis: int

    @property
    def inputs(self) -> int:
        return int(self.weight.shape[0] * self.weight.shape[1])

    @property
    def outputs(self) -> int:
        return int(self.weight.shape[0] * self.weight.shape[2])

    def padding(self) -> tuple[tuple[int, ...], tuple[int, ...]] | None:
        """Of a Conv with stride and dilation 1: what each axis is padded by in front, and behind. None of others."""
        rank, of = self.weight.ndim - 3, self.node.attributes
        steps = (*of.get_ints("strides", [1] * rank), *of.get_ints("dilations", [1] * rank))
        pads = tuple(of.get_ints("pads", [0] * 2 * rank))
        if self.node.op_type != "Conv" or any(step != 1 for step in steps) or min(pads) < 0:
            return None
        return pads[:rank], pads[rank:]

    def behind(self, s: Array, t: Array) -> Linear | None:
        """This layer and then x s + t of its result, s and t numbers or [out]; None where they do not fit."""
        wide_s, wide_t = _wide(s, self.outputs), _wide(t, self.outputs)
        if wide_s is None or wide_t is None:
            return None
        bias = (0 if self.bias is None else self.bias) * wide_s + wide_t
        groups, _, out, *taps = self.weight.shape
        weight = self.weight * wide_s.reshape(groups, 1, out, *[1] * len(taps))
        return self._replace(weight=weight, bias=bias if self.bias is not None or wide_t.any() else None)

    def before(self, s: Array, t: Array) -> Linear | None:
        """This layer of x s + t, s and t numbers or [in]; None where that is no such layer."""
        wide_s, wide_t = _wide(s, self.inputs), _wide(t, self.inputs)
        if wide_s is None or wide_t is None or (wide_t.any() and not self._sees_only_data()):
            return None
        groups, given, _, *taps = self.weight.shape
        bias = self.bias
        if wide_t.any():
            shift = self.weight * wide_t.reshape(groups, given, 1, *[1] * len(taps))
            shift = shift.sum(axis=(1, *range(3, self.weight.ndim))).reshape(-1)
            bias = shift if bias is None else bias + shift
        return self._replace(weight=self.weight * wide_s.reshape(groups, given, 1, *[1] * len(taps)), bias=bias)

    def write(self, graph: ir.Graph) -> bool:
        """Gives the node these weights. False, and nothing done, where they are no float32 numbers."""
        node = self.node
        with np.errstate(over="ignore"):
            weight = self._stored().astype(np.float32)
            bias = None if self.bias is None else self.bias.astype(np.float32)
        if not np.isfinite(weight).all() or not (bias is None or np.isfinite(bias).all()):
            return False
        if node.op_type == "MatMul" and bias is not None:
            return False
        name = str(node.outputs[0].name)
        node.replace_input_with(1, new_constant(graph, weight, f"{name}_weight"))
        if bias is not None:
            if len(node.inputs) < 3:
                node.resize_inputs(3)
            node.replace_input_with(2, new_constant(graph, bias, f"{name}_bias"))
        if node.op_type == "Gemm":
            for scale in ("alpha", "beta"):
                node.attributes[scale] = ir.AttrFloat32(scale, 1.0)
        return True

    def _stored(self) -> Array:
        """The weight as the node's operation wants it."""
        groups, given, out, *taps = self.weight.shape
        if self.node.op_type == "Conv":
            return self.weight.swapaxes(1, 2).reshape(groups * out, given, *taps)
        if self.node.op_type == "ConvTranspose":
            return self.weight.reshape(groups * given, out, *taps)
        matrix: Array = self.weight[0]
        return matrix.T if self.node.attributes.get_int("transB", 0) else matrix

    def _sees_only_data(self) -> bool:
        """Is every place of the result a sum over whole kernels? False with padding, and for what is transposed."""
        if self.node.op_type == "Conv":
            return not any(self.node.attributes.get_ints("pads", ())) and _plain_padding(self.node)
        return self.node.op_type in ("Gemm", "MatMul")


def linear(node: ir.Node | None) -> Linear | None:
    """The layer that `node` is, or None: no such operation, weights that are not constant, other types than float32."""
    if node is None or node.domain not in ("", "ai.onnx"):
        return None
    if node.op_type not in ("Conv", "ConvTranspose", "Gemm", "MatMul") or constant(node.inputs[0]) is not None:
        return None
    weight = constant(node.inputs[1])
    given = node.inputs[2] if len(node.inputs) > 2 else None
    bias = constant(given)
    if weight is None or weight.dtype != np.float32 or (given is not None and bias is None) or not weight.size:
        return None
    wide = weight.astype(np.float64)
    shift = None if bias is None else bias.astype(np.float64)
    match node.op_type:
        case "Conv" | "ConvTranspose":
            return _convolution(node, wide, shift)
        case "Gemm":
            return _gemm(node, wide, shift)
    rank = sizes(node.inputs[0])
    if weight.ndim != 2 or rank is None or len(rank) < 2:
        return None
    return Linear(node, wide[None], None, len(rank) - 1, len(rank) - 1)


def _convolution(node: ir.Node, weight: Array, bias: Array | None) -> Linear | None:
    groups = node.attributes.get_int("group", 1)
    first, second, *taps = weight.shape
    if weight.ndim < 3 or first % groups or not _plain_padding(node):
        return None
    shaped = weight.reshape(groups, first // groups, second, *taps)
    if node.op_type == "Conv":
        shaped = shaped.swapaxes(1, 2)
    return Linear(node, shaped, bias, 1, 1)


def _gemm(node: ir.Node, weight: Array, bias: Array | None) -> Linear | None:
    if node.attributes.get_int("transA", 0) or weight.ndim != 2:
        return None
    weight = weight.T if node.attributes.get_int("transB", 0) else weight
    outputs = weight.shape[1]
    if bias is not None:
        if bias.size not in (1, outputs) or (bias.ndim == 2 and bias.shape[0] != 1):
            return None
        bias = np.broadcast_to(bias.reshape(-1), (outputs,)) * node.attributes.get_float("beta", 1.0)
    return Linear(node, weight[None] * node.attributes.get_float("alpha", 1.0), bias, 1, 1)


def _plain_padding(node: ir.Node) -> bool:
    return node.attributes.get_string("auto_pad", "NOTSET") == "NOTSET" and "output_shape" not in node.attributes


def _wide(numbers: Array, count: int) -> Array | None:
    """[count] of one number or of `count`."""
    if numbers.ndim == 0 or numbers.size == count:
        return np.broadcast_to(numbers.reshape(-1), (count,))
    return None
