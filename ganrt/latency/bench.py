"""One row of a benchmark: a call is timed, its outputs are judged, the machine is watched meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..backends.acceptance import Figures, References
from ..errors import ArgumentError, BackendError, FidelityError
from .measure import Measured, Plan, measure
from .memory import Peak, resident
from .noise import Watch
from .outputs import Distinct
from .percentiles import PERCENTILES, Percentile, bound, interval, needed
from .results import Asked, Checks, EngineCall, Memory, Outliers, Timing, WarmUp

__all__ = ["WITHIN", "check_settings", "fresh_signals", "time_row"]

G = TypeVar("G")

WITHIN = 0.02  # half of an interval over the percentile in it: known well enough
_FAR = 3.0  # middle halves above the third quartile: an outlier (Tukey 1977, "far out")
_SHOWN = 10


def check_settings(batch: int, seconds: float, percentile: float) -> None:
    """Raises ArgumentError for what cannot be measured."""
    whole = isinstance(batch, (int, np.integer)) and not isinstance(batch, bool)
    if not whole or not 1 <= batch <= 1 << 20:
        raise ArgumentError(f"batch is {batch!r}; give a whole number from 1 to {1 << 20:,}.")
    if not 0 < seconds <= 86400:
        raise ArgumentError(f"seconds is {seconds!r}; give a number above 0, at most 86,400.")
    if not 1 <= percentile <= 99.99:
        raise ArgumentError(f"percentile is {percentile!r}; give a number from 1 to 99.99.")


def time_row(
    call: Callable[[G], NDArray[Any]],
    prepare: Callable[[int], G],
    *,
    batch: int,
    asked: Asked,
    ran: list[EngineCall],
    judge: Callable[[], Figures | None],
    seconds: float,
    percentile: float = 99.0,
    distinct: bool = True,
) -> Timing:
    """Times `call(prepare(i))` for i = 0, 1, ...; only the call counts.

    `judge` holds the engine to the bundle's references after the timing, and raises FidelityError when it fails. A
    failure is a row of the state "failed", without figures; so is an engine that breaks down.
    """
    watch, peak, seen = Watch(), Peak(), Distinct()
    row = Timing(batch, asked, "ok", ran, asked_percentile=percentile)

    def enough(samples: Sequence[float]) -> bool:
        return _settled(interval(samples, percentile)) and len(samples) >= needed(percentile)

    def between() -> None:
        watch.look()
        peak.look()

    figures, fault = None, ""
    found = Measured()
    try:
        check = seen.look if distinct else _ignore
        found = measure(call, Plan(seconds, enough), prepare=prepare, check=check, between=between)
        seen.demand()
        if found.stopped != "interrupted":
            figures = judge()
    except (BackendError, FidelityError) as problem:
        fault = str(problem)
    except KeyboardInterrupt:  # while the outputs were judged: every call had been timed by then
        found.stopped = "interrupted"
    row.stopped = found.stopped
    row.memory = Memory(None, resident(), peak.end())
    note = "" if figures or fault else "not held to references: the bundle has none"
    note = "interrupted before the references were tried" if found.stopped == "interrupted" else note
    row.checks = Checks(seen.rows, seen.repeated, figures.psnr_db if figures else None, note)
    if not watch.looked:
        between()
    row.noise = watch.end()
    if fault or not found.samples:
        row.state, row.fault = ("failed", fault) if fault else ("interrupted", "")
        return row
    row.state = "interrupted" if found.stopped == "interrupted" else "ok"
    _fill(row, found)
    return row


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


def _fill(row: Timing, found: Measured) -> None:
    """The figures of what was measured."""
    samples = np.asarray(found.samples) * 1000
    row.percentiles = [Percentile(one, _rounded(bound(samples, one)), needed(one)) for one in _percents(row)]
    span = interval(samples.tolist(), row.asked_percentile)
    row.interval_ms = (round(span[0], 6), round(span[1], 6)) if span else None
    row.settled = _settled(span)
    row.samples_a_second = row.batch * len(samples) / float(samples.sum()) * 1000
    row.jitter_ms = float(np.abs(np.diff(samples)).mean()) if len(samples) > 1 else None
    row.first_call_ms = _rounded(found.first_call * 1000 if found.first_call is not None else None)
    warm_up = [round(value * 1000, 6) for value in found.warm_up]
    row.warm_up = WarmUp(len(warm_up), sum(found.warm_up), found.steady, warm_up)
    row.outliers = _outliers(samples)
    row.samples_ms, row.blocks = [round(value, 6) for value in samples.tolist()], found.blocks


def _percents(row: Timing) -> list[float]:
    return sorted({*PERCENTILES, row.asked_percentile})


def _settled(span: tuple[float, float] | None) -> bool:
    return span is not None and span[1] - span[0] <= WITHIN * (span[0] + span[1])


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
