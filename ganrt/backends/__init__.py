"""The engines: name -> module, each of one shape (`base.py`), none imported before it is needed.

`NAMES` in order of preference where nothing was measured.
"""

from __future__ import annotations

from importlib import import_module
from typing import Protocol, cast

from ..errors import ArgumentError, BackendUnavailable
from .base import Availability, Graph, Options, Session

__all__ = ["APART", "NAMES", "STREAMING", "UNASKED", "available", "module_name", "open_session", "precisions"]

NAMES = ("onnxruntime", "openvino", "ncnn", "mnn")
UNASKED = ("onnxruntime", "openvino", "ncnn")  # tried by themselves; a call of MNN may end in an error, see docs/mnn.md
APART = ("openvino",)  # compile a model for each choice of outputs, since one computes all that it has
STREAMING = ("onnxruntime", "openvino", "ncnn")  # compute parts of a batch side by side, see `Options.streams`


class _Backend(Protocol):
    NAME: str
    MODULE: str

    @staticmethod
    def available() -> Availability: ...

    @staticmethod
    def precisions() -> tuple[str, ...]: ...

    @staticmethod
    def open_session(graph: Graph, options: Options) -> Session: ...


def available(name: str) -> Availability:
    """Can this engine be used here? Does not import the engine. Raises ArgumentError for an unknown name."""
    return _backend(name).available()


def precisions(name: str) -> tuple[str, ...]:
    """How this engine can compute on this processor: "fp32", "fp16", "int8", "bf16"."""
    return _backend(name).precisions()


def module_name(name: str) -> str:
    """The Python module that the engine comes as."""
    return _backend(name).MODULE


def open_session(name: str, graph: Graph, options: Options) -> Session:
    """Opens `graph` on this engine, or raises BackendUnavailable or BackendError; never opens another one instead."""
    backend = _backend(name)
    if options.precision not in backend.precisions():
        able = ", ".join(backend.precisions())
        raise BackendUnavailable(f"{name} does not compute in {options.precision} on this processor; it can: {able}.")
    if options.streams > 1 and name not in STREAMING:
        raise BackendUnavailable(f"{name} computes a batch as a whole; streams are for: {', '.join(STREAMING)}.")
    if graph.mapping is None:
        return backend.open_session(graph, options)
    from .chain import Chain

    first = backend.open_session(Graph(graph.mapping, f"{graph.digest}.mapping", graph.precision), options)
    try:
        return Chain(first, backend.open_session(graph, options))
    except BaseException:
        first.close()
        raise


def _backend(name: str) -> _Backend:
    if name not in NAMES:
        raise ArgumentError(f"There is no backend '{name}'; ganrt knows: {', '.join(NAMES)}.")
    return cast("_Backend", import_module(f".{name}", __name__))
