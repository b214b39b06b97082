"""Generator: a bundle on an engine. Load it, sample it, from any thread."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .backends import NAMES, open_session
from .backends.acceptance import References, hold
from .backends.base import GRAPH_OF, Graph, Options, Session, SessionInfo
from .backends.chain import Chain, W
from .backends.choose import SIZES, Choice, Effort, Way, choose, ways
from .batching import LARGEST, Piece, plan, sized_to_serve, two_at_a_time
from .bundle import Bundle
from .environment import usable_cores
from .errors import ArgumentError, BackendError
from .latents import Choice as LabelChoice
from .latents import Draws, together, walk
from .spec import Image, Port, Spec

if TYPE_CHECKING:
    from .latency.bench import Course
    from .latency.profile import Profile
    from .latency.results import Asked, Timing
    from .latency.scenarios import Outcome
    from .latency.subject import Subject
    from .latency.systems import Record
    from .serving import BatchServer

__all__ = ["Generator"]

_CONVERTED = {"f": "fiub", "i": "ib", "u": "u", "b": "b"}  # kind that a graph takes -> kinds that are converted to it
Kind: TypeAlias = Literal["uint8", "float"]
Feeds: TypeAlias = Callable[[int, int], dict[str, NDArray[Any]]]


class Generator:
    """A generator, ready to draw: `Generator.load("digits").sample(16, seed=7)`.

    Sample i of seed s is the same whatever n, start, batch size, engine or machine: uint8 values differ by at most one
    step between engines in FP32, and by what the bundle allows (50 dB) where a lower precision serves. Every method may
    be called from many threads at once. Use it as a context manager, or call `close`, to give the engine's memory back
    early.
    """

    def __init__(self, bundle: Bundle, choice: Choice, sessions: dict[str, Session], opener: Callable[[str], Session]):
        self._bundle, self._choice, self._opener = bundle, choice, opener
        self._spec = bundle.manifest.spec
        self._sessions: dict[str, Session] | None = sessions
        self._lock = threading.Lock()
        self._plans: dict[int, tuple[Piece, ...]] = {}
        ports = self._spec.output_ports()  # for pictures two: the pixels and what the network gives
        self._ports = {"float": ports[-1]} | ({"uint8": ports[0]} if isinstance(self._spec.output, Image) else {})
        self._preferred = choice.best()
        self._session(self._preferred)

    @classmethod
    def load(
        cls,
        source: str | os.PathLike[str],
        *,
        backend: str = "auto",
        threads: int | None = None,
        precision: str = "auto",
        form: str = "auto",
        spec: Spec | None = None,
        progress: Callable[[str], None] | None = None,
    ) -> Self:
        """Opens a bundle in the way that runs fastest on this machine.

        `source`: a bundled name ("digits"), a .ganrt file, a bundle's directory, or a plain .onnx, whose `spec` is
        given here unless the file carries it. `backend`: "onnxruntime", "openvino", "ncnn" or "mnn" to force one; it
        is then that one or an error. `threads`: cores the engine may use, all usable ones by default. `precision`: how
        to compute; "auto" is FP32, or what is faster here and stays within 50 dB: BF16, or INT8 where the bundle holds
        a graph of it that passed this gate; "fp32" forces FP32, "int8" that graph whatever its gate was. `form`:
        "plain" for the graph as traced, or another form that the bundle holds. `progress`: is told what the first load
        works on.

        Each way must first reproduce the bundle's reference samples here. The first load on a machine also measures
        them against each other, within seconds, and remembers the result in the cache; `tune` measures longer.
        Raises BundleError, BackendError, FidelityError or ArgumentError, each with a sentence that says what to do.
        """
        return cls._open(source, backend, threads, precision, form, spec, Effort(), progress)

    @classmethod
    def tune(
        cls,
        source: str | os.PathLike[str],
        *,
        backend: str = "auto",
        threads: int | None = None,
        precision: str = "auto",
        form: str = "auto",
        seconds: float = 2.0,
        progress: Callable[[str], None] | None = None,
    ) -> Self:
        """`load`, after a thorough measurement: every way, on every number of threads, at most `seconds` for each.

        What it finds is kept in the cache, and later loads with the same arguments use it. Raises what `load` raises.
        """
        if not 0 < seconds <= 3600:
            raise ArgumentError(f"seconds is {seconds!r}; give a number above 0, at most 3600.")
        return cls._open(source, backend, threads, precision, form, None, Effort(seconds, thorough=True), progress)

    @classmethod
    def _open(
        cls,
        source: str | os.PathLike[str],
        backend: str,
        threads: int | None,
        precision: str,
        form: str,
        spec: Spec | None,
        effort: Effort,
        progress: Callable[[str], None] | None,
    ) -> Self:
        if backend != "auto" and backend not in NAMES:
            raise ArgumentError(f"There is no backend '{backend}'; ganrt knows: auto, {', '.join(NAMES)}.")
        cores = _threads(threads)
        bundle = Bundle.open(source, spec=spec)
        options = ways(bundle, backend=backend, precision=precision, form=form)
        graphs: dict[tuple[str, str], Graph] = {}
        sessions: dict[str, Session] = {}

        def opener(way: Way) -> Session:
            if way.name not in sessions:
                kind = (GRAPH_OF[way.precision], way.form)
                if kind not in graphs:
                    graphs[kind] = Graph.of(bundle, *kind)
                how = Options(threads=way.threads or cores, precision=way.precision, streams=way.streams)
                sessions[way.name] = open_session(way.backend, graphs[kind], how)
            return sessions[way.name]

        def closer(way: Way) -> None:
            if (session := sessions.pop(way.name, None)) is not None:
                session.close()

        try:
            tell = progress or (lambda _: None)
            references = References(bundle, automatic=precision == "auto")
            choice = choose(
                options,
                opener,
                references,
                threads=cores,
                close_session=closer,
                effort=effort,
                tell=tell,
                bundle=bundle.digest,
            )
            used = {piece.way for size in SIZES for piece in plan(size, choice.costs, choice.best())}
            for name in sessions.keys() - used:  # measured and found slower
                closer(choice.ways[name])
            graphs.clear()
            return cls(bundle, choice, sessions, lambda name: opener(choice.ways[name]))
        except BaseException:
            for session in sessions.values():
                session.close()
            raise

    @property
    def name(self) -> str:
        """The bundle's name."""
        return self._bundle.manifest.name

    @property
    def bundle(self) -> Bundle:
        """The bundle this generator was loaded from."""
        return self._bundle

    @property
    def spec(self) -> Spec:
        """What it takes and gives."""
        return self._spec

    @property
    def info(self) -> SessionInfo:
        """What really runs for one sample at a time, as the engine reports it."""
        return self._session(self._preferred).info

    @property
    def backend(self) -> str:
        """The engine for one sample at a time; another may serve large n where it was measured to be faster."""
        return self._choice.ways[self._preferred].backend

    @property
    def precision(self) -> str:
        """What the engine computes in."""
        return self.info.precision

    @property
    def way(self) -> str:
        """Engine, precision, form and threads for one sample at a time, in a word or two: "openvino bf16 phases"."""
        return self._preferred

    @property
    def costs(self) -> dict[str, dict[int, float]]:
        """What was measured here: way -> batch size -> milliseconds a call. Empty where nothing could be."""
        return {name: dict(table) for name, table in self._choice.costs.items()}

    @property
    def refused(self) -> dict[str, str]:
        """Ways that may not serve this bundle here, each with the reason."""
        return dict(self._choice.refused)

    @property
    def reason(self) -> str:
        """Why this engine, precision and form of the graph, in one sentence."""
        return self._choice.why()

    def __repr__(self) -> str:
        if self._sessions is None:
            return f"<Generator '{self.name}', closed>"
        sizes = " x ".join(str(size) for size in self._port(None).shape[1:])
        return f"<Generator '{self.name}': {self.backend} {self.precision}, {self._port(None).dtype} [n x {sizes}]>"

    def sample(
        self,
        n: int = 1,
        *,
        seed: int = 0,
        start: int = 0,
        label: LabelChoice | None = None,
        code: Mapping[str, Any] | Any = None,
        truncation: float | None = None,
        output: Kind | None = None,
    ) -> NDArray[Any]:
        """Samples `start` .. `start + n - 1` of `seed`.

        `label`: a class index or name, a sequence of n of them, or None to draw them. `code`: a category or values, by
        name where there are several, or None to draw. `truncation`: smaller is more typical and less varied.
        `output`: "uint8" or "float"; uint8 for images by default, float for the rest.

        Returns images as uint8 [n, height, width, channels], or float32 [n, channels, height, width] as the network
        gives them; sound as float32 [n, channels, length]; tables as float32 [n, columns].
        Raises ArgumentError for anything the generator does not take.
        """
        draws = Draws(self._spec, seed, start, n, label=label, code=code, truncation=truncation)
        if n < 1:
            raise ArgumentError(f"n is {n}; at least one sample must be asked for.")
        return self._compute(draws.feeds, 0, n, self._port(output))

    def stream(
        self,
        n: int,
        *,
        batch: int | None = None,
        seed: int = 0,
        start: int = 0,
        label: LabelChoice | None = None,
        code: Mapping[str, Any] | Any = None,
        truncation: float | None = None,
        output: Kind | None = None,
    ) -> Iterator[NDArray[Any]]:
        """The same samples as `sample`, piece by piece, in constant memory.

        Yields fresh arrays of `batch` samples, the last one what remains; by default the batch that runs fastest here.
        Arguments are checked before the first piece is asked for.
        """
        draws = Draws(self._spec, seed, start, n, label=label, code=code, truncation=truncation)
        if n < 1:
            raise ArgumentError(f"n is {n}; at least one sample must be asked for.")
        if batch is not None:
            whole = isinstance(batch, (int, np.integer)) and not isinstance(batch, bool)
            if not whole or not 1 <= batch <= 1 << 32:
                raise ArgumentError(f"batch is {batch!r}; give a whole number from 1 up.")
        port, size = self._port(output), batch or self._plan(n)[0].size
        return (self._compute(draws.feeds, at, min(size, n - at), port) for at in range(0, n, size))

    def interpolate(
        self,
        *seeds: int,
        frames: int = 60,
        label: LabelChoice | None = None,
        code: Mapping[str, Any] | Any = None,
        truncation: float | None = None,
        output: Kind | None = None,
    ) -> NDArray[Any]:
        """A walk from sample 0 of the first seed to sample 0 of the last, through all seeds between, ends included.

        Latents move on the great circle, so that every frame is as likely as the ends. Returns `frames` samples, as
        `sample` does. A label that is not given is the first seed's.
        """
        feeds = walk(self._spec, seeds, frames, label=label, code=code, truncation=truncation)
        return self._compute(_rows(feeds), 0, frames, self._port(output))

    def serve_batches(
        self,
        *,
        max_batch: int | None = None,
        max_delay: float = 0.0,
        max_queue: int | None = None,
        output: Kind | None = None,
    ) -> BatchServer:
        """A server that joins requests of many threads into common engine calls: `with g.serve_batches() as server:`.

        `server.submit(seed=7)` gives a future, `server.sample(seed=7)` waits; the arguments and the result are those of
        `sample`, whatever else is in the batch. `max_batch`: samples of a batch at most, by default as few as run
        fastest here. `max_delay`: seconds that a request may wait for company while the engine has nothing to do;
        batches form anyway while it is busy, so that this pays only where large batches are much cheaper.
        `max_queue`: samples that may wait, by default those of 128 batches; what comes then is refused with BusyError.
        `output`: as for `sample`.
        Raises ArgumentError for what cannot be, and when the generator takes a signal.
        """
        from .serving import BatchServer

        port = self._port(output)
        costs = two_at_a_time(self._choice.costs, [way.name for way in self._choice.ways.values() if way.streams > 1])
        pieces = lru_cache(1024)(lambda n: plan(n, costs, self._preferred))
        size = sized_to_serve(costs, self._preferred) if max_batch is None else max_batch
        return BatchServer(
            self._spec,
            lambda feeds, n: self._compute(_rows(feeds), 0, n, port, pieces(n)),
            max_batch=size,
            max_delay=max_delay,
            max_queue=128 * size if max_queue is None else max_queue,
        )

    def styles(
        self,
        n: int = 1,
        *,
        seed: int = 0,
        start: int = 0,
        label: LabelChoice | None = None,
        truncation: float | None = None,
    ) -> NDArray[np.float32]:
        """The mapping alone: w of samples `start` .. `start + n - 1`, float32 [n, layers, size], for `synthesize`.

        `generator.synthesize(generator.styles(n, ...))` is `generator.sample(n, ...)`. Take coarse layers from one and
        fine ones from another to mix styles (Karras et al. 2019, arXiv:1812.04948); keep w to draw again at once.
        Raises ArgumentError when the bundle has no mapping of its own.
        """
        draws = Draws(self._spec, seed, start, n, label=label, truncation=truncation)
        if n < 1:
            raise ArgumentError(f"n is {n}; at least one sample must be asked for.")
        chain = self._chain()
        pieces = [chain.mapping.evaluate(draws.feeds(at, min(64, n - at)), (W,))[W] for at in range(0, n, 64)]
        styles: NDArray[np.float32] = np.concatenate(pieces)
        return styles

    def synthesize(self, w: NDArray[np.float32], *, output: Kind | None = None) -> NDArray[Any]:
        """Samples of given styles: w float32 [n, layers, size] as `styles` gives it, mixed or moved as you like.

        Returns what `sample` returns. Raises ArgumentError when w has another shape or the bundle has no mapping.
        """
        port, chain = self._port(output), self._chain()
        w = np.ascontiguousarray(w, np.float32)
        if w.ndim != 3 or not len(w):
            raise ArgumentError(f"w has the shape {w.shape}; give [n, layers, size], as styles does.")
        size = self._plan(len(w))[0].size
        try:
            pieces = [chain.synthesis.evaluate({W: w[at : at + size]}, [port.name]) for at in range(0, len(w), size)]
        except BackendError as problem:
            raise ArgumentError(
                f"w of the shape {w.shape} does not fit this generator; styles(1) shows what does."
            ) from problem
        return np.concatenate([piece[port.name] for piece in pieces])

    def _chain(self) -> Chain:
        session = self._session(self._preferred)
        if not isinstance(session, Chain):
            raise ArgumentError(f"The generator '{self.name}' is one graph: it has no mapping to call by itself.")
        return session

    def run(
        self, inputs: Mapping[str, ArrayLike] | Sequence[ArrayLike], *, outputs: Sequence[str] | None = None
    ) -> dict[str, NDArray[Any]]:
        """The graph's outputs for inputs that you bring: nothing is drawn, nothing is split.

        `inputs`: an array for each input of `spec.input_ports()`, by name or in that order, the batch first. Whole
        numbers and float64 are converted where the graph takes float32. `outputs`: names of those wanted, which an
        engine may make in less time than all.
        Returns outputs by name, all of the graph's in its order unless some are named: for pictures the pixels and the
        raw output, and what else the graph gives. Raises ArgumentError when an input is missing, unknown, or of another
        type or shape, or an output is unknown.
        """
        have = [port.name for port in self._spec.graph_outputs()]
        wanted = have if outputs is None else list(outputs)
        unknown = next((name for name in wanted if name not in have), None)
        if unknown is not None or not wanted:
            raise ArgumentError(f"outputs is {outputs!r}; this graph gives: {', '.join(have)}.")
        return self._session(self._preferred).evaluate(_given(self._spec, inputs), wanted)

    def warm_up(self, n: int = 1) -> Self:
        """Runs what `sample(n)` will run, twice, so that the next call meets no first-time cost. Returns itself."""
        for _ in range(2):
            self.sample(n)
        return self

    def benchmark(
        self,
        batch: int = 1,
        *,
        seconds: float = 5.0,
        percentile: float = 99.0,
        seed: int = 0,
        asked: Asked | None = None,
        course: Course | None = None,
    ) -> Timing:
        """Times `sample(batch)`, latents drawn anew each call, until `percentile` is known within 2 % or time is up.

        `seconds` bounds the timed part; the warm-up, until calls are steady, may take as long again. `asked`: how the
        row is named in a report; `course`: how it is timed, instead of `seconds` and `percentile`. One process is one
        sample: `ganrt bench` takes several, and can tell whether something changed. A generator that takes a signal is
        timed by `run` on its reference inputs, each time a little changed. Outputs must be new in every call, and the
        engine within the bundle's bound afterwards.
        Returns the figures and every sample; its `str` is "p50 0.61 ms, p90 0.63 ms, ...", or "FAILED: ..." with the
        reason. Ctrl-C ends it, and what was measured until then comes back as "interrupted". Raises ArgumentError.
        """
        from .latency.bench import Course, check_settings
        from .latency.subject import benchmark

        course = course or Course(seconds, percentile)
        check_settings(batch, course.seconds, course.percentile)
        return benchmark(self._subject(batch), batch, course=course, seed=seed, asked=asked)

    def profile(self, batch: int = 1, *, seconds: float = 2.0, seed: int = 0) -> Profile:
        """Where the time of `sample(batch)` goes: its stages, the engine's operations, what it computes and moves.

        The engine's own profiler tells of its operations; an engine that has none leaves them out, and `note` says so.
        Energy is told where the platform counts it. Raises ArgumentError.
        """
        from .latency.bench import check_settings
        from .latency.profiling import profile

        check_settings(batch, seconds, 50.0)
        return profile(self._subject(batch), batch, seconds=seconds, seed=seed)

    def _subject(self, batch: int) -> Subject:
        from .latency.subject import Subject

        pieces = [(self._choice.ways[way].form, size, self._session(way)) for way, size in self._plan(batch)]
        return Subject(self._bundle, self.sample, self.run, pieces)

    def load_test(
        self,
        scenario: str,
        *,
        seconds: float = 10.0,
        target_qps: float | None = None,
        budget: float = 0.1,
        percentile: float = 99.0,
        compliant: bool = False,
        seed: int = 0,
        max_batch: int | None = None,
        max_delay: float = 0.0,
        logs: str | os.PathLike[str] | None = None,
        record: Record | None = None,
    ) -> Outcome:
        """One of MLPerf's scenarios, run by its LoadGen: "single-stream", "multi-stream", "server" or "offline".

        For "server", `target_qps` requests a second arrive at random, `serve_batches(max_batch=, max_delay=)` answers
        them, and the run is valid when `percentile` of the latencies is within `budget` seconds. `compliant`: by the
        rules, and so 600 `seconds`. `logs`: a folder in which LoadGen's files are kept. `record`: filled as it goes.
        A few outputs are compared with what `sample` gives, and the engine is held to the bundle's references; the run
        fails when they are others.

        LoadGen cannot be stopped: until the run is over, Ctrl-C waits, and the process must not end. `ganrt bench
        --scenario` runs it in a process of its own. Raises ArgumentError, and MissingExtra without LoadGen.
        """
        from .latency.scenarios import COMPLIANT_S, Scenario
        from .latency.subject import engine_calls
        from .latency.systems import Tested, run

        asked = Scenario(
            scenario,
            max(seconds, COMPLIANT_S) if compliant else seconds,
            target_qps,
            budget * 1000,
            percentile,
            compliant,
            seed,
            max_batch,
            max_delay,
        )
        port, references = self._port(None), References(self._bundle)

        def hold_all(n: int) -> None:
            for way, size in set(self._plan(n)):
                hold(self._session(way), references, (size,))

        tested = Tested(
            self._spec,
            self.sample,
            lambda calls: self._compute(_rows(together(calls)), 0, sum(call.count for call in calls), port),
            self.serve_batches,
            LARGEST,
            hold_all,
            lambda n: engine_calls(self._subject(n)),
            references.bound(self.precision),
            self.precision == "fp32",
        )
        return run(tested, asked, Path(logs) if logs is not None else None, record)

    def close(self) -> None:
        """Gives the engine's memory back; the generator cannot be used afterwards. Closing twice is fine."""
        with self._lock:
            sessions, self._sessions = self._sessions, None
        for session in (sessions or {}).values():
            session.close()

    def __enter__(self) -> Self:
        self._session(self._preferred)  # a closed one says so here
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _compute(
        self, feeds: Feeds, offset: int, n: int, port: Port, pieces: Sequence[Piece] | None = None
    ) -> NDArray[Any]:
        """`pieces`: the engine calls, by default those that are fastest with the engine to themselves."""
        try:
            pieces = pieces or self._plan(n)
            first = self._session(pieces[0].way)
            result = first.empty((n, *port.shape[1:]), port.dtype)  # type: ignore[arg-type]
        except MemoryError as problem:
            raise ArgumentError(
                f"{n} samples at once do not fit into memory; stream(n) gives them piece by piece."
            ) from problem
        if len(pieces) == 1:
            first.run(feeds(offset, n), {port.name: result})
            return result
        done = 0
        for way, count in pieces:
            self._session(way).run(feeds(offset + done, count), {port.name: result[done : done + count]})
            done += count
        return result

    def _plan(self, n: int) -> tuple[Piece, ...]:
        pieces = self._plans.get(n)
        if pieces is None:
            pieces = plan(n, self._choice.costs, self._preferred)
            if len(self._plans) < 1024:  # callers use few different n; a stray many must not pile up
                self._plans[n] = pieces
        return pieces

    def _session(self, name: str) -> Session:
        sessions = self._sessions
        if sessions is None:
            raise BackendError(f"The generator '{self.name}' is closed; load it again.")
        session = sessions.get(name)
        if session is None:
            with self._lock:
                session = self._opener(name)
        return session

    def _port(self, output: Kind | None) -> Port:
        if output is None:
            return self._ports.get("uint8") or self._ports["float"]
        port = self._ports.get(output) if isinstance(output, str) else None
        if port is None:
            known = '"uint8" or "float"' if isinstance(self._spec.output, Image) else '"float"'
            raise ArgumentError(f"output is {output!r}; this generator gives {known}.")
        return port


