"""Percentiles as bounds that hold, not as guesses.

Of n independent calls, the number that are slower than the true p-th percentile is binomial(n, 1 - p). If

    P(binomial(n, 1 - p) <= t) < 1 - c                            (the incomplete beta I_p(n - t, t + 1))

then with confidence c more than t calls are slower than the percentile, so the t-th largest lies above it. MLPerf's
early stopping (loadgen, early_stopping.cc and results.cc: c = 0.99, no tolerance, t at least 1) reports the t-th
largest for the greatest such t. It never is below the plain percentile, and has no value until n is large enough:
11 calls for p50, 64 for p90, 662 for p99, 6,636 for p99.9.

The argument needs independent calls. Neighbouring calls of a busy machine are not quite; `ganrt.latency.noise` warns.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import ArrayLike

__all__ = ["CONFIDENCE", "PERCENTILES", "Percentile", "bound", "interval", "needed", "tail"]

PERCENTILES = (50.0, 90.0, 95.0, 99.0, 99.9)
CONFIDENCE = 0.99
_NEGLIGIBLE = 1e-18  # of the largest term of a sum


class Percentile(msgspec.Struct, frozen=True):
    """An upper bound of one percentile, at 99 % confidence.

    `ms` is None where there are too few calls for any bound; `calls_needed` is how many it takes.
    """

    percent: float
    ms: float | None
    calls_needed: int

    def __str__(self) -> str:
        if self.ms is None:
            return f"p{self.percent:g} not enough samples ({self.calls_needed:,} needed)"
        return f"p{self.percent:g} {_three_digits(self.ms)} ms"


def tail(calls: int, most: int, chance: float) -> float:
    """P(binomial(calls, chance) <= most).

    >>> round(tail(64, 1, 0.1), 5), round(tail(63, 1, 0.1), 5)
    (0.00956, 0.01048)
    """
    if most < 0:
        return 0.0
    if most >= calls:
        return 1.0
    odds = (1 - chance) / chance
    if most > chance * (calls + 1):  # beyond the largest term: the other tail is the short sum
        return 1.0 - tail(calls, calls - most - 1, 1 - chance)
    head = (
        math.lgamma(calls + 1)
        - math.lgamma(most + 1)
        - math.lgamma(calls - most + 1)
        + most * math.log(chance)
        + (calls - most) * math.log1p(-chance)
    )
    total = term = 1.0
    for k in range(most, 0, -1):  # each term is a fraction of the one before
        term *= k * odds / (calls - k + 1)
        total += term
        if term < _NEGLIGIBLE * total:
            break
    return math.exp(head) * total


def bound(samples: ArrayLike, percent: float, confidence: float = CONFIDENCE) -> float | None:
    """MLPerf's early-stopping estimate of a percentile: above the true one with `confidence`; None with too few.

    >>> bound(range(1, 65), 90), bound(range(1, 64), 90)
    (64.0, None)
    """
    values = np.asarray(samples, np.float64)
    slower = _most(len(values), 1 - percent / 100, 1 - confidence)
    return None if slower < 1 else float(np.partition(values, len(values) - slower)[len(values) - slower])


def needed(percent: float, confidence: float = CONFIDENCE) -> int:
    """The fewest calls of which `bound` gives a number.

    >>> [needed(percent) for percent in PERCENTILES]
    [11, 64, 130, 662, 6636]
    """
    low, high = 1, 2
    while tail(high, 1, 1 - percent / 100) >= 1 - confidence:
        low, high = high, high * 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if tail(middle, 1, 1 - percent / 100) < 1 - confidence else (middle, high)
    return high


def interval(samples: Sequence[float], percent: float, confidence: float = CONFIDENCE) -> tuple[float, float] | None:
    """Order statistics between which the percentile lies with `confidence`; None with too few calls."""
    values, share, miss = np.sort(np.asarray(samples, np.float64)), percent / 100, (1 - confidence) / 2
    above, below = _most(len(values), 1 - share, miss), _most(len(values), share, miss)
    if above < 0 or below < 0:
        return None
    return float(values[below]), float(values[len(values) - 1 - above])


def _most(calls: int, chance: float, miss: float) -> int:
    """The greatest t with P(binomial(calls, chance) <= t) < miss; -1 when there is none."""
    low, high = -1, max(0, math.floor(calls * chance)) + 1  # P is above a quarter at the mean
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if tail(calls, middle, chance) < miss else (low, middle)
    return low


def _three_digits(value: float) -> str:
    return f"{value:.{max(0, 2 - math.floor(math.log10(value)))}f}" if value > 0 else "0"
