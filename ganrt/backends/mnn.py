"""MNN on the CPU: Winograd convolutions, in FP32, always in processes of its own.

The newer of MNN's two Python interfaces holds Python's lock while it computes, so the older one is used (`Interpreter`,
https://mnn-docs.readthedocs.io/en/latest/inference/session.html). A session there is laid out for one shape, runs one
call at a time, and is freed only with its interpreter. Hence lanes: a process with an interpreter and a few sessions,
lent to one call at a time, and as many lanes as calls run at once, up to one for each group of `threads` cores.

No graph runs in a lane that was not tried before, see `_mnn_convert`. BF16 is not offered: on x86, MNN takes
"low_bf16" and computes in FP32.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import threading
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import DTypeLike, NDArray

from ..environment import usable_cores
from ..errors import BackendError, BackendUnavailable
from ..onnx_header import read_onnx_header
from ..spec import Port
from ._mnn_convert import Converted, Library, Trial, attempt, convert
from ._mnn_lane import Lane, Shapes
from ._mnn_process import INSTALL, unloadable
from .base import Availability, Graph, Options, SessionInfo, check_inputs, check_output, look_up, translated

__all__ = ["MODULE", "NAME", "available", "open_session", "precisions"]

NAME, MODULE = "mnn", "MNN"
_RUNNING = translated("MNN", "failed while running")
_COMPUTED = {
    "float32": np.float32,
    "float16": np.float32,
    "uint8": np.uint8,
    "int64": np.int32,
    "int32": np.int32,
    "int16": np.int32,
    "bool": np.int32,
}  # what MNN makes of the types of ONNX
_sessions: weakref.WeakSet[MnnSession] = weakref.WeakSet()


def available() -> Availability:
    """Whether MNN is installed, without importing it."""
    return look_up("MNN", MODULE, INSTALL, "MNN")


def precisions() -> tuple[str, ...]:
    """How this engine can compute on a CPU."""
    return ("fp32",)


def open_session(graph: Graph, options: Options) -> MnnSession:
    """Raises BackendUnavailable when MNN cannot be loaded, BackendError when it refuses the graph."""
    return MnnSession(graph, options)


class MnnSession:
    """One converted model; calls at the same time use lanes of their own as far as there are cores for them."""

    def __init__(self, graph: Graph, options: Options) -> None:
        library = _library()
        if not graph.digest:  # what is kept of a graph is found by it
            graph = msgspec.structs.replace(graph, digest=hashlib.sha256(graph.data).hexdigest())
        self._aside: weakref.finalize[..., MnnSession] | None = None
        with translated("MNN", "cannot use this graph"):
            header = read_onnx_header(graph.data, "it")
            self._inputs = {port.name: port for port in header.inputs}
            self._outputs = {port.name: port for port in header.outputs}
            for port in (*header.inputs, *header.outputs):
                if port.dtype not in _COMPUTED:
                    have = ", ".join(_COMPUTED)
                    raise BackendError(f"MNN cannot use this graph: '{port.name}' is {port.dtype}; MNN has: {have}.")
            self._open_sizes = any(size is None for port in header.inputs for size in port.shape[1:])
            inputs = {port.name: (port.dtype, port.shape) for port in header.inputs}
            trial = Trial(options.threads, None if self._open_sizes else inputs)
            self._threads = options.threads
            self._model = self._kept(convert(graph, library, trial))
            lane = Lane(self._model, self._threads)
            try:
                lane.start()
            except BackendUnavailable:
                raise
            except Exception:  # noqa: BLE001  whatever it said or did, the file is damaged
                self._model = self._kept(convert(graph, library, trial, anew=True))
                lane = Lane(self._model, self._threads)
                lane.start()
            missing = self._outputs.keys() - lane.outputs
            if missing:
                raise BackendError(f"MNN cannot use this graph: it drops the output '{min(missing)}'.")
        self._info = SessionInfo(NAME, f"MNN {lane.version}", "CPU", "fp32", lane.threads)
        self._library, self._digest = library, graph.digest
        self._lanes = weakref.WeakSet([lane])  # one that an interrupt lost on its way to a call is replaced
        self._most = max(1, usable_cores() // self._threads)
        self._closed = False
        self._begin()
        _sessions.add(self)

    def _begin(self) -> None:
        """No call runs: at first, and in a process that was forked, where each lane gets another process."""
        self._idle = list(self._lanes)
        self._trying, self._changed = threading.Lock(), threading.Condition()

    def forked(self) -> None:
        """In a process that was forked: the lanes' processes and files stay the other's."""
        if self._aside is not None:
            self._aside.detach()
        for lane in list(self._lanes):
            lane.end()
        self._begin()

    @property
    def info(self) -> SessionInfo:
        return self._info

    def empty(self, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        return np.empty(shape, dtype)

    def run(self, inputs: Mapping[str, NDArray[Any]], outputs: Mapping[str, NDArray[Any]]) -> None:
        with _RUNNING, self._computed(inputs, [*outputs]) as results:
            for name, array in outputs.items():
                port, result = self._output(name, results)
                check_output(name, array, port.dtype, result.shape)
                _convert(result, array)

    def evaluate(self, inputs: Mapping[str, NDArray[Any]], outputs: Sequence[str]) -> dict[str, NDArray[Any]]:
        found: dict[str, NDArray[Any]] = {}
        with _RUNNING, self._computed(inputs, outputs) as results:
            for name in outputs:
                port, result = self._output(name, results)
                found[name] = np.empty(result.shape, port.dtype)
                _convert(result, found[name])
        return found

    def close(self) -> None:
        with self._changed:
            self._closed = True
            for lane in self._idle:  # one in use ends when its call returns
                lane.end()
            self._idle.clear()
            self._changed.notify_all()
        if self._aside is not None:
            self._aside()

    def _kept(self, converted: Converted) -> Path:
        """The model, whose folder, where it has one of its own, goes with this session."""
        if converted.folder is not None:
            self._aside = weakref.finalize(self, shutil.rmtree, converted.folder, ignore_errors=True)
        return converted.path

    def _output(self, name: str, results: Mapping[str, NDArray[Any]]) -> tuple[Port, NDArray[Any]]:
        if name not in results:
            raise ValueError(f"there is no output '{name}'; this graph gives: {', '.join(self._outputs)}")
        port, result = self._outputs[name], results[name]
        rank = len(port.shape)
        if result.ndim > rank and set(result.shape[rank:]) == {1}:  # convolutions over time are pictures to MNN
            result = result.reshape(result.shape[:rank])
        return port, result

    @contextmanager
    def _computed(
        self, inputs: Mapping[str, NDArray[Any]], outputs: Sequence[str]
    ) -> Iterator[dict[str, NDArray[Any]]]:
        """Results of one call, in the lane's memory, where they stay until the block ends."""
        self._check(inputs)
        shapes = {name: array.shape for name, array in inputs.items()}
        if self._open_sizes:
            self._attempt(shapes)
        lane = self._borrow(tuple(shapes.items()))
        try:
            yield lane.run(inputs, outputs)
        finally:
            with self._changed:
                if self._closed:
                    lane.end()
                else:
                    self._idle.append(lane)
                self._changed.notify()

    def _check(self, inputs: Mapping[str, NDArray[Any]]) -> None:
        """MNN reads what it is given as whatever it expects, so that is seen to here."""
        check_inputs(inputs, self._inputs)
        for name, array in inputs.items():
            port = self._inputs[name]
            if port.dtype == "int64" and array.size and not -(2**31) <= array.min() <= array.max() < 2**31:
                raise ValueError(f"'{name}' holds numbers beyond 32 bits, which MNN does not compute with")

    def _attempt(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        """The child's trial of a graph whose sizes come with the first call; later calls may have others."""
        with self._trying:
            if not self._open_sizes:  # done meanwhile
                return
            first = next((shapes[name][0] for name, port in self._inputs.items() if port.shape[:1] == (None,)), 1)
            inputs: dict[str, tuple[str, tuple[int | None, ...]]] = {}
            for name, shape in shapes.items():
                batched = self._inputs[name].shape[:1] == (None,) and shape[0] == first
                inputs[name] = self._inputs[name].dtype, (None, *shape[1:]) if batched else shape
            trial = Trial(self._threads, inputs, first)
            self._open_sizes = not attempt(self._digest, self._library, self._model, trial)

    def _borrow(self, shapes: Shapes) -> Lane:
        """An idle lane, best one laid out for these shapes; a new one while there are cores for it; or it waits."""
        with self._changed:
            while True:
                if self._closed:
                    raise BackendError("The generator is closed; load it again.")
                if self._idle:
                    index = next((i for i, lane in enumerate(self._idle) if shapes in lane.layouts), -1)
                    return self._idle.pop(index)
                if len(self._lanes) < self._most:
                    lane = Lane(self._model, self._threads)
                    self._lanes.add(lane)
                    break
                self._changed.wait()
        try:
            lane.start()
        except BaseException as problem:
            with self._changed:
                self._lanes.discard(lane)
                self._changed.notify()
                if not isinstance(problem, Exception) or not self._lanes:
                    raise
                self._most = len(self._lanes)  # no room for a process, or its file was cleared away: these will do
            return self._borrow(shapes)
        return lane


def _convert(result: NDArray[Any], array: NDArray[Any]) -> None:
    """MNN's numbers in the type that ONNX says; its booleans are integers, any but 0 true."""
    if array.dtype == np.bool_:
        np.not_equal(result, 0, out=array)
    else:
        np.copyto(array, result, casting="unsafe")


def _library() -> Library:
    """MNN's native code, as installed. Raises BackendUnavailable when there is none."""
    engine, found = available(), find_spec("_mnncengine")
    if not engine or found is None or found.origin is None:
        raise unloadable("it is not installed")
    return Library(found.origin, str(engine.version))


def _after_fork() -> None:
    for session in list(_sessions):
        session.forked()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
