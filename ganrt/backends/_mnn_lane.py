"""MNN's interpreter with a few sessions, one call at a time.

The child process of `_mnn_convert` runs a graph through this very code before the application does; so that it starts
quickly, nothing of ganrt is imported here.
"""

from __future__ import annotations

import ctypes
import math
import struct
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Lane", "Layout"]

_SHAPES = 3  # sessions a lane keeps: each holds the weights once more, transformed for its shape
_RESIZE_STATUS, _THREADS = 3, 4  # Interpreter::SessionInfoCode


class Layout(NamedTuple):
    """A session of MNN for one set of shapes, and its inputs and outputs as arrays in its own memory."""

    session: Any
    inputs: dict[str, NDArray[Any]]
    outputs: dict[str, NDArray[Any]]


class Lane:
    """An interpreter with up to _SHAPES sessions, the least recently used first. One call at a time.

    "normal" precision is FP32 on a CPU, bit for bit what "high" gives, which prints a line at every session.
    """

    def __init__(self, mnn: Any, model: str, threads: int) -> None:
        self._mnn, self._options = mnn, {"backend": "CPU", "precision": "normal", "numThread": threads}
        self._interpreter = mnn.Interpreter(model)
        self._spare = [self._interpreter.createSession(self._options)]
        self.layouts: OrderedDict[tuple[tuple[str, tuple[int, ...]], ...], Layout] = OrderedDict()
        self._sessions = 1

    def threads(self) -> int:
        """How many MNN really uses; it takes no more than there are cores."""
        return self._told(self._spare[0], _THREADS)

    def outputs(self) -> set[str]:
        """Their names."""
        return set(self._interpreter.getSessionOutputAll(self._spare[0]))

    def run(self, inputs: Mapping[str, NDArray[Any]], shapes: Mapping[str, tuple[int, ...]]) -> dict[str, NDArray[Any]]:
        """The outputs, valid until the next call. Raises RuntimeError when MNN cannot compute with these sizes."""
        layout = self._layout(shapes)
        for name, place in layout.inputs.items():
            np.copyto(place, inputs[name], casting="unsafe")  # int64 that fits into 32 bits, or float16
        code = self._interpreter.runSession(layout.session)
        if code != 0:
            raise RuntimeError(f"error code {code}")
        return layout.outputs

    def _layout(self, shapes: Mapping[str, tuple[int, ...]]) -> Layout:
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

    def _lay_out(self, session: Any, shapes: Mapping[str, tuple[int, ...]]) -> Layout:
        interpreter = self._interpreter
        inputs = interpreter.getSessionInputAll(session)  # those that the outputs depend on
        for name, tensor in inputs.items():
            interpreter.resizeTensor(tensor, shapes[name])
        interpreter.resizeSession(session)
        if self._told(session, _RESIZE_STATUS) != 0:
            raise RuntimeError(f"it cannot compute with inputs of the sizes {[list(size) for size in shapes.values()]}")
        return Layout(
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
