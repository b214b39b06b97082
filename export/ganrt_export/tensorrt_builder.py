"""One ONNX graph -> one plan of TensorRT-RTX or TensorRT: the only place that imports either.

Both are one API. TensorRT-RTX builds ahead of time, without a GPU, for named compute capabilities. TensorRT builds on
the GPU that will run the plan, and for that one. Types come from the graph: networks are strongly typed, and what an
fp32 graph computes stays float32 (TF32, which rounds to ten bits, is turned off).

Ctrl-C and SIGTERM ask the builder to stop between two of its steps, and are raised when it has: an exception thrown
into its callbacks would end the process instead. For the same reason nothing of it is left to a traceback.

Two builds of the same graph do not give equal bytes: never compare plans by digest, key caches by what went in.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from types import FrameType, ModuleType
from typing import Any, NamedTuple, TypeAlias

from ganrt.errors import ArgumentError, BackendError, BackendUnavailable, MissingExtra
from ganrt.onnx_header import read_onnx_header

from .tensorrt_failures import Refusal, sentence

__all__ = ["ENGINES", "Library", "Progress", "Shapes", "Span", "load"]

Span: TypeAlias = tuple[int, int, int]
Shapes: TypeAlias = Mapping[str, tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]]
Progress: TypeAlias = Callable[[float], None]


class _Kind(NamedTuple):
    module: str
    extra: str
    title: str
    ahead: bool  # builds for named capabilities, without a GPU


ENGINES = {
    "tensorrt-rtx": _Kind("tensorrt_rtx", "rtx", "TensorRT-RTX", True),
    "tensorrt": _Kind("tensorrt", "tensorrt", "TensorRT", False),
}
_DTYPES = {
    "FLOAT": "float32",
    "HALF": "float16",
    "BF16": "bfloat16",
    "INT8": "int8",
    "UINT8": "uint8",
    "INT32": "int32",
    "INT64": "int64",
    "BOOL": "bool",
}
_one_build = threading.Lock()  # the logger is shared by all builds of a process


@cache
def load(engine: str) -> Library:
    """The library behind an engine's name.

    Raises ArgumentError for a name that is none, MissingExtra with the command that installs it.
    """
    kind = ENGINES.get(engine)
    if kind is None:
        raise ArgumentError(f"There is no engine '{engine}' to build; choose one of: {', '.join(ENGINES)}.")
    try:
        module = import_module(kind.module)
    except (ImportError, OSError) as problem:  # OSError: a library that the module loads
        raise MissingExtra(
            f"{kind.title} is not installed, or cannot be loaded here. Install it: pip install 'ganrt[{kind.extra}]'"
        ) from problem
    return Library(engine, kind, module)


class Library:
    """TensorRT-RTX or TensorRT, as much of it as builds engines."""

    def __init__(self, name: str, kind: _Kind, module: ModuleType) -> None:
        self.name, self.title, self.ahead, self._trt = name, kind.title, kind.ahead, module
        self.version = str(module.__version__)
        self._logger = _logger(module)

    @property
    def capabilities(self) -> tuple[str, ...]:
        """What it builds for: "7.5", "8.6", ...; for TensorRT the capability of the GPU here.

        Raises BackendUnavailable when TensorRT finds no GPU.
        """
        if not self.ahead:
            return (_capability_here(self.title),)
        names = [name[2:] for name in self._trt.ComputeCapability.__members__ if name.startswith("SM")]
        return tuple(f"{name[:-1]}.{name[-1]}" for name in sorted(names, key=int))

    def build(
        self,
        graph: bytes,
        profiles: Sequence[Shapes],
        capabilities: Sequence[str],
        *,
        source: str = "the graph",
        progress: Progress | None = None,
    ) -> bytes:
        """The plan of an ONNX graph. `profiles`: for each, the (least, best, most) shape of every input.

        `capabilities` are among `self.capabilities`; TensorRT takes its own GPU's. `progress` is told the share that is
        done, 0 .. 1, perhaps from another thread. Raises BackendError in a sentence that names the node,
        KeyboardInterrupt after the build has stopped, and what `progress` raises likewise.
        """
        monitor = _monitor(self._trt, progress or (lambda share: None))
        with _one_build, _stopped_by_signals(monitor):
            self._logger.refusals.clear()
            outcome = self._attempt(graph, profiles, capabilities, source, monitor)
            if monitor.problem is not None:
                raise monitor.problem
        if isinstance(outcome, bytes):
            return outcome
        raise outcome

    def _attempt(
        self, graph: bytes, profiles: Sequence[Shapes], capabilities: Sequence[str], source: str, monitor: Any
    ) -> bytes | BackendError:
        """The plan, or why there is none: TensorRT's objects end with this call, not with somebody's traceback."""
        trt = self._trt
        parsed = False
        try:
            builder = trt.Builder(self._logger)
            network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
            parser = trt.OnnxParser(network, self._logger)
            parsed = parser.parse(graph)
            if not parsed:
                errors = [parser.get_error(index) for index in range(parser.num_errors)]
                told = [Refusal(one.desc(), one.node_name(), one.node_operator()) for one in errors]
                return BackendError(sentence(self.title, source, told or self._logger.refusals))
            otherwise = self._read_otherwise(network, graph, source)
            if otherwise is not None:
                return otherwise
            self._logger.refusals.clear()  # of what was parsed all the same
            config = self._config(builder, profiles, capabilities, monitor)
            plan = None if self._logger.refusals else builder.build_serialized_network(network, config)
            if plan is not None:
                return bytes(plan)
            return BackendError(sentence(self.title, source, self._logger.refusals, _nodes(graph)))
        except (RuntimeError, TypeError, ValueError) as problem:  # says less than the log does
            return self._failure(problem.with_traceback(None), source, _nodes(graph) if parsed else [])

    def _config(self, builder: Any, profiles: Sequence[Shapes], capabilities: Sequence[str], monitor: Any) -> Any:
        trt = self._trt
        config = builder.create_builder_config()
        config.clear_flag(trt.BuilderFlag.TF32)
        config.progress_monitor = monitor
        for shapes in profiles:
            profile = builder.create_optimization_profile()
            for name, spans in shapes.items():
                profile.set_shape(name, *spans)
            if config.add_optimization_profile(profile) < 0:
                raise RuntimeError("a profile was refused")
        if self.ahead:
            config.num_compute_capabilities = len(capabilities)
            for index, capability in enumerate(capabilities):
                member = trt.ComputeCapability.__members__[f"SM{capability.replace('.', '')}"]
                config.set_compute_capability(member, index)
        return config

    def _failure(self, problem: Exception, source: str, nodes: Sequence[tuple[str, str]]) -> BackendError:
        failure: BackendError
        if not self.ahead and "nullptr" in str(problem):
            failure = BackendUnavailable(_no_gpu(self.title))
        else:
            told = [*self._logger.refusals, Refusal(str(problem))]
            failure = BackendError(sentence(self.title, source, told, nodes))
        failure.__cause__ = problem
        return failure

    def _read_otherwise(self, network: Any, graph: bytes, source: str) -> BackendError | None:
        """What it took for something else: float64 it reads as float32 without a word, sizes as it likes."""
        header = read_onnx_header(graph, source)
        ends = [network.get_input(index) for index in range(network.num_inputs)]
        for tensor in ends:
            if tensor.is_shape_tensor:
                return BackendError(f"{self.title} cannot take '{tensor.name}' of {source}: it is a size, not numbers.")
        ends += [network.get_output(index) for index in range(network.num_outputs)]
        types = {tensor.name: _DTYPES.get(str(tensor.dtype).rpartition(".")[2], "unknown") for tensor in ends}
        for port in (*header.inputs, *header.outputs):
            if types.get(port.name) != port.dtype:
                return BackendError(
                    f"{self.title} would make '{port.name}' of {source} {types.get(port.name, 'disappear')}, and the "
                    f"graph says {port.dtype}. What to do: export the generator with float32 inputs and outputs."
                )
        return None


def _nodes(graph: bytes) -> list[tuple[str, str]]:
    """Name and operation of the nodes of the main graph, which TensorRT has already read as ONNX; b"" has none."""
    import onnx

    # the second name is what TensorRT calls a node that has none
    nodes = onnx.load_model_from_string(graph).graph.node
    return [(node.name or f"node_of_{next(iter(node.output), '')}", node.op_type) for node in nodes]


@contextmanager
def _stopped_by_signals(monitor: Any) -> Iterator[None]:
    """Ctrl-C and SIGTERM cancel what `monitor` watches; each is sent again, to who would have had it, at the end.

    Outside the main thread, which alone is told of signals, nothing is changed.
    """
    came: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        came.append(number)
        monitor.cancelled = True

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    caught = {number: handler for number, handler in before.items() if handler not in (signal.SIG_IGN, None)}
    try:
        for number in caught:
            signal.signal(number, note)
        yield
    finally:
        for number, handler in caught.items():
            signal.signal(number, handler)
        if came:
            signal.raise_signal(came[0])


@cache
def _logger(trt: Any) -> Any:
    """One for the whole process, because TensorRT keeps the first it is given. Nothing reaches the terminal."""

    class Logger(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.refusals: list[Refusal] = []

        def log(self, severity: Any, message: str) -> None:
            if severity in (trt.ILogger.INTERNAL_ERROR, trt.ILogger.ERROR):
                self.refusals.append(Refusal(message))

    return Logger()


def _monitor(trt: Any, progress: Progress) -> Any:
    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self.cancelled = False
            self.problem: BaseException | None = None
            self.phases = Phases()

        def phase_start(self, name: str, parent: str | None, steps: int) -> None:
            self.phases.start(name, parent, steps)

        def step_complete(self, name: str, step: int) -> bool:
            self.phases.step(name, step)
            try:
                progress(self.phases.share)
            except BaseException as problem:  # noqa: BLE001  raised again when the builder has stopped
                self.problem, self.cancelled = problem, True
            return not self.cancelled

        def phase_finish(self, name: str) -> None:
            self.phases.finish(name)

    return Monitor()


class Phases:
    """How much of a build is done: phases lie within steps of other phases, and begin and end in any order.

    >>> build = Phases()
    >>> build.start("all", None, 2); build.start("half", "all", 4); build.step("half", 0); build.share
    0.125
    >>> build.finish("half"); build.step("all", 0); build.share
    0.5
    """

    def __init__(self) -> None:
        self.share = 0.0  # never falls
        self._open: dict[str, list[Any]] = {}  # name -> parent, steps, steps done
        self._lock = threading.Lock()

    def start(self, name: str, parent: str | None, steps: int) -> None:
        with self._lock:
            self._open[name] = [parent if parent != name else None, max(1, steps), 0]

    def step(self, name: str, step: int) -> None:
        with self._lock:
            if name in self._open:
                self._open[name][2] = step + 1
                self._update()

    def finish(self, name: str) -> None:
        with self._lock:
            self._open.pop(name, None)

    def _update(self) -> None:
        roots = [name for name, (parent, _, _) in self._open.items() if parent is None]
        self.share = max([self.share, *(self._done(name) for name in roots)])

    def _done(self, name: str) -> float:
        _, steps, done = self._open[name]
        within = max((self._done(child) for child, (parent, *_) in self._open.items() if parent == name), default=0.0)
        share: float = (done + within) / steps
        return min(1.0, share)


def _no_gpu(title: str) -> str:
    return (
        f"{title} builds on the GPU that will run the engine, and there is none here. "
        "Build on that machine, or take --engine tensorrt-rtx, which needs no GPU."
    )


def _capability_here(title: str) -> str:
    try:
        capability = import_module("cuda.core").Device().compute_capability
    except ImportError as problem:
        raise MissingExtra(
            f"{title} needs cuda-core to see the GPU. Install it: pip install 'ganrt[tensorrt]'"
        ) from problem
    except Exception as problem:  # each CUDA version has an error of its own for "there is no driver"
        raise BackendUnavailable(_no_gpu(title)) from problem
    return f"{capability.major}.{capability.minor}"
