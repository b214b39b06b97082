"""The requests that wait, and the workers that make batches of them.

Each worker does all steps of its batch: gathers it, draws its latents, computes it, hands out the results. The engine
leaves Python to the others meanwhile, and a second call waits in the engine itself, or runs in its other streams: what
Python does for one batch costs the engine no time while it has the other.

A batch is closed when it is full, or when the engine has nothing to do and its first request has waited `max_delay`.
"""

from __future__ import annotations

import copy
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from math import inf
from queue import Empty, SimpleQueue
from time import perf_counter
from typing import NamedTuple, TypeAlias

from ..errors import BusyError, ClosedError
from ..latents import together
from .promise import Array, Promise

__all__ = ["Line", "Run", "Served"]

Run: TypeAlias = Callable[[Mapping[str, Array], int], Array]


class Served(NamedTuple):
    """What a server has answered so far: requests, their samples, and the engine calls that made them."""

    requests: int
    samples: int
    calls: int


class Line:
    """Requests in the order of their coming; `work` is what each worker does.

    A worker that has nothing to do waits for `_bell`, holding `_idle`. It rings when the engine becomes free and the
    worker `_wants_engine`, and else only at `_wake_at` waiting samples: no request wakes a worker for itself alone.
    """

    def __init__(self, run: Run, max_batch: int, max_delay: float, max_queue: int) -> None:
        self._run, self._max_batch, self._max_delay, self._max_queue = run, max_batch, max_delay, max_queue
        self._lock = threading.RLock()  # the garbage collector may close a forgotten server within
        self._idle = threading.Lock()
        self._bell: SimpleQueue[None] = SimpleQueue()
        self._waiting: deque[Promise] = deque()
        self._samples = 0  # of those that wait
        self._taken = 0  # batches that workers compute, or are about to
        self._wake_at, self._wants_engine = inf, False
        self._closed = False
        self.served = Served(0, 0, 0)

    def add(self, request: Promise) -> None:
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
        dropped: list[Promise] = []
        with self._lock:
            self._closed = True
            if not drain:
                dropped, self._samples = list(self._waiting), 0
                self._waiting.clear()
        self._bell.put(None)
        for request in dropped:
            if request.take():
                request.fail(ClosedError("The server was closed before it came to this request."))

    def work(self) -> None:
        """What each worker does until the line is closed and empty."""
        while (requests := self._next()) is not None:
            batch = _Batch(requests)
            batch.compute(self._run)
            self._computed(batch)
            batch.hand_out()

    def _next(self) -> Sequence[Promise] | None:
        """Waits for requests to make a batch of; None when there will be no more."""
        with self._idle:
            while True:
                with self._lock:
                    patience = self._patience()
                    if patience <= 0:
                        return self._take() if self._waiting else None
                with suppress(Empty):
                    self._bell.get(timeout=None if patience == inf else patience)

    def _patience(self) -> float:
        """Seconds that the next batch may still grow; 0 when it is to be taken now, or nothing is to come."""
        self._wake_at, self._wants_engine = inf, False
        if self._samples >= self._max_batch or self._closed:
            return 0.0
        if self._taken:
            self._wake_at, self._wants_engine = self._max_batch, True
            return inf
        if not self._waiting:
            self._wake_at = 1
            return inf
        self._wake_at = self._max_batch
        return self._waiting[0].arrived + self._max_delay - perf_counter()

    def _take(self) -> Sequence[Promise]:
        taken, room = list[Promise](), self._max_batch
        while self._waiting and (count := self._waiting[0].draws.count) <= room:
            taken.append(self._waiting.popleft())
            room -= count
        self._samples -= self._max_batch - room
        self._taken += 1
        return taken

    def _computed(self, batch: _Batch) -> None:
        with self._lock:
            if batch.result is not None:
                before = self.served
                self.served = Served(
                    before.requests + len(batch.requests), before.samples + batch.samples, before.calls + 1
                )
            self._taken -= 1
            ring, self._wants_engine = self._wants_engine, False
        if ring:
            self._bell.put(None)


class _Batch:
    """Requests that are computed together, and then their `result` or the `problem` that there was instead."""

    __slots__ = ("problem", "requests", "result", "samples")

    def __init__(self, requests: Sequence[Promise]) -> None:
        self.requests = [request for request in requests if request.take()]
        self.samples = sum(request.draws.count for request in self.requests)
        self.result: Array | None = None
        self.problem: BaseException | None = None

    def compute(self, run: Run) -> None:
        """Draws the latents of all requests, and makes the one engine call; none when all were cancelled."""
        if not self.requests:
            return
        try:
            self.result = run(together([request.draws for request in self.requests]), self.samples)
        except BaseException as problem:  # noqa: BLE001  it belongs to these requests, and to no other
            self.problem = problem

    def hand_out(self) -> None:
        """Answers each request with its rows, or with an error of its own."""
        at, rows = 0, self.result
        for request in self.requests:
            if rows is not None:
                end = at + request.draws.count
                request.answer(rows[at:end])
                at = end
            elif self.problem is not None:
                request.fail(_own(self.problem))


def _own(problem: BaseException) -> BaseException:
    """A copy for one request: threads that raise the same exception would write into each other's tracebacks."""
    own = copy.copy(problem)
    own.__cause__, own.__traceback__ = problem.__cause__, problem.__traceback__
    return own
