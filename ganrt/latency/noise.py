"""The state of the machine while something is timed, measured, not assumed.

The reference kernel is timed again and again beside the calls. From the system come what other programs and other
guests of the host took, clocks, throttling. What cannot be read here is None, and not warned about.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from statistics import median
from typing import TypeVar

import msgspec
import numpy as np

from .reference import Reference

__all__ = ["Noise", "Watch", "doubts", "together"]

N = TypeVar("N", int, float)

_BUSY, _STOLEN, _MOVED, _SLOWED, _CLOCK = 0.10, 0.02, 0.05, 0.05, 0.05


class Noise(msgspec.Struct):
    """What the machine did meanwhile, and what of it makes the figures doubtful.

    `reference_ms`: the reference kernel before each block and at the end. `reference_spread`: the middle half of them
    over their median. `slowed`: its last third against its first, 0.05 is 5 % slower. `others`: cores that other
    programs kept busy, of `cores`. `steal`: share of the time that the host gave to other guests. `clock_mhz`: least
    and greatest. `load`: programs that wanted to run, over the last minute. `throttled_ms`: held back by the
    quota of the container; `throttles`: by heat. `preempted`: how often another program took the core.
    """

    reference_ms: list[float]
    reference_spread: float
    slowed: float
    cores: int
    others: float | None = None
    steal: float | None = None
    clock_mhz: tuple[float, float] | None = None
    load: float | None = None
    throttled_ms: float | None = None
    throttles: int | None = None
    preempted: int | None = None
    siblings: bool | None = None
    warnings: list[str] = []


class _Counters(msgspec.Struct, frozen=True):
    """Counts since the machine started, in seconds where they are times."""

    wall: float
    own: float
    busy: float | None
    stolen: float | None
    throttled: float | None
    throttles: int | None
    preempted: int | None


class Watch:
    """Begin, `look` now and then, `end`: what happened between.

    `threads`: those of what is timed. `run`: tells its seconds, the reference kernel by default.
    """

    def __init__(self, threads: int = 1, run: Callable[[], float] | None = None) -> None:
        self._kernel = Reference(threads) if run is None else None
        self._run: Callable[[], float] = run or self._kernel  # type: ignore[assignment]  # one of them is there
        self._reference: list[float] = []
        self._clocks: list[float] = []
        self._begun = _counters()

    @property
    def looked(self) -> bool:
        return bool(self._reference)

    def look(self) -> None:
        """A millisecond or two: the reference kernel, the clock."""
        self._reference.append(self._run() * 1000)
        self._clocks.extend(_clocks())

    def end(self, *, alone: bool = True) -> Noise:
        """Everything since the beginning; at least one `look` lies between. Not `alone`: what others did is meant."""
        if self._kernel is not None:
            self._kernel.close()
        begun, ended = self._begun, _counters()
        wall, cores = max(ended.wall - begun.wall, 1e-9), _cores()
        others = _change(begun.busy, ended.busy)
        stolen = _change(begun.stolen, ended.stolen)
        throttled = _change(begun.throttled, ended.throttled)
        noise = Noise(
            reference_ms=[round(value, 6) for value in self._reference],
            reference_spread=_spread(self._reference),
            slowed=_slowed(self._reference),
            cores=len(cores),
            others=max(0.0, others - (ended.own - begun.own)) / wall if others is not None and alone else None,
            steal=None if stolen is None else stolen / (wall * len(cores)),
            clock_mhz=(min(self._clocks), max(self._clocks)) if self._clocks else None,
            load=os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
            throttled_ms=None if throttled is None else throttled * 1000,
            throttles=None if None in (begun.throttles, ended.throttles) else ended.throttles - begun.throttles,  # type: ignore[operator]
            preempted=None if None in (begun.preempted, ended.preempted) else ended.preempted - begun.preempted,  # type: ignore[operator]
            siblings=_siblings(cores),
        )
        noise.warnings = list(_warnings(noise))
        return noise


def together(parts: Sequence[Noise]) -> Noise:
    """What the machine did during several processes, one after the other, of about the same length."""
    reference = [time for part in parts for time in part.reference_ms]
    clocks = [clock for part in parts for clock in part.clock_mhz or ()]
    noise = Noise(
        reference_ms=reference,
        reference_spread=_spread(reference),
        slowed=_slowed(reference),
        cores=parts[0].cores,
        others=_mean([part.others for part in parts]),
        steal=_mean([part.steal for part in parts]),
        clock_mhz=(min(clocks), max(clocks)) if clocks else None,
        load=parts[-1].load,
        throttled_ms=_sum([part.throttled_ms for part in parts]),
        throttles=_sum([part.throttles for part in parts]),
        preempted=_sum([part.preempted for part in parts]),
        siblings=parts[0].siblings,
    )
    noise.warnings = list(_warnings(noise))
    return noise


def doubts(rows: Sequence[Noise | None]) -> Iterable[str]:
    """Each kind of warning once, in the words of the first row that has it, with the number of rows that do."""
    kinds: dict[str, list[str]] = {}
    for noise in rows:
        for said in noise.warnings if noise else []:
            kinds.setdefault(re.sub(r"[\d.,]+", "#", said), []).append(said)
    for found in kinds.values():
        yield found[0] + (f" ({len(found)} of {len(rows)} rows)" if len(rows) > 1 else "")


def _spread(times: Sequence[float]) -> float:
    quarter, middle, three = np.percentile(times, (25, 50, 75))
    return float((three - quarter) / middle)


def _slowed(times: Sequence[float]) -> float:
    third = max(1, len(times) // 3)
    return median(times[-third:]) / median(times[:third]) - 1


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _sum(values: Sequence[N | None]) -> N | None:
    known = [value for value in values if value is not None]
    return sum(known[1:], known[0]) if known else None


def _warnings(noise: Noise) -> Iterable[str]:
    if noise.others is not None and noise.others > _BUSY:
        yield f"Other programs kept {noise.others:.1f} of {noise.cores} cores busy; stop them, or expect slower calls."
    if noise.steal is not None and noise.steal > _STOLEN:
        yield f"The host gave {noise.steal:.1%} of the time to other guests; this machine is shared."
    if noise.reference_spread > _MOVED:
        yield f"The same arithmetic took times {noise.reference_spread:.0%} apart; the processor's speed is not steady."
    if noise.slowed > _SLOWED:
        yield f"The processor was {noise.slowed:.0%} slower at the end than at first; it throttles, or others came."
    low, high = noise.clock_mhz or (0.0, 0.0)
    if low < high * (1 - _CLOCK):
        yield f"The clock moved between {low:.0f} and {high:.0f} MHz."
    if noise.throttled_ms:
        yield f"The container's CPU quota held this program back for {noise.throttled_ms:.0f} ms."
    if noise.throttles:
        yield f"The processor throttled for heat, {noise.throttles} times."


def _counters() -> _Counters:
    return _Counters(
        wall=time.perf_counter(),
        own=_own(),
        busy=_ticks((0, 1, 2, 5, 6)),
        stolen=_ticks((7,)),
        throttled=_throttled(),
        throttles=_throttles(),
        preempted=_preempted(),
    )


def _own() -> float:
    """Seconds of processor time of this process and its children, those that live (an engine's own process) too."""
    stats = (_read(str(path)).rpartition(")")[2].split() for path in Path("/proc").glob("[0-9]*/stat"))
    ticks = sum(
        int(ticks) for state, parent, *rest in filter(None, stats) if int(parent) == os.getpid() for ticks in rest[9:13]
    )
    return sum(os.times()[:4]) + (ticks / os.sysconf("SC_CLK_TCK") if ticks else 0.0)


def _change(before: float | None, after: float | None) -> float | None:
    return None if before is None or after is None else after - before


def _cores() -> Sequence[int]:
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)


