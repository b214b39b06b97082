"""Every repetition of pixels as one kind of node: Resize, nearest, with constant whole scales.

    Resize to sizes that are computed at run time, but are r times the input's
    Reshape or Unsqueeze, Expand or Tile, Reshape: `repeat_interleave`, and the upsampling of NVlabs' and Keras' ports
    a Resize of a Resize

What they have in common is y[o] = x[floor(o / r)] on each axis. Other rewrites look for this form alone.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from .values import constant, made, new_constant, producer, put, replace, sizes, sole_user

__all__ = ["name_repeats", "repeated", "repetition"]

_FLOORS = {"asymmetric": ("floor",), "half_pixel": ("round_prefer_floor", "round_prefer_ceil")}


def name_repeats(graph: ir.Graph) -> int:
    """Brings repetitions to the common form, in place; returns how many changed. Wants shapes."""
    changed = 0
    for node in list(graph):
        if node.graph is not graph:
            continue
        found = _resized(node) or _expanded(node)
        if found is None:
            continue
        source, ratios = found
        before = repeated(producer(source, "Resize"))
        if before is not None and sole_user(source) is not None:
            source, ratios = before[0], [a * b for a, b in zip(before[1], ratios, strict=True)]
        if repeated(node) == (source, ratios):
            continue
        resize = repetition(graph, source, ratios, node.outputs[0])
        put(graph, node, [resize])
        replace(graph, node.outputs[0], resize.outputs[0])
        changed += 1
    return changed


def repeated(node: ir.Node | None) -> tuple[ir.Value, list[int]] | None:
    """What a node of the common form repeats, and how often each pixel, on the axes behind batch and channels."""
    if node is None or node.op_type != "Resize" or not _takes_floor(node):
        return None
    factors = constant(node.inputs[2]) if len(node.inputs) > 2 else None
    source = node.inputs[0]
    if source is None or factors is None or factors.size < 3 or (len(node.inputs) > 3 and node.inputs[3] is not None):
        return None
    if (factors[:2] != 1).any() or (factors != np.floor(factors)).any() or (factors < 1).any():
        return None
    return source, [int(factor) for factor in factors[2:]]


def repetition(graph: ir.Graph, source: ir.Value, ratios: Sequence[int], like: ir.Value) -> ir.Node:
    """A node of the common form, not yet in the graph, with a result like `like`."""
    scales = new_constant(graph, np.array([1, 1, *ratios], np.float32), f"{like.name}_scales")
    attributes = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    return made("Resize", [source, None, scales], attributes, like=like)


def _takes_floor(node: ir.Node) -> bool:
    """Does it take floor(o / r) for every whole r? With half pixels the distance to a tie is at least 1 / (2 r)."""
    how = node.attributes.get_string("coordinate_transformation_mode", "half_pixel")
    rounding = node.attributes.get_string("nearest_mode", "round_prefer_floor")
    plain = not node.attributes.get_int("antialias", 0) and "axes" not in node.attributes
    return plain and node.attributes.get_string("mode", "nearest") == "nearest" and rounding in _FLOORS.get(how, ())


def _resized(node: ir.Node) -> tuple[ir.Value, list[int]] | None:
    if node.domain not in ("", "ai.onnx") or node.op_type != "Resize" or not _takes_floor(node):
        return None
    found = repeated(node)
    if found is not None:
        return found
    source = node.inputs[0]
    if source is None or len(node.inputs) < 4 or node.inputs[3] is None:
        return None
    ratios = _ratios(sizes(source), sizes(node.outputs[0]))
    return None if ratios is None else (source, ratios)


def _ratios(before: tuple[int | None, ...] | None, after: tuple[int | None, ...] | None) -> list[int] | None:
    """How often each pixel is repeated, from the sizes behind batch and channels."""
    if before is None or after is None or len(before) != len(after) or len(before) < 3 or before[1] != after[1]:
        return None
    ratios = []
    for small, large in zip(before[2:], after[2:], strict=True):
        if small is None or large is None or small < 1 or large % small:
            return None
        ratios.append(large // small)
    return ratios


def _expanded(node: ir.Node) -> tuple[ir.Value, list[int]] | None:
    """Reshape(Expand(Reshape(x))) where ones behind some axes of x become r and then one with the axis before."""
    if node.domain not in ("", "ai.onnx") or node.op_type != "Reshape":
        return None
    expand = producer(node.inputs[0], "Expand", "Tile")
    insert = producer(expand.inputs[0], "Reshape", "Unsqueeze") if expand is not None else None
    if expand is None or insert is None or insert.inputs[0] is None:
        return None
    if sole_user(expand.outputs[0]) is None or sole_user(insert.outputs[0]) is None:
        return None
    source = insert.inputs[0]
    shapes = [sizes(value) for value in (source, insert.outputs[0], expand.outputs[0], node.outputs[0])]
    known = [_behind_batch(shape) for shape in shapes]
    given, spread, grown, result = known
    if given is None or spread is None or grown is None or result is None or len(spread) != len(grown):
        return None
    ratios = _ratios((None, *given), (None, *result)) if len(given) == len(result) else None
    if ratios is None:
        return None
    wanted: list[int] = [given[0]]
    where: list[int] = [given[0]]
    for size, ratio in zip(given[1:], ratios, strict=True):
        wanted += [size, ratio]
        where += [size, 1]
    if _without(spread, grown) != (_without(where, wanted)):
        return None
    return source, ratios


def _behind_batch(shape: tuple[int | None, ...] | None) -> list[int] | None:
    if shape is None or len(shape) < 3:
        return None
    inner = [size for size in shape[1:] if size is not None]
    return inner if len(inner) + 1 == len(shape) else None


def _without(before: Sequence[int], after: Sequence[int]) -> list[tuple[int, int]]:
    """The pairs of sizes but those of an axis of one that stays one."""
    return [pair for pair in zip(before, after, strict=True) if pair != (1, 1)]
