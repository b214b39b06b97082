"""Several processes of one row as one: all their calls together, and who made which."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import median
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from .bench import summarize
from .noise import together as noise_of
from .results import Checks, Memory, Timing, WarmUp

__all__ = ["Part", "join", "parts"]


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


def join(found: Sequence[Timing], asked: int) -> Timing:
    """One row of what each of `asked` processes found, at least one of them, in their order.

    A process that failed fails the row; one that was interrupted, or never came, makes it a part of what was asked for.
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
    row.state = "ok" if len(timed) == asked and all(one.state == "ok" for one in timed) else "interrupted"
    row.stopped = timed[-1].stopped if row.state == "ok" else "interrupted"
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
