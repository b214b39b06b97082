"""The protocol that every engine is reached through: open a graph, run it, close it.

Why a protocol and no base class: an engine brings its own objects and lifetimes, and shares nothing with the others but
these few verbs. One file is one engine; no engine is imported before a session of it is asked for.

On a CPU, arrays are numpy arrays that the caller owns: `run` reads `inputs` and fills `outputs`, without a copy of its
own. A GPU session is the same protocol plus `DeviceSession`: it takes arrays that already lie on the device, queues the
work on a stream and gives an event back. `Session.empty` makes the arrays an engine likes best (pinned, on a GPU).
An engine that compiles the ONNX into a form of its own keeps that in `ganrt.cache`, under `Graph.digest`, its own
version and this machine, and holds `ganrt.cache.lock` meanwhile.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Protocol, TypeAlias, runtime_checkable

import msgspec
from numpy.typing import DTypeLike, NDArray

from ..bundle import Bundle
from ..environment import fingerprint, package
from ..errors import BackendError
from ..manifest import Precision
from ..spec import Port

__all__ = [
    "GRAPH_OF",
    "PLAIN",
    "Array",
    "Availability",
    "DeviceArray",
    "DeviceSession",
    "Event",
    "Graph",
    "Options",
    "Session",
    "SessionInfo",
    "check_inputs",
    "check_output",
    "look_up",
    "translated",
]


# how to compute -> the graph that is computed from: its types say fp32, fp16 or int8; a CPU may run fp32 in BF16
GRAPH_OF: dict[str, Precision] = {"fp32": "fp32", "fp16": "fp16", "int8": "int8", "bf16": "fp32"}


PLAIN = "plain"  # the form of a graph that is the reference


class Availability(msgspec.Struct, frozen=True):
    """Can this engine be used here? `reason` says why, or why not; `install` is the command that brings it."""

    ok: bool
    reason: str
    install: str = ""
    version: str | None = None

    def __bool__(self) -> bool:
        return self.ok


class Graph(msgspec.Struct, frozen=True):
    """An ONNX model: its bytes, their SHA-256, and the precision that its types say (fp32, fp16, int8).

    `mapping`: another that makes this one's inputs (StyleGAN's first half); `backends.open_session` chains them.
    """

    data: bytes
    digest: str
    precision: str
    mapping: bytes | None = None

    @classmethod
    def of(cls, bundle: Bundle, precision: Precision, form: str = PLAIN) -> Graph:
        """The graph of a bundle, every check passed."""
        manifest = bundle.manifest
        if form == PLAIN:
            data, member = bundle.graph(precision), manifest.graphs[precision]
        else:
            data, member = bundle.form(form), manifest.forms[form]
        return cls(data, manifest.files[member].sha256, precision, bundle.mapping(precision))


class Options(msgspec.Struct, frozen=True):
    """`threads`: cores the engine may use. `precision`: how it computes, a key of GRAPH_OF. `streams`: parts of a batch

    that are computed side by side, each on its share of the threads; an engine without them takes only 1.
    """

    threads: int
    precision: str = "fp32"
    device: int = 0
    streams: int = 1


class SessionInfo(msgspec.Struct, frozen=True):
    """What really runs, as the engine itself reports it.

    `precision` is the precision computed in; `streams` share the `threads`; `fell_back` names what was asked and not
    given, and is empty on success.
    """

    backend: str
    engine: str
    device: str
    precision: str
    threads: int
    fell_back: tuple[str, ...] = ()
    streams: int = 1


def look_up(engine: str, module: str, install: str, *distributions: str) -> Availability:
    """Whether an engine is installed, without importing it; its version is that of the first distribution there is."""
    if fingerprint(module) is None:
        return Availability(False, f"{engine} is not installed", install)
    version = next((found for name in distributions if (found := package(name).version)), None)
    return Availability(True, f"{engine} {version}", install, version)


class translated:  # noqa: N801  it is read like a verb, and a generator would cost five times as much in every call
    """Around every call of an engine: its exceptions as BackendError("<engine> <what>: <its words>"), its own as cause.

    `line`: the line of the engine's message that says what is wrong; blank ones do not count. One serves all calls.
    """

    __slots__ = ("_engine", "_line", "_what")

    def __init__(self, engine: str, what: str, *, line: int = 0) -> None:
        self._engine, self._what, self._line = engine, what, line

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(problem, Exception) and not isinstance(problem, BackendError):
            lines = [said for said in str(problem).splitlines() if said.strip()]
            told = lines[self._line] if lines else type(problem).__name__
            raise BackendError(f"{self._engine} {self._what}: {told}") from problem


def check_inputs(arrays: Mapping[str, NDArray[Any]], ports: Mapping[str, Port]) -> None:
    """Raises ValueError unless these are the inputs that a graph takes: an engine that does not look reads anything."""
    if arrays.keys() != ports.keys():
        raise ValueError(f"the inputs are {', '.join(arrays)}, and this graph takes {', '.join(ports)}")
    for name, array in arrays.items():
        port = ports[name]
        fits = len(array.shape) == len(port.shape) and all(
            wanted is None or wanted == size for wanted, size in zip(port.shape, array.shape, strict=True)
        )
        if array.dtype != port.dtype or not fits:
            raise ValueError(
                f"'{name}' is {array.dtype} {list(array.shape)}, and this graph takes {port.dtype} "
                f"{['any' if size is None else size for size in port.shape]}"
            )


def check_output(name: str, array: NDArray[Any], dtype: str, shape: tuple[int, ...]) -> None:
    """Raises ValueError unless the caller's array can hold this output."""
    if array.dtype != dtype or array.shape != shape:
        raise ValueError(
            f"the output '{name}' is {dtype} {list(shape)}, and the array for it is {array.dtype} {list(array.shape)}"
        )


