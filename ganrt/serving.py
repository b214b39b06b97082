"""Many small requests -> few engine calls: dynamic batching.

Two workers share one line of requests. One computes; the engine leaves Python to the others meanwhile, so the second
hands out the results of the batch before, gathers the next and draws its latents. The first goes on with that at once:
between two calls of the engine no thread has to wake another. With nothing to do, one worker does all steps by itself.

A batch is closed when it is full, or when the engine has nothing to do and its first request has waited `max_delay`.
"""

from __future__ import annotations

import copy
import threading
import weakref
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from math import inf
from queue import Empty, SimpleQueue
from time import perf_counter
from types import TracebackType
from typing import Any, NamedTuple, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from .errors import ArgumentError, BusyError, ClosedError
from .latents import Choice, Draws, together
from .spec import Spec

__all__ = ["BatchServer", "Run", "Served"]

_WORKERS = 2  # one in the engine, one that makes ready or hands out
_LARGEST, _LONGEST_S, _MOST = 1 << 16, 60.0, 1 << 24

Array: TypeAlias = "NDArray[Any]"
Run: TypeAlias = Callable[[Mapping[str, Array], int], Array]


class Served(NamedTuple):
    """What a server has answered so far: requests, their samples, and the engine calls that made them."""

    requests: int
    samples: int
    calls: int


class BatchServer:
    """Answers requests from many threads in common engine calls; `Generator.serve_batches` opens one.

    Each request gets what `generator.sample` gives for the same arguments. Results are views of their batch: copy one
    that is to be kept for long. Use it as a context manager, or call `close`.
    """

    def __init__(self, spec: Spec, run: Run, *, max_batch: int, max_delay: float, max_queue: int) -> None:
        self._spec, self._max_batch = spec, _whole("max_batch", max_batch, _LARGEST)
        if isinstance(max_delay, bool) or not isinstance(max_delay, (int, float)) or not 0 <= max_delay <= _LONGEST_S:
            raise ArgumentError(f"max_delay is {max_delay!r}; give seconds from 0 to {_LONGEST_S:g}, such as 0.002.")
        if _whole("max_queue", max_queue, _MOST) < max_batch:
            raise ArgumentError(f"max_queue is {max_queue}; it must have room for one batch of {max_batch} samples.")
        Draws(spec, 0, 0, 1)  # a generator that takes a signal says here that it cannot be asked for samples
        self._line = _Line(run, self._max_batch, float(max_delay), int(max_queue))
        self._workers = [
            threading.Thread(target=self._line.work, name="ganrt-batch", daemon=True) for _ in range(_WORKERS)
        ]
        for worker in self._workers:
            worker.start()
        # a server that nobody closed ends with its last reference, and before the interpreter does
        self._end = weakref.finalize(self, _end, self._line, self._workers, False)

    @property
    def served(self) -> Served:
        """What it has answered so far."""
        return self._line.served

    @property
    def max_batch(self) -> int:
        """Most samples of an engine call, and of a request."""
        return self._max_batch

    def submit(
        self,
        n: int = 1,
        *,
        seed: int = 0,
        start: int = 0,
        label: Choice | None = None,
        code: Mapping[str, Any] | Any = None,
        truncation: float | None = None,
    ) -> Future[NDArray[Any]]:
        """Asks for samples `start` .. `start + n - 1` of `seed`, as `Generator.sample` does, and returns at once.

        The future's result is what `sample` returns. A future that is cancelled before its batch is made ready costs
        nothing. Callbacks run in the thread that serves: keep them short. In asyncio: `asyncio.wrap_future`.
        Raises ArgumentError for anything the generator does not take, BusyError when too much waits already,
        ClosedError when the server was closed.
        """
        request = _Promise(self._checked(n, seed, start, label, code, truncation))
        self._line.add(request)
        return request

    def sample(
        self,
        n: int = 1,
        *,
        seed: int = 0,
        start: int = 0,
        label: Choice | None = None,
        code: Mapping[str, Any] | Any = None,
        truncation: float | None = None,
    ) -> NDArray[Any]:
        """`submit`, and waits for the result; cheaper than a future."""
        request = _Wait(self._checked(n, seed, start, label, code, truncation))
        self._line.add(request)
        return request.result()

    def _checked(
        self, n: int, seed: int, start: int, label: Choice | None, code: Any, truncation: float | None
    ) -> Draws:
        draws = Draws(self._spec, seed, start, n, label=label, code=code, truncation=truncation)
        if not 1 <= n <= self._max_batch:
            most = f"; generator.sample makes more than max_batch = {self._max_batch} at once" if n > 1 else ""
            raise ArgumentError(f"n is {n}; a request is for 1 to {self._max_batch} samples{most}.")
        return draws

    def close(self, *, drain: bool = True) -> None:
        """Takes no more requests, answers those it has accepted, and returns when its threads have ended.

        `drain` False: requests that still wait fail with ClosedError. Closing twice is fine.
        """
        self._end.detach()
        _end(self._line, self._workers, drain)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close(drain=kind is None)