def _ticks(columns: Sequence[int]) -> float | None:
    """Seconds of these columns of /proc/stat (user, nice, system, idle, iowait, irq, softirq, steal), on our cores."""
    text = _read("/proc/stat")
    lines = {line.split()[0]: line.split()[1:] for line in text.splitlines() if re.match(r"cpu\d", line)}
    mine = [lines[f"cpu{core}"] for core in _cores() if f"cpu{core}" in lines]
    if not mine or any(len(line) <= max(columns) for line in mine):
        return None
    return float(sum(int(line[column]) for line in mine for column in columns) / os.sysconf("SC_CLK_TCK"))


def _clocks() -> list[float]:
    """MHz of each of our cores, where the system tells."""
    paths = [f"/sys/devices/system/cpu/cpu{core}/cpufreq/scaling_cur_freq" for core in _cores()]
    return [int(text) / 1000 for text in map(_read, paths) if text.strip().isdigit()]


def _throttled() -> float | None:
    found = re.search(r"throttled_usec (\d+)", _read("/sys/fs/cgroup/cpu.stat"))
    return int(found[1]) / 1e6 if found else None


def _throttles() -> int | None:
    paths = [f"/sys/devices/system/cpu/cpu{core}/thermal_throttle/core_throttle_count" for core in _cores()]
    counts = [int(text) for text in map(_read, paths) if text.strip().isdigit()]
    return sum(counts) if counts else None


def _preempted() -> int | None:
    try:
        import resource
    except ImportError:  # not on Windows
        return None
    return resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw


def _siblings(cores: Sequence[int]) -> bool | None:
    """Does any of our cores share its arithmetic with another logical one?"""
    lists = [_read(f"/sys/devices/system/cpu/cpu{core}/topology/thread_siblings_list").strip() for core in cores]
    return any(re.search(r"[,-]", text) for text in lists) if any(lists) else None


def _read(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""