class Session(Protocol):
    """An opened graph. Any number of threads may call `run` at once."""

    @property
    def info(self) -> SessionInfo: ...

    def empty(self, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        """A C-contiguous array in the memory that this engine reads and writes fastest."""
        ...

    def run(self, inputs: Mapping[str, NDArray[Any]], outputs: Mapping[str, NDArray[Any]]) -> None:
        """Computes `outputs` from `inputs`, all C-contiguous, the batch first; only the named outputs are filled.

        Returns when they are. Raises BackendError, with the engine's own exception as its cause.
        """
        ...

    def evaluate(self, inputs: Mapping[str, NDArray[Any]], outputs: Sequence[str]) -> dict[str, NDArray[Any]]:
        """The named outputs in arrays of their own, where their size is known only after the call."""
        ...

    def close(self) -> None:
        """Frees the engine's memory; `run` must not be called afterwards. Closing twice is fine."""
        ...


@runtime_checkable
class DeviceArray(Protocol):
    """An array that lies on a GPU: CuPy's, PyTorch's, or one of `DeviceSession.empty_on_device`."""

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]: ...


Array: TypeAlias = "NDArray[Any] | DeviceArray"


class Event(Protocol):
    """A point in a stream of work on a device."""

    def wait(self) -> None:
        """Returns when the work before this point is done."""
        ...

    def since(self, earlier: Event) -> float:
        """Milliseconds of device time from `earlier` to here."""
        ...


@runtime_checkable
class DeviceSession(Session, Protocol):
    """A session whose work is queued. `stream` is a CUDA stream handle; None means the session's own."""

    def empty_on_device(self, shape: tuple[int, ...], dtype: DTypeLike) -> DeviceArray: ...

    def enqueue(self, inputs: Mapping[str, Array], outputs: Mapping[str, Array], stream: int | None = None) -> Event:
        """Queues one call and returns at once; `outputs` hold the result after the event."""
        ...
