"""MNN itself, which no application's process holds: run as a script this is the other end of `_mnn_lane.Lane`.

The child process of `_mnn_convert` tries a graph through the same class. Nothing of ganrt is imported here, so that the
start takes a quarter of a second; most of that is numpy, which MNN imports.
"""

from __future__ import annotations

import ctypes
import json
import math
import mmap
import os
import select
import signal
import struct
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["LAYOUTS", "Interpreter", "Layout", "prepare"]

LAYOUTS = 3  # sessions in use: each holds the weights once more, transformed for its shapes
_RESIZE_STATUS, _THREADS = 3, 4  # Interpreter::SessionInfoCode
_ALIGNED = 64  # bytes: no two arrays share a line of the processor's cache

Place: TypeAlias = tuple[str, tuple[int, ...], int]  # an array in the shared memory: type, shape, offset


class Layout(NamedTuple):
    """Inputs and outputs of a session, as arrays in MNN's own memory."""

    inputs: dict[str, NDArray[Any]]
    outputs: dict[str, NDArray[Any]]


class Interpreter:
    """MNN's interpreter and its sessions, by number; each is laid out for one set of shapes at a time.

    "normal" precision is FP32 on a CPU, bit for bit what "high" gives, which prints a line at every session.
    """

    def __init__(self, model: str, threads: int) -> None:
        import MNN

        self._mnn, self._options = MNN, {"backend": "CPU", "precision": "normal", "numThread": threads}
        self._interpreter = MNN.Interpreter(model)
        self._sessions = [self._interpreter.createSession(self._options)]

    def threads(self) -> int:
        """How many MNN really uses; it has a most of its own."""
        return self._told(self._sessions[0], _THREADS)

    def outputs(self) -> list[str]:
        """Their names."""
        return list(self._interpreter.getSessionOutputAll(self._sessions[0]))

    def lay_out(self, number: int, shapes: Mapping[str, Sequence[int]]) -> Layout:
        """Prepares a session, the next new one or one there is, and leaves out inputs that no output depends on.

        Raises RuntimeError when MNN cannot compute with these sizes; the session can then be laid out for others.
        """
        interpreter = self._interpreter
        if number == len(self._sessions):
            self._sessions.append(interpreter.createSession(self._options))
        session = self._sessions[number]
        inputs = interpreter.getSessionInputAll(session)
        for name, tensor in inputs.items():
            interpreter.resizeTensor(tensor, tuple(shapes[name]))
        interpreter.resizeSession(session)
        if self._told(session, _RESIZE_STATUS) != 0:
            raise RuntimeError(f"it cannot compute with inputs of the sizes {[list(size) for size in shapes.values()]}")
        outputs = interpreter.getSessionOutputAll(session)
        return Layout(*({name: self._array(tensor) for name, tensor in side.items()} for side in (inputs, outputs)))

    def run(self, number: int) -> None:
        """Fills the outputs from the inputs. Raises RuntimeError when MNN says that it failed."""
        code = self._interpreter.runSession(self._sessions[number])
        if code != 0:
            raise RuntimeError(f"error code {code}")

    def _told(self, session: Any, code: int) -> int:
        """An integer of the session: MNN's Python hands its bits out as a float."""
        told: int = struct.unpack("i", struct.pack("f", self._interpreter.getSessionInfo(session, code)))[0]
        return told

    def _array(self, tensor: Any) -> NDArray[Any]:
        """A tensor's memory as an array; the interpreter owns it."""
        import numpy as np

        kinds = {"Float": "float32", "Int": "int32", "Uint8": "uint8"}
        kind = tensor.getDataType()
        dtype = next((made for name, made in kinds.items() if kind is getattr(self._mnn, f"Halide_Type_{name}")), None)
        if dtype is None or tensor.getDimensionType() == self._mnn.Tensor_DimensionType_Caffe_C4:
            raise RuntimeError("a tensor lies in memory in an order of MNN's own")
        shape = tuple(tensor.getShape())
        size = math.prod(shape) * np.dtype(dtype).itemsize
        memory = (ctypes.c_char * size).from_address(_address(tensor.getHost())) if size else b""
        return np.ndarray(shape, dtype, memory)


