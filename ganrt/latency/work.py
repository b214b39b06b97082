"""How much a call computes and moves at least: the numbers that place it under the roofline."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from numpy.typing import NDArray

from ..backends import available
from ..backends.base import GRAPH_OF, PLAIN, Graph, Options
from ..backends.profile import profile
from ..bundle import Bundle
from ..errors import BackendError
from ..manifest import Manifest
from ..onnx_header import count_weights
from .operations import multiply_adds

__all__ = ["Work", "work"]

_WIDTH = {"fp32": 4, "bf16": 2, "fp16": 2, "int8": 1}  # bytes of a weight where it is computed with
_counted = dict[tuple[str, tuple[int, ...]], int]()  # graph and sizes of the inputs -> multiply-adds of a sample


class Work(msgspec.Struct, frozen=True):
    """Of one sample: `multiply_adds` in convolutions and matrix products, and `carried`, bytes of inputs and outputs.
    Of one engine call: `weights`, their bytes in the precision that they are computed in.

    `counted`: by "the bundle", as the exporter told it, or by "a run" of the operations as they are written; where
    neither can be had, `multiply_adds` is None and `counted` says why.
    """

    multiply_adds: int | None
    counted: str
    weights: int
    carried: int


def work(
    bundle: Bundle, precision: str, form: str, sample: Mapping[str, NDArray[Any]], outputs: Mapping[str, NDArray[Any]]
) -> Work:
    """What one sample takes in this precision and form of the graph; `sample`, `outputs`: arrays of a batch of one."""
    graph = Graph.of(bundle, GRAPH_OF[precision], form)
    parts = [graph.data] if graph.mapping is None else [graph.mapping, graph.data]
    numbers = sum(count_weights(part, bundle.manifest.name) for part in parts)
    carried = sum(array.nbytes for array in (*sample.values(), *outputs.values()))
    told = None if graph.mapping is not None else _told(bundle.manifest, form, precision)
    if told is not None:
        return Work(told, "the bundle", numbers * _WIDTH[precision], carried)
    found, why = _count(graph, sample, outputs)
    return Work(found, why, numbers * _WIDTH[precision], carried)


def _told(manifest: Manifest, form: str, precision: str) -> int | None:
    """What the exporter counted; for a graph that takes any size it is of another size than this one."""
    figures = manifest.provenance.get("operations")
    one = figures.get(GRAPH_OF[precision] if form == PLAIN else form) if isinstance(figures, dict) else None
    found = one.get("multiply_adds") if isinstance(one, dict) else None
    fixed = all(size is not None for port in manifest.spec.input_ports() for size in port.shape[1:])
    return found if fixed and isinstance(found, int) and not isinstance(found, bool) and found > 0 else None


def _count(
    graph: Graph, sample: Mapping[str, NDArray[Any]], outputs: Mapping[str, NDArray[Any]]
) -> tuple[int | None, str]:
    """Multiply-adds in the shapes that ONNX Runtime meets when it runs the graph as it is written."""
    if not available("onnxruntime"):
        return None, "the bundle does not tell, and ONNX Runtime, which could, is not installed"
    key = (graph.digest, tuple(size for array in sample.values() for size in array.shape))
    if key not in _counted:
        try:
            trace = profile("onnxruntime", graph, Options(1, graph.precision), sample, outputs, 0.0, as_written=True)
        except BackendError as problem:
            return None, f"the bundle does not tell, and it cannot be counted: {problem}"
        _counted[key] = multiply_adds(trace.calls[0])
    return _counted[key], "a run"
