"""ONNX operations as layers of ncnn: those that generators are made of, each with the shape it gives one sample.

Operations: https://onnx.ai/onnx/operators/, opset 13 and up. Layers, their parameters and weights:
https://github.com/Tencent/ncnn/wiki/operation-param-weight-table. What is not translated exactly is refused.
A Transpose or a Cast is not a layer here: it is done while the result is copied into the caller's array.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import prod
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from ..onnx_graph import Node, OnnxGraph
from ._ncnn_network import Layer, Network, Parameter, Shape, Written

__all__ = ["Translation", "check_operations", "translate"]

_FLOAT = 1  # TensorProto.DataType
_OPSET = 13  # from which on axes and bounds are inputs
_ADD, _SUB, _MUL, _DIV, _SUB_FROM, _DIVIDE = 0, 1, 2, 3, 7, 8
_UNARY = {"Abs": 0, "Neg": 1, "Floor": 2, "Ceil": 3, "Sqrt": 5, "Exp": 7, "Log": 8, "Sin": 9, "Cos": 10,
          "Reciprocal": 15, "Round": 18}  # fmt: skip
_MEAN = 3  # of ncnn's reductions
_PADS = {"constant": 0, "edge": 1, "reflect": 2}


class Result(NamedTuple):
    """An output of the graph: which tensor it is a copy of, transposed so (one sample's axes), and its shape."""

    tensor: str
    axes: tuple[int, ...] | None
    shape: Shape


class Translation(NamedTuple):
    """A network for samples of given sizes, and where the graph's outputs are in it."""

    written: Written
    results: dict[str, Result]


def check_operations(graph: OnnxGraph) -> None:
    """Raises ValueError for an operation that is never translated, whatever its sizes."""
    for node in graph.nodes:
        if node.operation not in _OPERATIONS:
            raise ValueError(f"ganrt does not translate the operation {node.operation} for it")


def translate(
    graph: OnnxGraph, inputs: Mapping[str, Shape], outputs: tuple[str, ...], whole: frozenset[str] = frozenset()
) -> Translation:
    """The network for inputs of these shapes, the batch left out; those named in `whole` are integers.

    The graph has passed `check_operations`. Raises ValueError with what cannot be done.
    """
    if graph.opset < _OPSET:
        raise ValueError(f"it is written in opset {graph.opset}, and opsets from {_OPSET} on are translated")
    work = _Work(graph, outputs, whole)
    for name, shape in inputs.items():
        work.network.add(Layer("Input", (), name, {}), shape)
    for node in graph.nodes:
        try:
            _OPERATIONS[node.operation](work, node)
        except _Untranslatable as problem:
            raise ValueError(f"ganrt does not translate this {node.operation} for it ({problem})") from problem
    results = {name: work.result(name) for name in outputs}
    return Translation(work.network.write({result.tensor for result in results.values()}), results)


class _Untranslatable(Exception):
    """Why, in a few words."""


class _View(NamedTuple):
    """A tensor that is another one transposed."""

    tensor: str
    axes: tuple[int, ...] | None


class _Work:
    """A translation on its way: the network so far, the graph's constants, and tensors that are views of others."""

    def __init__(self, graph: OnnxGraph, outputs: tuple[str, ...], whole: frozenset[str]) -> None:
        self.network, self.constants, self.outputs = Network(), dict(graph.constants), outputs
        self._views: dict[str, _View] = {}
        self._whole = set(whole)  # tensors of whole numbers, which layers read as others
        self._named = 0

    def tensor(self, name: str, *, whole: bool = False) -> str:
        """The tensor of the network that `name` is, of float32 unless `whole`."""
        if (name in self._whole) != whole:
            raise _Untranslatable(f"it takes {'other than ' if whole else ''}whole numbers")
        view = self._views.get(name, _View(name, None))
        if view.axes is not None:
            raise _Untranslatable("it follows a Transpose")
        if view.tensor not in self.network.shapes:
            raise _Untranslatable("it takes a constant where a picture is expected")
        return view.tensor

    def shape(self, name: str, *, whole: bool = False) -> Shape:
        return self.network.shapes[self.tensor(name, whole=whole)]

    def constant(self, node: Node, index: int) -> NDArray[Any] | None:
        """An input of a node that is a constant; None where it is left out."""
        if index >= len(node.inputs) or not node.inputs[index]:
            return None
        array = self.constants.get(node.inputs[index])
        if array is None:
            raise _Untranslatable("it takes numbers that are computed")
        return array

    def whole(self, node: Node, index: int) -> list[int] | None:
        array = self.constant(node, index)
        return None if array is None else [int(one) for one in array.ravel()]

    def layer(
        self,
        node: Node,
        kind: str,
        shape: Shape,
        parameters: Mapping[int, Parameter] = {},
        weights: tuple[NDArray[Any], ...] = (),
        *,
        inputs: tuple[str, ...] | None = None,
        tagged: bool = False,
    ) -> None:
        """The layer that gives the node's output; from its first input, where no others are named."""
        if len([name for name in node.outputs if name]) != 1:
            raise _Untranslatable("it has more outputs than one")
        if any(size < 1 for size in shape):
            raise _Untranslatable(f"nothing would be left of {list(shape)}")
        if inputs is None:
            inputs = (self.tensor(node.inputs[0]),)
        for array in weights:
            if array.dtype != np.float32:
                raise _Untranslatable(f"its weights are {array.dtype}")
        self.network.add(Layer(kind, inputs, node.outputs[0], dict(parameters), weights, tagged), shape)

    def view(self, node: Node, axes: tuple[int, ...] | None, *, other_type: bool = False) -> None:
        """The node's output is its input, its axes in this order."""
        if other_type:
            self._whole.add(node.outputs[0])
        before = self._views.get(node.inputs[0], _View(node.inputs[0], None))
        if axes is not None and before.axes is not None:
            axes = tuple(before.axes[axis] for axis in axes)
        self._views[node.outputs[0]] = _View(before.tensor, before.axes if axes is None else axes)

    def result(self, name: str) -> Result:
        view = self._views.get(name, _View(name, None))
        if view.tensor not in self.network.shapes:
            raise ValueError(f"its output '{name}' does not depend on its inputs")
        shape = self.network.shapes[view.tensor]
        return Result(view.tensor, view.axes, shape if view.axes is None else tuple(shape[axis] for axis in view.axes))

    def memory(self, array: NDArray[np.float32]) -> str:
        """A tensor that holds a constant."""
        name = f"\0constant {self._named}"  # no tensor of a graph is called so
        self._named += 1
        parameters: dict[int, Parameter] = dict(enumerate(reversed(array.shape)))
        self.network.add(Layer("MemoryData", (), name, parameters, (array,)), array.shape)
        return name


def _gemm(work: _Work, node: Node) -> None:
    given = node.attributes
    if given.get("transA", 0) or given.get("alpha", 1.0) != 1.0 or given.get("beta", 1.0) != 1.0:
        raise _Untranslatable("its first factor is transposed, or it is scaled")
    transposed = bool(given.get("transB", 0))
    if len(node.inputs) < 3 or not node.inputs[2] or node.inputs[2] in work.constants:
        _product(work, node, work.constant(node, 1), work.constant(node, 2), transposed=transposed)
        return
    product = f"\0product of {node.outputs[0]}"
    _product(work, node._replace(outputs=(product,)), work.constant(node, 1), None, transposed=transposed)
    _arithmetic(work, Node("Add", (product, node.inputs[2]), node.outputs, {}))


def _matmul(work: _Work, node: Node) -> None:
    _product(work, node, work.constant(node, 1), None, transposed=False)


def _product(
    work: _Work, node: Node, weight: NDArray[Any] | None, bias: NDArray[Any] | None, *, transposed: bool
) -> None:
    shape = work.shape(node.inputs[0])
    assert weight is not None
    if len(shape) != 1 or weight.ndim != 2:
        raise _Untranslatable("it is no product of a vector and a matrix")
    weight = weight if transposed else weight.T
    if weight.shape[1] != shape[0] or (bias is not None and bias.size != weight.shape[0]):
        raise _Untranslatable(f"a matrix of {list(weight.shape)} meets {shape[0]} numbers")
    parameters: dict[int, Parameter] = {0: weight.shape[0], 1: int(bias is not None), 2: weight.size}
    weights = (weight,) if bias is None else (weight, bias.ravel())
    work.layer(node, "InnerProduct", (weight.shape[0],), parameters, weights, tagged=True)


def _convolution(work: _Work, node: Node) -> None:
    """Conv and ConvTranspose, over time or over a picture."""
    weight, bias, shape = work.constant(node, 1), work.constant(node, 2), work.shape(node.inputs[0])
    assert weight is not None
    axes = weight.ndim - 2
    given, transposed = node.attributes, node.operation == "ConvTranspose"
    if axes not in (1, 2) or len(shape) != axes + 1:
        raise _Untranslatable(f"it is over {axes} axes of {len(shape)}")
    if given.get("auto_pad", "NOTSET") != "NOTSET" or given.get("output_shape"):
        raise _Untranslatable("its padding is left open")
    group = cast("int", given.get("group", 1))
    strides, dilations = (cast("list[int]", given.get(name) or [1] * axes) for name in ("strides", "dilations"))
    pads = cast("list[int]", given.get("pads") or [0] * 2 * axes)
    extra = cast("list[int]", given.get("output_padding") or [0] * axes)
    taken, made = weight.shape[1] * group, weight.shape[0]
    if transposed:
        taken, made = weight.shape[0], weight.shape[1] * group
        weight = weight.reshape(group, taken // group, made // group, *weight.shape[2:]).swapaxes(1, 2)
    kernel = weight.shape[-axes:]
    if taken != shape[0] or taken % group or made % group or (bias is not None and bias.size != made):
        raise _Untranslatable(f"{taken} channels meet {shape[0]}")
    if min(pads) < 0 or any(one >= stride for one, stride in zip(extra, strides, strict=True)):
        raise _Untranslatable("its padding is negative or beyond the stride")
    size = list[int]()
    for axis in range(axes):
        reach, padding = dilations[axis] * (kernel[axis] - 1) + 1, pads[axis] + pads[axis + axes]
        if transposed:
            size.append((shape[axis + 1] - 1) * strides[axis] + reach - padding + extra[axis])
        else:
            size.append((shape[axis + 1] + padding - reach) // strides[axis] + 1)
    parameters: dict[int, Parameter] = {0: made, 1: kernel[-1], 2: dilations[-1], 3: strides[-1], 4: pads[axes - 1]}
    parameters |= {5: int(bias is not None), 6: weight.size, 15: pads[-1]}
    parameters |= {18: extra[-1]} if transposed else {}
    if axes == 2:
        parameters |= {11: kernel[0], 12: dilations[0], 13: strides[0], 14: pads[0], 16: pads[2]}
        parameters |= {19: extra[0]} if transposed else {}
    parameters |= {7: group} if group > 1 else {}
    kind = ("Deconvolution" if transposed else "Convolution") + ("DepthWise" if group > 1 else "")
    weights = (weight,) if bias is None else (weight, bias)
    work.layer(node, kind + ("1D" if axes == 1 else ""), (made, *size), parameters, weights, tagged=True)


def _relu(work: _Work, node: Node) -> None:
    slope = {0: float(cast("float", node.attributes.get("alpha", 0.01)))} if node.operation == "LeakyRelu" else {}
    work.layer(node, "ReLU", work.shape(node.inputs[0]), slope)


def _prelu(work: _Work, node: Node) -> None:
    slope, shape = work.constant(node, 1), work.shape(node.inputs[0])
    assert slope is not None
    if slope.size != 1 and _like(slope, shape) != (shape[0], *[1] * (len(shape) - 1)):
        raise _Untranslatable("its slopes are not one for each channel")
    work.layer(node, "PReLU", shape, {0: slope.size}, (slope.ravel(),))


def _same(kind: str) -> Callable[[_Work, Node], None]:
    return lambda work, node: work.layer(node, kind, work.shape(node.inputs[0]))


def _elu(work: _Work, node: Node) -> None:
    alpha = float(cast("float", node.attributes.get("alpha", 1.0)))
    work.layer(node, "ELU", work.shape(node.inputs[0]), {0: alpha})


def _unary(work: _Work, node: Node) -> None:
    work.layer(node, "UnaryOp", work.shape(node.inputs[0]), {0: _UNARY[node.operation]})


def _clip(work: _Work, node: Node) -> None:
    parameters: dict[int, Parameter] = {}
    for number in (0, 1):
        if (limit := work.constant(node, number + 1)) is not None and np.isfinite(limit).all():
            parameters[number] = float(limit.reshape(()))
    work.layer(node, "Clip", work.shape(node.inputs[0]), parameters)


def _batch_norm(work: _Work, node: Node) -> None:
    shape, given = work.shape(node.inputs[0]), node.attributes
    scale, bias, mean, variance = (cast("NDArray[Any]", work.constant(node, index)) for index in range(1, 5))
    if given.get("training_mode", 0) or scale.size != shape[0]:
        raise _Untranslatable("it takes the statistics of the batch")
    parameters: dict[int, Parameter] = {0: shape[0], 1: float(cast("float", given.get("epsilon", 1e-5)))}
    work.layer(node, "BatchNorm", shape, parameters, (scale, mean, variance, bias))


def _instance_norm(work: _Work, node: Node) -> None:
    shape = work.shape(node.inputs[0])
    scale, bias = (cast("NDArray[Any]", work.constant(node, index)) for index in (1, 2))
    if len(shape) != 3 or scale.size != shape[0]:
        raise _Untranslatable("it is not over a picture")
    epsilon = float(cast("float", node.attributes.get("epsilon", 1e-5)))
    work.layer(node, "InstanceNorm", shape, {0: shape[0], 1: epsilon, 2: 1}, (scale, bias))


def _arithmetic(work: _Work, node: Node) -> None:
    """Add, Sub, Mul and Div: of tensors and constants, where one has a single row it is spread over the other's."""
    straight, turned = {"Add": (_ADD, _ADD), "Sub": (_SUB, _SUB_FROM), "Mul": (_MUL, _MUL), "Div": (_DIV, _DIVIDE)}[
        node.operation
    ]
    constants = [work.constants.get(name) for name in node.inputs]
    if all(one is None for one in constants):
        one, other = map(work.tensor, node.inputs)
        work.layer(node, "BinaryOp", _spread(work.shape(one), work.shape(other)), {0: straight}, inputs=(one, other))
        return
    array = next(one for one in constants if one is not None)
    first = constants[0] is None  # is it the tensor?
    given = work.tensor(node.inputs[0 if first else 1])
    shape = work.shape(given)
    if array.dtype != np.float32:
        raise _Untranslatable(f"it is over {array.dtype}")
    if array.size == 1:
        parameters: dict[int, Parameter] = {0: straight if first else turned, 1: 1, 2: float(array.reshape(()))}
        work.layer(node, "BinaryOp", shape, parameters, inputs=(given,))
        return
    extents = _like(array, shape)
    if extents == (shape[0], *[1] * (len(shape) - 1)) and straight in (_ADD, _MUL):
        weights: tuple[NDArray[Any], ...] = (array.ravel(),)
        weights = weights if straight == _MUL else (np.ones_like(weights[0]), *weights)
        work.layer(node, "Scale", shape, {0: shape[0], 1: len(weights) - 1}, weights, inputs=(given,))
        return
    held = work.memory(array.reshape(extents))
    inputs = (given, held) if first else (held, given)
    work.layer(node, "BinaryOp", _spread(shape, extents), {0: straight}, inputs=inputs)


def _like(array: NDArray[Any], shape: Shape) -> Shape:
    """The extents of a constant beside one sample of this shape."""
    extents = (*[1] * (len(shape) + 1 - array.ndim), *array.shape)
    if len(extents) != len(shape) + 1 or extents[0] != 1:
        raise _Untranslatable(f"a constant of {list(array.shape)} meets {list(shape)}")
    return extents[1:]


def _spread(one: Shape, other: Shape) -> Shape:
    """What comes of two shapes of as many axes."""
    if len(one) != len(other) or any(a != b and 1 not in (a, b) for a, b in zip(one, other, strict=True)):
        raise _Untranslatable(f"{list(one)} meets {list(other)}")
    return tuple(map(max, one, other))


def _tile(work: _Work, node: Node) -> None:
    repeats = work.whole(node, 1) or []
    _repeat(work, node, repeats)


def _expand(work: _Work, node: Node) -> None:
    shape, wanted = work.shape(node.inputs[0]), work.whole(node, 1) or []
    wanted = [*[1] * (len(shape) + 1 - len(wanted)), *wanted]
    repeats = [1] if wanted[0] == 1 else []
    for size, one in zip(shape, wanted[1:], strict=False):
        if 1 not in (size, one) and size != one:
            raise _Untranslatable(f"{list(shape)} becomes {wanted}")
        repeats.append(one if size == 1 else 1)
    _repeat(work, node, repeats)


def _repeat(work: _Work, node: Node, repeats: list[int]) -> None:
    """A tensor so often behind itself, along at most one axis."""
    shape = work.shape(node.inputs[0])
    axes = [axis for axis, count in enumerate(repeats) if count != 1]
    if len(repeats) != len(shape) + 1 or axes[:1] == [0] or len(axes) > 1 or min(repeats) < 1:
        raise _Untranslatable("it does not keep the samples apart")
    if not axes:
        work.view(node, None)
        return
    axis, count = axes[0] - 1, repeats[axes[0]]
    size = (*shape[:axis], shape[axis] * count, *shape[axis + 1 :])
    work.layer(node, "Concat", size, {0: axis}, inputs=(work.tensor(node.inputs[0]),) * count)


def _mean(work: _Work, node: Node) -> None:
    shape, axes = work.shape(node.inputs[0]), work.whole(node, 1)
    over = sorted({axis % (len(shape) + 1) - 1 for axis in axes or ()})
    kept = bool(node.attributes.get("keepdims", 1))
    if not over or over[0] < 0 or not (kept or len(over) < len(shape)):
        raise _Untranslatable("it does not keep the samples apart")
    sizes = [1 if axis in over else size for axis, size in enumerate(shape) if kept or axis not in over]
    parameters: dict[int, Parameter] = {0: _MEAN, 1: 0, 3: over, 4: int(kept), 5: 1}
    work.layer(node, "Reduction", tuple(sizes), parameters)


def _reshape(work: _Work, node: Node) -> None:
    wanted, shape = work.whole(node, 1), work.shape(node.inputs[0])
    assert wanted is not None
    if wanted[:1] not in ([-1], [0]) or (0 in wanted and node.attributes.get("allowzero", 0)):
        raise _Untranslatable(f"{wanted} does not keep the samples apart")
    if any(one == 0 and axis > len(shape) for axis, one in enumerate(wanted)):
        raise _Untranslatable(f"{wanted} names an axis that is not there")
    rest = [shape[axis - 1] if one == 0 else one for axis, one in enumerate(wanted)][1:]
    if -1 in rest and wanted[0] == 0:
        rest[rest.index(-1)] = prod(shape) // max(1, prod(one for one in rest if one != -1))
    _to_shape(work, node, tuple(rest))


def _flatten(work: _Work, node: Node) -> None:
    if node.attributes.get("axis", 1) != 1:
        raise _Untranslatable("it does not keep the samples apart")
    _to_shape(work, node, (prod(work.shape(node.inputs[0])),))


def _squeeze(work: _Work, node: Node) -> None:
    axes, shape = work.whole(node, 1), work.shape(node.inputs[0])
    left_out = {axis % (len(shape) + 1) for axis in axes or ()}
    if not left_out or 0 in left_out or any(shape[axis - 1] != 1 for axis in left_out):
        raise _Untranslatable("it does not keep the samples apart")
    _to_shape(work, node, tuple(size for axis, size in enumerate(shape, 1) if axis not in left_out))


def _unsqueeze(work: _Work, node: Node) -> None:
    axes, shape = work.whole(node, 1) or [], work.shape(node.inputs[0])
    rank = len(shape) + 1 + len(axes)
    new, sizes = {axis % rank for axis in axes}, iter(shape)
    if 0 in new or len(new) != len(axes):
        raise _Untranslatable("it does not keep the samples apart")
    _to_shape(work, node, tuple(1 if axis in new else next(sizes) for axis in range(1, rank)))


def _to_shape(work: _Work, node: Node, shape: Shape) -> None:
    given = work.shape(node.inputs[0])
    if not 1 <= len(shape) <= 3 or min(shape) < 1 or prod(shape) != prod(given):
        raise _Untranslatable(f"{list(given)} becomes {list(shape)}")
    names: dict[int, tuple[int, ...]] = {1: (0,), 2: (1, 0), 3: (2, 1, 0)}
    parameters: dict[int, Parameter] = dict(zip(names[len(shape)], shape, strict=True))
    work.layer(node, "Reshape", shape, parameters)


def _slice(work: _Work, node: Node) -> None:
    shape = work.shape(node.inputs[0])
    starts, ends, axes, steps = (work.whole(node, index) for index in range(1, 5))
    if starts is None or ends is None or axes is None or set(steps or [1]) != {1}:
        raise _Untranslatable("it takes every other")
    found, first, last, size = list[int](), list[int](), list[int](), list(shape)
    for start, end, axis in zip(starts, ends, axes, strict=True):
        at = axis % (len(shape) + 1) - 1
        if at < 0 or at in found:
            raise _Untranslatable("it does not keep the samples apart")
        low, high, _ = slice(start, end).indices(shape[at])
        found.append(at)
        first.append(low)
        last.append(high)
        size[at] = high - low
    work.layer(node, "Crop", tuple(size), {9: first, 10: last, 11: found})


def _concat(work: _Work, node: Node) -> None:
    tensors = tuple(map(work.tensor, node.inputs))
    shapes = [work.shape(name) for name in tensors]
    axis = cast("int", node.attributes.get("axis", 0)) % (len(shapes[0]) + 1) - 1
    apart = {(*shape[:axis], *shape[axis + 1 :]) for shape in shapes}
    if axis < 0 or len(apart) > 1 or len({len(shape) for shape in shapes}) > 1:
        raise _Untranslatable(f"{' and '.join(str(list(shape)) for shape in shapes)} do not fit")
    size = list(shapes[0])
    size[axis] = sum(shape[axis] for shape in shapes)
    work.layer(node, "Concat", tuple(size), {0: axis}, inputs=tensors)


def _depth_to_space(work: _Work, node: Node) -> None:
    shape, block = work.shape(node.inputs[0]), cast("int", node.attributes["blocksize"])
    if len(shape) != 3 or shape[0] % block**2:
        raise _Untranslatable(f"{list(shape)} has no blocks of {block}")
    columns_first = int(node.attributes.get("mode", "DCR") == "DCR")
    size = (shape[0] // block**2, shape[1] * block, shape[2] * block)
    work.layer(node, "PixelShuffle", size, {0: block, 1: columns_first})


def _resize(work: _Work, node: Node) -> None:
    """Enlarging by whole numbers: nearest, or linear with pixels as squares."""
    shape, given = work.shape(node.inputs[0]), node.attributes
    scales, sizes = work.constant(node, 2), work.whole(node, 3)
    wanted = [one / size for one, size in zip(sizes[1:], shape, strict=True)] if sizes else None
    if wanted is None:
        wanted = [] if scales is None else [float(one) for one in scales[1:]]
    mode, where = given.get("mode", "nearest"), given.get("coordinate_transformation_mode", "half_pixel")
    rounding = given.get("nearest_mode", "round_prefer_floor")
    nearest = mode == "nearest" and (where, rounding) in (("asymmetric", "floor"), ("half_pixel", "round_prefer_floor"))
    if not nearest and not (mode == "linear" and where in ("half_pixel", "pytorch_half_pixel")):
        raise _Untranslatable(f"it is {mode}, {where}")
    if len(shape) != 3 or len(wanted) != 3 or wanted[0] != 1 or any(one < 1 or one % 1 for one in wanted):
        raise _Untranslatable("it does not enlarge a picture by whole numbers")
    if not nearest and min(shape[1:]) < 2:
        raise _Untranslatable("a single row is stretched")
    parameters: dict[int, Parameter] = {0: 1 if nearest else 2, 1: float(wanted[1]), 2: float(wanted[2])}
    work.layer(node, "Interp", (shape[0], int(shape[1] * wanted[1]), int(shape[2] * wanted[2])), parameters)


def _pad(work: _Work, node: Node) -> None:
    shape, fill = work.shape(node.inputs[0]), work.constant(node, 2)
    pads, axes = work.whole(node, 1), work.whole(node, 3)
    mode = node.attributes.get("mode", "constant")
    rank = len(shape) + 1
    if mode not in _PADS or pads is None or axes is not None or len(pads) != 2 * rank or min(pads) < 0:
        raise _Untranslatable(f"it is {mode}")
    before, after = pads[1:rank], pads[rank + 1 :]
    still = len(shape) - 2  # channels, of a picture
    if pads[0] or pads[rank] or len(shape) < 2 or any(before[:still]) or any(after[:still]):
        raise _Untranslatable("it pads channels")
    if mode == "reflect" and any(max(ends) >= size for *ends, size in zip(before, after, shape, strict=True)):
        raise _Untranslatable("it mirrors more than there is")
    parameters: dict[int, Parameter] = {0: before[-2], 1: after[-2], 2: before[-1], 3: after[-1], 4: _PADS[str(mode)]}
    parameters |= {5: 0.0 if fill is None else float(fill.reshape(()))}
    work.layer(node, "Padding", tuple(map(sum, zip(shape, before, after, strict=True))), parameters)


def _gather(work: _Work, node: Node) -> None:
    """A row of a table for each sample: the embedding of a label."""
    table, index = work.constants.get(node.inputs[0]), node.inputs[1]
    if table is None or table.ndim != 2 or node.attributes.get("axis", 0) != 0 or work.shape(index, whole=True) != ():
        raise _Untranslatable("it takes no row of a table")
    name, width = node.outputs[0], table.shape[1]
    parameters: dict[int, Parameter] = {0: width, 1: table.shape[0], 2: 0, 3: table.size}
    row = f"\0row of {name}"
    work.network.add(
        Layer("Embed", (work.tensor(index, whole=True),), row, parameters, (table,), tagged=True), (1, width)
    )
    work.layer(node, "Reshape", (width,), {0: width}, inputs=(row,))


def _transpose(work: _Work, node: Node) -> None:
    order = cast("list[int]", node.attributes.get("perm") or [])
    if order[:1] != [0]:
        raise _Untranslatable("it does not keep the samples apart")
    work.view(node, tuple(axis - 1 for axis in order[1:]))


def _identity(work: _Work, node: Node) -> None:
    work.view(node, None)


def _cast(work: _Work, node: Node) -> None:
    """Of an output, or of weights that are kept as halves."""
    held = work.constants.get(node.inputs[0])
    if held is not None and node.attributes.get("to") == _FLOAT:
        work.constants[node.outputs[0]] = held.astype(np.float32)
        return
    if node.outputs[0] not in work.outputs:
        raise _Untranslatable("its result is computed with")
    work.view(node, None, other_type=True)


_OPERATIONS: dict[str, Callable[[_Work, Node], None]] = {
    "Add": _arithmetic,
    "BatchNormalization": _batch_norm,
    "Cast": _cast,
    "Clip": _clip,
    "Concat": _concat,
    "Conv": _convolution,
    "ConvTranspose": _convolution,
    "DepthToSpace": _depth_to_space,
    "Div": _arithmetic,
    "Elu": _elu,
    "Expand": _expand,
    "Flatten": _flatten,
    "Gather": _gather,
    "Gemm": _gemm,
    "Identity": _identity,
    "InstanceNormalization": _instance_norm,
    "LeakyRelu": _relu,
    "MatMul": _matmul,
    "Mul": _arithmetic,
    "PRelu": _prelu,
    "Pad": _pad,
    "ReduceMean": _mean,
    "Relu": _relu,
    "Reshape": _reshape,
    "Resize": _resize,
    "Sigmoid": _same("Sigmoid"),
    "Slice": _slice,
    "Squeeze": _squeeze,
    "Sub": _arithmetic,
    "Tanh": _same("TanH"),
    "Tile": _tile,
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
    **dict.fromkeys(_UNARY, _unary),
}
