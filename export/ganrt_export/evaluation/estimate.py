"""A figure and how sure it is.

Errors of what is no mean come from the grouped jackknife (Quenouille 1949; Efron and Stein 1981): with t(i) the figure
without the i-th of g groups, and t its mean over i,

    error^2 = (g - 1) / g * sum_i (t(i) - t)^2        bias = (g - 1) * (t - figure of all)
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

__all__ = ["GROUPS", "Estimate", "groups_of", "jackknife", "mean"]

GROUPS = 10


class Estimate(msgspec.Struct, frozen=True):
    """`error`: one standard error; None where none is known."""

    value: float
    error: float | None = None


def mean(values: NDArray[np.float64] | NDArray[np.bool_]) -> Estimate:
    """The mean of values [n] and its standard error; of bools, a share."""
    return Estimate(float(np.mean(values)), float(np.std(values) / max(len(values) - 1, 1) ** 0.5))


def jackknife(without: Sequence[float], whole: float) -> tuple[float, float]:
    """Standard error and bias of `whole`, from the figure `without` each of the groups in turn."""
    left = np.asarray(without, np.float64)
    share = (len(left) - 1) / len(left)
    return float(np.sqrt(share * np.square(left - left.mean()).sum())), float((len(left) - 1) * (left.mean() - whole))


def groups_of(count: int, groups: int = GROUPS) -> list[NDArray[np.int64]]:
    """0 .. `count` - 1 in `groups` random parts of equal size or one less; the same ones each time.

    Random, because rows often come sorted by class.
    """
    order = np.random.Generator(np.random.Philox(count)).permutation(count)
    return np.array_split(order, groups)
