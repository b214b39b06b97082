"""A report for people: a table of figures, and below it what a reader must know before believing them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from statistics import median
from typing import TYPE_CHECKING

from .compare import CONFIDENCE, TWO_RESULTS, Comparison
from .noise import doubts
from .percentiles import Percentile
from .results import Report, Timing, in_words, versions

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["comparison_lines", "comparison_table", "lines", "quick_lines", "table"]

_TOO_FEW = "too few"


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
        made.add_column(f"p{percent:g}", justify="right")
    for name in ("samples/s", "jitter", "first call", "load", "MiB", "calls"):
        made.add_column(name, justify="right", overflow="fold")
    for row in report.rows:
        made.add_row(*_cells(row, percents))
    return made


def lines(report: Report) -> Iterator[str]:
    """What is below the table: state, outliers, warnings, machine, a line each."""
    for row in report.rows:
        yield f"batch {row.batch}, {_ran(row)}: {'; '.join(_remarks(row))}"
    yield from _skipped(report)
    yield from (f"Warning: {one}" for one in doubts([row.noise for row in report.rows]))
    if any(one.ms is None for row in report.rows for one in row.percentiles):
        yield f"{_TOO_FEW}: not enough samples for a bound at 99 % confidence; --seconds gives it more time."
    here = report.environment
    yield ", ".join([f"ganrt {report.ganrt}", *versions(report), f"Python {here.python}", _machine(report)])
    if report.interrupted:
        yield "Interrupted: these are partial results."


def quick_lines(report: Report) -> Iterator[str]:
    """Each row in a line: latency, throughput, and on what; then what was left out."""
    for row in report.rows:
        if row.state == "failed" or not row.samples_ms:
            said = f"FAILED: {row.fault}" if row.state == "failed" else "interrupted"
            yield f"{report.settings.name}, {row.batch} a call: {said}"
            continue
        shown = [one for one in row.percentiles if one.ms is not None and one.percent > 50]
        bounds = "".join(f", p{one.percent:g} at most {_number(one.ms)}" for one in shown)
        yield (
            f"{report.settings.name}, {row.batch} a call: median {_number(median(row.samples_ms))} ms{bounds}; "
            f"{row.samples_a_second or 0.0:,.0f} a second on {_ran(row)}; {_machine(report)}"
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
    interval = f"{CONFIDENCE[found.kind] * 100:.0f} % interval"
    for name in ("old ms", "new ms", "new/old", *(("machine", "equal") if normalized else ()), interval):
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


def _machine(report: Report) -> str:
    here = report.environment.processor
    return f"{here.cores} core{'s' if here.cores > 1 else ''} of {here.name}"


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
    if row.warm_up:
        steady = "steady" if row.warm_up.steady else "not steady, and timed all the same,"
        among = f" of {len(row.processes)} processes" if len(row.processes) > 1 else ""
        yield f"{steady} after {row.warm_up.calls:,} warm-up calls{among}"
    if row.interval_ms is None:
        yield f"too few calls to know p{row.asked_percentile:g}"
    elif not row.settled:
        low, high = map(_number, row.interval_ms)
        yield f"p{row.asked_percentile:g} is known no better than {low} .. {high} ms, the time was up"
    elif row.stopped == "enough" and len(row.processes) > 1:
        yield f"enough: p{row.asked_percentile:g} is known within 2 %, and {len(row.processes)} processes agree"
    if row.outliers and row.outliers.count:
        count, slowest = row.outliers.count, _number(row.outliers.largest[0][1])
        said = f"{count} outliers above" if count > 1 else "an outlier above"
        yield f"{said} {_number(row.outliers.above_ms)} ms, counted in, the slowest {slowest}"
    if row.checks and row.checks.note:
        yield row.checks.note
    yield from (f"fell back: {one}" for call in row.ran for one in call.fell_back)


def _ran(row: Timing) -> str:
    """What was asked for where nothing ran."""
    if row.ran:
        return in_words(row.ran)
    threads = "" if row.asked.threads is None else f", {row.asked.threads} threads"
    return f"{row.asked.backend} {row.asked.precision}{threads}"


def _bound(one: Percentile | None) -> str:
    return "" if one is None else _TOO_FEW if one.ms is None else _number(one.ms)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:#.3g}".rstrip(".") if value < 1000 else f"{value:.0f}"
