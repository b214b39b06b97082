"""The kernel distance (Binkowski et al. 2018, arXiv:1801.01401): squared maximum mean discrepancy with

    k(x, y) = (x.y / features + 1)^3

as the unbiased estimate over all pairs, so that it is 0 on average for sets of the same distribution, whatever their
sizes, and may be a little below. It is KID in the features of Inception-V3. The paper averages the same over 100 random
subsets; all pairs have the same mean and less noise. Its standard error comes from leaving groups out.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .estimate import GROUPS, Estimate, groups_of, jackknife

__all__ = ["kernel_distance"]

_ROWS = 4_096  # of a kernel matrix at a time


def kernel_distance(real: NDArray[np.float32], generated: NDArray[np.float32]) -> Estimate:
    """The distance between float32 [n, features] and [m, features]; each needs two rows a group or more."""
    parts = [[features[rows].astype(np.float64) for rows in groups_of(len(features))] for features in (real, generated)]
    within = [_within(part) for part in parts]
    between = np.array([[_kernel_sum(a, b) for b in parts[1]] for a in parts[0]])
    counts = [np.array([len(group) for group in part]) for part in parts]
    everything = np.ones(GROUPS, np.bool_)
    whole = _statistic(within, between, counts, everything)
    without = [_statistic(within, between, counts, everything & (np.arange(GROUPS) != i)) for i in range(GROUPS)]
    return Estimate(whole, jackknife(without, whole)[0])


def _statistic(
    within: list[NDArray[np.float64]],
    between: NDArray[np.float64],
    counts: list[NDArray[np.int64]],
    kept: NDArray[np.bool_],
) -> float:
    """The unbiased estimate from sums over pairs of groups, of the groups that are `kept`."""
    n, m = (int(count[kept].sum()) for count in counts)
    same = [sums[np.ix_(kept, kept)].sum() / (size * (size - 1)) for sums, size in zip(within, (n, m), strict=True)]
    return float(sum(same) - 2 * between[np.ix_(kept, kept)].sum() / (n * m))


def _within(groups: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Kernel sums between every two groups of a set, [groups, groups], pairs of a row with itself left out."""
    sums = np.zeros((len(groups), len(groups)))
    for i, one in enumerate(groups):
        for j in range(i):
            sums[i, j] = sums[j, i] = _kernel_sum(one, groups[j])
        sums[i, i] = _kernel_sum(one, one) - ((np.square(one).sum(axis=1) / one.shape[1] + 1) ** 3).sum()
    return sums


def _kernel_sum(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    pieces = (a[start : start + _ROWS] @ b.T for start in range(0, len(a), _ROWS))
    return float(sum(((piece / a.shape[1] + 1) ** 3).sum() for piece in pieces))
