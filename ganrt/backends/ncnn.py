"""ncnn on the CPU: Winograd convolutions and transposed ones without an unpacked matrix, in FP32.

ncnn knows no batch: samples are computed one after the other, and in streams side by side on fewer threads each.
It has no converter to be used here (its own, pnnx, wants PyTorch): `_ncnn_operations` translates the operations that
generators are made of, exactly or not at all. What ncnn is given must be right in every size, for it does not look.
Hence a network is laid out for the sizes of its inputs, each once, and every array is held against them.

Python interface: https://github.com/Tencent/ncnn/tree/master/python.
"""

from __future__ import annotations

import os
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ..errors import BackendError, BackendUnavailable
from ..onnx_graph import read_onnx_graph
from ..onnx_header import read_onnx_header
from ._ncnn_network import Shape, Written
from ._ncnn_operations import Result, check_operations, translate
from .base import Availability, Graph, Options, SessionInfo, check_inputs, check_output, look_up, translated
from .streams import Streams

__all__ = ["MODULE", "NAME", "available", "open_session", "precisions"]

NAME, MODULE = "ncnn", "ncnn"
_INSTALL = "pip install 'ganrt[ncnn]'"
# threads look so often for what comes next, 1 ms, before they sleep; by default 15 ms, and then where other programs
# compute too, a call waits for threads that look on: 260 ms were seen for a call of 0.4
_SPINS = "20000"
_FLOATS, _WHOLE = ("float32",), ("int64", "int32")
_FEW = 4  # channels of a picture
_MOST_LAYOUTS = 4  # sizes of open inputs for which networks are kept
_MOST_FITTING = 64  # kinds of inputs that are known to fit
_RUNNING = translated("ncnn", "failed while running")
_HALVES = ("use_fp16_packed", "use_fp16_storage", "use_fp16_arithmetic", "use_bf16_packed", "use_bf16_storage")


def available() -> Availability:
    """Whether ncnn is installed, without importing it."""
    return look_up("ncnn", MODULE, _INSTALL, "ncnn")


def precisions() -> tuple[str, ...]:
    """How this engine can compute on a CPU: its BF16 and INT8 gained nothing where they were measured."""
    return ("fp32",)


def open_session(graph: Graph, options: Options) -> NcnnSession:
    """Raises BackendUnavailable when ncnn cannot be loaded, BackendError when the graph cannot be translated."""
    return NcnnSession(graph, options)


class _Layout:
    """A network as ncnn has loaded it, for inputs of given sizes, and where the results are."""

    def __init__(self, net: Any, written: Written, results: Mapping[str, Result]) -> None:
        self.net, self.text, self.blobs, self.results = net, written.text, written.blobs, results

    def in_order(self, names: Sequence[str]) -> list[tuple[str, Result]]:
        """Earlier results first: ncnn forgets what it has gone beyond, and would compute it again."""
        found = [(name, self.results[name]) for name in names]
        return found if len(found) == 1 else sorted(found, key=lambda pair: int(self.blobs[pair[1].tensor][1:]))


