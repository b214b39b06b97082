"""Answers requests of many threads in common engine calls."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ..errors import ArgumentError
from ..latents import Choice, Draws
from ..spec import Spec
from .line import Line, Run, Served
from .promise import Promise

__all__ = ["BatchServer", "Run", "Served"]

_WORKERS = 2  # calls in the engine at most, so that it always has the next when one ends
_LARGEST, _LONGEST_S, _MOST = 1 << 16, 60.0, 1 << 24


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
        self._line = Line(run, self._max_batch, float(max_delay), int(max_queue))
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
        request = Promise(self._checked(n, seed, start, label, code, truncation))
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
        """`submit`, and waits for the result."""
        request = self.submit(n, seed=seed, start=start, label=label, code=code, truncation=truncation)
        try:
            return request.result()
        except BaseException:
            request.cancel()  # after Ctrl-C nobody waits any more
            raise

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


def _end(line: Line, workers: Sequence[threading.Thread], drain: bool) -> None:
    line.close(drain)
    if threading.current_thread() not in workers:  # a callback may close the server that called it
        for worker in workers:
            worker.join()


def _whole(name: str, value: object, most: int) -> int:
    whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    if not whole or not 1 <= value <= most:  # type: ignore[operator]
        raise ArgumentError(f"{name} is {value!r}; give a whole number from 1 to {most:,}.")
    return int(value)  # type: ignore[call-overload,no-any-return]
