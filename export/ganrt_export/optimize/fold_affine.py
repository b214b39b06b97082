"""Batch norms and constant scales and shifts disappear into the linear layers before or behind them.

    s (W x + b) + t = (s W) x + (s b + t)                W (s x) + b = (W s) x + b

also where reshapes, transposes, upsampling or ReLUs lie between (`carry`): Linear -> Reshape -> BatchNorm, which no
compiler folds; Mul -> Upsample -> Conv of an equalised learning rate; Conv -> LeakyRelu -> Mul of StyleGAN's gains.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import onnx_ir as ir

from .carry import Edit, Scaling, backwards, forwards, read
from .linear import Linear, linear
from .values import new_constant, producer, replace, sole_user

__all__ = ["fold_affine"]

_FAR = 12  # nodes between


class _Place(NamedTuple):
    """A layer with its new weights, and what else changes on the way there."""

    layer: Linear
    edits: tuple[Edit, ...] = ()


def fold_affine(graph: ir.Graph) -> int:
    """Folds what can be folded, in place; returns how many nodes went. Wants shapes."""
    folded = 0
    for node in list(graph):
        found = read(node) if node.graph is graph else None
        if found is None:
            continue
        data, scaling = found
        place = _before(data, scaling, _FAR) or _behind(node.outputs[0], scaling)
        if place is None or not place.layer.write(graph):
            continue
        for edit in place.edits:
            edit.node.replace_input_with(edit.place, new_constant(graph, edit.array, f"{edit.node.name}_scaled"))
        replace(graph, node.outputs[0], data)
        folded += 1
    return folded


def _before(value: ir.Value, scaling: Scaling, far: int, edits: Sequence[Edit] = ()) -> _Place | None:
    """The layer that `value` comes from, with the scaling in its weights."""
    node = producer(value)
    if node is None or far == 0 or sole_user(value) is None:
        return None
    layer = linear(node)
    if layer is not None:
        if scaling.axis not in (None, layer.out_axis):
            return None
        return _placed(layer.behind(scaling.s, scaling.t), edits)
    for before, moved, more in backwards(value, node, scaling):
        place = _before(before, moved, far - 1, [*edits, *more])
        if place is not None:
            return place
    return None


def _behind(value: ir.Value, scaling: Scaling) -> _Place | None:
    """The layer that `value` goes to, with the scaling in its weights."""
    moved: Scaling | None = scaling
    for _ in range(_FAR):
        use = sole_user(value)
        if use is None or moved is None:
            return None
        node, index = use
        layer = linear(node) if index == 0 else None
        if layer is not None:
            if moved.axis not in (None, layer.in_axis):
                return None
            return _placed(layer.before(moved.s, moved.t))
        moved = forwards(node, index, moved)
        value = node.outputs[0]
    return None


def _placed(layer: Linear | None, edits: Sequence[Edit] = ()) -> _Place | None:
    """None where there is no such layer, or it is a MatMul with a bias, which that cannot have."""
    if layer is None or (layer.node.op_type == "MatMul" and layer.bias is not None):
        return None
    return _Place(layer, tuple(edits))
