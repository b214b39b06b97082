"""MNN on the CPU: Winograd convolutions, in FP32.

The newer of MNN's two Python interfaces holds Python's lock while it computes, so the older one is used (`Interpreter`,
https://mnn-docs.readthedocs.io/en/latest/inference/session.html). A session there is laid out for one shape, runs one
call at a time, and is freed only with its interpreter. Hence lanes: an interpreter with a few sessions, lent to one
call at a time, and as many lanes as calls run at once, up to one for each group of `threads` cores.

"normal" precision is FP32 on a CPU, bit for bit what "high" gives, which prints a line at every session. BF16 is not
offered: on x86, MNN takes "low_bf16" and computes in FP32.
"""

from __future__ import annotations

import ctypes
import math
import os
import struct
import sys
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ..environment import fingerprint, package, usable_cores
from ..errors import BackendError, BackendUnavailable
from ..onnx_header import read_onnx_header
from ..spec import Port
from ._mnn_convert import Converted, convert
from .base import Availability, Graph, Options, SessionInfo

__all__ = ["MODULE", "NAME", "available", "open_session", "precisions"]

NAME, MODULE = "mnn", "MNN"
_INSTALL = "pip install 'ganrt[mnn]'"
_SHAPES = 3  # sessions a lane keeps: each holds the weights once more, transformed for its shape
_COMPUTED = {
    "float32": np.float32,
    "float16": np.float32,
    "uint8": np.uint8,
    "int64": np.int32,
    "int32": np.int32,
    "int16": np.int32,
    "bool": np.int32,
}  # what MNN makes of the types of ONNX
_RESIZE_STATUS, _THREADS = 3, 4  # Interpreter::SessionInfoCode
_importing = threading.Lock()


def available() -> Availability:
    """Whether MNN is installed, without importing it."""
    if fingerprint(MODULE) is None:
        return Availability(False, "MNN is not installed", _INSTALL)
    version = package("MNN").version
    return Availability(True, f"MNN {version}", _INSTALL, version)


def precisions() -> tuple[str, ...]:
    """How this engine can compute on a CPU."""
    return ("fp32",)


def open_session(graph: Graph, options: Options) -> MnnSession:
    """Raises BackendUnavailable when MNN cannot be loaded, BackendError when it refuses the graph."""
    return MnnSession(graph, options)


