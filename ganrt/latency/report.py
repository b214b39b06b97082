"""A report for people: a table of figures, and below it what a reader must know before believing them."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from statistics import median
from typing import TYPE_CHECKING

from .compare import TWO_RESULTS, Comparison
from .percentiles import Percentile
from .results import EngineCall, Report, Timing

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["comparison_lines", "comparison_table", "lines", "quick_lines", "table"]


def table(report: Report) -> Table:
    """A row for each batch and way; times in milliseconds."""
    from rich.table import Table

    percents = sorted({one.percent for row in report.rows for one in row.percentiles})
    made = Table(
        title=f"{report.settings.name}: milliseconds a call; percentiles are upper bounds at 99 % confidence",
        title_justify="left",
        box=None,
    )
    made.add_column("batch", justify="right")
    made.add_column("ran", no_wrap=True)
    for percent in percents:
        made.add_column(f"p{percent:g}", justify="right", max_width=10)
    for name in ("samples/s", "jitter", "first call", "load", "MiB", "calls"):
        made.add_column(name, justify="right", overflow="fold")
    for row in report.rows:
        made.add_row(*_cells(row, percents))
    return made


def lines(report: Report) -> Iterator[str]:
    """What is below the table: state, outliers, warnings, machine, a line each."""
    for row in report.rows:
        yield from (f"batch {row.batch}, {_ran(row)}: {said}" for said in _remarks(row))
    yield from _skipped(report)
    yield from _warnings(report)
    if any(one.ms is None for row in report.rows for one in row.percentiles):
        yield "Not enough samples: too few calls for a bound at 99 % confidence; --seconds gives it more time."
    here = report.environment
    versions = ", ".join(
        f"{one.name} {one.version}" for one in here.packages if one.version and one.name in _names(report)
    )
    yield (
        f"ganrt {report.ganrt}, {versions}, Python {here.python}, {here.processor.cores} cores of {here.processor.name}"
    )
    if report.interrupted:
        yield "Interrupted: these are partial results."


def quick_lines(report: Report) -> Iterator[str]:
    """Each row in a line: latency, throughput, and on what; then what was left out."""
    for row in report.rows:
        if row.state == "failed" or not row.samples_ms:
            yield f"{report.settings.name}, {row.batch} a call: {row.fault or 'interrupted'}"
            continue
        shown = [one for one in row.percentiles if one.ms is not None and one.percent > 50]
        bounds = "".join(f", p{one.percent:g} at most {_number(one.ms)}" for one in shown)
        yield (
            f"{report.settings.name}, {row.batch} a call: median {_number(median(row.samples_ms))} ms{bounds}; "
            f"{row.samples_a_second or 0.0:,.0f} a second on {_ran(row)} of {report.environment.processor.name}"
        )
    yield from _skipped(report)


def _skipped(report: Report) -> Iterator[str]:
    yield from (f"{name} was not timed: {why}" for name, why in report.skipped.items())


def comparison_table(found: Comparison) -> Table:
    """A row for each row that both have: figures as measured, then what they come to on an equal machine."""
    from rich.table import Table

    normalized = found.kind == TWO_RESULTS
    made = Table(box=None)
    for name in ("", "verdict"):
        made.add_column(name)
    for name in ("old ms", "new ms", "new/old", *(("machine", "equal") if normalized else ()), "95 % interval"):
        made.add_column(name, justify="right")
    made.add_column("")
    for one in found.changes:
        bounded = one.low is not None and one.high is not None and one.high < math.inf
        made.add_row(
            one.row,
            one.verdict,
            _number(one.old_ms),
            _number(one.new_ms),
            *(_ratio(value) for value in ((one.ratio, one.machine, one.equal) if normalized else (one.ratio,))),
            f"{one.low:.3f} .. {one.high:.3f}" if bounded else "",
            one.note,
        )
    return made


def comparison_lines(found: Comparison) -> Iterator[str]:
    """Warnings, the test, and the outcome."""
    yield from (f"Warning: {one}" for one in found.warnings)
    yield f"Medians of a process's calls, medians of the processes. Compared: {found.test}."
    if found.kind == TWO_RESULTS:
        yield "machine: the reference kernel, new over old; equal: new over old on an equal machine, the verdict's."
    slow = [one.row for one in found.changes if one.regressed]
    unknown = [one.row for one in found.changes if one.verdict == "cannot tell"]
    if unknown:
        yield f"Cannot tell: {'; '.join(unknown)}."
    slow_said = f"Regression beyond {found.limit:.1%}: {'; '.join(slow)}."
    yield slow_said if slow else f"No regression beyond {found.limit:.1%} found."


def _ratio(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _warnings(report: Report) -> Iterator[str]:
    """Each kind of warning once, as the first row with it had it."""
    kinds: dict[str, list[str]] = {}
    for row in report.rows:
        for one in row.noise.warnings if row.noise else []:
            kinds.setdefault(re.sub(r"[\d.,]+", "#", one), []).append(one)
    for found in kinds.values():
        alike = f" ({len(found)} of {len(report.rows)} rows)" if len(report.rows) > 1 else ""
        yield f"Warning: {found[0]}{alike}"


def _cells(row: Timing, percents: list[float]) -> list[str]:
    load = "" if row.load_ms is None else f"{row.load_ms:.0f}"
    memory = "" if row.memory is None else f"{row.memory.peak:.0f}"
    figures = {one.percent: one for one in row.percentiles}
    shown = [_bound(figures.get(percent)) for percent in percents]
    if row.state == "failed":
        return [str(row.batch), _ran(row), *(["FAILED"] if percents else []), *[""] * (len(percents) - 1), *[""] * 6]
    return [
        str(row.batch),
        _ran(row),
        *shown,
        "" if row.samples_a_second is None else f"{row.samples_a_second:,.0f}",
        _number(row.jitter_ms),
        _number(row.first_call_ms),
        load,
        memory,
        f"{len(row.samples_ms):,}",
    ]


def _remarks(row: Timing) -> Iterator[str]:
    if row.state == "failed":
        yield f"FAILED: {row.fault}"
        return
    if row.state == "interrupted":
        yield "interrupted, a part of what was asked for"
    among = f", shared by {len(row.processes)} processes" if len(row.processes) > 1 else ""
    if row.warm_up and not row.warm_up.steady:
        spent = f"{row.warm_up.calls} warm-up calls in {row.warm_up.seconds:.1f} s"
        yield f"not steady after {spent}{among}; timed all the same"
    elif row.warm_up:
        yield f"steady after {row.warm_up.calls} warm-up calls{among}"
    if row.interval_ms is None:
        yield f"p{row.asked_percentile:g} has no interval yet: not enough samples"
    elif not row.settled:
        low, high = map(_number, row.interval_ms)
        yield f"p{row.asked_percentile:g} is known no better than {low} .. {high} ms; the time was up"
    if row.outliers and row.outliers.count:
        largest = ", ".join(_number(ms) for _, ms in row.outliers.largest[:3])
        yield f"{row.outliers.count} outliers above {_number(row.outliers.above_ms)} ms, counted in: {largest} ms"
    if row.checks and row.checks.note:
        yield row.checks.note
    yield from (f"fell back: {one}" for call in row.ran for one in call.fell_back)


def _ran(row: Timing) -> str:
    """ "openvino fp32 plain, 2 threads"; with several engine calls, each with its size."""
    if not row.ran:
        threads = "" if row.asked.threads is None else f", {row.asked.threads} threads"
        return f"{row.asked.backend} {row.asked.precision}{threads}"
    if len(row.ran) == 1 and row.ran[0].count == 1:
        return _engine(row.ran[0])
    return " + ".join(f"{call.count} x {call.size} {_engine(call)}" for call in row.ran)


def _engine(call: EngineCall) -> str:
    streams = f" in {call.streams} streams" if call.streams > 1 else ""
    threads = f"{call.threads} thread{'s' if call.threads > 1 else ''}"
    return f"{call.backend} {call.precision} {call.form}, {threads}{streams}"


def _names(report: Report) -> set[str]:
    packages = {"onnxruntime": "onnxruntime", "openvino": "openvino", "mnn": "MNN"}
    return {"numpy"} | {packages.get(call.backend, call.backend) for row in report.rows for call in row.ran}


def _bound(one: Percentile | None) -> str:
    return "" if one is None else "not enough samples" if one.ms is None else _number(one.ms)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:#.3g}".rstrip(".") if value < 1000 else f"{value:.0f}"
