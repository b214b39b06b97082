"""The reference kernel: fixed work of the kinds that a generator is made of, timed beside its calls.

When it takes longer, so does everything, because a clock fell or a neighbour of a shared host woke up; a latency over
the kernel's time is the same on either day. Of many kinds of work that were tried, those that follow a generator's
latency best are matrix products in cache, as they come and once warm, on one core and on several at once, and a pass
over more memory than the core's own cache holds (benchmarks/repeatability). Each product is small enough that no BLAS
takes threads for it, so the kernel leaves the engine's cores alone while the engine runs.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from queue import SimpleQueue

import numpy as np
from numpy.typing import NDArray

__all__ = ["Reference"]

_SIDE, _PRODUCTS = 64, 40  # of matrices; OpenBLAS takes threads only beyond 64 x 64 x 64
_PASSED, _PASSES = 2 << 20, 2  # numbers, 8 MiB
_MOST_THREADS = 4


class Reference:
    """Call it: two or three milliseconds, and the geometric mean of the parts in seconds. `close` ends its threads."""

    def __init__(self, threads: int = 1) -> None:
        """`threads`: those of the engine; the part on several cores is left out when it is 1."""
        self._products, self._passes = _products(0), _passes()
        self._jobs = [SimpleQueue[bool]() for _ in range(1, min(threads, _MOST_THREADS))]
        self._done: SimpleQueue[float] = SimpleQueue()
        for number, jobs in enumerate(self._jobs, 1):
            threading.Thread(target=_work, args=(_products(number), jobs, self._done), daemon=True).start()
        for _ in range(3):  # its first calls are of another kind
            self()

    def __call__(self) -> float:
        parts = [_timed(self._products), _timed(self._products), _timed(self._passes)]
        if self._jobs:
            parts.append(self._together())
        return math.exp(sum(map(math.log, parts)) / len(parts))

    def close(self) -> None:
        for jobs in self._jobs:
            jobs.put(False)
        self._jobs.clear()

    def _together(self) -> float:
        """The products on every thread at once; waking them up, and their first products, are not counted."""
        for jobs in self._jobs:
            jobs.put(True)
        own = _warm(self._products)
        return (own + sum(self._done.get() for _ in self._jobs)) / (1 + len(self._jobs))


def _work(run: Callable[[], object], jobs: SimpleQueue[bool], done: SimpleQueue[float]) -> None:
    while jobs.get():
        done.put(_warm(run))


def _warm(run: Callable[[], object]) -> float:
    run()
    return _timed(run)


def _timed(run: Callable[[], object]) -> float:
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def _products(seed: int) -> Callable[[], NDArray[np.float32]]:
    a, b = (_numbers(seed + part, _PRODUCTS, _SIDE, _SIDE) for part in (0, 1))
    c = np.empty_like(a)
    return lambda: np.matmul(a, b, out=c)


def _passes() -> Callable[[], object]:
    numbers = np.ones(_PASSED, np.float32)
    return lambda: [np.add.reduce(numbers) for _ in range(_PASSES)]


def _numbers(seed: int, *shape: int) -> NDArray[np.float32]:
    return np.random.Generator(np.random.Philox(key=seed)).uniform(-1, 1, shape).astype(np.float32)
