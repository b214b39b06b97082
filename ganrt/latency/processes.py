"""Several processes of one row as one: all their calls together, who made which, and whether they are enough.

Calls of one process are more alike than those of two, so an interval over all calls says how well these processes are
known, not what the next one would find (Kalibera and Jones 2013, doi:10.1145/2464157.2464160). A row may end early only
when both are known: the asked percentile over all calls, and over processes, each a single sample, the medians of the
percentile and of the median. Order statistics bound such a median whatever its distribution is; with six to eight
processes they are the least and the greatest, so one disturbed process keeps the row going, and asking again after
another process cannot turn disagreement into agreement.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import median
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from .bench import settled, summarize
from .noise import together as noise_of
from .percentiles import interval
from .results import Checks, Memory, Timing, WarmUp

__all__ = ["LEAST", "Part", "enough", "join", "parts"]

LEAST = 6  # processes: the fewest that bound their median; two results are compared from 5 on
_CONFIDENCE = 0.95  # of that interval: that of a comparison


class Part(NamedTuple):
    """What one process measured: milliseconds of its calls, and of the reference kernel, block by block; there is a
    look at the machine before each block."""

    blocks: list[NDArray[np.float64]]
    reference: NDArray[np.float64]

    @property
    def calls(self) -> NDArray[np.float64]:
        return np.concatenate(self.blocks)


def parts(row: Timing) -> Iterator[Part]:
    """The row's processes, one by one."""
    samples, looks = np.asarray(row.samples_ms), np.asarray(row.noise.reference_ms if row.noise else [])
    call = block = look = 0
    for one in row.processes:
        ends = np.cumsum(row.blocks[block : block + one.blocks])[:-1].tolist()
        yield Part(np.split(samples[call : call + one.calls], ends), looks[look : look + one.looks])
        call, block, look = call + one.calls, block + one.blocks, look + one.looks


def enough(found: Sequence[Timing]) -> bool:
    """Is the asked percentile known within 2 %, and would another process leave it, and the median, where they are?"""
    if len(found) < LEAST or any(one.state != "ok" for one in found):
        return False
    asked, calls = found[0].asked_percentile, [one.samples_ms for one in found]
    levels = (np.percentile(np.asarray(part), (50.0, asked)) for part in calls)
    agreed = all(settled(interval(each, 50.0, _CONFIDENCE)) for each in zip(*levels, strict=True))
    return agreed and settled(interval([ms for part in calls for ms in part], asked))


def join(found: Sequence[Timing], asked: int, *, early: bool = False) -> Timing:
    """One row of what each of `asked` processes found, at least one of them, in their order.

    A process that failed fails the row; one that was interrupted, or never came, makes it a part of what was asked for,
    unless it ended `early`: they were enough.
    """
    first = found[0]
    row = Timing(first.batch, first.asked, "ok", first.ran, first.scenario, asked_percentile=first.asked_percentile)
    row.first_load_ms = first.first_load_ms
    loads = [one.load_ms for part in found[1:] for one in part.processes if one.load_ms is not None]
    row.load_ms = median(loads) if loads else first.load_ms
    row.checks, row.memory = _checks(found), _memory(found)
    row.noise = noise_of([one.noise for one in found if one.noise]) if any(one.noise for one in found) else None
    failed = next((at for at, one in enumerate(found) if one.state == "failed"), None)
    if failed is not None:
        where = f" (process {failed + 1} of {asked})" if asked > 1 else ""
        row.state, row.fault = "failed", f"{found[failed].fault}{where}"
        return row
    timed = [one for one in found if one.samples_ms]
    complete = len(timed) == (len(found) if early else asked) and all(one.state == "ok" for one in timed)
    row.state = "ok" if complete else "interrupted"
    row.stopped = "interrupted" if not complete else "enough" if early else timed[-1].stopped
    if not timed:
        return row
    row.noise = noise_of([one.noise for one in timed if one.noise])
    row.samples_ms = [one for part in timed for one in part.samples_ms]
    row.blocks = [one for part in timed for one in part.blocks]
    row.processes = [one for part in timed for one in part.processes]
    row.first_call_ms = median([one.first_call_ms for one in row.processes if one.first_call_ms is not None])
    row.warm_up = _warm_up([one.warm_up for one in timed if one.warm_up])
    other = next((one.ran for one in timed if one.ran != first.ran), None)
    if other is not None and row.checks is not None:
        row.checks = msgspec.structs.replace(row.checks, note="not every process ran it in the same way")
    summarize(row)
    return row


def _warm_up(found: Sequence[WarmUp]) -> WarmUp:
    samples = [one for part in found for one in part.samples_ms]
    return WarmUp(len(samples), sum(part.seconds for part in found), all(part.steady for part in found), samples)


def _checks(found: Sequence[Timing]) -> Checks | None:
    known = [one.checks for one in found if one.checks]
    if not known:
        return None
    figures = [one.psnr_db for one in known if one.psnr_db is not None]
    note = "" if figures else next((one.note for one in known if one.note), "")
    rows, repeated = sum(one.rows for one in known), sum(one.repeated for one in known)
    return Checks(rows, repeated, min(figures, default=None), note)


def _memory(found: Sequence[Timing]) -> Memory | None:
    known = [one.memory for one in found if one.memory]
    if not known:
        return None
    before = [one.before_load for one in known if one.before_load is not None]
    after, peak = median(one.after for one in known), max(one.peak for one in known)
    return Memory(median(before) if before else None, round(after, 1), peak)
