"""OpenVINO on the CPU.

It computes in BF16 by default where the processor can, whatever the graph's types say, so INFERENCE_PRECISION_HINT is
always set (https://docs.openvino.ai/2025/openvino-workflow/running-inference/optimize-inference/precision-control.html).
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ..environment import fingerprint, package, processor
from ..errors import BackendError, BackendUnavailable
from .base import Availability, Graph, Options, SessionInfo

__all__ = ["MODULE", "NAME", "available", "open_session", "precisions"]

NAME, MODULE = "openvino", "openvino"
_INSTALL = "pip install 'ganrt[openvino]'"
_MULTIPLYING = {"Convolution", "Deconvolution", "FullyConnected", "MatMul", "GroupConvolution"}
_PRECISIONS = {"f32": "fp32", "f16": "fp16", "bf16": "bf16", "i8": "int8", "u8": "int8"}
_HINTS = {"fp32": "f32", "fp16": "f16", "int8": "f32", "bf16": "bf16"}


def available() -> Availability:
    """Whether OpenVINO is installed, without importing it."""
    if fingerprint(MODULE) is None:
        return Availability(False, "OpenVINO is not installed", _INSTALL)
    version = package("openvino").version
    return Availability(True, f"OpenVINO {version}", _INSTALL, version)


def precisions() -> tuple[str, ...]:
    """How this engine can compute on this processor."""
    bf16 = any("BF16" in feature for feature in processor().features)
    return ("fp32", "fp16", "int8", "bf16") if bf16 else ("fp32", "fp16", "int8")


def open_session(graph: Graph, options: Options) -> OpenVinoSession:
    """Raises BackendUnavailable when OpenVINO cannot be loaded, BackendError when it refuses the graph."""
    return OpenVinoSession(graph, options)


class OpenVinoSession:
    """One compiled model; every thread has an infer request of its own."""

    def __init__(self, graph: Graph, options: Options) -> None:
        try:
            import openvino
        except ImportError as problem:
            raise BackendUnavailable(f"OpenVINO cannot be loaded ({problem}). Install it: {_INSTALL}") from problem
        if options.precision == "bf16" and "bf16" not in precisions():
            raise BackendUnavailable("OpenVINO computes in BF16 only on a processor that has it; this one does not.")
        self._tensor = openvino.Tensor
        with _translated("cannot use this graph"):
            self._model = openvino.Core().compile_model(
                openvino.Core().read_model(graph.data),
                "CPU",
                {
                    "INFERENCE_PRECISION_HINT": _HINTS[options.precision],
                    "PERFORMANCE_HINT": "LATENCY",
                    "NUM_STREAMS": "1",
                    "INFERENCE_NUM_THREADS": str(options.threads),
                },
            )
        self._requests = threading.local()
        self._info = SessionInfo(
            NAME, f"OpenVINO {openvino.__version__.split('-')[0]}", "CPU", self._precision(options), options.threads
        )

    @property
    def info(self) -> SessionInfo:
        return self._info

    def empty(self, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        return np.empty(shape, dtype)

    def run(self, inputs: Mapping[str, NDArray[Any]], outputs: Mapping[str, NDArray[Any]]) -> None:
        with _translated("failed while running"):
            request = self._request(tuple(outputs))
            for name, array in (*inputs.items(), *outputs.items()):
                request.set_tensor(name, self._tensor(array, shared_memory=True))
            request.infer()

    def evaluate(self, inputs: Mapping[str, NDArray[Any]], outputs: Sequence[str]) -> dict[str, NDArray[Any]]:
        with _translated("failed while running"):
            request = self._request(())
            for name, array in inputs.items():
                request.set_tensor(name, self._tensor(array, shared_memory=True))
            request.infer()
            return {name: np.array(request.get_tensor(name).data) for name in outputs}

    def close(self) -> None:
        self.__dict__.pop("_model", None)
        self._requests = threading.local()

    def _request(self, outputs: tuple[str, ...]) -> Any:
        """This thread's request for these outputs: the model fills every output, also into an array set long ago."""
        requests = self._requests.__dict__.setdefault("by_outputs", {})
        if outputs not in requests:
            model = self.__dict__.get("_model")
            if model is None:  # another thread closed it meanwhile
                raise BackendError("The generator is closed; load it again.")
            requests[outputs] = model.create_infer_request()
        return requests[outputs]

    def _precision(self, options: Options) -> str:
        """The precision of most layers that multiply, as the compiled model itself reports it."""
        layers = [operation.get_rt_info() for operation in self._model.get_runtime_model().get_ops()]
        computed = Counter(
            layer["runtimePrecision"].astype(str) for layer in layers if layer["layerType"].astype(str) in _MULTIPLYING
        )
        told = computed.most_common(1)[0][0] if computed else _HINTS[options.precision]
        if options.precision == "fp32" and set(computed) - {"f32"}:
            raise BackendError(f"OpenVINO was asked for FP32 and computes in {told}; use another backend.")
        return _PRECISIONS.get(told, told)


@contextmanager
def _translated(what: str) -> Iterator[None]:
    """The engine's exceptions as ganrt's, at the only place where the engine is called."""
    try:
        yield
    except BackendError:
        raise
    except Exception as problem:
        lines = [line for line in str(problem).splitlines() if line.strip()]
        raise BackendError(f"OpenVINO {what}: {lines[-1] if lines else type(problem).__name__}") from problem
