"""Which kinds of pictures does a generator make, and which never?

By class, where a classifier tells them; by cluster of the training pictures' features (Richardson and Weiss 2018,
arXiv:1805.12462, who count the clusters whose share differs: NDB). A kind counts as hit when its share of the samples
is at least a tenth of its share of the data: one sample that was taken for something else does not make a mode.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import NormalDist

import msgspec
import numpy as np
from numpy.typing import NDArray

from .estimate import Estimate, mean

__all__ = ["LEAST_OF_SHARE", "Classes", "Clusters", "classes", "clusters"]

LEAST_OF_SHARE = 0.1
_SIGNIFICANCE = 0.05


class Classes(msgspec.Struct, frozen=True):
    """`shares` of the samples that were taken for each class, and `real_shares` of held-out pictures in it.

    `classifier`: the share of held-out pictures that the classifier knows. `accuracy`: of samples of a class that was
    asked for, taken for that class; None where the generator takes no class, and so are `accuracies` by class.
    """

    hit: int
    of: int
    shares: dict[str, float]
    real_shares: dict[str, float]
    classifier: Estimate
    accuracy: Estimate | None = None
    accuracies: dict[str, Estimate] = {}


class Clusters(msgspec.Struct, frozen=True):
    """`hit` of `of` clusters; `different` ones have a share that differs at a significance of 5 %.

    `real_*`: the same of real pictures, which a perfect generator would reach; 5 % of them differ by chance.
    """

    hit: int
    of: int
    different: int
    real_hit: int
    real_different: int


def classes(
    names: Sequence[str],
    taken_for: NDArray[np.int64],
    asked: NDArray[np.int64] | None,
    real: NDArray[np.int64],
    real_taken_for: NDArray[np.int64],
) -> Classes:
    """By class: what samples were `taken_for`, and `asked` to be; the same of `real` pictures, whose labels are known.

    All are class indices, int64 [n] of samples and [m] of real pictures.
    """
    share, real_share = (np.bincount(some, minlength=len(names)) / len(some) for some in (taken_for, real))
    there = real_share > 0
    right = None if asked is None else taken_for == asked
    each = {name: right[asked == index] for index, name in enumerate(names)} if right is not None else {}
    return Classes(
        hit=int((share >= LEAST_OF_SHARE * real_share)[there].sum()),
        of=int(there.sum()),
        shares=dict(zip(names, share.tolist(), strict=True)),
        real_shares=dict(zip(names, real_share.tolist(), strict=True)),
        classifier=mean(real_taken_for == real),
        accuracy=None if right is None else mean(right),
        accuracies={name: mean(one) for name, one in each.items() if len(one)},
    )


def clusters(
    samples: NDArray[np.int64], training: NDArray[np.int64], held_out: NDArray[np.int64], count: int
) -> Clusters:
    """By cluster: those of the samples against those of the training pictures, which they were found in."""
    hit, different = _against(samples, training, count)
    real_hit, real_different = _against(held_out, training, count)
    return Clusters(hit, count, different, real_hit, real_different)


def _against(some: NDArray[np.int64], training: NDArray[np.int64], count: int) -> tuple[int, int]:
    """How many clusters are hit, and how many differ in a two-proportion z-test."""
    n, m = len(some), len(training)
    first, second = np.bincount(some, minlength=count), np.bincount(training, minlength=count)
    pooled = (first + second) / (n + m)
    error = np.sqrt(pooled * (1 - pooled) * (1 / n + 1 / m))
    away = np.abs(first / n - second / m)
    limit = NormalDist().inv_cdf(1 - _SIGNIFICANCE / 2)
    hit = first / n >= LEAST_OF_SHARE * second / m
    return int(hit[second > 0].sum()), int((away > limit * error).sum())