class NcnnSession:
    """One graph, loaded once for each size of its inputs; any number of calls use it at once."""

    def __init__(self, graph: Graph, options: Options) -> None:
        self._ncnn = ncnn = _module()
        with translated("ncnn", "cannot use this graph"):
            header = read_onnx_header(graph.data, "it")
            self._graph = read_onnx_graph(graph.data, "it")
            check_operations(self._graph)
            self._inputs = {port.name: port for port in header.inputs}
            self._outputs = {port.name: port for port in header.outputs}
            for port in header.inputs:
                if port.dtype not in (*_FLOATS, *_WHOLE) or not port.shape:
                    raise ValueError(f"its input '{port.name}' is {port.dtype} {list(port.shape)}")
            self._threads, self._streams = max(1, options.threads // options.streams), Streams(options.streams)
            self._loading, self._layouts = threading.Lock(), dict[tuple[Shape, ...], _Layout]()
            self._fits = dict[tuple[tuple[object, ...], ...], _Layout]()  # by what fitting inputs look like
            self._closed = False
            shapes = tuple(port.shape[1:] for port in header.inputs)
            if all(size is not None for shape in shapes for size in shape):
                self._layout(shapes)  # type: ignore[arg-type]
        self._info = SessionInfo(
            NAME,
            f"ncnn {ncnn.__version__}",
            "CPU",
            "fp32",
            self._threads * options.streams,
            streams=options.streams,
        )

    @property
    def info(self) -> SessionInfo:
        return self._info

    def empty(self, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        return np.empty(shape, dtype)

    def run(self, inputs: Mapping[str, NDArray[Any]], outputs: Mapping[str, NDArray[Any]]) -> None:
        with _RUNNING:
            layout = self._fitting(inputs)
            for name, array in outputs.items():
                check_output(name, array, *self._output(layout, name, _batch(inputs)))
            self._run(layout, inputs, outputs)

    def evaluate(self, inputs: Mapping[str, NDArray[Any]], outputs: Sequence[str]) -> dict[str, NDArray[Any]]:
        with _RUNNING:
            layout, found = self._fitting(inputs), dict[str, NDArray[Any]]()
            for name in outputs:
                dtype, shape = self._output(layout, name, _batch(inputs))
                found[name] = np.empty(shape, dtype)
            self._run(layout, inputs, found)
        return found

    def close(self) -> None:
        with self._loading:
            self._closed = True
            self._layouts.clear()  # a call that runs holds its own
            self._fits.clear()
        self._streams.close()

    def _run(self, layout: _Layout, inputs: Mapping[str, NDArray[Any]], outputs: Mapping[str, NDArray[Any]]) -> None:
        self._streams.run(lambda some, into: self._compute(layout, some, into), inputs, outputs)

    def _compute(
        self, layout: _Layout, inputs: Mapping[str, NDArray[Any]], outputs: Mapping[str, NDArray[Any]]
    ) -> None:
        """Sample after sample."""
        given = [
            (layout.blobs[name], array.astype(np.int32) if array.dtype.kind == "i" else array)
            for name, array in inputs.items()
        ]
        wanted = [(layout.blobs[result.tensor], result, outputs[name]) for name, result in layout.in_order([*outputs])]
        mat = self._ncnn.Mat
        for row in range(_batch(inputs)):
            with layout.net.create_extractor() as extractor:
                for blob, array in given:
                    # a copy: what a layer does in its place would be done to the caller's array, or end the process
                    if extractor.input(blob, mat(array[row] if array.ndim > 1 else array[row : row + 1]).clone()) != 0:
                        raise RuntimeError("it does not take an input")
                for blob, result, array in wanted:
                    code, computed = extractor.extract(blob)
                    if code != 0:
                        raise RuntimeError(f"a layer ended with {code}")
                    _copy(np.asarray(computed), result, array[row : row + 1])

    def _output(self, layout: _Layout, name: str, batch: int) -> tuple[str, Shape]:
        """Type and shape of an output."""
        if name not in self._outputs:
            raise ValueError(f"there is no output '{name}'; this graph gives: {', '.join(self._outputs)}")
        return self._outputs[name].dtype, (batch, *layout.results[name].shape)

    def _fitting(self, inputs: Mapping[str, NDArray[Any]]) -> _Layout:
        """The network for inputs of these sizes. Raises ValueError where they are not what the graph takes."""
        look = tuple([(name, array.dtype, array.shape, array.flags.c_contiguous) for name, array in inputs.items()])
        found = self._fits.get(look)
        if found is None:
            found = self._checked(inputs)
            with self._loading:
                if len(self._fits) >= _MOST_FITTING:
                    self._fits.clear()
                if found in self._layouts.values():  # not closed or pushed out meanwhile
                    self._fits[look] = found
        return found

    def _checked(self, inputs: Mapping[str, NDArray[Any]]) -> _Layout:
        check_inputs(inputs, self._inputs)
        if not all(array.flags.c_contiguous for array in inputs.values()):
            raise ValueError("an input is a view that is not contiguous")
        if len({len(array) for array in inputs.values()}) != 1:
            raise ValueError("the inputs are of different batches")
        return self._layout(tuple(inputs[name].shape[1:] for name in self._inputs))

    def _layout(self, shapes: tuple[Shape, ...]) -> _Layout:
        found = self._layouts.get(shapes)
        if found is not None:
            return found
        with self._loading:
            if self._closed:
                raise BackendError("The generator is closed; load it again.")
            if shapes not in self._layouts:
                while len(self._layouts) >= _MOST_LAYOUTS:
                    del self._layouts[next(iter(self._layouts))]
                    self._fits.clear()
                self._layouts[shapes] = self._made(dict(zip(self._inputs, shapes, strict=True)))
            return self._layouts[shapes]

    def _made(self, shapes: Mapping[str, Shape]) -> _Layout:
        whole = frozenset(name for name, port in self._inputs.items() if port.dtype in _WHOLE)
        written, results = translate(self._graph, shapes, tuple(self._outputs), whole)
        for name, port in self._outputs.items():
            expected = port.shape[1:]
            found = results[name].shape
            if len(found) != len(expected) or any(
                one not in (None, size) for one, size in zip(expected, found, strict=True)
            ):
                raise ValueError(f"its output '{name}' is said to be {list(expected)} and would be {list(found)}")
        same = next((one for one in self._layouts.values() if one.text == written.text), None)
        return _Layout(same.net if same else self._loaded(written), written, results)

    def _loaded(self, written: Written) -> Any:
        net = self._ncnn.Net()
        net.opt.num_threads = self._threads
        for half in _HALVES:
            setattr(net.opt, half, False)
        with tempfile.TemporaryDirectory(prefix="ganrt-ncnn-") as folder:  # it reads weights from files alone
            weights = Path(folder) / "weights.bin"
            with weights.open("wb") as file:
                file.writelines(written.weights())
            if net.load_param_mem(written.text) != 0 or net.load_model(str(weights)) != 0:
                raise RuntimeError("it does not take the translation")
        return net


def _batch(inputs: Mapping[str, NDArray[Any]]) -> int:
    return len(next(iter(inputs.values())))


def _copy(values: NDArray[Any], result: Result, target: NDArray[Any]) -> None:
    """One sample's result into the caller's array, [1, ...]."""
    if result.axes is None:
        np.copyto(target[0], values, casting="unsafe")
        return
    view = values.transpose(result.axes)
    if view.shape[-1] > _FEW:
        np.copyto(target[0], view, casting="unsafe")
        return
    for channel in range(view.shape[-1]):  # planes one by one: a fifth of the time
        np.copyto(target[0, ..., channel], view[..., channel], casting="unsafe")


def _module() -> Any:
    """ncnn, imported. Raises BackendUnavailable when it cannot be."""
    unset = MODULE not in sys.modules and "GOMP_SPINCOUNT" not in os.environ
    if unset:  # read when its OpenMP is loaded, by no other's
        os.environ["GOMP_SPINCOUNT"] = _SPINS
    try:
        return import_module(MODULE)
    except ImportError as problem:
        raise BackendUnavailable(f"ncnn cannot be loaded ({problem}). Install it: {_INSTALL}") from problem
    finally:
        if unset:
            del os.environ["GOMP_SPINCOUNT"]
