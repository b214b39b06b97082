"""Times any callable: warms it up until it is steady, then calls it until enough is known or the time is up.

Calls are timed one by one and kept in order, in blocks: about forty stretches of the whole time. Between two blocks
the clock stands still, and whoever measures may look at the machine, or wait for a turn (`between`). Short calls meet
cold caches and sleeping threads after such a pause, so one call follows each pause untimed; every other call counts,
none is dropped.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from statistics import median
from typing import Generic, TypeVar

import msgspec

__all__ = ["BLOCKS", "Measured", "Plan", "measure"]

G = TypeVar("G")
T = TypeVar("T")

BLOCKS = 40
_LEAST_BLOCKS = 20  # before it may end early: what drifts must have had the time to
_LEAST_CALLS = 3
_NEARLY = 1 - 1e-9  # sums of times are not exact
_WINDOWS, _STEADY = 4, 0.05  # as many windows in a row, whose medians lie within 5 %
_SHORT = 0.25  # of a block: a call so short is untimed after a pause


class Plan(msgspec.Struct, frozen=True):
    """`seconds`: of timed calls at most; `warm_up`: of calls before, at most, as long by default; `block`: of the calls
    between two pauses, a fortieth of them all by default.

    `enough`: told every time so far in seconds, block by block; True ends it.
    """

    seconds: float
    enough: Callable[[Sequence[float]], bool] = lambda _: False
    warm_up: float | None = None
    block: float | None = None


class Measured(msgspec.Struct):
    """Seconds of every call, in order. `stopped`: "enough", "time" or "interrupted"; `blocks`: calls in each."""

    warm_up: list[float] = []
    steady: bool = False
    first_call: float | None = None
    samples: list[float] = []
    blocks: list[int] = []
    stopped: str = "time"


class _Caller(Generic[G, T]):
    """`call(prepare(i))` for i = 0, 1, 2, ...: the call is timed; preparing, and looking at the result, is not."""

    def __init__(
        self,
        call: Callable[[G], T],
        prepare: Callable[[int], G],
        check: Callable[[T], object],
        clock: Callable[[], float],
    ) -> None:
        self._call, self._prepare, self._check, self._clock, self._at = call, prepare, check, clock, 0

    def __call__(self) -> float:
        given, self._at = self._prepare(self._at), self._at + 1
        started = self._clock()
        result = self._call(given)
        took = self._clock() - started
        self._check(result)
        return took


def measure(
    call: Callable[[G], T],
    plan: Plan,
    *,
    prepare: Callable[[int], G],
    check: Callable[[T], object] = lambda _: None,
    between: Callable[[], object] = lambda: None,
    clock: Callable[[], float] = time.perf_counter,
) -> Measured:
    """Times `call(prepare(0))`, `call(prepare(1))`, ...: never the same number twice.

    `check` sees every result; what it raises ends the measurement. `between` is called before each block and at the
    end. Ctrl-C ends it too: what was measured until then is returned, with `stopped` "interrupted".
    """
    found, one = Measured(), _Caller(call, prepare, check, clock)
    try:
        _warm_up(found, one, plan, clock)
        _time(found, one, plan, between, clock)
    except KeyboardInterrupt:
        found.stopped = "interrupted"
        found.blocks = [*found.blocks, len(found.samples) - sum(found.blocks)]  # the block that was going on
        found.blocks = [size for size in found.blocks if size]
    return found


def _warm_up(found: Measured, one: _Caller[G, T], plan: Plan, clock: Callable[[], float]) -> None:
    """Windows of calls, until the medians of four in a row agree, or it takes too long."""
    started, windows = clock(), list[float]()
    longest = plan.seconds if plan.warm_up is None else plan.warm_up
    while not found.steady:
        opened, window = clock(), list[float]()
        while not window or clock() - opened < longest / (2 * BLOCKS):
            window.append(one())
            found.warm_up.append(window[-1])
            if found.first_call is None:
                found.first_call = window.pop()  # of another kind than the rest
        windows.append(median(window))
        last = windows[-_WINDOWS:]
        found.steady = len(last) == _WINDOWS and max(last) <= min(last) * (1 + _STEADY)
        if clock() - started > longest:
            break


def _time(
    found: Measured, one: _Caller[G, T], plan: Plan, between: Callable[[], object], clock: Callable[[], float]
) -> None:
    spent, length = 0.0, plan.block or plan.seconds / BLOCKS
    short = median(found.warm_up[-_WINDOWS:]) < _SHORT * length
    while True:
        between()
        if short:
            one()
        opened, before = clock(), len(found.samples)
        while True:
            found.samples.append(one())
            if clock() - opened >= length:
                break
        spent += clock() - opened
        found.blocks.append(len(found.samples) - before)
        if len(found.blocks) >= _LEAST_BLOCKS and plan.enough(found.samples):
            found.stopped = "enough"
            break
        if spent >= plan.seconds * _NEARLY and len(found.samples) >= _LEAST_CALLS:
            break
    between()
