"""What `ganrt bench --json` writes: these structs, field by field, are the schema.

A file begins with `"schema": "ganrt.bench", "version": 2`. A reader meets unknown fields of the same version without
complaint, and refuses another schema or a higher version. Version 1 knew no processes; its rows are read as rows of
one. Times are milliseconds unless the name says otherwise, memory is MiB. `json_schema()` gives the same as a JSON
Schema.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from ..environment import ENGINE_PACKAGES, Environment
from ..errors import ArgumentError
from .noise import Noise
from .percentiles import Percentile
from .profile import Profile
from .roofline import Roof

__all__ = [
    "SCHEMA",
    "VERSION",
    "Asked",
    "Checks",
    "EngineCall",
    "Memory",
    "Outliers",
    "Process",
    "Report",
    "Settings",
    "Timing",
    "WarmUp",
    "in_words",
    "json_schema",
    "read",
    "versions",
]

SCHEMA, VERSION = "ganrt.bench", 2
_MOST_SHOWN = 2**30  # bytes; no benchmark writes as much


class Asked(msgspec.Struct, frozen=True):
    """What the user asked for; `threads` None is all usable cores."""

    backend: str = "auto"
    precision: str = "auto"
    form: str = "auto"
    threads: int | None = None


class EngineCall(msgspec.Struct, frozen=True):
    """What really ran, as the engine reports it: `count` calls of `size` samples each make one timed call.

    `threads`: cores that such a call has. `streams`: parts of its samples that are computed side by side, each on its
    share of the threads. `fell_back`: what was asked and not given.
    """

    size: int
    count: int
    backend: str
    engine: str
    device: str
    precision: str
    form: str
    threads: int
    fell_back: tuple[str, ...] = ()
    streams: int = 1

    @property
    def how(self) -> str:
        """ "fp32 plain, 2 threads in 2 streams" """
        streams = f" in {self.streams} streams" if self.streams > 1 else ""
        return f"{self.precision} {self.form}, {self.threads} thread{'s' if self.threads > 1 else ''}{streams}"


def in_words(ran: Sequence[EngineCall], *, versions: bool = False) -> str:
    """ "openvino fp32 plain, 2 threads"; of several engine calls each with its size. `versions`: "OpenVINO 2026.4"."""
    named = [(call, f"{call.engine if versions else call.backend} {call.how}") for call in ran]
    if [call.count for call in ran] == [1]:
        return named[0][1]
    return " + ".join(f"{call.count} x {call.size} {name}" for call, name in named)


class WarmUp(msgspec.Struct, frozen=True):
    """Calls before the timing. `steady`: the medians of four windows in a row came within 5 % of each other."""

    calls: int
    seconds: float
    steady: bool
    samples_ms: list[float]


class Memory(msgspec.Struct, frozen=True):
    """Resident memory of the whole process in MiB: before the load (None where the load was not watched), after the
    timing, and the greatest meanwhile. 0 where the system does not tell."""

    before_load: float | None
    after: float
    peak: float


class Outliers(msgspec.Struct, frozen=True):
    """Calls slower than the third quartile by more than three times the middle half: counted, shown, kept.

    `largest`: up to ten of them, the slowest first, each with its number in `samples_ms`.
    """

    above_ms: float
    count: int
    largest: list[tuple[int, float]]


class Checks(msgspec.Struct, frozen=True):
    """What the outputs were held to. `rows`: outputs compared with each other, `repeated` of them not new.

    `psnr_db`: the worst of the bundle's reference samples after the timing; None where the bundle has none.
    """

    rows: int
    repeated: int
    psnr_db: float | None
    note: str = ""


class Process(msgspec.Struct, frozen=True):
    """One of the processes of a row: `calls` of its `samples_ms` in `blocks` of its blocks, and `looks` of its noise's
    `reference_ms`. `load_ms`: opening the bundle, the engine's import included; None where it was not watched."""

    calls: int
    blocks: int
    looks: int
    load_ms: float | None = None
    first_call_ms: float | None = None


