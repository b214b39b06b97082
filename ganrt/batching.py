"""n samples -> engine calls, from a measured cost table.

A table holds milliseconds a call by batch size, for each way of computing. Large pictures often run best in small
batches that stay in the processor's cache, tiny ones in large batches; a plan is whatever the table says costs least.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Mapping
from typing import NamedTuple

__all__ = ["LARGEST", "Piece", "plan", "sized_to_serve"]

LARGEST = 64  # samples a call where nothing was measured
_WORTH = 0.98  # more calls, or another way, must save 2 % to be worth it
_SERVED_MS = 5.0  # of computing: a batch so long hardly feels what it costs to gather one and to hand it out


class Piece(NamedTuple):
    """One engine call: `size` samples in one way, by its name."""

    way: str
    size: int


def plan(n: int, costs: Mapping[str, Mapping[int, float]], preferred: str) -> tuple[Piece, ...]:
    """The calls that make `n` samples in least time; without costs, `preferred` in calls of at most 64.

    >>> plan(5, {"a": {1: 1.0, 4: 2.0}}, "a")
    (Piece(way='a', size=4), Piece(way='a', size=1))
    """
    best, best_ms = _pieces(preferred, n, min(n, LARGEST)), float("inf")
    for way, table in sorted(costs.items(), key=lambda item: item[0] != preferred):
        for size in sorted({min(n, size) for size in table} | {min(n, max(table, default=1))}, reverse=True):
            ms = _cost(table, size) * (n // size) + (_cost(table, n % size) if n % size else 0.0)
            if ms < best_ms * _WORTH:
                best, best_ms = _pieces(way, n, size), ms
    return best


def sized_to_serve(costs: Mapping[str, Mapping[int, float]], preferred: str) -> int:
    """Samples of a batch that many requests share: as many calls of the fastest size as take 5 ms, at most 64 samples.

    A larger batch would gain nothing, and its first requests would wait for its last.

    >>> sized_to_serve({"a": {1: 2.0, 2: 2.1}}, "a"), sized_to_serve({"a": {1: 30.0}}, "a"), sized_to_serve({}, "a")
    (6, 1, 64)
    """
    way, size = plan(LARGEST, costs, preferred)[0]
    if way not in costs:
        return LARGEST
    return min(LARGEST, size * math.ceil(_SERVED_MS / _cost(costs[way], size)))


def _pieces(way: str, n: int, size: int) -> tuple[Piece, ...]:
    whole = (Piece(way, size),) * (n // size)
    return whole + ((Piece(way, n % size),) if n % size else ())


def _cost(table: Mapping[int, float], size: int) -> float:
    """Milliseconds of a call between the measured sizes: on the straight line, and in proportion above the largest."""
    if size in table:
        return table[size]
    sizes = sorted(table)
    above = bisect_left(sizes, size)
    if above == 0 or above == len(sizes):
        nearest = sizes[0] if above == 0 else sizes[-1]
        return table[nearest] * max(1.0, size / nearest)
    low, high = sizes[above - 1], sizes[above]
    return table[low] + (table[high] - table[low]) * (size - low) / (high - low)
