"""Percentile curves: how slow the slow calls are, on an axis that stretches the tail, with the bounds that hold."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ..results import Timing
from .svg import Area, Linear, Log, chart, label, line
from .text import element, ms
from .ways import Way

__all__ = ["panels"]

_SIZE = (360.0, 236.0)
_TICKS = (50.0, 90.0, 99.0, 99.9, 99.99)
_DASHES = ("", "7 3", "2 3", "9 3 2 3", "4 2", "12 4")


def panels(shown: Sequence[Way]) -> str:
    """A panel for each batch size, with a curve for each way."""
    sizes = sorted({row.batch for way in shown for row in way.rows if row.samples_ms})
    return element("div", "".join(_panel(shown, size) for size in sizes), class_="cards")


def _panel(shown: Sequence[Way], size: int) -> str:
    curves = [(way, row) for way in shown for row in way.rows if row.batch == size and row.samples_ms]
    area = Area(48, 12, _SIZE[0] - 10, _SIZE[1] - 28)
    longest = max(len(row.samples_ms) for _, row in curves)
    right = max(2.0, math.log10(longest), *(_at(one.percent) for _, row in curves for one in row.percentiles if one.ms))
    x = Linear(0, right * 1.03, area.left, area.right)
    values = [value for _, row in curves for value in (min(row.samples_ms), max(row.samples_ms))]
    values += [one.ms for _, row in curves for one in row.percentiles if one.ms is not None]
    low, high = min(values), max(values)
    margin = 0.06 * (high - low)
    logarithmic = high > 4 * low
    y: Linear | Log = (
        Log(low / 1.08, high * 1.12, area.bottom, area.top)
        if logarithmic
        else Linear(low - margin, high + margin, area.bottom, area.top)
    )
    ticks = [one for one in _TICKS if _at(one) <= right]
    parts = [area.grid_y(y, y.ticks(5))]
    parts += [
        line(x(_at(one)), area.top, x(_at(one)), area.bottom, "grid")
        + label(x(_at(one)), area.bottom + 15, f"p{one:g}")
        for one in ticks
    ]
    parts.append(line(area.left, area.top, area.left, area.bottom, "grid"))
    for way, row in curves:
        parts.append(element("g", _curve(way, row, x, y), class_=way.colour))
    head = element(
        "figcaption",
        element("span", f"batch {size:,}") + element("span", "ms, log" if logarithmic else "ms", class_="unit"),
    )
    return element("figure", head + chart(*_SIZE, "".join(parts), f"Percentile curves at batch {size}"), class_="card")


def _curve(way: Way, row: Timing, x: Linear, y: Linear | Log) -> str:
    values = np.sort(np.asarray(row.samples_ms))
    ranks = np.unique(
        np.concatenate([np.linspace(0, len(values) - 1, 160), len(values) - np.geomspace(1, len(values), 160)]).astype(
            int
        )
    )
    points = [(x(math.log10(len(values) / (len(values) - rank))), y(float(values[rank]))) for rank in ranks.tolist()]
    drawn = element(
        "path",
        d="M" + "L".join(f"{a:.1f} {b:.1f}" for a, b in points),
        class_="trace",
        stroke_dasharray=_DASHES[way.at % len(_DASHES)] or None,
    )
    return drawn + "".join(
        _bound(way, row, values, one.percent, one.ms, x, y) for one in row.percentiles if one.ms is not None
    )


def _bound(
    way: Way,
    row: Timing,
    values: np.ndarray[tuple[int], np.dtype[np.float64]],
    percent: float,
    bound: float,
    x: Linear,
    y: Linear | Log,
) -> str:
    """A whisker from the plain percentile to the bound, and a bar upon it."""
    at, plain = x(_at(percent)) + (way.at % 5 - 2) * 2.5, float(np.percentile(values, percent))
    said = f"p{percent:g} of these calls is {ms(plain)}; at 99 % confidence it stays below {ms(bound)}"
    bar = element("path", d=f"M{at:.1f} {y(plain):.1f}V{y(bound):.1f}M{at - 5:.1f} {y(bound):.1f}h10", class_="whisker")
    return bar + element(
        "rect",
        x=at - 8,
        y=y(bound) - 6,
        width=16.0,
        height=y(plain) - y(bound) + 12,
        class_="touch",
        data_tip=f"{way.name}, batch {row.batch}: {said}",
    )


def _at(percent: float) -> float:
    """The place of a percentile: each nine takes as much room as the one before."""
    return -math.log10(1 - percent / 100)
