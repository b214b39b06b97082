"""OpenVINO on the CPU.

It computes in BF16 by default where the processor can, whatever the graph's types say, so INFERENCE_PRECISION_HINT is
always set (https://docs.openvino.ai/2025/openvino-workflow/running-inference/optimize-inference/precision-control.html).
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import closing
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ..environment import processor
from ..errors import BackendError, BackendUnavailable
from ._openvino_quantized import join_pairs
from .base import Availability, Graph, Options, SessionInfo, look_up, translated
from .profile import NodeTime, Trace
from .streams import split

__all__ = ["MODULE", "NAME", "available", "open_session", "precisions", "profile"]

NAME, MODULE = "openvino", "openvino"
_INSTALL = "pip install 'ganrt[openvino]'"
_MULTIPLYING = {"Convolution", "Deconvolution", "FullyConnected", "MatMul", "GroupConvolution"}
_PRECISIONS = {"f32": "fp32", "f16": "fp16", "bf16": "bf16", "i8": "int8", "u8": "int8"}
_APART = 32 << 20  # bytes of a graph; beyond, a second compiled model would take more memory than it saves time
_RUNNING = translated("OpenVINO", "failed while running", line=-1)
_FIRST_CALLS, _MOST_CALLS = 2, 200  # under the profiler
_HINTS = {"fp32": "f32", "fp16": "f16", "int8": "f32", "bf16": "bf16"}


def available() -> Availability:
    """Whether OpenVINO is installed, without importing it."""
    return look_up("OpenVINO", MODULE, _INSTALL, "openvino")


def precisions() -> tuple[str, ...]:
    """How this engine can compute on this processor."""
    bf16 = any("BF16" in feature for feature in processor().features)
    return ("fp32", "fp16", "int8", "bf16") if bf16 else ("fp32", "fp16", "int8")


def open_session(graph: Graph, options: Options) -> OpenVinoSession:
    """Raises BackendUnavailable when OpenVINO cannot be loaded, BackendError when it refuses the graph."""
    return OpenVinoSession(graph, options)


def profile(
    graph: Graph,
    options: Options,
    inputs: Mapping[str, NDArray[Any]],
    outputs: Mapping[str, NDArray[Any]],
    seconds: float,
) -> Trace:
    """What OpenVINO counts under PERF_COUNT: of every operation the mean since the model was compiled, so that of the
    first calls, which are of another kind, is taken out. What it has fused into another one takes no time of its own.
    """
    with closing(OpenVinoSession(graph, options, count=True)) as session:
        for _ in range(_FIRST_CALLS):
            session.run(inputs, outputs)
        first, took = {node.name: node.ms for node in session.counted(tuple(outputs))[0]}, list[float]()
        started = time.perf_counter()
        while len(took) < 3 or (len(took) < _MOST_CALLS and time.perf_counter() - started < seconds):
            session.run(inputs, outputs)
            nodes, call_ms = session.counted(tuple(outputs))
            took.append(call_ms)
    calls = len(took)
    later = {node.name: (node.ms * (_FIRST_CALLS + calls) - first.get(node.name, 0.0) * _FIRST_CALLS) for node in nodes}
    means = [node._replace(ms=max(0.0, later[node.name] / calls)) for node in nodes]
    return Trace([means], [sum(took) / calls], calls)


@cache
def _core(make: Callable[[], Any]) -> Any:
    """One for the whole process, so that the CPU's plugin is never unloaded.

    It gives the thread that loads it a signal stack, and frees that where it is unloaded, perhaps by another thread:
    the next signal with a handler, Ctrl-C too, then ended the process.
    """
    return make()


class OpenVinoSession:
    """A compiled model for each choice of outputs, since one computes all that it has; each thread has its requests."""

    def __init__(self, graph: Graph, options: Options, *, count: bool = False) -> None:
        """`count`: the time of every operation, for `counted`."""
        try:
            import openvino
        except ImportError as problem:
            raise BackendUnavailable(f"OpenVINO cannot be loaded ({problem}). Install it: {_INSTALL}") from problem
        if options.precision == "bf16" and "bf16" not in precisions():
            raise BackendUnavailable("OpenVINO computes in BF16 only on a processor that has it; this one does not.")
        self._tensor = openvino.Tensor
        self._settings = {
            "INFERENCE_PRECISION_HINT": _HINTS[options.precision],
            "PERFORMANCE_HINT": "LATENCY" if options.streams == 1 else "THROUGHPUT",
            "NUM_STREAMS": str(options.streams),
            "INFERENCE_NUM_THREADS": str(options.threads),
            "PERF_COUNT": count,
        }
        self._requests, self._streams = threading.local(), options.streams
        self._models: dict[frozenset[str], Any] = {}
        self._compiling = threading.Lock()
        with translated("OpenVINO", "cannot use this graph", line=-1):
            self._core = _core(openvino.Core)
            self._graph = self._core.read_model(graph.data)
            if graph.precision == "int8":
                join_pairs(self._graph)
            self._names = [output.get_any_name() for output in self._graph.outputs]
            self._apart = len(graph.data) <= _APART
            served = self._compiled(self._names[:1])
        self._info = SessionInfo(
            NAME,
            f"OpenVINO {openvino.__version__.split('-')[0]}",
            "CPU",
            _precision(served, options),
            options.threads,
            streams=int(served.get_property("NUM_STREAMS")),
        )

    @property
    def info(self) -> SessionInfo:
        return self._info

    def empty(self, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        return np.empty(shape, dtype)

    def run(self, inputs: Mapping[str, NDArray[Any]], outputs: Mapping[str, NDArray[Any]]) -> None:
        with _RUNNING:
            parts = split(inputs, outputs, self._streams)
            requests = self._open(tuple(outputs), len(parts))
            for request, part in zip(requests, parts, strict=True):
                for name, array in (*part.inputs.items(), *part.outputs.items()):
                    request.set_tensor(name, self._tensor(array, shared_memory=True))
            if len(parts) == 1:
                requests[0].infer(share_outputs=True)  # or it copies what lies in the caller's arrays already
            else:
                _together(requests)

    def evaluate(self, inputs: Mapping[str, NDArray[Any]], outputs: Sequence[str]) -> dict[str, NDArray[Any]]:
        with _RUNNING:
            (request,) = self._open(tuple(outputs), 1, own=True)
            for name, array in inputs.items():
                request.set_tensor(name, self._tensor(array, shared_memory=True))
            request.infer(share_outputs=True)
            return {name: np.array(request.get_tensor(name).data) for name in outputs}

    def counted(self, outputs: tuple[str, ...]) -> tuple[list[NodeTime], float]:
        """Each operation's mean over all calls so far, and the milliseconds of this thread's last for these outputs."""
        with translated("OpenVINO", "does not tell its times", line=-1):
            (request,) = self._open(outputs, 1)
            nodes = [
                NodeTime(one.node_name, one.node_type, one.exec_type, one.real_time.total_seconds() * 1000)
                for one in request.get_profiling_info()
                if one.status.name == "EXECUTED"
            ]
            return nodes, float(request.latency)

    def close(self) -> None:
        self.__dict__.pop("_graph", None)
        self._models = {}
        self._requests = threading.local()

    def _open(self, outputs: tuple[str, ...], count: int, *, own: bool = False) -> list[Any]:
        """This thread's requests for these outputs; `own`: that fill arrays of their own, never a caller's."""
        requests: list[Any] = self._requests.__dict__.setdefault("by_outputs", {}).setdefault((outputs, own), [])
        while len(requests) < count:
            requests.append(self._compiled(outputs).create_infer_request())
        return requests[:count]

    def _compiled(self, outputs: Sequence[str]) -> Any:
        """The model that gives these outputs and no others, or all of them."""
        kind = frozenset(outputs) if self._apart and set(outputs) < set(self._names) else frozenset()
        with self._compiling:
            if kind not in self._models:
                graph = self.__dict__.get("_graph")
                if graph is None:  # another thread closed it meanwhile
                    raise BackendError("The generator is closed; load it again.")
                self._models[kind] = self._core.compile_model(_only(graph, kind), "CPU", self._settings)
            return self._models[kind]


def _only(graph: Any, outputs: Collection[str]) -> Any:
    """The part of a model that these outputs need; all of it where none are named."""
    if not outputs:
        return graph
    results = [result for result in graph.get_results() if result.output(0).get_names() & set(outputs)]
    return type(graph)(results, graph.get_parameters(), graph.get_friendly_name())


def _precision(model: Any, options: Options) -> str:
    """The precision of most layers that multiply, as the compiled model itself reports it; of a graph in 8 bits these
    as long as any layer is, since the graph itself says which are not."""
    layers = [operation.get_rt_info() for operation in model.get_runtime_model().get_ops()]
    computed = Counter(
        layer["runtimePrecision"].astype(str) for layer in layers if layer["layerType"].astype(str) in _MULTIPLYING
    )
    told = computed.most_common(1)[0][0] if computed else _HINTS[options.precision]
    if options.precision == "fp32" and set(computed) - {"f32"}:
        raise BackendError(f"OpenVINO was asked for FP32 and computes in {told}; use another backend.")
    if options.precision == "int8" and set(computed) & {"i8", "u8"}:
        return "int8"
    return _PRECISIONS.get(told, told)


def _together(requests: Sequence[Any]) -> None:
    """Starts all and waits for all, also when one fails: they write into arrays of the caller."""
    problem: Exception | None = None
    for request in requests:
        request.start_async()
    for request in requests:
        try:
            request.wait()
        except RuntimeError as raised:
            problem = problem or raised
    if problem is not None:
        raise problem
