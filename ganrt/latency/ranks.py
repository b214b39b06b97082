"""By how much two sets of processes differ, and between which bounds: rank statistics, exact, without assumptions.

A process is one independent sample; the calls inside it are not (Kalibera and Jones 2013, doi:10.1145/2464157.2464160).
Few processes, some of them disturbed by a neighbour, rule out means and bootstraps. The median of all differences
(Hodges and Lehmann 1963, doi:10.1214/aoms/1177704172) ignores the disturbed ones, and the order statistics of the
differences that invert the Mann-Whitney test, or Wilcoxon's signed-rank test where the samples are pairs, bound it with
at least the confidence asked for, whatever the distribution is.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Shift", "pairs_needed", "shift", "shift_of_pairs"]


class Shift(NamedTuple):
    """The estimate and its bounds; -inf and inf where there are too few samples for any."""

    estimate: float
    low: float
    high: float


def shift(old: Sequence[float], new: Sequence[float], confidence: float = 0.95) -> Shift:
    """By how much `new` lies above `old`.

    >>> shift([1, 2, 3, 4, 5], [11, 12, 13, 14, 15])
    Shift(estimate=10.0, low=7.0, high=13.0)
    """
    differences = np.sort(np.subtract.outer(np.asarray(new, float), np.asarray(old, float)).ravel())
    return _bounded(differences, _mann_whitney(len(old), len(new)), confidence)


def shift_of_pairs(differences: Sequence[float], confidence: float = 0.95) -> Shift:
    """The centre of differences within pairs, from their means two by two.

    >>> shift_of_pairs([9, 10, 11, 10, 9, 11])
    Shift(estimate=10.0, low=9.0, high=11.0)
    """
    values = np.asarray(differences, float)
    first, second = np.triu_indices(len(values))
    return _bounded(np.sort((values[first] + values[second]) / 2), _signed_rank(len(values)), confidence)


def pairs_needed(confidence: float = 0.95) -> int:
    """The fewest pairs that give bounds.

    >>> pairs_needed(0.95), pairs_needed(0.99)
    (6, 8)
    """
    count = 1
    while 2 * 0.5**count > 1 - confidence:
        count += 1
    return count


def _bounded(ordered: NDArray[np.float64], chances: NDArray[np.float64], confidence: float) -> Shift:
    """`chances`: of the test statistic being 0, 1, 2, ... when nothing differs."""
    below = np.cumsum(chances)
    cut = int(np.searchsorted(below, (1 - confidence) / 2, side="right"))  # statistics that are too rare
    if cut == 0:
        return Shift(float(np.median(ordered)), -np.inf, np.inf)
    return Shift(float(np.median(ordered)), float(ordered[cut - 1]), float(ordered[-cut]))


@lru_cache
def _mann_whitney(one: int, other: int) -> NDArray[np.float64]:
    """Chances of 0, 1, ... of all pairs being in the wrong order: the greatest value is the one's or the other's."""
    row = [np.array([1.0])] * (other + 1)  # of i values of the one and 0, 1, ... of the other
    for i in range(1, one + 1):
        made = [np.array([1.0])]
        for j in range(1, other + 1):
            chances = np.zeros(i * j + 1)
            chances[j:] += row[j] * i / (i + j)
            chances[: len(made[-1])] += made[-1] * j / (i + j)
            made.append(chances)
        row = made
    row[other].setflags(write=False)  # shared by all who ask
    return row[other]


@lru_cache
def _signed_rank(count: int) -> NDArray[np.float64]:
    """Chances of the ranks of the negative differences having the sum 0, 1, ...: each rank is in it or not."""
    chances = np.zeros(count * (count + 1) // 2 + 1)
    chances[0] = 1.0
    for rank in range(1, count + 1):
        shifted = np.zeros_like(chances)
        shifted[rank:] = chances[:-rank]
        chances = (chances + shifted) / 2
    chances.setflags(write=False)
    return chances