class MnnSession:
    """One converted model; calls at the same time use lanes of their own as far as there are cores for them."""

    def __init__(self, graph: Graph, options: Options) -> None:
        mnn, library = _import()
        with _translated("cannot use this graph"):
            header = read_onnx_header(graph.data, "it")
            self._inputs = {port.name: port for port in header.inputs}
            self._outputs = {port.name: port for port in header.outputs}
            for port in (*header.inputs, *header.outputs):
                if port.dtype not in _COMPUTED:
                    have = ", ".join(_COMPUTED)
                    raise BackendError(f"MNN cannot use this graph: '{port.name}' is {port.dtype}; MNN has: {have}.")
            version, trial = str(mnn.version()), _trial(header.inputs)
            converted = convert(graph, library, version, trial)
            try:
                lane = _Lane(mnn, converted, options.threads)
            except Exception:  # noqa: BLE001  MNN raises nothing else; the file is damaged
                converted = convert(graph, library, version, trial, anew=True)
                lane = _Lane(mnn, converted, options.threads)
            missing = self._outputs.keys() - lane.outputs()
            if missing:
                raise BackendError(f"MNN cannot use this graph: it drops the output '{min(missing)}'.")
            self._info = SessionInfo(NAME, f"MNN {version}", "CPU", "fp32", lane.threads())
        self._mnn, self._model, self._threads = mnn, converted, options.threads
        self._idle: list[_Lane] = [lane]
        self._lanes, self._most = 1, max(1, usable_cores() // options.threads)
        self._changed = threading.Condition()
        self._closed = False

    @property
    def info(self) -> SessionInfo:
        return self._info

    def empty(self, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        return np.empty(shape, dtype)

    def run(self, inputs: Mapping[str, NDArray[Any]], outputs: Mapping[str, NDArray[Any]]) -> None:
        with _translated("failed while running"), self._computed(inputs) as results:
            for name, array in outputs.items():
                port, result = self._output(name, results)
                if array.dtype != port.dtype or array.shape != result.shape:
                    raise ValueError(
                        f"the output '{name}' is {port.dtype} {list(result.shape)}, and the array for it is "
                        f"{array.dtype} {list(array.shape)}"
                    )
                _convert(result, array)

    def evaluate(self, inputs: Mapping[str, NDArray[Any]], outputs: Sequence[str]) -> dict[str, NDArray[Any]]:
        found: dict[str, NDArray[Any]] = {}
        with _translated("failed while running"), self._computed(inputs) as results:
            for name in outputs:
                port, result = self._output(name, results)
                found[name] = np.empty(result.shape, port.dtype)
                _convert(result, found[name])
        return found

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._idle.clear()  # one in use goes when its call returns
            self._changed.notify_all()
        if self._model.folder is not None:
            self._model.folder.cleanup()

    def _output(self, name: str, results: Mapping[str, NDArray[Any]]) -> tuple[Port, NDArray[Any]]:
        if name not in results:
            raise ValueError(f"there is no output '{name}'; this graph gives: {', '.join(self._outputs)}")
        return self._outputs[name], results[name]

    @contextmanager
    def _computed(self, inputs: Mapping[str, NDArray[Any]]) -> Iterator[dict[str, NDArray[Any]]]:
        """Results of one call, in MNN's own memory, where they stay until the block ends."""
        self._check(inputs)
        shapes = {name: array.shape for name, array in inputs.items()}
        lane = self._borrow(tuple(shapes.items()))
        try:
            yield lane.run(inputs, shapes)
        finally:
            with self._changed:
                if not self._closed:
                    self._idle.append(lane)
                self._changed.notify()

    def _check(self, inputs: Mapping[str, NDArray[Any]]) -> None:
        """MNN reads what it is given as whatever it expects, so that is seen to here."""
        if inputs.keys() != self._inputs.keys():
            raise ValueError(f"the inputs are {', '.join(inputs)}, and this graph takes {', '.join(self._inputs)}")
        for name, array in inputs.items():
            port = self._inputs[name]
            fits = len(array.shape) == len(port.shape) and all(
                wanted is None or wanted == size for wanted, size in zip(port.shape, array.shape, strict=True)
            )
            if array.dtype != port.dtype or not fits:
                raise ValueError(
                    f"'{name}' is {array.dtype} {list(array.shape)}, and this graph takes {port.dtype} "
                    f"{['any' if size is None else size for size in port.shape]}"
                )
            if port.dtype == "int64" and array.size and not -(2**31) <= array.min() <= array.max() < 2**31:
                raise ValueError(f"'{name}' holds numbers beyond 32 bits, which MNN does not compute with")

    def _borrow(self, shapes: tuple[tuple[str, tuple[int, ...]], ...]) -> _Lane:
        """An idle lane, best one laid out for these shapes; a new one while there are cores for it; or it waits."""
        with self._changed:
            while True:
                if self._closed:
                    raise BackendError("The generator is closed; load it again.")
                if self._idle:
                    index = next((i for i, lane in enumerate(self._idle) if shapes in lane.layouts), -1)
                    return self._idle.pop(index)
                if self._lanes < self._most:
                    self._lanes += 1
                    break
                self._changed.wait()
        try:
            return _Lane(self._mnn, self._model, self._threads)
        except Exception:  # noqa: BLE001  its file was cleared away meanwhile; the lanes there are will do
            with self._changed:
                self._lanes -= 1
                self._most = max(1, self._lanes)
        except BaseException:
            with self._changed:
                self._lanes -= 1
            raise
        return self._borrow(shapes)


class _Layout(NamedTuple):
    """A session of MNN for one set of shapes, and its inputs and outputs as arrays in its own memory."""

    session: Any
    inputs: dict[str, NDArray[Any]]
    outputs: dict[str, NDArray[Any]]


class _Lane:
    """An interpreter with up to _SHAPES sessions, the least recently used first. One call at a time."""

    def __init__(self, mnn: Any, model: Converted, threads: int) -> None:
        self._mnn, self._options = mnn, {"backend": "CPU", "precision": "normal", "numThread": threads}
        self._interpreter = mnn.Interpreter(str(model.path))
        self._spare = [self._interpreter.createSession(self._options)]
        self.layouts: OrderedDict[tuple[tuple[str, tuple[int, ...]], ...], _Layout] = OrderedDict()
        self._sessions = 1

    def threads(self) -> int:
        """How many MNN really uses; it takes no more than there are cores."""
        return self._told(self._spare[0], _THREADS)

    def outputs(self) -> set[str]:
        """Their names."""
        return set(self._interpreter.getSessionOutputAll(self._spare[0]))

    def run(self, inputs: Mapping[str, NDArray[Any]], shapes: Mapping[str, tuple[int, ...]]) -> dict[str, NDArray[Any]]:
        """The outputs, valid until the next call."""
        layout = self._layout(shapes)
        for name, place in layout.inputs.items():
            np.copyto(place, inputs[name], casting="unsafe")  # int64 that fits into 32 bits, or float16
        code = self._interpreter.runSession(layout.session)
        if code != 0:
            raise RuntimeError(f"error code {code}")
        return layout.outputs

    def _layout(self, shapes: Mapping[str, tuple[int, ...]]) -> _Layout:
        key = tuple(shapes.items())
        if key in self.layouts:
            self.layouts.move_to_end(key)
            return self.layouts[key]
        session = self._session()
        try:
            made = self._lay_out(session, shapes)
        except BaseException:
            self._spare.append(session)  # it can be laid out anew, and cannot be freed
            raise
        self.layouts[key] = made
        return made

    def _session(self) -> Any:
        if self._spare:
            return self._spare.pop()
        if self._sessions < _SHAPES:
            self._sessions += 1
            return self._interpreter.createSession(self._options)
        return self.layouts.popitem(last=False)[1].session

    def _lay_out(self, session: Any, shapes: Mapping[str, tuple[int, ...]]) -> _Layout:
        interpreter = self._interpreter
        inputs = interpreter.getSessionInputAll(session)  # those that the outputs depend on
        for name, tensor in inputs.items():
            interpreter.resizeTensor(tensor, shapes[name])
        interpreter.resizeSession(session)
        if self._told(session, _RESIZE_STATUS) != 0:
            raise RuntimeError(f"it cannot compute with inputs of the sizes {[list(size) for size in shapes.values()]}")
        return _Layout(
            session,
            {name: self._array(tensor) for name, tensor in inputs.items()},
            {name: self._array(tensor) for name, tensor in interpreter.getSessionOutputAll(session).items()},
        )

    def _told(self, session: Any, code: int) -> int:
        """An integer of the session: MNN's Python hands its bits out as a float."""
        told: int = struct.unpack("i", struct.pack("f", self._interpreter.getSessionInfo(session, code)))[0]
        return told

    def _array(self, tensor: Any) -> NDArray[Any]:
        """A tensor's memory as an array; the interpreter owns it."""
        kinds = {"Float": np.float32, "Int": np.int32, "Uint8": np.uint8}
        kind = tensor.getDataType()
        dtype = next((made for name, made in kinds.items() if kind is getattr(self._mnn, f"Halide_Type_{name}")), None)
        if dtype is None or tensor.getDimensionType() == self._mnn.Tensor_DimensionType_Caffe_C4:
            raise RuntimeError("a tensor lies in memory in an order of MNN's own")
        shape = tuple(tensor.getShape())
        count = math.prod(shape)
        if not count:
            return np.empty(shape, dtype)
        memory = (ctypes.c_char * (count * np.dtype(dtype).itemsize)).from_address(_address(tensor.getHost()))
        return np.frombuffer(memory, dtype).reshape(shape)


def _address(capsule: Any) -> int:
    pointer = ctypes.pythonapi.PyCapsule_GetPointer
    pointer.restype, pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    address: int = pointer(capsule, None)
    return address


def _convert(result: NDArray[Any], array: NDArray[Any]) -> None:
    """MNN's numbers in the type that ONNX says; its booleans are integers, any but 0 true."""
    if array.dtype == np.bool_:
        np.not_equal(result, 0, out=array)
    else:
        np.copyto(array, result, casting="unsafe")


def _trial(inputs: Sequence[Port]) -> dict[str, tuple[int, ...]] | None:
    """Shapes for a batch of one; None where other sizes are open too."""
    if any(size is None for port in inputs for size in port.shape[1:]):
        return None
    return {port.name: tuple(1 if size is None else size for size in port.shape) for port in inputs}


def _import() -> tuple[Any, str]:
    """MNN, and the file of its library. Its loading prints a line, which is kept off stdout."""
    try:
        with _importing:
            if MODULE not in sys.modules:
                with _stdout_watched():
                    import _mnncengine
            import _mnncengine
            import MNN
    except ImportError as problem:
        raise BackendUnavailable(f"MNN cannot be loaded ({problem}). Install it: {_INSTALL}") from problem
    return MNN, str(_mnncengine.__file__)


@contextmanager
def _stdout_watched() -> Iterator[None]:
    """Native code prints to the file descriptor; what MNN prints there is dropped, all else is handed on at the end."""
    try:
        real, caught = os.dup(1), tempfile.TemporaryFile()  # noqa: SIM115 closed below
    except OSError:  # no stdout, or no room
        yield
        return
    with caught:
        _flush()
        os.dup2(caught.fileno(), 1)
        try:
            yield
        finally:
            _flush()
            os.dup2(real, 1)
            os.close(real)
            caught.seek(0)
            rest = b"".join(line for line in caught if not line.startswith(b"The device supports:"))
            while rest:
                rest = rest[os.write(1, rest) :]


def _flush() -> None:
    """Empties C's buffer of stdout, which is not Python's."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None if os.name == "posix" else "ucrtbase").fflush(None)


@contextmanager
def _translated(what: str) -> Iterator[None]:
    """The engine's exceptions as ganrt's, at the only place where the engine is called."""
    try:
        yield
    except BackendError:
        raise
    except Exception as problem:
        lines = [line for line in str(problem).splitlines() if line.strip()]
        raise BackendError(f"MNN {what}: {lines[0] if lines else type(problem).__name__}") from problem
