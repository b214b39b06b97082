"""The way from a network's own output to uint8 pixels, as short as it can be with every pixel the same.

    x -> x * scale + offset -> Round -> Clip to 0 .. 255 -> Transpose -> Cast to uint8

`+ 0` and `* 1` go; the Clip goes where the numbers are within 0 .. 255 already (behind a Tanh), to which rounding
errors of half a step do nothing; the Transpose of a single channel moves nothing and becomes a Reshape. The Cast stays
last: TensorRT takes uint8 nowhere else. Rounding cannot be folded into the Cast, which truncates: x * 127.5 + 128 is
not rounded as x * 127.5 + 127.5 is.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from .repeats import repeated
from .values import constant, made, new_constant, producer, put, replace, sizes, sole_user

__all__ = ["bounds", "shorten_pixels"]

_MARGIN = 1e-3  # of what an engine's tanh may exceed 1 by; at 255 it is a quarter of a step
_FAR = 16
_SAME = ("Reshape", "Transpose", "Flatten", "Unsqueeze", "Squeeze", "DepthToSpace", "SpaceToDepth", "Slice", "Identity")


def shorten_pixels(graph: ir.Graph) -> int:
    """Shortens it, in place; returns how many nodes went or became cheaper. Wants shapes."""
    shortened = 0
    for pixels in list(graph.outputs):
        cast = producer(pixels, "Cast")
        if cast is None or cast.attributes["to"].as_int() != ir.DataType.UINT8.value:
            continue
        transpose = producer(cast.inputs[0], "Transpose")
        clip = producer(transpose.inputs[0], "Clip") if transpose is not None else None
        rounding = producer(clip.inputs[0], "Round") if clip is not None else None
        if transpose is None or clip is None or rounding is None:
            continue
        shift = producer(rounding.inputs[0], "Add")
        scale = producer(shift.inputs[0], "Mul") if shift is not None else None
        for node, nothing in ((scale, 1), (shift, 0)):
            shortened += node is not None and _drop(graph, node, nothing)
        if _within(clip, bounds(rounding.inputs[0])):
            assert clip.inputs[0] is not None
            replace(graph, clip.outputs[0], clip.inputs[0])
            shortened += 1
        shortened += _reshape(graph, transpose)
    return shortened


def _drop(graph: ir.Graph, node: ir.Node, nothing: int) -> bool:
    data, number = node.inputs[0], constant(node.inputs[1])
    if data is None or number is None or number.ndim or number != nothing or sole_user(node.outputs[0]) is None:
        return False
    replace(graph, node.outputs[0], data)
    return True


def _within(clip: ir.Node, found: tuple[float, float] | None) -> bool:
    """Do numbers within these bounds round to numbers that `clip` leaves as they are?"""
    least, most = (constant(value) for value in clip.inputs[1:3])
    if found is None or least is None or most is None or sole_user(clip.outputs[0]) is None:
        return False
    room = _MARGIN * float(most - least)
    return found[0] - room > float(least) - 0.5 and found[1] + room < float(most) + 0.5


def _reshape(graph: ir.Graph, transpose: ir.Node) -> bool:
    data, result = transpose.inputs[0], transpose.outputs[0]
    before, order = sizes(data), transpose.attributes.get_ints("perm", None)
    if data is None or before is None or order is None or tuple(order) != (0, 2, 3, 1):
        return False
    _, channels, height, width = before
    if channels != 1 or height is None or width is None:
        return False
    shape = new_constant(graph, np.array([-1, height, width, 1], np.int64), "pixel_shape")
    node = made("Reshape", [data, shape], like=result)
    put(graph, transpose, [node])
    replace(graph, result, node.outputs[0])
    return True


def bounds(value: ir.Value | None, far: int = _FAR) -> tuple[float, float] | None:
    """Numbers that `value` never leaves, but for rounding errors; None where nothing is known."""
    node = producer(value)
    if node is None or far == 0:
        return None
    if node.op_type == "Tanh":
        return -1.0, 1.0
    if node.op_type == "Sigmoid":
        return 0.0, 1.0
    if node.op_type == "Clip":
        least, most = (constant(one) for one in (*node.inputs[1:3], None, None)[:2])
        return None if least is None or most is None else (float(least), float(most))
    if node.op_type in _SAME or repeated(node) is not None:
        return bounds(node.inputs[0], far - 1)
    if node.op_type not in ("Mul", "Add", "Sub", "Div"):
        return None
    found, number = bounds(node.inputs[0], far - 1), constant(node.inputs[1])
    if found is None or number is None or number.size != 1:
        return None
    by = float(number.reshape(()))
    match node.op_type:
        case "Mul":
            ends = [end * by for end in found]
        case "Add":
            ends = [end + by for end in found]
        case "Sub":
            ends = [end - by for end in found]
        case _:
            if by == 0:
                return None
            ends = [end / by for end in found]
    return min(ends), max(ends)
