"""The roofline of this machine, and where the rows are under it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import partial
from statistics import median
from typing import NamedTuple

from ..profile import Profile
from ..results import Timing
from ..roofline import Copying, Roof
from .svg import Area, Labels, Log, chart, label, line, marker, path, wide_and_narrow
from .tables import Column, bar, row, table, words
from .text import amount, bytes_of, element, number, text
from .ways import Way

__all__ = ["Place", "place", "section"]

_HEIGHT = 340.0


class Place(NamedTuple):
    """One row under its roof: `gflops` achieved at the median; `intensity`, operations for each byte that must move
    (weights, inputs and outputs once), and `spread`, for each byte that its operations move, None where not told.
    `share` of the highest measured rate; None where none was measured."""

    way: Way
    row: Timing
    profile: Profile
    gflops: float
    intensity: float
    spread: float | None
    share: float | None


def place(way: Way, timing: Timing, roof: Roof) -> Place | None:
    """None where the work is not known, nothing was timed, or the roof is that of another number of threads."""
    profile, adds = timing.profile, timing.profile.work.multiply_adds if timing.profile else None
    fits = bool(timing.samples_ms and timing.ran) and timing.ran[0].threads == roof.threads
    if profile is None or adds is None or not fits:
        return None
    work = 2.0 * adds * timing.batch
    gflops = work / (median(timing.samples_ms) * 1e6)
    least = profile.weights + profile.work.carried * timing.batch
    moved = profile.operations.moved if profile.operations else None
    rate = roof.gemm(timing.ran[0].precision)
    return Place(
        way,
        timing,
        profile,
        gflops,
        work / least,
        None if moved is None else work / (moved + profile.weights),
        gflops / rate.gflops if rate and rate.gflops else None,
    )


def section(shown: Sequence[Way], roofs: Sequence[Roof]) -> str:
    """The chart of each number of threads, the table of places, the rates and how they were measured."""
    parts = list[str]()
    for roof in roofs:
        places = [one for way in shown for timing in way.rows if (one := place(way, timing, roof)) is not None]
        title = f"{roof.threads} thread{'s' if roof.threads > 1 else ''}"
        drawn = wide_and_narrow(partial(_chart, roof, places), 720)
        unit = element("span", "billions of operations a second, log", class_="unit")
        head = element("figcaption", element("span", title) + unit)
        parts.append(element("div", element("figure", head + drawn, class_="card") + _rates(roof), class_="beside"))
        parts.append(_table(places))
    unknown = {
        f"{way.name} is not placed: {timing.profile.work.counted}.": None
        for way in shown
        for timing in way.rows
        if timing.profile is not None and timing.profile.work.multiply_adds is None
    }
    return "".join(parts) + "".join(element("p", text(one), class_="note") for one in unknown)


def _chart(roof: Roof, places: Sequence[Place], width: float) -> str:
    area = Area(52, 14, width - 14, _HEIGHT - 42)
    peak = max((one.gflops for one in roof.arithmetic), default=1.0)
    copies = [one.gigabytes for one in roof.copying] or [1.0]
    across = [value for one in places for value in (one.intensity, one.spread or one.intensity)]
    ridge = [peak / one for one in copies]
    x = Log(min(*across, *ridge, 1.0) / 2, max(*across, *ridge, 1.0) * 2.5, area.left, area.right)
    lowest = min([one.gflops for one in places] + [peak / 20])
    y = Log(lowest / 2.5, peak * 1.9, area.bottom, area.top)
    parts = [area.grid_y(y, y.ticks(6)), area.grid_x(x, x.ticks(round(width / 80)))]
    parts.append(
        label((area.left + area.right) / 2, _HEIGHT - 5, "operations for each byte moved, log", class_="quiet")
    )
    parts += _roofs(roof, x, y, area)
    labels = Labels(((x(one.intensity), y(one.gflops)) for one in places), _whiskers(places, x, y))
    parts += [_mark(one, x, y, labels) for one in places]
    return chart(width, _HEIGHT, "".join(parts), "The rows under the roofline of this machine, both axes logarithmic")


def _whiskers(places: Sequence[Place], x: Log, y: Log) -> Iterator[tuple[float, float, float, float]]:
    """The boxes around them."""
    for one in places:
        if one.spread is not None:
            yield x(one.spread), y(one.gflops) - 1, x(one.intensity), y(one.gflops) + 1


def _roofs(roof: Roof, x: Log, y: Log, area: Area) -> Iterator[str]:
    """A level for each precision's best rate, a slope for each copying rate, up to the highest level."""
    levels = [one for one in (roof.gemm(), roof.gemm("bf16")) if one is not None]
    levels = list({one.gflops: one for one in levels}.values())
    for one in levels:
        slope = max((copy.gigabytes for copy in roof.copying), default=one.gflops / x.low)
        start = max(x.low, one.gflops / slope)
        yield line(x(start), y(one.gflops), area.right, y(one.gflops), "roof")
        said = f"{one.precision.upper()} matrix product: {number(one.gflops)} GFLOP/s"
        yield label(area.right - 2, y(one.gflops) - 6, said, "end", "strong")
    top = max((one.gflops for one in levels), default=y.high)
    for copy in roof.copying:
        begin, end = max(x.low, y.low / copy.gigabytes), min(x.high, top / copy.gigabytes)
        if end > begin:
            yield line(x(begin), y(begin * copy.gigabytes), x(end), y(end * copy.gigabytes), "roof")
            middle = math.sqrt(begin * end)
            turn = math.degrees(math.atan2(y(end * copy.gigabytes) - y(begin * copy.gigabytes), x(end) - x(begin)))
            where = "in cache" if copy.within == "cache" else "in memory"
            yield element(
                "text",
                text(f"copy {where}: {number(copy.gigabytes)} GB/s"),
                transform=f"translate({x(middle):.1f} {y(middle * copy.gigabytes) - 6:.1f}) rotate({turn:.1f})",
                text_anchor="middle",
                class_="strong",
            )


