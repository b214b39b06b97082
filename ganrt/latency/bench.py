"""A row of a benchmark in one process: a call is timed, its outputs are judged, the machine is watched meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..backends.acceptance import Figures, References
from ..errors import ArgumentError, BackendError, FidelityError
from .measure import Measured, Plan, measure
from .memory import Peak, resident
from .noise import Watch
from .outputs import Distinct
from .percentiles import PERCENTILES, Percentile, bound, interval, needed
from .results import Asked, Checks, EngineCall, Memory, Outliers, Process, Timing, WarmUp

__all__ = ["WITHIN", "Course", "check_settings", "fresh_signals", "settled", "summarize", "time_row"]

G = TypeVar("G")

WITHIN = 0.02  # half of an interval over the percentile in it: known well enough
_FAR = 3.0  # middle halves above the third quartile: an outlier (Tukey 1977, "far out")
_SHOWN = 10


class Course(NamedTuple):
    """How one process times a row.

    `seconds`: of calls at most; `until_known`: fewer, once `percentile` is known within 2 %. `warm_up`, `block`: as
    `Plan` has them. `judged`: the engine is held to the bundle's references afterwards. `turn`: is called before each
    block, and may wait; `paired`: others run meanwhile, so the machine is looked at once, at the end.
    """

    seconds: float = 5.0
    percentile: float = 99.0
    until_known: bool = True
    warm_up: float | None = None
    block: float | None = None
    judged: bool = True
    paired: bool = False
    turn: Callable[[], None] = lambda: None


def check_settings(batch: int, seconds: float, percentile: float, processes: int = 1) -> None:
    """Raises ArgumentError for what cannot be measured."""
    whole = isinstance(batch, (int, np.integer)) and not isinstance(batch, bool)
    if not whole or not 1 <= batch <= 1 << 20:
        raise ArgumentError(f"batch is {batch!r}; give a whole number from 1 to {1 << 20:,}.")
    if not 0 < seconds <= 86400:
        raise ArgumentError(f"seconds is {seconds!r}; give a number above 0, at most 86,400.")
    if not 1 <= percentile <= 99.99:
        raise ArgumentError(f"percentile is {percentile!r}; give a number from 1 to 99.99.")
    if not 1 <= processes <= 100:
        raise ArgumentError(f"processes is {processes!r}; give a whole number from 1 to 100.")


def time_row(
    call: Callable[[G], NDArray[Any]],
    prepare: Callable[[int], G],
    *,
    batch: int,
    asked: Asked,
    ran: list[EngineCall],
    judge: Callable[[], Figures | None],
    course: Course,
    distinct: bool = True,
) -> Timing:
    """Times `call(prepare(i))` for i = 0, 1, ... in this process; only the call counts.

    `judge` holds the engine to the bundle's references after the timing, and raises FidelityError when it fails. A
    failure is a row of the state "failed", without figures; so is an engine that breaks down.
    """
    before = resident()
    watch = Watch(max((one.threads for one in ran), default=1))
    ours = resident() - before  # the reference kernel's
    peak, seen = Peak(), Distinct()
    row = Timing(batch, asked, "ok", ran, asked_percentile=course.percentile)

    def enough(samples: Sequence[float]) -> bool:
        known = course.until_known and len(samples) >= needed(course.percentile)
        return known and settled(interval(samples, course.percentile))

    def between() -> None:
        course.turn()
        if not course.paired:
            watch.look()
        peak.look()

    figures, fault = None, ""
    found = Measured()
    try:
        plan = Plan(course.seconds, enough, course.warm_up, course.block)
        check = seen.look if distinct else _ignore
        found = measure(call, plan, prepare=prepare, check=check, between=between)
        seen.demand()
        if found.stopped != "interrupted" and course.judged:
            figures = judge()
    except (BackendError, FidelityError) as problem:
        fault = str(problem)
    except KeyboardInterrupt:  # while the outputs were judged: every call had been timed by then
        found.stopped = "interrupted"
    row.stopped = found.stopped
    row.memory = Memory(None, round(resident() - ours, 1), round(peak.end() - ours, 1))
    note = "" if figures or fault or not course.judged else "not held to references: the bundle has none"
    note = "interrupted before the references were tried" if found.stopped == "interrupted" else note
    row.checks = Checks(seen.rows, seen.repeated, figures.psnr_db if figures else None, note)
    if not watch.looked:
        watch.look()
    row.noise = watch.end(alone=not course.paired)
    if fault or not found.samples:
        row.state, row.fault = ("failed", fault) if fault else ("interrupted", "")
        return row
    row.state = "interrupted" if found.stopped == "interrupted" else "ok"
    row.first_call_ms = None if found.first_call is None else _rounded(found.first_call * 1000)
    warm_up = [round(value * 1000, 6) for value in found.warm_up]
    row.warm_up = WarmUp(len(warm_up), sum(found.warm_up), found.steady, warm_up)
    row.samples_ms, row.blocks = [round(value * 1000, 6) for value in found.samples], found.blocks
    looks = len(row.noise.reference_ms)
    row.processes = [Process(len(row.samples_ms), len(row.blocks), looks, first_call_ms=row.first_call_ms)]
    summarize(row)
    return row


def summarize(row: Timing) -> None:
    """Fills in the figures that its `samples_ms` give."""
    samples = np.asarray(row.samples_ms)
    percents = sorted({*PERCENTILES, row.asked_percentile})
    row.percentiles = [Percentile(one, _rounded(bound(samples, one)), needed(one)) for one in percents]
    span = interval(row.samples_ms, row.asked_percentile)
    row.interval_ms = (round(span[0], 6), round(span[1], 6)) if span else None
    row.settled = settled(span)
    row.samples_a_second = row.batch * len(samples) / float(samples.sum()) * 1000
    row.jitter_ms = _jitter(samples, row.processes)
    row.outliers = _outliers(samples)


def settled(span: tuple[float, float] | None) -> bool:
    """Is what lies between these two bounds known within 2 %?"""
    return span is not None and span[1] - span[0] <= WITHIN * (span[0] + span[1])


def fresh_signals(references: References, batch: int, seed: int) -> Callable[[int], dict[str, NDArray[Any]]]:
    """Inputs for a generator of pictures or sounds: the bundle's reference inputs, turned and with a little noise.

    Raises ArgumentError where the bundle has no reference inputs.
    """
    if not references.available:
        raise ArgumentError("This generator takes a signal, and its bundle holds no reference inputs to time it with.")
    given = references.feeds(batch)

    def feeds(at: int) -> dict[str, NDArray[Any]]:
        random = np.random.Generator(np.random.Philox(key=seed, counter=[0, 0, 0, at]))
        return {
            name: (array + random.uniform(-0.02, 0.02, array.shape)).astype(array.dtype)
            if array.dtype.kind == "f"
            else array
            for name, array in given.items()
        }

    return feeds


def _jitter(samples: NDArray[np.float64], processes: Sequence[Process]) -> float | None:
    """The mean difference between a call and the next of the same process."""
    ends = np.cumsum([one.calls for one in processes])[:-1].tolist()
    steps = np.concatenate([np.abs(np.diff(part)) for part in np.split(samples, ends)])
    return float(steps.mean()) if len(steps) else None


def _outliers(samples: NDArray[np.float64]) -> Outliers:
    low, high = np.percentile(samples, (25, 75))
    above = float(high + _FAR * (high - low))
    found = np.flatnonzero(samples > above)
    slowest = sorted(found.tolist(), key=lambda at: -samples[at])[:_SHOWN]
    return Outliers(above, len(found), [(at, round(float(samples[at]), 6)) for at in slowest])


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 6)


def _ignore(_: object) -> None:
    pass
