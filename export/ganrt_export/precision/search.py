"""The fewest operations that must stay higher: a bisection over the graph, by measured error alone.

    everything low fails -> how bad is each part of the graph, alone low? -> the worst parts are cut smaller, down to
    single operations -> the worst stay high, as few as pass -> what of them is not needed after all goes low again

Errors are powers, so those of parts add up, roughly: a part is cut as long as it may matter for the sum.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Hashable, Sequence
from itertools import count
from typing import TypeVar

__all__ = ["fewest_high", "given_back"]

T = TypeVar("T", bound=Hashable)

_CUT = 4  # pieces of a part
_IGNORED = 0.25  # of the limit: what parts may have together and still be left whole


def fewest_high(
    items: Sequence[T],
    error: Callable[[frozenset[T]], float],
    *,
    limit: float = 1.0,
    patience: Callable[[], bool] = lambda: True,
) -> frozenset[T] | None:
    """The items to keep high so that `error(high)` is at most `limit`; few, though not provably the fewest.

    `items`: in the order of the graph, so that neighbours share a part. `error`: of the graph with those high and the
    rest low. `patience`: whether there is time for more; without it, parts stay high as a whole.
    None when even with all of them high the error is above the limit.

    >>> sorted(fewest_high(range(8), lambda high: 0.5 if {2, 5} <= high else 9.0))
    [2, 5]
    """
    known: dict[frozenset[T], float] = {}

    def measured(high: frozenset[T]) -> float:
        if high not in known:
            value = error(high)
            known[high] = math.inf if math.isnan(value) else value
        return known[high]

    everything = frozenset(items)
    if measured(frozenset()) <= limit:
        return frozenset()
    if measured(everything) > limit:
        return None
    parts = _parts(items, lambda part: measured(everything - set(part)), limit, patience)
    low, high = 0, len(parts)  # so many of the worst parts: too few, and enough
    while high - low > 1:
        middle = (low + high) // 2
        enough = measured(frozenset(one for part in parts[:middle] for one in part)) <= limit
        low, high = (low, middle) if enough else (middle, high)
    return given_back(frozenset(one for part in parts[:high] for one in part), items, measured, limit, patience)


def _parts(
    items: Sequence[T], alone: Callable[[Sequence[T]], float], limit: float, patience: Callable[[], bool]
) -> list[tuple[T, ...]]:
    """Parts of the items, those with the largest error an item first."""
    order = count()
    whole: list[tuple[float, int, tuple[T, ...]]] = [(-math.inf, next(order), tuple(items))]
    single: list[tuple[float, int, tuple[T, ...]]] = []
    while whole and patience() and -sum(error for error, _, _ in whole) > _IGNORED * limit:
        _, _, part = heapq.heappop(whole)
        size = -(-len(part) // _CUT)
        for start in range(0, len(part), size):
            piece = part[start : start + size]
            entry = (-alone(piece), next(order), piece)
            if len(piece) == 1:
                single.append(entry)
            else:
                heapq.heappush(whole, entry)
    ranked = sorted((*whole, *single), key=lambda entry: (entry[0] / len(entry[2]), entry[1]))
    return [part for _, _, part in ranked]


def given_back(
    high: frozenset[T],
    items: Sequence[T],
    error: Callable[[frozenset[T]], float],
    limit: float,
    patience: Callable[[], bool],
) -> frozenset[T]:
    """What of `high` must be: the rest of it can be low after all. Large pieces are tried first, then single items."""
    kept = [one for one in items if one in high]
    size = len(kept) // 2
    while size and patience():
        for start in range(0, len(kept), size):
            piece = high & set(kept[start : start + size])
            if piece and piece != high and patience() and error(high - piece) <= limit:
                high -= piece
        size //= 2
    return high
