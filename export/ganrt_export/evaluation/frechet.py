"""The Frechet distance (Heusel et al. 2017, arXiv:1706.08500) between normal distributions fitted to two sets:

    |m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2))

It depends on the features, and figures compare within the same ones only. It is FID in those of Inception-V3, as
published. It is too large for few pictures, by about a constant over their number (Chong and Forsyth 2020,
arXiv:1911.07023): `unbiased` is without that part, which the jackknife tells.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .estimate import GROUPS, Estimate, groups_of, jackknife

__all__ = ["Frechet", "frechet", "frechet_distance"]


class Frechet(NamedTuple):
    """`distance` as defined; `unbiased` to the first order, and so 0 on average for sets of the same distribution."""

    distance: Estimate
    unbiased: Estimate


def frechet_distance(real: NDArray[np.float32], generated: NDArray[np.float32]) -> float:
    """The distance between two sets of features, float32 [n, features] and [m, features]; 0 for equal sets."""
    middle = real.mean(axis=0, dtype=np.float64)
    return _distance(_Moments.of(real, middle), _Moments.of(generated, middle))


def frechet(
    real: NDArray[np.float32],
    generated: NDArray[np.float32],
    tell: Callable[[int, int], None] = lambda done, of: None,
) -> Frechet:
    """The same with its standard error, over both sets, and without bias; each needs two rows a group or more.

    `tell` hears how many of the groups are done.
    """
    middle = real.mean(axis=0, dtype=np.float64)
    whole = _Moments.of(real, middle), _Moments.of(generated, middle)
    distance = _distance(*whole)
    parts = zip(groups_of(len(real)), groups_of(len(generated)), strict=True)
    without = []
    for done, rows in enumerate(parts):
        tell(done, GROUPS)
        groups = (_Moments.of(features[some], middle) for features, some in zip((real, generated), rows, strict=True))
        without.append(_distance(*(moments - group for moments, group in zip(whole, groups, strict=True))))
    error, bias = jackknife(without, distance)
    return Frechet(Estimate(distance, error), Estimate(distance - bias, error))


class _Moments(NamedTuple):
    """Sums over rows of features about a common middle; the sums of a part can be taken out again."""

    rows: int
    total: NDArray[np.float64]
    products: NDArray[np.float64]

    @classmethod
    def of(cls, features: NDArray[np.float32], middle: NDArray[np.float64]) -> _Moments:
        centred = features - middle
        return cls(len(features), centred.sum(axis=0), centred.T @ centred)

    def __sub__(self, part: _Moments) -> _Moments:
        return _Moments(self.rows - part.rows, self.total - part.total, self.products - part.products)

    @property
    def mean(self) -> NDArray[np.float64]:
        return self.total / self.rows

    @property
    def covariance(self) -> NDArray[np.float64]:
        return (self.products - np.outer(self.total, self.mean)) / (self.rows - 1)


def _distance(one: _Moments, other: _Moments) -> float:
    # tr (S1 S2)^(1/2) = tr (S1^(1/2) S2 S1^(1/2))^(1/2), whose argument is symmetric
    first, second = one.covariance, other.covariance
    values, vectors = np.linalg.eigh(first)
    root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    roots = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ second @ root), 0))
    distance = np.square(one.mean - other.mean).sum() + np.trace(first) + np.trace(second) - 2 * roots.sum()
    return max(0.0, float(distance))  # rounding