class _Promise(Future[NDArray[Any]]):
    """A request that waits, since `arrived`, and is its own future."""

    def __init__(self, draws: Draws) -> None:
        super().__init__()
        self.draws, self.arrived = draws, perf_counter()


class _Wait:
    """A request whose thread does nothing but wait for it: one lock does for a future, at a fraction of the cost."""

    __slots__ = ("_answered", "_problem", "_result", "_wanted", "arrived", "draws")

    def __init__(self, draws: Draws) -> None:
        self.draws, self.arrived = draws, perf_counter()
        self._result: Array | None = None
        self._problem: BaseException | None = None
        self._wanted, self._answered = True, threading.Lock()
        self._answered.acquire()

    def result(self) -> Array:
        try:
            self._answered.acquire()
        except BaseException:  # Ctrl-C: nobody waits any more
            self._wanted = False
            raise
        if self._result is None:
            assert self._problem is not None
            raise self._problem
        return self._result

    def set_running_or_notify_cancel(self) -> bool:
        return self._wanted

    def set_result(self, result: Array) -> None:
        self._result = result
        self._answered.release()

    def set_exception(self, problem: BaseException) -> None:
        self._problem = problem
        self._answered.release()


_Request: TypeAlias = _Promise | _Wait


class _Batch:
    """Requests that are computed together, and then their `result` or the `problem` that there was instead."""

    __slots__ = ("feeds", "problem", "requests", "result", "samples")

    def __init__(self, requests: Sequence[_Request]) -> None:
        self.requests = [request for request in requests if request.set_running_or_notify_cancel()]
        self.samples = sum(request.draws.count for request in self.requests)
        self.feeds: Mapping[str, Array] = {}
        self.result: Array | None = None
        self.problem: BaseException | None = None

    def draw(self) -> None:
        """The latents of all requests."""
        try:
            self.feeds = together([request.draws for request in self.requests])
        except BaseException as problem:  # noqa: BLE001  it belongs to these requests, and to no other
            self.problem = problem

    def compute(self, run: Run) -> None:
        """The one engine call."""
        try:
            if self.problem is None:
                self.result = run(self.feeds, self.samples)
        except BaseException as problem:  # noqa: BLE001  as above
            self.problem = problem

    def hand_out(self) -> None:
        """Answers each request with its rows, or with an error of its own."""
        at, rows = 0, self.result
        for request in self.requests:
            end = at + request.draws.count
            try:
                if rows is not None:
                    request.set_result(rows[at:end])
                elif self.problem is not None:
                    request.set_exception(_own(self.problem))
            except InvalidStateError:  # somebody else answered that future
                pass
            at = end


