"""Distances between two sets of features, float32 [n, features] and [m, features], in pieces that fit into memory.

|a - b|^2 = |a|^2 + |b|^2 - 2 a.b cancels where a and b are near: it is computed in float64, about the mean of b, and
the distances to the nearest that were found are computed again, from differences.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Nearest", "ball_sums", "nearest"]

_ROWS, _COLUMNS = 1_024, 1_024  # of a distance matrix at a time
_SLACK = 1e-9  # relative: what rounding may add to a squared distance


class Nearest(NamedTuple):
    """For each point the `k` nearest centres, the nearest first: distances float64 [n, k], indices int64 [n, k]."""

    distances: NDArray[np.float64]
    indices: NDArray[np.int64]


class BallSums(NamedTuple):
    """How often points [n] lie in balls [m]: for each point the balls, for each ball whether any point."""

    balls: NDArray[np.int64]
    hit: NDArray[np.bool_]


def nearest(points: NDArray[np.float32], centres: NDArray[np.float32], k: int = 1) -> Nearest:
    """The `k` nearest of `centres` to each of `points`; there must be that many. A point in both is its own first."""
    found = [_nearest_rows(points[rows], centres, k) for rows in _slices(len(points), _ROWS)]
    return Nearest(*(np.concatenate(part) for part in zip(*found, strict=True)))


def ball_sums(
    points: NDArray[np.float32], centres: NDArray[np.float32], radii: NDArray[np.float64], *, closed: bool
) -> BallSums:
    """Which of `points` are in which balls around `centres`, `radii` float64 [m]; `closed`: their surface included."""
    balls, hit = np.zeros(len(points), np.int64), np.zeros(len(centres), np.bool_)
    sign = 1 if closed else -1
    for rows, columns, squares in _squares(points, centres):
        inside = squares <= np.square(radii[columns]) * (1 + sign * _SLACK) + sign * _tiny(centres)
        balls[rows] += inside.sum(axis=1)
        hit[columns] |= inside.any(axis=0)
    return BallSums(balls, hit)


def _nearest_rows(points: NDArray[np.float32], centres: NDArray[np.float32], k: int) -> Nearest:
    best, where = np.full((len(points), k), np.inf), np.zeros((len(points), k), np.int64)
    for _, columns, squares in _squares(points, centres):
        rows = np.flatnonzero(squares.min(axis=1) < best.max(axis=1))  # the others have all they need
        squares = squares[rows]
        near = np.argpartition(squares, min(k, squares.shape[1]) - 1, axis=1)[:, :k]
        values = np.concatenate([best[rows], np.take_along_axis(squares, near, axis=1)], axis=1)
        indices = np.concatenate([where[rows], near + columns.start], axis=1)
        chosen = np.argpartition(values, k - 1, axis=1)[:, :k]
        best[rows], where[rows] = (np.take_along_axis(some, chosen, axis=1) for some in (values, indices))
    exact = np.stack(
        [np.linalg.norm(points.astype(np.float64) - centres[where[:, i]], axis=1) for i in range(k)], axis=1
    )
    order = np.argsort(exact, axis=1, kind="stable")
    return Nearest(np.take_along_axis(exact, order, axis=1), np.take_along_axis(where, order, axis=1))


def _squares(a: NDArray[np.float32], b: NDArray[np.float32]) -> Iterator[tuple[slice, slice, NDArray[np.float64]]]:
    """Squared distances between some rows of `a` and some of `b`, piece by piece."""
    middle = b.mean(axis=0, dtype=np.float64)
    for rows in _slices(len(a), _ROWS):
        some = a[rows] - middle
        lengths = np.square(some).sum(axis=1)[:, None]
        for columns in _slices(len(b), _COLUMNS):
            others = b[columns] - middle
            squares = (-2 * some) @ others.T
            squares += lengths
            squares += np.square(others).sum(axis=1)
            yield rows, columns, np.maximum(squares, 0, out=squares)


def _tiny(features: NDArray[np.float32]) -> float:
    """What rounding leaves of the squared distance between equal features."""
    return 1e-13 * float(np.square(features, dtype=np.float64).sum(axis=1).max())


def _slices(count: int, size: int) -> Iterator[slice]:
    return (slice(start, min(start + size, count)) for start in range(0, count, size))
