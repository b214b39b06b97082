"""Throughput by batch size with its knee, and what it costs in latency."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from ..results import Timing
from .svg import Area, Labels, Linear, Log, chart, label, marker, path, wide_and_narrow
from .text import element, ms, number
from .ways import Way

__all__ = ["KNEE", "charts", "knee"]

KNEE = 0.9  # of the best throughput of a way
_HEIGHT = 268.0


def knee(rows: Sequence[Timing]) -> Timing | None:
    """The smallest batch that reaches nine tenths of the best throughput; None where that is the largest measured."""
    able = sorted((row for row in rows if row.samples_a_second), key=lambda row: row.batch)
    best = max(map(_rate, able), default=0.0)
    found = next((row for row in able if _rate(row) >= KNEE * best), None)
    return None if found is None or found.batch == able[-1].batch else found


def charts(shown: Sequence[Way], percentile: float) -> str:
    """Both charts, or how to get them where there is but one batch size."""
    if all(len(_points(way)) < 2 for way in shown):
        return element("p", "One batch size was timed; the knee shows with several: --batch 1,4,16,64.", class_="note")
    percent = _common(shown, percentile)
    pictures = {"Samples a second by batch size": partial(_by_batch, shown)}
    if any(row.bound(percent) is not None for way in shown for row in _points(way)):
        pictures[f"p{percent:g} bound of a call, by samples a second"] = partial(_cost, shown, percent)
    made = [
        element("figure", element("figcaption", element("span", name)) + wide_and_narrow(draw, 540), class_="card")
        for name, draw in pictures.items()
    ]
    return element("div", "".join(made), class_="pair")


def _points(way: Way) -> list[Timing]:
    return [row for row in way.rows if row.samples_a_second]


def _by_batch(shown: Sequence[Way], width: float) -> str:
    area = Area(56, 16, width - 16, _HEIGHT - 40)
    rows = [row for way in shown for row in _points(way)]
    sizes = sorted({row.batch for row in rows})
    x = Log(sizes[0] / 1.15, sizes[-1] * 1.15, area.left, area.right)
    y = Linear(0, max(map(_rate, rows)) * 1.08, area.bottom, area.top)
    parts = [area.grid_y(y, y.ticks(5)), area.grid_x(x, _apart(sizes, x), lambda size: f"{size:,.0f}")]
    parts.append(label((area.left + area.right) / 2, _HEIGHT - 6, "batch", class_="quiet"))
    labels = Labels((x(row.batch), y(_rate(row))) for row in rows)
    for way in shown:
        points = _points(way)
        places = [(x(row.batch), y(_rate(row))) for row in points]
        drawn = [path(places, "trace")] if len(points) > 1 else []
        best, found = max(map(_rate, points), default=1.0), knee(points)
        for row, at in zip(points, places, strict=True):
            if row is found:
                drawn.append(element("circle", cx=at[0], cy=at[1], r=9.5, class_="ring"))
                drawn.append(labels(*at, f"knee {row.batch:,}", "strong", above=True, away=5))
            said = f"{number(_rate(row))} samples/s, {_rate(row) / best:.0%} of its best"
            drawn.append(marker(way.mark, *at, f"{way.name}, batch {row.batch}: {said}"))
        parts.append(element("g", "".join(drawn), class_=way.colour))
    return chart(width, _HEIGHT, "".join(parts), "Samples a second by batch size, a line for each way")


def _cost(shown: Sequence[Way], percent: float, width: float) -> str:
    area = Area(56, 16, width - 16, _HEIGHT - 40)
    known = [(way, row, value) for way in shown for row in _points(way) if (value := row.bound(percent)) is not None]
    x = Linear(0, max(_rate(row) for _, row, _ in known) * 1.08, area.left, area.right)
    y = Log(min(value for *_, value in known) / 1.3, max(value for *_, value in known) * 1.4, area.bottom, area.top)
    parts = [area.grid_y(y, y.ticks(6), ms), area.grid_x(x, x.ticks(round(width / 90)))]
    parts.append(label((area.left + area.right) / 2, _HEIGHT - 6, "samples/s", class_="quiet"))
    labels = Labels((x(_rate(row)), y(value)) for _, row, value in known)
    for way in shown:
        places = [(row, (x(_rate(row)), y(value)), value) for one, row, value in known if one is way]
        drawn = [path([at for _, at, _ in places], "trace")] if len(places) > 1 else []
        for row, at, value in places:
            said = f"p{percent:g} below {ms(value)}, {number(_rate(row))} samples/s"
            drawn.append(marker(way.mark, *at, f"{way.name}, batch {row.batch}: {said}"))
            drawn.append(labels(*at, f"{row.batch:,}"))
        parts.append(element("g", "".join(drawn), class_=way.colour))
    return chart(width, _HEIGHT, "".join(parts), f"The bound of p{percent:g} against samples a second")


def _rate(row: Timing) -> float:
    return row.samples_a_second or 0.0


def _common(shown: Sequence[Way], wanted: float) -> float:
    """The highest percentile up to `wanted` that every point has a bound of."""
    rows = [row for way in shown for row in _points(way)]
    held = [{one.percent for one in row.percentiles if one.ms is not None and one.percent <= wanted} for row in rows]
    return max(set.intersection(*held), default=50.0) if held else 50.0


def _apart(sizes: Sequence[int], x: Log) -> list[float]:
    """Those of the batch sizes whose labels do not touch."""
    kept = list[float]()
    for size in sizes:
        if not kept or x(size) - x(kept[-1]) > 24:
            kept.append(size)
    return kept
