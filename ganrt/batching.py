"""n samples -> engine calls, from a measured cost table.

A table holds milliseconds a call by batch size, for each way of computing. Large pictures often run best in small
batches that stay in the processor's cache, tiny ones in large batches; a plan is whatever the table says costs least.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Collection, Mapping, Sequence
from operator import itemgetter
from typing import NamedTuple

__all__ = ["LARGEST", "Piece", "plan", "sized_to_serve", "two_at_a_time"]

LARGEST = 64  # samples a call where nothing was measured
_WORTH = 0.98  # another way must save 2 % to be worth it
_SEVERAL = 0.95  # and several calls 5 %: of many sizes, one was measured in a lucky moment
_time = itemgetter(0)  # of calls and how long they take
_STREAMED = 0.9  # of its time is what a way of several streams costs, once two batches fill the gaps of each other
_SERVED_MS = 5.0  # of computing: a batch so long hardly feels what it costs to gather one and to hand it out


class Piece(NamedTuple):
    """One engine call: `size` samples in one way, by its name."""

    way: str
    size: int


def plan(n: int, costs: Mapping[str, Mapping[int, float]], preferred: str) -> tuple[Piece, ...]:
    """The calls that make `n` samples in least time, large ones first; without costs, `preferred` in calls of 64.

    Dynamic programming over the measured sizes; what is far more than the largest is first cut into the size that
    costs least a sample.

    >>> plan(5, {"a": {1: 1.0, 4: 2.0}, "b": {1: 0.8, 4: 4.0}}, "a")
    (Piece(way='a', size=4), Piece(way='b', size=1))
    """
    if not costs:
        whole, rest = divmod(n, LARGEST)
        return (Piece(preferred, LARGEST),) * whole + ((Piece(preferred, rest),) if rest else ())
    ways = sorted(costs, key=lambda way: way != preferred)
    costs = {
        way: table if way == preferred else {size: ms / _WORTH for size, ms in table.items()}
        for way, table in costs.items()
    }
    way, size = min(
        ((way, size) for way in ways for size in costs[way]), key=lambda piece: costs[piece[0]][piece[1]] / piece[1]
    )
    whole = max(0, n - max(map(max, costs.values()))) // size
    return (Piece(way, size),) * whole + _least(n - whole * size, costs, ways)


def _least(n: int, costs: Mapping[str, Mapping[int, float]], ways: Sequence[str]) -> tuple[Piece, ...]:
    """One call, or several where they save 5 %. Of equals, the first of `ways`."""
    sizes = {
        size: min(((costs[way][size], Piece(way, size)) for way in ways if size in costs[way]), key=_time)
        for size in sorted({size for table in costs.values() for size in table})
    }
    best = [(0.0, Piece("", 0))]  # for 0, 1, ... samples: the time of the best calls, and the last of them
    alone = best[0]
    for samples in range(1, n + 1):
        alone = sizes[samples] if samples in sizes else _alone(samples, costs, ways)
        found = alone
        for size, (ms, piece) in sizes.items():
            if size >= samples:
                break
            if best[samples - size][0] + ms < found[0]:
                found = best[samples - size][0] + ms, piece
        best.append(found)
    if n and best[n][0] > alone[0] * _SEVERAL:
        return (alone[1],)
    pieces = []
    while n > 0:
        pieces.append(best[n][1])
        n -= pieces[-1].size
    return tuple(sorted(pieces, key=lambda piece: -piece.size))


def _alone(n: int, costs: Mapping[str, Mapping[int, float]], ways: Sequence[str]) -> tuple[float, Piece]:
    """The time of the best single call."""
    found = [(_cost(costs[way], n), Piece(way, n)) for way in ways if n <= max(costs[way])]
    return min(found, key=_time, default=(float("inf"), Piece("", 0)))


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


def two_at_a_time(
    costs: Mapping[str, Mapping[int, float]], streamed: Collection[str]
) -> dict[str, Mapping[int, float]]:
    """The table for an engine that has a second batch while it computes the first; `streamed`: ways of several streams.

    One stream on all cores waits for each of them after every operation, and a core that gathers the next batch or
    hands out the last holds it up. Several streams wait for nobody while there is another batch.
    """
    return {
        way: {size: ms * _STREAMED for size, ms in table.items()} if way in streamed else table
        for way, table in costs.items()
    }


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
