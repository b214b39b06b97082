"""Where an engine says its time goes: one record for each operation of each call, from the engine's own profiler.

A backend that has one gives `profile(graph, options, inputs, outputs, seconds)`. It opens a session of its own, because
a profiler slows every call down by a little: what it tells is how the time is shared out, not how long a call takes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import closing
from functools import partial
from typing import Any, NamedTuple, TypeAlias, cast

from numpy.typing import NDArray

from ..errors import BackendUnavailable
from . import _backend, open_session
from .base import Graph, Options
from .chain import W

__all__ = ["NodeTime", "Trace", "profile"]

Shape: TypeAlias = tuple[int, ...]


class NodeTime(NamedTuple):
    """One operation in one call.

    `name`: the engine's name of it, mostly the graph's. `operation`: its kind. `kernel`: the code that ran, where the
    engine tells. `ms`: without the operations inside it, which loops and branches have. `inputs`, `outputs`: their
    shapes, and `moved`: bytes of activations that it reads and writes; None where the engine does not tell.
    """

    name: str
    operation: str
    kernel: str
    ms: float
    inputs: tuple[Shape, ...] | None = None
    outputs: tuple[Shape, ...] | None = None
    moved: int | None = None


class Trace(NamedTuple):
    """`calls`: the operations of each call in the order they ran, and `call_ms`, the engine's own time of each; of an
    engine that tells means alone one call, their mean. `profiled`: so many calls were. In streams a call is one part of
    the batch, timed while the others run beside it."""

    calls: list[list[NodeTime]]
    call_ms: list[float]
    profiled: int


def profile(
    name: str,
    graph: Graph,
    options: Options,
    inputs: Mapping[str, NDArray[Any]],
    outputs: Mapping[str, NDArray[Any]],
    seconds: float,
    *,
    as_written: bool = False,
) -> Trace:
    """Runs `graph` on the engine `name` for about `seconds`, at least thrice, under its profiler.

    The first call is left out. A generator of two graphs is both, one after the other; the first one's operations are
    named "mapping: ...". `as_written`: the graph's own operations, none fused or replaced, with the shapes of weights
    (ONNX Runtime alone). Raises BackendUnavailable for an engine without a profiler, BackendError when a call fails.
    """
    traced = getattr(_backend(name), "profile", None)
    if traced is None:
        raise BackendUnavailable(f"{name} does not tell the times of its operations.")
    traced = cast("Callable[..., Trace]", partial(traced, as_written=True) if as_written else traced)
    if graph.mapping is None:
        return traced(graph, options, inputs, outputs, seconds)
    first = Graph(graph.mapping, f"{graph.digest}.mapping", graph.precision)
    with closing(open_session(name, first, options)) as session:
        styles = session.evaluate(inputs, (W,))
    mapping = traced(first, options, inputs, styles, seconds / 2)
    synthesis = traced(Graph(graph.data, graph.digest, graph.precision), options, styles, outputs, seconds / 2)
    pairs = list(zip(mapping.calls, synthesis.calls, strict=False))
    return Trace(
        [[*(node._replace(name=f"mapping: {node.name}") for node in one), *other] for one, other in pairs],
        [one + other for one, other in zip(mapping.call_ms, synthesis.call_ms, strict=False)],
        min(mapping.profiled, synthesis.profiled),
    )
