"""A convolution that makes its input larger, as algebra: what four different graphs compute alike.

    y[o] = b + sum_i x[i] V[o + P - r i]                       on each axis; r the stride, K taps, P cut off in front

`ConvTranspose` is this by definition. Nearest upsampling by r and then a convolution w of k taps with p zeros in front,
y[o] = sum_j w[j] x[floor((o - p + j) / r)], is it with K = k + r - 1 taps that are sums of w's, and P = k - 1 - p:

    V[t] = w[k - 1 - t] + ... + w[k - 1 - t + r - 1]           (w is 0 outside)

For k3 p1 r2 that is ConvTranspose k4 s2 p1: 16 taps for 4 pixels in place of 36. It holds at the borders, too: zeros
around the upsampled picture are zeros around the picture.

The other way, every phase a of the result is a convolution of the small picture: y[r q + a] = sum_d x[q + d]
V[a + P - r d]. Their kernels side by side are one convolution to r^2 times the channels, and DepthToSpace:

    shuffled   all phases over the same window, d = ceil((P - K + 1) / r) .. floor((r - 1 + P) / r): 3 x 3 with zeros
               in it for k4 s2 p1
    phases     every phase over a window of its own, ceil(K / r) wide: 2 x 2 for k4 s2 p1. The windows of the phases are
               shifted against each other, so the map is one larger and its border is cut off afterwards
    woven      phases, but spread by two transpositions, first columns and then rows, which ONNX Runtime does in half
               the time of its DepthToSpace; for pictures of known size

A convolution of stride 1 is it, too, with r = 1, V[t] = w[k - 1 - t] and P = k - 1 - p. To one or three channels it
wastes most of the processor, whose kernels compute 8 or 16 at once. ConvTranspose is a matrix product and a sum then
in ONNX Runtime, a quarter of the time. The other way is to make channels of places:

    blocks     B^2 neighbours of the result are the channels of one convolution of stride B, whose kernels are the same
               one at B^2 places of a window of k + B - 1, and DepthToSpace
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
import onnx_ir as ir

from .linear import linear
from .repeats import repeated
from .values import UNTIL_THE_END, Array, made, new_constant, producer, sizes

__all__ = ["FORMS", "Form", "Upsampling", "compose", "narrow_conv", "repeated_conv", "transposed_conv"]

Form = Literal["transposed", "phases", "shuffled", "woven", "blocks"]
FORMS: tuple[Form, ...] = ("transposed", "phases", "shuffled", "woven", "blocks")
_NARROW = 4  # channels of a result that leave most of a vector of 8 or 16 empty
_Order = Literal["phases", "channels", "columns"]  # what the channels of a convolution to all phases begin with


class Upsampling(NamedTuple):
    """The V of every pair of channels, float64 [groups, in / groups, out / groups, K ...], and on each axis the stride,
    P in front and what is cut off behind. `bias` float64 [out] or None."""

    kernel: Array
    bias: Array | None
    strides: tuple[int, ...]
    front: tuple[int, ...]
    rear: tuple[int, ...]

    @property
    def taps(self) -> tuple[int, ...]:
        return self.kernel.shape[3:]

    @property
    def outputs(self) -> int:
        return int(self.kernel.shape[0] * self.kernel.shape[2])

    @property
    def narrow(self) -> bool:
        return self.outputs <= _NARROW and self.kernel.shape[0] == 1 and len(self.strides) <= 2

    @property
    def block(self) -> int:
        """B: few channels fill a vector with more places, and each place more is a larger window."""
        return 8 if len(self.strides) == 1 else 4 if self.outputs == 1 else 2

    def keeps_size(self, extent: Sequence[int | None]) -> bool:
        """Are the sizes of the result known, or at least those of the input?"""
        axes = zip(extent, self.taps, self.front, self.rear, strict=True)
        return all(size is not None or p + q == k - 1 for size, k, p, q in axes)

    def possible(self, extent: Sequence[int | None]) -> tuple[Form, ...]:
        """The forms that there are of this one for an input of these sizes, None where they may change."""
        forms: list[Form] = ["transposed"]
        if set(self.strides) == {1} and self.narrow and max(self.taps) > 1 and self.keeps_size(extent):
            forms.append("blocks")
        if len(self.strides) > 2 or len(set(self.strides)) != 1 or self.strides[0] == 1:
            return tuple(forms)
        forms.append("phases")
        windows = [_window(*axis) for axis in zip(self.taps, self.strides, self.front, strict=True)]
        exact = all(k - p - q == r for k, r, p, q in zip(self.taps, self.strides, self.front, self.rear, strict=True))
        if exact and all(first <= 0 <= last for first, last in windows):
            forms.append("shuffled")
        if len(extent) == 2 and None not in extent and self.kernel.shape[0] == 1:
            forms.append("woven")
        return tuple(forms)


def transposed_conv(node: ir.Node) -> tuple[ir.Value, Upsampling] | None:
    """A ConvTranspose as its input and V."""
    layer = linear(node) if node.op_type == "ConvTranspose" else None
    if layer is None or node.inputs[0] is None:
        return None
    rank = layer.weight.ndim - 3
    strides = tuple(node.attributes.get_ints("strides", [1] * rank))
    pads = tuple(node.attributes.get_ints("pads", [0] * 2 * rank))
    more = tuple(node.attributes.get_ints("output_padding", [0] * rank))
    rear = tuple(pad - extra for pad, extra in zip(pads[rank:], more, strict=True))
    if any(size != 1 for size in node.attributes.get_ints("dilations", [1] * rank)) or min(*pads, *rear, 0) < 0:
        return None
    found = Upsampling(layer.weight, layer.bias, strides, pads[:rank], rear)
    return (node.inputs[0], found) if _whole(found) else None


def repeated_conv(node: ir.Node) -> tuple[ir.Value, Upsampling] | None:
    """A convolution behind a repetition of pixels as the input of the latter and V."""
    found = repeated(producer(node.inputs[0], "Resize")) if node.op_type == "Conv" else None
    what = _plain_conv(node, found[1]) if found is not None else None
    return (found[0], what) if found is not None and what is not None else None


def narrow_conv(node: ir.Node) -> tuple[ir.Value, Upsampling] | None:
    """A convolution of stride 1 to few channels as its input and V."""
    source = node.inputs[0] if node.op_type == "Conv" else None
    what = _plain_conv(node) if source is not None else None
    return (source, what) if source is not None and what is not None and what.narrow else None


def _plain_conv(node: ir.Node, ratios: Sequence[int] | None = None) -> Upsampling | None:
    """V of a convolution of stride 1, its input repeated so many times before (default: once)."""
    layer = linear(node)
    pads = layer.padding() if layer is not None else None
    if layer is None or pads is None:
        return None
    taps = layer.weight.shape[3:]
    ratios = [1] * len(taps) if ratios is None else ratios
    if len(ratios) != len(taps):
        return None
    front, rear = (tuple(k - 1 - pad for k, pad in zip(taps, side, strict=True)) for side in pads)
    if min(*front, *rear) < 0:
        return None
    kernel = layer.weight
    for axis, (k, r) in enumerate(zip(taps, ratios, strict=True), start=3):
        first = k - 1 - np.arange(k + r - 1)[:, None]
        sums = (np.arange(k) >= first) & (np.arange(k) < first + r)
        kernel = np.moveaxis(np.tensordot(kernel, sums.astype(np.float64), axes=(axis, 1)), -1, axis)
    return Upsampling(kernel, layer.bias, tuple(ratios), front, rear)


def _whole(found: Upsampling) -> bool:
    """Is less cut off than there is of one pixel's footprint? Then every form's padding is 0 or more."""
    return all(max(p, q) < k for k, p, q in zip(found.taps, found.front, found.rear, strict=True))


def compose(graph: ir.Graph, source: ir.Value, what: Upsampling, form: Form, like: ir.Value) -> list[ir.Node]:
    """The nodes of one form, not yet in the graph; the last gives a value like `like`."""
    if form == "transposed":
        return [_transposed(graph, source, what, like)]
    if form == "blocks":
        nodes = _blocks(graph, source, what, like)
        last = nodes[-1].outputs[0]
        last.type, last.shape = like.type, like.shape
        return nodes
    order: _Order = "columns" if form == "woven" else "phases" if what.kernel.shape[0] == 1 else "channels"
    nodes = (_shuffled if form == "shuffled" else _phases)(graph, source, what, order, like)
    last = nodes[-1].outputs[0]
    last.type, last.shape = like.type, like.shape
    return nodes


def _transposed(graph: ir.Graph, source: ir.Value, what: Upsampling, like: ir.Value) -> ir.Node:
    groups, given, out, *taps = what.kernel.shape
    weight = what.kernel.reshape(groups * given, out, *taps)
    attributes = {
        "kernel_shape": taps,
        "strides": what.strides,
        "pads": [*what.front, *what.rear],
        "dilations": [1] * len(taps),
        "group": groups,
    }
    return made("ConvTranspose", [source, *_weights(graph, like, weight, what.bias)], attributes, like=like)


def _phases(graph: ir.Graph, source: ir.Value, what: Upsampling, order: _Order, like: ir.Value) -> list[ir.Node]:
    windows, pads, cuts = [], [], []
    for k, r, p, q in zip(what.taps, what.strides, what.front, what.rear, strict=True):
        count, first, after = -(-k // r), p // r, (k - 1 - q) // r
        windows.append([[r * (count - 1 - j) + phase for j in range(count)] for phase in range(r)])
        pads.append((count - 1 - first, after))
        cuts.append((p - r * first, r * (after + 1) - k + q))
    conv = _conv(graph, source, what, windows, pads, order, like)
    if order == "columns":
        maps = [(size or 0) + sum(pad) - len(window[0]) + 1 for size, pad, window
                in zip((sizes(source) or ())[2:], pads, windows, strict=True)]  # fmt: skip
        nodes = [conv, *_woven(graph, conv.outputs[0], what, maps, like)]
    else:
        nodes = [conv, *_spread(graph, conv.outputs[0], what, order, like)]
    if any(front or rear for front, rear in cuts):
        nodes.append(_cut(graph, nodes[-1].outputs[0], cuts, like))
    return nodes


def _shuffled(graph: ir.Graph, source: ir.Value, what: Upsampling, order: _Order, like: ir.Value) -> list[ir.Node]:
    windows, pads = [], []
    for k, r, p in zip(what.taps, what.strides, what.front, strict=True):
        first, last = _window(k, r, p)
        windows.append([[phase + p - r * d for d in range(first, last + 1)] for phase in range(r)])
        pads.append((-first, last))
    conv = _conv(graph, source, what, windows, pads, order, like)
    return [conv, *_spread(graph, conv.outputs[0], what, order, like)]


def _blocks(graph: ir.Graph, source: ir.Value, what: Upsampling, like: ir.Value) -> list[ir.Node]:
    size, rank = what.block, len(what.strides)
    windows, pads, ends = [], [], list[int | None]()
    given = (sizes(source) or (None,) * (2 + rank))[2:]
    for n, k, p, q in zip(given, what.taps, what.front, what.rear, strict=True):
        windows.append([[place + k - 1 - j for j in range(k + size - 1)] for place in range(size)])
        ends.append(None if n is None else n + k - 1 - p - q)
        whole = ends[-1] is not None and ends[-1] % size == 0
        pads.append((k - 1 - p, k - 1 - q + (0 if whole else size - 1)))
    conv = _conv(graph, source, what, windows, pads, "phases", like, (size,) * rank)
    nodes = [conv, *_spread(graph, conv.outputs[0], what, "phases", like, size)]
    if all(end is not None and end % size == 0 for end in ends):
        return nodes
    if None in ends:  # the result is as large as the input
        nodes.append(made("Shape", [source], {"start": 2}))
        stop = nodes[-1].outputs[0]
    else:
        stop = new_constant(graph, np.array(ends, np.int64), f"{like.name}_ends")
    starts, axes = np.zeros(rank, np.int64), np.arange(2, 2 + rank, dtype=np.int64)
    placed = [new_constant(graph, numbers, f"{like.name}_{name}") for name, numbers in
              (("starts", starts), ("axes", axes))]  # fmt: skip
    spread = nodes[-2 if None in ends else -1].outputs[0]
    return [*nodes, made("Slice", [spread, placed[0], stop, placed[1]])]


def _window(taps: int, stride: int, front: int) -> tuple[int, int]:
    """The first and last d that any phase looks at."""
    return -((taps - 1 - front) // stride), (stride - 1 + front) // stride


def _conv(
    graph: ir.Graph,
    source: ir.Value,
    what: Upsampling,
    windows: Sequence[Sequence[Sequence[int]]],
    pads: Sequence[tuple[int, int]],
    order: _Order,
    like: ir.Value,
    block: Sequence[int] = (),
) -> ir.Node:
    """The convolution to all phases: `windows` has, for each axis and phase, which tap of V stands at each place.

    `block`: instead of phases, so many neighbours of the result on each axis, and as many pixels from one to the next.

    All channels of the first phase come first, which engines move faster; with groups, all phases of the first channel.
    """
    kernel = what.kernel.swapaxes(1, 2)  # [groups, out / groups, in / groups, K ...]
    for axis, window in enumerate(windows):
        place = 3 + 2 * axis
        index = np.array(window)  # [phases, places]
        taken = np.where((index >= 0) & (index < what.taps[axis]), index, what.taps[axis])
        padded = np.concatenate([kernel, np.zeros_like(np.take(kernel, [0], place))], place)
        kernel = np.take(padded, taken, place)  # ... phases, places ...
    rank = len(windows)
    phases = [3 + 2 * axis for axis in range(rank)]
    match order:
        case "phases":
            outer = [*phases, 0, 1]
        case "channels":
            outer = [0, 1, *phases]
        case "columns":
            outer = [phases[1], 0, 1, phases[0]]
    kernel = np.transpose(kernel, (*outer, 2, *(axis + 1 for axis in phases)))
    given, places = kernel.shape[2 + rank], kernel.shape[3 + rank :]
    count = int(np.prod(block or what.strides))
    weight = kernel.reshape(what.outputs * count, given, *places)
    bias = what.bias
    if bias is not None:
        inner = {"phases": 1, "channels": count, "columns": what.strides[0]}[order]
        bias = np.tile(np.repeat(bias, inner), count // inner)
    attributes = {
        "kernel_shape": places,
        "strides": block or [1] * rank,
        "pads": [*(front for front, _ in pads), *(rear for _, rear in pads)],
        "dilations": [1] * rank,
        "group": what.kernel.shape[0],
    }
    conv = made("Conv", [source, *_weights(graph, like, weight, bias)], attributes)
    conv.outputs[0].type = like.type
    return conv


def _spread(
    graph: ir.Graph, phases: ir.Value, what: Upsampling, order: _Order, like: ir.Value, block: int | None = None
) -> list[ir.Node]:
    """Channels -> places: DepthToSpace for pictures, and for sound the transposition that it is."""
    stride = block or what.strides[0]
    first = order == "phases"
    if len(what.strides) == 2:
        return [made("DepthToSpace", [phases], {"blocksize": stride, "mode": "DCR" if first else "CRD"})]
    parts = [stride, what.outputs] if first else [what.outputs, stride]
    split = new_constant(graph, np.array([0, *parts, -1], np.int64), f"{like.name}_phases")
    joined = new_constant(graph, np.array([0, what.outputs, -1], np.int64), f"{like.name}_joined")
    apart = made("Reshape", [phases, split])
    turned = made("Transpose", [apart.outputs[0]], {"perm": [0, 2, 3, 1] if first else [0, 1, 3, 2]})
    return [apart, turned, made("Reshape", [turned.outputs[0], joined])]


def _woven(graph: ir.Graph, phases: ir.Value, what: Upsampling, maps: Sequence[int], like: ir.Value) -> list[ir.Node]:
    """[columns, channels, rows, height, width] -> [channels, rows, height, width columns] -> rows beside height."""
    stride, (height, width) = what.strides[0], maps
    nodes: list[ir.Node] = []
    value = phases
    for name, shape, order in (
        ("columns", [-1, stride, what.outputs * stride * height * width], [0, 2, 1]),
        ("rows", [-1, what.outputs, stride, height, width * stride], [0, 1, 3, 2, 4]),
        ("woven", [-1, what.outputs, height * stride, width * stride], None),
    ):
        nodes.append(made("Reshape", [value, new_constant(graph, np.array(shape, np.int64), f"{like.name}_{name}")]))
        if order is not None:
            nodes.append(made("Transpose", [nodes[-1].outputs[0]], {"perm": order}))
        value = nodes[-1].outputs[0]
    return nodes


def _cut(graph: ir.Graph, value: ir.Value, cuts: Sequence[tuple[int, int]], like: ir.Value) -> ir.Node:
    starts = np.array([front for front, _ in cuts], np.int64)
    ends = np.array([-rear if rear else UNTIL_THE_END for _, rear in cuts], np.int64)
    axes = np.arange(2, 2 + len(cuts), dtype=np.int64)
    given = [new_constant(graph, numbers, f"{like.name}_{name}") for name, numbers in
             (("starts", starts), ("ends", ends), ("axes", axes))]  # fmt: skip
    return made("Slice", [value, *given])


def _weights(graph: ir.Graph, like: ir.Value, weight: Array, bias: Array | None) -> list[ir.Value]:
    made_ = [new_constant(graph, weight.astype(np.float32), f"{like.name}_kernel")]
    if bias is not None:
        made_.append(new_constant(graph, bias.astype(np.float32), f"{like.name}_offset"))
    return made_
