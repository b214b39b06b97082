"""Scales, axes and marks of the charts, as SVG text. Coordinates are CSS pixels at the width a chart is made for."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, TypeAlias

from .text import element, text

__all__ = [
    "Area",
    "Labels",
    "Linear",
    "Log",
    "Tail",
    "chart",
    "dots",
    "label",
    "line",
    "marker",
    "path",
    "wide_and_narrow",
]

_MARKERS = 6

Box: TypeAlias = tuple[float, float, float, float]


class Linear:
    """Values from `low` to `high` onto pixels from `start` to `end`."""

    def __init__(self, low: float, high: float, start: float, end: float) -> None:
        if not high > low:
            low, high = low - (abs(low) or 1.0) * 0.01, high + (abs(high) or 1.0) * 0.01
        self.low, self.high, self.start, self.end = low, high, start, end

    def __call__(self, value: float) -> float:
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)

    def ticks(self, count: int = 5) -> list[float]:
        """Round values within, about `count`.

        >>> Linear(0.58, 0.74, 0, 100).ticks(4)
        [0.6, 0.65, 0.7]
        """
        rough = (self.high - self.low) / max(1, count)
        unit = 10.0 ** math.floor(math.log10(rough))
        step = next(factor * unit for factor in (1, 2, 2.5, 5, 10) if factor * unit >= rough * 0.9)
        first = math.ceil(self.low / step - 1e-9)
        return [round(at * step, 12) for at in range(first, math.floor(self.high / step + 1e-9) + 1)]


class Log:
    """The same on a logarithmic scale; values are above zero."""

    def __init__(self, low: float, high: float, start: float, end: float) -> None:
        if not high > low:
            low, high = low / 1.5, high * 1.5
        self.low, self.high, self.start, self.end = low, high, start, end

    def __call__(self, value: float) -> float:
        share = math.log(value / self.low) / math.log(self.high / self.low)
        return self.start + share * (self.end - self.start)

    def ticks(self, count: int = 5) -> list[float]:
        """Powers of ten, with twos and fives between them where there is room, about `count`.

        >>> Log(0.9, 120, 0, 100).ticks(3), Log(2, 9, 0, 100).ticks(4)
        ([1.0, 10.0, 100.0], [2.0, 3.0, 5.0, 7.0])
        """
        decades = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
        found = list[float]()
        for steps in ((1.0, 1.5, 2.0, 3.0, 5.0, 7.0), (1.0, 2.0, 5.0), (1.0, 3.0), (1.0,)):
            found = [step * 10.0**power for power in decades for step in steps]
            found = [one for one in found if self.low * (1 - 1e-9) <= one <= self.high * (1 + 1e-9)]
            if len(found) <= count:
                break
        if len(found) < 2:  # a small part of a power of ten is as good as linear
            found = [one for one in Linear(self.low, self.high, 0, 1).ticks(count) if one > 0]
        return found[:: -(-len(found) // max(1, count)) or 1]


class Tail:
    """A linear body, and beyond `fence` a logarithmic tail of a share of the pixels: what is far out stays in sight."""

    def __init__(self, low: float, high: float, fence: float, start: float, end: float, share: float = 0.24) -> None:
        """`high` is the greatest value; without one beyond `fence` there is no tail."""
        self.broken = high > fence
        self.fence = fence
        if not self.broken:
            margin = 0.04 * (high - low)
            self.body: Linear = Linear(low - margin, high + margin, start, end)
            self.tail: Log | None = None
            return
        gap = math.copysign(8, end - start)
        middle = end - (end - start) * share
        self.body = Linear(low - 0.04 * (fence - low), fence, start, middle - gap)
        self.tail = Log(fence, max(high, fence * 1.01), middle + gap, end)

    def __call__(self, value: float) -> float:
        return self.tail(value) if self.tail is not None and value > self.fence else self.body(value)


def shown_as(ticks: Sequence[float]) -> Callable[[float], str]:
    """As few decimals as tell the ticks apart; on a scale over several powers of ten each for itself.

    >>> [shown_as([0.6, 0.65, 0.7])(0.7), shown_as([0, 50, 100])(50), shown_as([0.2, 5, 2000])(2000)]
    ['0.70', '50', '2,000']
    """
    least, most = min(map(abs, filter(None, ticks)), default=1.0), max(map(abs, ticks), default=1.0)
    if most > 50 * least:
        return lambda value: f"{value:,.10f}".rstrip("0").rstrip(".")
    decimals = next((n for n in range(7) if all(abs(round(one, n) - one) < 1e-9 * most for one in ticks)), 7)
    return lambda value: f"{value:,.{decimals}f}"


class Area(NamedTuple):
    """The plotting area within a chart."""

    left: float
    top: float
    right: float
    bottom: float

    def grid_x(self, scale: Linear | Log, ticks: Sequence[float], show: Callable[[float], str] | None = None) -> str:
        """Vertical hairlines with their values below."""
        show = show or shown_as(ticks)
        return "".join(
            line(scale(at), self.top, scale(at), self.bottom, "grid") + label(scale(at), self.bottom + 15, show(at))
            for at in ticks
        )

    def grid_y(self, scale: Linear | Log, ticks: Sequence[float], show: Callable[[float], str] | None = None) -> str:
        """Horizontal hairlines with their values to the left."""
        show = show or shown_as(ticks)
        return "".join(
            line(self.left, scale(at), self.right, scale(at), "grid")
            + label(self.left - 7, scale(at) + 3.5, show(at), "end")
            for at in ticks
        )


class Labels:
    """Words beside marks, on the first side where they hide nothing; the same words are not repeated close by."""

    # x, y and anchor beside a mark: right, left, above, below
    _SIDES = ((9.0, 3.5, "start"), (-9.0, 3.5, "end"), (0.0, -9.0, "middle"), (0.0, 18.0, "middle"))

    def __init__(self, marks: Iterable[tuple[float, float]] = (), boxes: Iterable[Box] = ()) -> None:
        """`marks`: places of all marks, to be kept free, as are the `boxes`."""
        self._taken = [*((x - 6, y - 6, x + 6, y + 6) for x, y in marks), *boxes]
        self._said = list[tuple[float, float, str]]()

    def __call__(
        self, x: float, y: float, words: str, class_: str | None = None, *, above: bool = False, away: float = 0.0
    ) -> str:
        """`above`: that side first. `away`: further from the mark than usual."""
        if any(words == said and abs(x - a) < 20 and abs(y - b) < 20 for a, b, said in self._said):
            return ""
        self._said.append((x, y, words))
        width, sides = 6.4 * len(words), (*self._SIDES[2:], *self._SIDES[:2]) if above else self._SIDES
        boxes = []
        for dx, dy, anchor in sides:
            at = (x + dx + math.copysign(away, dx) * (dx != 0), y + dy + math.copysign(away, dy) * (dx == 0))
            left = at[0] - width * {"start": 0.0, "middle": 0.5, "end": 1.0}[anchor]
            boxes.append(((left, at[1] - 9, left + width, at[1] + 2), at, anchor))
        box, at, anchor = next(
            (one for one in boxes if not any(_overlap(one[0], other) for other in self._taken)), boxes[0]
        )
        self._taken.append(box)
        return label(*at, words, anchor, class_)


def _overlap(one: Box, other: Box) -> bool:
    """Do two boxes (left, top, right, bottom) share a point?"""
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def chart(width: float, height: float, content: str, about: str, class_: str | None = None) -> str:
    """A chart that is as wide as its place, drawn for `width`; `about` says in words what it shows."""
    return element(
        "svg",
        content,
        viewBox=f"0 0 {width:g} {height:g}",
        role="img",
        aria_label=about,
        class_=class_,
        style=f"max-width:{width * 1.2:g}px",
    )


def wide_and_narrow(draw: Callable[[float], str], wide: float, narrow: float = 360) -> str:
    """The same chart for a screen and for a phone; the style shows one of the two."""
    return element("div", draw(wide), class_="wide") + element("div", draw(narrow), class_="narrow")


def line(x1: float, y1: float, x2: float, y2: float, class_: str) -> str:
    return element("line", x1=float(x1), y1=float(y1), x2=float(x2), y2=float(y2), class_=class_)


def label(x: float, y: float, words: str, anchor: str = "middle", class_: str | None = None) -> str:
    return element("text", text(words), x=float(x), y=float(y), text_anchor=anchor, class_=class_)


def path(points: Sequence[tuple[float, float]], class_: str, *, close: bool = False, tip: str | None = None) -> str:
    steps = "L".join(f"{x:.2f} {y:.2f}" for x, y in points)
    return element("path", d=f"M{steps}{'Z' if close else ''}", class_=class_, data_tip=tip)


def dots(points: Iterable[tuple[float, float, str]], radius: float, class_: str) -> str:
    return "".join(
        element("circle", cx=float(x), cy=float(y), r=radius, class_=class_, data_tip=tip) for x, y, tip in points
    )


def marker(kind: int, x: float, y: float, tip: str | None = None, size: float = 4.5) -> str:
    """One of six shapes, so that colour is never alone in telling things apart."""
    a = size
    shapes: tuple[Sequence[tuple[float, float]], ...] = (
        (),
        ((-a, -a), (a, -a), (a, a), (-a, a)),
        ((0, -1.3 * a), (1.2 * a, a), (-1.2 * a, a)),
        ((0, -1.4 * a), (1.4 * a, 0), (0, 1.4 * a), (-1.4 * a, 0)),
        ((0, 1.3 * a), (1.2 * a, -a), (-1.2 * a, -a)),
        tuple((1.3 * a * math.sin(turn * math.pi / 3), 1.3 * a * math.cos(turn * math.pi / 3)) for turn in range(6)),
    )
    shape = shapes[kind % _MARKERS]
    if not shape:
        return element("circle", cx=float(x), cy=float(y), r=a * 1.1, class_="mark", data_tip=tip)
    return path([(x + dx, y + dy) for dx, dy in shape], "mark", close=True, tip=tip)
