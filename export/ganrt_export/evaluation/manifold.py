"""Precision and recall, density and coverage: do samples lie where real pictures lie, and the other way round?

A set's manifold is the union of balls around its features, each reaching to the k-th nearest other one.

precision   share of samples in the real manifold    (Kynkaanniemi et al. 2019, arXiv:1904.06991; k = 3)
recall      share of real pictures in the samples' manifold
density     real balls around a sample, on average, over k; 1 for a perfect generator, and may be more
coverage    share of real balls with a sample in them    (Naeem et al. 2020, arXiv:2002.09797; k = 5)

Balls shrink as a set grows, so both sets must be of one size.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .estimate import Estimate, mean
from .neighbours import ball_sums, nearest

__all__ = ["LEAST", "density_coverage", "precision_recall"]

_KYNKAANNIEMI_K, _NAEEM_K = 3, 5
LEAST = _NAEEM_K + 1  # rows of each set


def precision_recall(
    real: NDArray[np.float32], generated: NDArray[np.float32], k: int = _KYNKAANNIEMI_K
) -> tuple[Estimate, Estimate]:
    """Precision and recall in 0 .. 1 of `generated` float32 [n, features] against `real` float32 [m, features].

    Both need more than `k` rows. A set against itself has 1 and 1. The errors are those of a share, for these balls.
    """
    return mean(_inside(generated, real, k)), mean(_inside(real, generated, k))


def density_coverage(
    real: NDArray[np.float32], generated: NDArray[np.float32], k: int = _NAEEM_K
) -> tuple[Estimate, Estimate]:
    """Density and coverage of `generated` against `real`, which needs more than `k` rows.

    Of two sets of one distribution and size, about 1 and 1 - 2^-k.
    """
    sums = ball_sums(generated, real, _radii(real, k), closed=False)
    return mean(sums.balls / k), mean(sums.hit)


def _inside(points: NDArray[np.float32], centres: NDArray[np.float32], k: int) -> NDArray[np.bool_]:
    """Which of `points` are in at least one ball around `centres`."""
    return ball_sums(points, centres, _radii(centres, k), closed=True).balls > 0


def _radii(centres: NDArray[np.float32], k: int) -> NDArray[np.float64]:
    """Each centre's distance to the k-th nearest other one; the nearest of all is itself."""
    return nearest(centres, centres, k + 1).distances[:, k]
