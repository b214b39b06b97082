"""ONNX Runtime on the CPU.

Documentation: https://onnxruntime.ai/docs/api/python/api_summary.html (I/O binding) and
.../performance/tune-performance/threading.html (spinning).
"""

from __future__ import annotations

import os
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ..errors import BackendError, BackendUnavailable
from ._onnxruntime_trace import read_trace
from .base import Availability, Graph, Options, SessionInfo, look_up, translated
from .profile import Trace
from .streams import Streams

__all__ = ["MODULE", "NAME", "available", "open_session", "precisions", "profile"]

NAME, MODULE = "onnxruntime", "onnxruntime"
_SMALL = 1 << 15  # bytes; binding arrays takes longer than copying so few
# threads look for the next call this long: a loop need not wake them, and what runs next in the process has its cores
_SPIN_US = "200"
_INSTALL = "pip install 'ganrt[cpu]'"
_RUNNING = translated("ONNX Runtime", "failed while running")
_MOST_CALLS = 40  # under the profiler, whose file has about a kilobyte for each operation of each


def available() -> Availability:
    """Whether ONNX Runtime is installed, without importing it."""
    return look_up("ONNX Runtime", MODULE, _INSTALL, "onnxruntime", "onnxruntime-gpu")


def precisions() -> tuple[str, ...]:
    """How this engine can compute on a CPU: as the graph's types say."""
    return ("fp32", "fp16", "int8")


def open_session(graph: Graph, options: Options) -> OnnxRuntimeSession:
    """Raises BackendUnavailable when ONNX Runtime cannot be loaded, BackendError when it refuses the graph."""
    return OnnxRuntimeSession(graph, options)


def profile(
    graph: Graph,
    options: Options,
    inputs: Mapping[str, NDArray[Any]],
    outputs: Mapping[str, NDArray[Any]],
    seconds: float,
    *,
    as_written: bool = False,
) -> Trace:
    """What the profiler of ONNX Runtime tells; `as_written`: of the graph's own operations, none fused or replaced."""
    with tempfile.TemporaryDirectory(prefix="ganrt-profile-", ignore_cleanup_errors=True) as folder:
        with closing(OnnxRuntimeSession(graph, options, profile=f"{folder}/trace", as_written=as_written)) as session:
            started, calls = time.perf_counter(), 0
            while calls < 3 or (calls < _MOST_CALLS and time.perf_counter() - started < seconds):
                session.run(inputs, outputs)
                calls += 1
            written = session.end_profiling()
        return read_trace(Path(written).read_bytes())


class OnnxRuntimeSession:
    """One `InferenceSession`; every thread has an I/O binding of its own."""

    def __init__(self, graph: Graph, options: Options, *, profile: str | None = None, as_written: bool = False) -> None:
        """`profile`: where the profiler writes, the beginning of a file's name."""
        os.environ.setdefault(
            "ORT_DISABLE_TELEMETRY", "1"
        )  # from 1.29 it reports to its maker by default, on Linux too
        try:
            import onnxruntime as ort
        except ImportError as problem:
            raise BackendUnavailable(f"ONNX Runtime cannot be loaded ({problem}). Install it: {_INSTALL}") from problem
        settings = ort.SessionOptions()
        settings.intra_op_num_threads = max(1, options.threads // options.streams)
        settings.inter_op_num_threads = 1
        settings.log_severity_level = 4  # its errors come as exceptions; it would print them too
        settings.add_session_config_entry("session.intra_op.spin_duration_us", _SPIN_US)
        if profile is not None:
            settings.enable_profiling, settings.profile_file_prefix = True, profile
        if as_written:
            settings.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
            settings.add_session_config_entry("session.disable_prepacking", "1")  # its weights would have no shape
        with translated("ONNX Runtime", "cannot use this graph"):
            self._session = ort.InferenceSession(
                graph.data, settings, providers=["CPUExecutionProvider"], enable_fallback=0
            )
        self._info = SessionInfo(
            NAME,
            f"ONNX Runtime {ort.__version__}",
            "CPU",
            graph.precision,
            settings.intra_op_num_threads * options.streams,
            streams=options.streams,
        )
        self._bindings = threading.local()
        self._streams = Streams(options.streams)

    @property
    def info(self) -> SessionInfo:
        return self._info

    def empty(self, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        return np.empty(shape, dtype)

    def run(self, inputs: Mapping[str, NDArray[Any]], outputs: Mapping[str, NDArray[Any]]) -> None:
        self._streams.run(self._run, inputs, outputs)

    def _run(self, inputs: Mapping[str, NDArray[Any]], outputs: Mapping[str, NDArray[Any]]) -> None:
        if sum(array.nbytes for array in outputs.values()) < _SMALL:
            with _RUNNING:
                results = self._open().run(list(outputs), dict(inputs))
            for array, result in zip(outputs.values(), results, strict=True):
                np.copyto(array, result, casting="no")
            return
        binding = getattr(self._bindings, "binding", None)
        with _RUNNING:
            if binding is None:
                binding = self._bindings.binding = self._open().io_binding()
            for name, array in inputs.items():
                binding.bind_input(name, "cpu", 0, array.dtype.type, array.shape, array.ctypes.data)
            for name, array in outputs.items():
                binding.bind_output(name, "cpu", 0, array.dtype.type, array.shape, array.ctypes.data)
            try:
                self._open().run_with_iobinding(binding)
            finally:
                binding.clear_binding_outputs()  # the arrays are the caller's and may be gone by the next call

    def evaluate(self, inputs: Mapping[str, NDArray[Any]], outputs: Sequence[str]) -> dict[str, NDArray[Any]]:
        with _RUNNING:
            return dict(zip(outputs, self._open().run(list(outputs), dict(inputs)), strict=True))

    def end_profiling(self) -> str:
        """The file that the profiler has written."""
        return str(self._open().end_profiling())

    def _open(self) -> Any:
        session = self.__dict__.get("_session")
        if session is None:  # another thread closed it meanwhile
            raise BackendError("The generator is closed; load it again.")
        return session

    def close(self) -> None:
        self.__dict__.pop("_session", None)
        self._streams.close()
        self._bindings = threading.local()
