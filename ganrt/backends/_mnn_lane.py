"""MNN with one model, in a process of its own, for one call at a time."""

from __future__ import annotations

import mmap
import os
import sys
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..errors import BackendError
from ._mnn_interpreter import LAYOUTS
from ._mnn_process import Process, unloadable

__all__ = ["Lane", "Shapes"]

Shapes: TypeAlias = tuple[tuple[str, tuple[int, ...]], ...]


class _Layout(NamedTuple):
    """A session of MNN by its number, and its inputs and outputs as arrays in memory that the child maps too."""

    number: int
    inputs: dict[str, NDArray[Any]]
    outputs: dict[str, NDArray[Any]]


class Lane:
    """Keeps up to LAYOUTS layouts, the least recently used first. After a process that ended comes another."""

    def __init__(self, model: Path, threads: int) -> None:
        self._model, self._wanted = model, threads
        self._process: Process | None = None
        self._memory: mmap.mmap | None = None
        self.layouts: OrderedDict[Shapes, _Layout] = OrderedDict()
        self.version, self.threads, self.outputs = "", 0, list[str]()  # as MNN says once it was started

    def start(self) -> Process:
        """Raises BackendUnavailable when MNN cannot be loaded, RuntimeError or BackendError when not this model."""
        self.end()
        if not self._model.exists():
            raise BackendError("MNN's form of this graph was cleared away meanwhile; load the bundle again.")
        self._process = process = Process()
        try:
            self.version = process.ask("was loaded", "load", sys.path)
        except RuntimeError as problem:
            raise unloadable(problem) from problem
        self.threads, self.outputs = process.ask("opened the graph", "open", os.fspath(self._model), self._wanted)
        return process

    def run(self, inputs: Mapping[str, NDArray[Any]], outputs: Sequence[str]) -> dict[str, NDArray[Any]]:
        """The outputs named, as far as there are such, valid until the next call.

        Raises RuntimeError when MNN cannot compute with these sizes, BackendError when its process did not survive.
        """
        process = self._process if self._process is not None and self._process.alive() else self.start()
        layout = self._layout(process, tuple((name, array.shape) for name, array in inputs.items()))
        for name, place in layout.inputs.items():
            np.copyto(place, inputs[name], casting="unsafe")  # int64 that fits into 32 bits, or float16
        found = {name: layout.outputs[name] for name in outputs if name in layout.outputs}
        process.ask("computed", "run", layout.number, list(found))
        return found

    def end(self) -> None:
        """Ends the process now; another call starts one."""
        if self._process is not None:
            self._process.end()
        self._process = self._memory = None
        self.layouts.clear()

    def _layout(self, process: Process, shapes: Shapes) -> _Layout:
        if shapes in self.layouts:
            self.layouts.move_to_end(shapes)
            return self.layouts[shapes]
        free = set(range(LAYOUTS)) - {layout.number for layout in self.layouts.values()}
        number = min(free) if free else self.layouts.popitem(last=False)[1].number
        size, *places = process.ask("computed", "lay_out", number, dict(shapes))
        if self._memory is None or len(self._memory) < size:
            self._memory = mmap.mmap(process.file, size)
        inputs, outputs = (
            {name: np.ndarray(shape, dtype, self._memory, at) for name, (dtype, shape, at) in side.items()}
            for side in places
        )
        made = self.layouts[shapes] = _Layout(number, inputs, outputs)
        return made
