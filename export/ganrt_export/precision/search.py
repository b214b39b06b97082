"""The fewest operations that must stay higher: a bisection over the graph, by measured error alone.

    everything low fails -> how bad is each part of the graph, alone low? -> the worst parts are cut smaller, down to
    single operations -> the worst stay high, as few as pass -> what of them is not needed after all goes low again

Errors are powers, so those of parts add up, roughly: a part is cut as long as it may matter for the sum.
"""

from __future__ import annotations

import heapq
import math
import time
from collections.abc import Callable, Collection, Hashable, Sequence, Sized
from itertools import count
from typing import TypeAlias, TypeVar

__all__ = ["fewest_high", "fewest_that_hold"]

T = TypeVar("T", bound=Hashable)
Error: TypeAlias = Callable[[frozenset[T]], float]

_CUT = 4  # pieces of a part
_IGNORED = 0.25  # of the limit: what parts may have together and still be left whole
_SEARCHES = 5
_NEAR = 0.8  # of what fails already: what passes with so much need not be more
_LEAST = 24  # errors asked for by a search however long each takes
_STRICTER = 0.95  # of what the next search may have, so that it does not end where the last one did


def fewest_that_hold(
    items: Sequence[T], error: Error[T], whole: Error[T], *, patience_s: float, cheap: Collection[T] = ()
) -> frozenset[T] | None:
    """`fewest_high` by a quick error, such as of a few bad samples, until the error of them all is at most 1 too.

    `patience_s`: of the first search, half of it of each other, and more where that is not enough for a few questions.
    None when nothing holds, not even everything high.
    """
    known: dict[frozenset[T], float] = {}

    def measured(high: frozenset[T]) -> float:
        if high not in known:
            value = error(high)
            known[high] = math.inf if math.isnan(value) else value
        return known[high]

    limit, passing, failing, patience = 1.0, 0.0, math.inf, patience_s
    best: frozenset[T] | None = None
    for turn in range(_SEARCHES):
        patient = _patience(time.perf_counter() + patience, known)
        found = fewest_high(items, measured, limit=limit, patience=patient, cheap=cheap)
        if found is None:
            return best
        off, reached = whole(found), min(limit, measured(found))
        if off <= 1:
            best, passing = found, limit
        else:
            failing = reached
        if (turn == 0 and off <= 1) or passing > _NEAR * failing:
            break
        stricter = min(off ** (1 + turn / 2), 10.0)  # errors that are not normal shrink less than told
        limit = math.sqrt(passing * failing) if passing else _STRICTER * reached / stricter
        patience = patience_s / 2
    if best is None and whole(frozenset(items)) <= 1:
        return frozenset(items)
    return best


def _patience(end: float, known: Sized) -> Callable[[], bool]:
    least = len(known) + _LEAST
    return lambda: time.perf_counter() < end or len(known) < least


def fewest_high(
    items: Sequence[T],
    error: Error[T],
    *,
    limit: float = 1.0,
    patience: Callable[[], bool] = lambda: True,
    cheap: Collection[T] = (),
) -> frozenset[T] | None:
    """The items to keep high so that `error(high)` is at most `limit`; few, though not provably the fewest.

    `items`: in the order of the graph, so that neighbours share a part. `error`: of the graph with those high and the
    rest low. `cheap`: items that cost little when they are high, and are kept so before any other. `patience`: whether
    there is time for more; without it, parts stay high as a whole.
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

    everything, first = frozenset(items), frozenset(cheap) & frozenset(items)
    if measured(frozenset()) <= limit:
        return frozenset()
    if measured(everything) > limit:
        return None
    enough = bool(first) and measured(first) <= limit
    base = frozenset[T]() if enough else first
    choices = [one for one in items if (one in first) == enough]
    all_high = base | set(choices)
    parts = _parts(choices, lambda part: measured(all_high - set(part)), limit, patience)
    low, high = 0, len(parts)  # so many of the worst parts: too few, and enough
    while high - low > 1:
        middle = (low + high) // 2
        passes = measured(base.union(*parts[:middle])) <= limit
        low, high = (low, middle) if passes else (middle, high)
    return _given_back(base.union(*parts[:high]), items, measured, limit, patience)


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


def _given_back(
    high: frozenset[T], items: Sequence[T], error: Error[T], limit: float, patience: Callable[[], bool]
) -> frozenset[T]:
    """What of `high` must be: the rest can be low after all. Large pieces are tried first, then single items."""
    kept = [one for one in items if one in high]
    size = len(kept) // 2
    while size and patience():
        for start in range(0, len(kept), size):
            piece = high & set(kept[start : start + size])
            if piece and piece != high and patience() and error(high - piece) <= limit:
                high -= piece
        size //= 2
    return high