class _Line:
    """The requests that wait, and what the two workers do with them.

    A worker that has nothing to do waits for `_bell`, holding `_idle`. It rings when something was `_done`, and else
    only at `_wake_at` waiting samples, or when the engine is free and the worker `_wants_engine`: no request wakes a
    worker for itself alone.
    """

    def __init__(self, run: Run, max_batch: int, max_delay: float, max_queue: int) -> None:
        self._run, self._max_batch, self._max_delay, self._max_queue = run, max_batch, max_delay, max_queue
        self._lock = threading.RLock()  # the garbage collector may close a forgotten server within
        self._idle = threading.Lock()
        self._bell: SimpleQueue[None] = SimpleQueue()
        self._waiting: deque[_Request] = deque()
        self._samples = 0
        self._wake_at, self._wants_engine = inf, False
        self._busy = False  # the engine, or who is about to use it
        self._ready: _Batch | None = None  # drawn, while the engine was busy
        self._done: deque[_Batch] = deque()  # computed, while the next was ready
        self._closed = False
        self.served = Served(0, 0, 0)

    def add(self, request: _Request) -> None:
        """Puts a request at the end of the line. Raises BusyError or ClosedError."""
        with self._lock:
            if self._closed:
                raise ClosedError("The server is closed; open another with generator.serve_batches().")
            samples = self._samples + request.draws.count
            if samples > self._max_queue:
                raise BusyError(
                    f"{self._samples} samples wait already, and max_queue is {self._max_queue}: ask again later, or "
                    "for fewer."
                )
            self._waiting.append(request)
            self._samples = samples
            if samples < self._wake_at:
                return
            self._wake_at = inf
        self._bell.put(None)

    def close(self, drain: bool) -> None:
        """No more requests; those that wait are answered by the workers, or fail here."""
        dropped: list[_Request] = []
        with self._lock:
            self._closed = True
            if not drain:
                dropped, self._samples = list(self._waiting), 0
                self._waiting.clear()
        self._bell.put(None)
        for request in dropped:
            if request.set_running_or_notify_cancel():
                request.set_exception(ClosedError("The server was closed before it came to this request."))

    def work(self) -> None:
        """What each worker does until the line is closed and empty."""
        while (next_one := self._next()) is not None:
            if isinstance(next_one, _Batch):
                next_one.hand_out()
                continue
            batch = _Batch(next_one)
            batch.draw()
            if self._enter(batch):
                self._compute(batch)

    def _next(self) -> _Batch | list[_Request] | None:
        """Waits for something to do: a batch to hand out, requests to make one of; None when there will be no more."""
        with self._idle:
            while True:
                with self._lock:
                    if self._done:
                        return self._done.popleft()
                    patience = self._patience()
                    if patience <= 0:
                        return self._take() if self._waiting else None
                with suppress(Empty):
                    self._bell.get(timeout=None if patience == inf else patience)

    def _patience(self) -> float:
        """Seconds that the next batch may still grow; 0 when it is to be taken now, or nothing is to come."""
        self._wake_at, self._wants_engine = inf, False
        if self._ready is not None:
            return inf
        if self._samples >= self._max_batch or self._closed:
            return 0.0
        if self._busy:
            self._wake_at, self._wants_engine = self._max_batch, True
            return inf
        if not self._waiting:
            self._wake_at = 1
            return inf
        self._wake_at = self._max_batch
        return self._waiting[0].arrived + self._max_delay - perf_counter()

    def _take(self) -> list[_Request]:
        taken, room = list[_Request](), self._max_batch
        while self._waiting and (count := self._waiting[0].draws.count) <= room:
            taken.append(self._waiting.popleft())
            room -= count
        self._samples -= self._max_batch - room
        return taken

    def _enter(self, batch: _Batch) -> bool:
        """Whether the engine is free for this batch; if not, it is ready for the worker that computes."""
        with self._lock:
            if not batch.requests:  # all were cancelled
                return False
            if self._busy:
                self._ready = batch
                return False
            self._busy = True
            return True

    def _compute(self, batch: _Batch) -> None:
        """Computes this batch, and those that are ready by then; hands out the last."""
        while True:
            batch.compute(self._run)
            with self._lock:
                before, good = self.served, batch.problem is None
                self.served = Served(
                    before.requests + len(batch.requests) * good,
                    before.samples + batch.samples * good,
                    before.calls + good,
                )
                following, self._ready = self._ready, None
                if following is None:
                    self._busy = False
                    ring = self._wants_engine
                    self._wants_engine = False
                else:
                    self._done.append(batch)
                    ring = True
            if ring:
                self._bell.put(None)
            if following is None:
                break
            batch = following
        batch.hand_out()


def _own(problem: BaseException) -> BaseException:
    """A copy for one request: threads that raise the same exception would write into each other's tracebacks."""
    own = copy.copy(problem)
    own.__cause__, own.__traceback__ = problem.__cause__, problem.__traceback__
    return own


def _end(line: _Line, workers: Sequence[threading.Thread], drain: bool) -> None:
    line.close(drain)
    if threading.current_thread() not in workers:  # a callback may close the server that called it
        for worker in workers:
            worker.join()


def _whole(name: str, value: object, most: int) -> int:
    whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    if not whole or not 1 <= value <= most:  # type: ignore[operator]
        raise ArgumentError(f"{name} is {value!r}; give a whole number from 1 to {most:,}.")
    return int(value)  # type: ignore[call-overload,no-any-return]