class Timing(msgspec.Struct):
    """One row: one batch size in one way, timed in several processes, one after the other.

    `scenario`: how calls arrive; "single_stream" is one after the other. `state`: "ok"; "failed", and then `fault` says
    why and there are no figures; "interrupted", a part of what was asked for. `percentiles`: upper bounds at 99 %
    confidence. `asked_percentile` lies in `interval_ms` with 99 % confidence, within 2 % when `settled`.
    `samples_a_second`: while calls were running. `jitter_ms`: mean difference between a call and the next.
    `first_load_ms`: opening the bundle, with what this machine had still to find out about it, and the engine's
    import; `load_ms`: opening it again, and `first_call_ms`: medians of the processes. `stopped`: "enough", "time" or
    "interrupted". `samples_ms`: every timed call in order, none left out; `blocks`: how many fell into each stretch
    between two looks at the machine; `processes`: how they are shared out. `profile`: where the time goes, if it was
    asked for.
    """

    batch: int
    asked: Asked
    state: str
    ran: list[EngineCall] = []
    scenario: str = "single_stream"
    fault: str = ""
    percentiles: list[Percentile] = []
    asked_percentile: float = 99.0
    interval_ms: tuple[float, float] | None = None
    settled: bool = False
    samples_a_second: float | None = None
    jitter_ms: float | None = None
    first_load_ms: float | None = None
    load_ms: float | None = None
    first_call_ms: float | None = None
    warm_up: WarmUp | None = None
    stopped: str = ""
    memory: Memory | None = None
    outliers: Outliers | None = None
    checks: Checks | None = None
    noise: Noise | None = None
    samples_ms: list[float] = []
    blocks: list[int] = []
    processes: list[Process] = []
    profile: Profile | None = None

    def bound(self, percent: float) -> float | None:
        """The upper bound of this percentile; None where there are too few calls for one, or it was not asked for."""
        return next((one.ms for one in self.percentiles if one.percent == percent), None)

    def __str__(self) -> str:
        if self.state == "failed":
            return f"FAILED: {self.fault}"
        said = ", ".join([*map(str, self.percentiles), f"{self.samples_a_second or 0:.3g} samples/s"])
        return f"interrupted after {len(self.samples_ms)} calls: {said}" if self.state == "interrupted" else said


class Settings(msgspec.Struct, frozen=True):
    """`bundle`: digest of what was timed. `seconds`: of timed calls a row at most, of all its `processes` together.
    `within`: the half width at which a percentile is known well enough. `whole`: no row ended for that reason."""

    name: str
    bundle: str
    seconds: float
    percentile: float
    seed: int
    within: float = 0.02
    confidence: float = 0.99
    processes: int = 1
    whole: bool = True


class Report(msgspec.Struct):
    """A whole file. `created`: UTC, ISO 8601. `skipped`: what could not be timed, each with the reason. `roofs`: what
    the machine can do at best on each number of threads, if it was measured."""

    ganrt: str
    created: str
    environment: Environment
    settings: Settings
    rows: list[Timing]
    skipped: dict[str, str] = {}
    interrupted: bool = False
    roofs: list[Roof] = []
    schema: str = SCHEMA
    version: int = VERSION


class _Head(msgspec.Struct):
    schema: str
    version: int


def read(path: Path) -> Report:
    """A report that was written earlier. Raises ArgumentError, which says what the file is instead."""
    try:
        if path.stat().st_size > _MOST_SHOWN:
            raise ArgumentError(
                f"{path} is larger than any benchmark result; give a file that ganrt bench --json wrote."
            )
        data = path.read_bytes()
    except OSError as problem:
        raise ArgumentError(f"{path} cannot be read: {problem.strerror or problem}.") from problem
    try:
        head = msgspec.json.decode(data, type=_Head)
    except msgspec.DecodeError as problem:
        raise ArgumentError(f"{path} is no benchmark result; write one: ganrt bench NAME --json > {path}") from problem
    if head.schema != SCHEMA:
        raise ArgumentError(f"{path} holds '{head.schema[:80]}', not '{SCHEMA}'; give a file of ganrt bench --json.")
    if head.version > VERSION:
        raise ArgumentError(
            f"{path} is of version {head.version}, this ganrt reads up to {VERSION}; upgrade it: pip install -U ganrt"
        )
    try:
        report = msgspec.json.decode(data, type=Report)
    except msgspec.DecodeError as problem:
        raise ArgumentError(f"{path} says it is '{SCHEMA}' but is damaged: {problem}.") from problem
    for row in report.rows:
        if head.version == 1 and row.samples_ms:
            row.processes = [Process(len(row.samples_ms), len(row.blocks), len(_looks(row)))]
        if not _adds_up(row):
            raise ArgumentError(
                f"{path} says it is '{SCHEMA}' but is damaged: a row has lost calls, or never had them."
            )
    return report


def _adds_up(row: Timing) -> bool:
    """Do blocks and processes share out just what is there, and is all of it positive?"""
    parts = row.processes
    counts = [*row.blocks, *(count for one in parts for count in (one.calls, one.blocks, one.looks))]
    return (
        min([*row.samples_ms, *_looks(row), *counts], default=1) > 0
        and sum(one.calls for one in parts) == sum(row.blocks) == len(row.samples_ms)
        and sum(one.blocks for one in parts) == len(row.blocks)
        and sum(one.looks for one in parts) == (len(_looks(row)) if row.samples_ms else 0)
    )


def _looks(row: Timing) -> list[float]:
    return row.noise.reference_ms if row.noise else []


def json_schema() -> dict[str, Any]:
    """The schema of a report as JSON Schema."""
    return msgspec.json.schema(Report)


def versions(report: Report) -> list[str]:
    """numpy and what the engines that ran are installed as, each with its version: "onnxruntime 1.32.0"."""
    names = {
        name for row in report.rows for call in row.ran for name in ENGINE_PACKAGES.get(call.backend, (call.backend,))
    }
    return [
        f"{one.name} {one.version}"
        for one in report.environment.packages
        if one.version and one.name in {"numpy", *names}
    ]
