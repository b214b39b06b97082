"""Wide convolutions of stride 1 with a quarter of the multiplications (Winograd 1980; Lavin and Gray 2016).

    y = A' [(G w) * (B' x)]                                    on each axis, for tiles of six neighbours of the input

A tile and the taps are polynomials. Both are evaluated at six points, 0, 1, -1, 2, -2 and infinity, multiplied there,
and the product's coefficients are read off: 7 - k results of k taps from 6 products, in two dimensions from 36. For 3x3
that is 36 in place of 144, for 2x2 36 in place of 100. Sums over channels may be taken before reading off, so what is
left of the convolution is 36 matrix products, at the rate that engines have for those:

    Conv of every channel by itself to its 36 values, stride 7 - k   ->   MatMul [36, out, in] x [36, in, tiles]
    ->   1x1 Conv of every channel by itself to its (7 - k)^2 results   ->   DepthToSpace

The transformations cost as much for each channel as a few dozen channels do, so that it pays for wide layers alone.
Products of constants are written as such: every engine folds them as it loads, and the file stays as small as it was.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import NamedTuple

import numpy as np
import onnx_ir as ir

from .linear import linear
from .values import Array, made, new_constant, put, replace, sizes

__all__ = ["TILE", "Wide", "matrices", "saving", "winograd"]

TILE = 6
_POINTS = (0, 1, -1, 2, -2)  # and infinity; more or larger ones cost digits
_TAPS = (2, 3)
_SLOW = 5  # times as long as one of a matrix product does a multiplication take that transforms
_PAYS = 1.6  # times as fast, by that reckoning
_TILES = 16  # columns of the matrix products, from which those are fast


class Wide(NamedTuple):
    """A layer: weight [out, in, k, k] and bias; on both axes, what is padded in front, and the size of the result."""

    weight: Array
    bias: Array | None
    front: tuple[int, int]
    size: tuple[int, int]

    @property
    def results(self) -> int:
        """Of a tile, on an axis."""
        return TILE + 1 - int(self.weight.shape[-1])

    @property
    def tiles(self) -> tuple[int, int]:
        rows, columns = (-(-size // self.results) for size in self.size)
        return rows, columns


def matrices(taps: int) -> tuple[Array, Array, Array]:
    """A' [results, 6], G [6, taps] and B' [6, 6], float64: results of so many taps on one axis."""
    results, last = TILE + 1 - taps, len(_POINTS)
    read, evaluate, spread = np.zeros((results, TILE)), np.zeros((TILE, taps)), np.zeros((TILE, TILE))
    for index, point in enumerate(_POINTS):
        others = [other for other in _POINTS if other != point]
        read[:, index] = [point**power for power in range(results)]
        evaluate[index] = [point**power / prod(point - other for other in others) for power in range(taps)]
        spread[index, :last] = np.poly(others)[::-1]
    read[-1, last] = evaluate[last, -1] = 1
    spread[last] = np.poly(_POINTS)[::-1]
    return read, evaluate, spread


def saving(what: Wide) -> int:
    """Multiplications, or what takes as long, that a layer of one sample has less so; 0 where it would not pay."""
    out, given, taps, _ = what.weight.shape
    tiles = prod(what.tiles)
    direct = out * given * taps**2 * prod(what.size)
    products = out * given * TILE**2 * tiles
    transforms = (given * TILE**2 + out * what.results**2) * TILE**2 * tiles
    needed = products + _SLOW * transforms
    return direct - needed if tiles >= _TILES and direct > _PAYS * needed else 0


def winograd(graph: ir.Graph, reckon: Callable[[Wide], int] = saving) -> list[int]:
    """Puts each convolution that it pays for into this form, in place; returns what each of those saves."""
    found = [(node, what) for node in list(graph) if (what := _wide(node)) is not None]
    changed = [(node, what, saved) for node, what in found if (saved := reckon(what)) > 0]
    for node, what, _ in changed:
        nodes = _compose(graph, node, what)
        put(graph, node, nodes)
        replace(graph, node.outputs[0], nodes[-1].outputs[0])
    return [saved for *_, saved in changed]


def _wide(node: ir.Node) -> Wide | None:
    """A convolution of a picture of known size, as what it computes."""
    layer = linear(node)
    pads = layer.padding() if layer is not None else None
    if layer is None or pads is None:
        return None
    groups, given, out, *taps = layer.weight.shape
    if groups != 1 or len(taps) != 2 or taps[0] != taps[1] or taps[0] not in _TAPS:
        return None
    source, ((top, left), rear) = (sizes(node.inputs[0]) or ())[2:], pads
    extent = [size for size in source if size is not None]
    if len(extent) != 2:
        return None
    height, width = (sum(sides) - taps[0] + 1 for sides in zip(extent, (top, left), rear, strict=True))
    weight = layer.weight.reshape(given, out, *taps).swapaxes(0, 1)
    return Wide(weight, layer.bias, (top, left), (height, width)) if min(height, width) > 0 else None


def _compose(graph: ir.Graph, node: ir.Node, what: Wide) -> list[ir.Node]:
    like, (out, given, taps, _) = node.outputs[0], what.weight.shape
    read, evaluate, spread = matrices(taps)
    (rows, columns), results, values = what.tiles, what.results, TILE**2
    nodes: list[ir.Node] = []

    def add(operation: str, inputs: list[ir.Value], **attributes: object) -> ir.Value:
        nodes.append(made(operation, inputs, attributes))
        nodes[-1].outputs[0].type = like.type
        return nodes[-1].outputs[0]

    def held(array: Array, name: str) -> ir.Value:
        return new_constant(graph, array, f"{like.name}_{name}")

    def whole(name: str, *numbers: int) -> ir.Value:
        return held(np.array(numbers, np.int64), name)

    def for_each(channels: int, kernel: Array, name: str) -> ir.Value:
        """The same kernel for every channel."""
        return add("Tile", [held(kernel.astype(np.float32), name), whole(f"{name}_times", channels, 1, 1, 1)])

    rear = [
        (count - 1) * results + TILE - size - front
        for count, size, front in zip((rows, columns), (sizes(node.inputs[0]) or ())[2:], what.front, strict=True)
        if size is not None
    ]
    spreading = np.einsum("ai,bj->abij", spread, spread).reshape(values, 1, TILE, TILE)
    source = node.inputs[0]
    assert source is not None
    apart = add(
        "Conv",
        [source, for_each(given, spreading, "spread")],
        kernel_shape=[TILE, TILE],
        strides=[results, results],
        pads=[*what.front, *rear],
        group=given,
    )
    apart = add("Reshape", [apart, whole("apart", -1, given, values, rows * columns)])
    apart = add("Transpose", [apart], perm=[0, 2, 1, 3])
    taken = np.transpose(what.weight, (2, 3, 0, 1)).reshape(taps**2, out * given)
    evaluating = np.einsum("ai,bj->abij", evaluate, evaluate).reshape(values, taps**2)
    weight = add("MatMul", [held(evaluating.astype(np.float32), "points"), held(taken.astype(np.float32), "taps")])
    weight = add("Reshape", [weight, whole("factors", values, out, given)])
    product = add("MatMul", [weight, apart])
    product = add("Transpose", [product], perm=[0, 2, 1, 3])
    product = add("Reshape", [product, whole("values", -1, out * values, rows, columns)])
    reading = np.einsum("ai,bj->abij", read, read).reshape(results**2, values, 1, 1)
    bias = [] if what.bias is None else [held(np.repeat(what.bias, results**2).astype(np.float32), "offset")]
    found = add("Conv", [product, for_each(out, reading, "read"), *bias], kernel_shape=[1, 1], group=out)
    found = add("DepthToSpace", [found], blocksize=results, mode="CRD")
    if any(size % results for size in what.size):
        starts, ends, axes = whole("starts", 0, 0), whole("ends", *what.size), whole("axes", 2, 3)
        found = add("Slice", [found, starts, ends, axes])
    found.shape = like.shape
    return nodes
