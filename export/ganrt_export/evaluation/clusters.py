"""k-means (Lloyd 1982), started as k-means++ does (Arthur and Vassilvitskii 2007): the same clusters every time."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .neighbours import nearest

__all__ = ["cluster_of", "kmeans"]

_MOST_ROWS = 20_000  # that centres are fitted to
_ROUNDS = 25


def kmeans(features: NDArray[np.float32], count: int) -> NDArray[np.float32]:
    """The centres of `count` clusters of `features` float32 [n, features], with n at least `count`."""
    draws = np.random.Generator(np.random.Philox(count))
    some = features
    if len(features) > _MOST_ROWS:
        some = features[np.sort(draws.choice(len(features), _MOST_ROWS, replace=False))]
    centres = _spread(some, count, draws)
    for _ in range(_ROUNDS):
        assigned = cluster_of(some, centres)
        moved = _means(some, assigned, centres)
        if np.array_equal(moved, centres):
            break
        centres = moved
    return centres


def cluster_of(features: NDArray[np.float32], centres: NDArray[np.float32]) -> NDArray[np.int64]:
    """The cluster that each row is in, int64 [n]."""
    return nearest(features, centres).indices[:, 0]


def _spread(features: NDArray[np.float32], count: int, draws: np.random.Generator) -> NDArray[np.float32]:
    """Rows far apart: each next one with a chance that grows with the square of its distance to those before it."""
    chosen = [int(draws.integers(len(features)))]
    squares = np.full(len(features), np.inf)
    while len(chosen) < count:
        away = np.square(features - features[chosen[-1]], dtype=np.float64).sum(axis=1)
        squares = np.minimum(squares, away)
        total = squares.sum()
        weights = squares / total if total > 0 else None  # None: all rows are equal
        chosen.append(int(draws.choice(len(features), p=weights)))
    return features[chosen]


def _means(
    features: NDArray[np.float32], assigned: NDArray[np.int64], centres: NDArray[np.float32]
) -> NDArray[np.float32]:
    """The middle of each cluster; one that lost all its rows stays where it was."""
    order = np.argsort(assigned, kind="stable")
    counts = np.bincount(assigned, minlength=len(centres))
    moved, filled = centres.copy(), counts > 0
    starts = (np.cumsum(counts) - counts)[filled]
    sums = np.add.reduceat(features[order].astype(np.float64), starts, axis=0)
    moved[filled] = sums / counts[filled, None]
    return moved
