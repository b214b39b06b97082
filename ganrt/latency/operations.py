"""The operations of a call, as the engine's own profiler tells them: which kinds take the time, and which nodes.

A profiler slows calls down, so its milliseconds are not those of the table: read them as shares.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from math import prod
from statistics import median
from typing import NamedTuple

import msgspec

from ..backends.profile import NodeTime, Trace

__all__ = ["Kind", "Node", "Operations", "Traced", "multiply_adds", "operations"]

_SHOWN = 40  # nodes, the slowest


class Node(msgspec.Struct, frozen=True):
    """One operation of the graph that the engine runs. `ms`: its median in a call, or its mean where the engine tells
    no more. `kernel`: "" where not told."""

    name: str
    operation: str
    ms: float
    kernel: str = ""


class Kind(msgspec.Struct, frozen=True):
    """All operations of one kind: `count` of them take `ms` together."""

    operation: str
    count: int
    ms: float


class Operations(msgspec.Struct, frozen=True):
    """`kinds` and `nodes`: the slowest first; of the nodes at most forty. `call_ms`: the engine's own time of a call
    under its profiler, of which the operations take `inside_ms`; the rest is between them. `calls`: so many were
    profiled. `moved`: bytes of activations that the operations read and write in a call, None where not told.
    `streams`: parts of the batch that run side by side, of which all times are those of one.
    """

    engine: str
    calls: int
    call_ms: float
    inside_ms: float
    kinds: list[Kind]
    nodes: list[Node]
    moved: int | None = None
    streams: int = 1


class Traced(NamedTuple):
    """An engine call, which the call that is timed makes so many `times`, each in `streams` parts side by side."""

    trace: Trace
    times: int = 1
    streams: int = 1


def operations(engine: str, traces: Iterable[Traced]) -> Operations:
    """What `traces` tell of the call that is made of them."""
    nodes, moved, call_ms, calls, most = list[Node](), list[int | None](), 0.0, 0, 1
    for trace, times, streams in traces:
        for node, one in _nodes(trace):
            nodes.append(msgspec.structs.replace(node, ms=times * node.ms))
            moved.append(None if one is None else times * streams * one)
        call_ms += times * median(trace.call_ms)
        calls, most = trace.profiled, max(most, streams)
    by_kind = defaultdict[str, list[Node]](list)
    for node in nodes:
        by_kind[node.operation].append(node)
    kinds = [Kind(kind, len(ones), round(sum(one.ms for one in ones), 6)) for kind, ones in by_kind.items()]
    inside = sum(node.ms for node in nodes)
    told = [one for one in moved if one is not None]
    return Operations(
        engine,
        calls,
        round(max(call_ms, inside), 6),
        round(inside, 6),
        sorted(kinds, key=lambda one: -one.ms),
        sorted(nodes, key=lambda one: -one.ms)[:_SHOWN],
        sum(told) if told and len(told) == len(moved) else None,
        most,
    )


def multiply_adds(call: Sequence[NodeTime]) -> int:
    """In the convolutions and matrix products of one call, whose operations must have told their shapes.

    >>> multiply_adds([NodeTime("c", "Conv", "", 1.0, ((2, 3, 8, 8), (16, 3, 3, 3)), ((2, 16, 6, 6),))])
    31104
    """
    return sum(map(_of_node, call))


def _nodes(trace: Trace) -> Iterable[tuple[Node, int | None]]:
    """Each node with the bytes it moves; one that runs several times in a call is one node, and one that a call does
    not tell of took nothing in it."""
    times, seen = defaultdict[tuple[str, str], list[float]](list), dict[tuple[str, str], NodeTime]()
    for call in trace.calls:
        took = defaultdict[tuple[str, str], float](float)
        for node in call:
            took[node.name, node.operation] += node.ms
            seen[node.name, node.operation] = node
        for key, ms in took.items():
            times[key].append(ms)
    for key, node in seen.items():
        took_none = [0.0] * (len(trace.calls) - len(times[key]))
        yield Node(node.name, node.operation, round(median(times[key] + took_none), 6), node.kernel), node.moved


def _of_node(node: NodeTime) -> int:
    if node.inputs is None or not node.outputs or len(node.inputs) < 2:
        return 0
    data, weight, made = *node.inputs[:2], node.outputs[0]
    match node.operation:
        case "Conv":
            return prod(made) * prod(weight[1:])
        case "ConvTranspose":
            return prod(data) * prod(weight[1:])
        case "Gemm":
            return prod(data) * made[1]  # either may be transposed
        case "MatMul":
            return prod(made) * data[-1]
    return 0
