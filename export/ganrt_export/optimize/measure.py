"""Which form of a layer runs fastest here: each alone in a small graph, on one engine, in turns.

The layer gets what the whole graph has around it as far as engines join it: its bias, and the activation behind it.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import ExitStack, closing
from math import prod
from statistics import fmean, median
from typing import Any, TypeVar

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from ganrt import backends
from ganrt.backends.base import Graph, Options
from ganrt.environment import usable_cores
from ganrt.errors import BackendError

from .enlarge import Layer, activation, enlarge
from .repeats import repeated, repetition
from .upsampling import Form
from .values import constant, new_constant, producer

__all__ = ["EXTENT", "Costs", "alone", "costs", "signature", "times"]

EXTENT = 64  # of axes that may have any size
_BATCHES = (1, 8)
_ROUNDS, _ROUND_S = 6, 0.012
_MOST = 1 << 27  # numbers in a result, beyond which a batch is not tried

K = TypeVar("K", bound=Hashable)
Costs = dict[Form | None, float]  # seconds a sample, None the layer as it is


def costs(layer: Layer, engine: str, extent: int = EXTENT) -> Costs:
    """Seconds a sample, the mean of batches of 1 and 8, of each form that `engine` runs; `extent` stands for sizes that
    may change. Empty where it does not even run the layer as it is."""
    found: dict[Form | None, list[float]] = {}
    with ExitStack() as opened:
        calls = {}
        for form in (None, *layer.possible()):
            try:
                call = _opened(alone(layer, form), engine, layer, extent, opened)
                call(1)()
            except BackendError:
                if form is None:
                    return {}
                continue
            calls[form] = call
        for batch in _BATCHES:
            if batch > 1 and batch * _numbers(layer, extent) > _MOST:
                break
            for form, seconds in times({form: call(batch) for form, call in calls.items()}).items():
                found.setdefault(form, []).append(seconds / batch)
    return {form: fmean(seconds) for form, seconds in found.items()}


def signature(layer: Layer) -> Hashable:
    """Equal for layers that take the same time."""
    what, following = layer.what, activation(layer.node.outputs[0])
    behind = following.op_type if following is not None else ""
    shape = (what.kernel.shape, what.strides, what.front, what.rear, layer.extent)
    return layer.kind, what.bias is None, behind, shape


def alone(layer: Layer, form: Form | None) -> bytes:
    """An ONNX model x -> y of the layer alone, as it is or in another form, and of the activation behind it."""
    node, what = layer.node, layer.what
    rank = len(what.strides)
    channels = what.kernel.shape[0] * what.kernel.shape[1]
    float32 = ir.TensorType(ir.DataType.FLOAT)
    extents = [size or f"in_{axis}" for axis, size in enumerate(layer.extent)]
    x = ir.Value(name="x", shape=ir.Shape(["batch", channels, *extents]), type=float32)
    graph = ir.Graph([x], [], nodes=[], opset_imports={"": 20}, name="layer")
    data = x
    if layer.kind == "repeated":
        found = repeated(producer(node.inputs[0], "Resize"))
        assert found is not None
        like = ir.Value(name="large", type=float32)
        graph.append(repetition(graph, x, found[1], like))
        data = graph[-1].outputs[0]
    weights = [new_constant(graph, array, "weight") for array in map(constant, node.inputs[1:]) if array is not None]
    graph.append(ir.Node("", node.op_type, [data, *weights], list(node.attributes.values()), num_outputs=1))
    following = activation(node.outputs[0])
    if following is not None:
        behind = list(following.attributes.values())
        graph.append(ir.Node("", following.op_type, [graph[-1].outputs[0]], behind, num_outputs=1))
    y = graph[-1].outputs[0]
    y.name, y.type = "y", float32
    y.shape = ir.Shape(["batch", what.outputs, *[f"out_{axis}" for axis in range(rank)]])
    graph.outputs.append(y)
    if form is not None:
        enlarge(graph, lambda _: form)
    serialized: bytes = ir.to_proto(ir.Model(graph, ir_version=10)).SerializeToString(deterministic=True)
    return serialized


def _extents(layer: Layer, extent: int) -> list[int]:
    return [size or extent for size in layer.extent]


def _result(layer: Layer, extent: int) -> list[int]:
    what = layer.what
    axes = zip(_extents(layer, extent), what.strides, what.taps, what.front, what.rear, strict=True)
    return [what.outputs, *(r * (size - 1) + k - p - q for size, r, k, p, q in axes)]


def _numbers(layer: Layer, extent: int) -> int:
    return prod(_result(layer, extent))


def _opened(
    data: bytes, engine: str, layer: Layer, extent: int, opened: ExitStack
) -> Callable[[int], Callable[[], object]]:
    """For a batch, the call that is to be timed."""
    session = backends.open_session(
        engine, Graph(data, hashlib.sha256(data).hexdigest(), "fp32"), Options(threads=usable_cores())
    )
    opened.enter_context(closing(session))
    channels = layer.what.kernel.shape[0] * layer.what.kernel.shape[1]

    def prepared(batch: int) -> Callable[[], object]:
        chance = np.random.default_rng(batch)
        x: NDArray[Any] = chance.standard_normal((batch, channels, *_extents(layer, extent)), dtype=np.float32)
        return lambda: session.evaluate({"x": x}, ["y"])

    return prepared


def times(calls: Mapping[K, Callable[[], object]]) -> dict[K, float]:
    """Seconds a call, taking turns: the least of the rounds' medians, since what disturbs a round only adds."""
    for call in calls.values():
        call()
    repeats = {name: max(1, min(200, int(_ROUND_S / _seconds(call, 1)))) for name, call in calls.items()}
    rounds = list(_rounds(calls, repeats))
    return {name: min(one[name] for one in rounds) for name in calls}


def _rounds(calls: Mapping[K, Callable[[], object]], repeats: Mapping[K, int]) -> Iterator[dict[K, float]]:
    for _ in range(_ROUNDS):
        yield {name: _seconds(call, repeats[name]) for name, call in calls.items()}


def _seconds(call: Callable[[], object], repeats: int) -> float:
    """The median of `repeats` calls."""
    taken = []
    for _ in range(repeats):
        started = time.perf_counter()
        call()
        taken.append(time.perf_counter() - started)
    return max(median(taken), 1e-7)
