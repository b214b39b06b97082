"""How the calls of each row are spread, and in which order they came: no call is left out of either picture."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from ..noise import Noise
from ..results import Timing
from .svg import Area, Linear, Tail, chart, dots, label, line, path
from .text import element, ms, number, text
from .ways import Way

__all__ = ["cards"]

_WIDTH = 360.0
_COLUMNS = 150  # of the picture of calls in their order
_MOST_DOTS = 300


def cards(shown: Sequence[Way]) -> str:
    """A card for each row that has samples."""
    made = "".join(_card(way, row) for way in shown for row in way.rows if row.samples_ms)
    return element("div", made, class_="cards")


def _card(way: Way, row: Timing) -> str:
    samples = np.asarray(row.samples_ms)
    above = max(row.outliers.above_ms if row.outliers else np.inf, float(np.percentile(samples, 75)))
    p50 = float(np.median(samples))
    head = element(
        "figcaption",
        element("span", way.key() + element("span", f"batch {row.batch:,}", class_="of"))
        + element("span", element("b", number(p50)) + " ms", class_="big"),
    )
    outliers = int((samples > above).sum())
    beyond = f"{outliers:,} beyond {ms(above)}, the slowest {ms(float(samples.max()))}" if outliers else "no outlier"
    foot = element("p", f"{len(samples):,} calls, {text(beyond)}", class_="foot")
    return element(
        "figure",
        head + _histogram(row, samples, above) + _order(row, samples, above) + foot,
        class_=f"card {way.colour}",
    )


def _histogram(row: Timing, samples: NDArray[np.float64], above: float) -> str:
    """Counts of the body as bars; each outlier as a dot of its own in the tail."""
    area = Area(8, 44, _WIDTH - 8, 132)
    body = samples[samples <= above]
    scale = Tail(float(samples.min()), float(samples.max()), above, area.left, area.right)
    edges = np.linspace(float(body.min()), float(body.max()), _bins(body) + 1)
    counts, edges = np.histogram(body, edges if edges[-1] > edges[0] else 1)
    height = Linear(0, float(counts.max()), area.bottom, area.top)
    parts = [_ticks(scale, area)]
    for count, low, high in zip(counts.tolist(), edges[:-1], edges[1:], strict=True):
        if count:
            left, right, top = scale(low), scale(high), min(height(count), area.bottom - 1)
            parts.append(
                element(
                    "rect",
                    x=left + 0.25,
                    y=top,
                    width=max(0.8, right - left - 0.5),
                    height=area.bottom - top,
                    class_="fill",
                    data_tip=f"{number(float(low))} to {number(float(high))} ms: {count:,} calls",
                )
            )
    parts.append(line(area.left, area.bottom, area.right, area.bottom, "axis"))
    far = np.sort(samples[samples > above])
    for x, y, tip in _stacked(far, scale, area):
        parts.append(dots([(x, y, tip)], 2.2, "fill"))
    parts += _percentiles(row, samples, scale, area)
    return chart(_WIDTH, 152, "".join(parts), f"Histogram of {len(samples)} calls in milliseconds")


def _bins(body: NDArray[np.float64]) -> int:
    """Freedman and Diaconis (1981), held to what a card can show."""
    low, high = np.percentile(body, (25, 75))
    width = 2 * float(high - low) / len(body) ** (1 / 3)
    return int(np.clip(float(np.ptp(body)) / width if width > 0 else 12, 12, 64))


def _stacked(far: NDArray[np.float64], scale: Tail, area: Area) -> Iterator[tuple[float, float, str]]:
    """The outliers, those on one pixel one above the other."""
    heights: dict[int, int] = {}
    for value in far.tolist():
        x = scale(value)
        level = heights[round(x / 4)] = heights.get(round(x / 4), 0) + 1
        step = 4.6 if len(far) < 60 else 1.4
        yield x, max(area.top + 2, area.bottom - 3.5 - (level - 1) * step), f"outlier: {ms(value)}"


def _ticks(scale: Tail, area: Area) -> str:
    ticks = scale.body.ticks(4 if scale.broken else 5)
    parts = [area.grid_x(scale.body, ticks)]
    if scale.tail is not None:
        middle = (scale.body.end + scale.tail.start) / 2
        parts.append(element("path", d=f"M{middle - 4:.1f} {area.bottom + 4:.1f}l3 -8m2 8l3 -8", class_="break"))
        parts.append(line(scale(scale.tail.high), area.top, scale(scale.tail.high), area.bottom, "grid"))
        parts.append(label(area.right, area.bottom + 15, ms(scale.tail.high), "end"))
    return "".join(parts)


def _percentiles(row: Timing, samples: NDArray[np.float64], scale: Tail, area: Area) -> Iterator[str]:
    """The median, and the bounds of p90 and p99, each with its words on a line of its own."""
    marks = [("median", float(np.median(samples)), "median")]
    marks += [
        (f"p{one.percent:g} ≤", one.ms, "bound")
        for one in row.percentiles
        if one.ms is not None and one.percent in (90, 99)
    ]
    for level, (name, value, class_) in enumerate(marks):
        x, y = scale(value), 10 + 12 * level
        yield line(x, y + 2, x, area.bottom, class_)
        right = x < area.right - 78
        yield label(x + (4 if right else -4), y + 3, f"{name} {number(value)}", "start" if right else "end", class_)


def _order(row: Timing, samples: NDArray[np.float64], above: float) -> str:
    """Calls from left to right: the median and the middle eight tenths of each stretch, outliers one by one."""
    area = Area(8, 6, _WIDTH - 8, 78)
    x = Linear(0, max(1, len(samples) - 1), area.left, area.right)
    y = Tail(float(samples.min()), float(samples.max()), above, area.bottom, area.top, 0.3)
    bounds = np.linspace(0, len(samples), min(_COLUMNS, len(samples)) + 1).astype(int)
    stretches = [(low, high, samples[low:high]) for low, high in pairwise(bounds.tolist()) if high > low]
    centres = [x((low + high - 1) / 2) for low, high, _ in stretches]
    quantiles = np.minimum([np.percentile(part, (10, 50, 90)) for _, _, part in stretches], above)
    parts = []
    if len(samples) > _COLUMNS:
        upper = [(at, y(value)) for at, value in zip(centres, quantiles[:, 2], strict=True)]
        lower = [(at, y(value)) for at, value in zip(centres, quantiles[:, 0], strict=True)]
        parts.append(path([*upper, *reversed(lower)], "band", close=True))
    parts.append(path([(at, y(value)) for at, value in zip(centres, quantiles[:, 1], strict=True)], "trace"))
    far = np.flatnonzero(samples > above)
    parts.append(dots(_seldom(far, samples, x, y), 1.8, "fill"))
    parts.append(_reference(row.noise, area))
    parts.append(label(area.left, area.bottom + 26, "calls in their order", "start", "quiet"))
    return chart(_WIDTH, 108, "".join(parts), "The same calls in the order they were made")


def _seldom(
    far: NDArray[np.int64], samples: NDArray[np.float64], x: Linear, y: Tail
) -> Iterator[tuple[float, float, str]]:
    """Each outlier; of very many on one pixel the slowest, with how many they are."""
    if len(far) <= _MOST_DOTS:
        yield from ((x(at), y(samples[at]), f"call {at + 1:,}: {ms(float(samples[at]))}") for at in far.tolist())
        return
    groups: dict[int, list[int]] = {}
    for at in far.tolist():
        groups.setdefault(round(x(at) / 2), []).append(at)
    for members in groups.values():
        worst = max(members, key=lambda at: samples[at])
        others = f", the slowest of {len(members)} outliers here" if len(members) > 1 else ""
        yield x(worst), y(samples[worst]), f"call {worst + 1:,}: {ms(float(samples[worst]))}{others}"


def _reference(noise: Noise | None, area: Area) -> str:
    """A strip below: the reference arithmetic between the calls, stronger where the machine was slower."""
    if noise is None or len(noise.reference_ms) < 2:
        return ""
    times = np.asarray(noise.reference_ms)
    least, width = float(times.min()), (area.right - area.left) / len(times)
    strip = [
        element(
            "rect",
            x=area.left + at * width,
            y=area.bottom + 6,
            width=width + 0.3,
            height=5.0,
            class_="strip",
            style=f"opacity:{min(1.0, 0.08 + 2 * (value / least - 1)):.2f}",
            data_tip=f"the reference arithmetic took {value / least:.2f} times its shortest here",
        )
        for at, value in enumerate(times.tolist())
    ]
    return "".join(strip) + label(area.right, area.bottom + 26, "machine: stronger is slower", "end", "quiet")
