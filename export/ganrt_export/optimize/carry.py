"""A constant x s + t for each channel, carried past the operations that it commutes with.

Reshape, Transpose, DepthToSpace     places change, numbers do not: s and t are rearranged
Resize (nearest, linear)             weights that add up to 1: s and t stay
Pad by reflection or repetition      the same; Pad with zeros where t = 0
Relu, LeakyRelu, PRelu               f(x s) = f(x) s  where s > 0 and t = 0
Add of a constant c                  (x + c) s = x s + c s  where t = 0
Mul, Div by anything                 (x y) s = (x s) y  where t = 0
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import onnx_ir as ir

from .values import Array, constant, sizes

__all__ = ["Edit", "Scaling", "backwards", "forwards", "read"]

_LARGEST = 1 << 24  # elements of an s or t while it is rearranged


class Edit(NamedTuple):
    """A constant input of a node on the way, and what it becomes."""

    node: ir.Node
    place: int
    array: Array


class Scaling(NamedTuple):
    """x s + t along `axis` of a tensor, float64 [extent]; numbers, where `axis` is None."""

    axis: int | None
    s: Array
    t: Array

    @property
    def shifts(self) -> bool:
        return bool(np.any(self.t != 0))


def read(node: ir.Node) -> tuple[ir.Value, Scaling] | None:
    """What `node` scales and how, if it is a batch norm, or adds or multiplies a constant that varies on one axis."""
    if node.domain not in ("", "ai.onnx"):
        return None
    if node.op_type == "BatchNormalization":
        return _norm(node)
    if node.op_type not in ("Mul", "Div", "Add", "Sub"):
        return None
    left, right = node.inputs
    second, first = constant(right), constant(left)
    if left is None or right is None or (first is None) == (second is None):
        return None
    if first is not None and node.op_type == "Div":
        return None
    data, array = (left, second) if second is not None else (right, first)
    assert array is not None
    shape = sizes(data)
    if shape is None or array.dtype != np.float32 or data.dtype not in (None, ir.DataType.FLOAT):
        return None
    found = _along(array.astype(np.float64), shape)
    if found is None:
        return None
    axis, numbers = found
    one, zero = np.ones_like(numbers), np.zeros_like(numbers)
    match node.op_type:
        case "Mul":
            return data, Scaling(axis, numbers, zero)
        case "Div" if (numbers != 0).all():
            return data, Scaling(axis, 1 / numbers, zero)
        case "Add":
            return data, Scaling(axis, one, numbers)
        case "Sub" if first is None:
            return data, Scaling(axis, one, -numbers)
        case "Sub":
            return data, Scaling(axis, -one, numbers)
    return None


def _norm(node: ir.Node) -> tuple[ir.Value, Scaling] | None:
    data, *given = node.inputs
    arrays = [constant(value) for value in given]
    used = [output for output in node.outputs[1:] if list(output.uses()) or output.is_graph_output()]
    if data is None or node.attributes.get_int("training_mode", 0) != 0 or used or len(arrays) != 4:
        return None
    known = [array.astype(np.float64) for array in arrays if array is not None and array.dtype == np.float32]
    if len(known) != 4:
        return None
    gain, bias, mean, variance = known
    s = gain / np.sqrt(variance + node.attributes.get_float("epsilon", 1e-5))
    return data, Scaling(1, s, bias - mean * s)


def _along(array: Array, shape: tuple[int | None, ...]) -> tuple[int | None, Array] | None:
    """The axis of a tensor of this shape that a constant which is broadcast to it varies on, and its numbers there."""
    if array.size == 1:
        return (None, array.reshape(())) if array.ndim <= len(shape) else None
    axes = [axis - array.ndim + len(shape) for axis, size in enumerate(array.shape) if size != 1]
    if array.ndim > len(shape) or len(axes) != 1 or shape[axes[0]] != array.size:
        return None
    return axes[0], array.reshape(-1)


def backwards(value: ir.Value, node: ir.Node, scaling: Scaling) -> Iterator[tuple[ir.Value, Scaling, tuple[Edit, ...]]]:
    """Before `node`, which makes `value`: each input that could be scaled instead, how, and what else must change."""
    data = node.inputs[0] if node.inputs else None
    if data is None:
        return
    match node.op_type:
        case "Reshape" | "Flatten" | "Unsqueeze" | "Squeeze":
            moved = _rearranged(scaling, sizes(value), sizes(data))
            if moved is not None:
                yield data, moved, ()
        case "Transpose":
            order = node.attributes.get_ints("perm", None)
            if order is not None:
                yield data, scaling._replace(axis=None if scaling.axis is None else order[scaling.axis]), ()
        case "DepthToSpace":
            yield from ((data, moved, ()) for moved in _before_shuffle(node, scaling))
        case "Resize" | "Pad" if _commutes(node, scaling):
            yield data, scaling, ()
        case "Relu" | "LeakyRelu" | "PRelu" if _homogeneous(node, scaling):
            yield data, scaling, ()
        case "Mul" | "Div" if not scaling.shifts:
            for factor in node.inputs[: 1 if node.op_type == "Div" else 2]:
                if factor is not None and constant(factor) is None and _reaches(factor, value, scaling):
                    yield factor, scaling, ()
        case "Add" if not scaling.shifts:
            for index, term in enumerate(node.inputs):
                added = constant(node.inputs[1 - index])
                if term is None or added is None or constant(term) is not None or not _reaches(term, value, scaling):
                    continue
                changed = _times(added, scaling, sizes(value))
                if changed is not None:
                    yield term, scaling, (Edit(node, 1 - index, changed),)


def forwards(node: ir.Node, index: int, scaling: Scaling) -> Scaling | None:
    """Behind `node`, whose input `index` is scaled without a shift: how its result is scaled; None if it is not."""
    if scaling.shifts or (index and node.op_type != "Mul"):
        return None
    value = node.outputs[0]
    match node.op_type:
        case "Reshape" | "Flatten" | "Unsqueeze" | "Squeeze":
            return _rearranged(scaling, sizes(node.inputs[0]), sizes(value))
        case "Transpose":
            order = node.attributes.get_ints("perm", None)
            if order is None:
                return None
            return scaling._replace(axis=None if scaling.axis is None else list(order).index(scaling.axis))
        case "Resize" | "Pad" if _commutes(node, scaling):
            return scaling
        case "Relu" | "LeakyRelu" | "PRelu" if _homogeneous(node, scaling):
            return scaling
        case "Mul" | "Div" if _reaches(node.inputs[index], value, scaling):
            return scaling
    return None


def _rearranged(
    scaling: Scaling, here: tuple[int | None, ...] | None, there: tuple[int | None, ...] | None
) -> Scaling | None:
    """The scaling of the same numbers in another shape, behind the batch."""
    if scaling.axis is None:
        return scaling
    if here is None or there is None or scaling.axis == 0:
        return None
    inner = [size for size in here[1:] if size is not None]
    outer = [size for size in there[1:] if size is not None]
    if len(inner) + 1 != len(here) or len(outer) + 1 != len(there):
        return None
    count = int(np.prod(inner))
    if count != int(np.prod(outer)) or count > _LARGEST or inner[scaling.axis - 1] != scaling.s.size:
        return None
    spread = [1] * len(inner)
    spread[scaling.axis - 1] = scaling.s.size
    placed = []
    for numbers in (scaling.s, scaling.t):
        full = np.broadcast_to(numbers.reshape(spread), inner).reshape(outer)
        placed.append(full)
    for axis in range(len(outer)):
        reduced = [np.moveaxis(full, axis, 0).reshape(outer[axis], -1) for full in placed]
        if all((rows == rows[:, :1]).all() for rows in reduced):
            return Scaling(axis + 1, *(rows[:, 0].copy() for rows in reduced))
    return None


def _before_shuffle(node: ir.Node, scaling: Scaling) -> Iterator[Scaling]:
    if scaling.axis is None:
        yield scaling
    elif scaling.axis == 1:
        block = node.attributes["blocksize"].as_int() ** 2
        columns = node.attributes.get_string("mode", "DCR") == "CRD"
        if columns:
            yield Scaling(1, np.repeat(scaling.s, block), np.repeat(scaling.t, block))
        else:
            yield Scaling(1, np.tile(scaling.s, block), np.tile(scaling.t, block))


def _commutes(node: ir.Node, scaling: Scaling) -> bool:
    """Does this Resize or Pad leave the scaled axis alone and mix numbers only with weights that add up to 1?"""
    before, after = sizes(node.inputs[0]), sizes(node.outputs[0])
    if node.op_type == "Resize":
        if node.attributes.get_string("mode", "nearest") not in ("nearest", "linear"):
            return False
        if node.attributes.get_string("coordinate_transformation_mode", "half_pixel") == "tf_crop_and_resize":
            return False
        factors = constant(node.inputs[2]) if len(node.inputs) > 2 else None
        if scaling.axis is None or (factors is not None and factors.size and factors[scaling.axis] == 1):
            return True
    else:
        mode = node.attributes.get_string("mode", "constant")
        if mode == "constant" and (scaling.shifts or not _pads_zero(node)):
            return False
    if scaling.axis is None:
        return True
    return before is not None and after is not None and before[scaling.axis] == after[scaling.axis] == scaling.s.size


def _pads_zero(node: ir.Node) -> bool:
    if len(node.inputs) < 3 or node.inputs[2] is None:
        return True
    value = constant(node.inputs[2])
    return value is not None and not value.any()


def _homogeneous(node: ir.Node, scaling: Scaling) -> bool:
    return not scaling.shifts and bool((scaling.s > 0).all())


def _reaches(value: ir.Value | None, result: ir.Value, scaling: Scaling) -> bool:
    """Has `value` as many axes as the result, and its full extent where it is scaled?"""
    small, large = sizes(value), sizes(result)
    if small is None or large is None or len(small) != len(large):
        return False
    return scaling.axis is None or small[scaling.axis] == scaling.s.size


def _times(array: Array, scaling: Scaling, shape: tuple[int | None, ...] | None) -> Array | None:
    """A constant that is added, times s; None where that would be larger than the constant."""
    if array.dtype != np.float32 or shape is None:
        return None
    s = scaling.s
    if scaling.axis is not None:
        s = s.reshape([-1, *[1] * (len(shape) - 1 - scaling.axis)])
    changed = (array.astype(np.float64) * s).astype(np.float32)
    return changed if changed.size == array.size else None
