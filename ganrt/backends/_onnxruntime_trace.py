"""The file that ONNX Runtime's profiler writes: events of the trace event format, a millionth of a second the unit."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from .profile import NodeTime, Trace

__all__ = ["read_trace"]

_SUFFIX = "_kernel_time"  # of an operation's event; a session's has none


class _Facts(msgspec.Struct):
    """Of an operation: shapes by type, and sizes in bytes as texts."""

    op_name: str = ""
    input_type_shape: list[dict[str, tuple[int, ...]]] = []
    output_type_shape: list[dict[str, tuple[int, ...]]] = []
    activation_size: str = "0"
    output_size: str = "0"


class _Event(msgspec.Struct):
    cat: str
    name: str
    ts: int
    dur: int
    tid: int
    args: _Facts


def read_trace(data: bytes) -> Trace:
    """The calls in the file, without the first of each thread: streams are threads, and each part of a batch a call."""
    events = sorted(msgspec.json.decode(data, type=list[_Event]), key=lambda one: (one.ts, -one.dur))
    every = [one for one in events if one.name == "model_run"]
    first = {one.tid: one for one in reversed(every)}
    runs = [one for one in every if one is not first[one.tid]]
    nodes = [one for one in events if one.cat == "Node" and one.name.endswith(_SUFFIX)]
    calls = []
    for run in runs:
        inside = [one for one in nodes if one.tid == run.tid and run.ts <= one.ts <= run.ts + run.dur]
        calls.append([_node(one, alone) for one, alone in zip(inside, _alone(inside), strict=True)])
    return Trace(calls, [run.dur / 1000 for run in runs], len(runs))


def _alone(events: Sequence[_Event]) -> list[int]:
    """The time of each event without those within it: a loop holds the operations of its body."""
    alone, around = [one.dur for one in events], list[int]()
    for at, one in enumerate(events):
        while around and events[around[-1]].ts + events[around[-1]].dur < one.ts + one.dur:
            around.pop()
        if around:
            alone[around[-1]] -= one.dur
        around.append(at)
    return [max(0, one) for one in alone]


def _node(event: _Event, alone: int) -> NodeTime:
    facts = event.args
    inputs, outputs = (
        tuple(shape for one in listed for shape in one.values())
        for listed in (facts.input_type_shape, facts.output_type_shape)
    )
    moved = int(facts.activation_size) + int(facts.output_size)
    return NodeTime(event.name.removesuffix(_SUFFIX), facts.op_name, "", alone / 1000, inputs, outputs, moved)
