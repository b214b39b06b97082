"""Distances between two sets of features: precision and recall, and the Frechet distance.

Precision and recall (Kynkaanniemi et al. 2019, arXiv:1904.06991): a set's manifold is the union of balls around its
features, each reaching to the k-th nearest other one. Precision is the share of generated features inside the real
manifold, recall the share of real features inside the generated one.

Frechet distance (Heusel et al. 2017, arXiv:1706.08500) between normal distributions fitted to the two sets:

    |m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2))

It depends on the feature space; figures compare within one judge only.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

__all__ = ["frechet_distance", "precision_recall"]

_ROWS = 1_000  # of a distance matrix at a time


def precision_recall(real: NDArray[np.float32], generated: NDArray[np.float32], k: int = 3) -> tuple[float, float]:
    """Precision and recall in 0 .. 1 of `generated` float32 [n, features] against `real` float32 [m, features].

    Both need more than `k` rows. A set against itself has 1 and 1.
    """
    return _inside(generated, real, k), _inside(real, generated, k)


def frechet_distance(real: NDArray[np.float32], generated: NDArray[np.float32]) -> float:
    """The Frechet distance between two sets of features, float32 [n, features] and [m, features]; 0 for equal sets."""
    mean1, mean2 = (features.mean(axis=0, dtype=np.float64) for features in (real, generated))
    cov1, cov2 = (np.cov(features.astype(np.float64), rowvar=False) for features in (real, generated))
    # tr (S1 S2)^(1/2) = tr (S1^(1/2) S2 S1^(1/2))^(1/2), whose argument is symmetric
    root1 = _root(cov1)
    roots = np.sqrt(np.maximum(np.linalg.eigvalsh(root1 @ cov2 @ root1), 0))
    distance = np.square(mean1 - mean2).sum() + np.trace(cov1) + np.trace(cov2) - 2 * roots.sum()
    return max(0.0, float(distance))  # rounding


def _inside(points: NDArray[np.float32], centres: NDArray[np.float32], k: int) -> float:
    """The share of `points` in at least one ball around `centres`."""
    radii = np.concatenate([np.partition(rows, k, axis=1)[:, k] for rows in _squares(centres, centres)])
    covered = [(rows <= radii).any(axis=1) for rows in _squares(points, centres)]
    return float(np.concatenate(covered).mean())


def _squares(a: NDArray[np.float32], b: NDArray[np.float32]) -> Iterator[NDArray[np.float64]]:
    """Squared distances [len(a), len(b)], some rows at a time; float64, because |a|^2 + |b|^2 - 2ab cancels."""
    a64, b64 = a.astype(np.float64), b.astype(np.float64)
    lengths = np.square(b64).sum(axis=1)
    for start in range(0, len(a64), _ROWS):
        rows = a64[start : start + _ROWS]
        yield np.maximum(np.square(rows).sum(axis=1)[:, None] + lengths - 2 * rows @ b64.T, 0)


def _root(covariance: NDArray[np.float64]) -> NDArray[np.float64]:
    values, vectors = np.linalg.eigh(covariance)
    root: NDArray[np.float64] = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    return root