def _rows(feeds: Mapping[str, NDArray[Any]]) -> Feeds:
    """Inputs that were drawn at once, piece by piece."""
    return lambda offset, count: {name: array[offset : offset + count] for name, array in feeds.items()}


def _given(spec: Spec, inputs: Mapping[str, ArrayLike] | Sequence[ArrayLike]) -> dict[str, NDArray[Any]]:
    """The arrays that the user brought, as the graph takes them."""
    ports = spec.input_ports()
    names = ", ".join(port.name for port in ports)
    if not isinstance(inputs, Mapping):
        if not isinstance(inputs, (tuple, list)) or len(inputs) != len(ports):
            raise ArgumentError(
                f"run takes a mapping with an array for each of: {names}; or all of them in that order."
            )
        inputs = {port.name: array for port, array in zip(ports, inputs, strict=True)}
    unknown = next((name for name in inputs if all(name != port.name for port in ports)), None)
    if unknown is not None:
        raise ArgumentError(f"There is no input {unknown!r}; this graph takes: {names}.")
    feeds: dict[str, NDArray[Any]] = {}
    for port in ports:
        if port.name not in inputs:
            raise ArgumentError(f"The input '{port.name}' is missing; this graph takes: {names}.")
        try:
            array = np.asarray(inputs[port.name])
        except (TypeError, ValueError, RuntimeError) as problem:
            raise ArgumentError(f"The input '{port.name}' is not an array of numbers: {problem}.") from problem
        if array.dtype.kind not in _CONVERTED[np.dtype(port.dtype).kind]:
            raise ArgumentError(f"The input '{port.name}' is {array.dtype}; the graph takes {port.dtype}.")
        fits = array.ndim == len(port.shape) and all(
            size in (None, found) for size, found in zip(port.shape, array.shape, strict=True)
        )
        if not fits or 0 in array.shape:
            shape = ", ".join("any" if size is None else str(size) for size in ("n", *port.shape[1:]))
            raise ArgumentError(f"The input '{port.name}' has the shape {array.shape}; the graph takes [{shape}].")
        feeds[port.name] = np.ascontiguousarray(array, port.dtype)
    sizes = {name: len(array) for name, array in feeds.items()}
    if len(set(sizes.values())) > 1:
        listing = ", ".join(f"{name} {size}" for name, size in sizes.items())
        raise ArgumentError(f"The inputs must have the same batch, their first dimension; here it is: {listing}.")
    return feeds


def _threads(threads: int | None) -> int:
    if threads is None:
        return usable_cores()
    if isinstance(threads, bool) or not isinstance(threads, (int, np.integer)) or not 1 <= threads <= 1024:
        raise ArgumentError(f"threads is {threads!r}; give a whole number from 1 to 1024, or leave it out.")
    return int(threads)
