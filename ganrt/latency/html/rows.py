"""The rows as a table, and what a reader must know of each before believing it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..percentiles import Percentile
from ..results import Timing, in_words
from .tables import Column, row, table, words
from .text import element, number, text
from .ways import Way

__all__ = ["remarks", "rows_table"]


def rows_table(shown: Sequence[Way]) -> str:
    """A line for each row, the fastest median of each batch size in bold."""
    timings = [timing for way in shown for timing in way.rows]
    percents = sorted({one.percent for timing in timings for one in timing.percentiles})
    columns = [
        words("way"),
        Column("batch"),
        Column("ran", "words ran"),
        *(Column(f"p{percent:g}") for percent in percents),
    ]
    columns += map(Column, ("samples/s", "jitter", "first call", "load", "peak MiB", "fidelity", "calls"))
    best: dict[int, float] = {}
    for timing in timings:
        value = timing.bound(50)
        if value is not None:
            best[timing.batch] = min(value, best.get(timing.batch, value))
    return table(columns, (_line(columns, way, timing, percents, best) for way in shown for timing in way.rows))


def _line(
    columns: Sequence[Column], way: Way, timing: Timing, percents: Sequence[float], best: dict[int, float]
) -> str:
    if timing.state == "failed":
        fault = element("b", "FAILED") + f" {text(timing.fault)}"
        cells = element("td", way.key(), class_="words") + element("td", f"{timing.batch:,}")
        return element("tr", cells + element("td", fault, class_="words fault", colspan=len(columns) - 2))
    return row(columns, _cells(way, timing, percents, best), way.colour)


def _cells(way: Way, timing: Timing, percents: Sequence[float], best: dict[int, float]) -> Iterator[str]:
    yield way.key()
    yield f"{timing.batch:,}"
    yield text(in_words(timing.ran))
    figures = {one.percent: one for one in timing.percentiles}
    for percent in percents:
        yield _bound(figures.get(percent), bold=percent == 50 and best.get(timing.batch) == timing.bound(50))
    yield number(timing.samples_a_second)
    yield number(timing.jitter_ms)
    yield number(timing.first_call_ms)
    yield number(timing.load_ms)
    yield f"{timing.memory.peak:,.0f}" if timing.memory and timing.memory.peak else ""
    psnr = timing.checks.psnr_db if timing.checks else None
    yield "" if psnr is None else f"{psnr:.0f} dB"
    yield f"{len(timing.samples_ms):,}" + ("" if timing.state == "ok" else " (interrupted)")


def _bound(one: Percentile | None, *, bold: bool) -> str:
    if one is None:
        return ""
    if one.ms is None:
        said = f"too few calls for a bound at 99 % confidence: {one.calls_needed:,} are needed"
        return element("span", "&ndash;", data_tip=said, tabindex=0, class_="none")
    return element("b", number(one.ms)) if bold else number(one.ms)


def remarks(shown: Sequence[Way]) -> Iterator[str]:
    """Sentences about rows that weaken what the table says; one sentence for all that it is true of."""
    found: dict[str, dict[str, list[str]]] = {}
    for way in shown:
        for timing in way.rows:
            for said in _remarks(timing) if timing.state != "failed" else ():
                found.setdefault(said, {}).setdefault(way.name, []).append(f"{timing.batch:,}")
    rows = sum(len(way.rows) for way in shown)
    for said, where in found.items():
        told = "; ".join(f"{name}, batch {', '.join(batches)}" for name, batches in where.items())
        yield f"{said}: {'all rows' if sum(map(len, where.values())) == rows > 1 else told}."


def _remarks(timing: Timing) -> Iterator[str]:
    if timing.warm_up and not timing.warm_up.steady:
        yield "Not steady when the warm-up ended, and timed all the same"
    if timing.interval_ms is None:
        yield f"Too few calls to know p{timing.asked_percentile:g} at all"
    elif not timing.settled:
        yield f"p{timing.asked_percentile:g} is not known within 2 %, the time was up"
    if timing.checks and timing.checks.note:
        yield timing.checks.note[0].upper() + timing.checks.note[1:]
    for call in timing.ran:
        yield from (f"Fell back: {one}" for one in call.fell_back)