class _Served:
    """What a lane asks for, a method each; arrays travel through the memory that both processes map."""

    def __init__(self, file: int) -> None:
        self._file, self._memory = file, mmap.mmap(-1, 1)
        self._interpreter: Interpreter
        self._layouts: dict[int, tuple[Layout, Layout]] = {}  # MNN's arrays, and those in the shared memory

    def load(self, path: list[str]) -> str:
        """Imports MNN and gives its version."""
        prepare(path)
        import MNN

        return str(MNN.version())

    def open(self, model: str, threads: int) -> tuple[int, list[str]]:
        """The number of threads that it uses, and the names of its outputs."""
        self._interpreter = Interpreter(model, threads)
        return self._interpreter.threads(), self._interpreter.outputs()

    def lay_out(self, number: int, shapes: dict[str, list[int]]) -> tuple[int, dict[str, Place], dict[str, Place]]:
        """Bytes of the shared memory, and where the inputs and the outputs of this session lie in it."""
        import numpy as np

        own, size = self._interpreter.lay_out(number, shapes), 0
        places: tuple[dict[str, Place], dict[str, Place]] = {}, {}
        for side, arrays in zip(places, own, strict=True):
            for name, array in arrays.items():
                side[name] = str(array.dtype), array.shape, size
                size += -(-array.nbytes // _ALIGNED) * _ALIGNED
        if len(self._memory) < size:
            os.ftruncate(self._file, size)
            self._memory = mmap.mmap(self._file, size)
        shared = (
            {name: np.ndarray(shape, dtype, self._memory, at) for name, (dtype, shape, at) in side.items()}
            for side in places
        )
        self._layouts[number] = own, Layout(*shared)
        return len(self._memory), *places

    def run(self, number: int, outputs: list[str]) -> None:
        """One call; the outputs named are handed over."""
        own, shared = self._layouts[number]
        for name, array in shared.inputs.items():
            own.inputs[name][...] = array
        self._interpreter.run(number)
        for name in outputs:
            shared.outputs[name][...] = own.outputs[name]


def prepare(path: list[str]) -> None:
    """Has this process import what the application can, and leave no file when it crashes."""
    sys.path[:] = path
    with suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))


def main() -> None:
    """Answers requests, [method, *arguments] in a line, by [fault, result], until the application closes its end.

    Its end, whether Ctrl-C or a crash, is the application's to decide; whatever MNN prints goes nowhere.
    """
    for ending in (signal.SIGINT, signal.SIGTERM):
        signal.signal(ending, signal.SIG_IGN)
    requests, replies, file = map(os.dup, range(3))
    nowhere = os.open(os.devnull, os.O_RDWR)
    for standard in range(3):
        os.dup2(nowhere, standard)
    if hasattr(select, "poll"):
        threading.Thread(target=_end_with, args=(requests,), daemon=True).start()
    served = _Served(file)
    with os.fdopen(requests, "rb") as lines:
        for line in lines:
            method, *arguments = json.loads(line)
            try:
                answer = "", getattr(served, method)(*arguments)
            except Exception as problem:  # noqa: BLE001  it is the application's
                answer = str(problem) or type(problem).__name__, None
            os.write(replies, json.dumps(answer).encode() + b"\n")
    os._exit(0)  # MNN has crashed when it was closed


def _end_with(requests: int) -> None:
    """Ends this process, in the middle of a call too, when nobody has the other end of the pipe any more."""
    watched = select.poll()
    watched.register(requests, 0)
    watched.poll()
    os._exit(0)


def _address(capsule: Any) -> int:
    pointer = ctypes.pythonapi.PyCapsule_GetPointer
    pointer.restype, pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    address: int = pointer(capsule, None)
    return address


if __name__ == "__main__":
    main()
