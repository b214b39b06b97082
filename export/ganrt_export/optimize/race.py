"""Whole graphs against each other on one engine, in turns: layers alone do not tell how an engine joins them."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing
from math import exp, log
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ganrt import backends
from ganrt.backends.base import Graph, Options
from ganrt.environment import usable_cores
from ganrt.errors import BackendError
from ganrt.onnx_header import read_onnx_header

__all__ = ["race"]

_BATCHES = (1, 8)
_ROUNDS, _TURN_S, _LONG_S = 8, 0.02, 0.5


def race(graphs: Mapping[str, bytes], engine: str, extent: int) -> dict[str, float]:
    """Seconds of each graph that this engine runs: the geometric mean of a call at batches 1 and 8, each the least of
    its rounds. `extent` stands for sizes that may change. A larger batch is left out where its call would take half a
    second: nothing is learnt by it, and all graphs at once may need more memory for it than there is.
    """
    found: dict[str, list[float]] = {}
    wanted = [port.name for port in read_onnx_header(next(iter(graphs.values())), "The graph").outputs]
    with ExitStack() as opened:
        sessions = {}
        for name, data in graphs.items():
            graph = Graph(data, hashlib.sha256(data).hexdigest(), "fp32")
            try:
                sessions[name] = backends.open_session(engine, graph, Options(threads=usable_cores()))
            except BackendError:
                continue
            opened.enter_context(closing(sessions[name]))
        for batch in _BATCHES:
            if found and batch * min(seconds[0] for seconds in found.values()) > _LONG_S:
                break
            feeds = {name: _feeds(graphs[name], batch, extent) for name in sessions}
            calls: dict[str, Callable[[], object]] = {
                name: (lambda session=session, given=feeds[name]: session.evaluate(given, wanted))  # type: ignore[misc]
                for name, session in sessions.items()
            }
            try:
                first = {name: _seconds(call, 2) for name, call in calls.items()}
            except BackendError:
                break
            if not first:
                break
            repeats = {name: max(1, min(50, int(_TURN_S / seconds))) for name, seconds in first.items()}
            rounds = [{name: _seconds(call, repeats[name]) for name, call in calls.items()} for _ in range(_ROUNDS)]
            for name in calls:
                found.setdefault(name, []).append(min(one[name] for one in rounds))
    return {name: exp(sum(map(log, seconds)) / len(seconds)) for name, seconds in found.items()}


def _feeds(data: bytes, batch: int, extent: int) -> dict[str, NDArray[Any]]:
    """Standard normal numbers, and zeros for whole ones: time does not see values."""
    chance, feeds = np.random.default_rng(batch), {}
    for port in read_onnx_header(data, "The graph").inputs:
        shape = [batch, *(size or extent for size in port.shape[1:])]
        made: NDArray[Any] = np.zeros(shape, port.dtype)
        feeds[port.name] = chance.standard_normal(shape, dtype=np.float32) if port.dtype == "float32" else made
    return feeds


def _seconds(call: Callable[[], object], repeats: int) -> float:
    """The mean of `repeats` calls in a row."""
    started = time.perf_counter()
    for _ in range(repeats):
        call()
    return max((time.perf_counter() - started) / repeats, 1e-7)