def _mark(one: Place, x: Log, y: Log, labels: Labels) -> str:
    at = (x(one.intensity), y(one.gflops))
    share = "" if one.share is None else f", {one.share:.0%} of the matrix product"
    tip = f"{one.way.name}, batch {one.row.batch}: {number(one.gflops)} GFLOP/s{share}"
    drawn = [marker(one.way.mark, *at, tip), labels(*at, f"{one.row.batch:,}")]
    if one.spread is not None:
        drawn.insert(0, path([(x(one.spread), at[1]), at], "whisker"))
    return element("g", "".join(drawn), class_=one.way.colour)


def _rates(roof: Roof) -> str:
    """What was tried, the fastest first."""
    columns = (Column("measured"), words("the best of many short trials"))
    rates = sorted(roof.arithmetic, key=lambda one: -one.gflops)
    rows = [row(columns, (f"{number(one.gflops)} GFLOP/s", text(one.how))) for one in rates]
    rows += [row(columns, (f"{number(one.gigabytes)} GB/s", _copied(one))) for one in roof.copying]
    notes = "".join(element("p", text(one), class_="note") for one in roof.notes)
    return element("div", table(columns, rows, small=True) + notes)


def _copied(one: Copying) -> str:
    where = "within the second-level cache" if one.within == "cache" else "through memory"
    return f"numpy, {bytes_of(one.span)} copied {where}"


def _table(places: Sequence[Place]) -> str:
    if not places:
        return ""
    columns = (
        words("way"),
        Column("batch"),
        Column("operations a sample"),
        words("counted by"),
        Column("weights"),
        Column("operations a byte"),
        Column("GFLOP/s"),
        Column("of the matrix product", "barred"),
    )
    return table(columns, (row(columns, _cells(one), one.way.colour) for one in places))


def _cells(one: Place) -> Iterator[str]:
    work = one.profile.work
    yield one.way.key()
    yield f"{one.row.batch:,}"
    yield amount(2 * (work.multiply_adds or 0))
    yield text(work.counted)
    yield bytes_of(work.weights)
    yield number(one.intensity) if one.spread is None else f"{number(one.spread)} to {number(one.intensity)}"
    yield number(one.gflops)
    yield "" if one.share is None else bar(one.share, f"{one.share:.0%}")
