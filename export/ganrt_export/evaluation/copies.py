"""Does a generator repeat itself, and does it repeat its training data?

Repetition: samples equal to another to the last pixel, and samples nearer to another than all but 1 % of as many real
pictures are to another (the idea of Arora and Zhang's birthday test, 2017, arXiv:1706.08224).

Memorising: Meehan, Chaudhuri and Dasgupta 2020 (arXiv:2004.05675). A generator that learnt the distribution makes
samples as far from the training pictures as held-out pictures are; one that copies makes nearer ones. In each cell of a
partition the distances are compared by a Mann-Whitney test, and C_T is the mean of the z-scores, weighted by the
held-out pictures in a cell: far below 0 for copies, far above for blurred or odd samples.
"""

from __future__ import annotations

import hashlib

import msgspec
import numpy as np
from numpy.typing import NDArray

from .estimate import Estimate, mean
from .neighbours import nearest

__all__ = ["COPYING", "Memorising", "Repetition", "Seen", "memorising", "repetition"]

COPYING = -3.0  # C_T below which copying is no chance
_RARE = 0.01  # of real pictures, as near to another as what is called near
_LEAST_IN_CELL = 20  # samples; with fewer its z-score says nothing


class Repetition(msgspec.Struct, frozen=True):
    """`distinct` of `of` samples; `most`: how often the most frequent one came; `near`: the share too near to another.

    `real_near`: the same share of real pictures against the same bound; about 1 %.
    """

    distinct: int
    of: int
    most: int
    near: Estimate
    real_near: Estimate


class Memorising(msgspec.Struct, frozen=True):
    """Distances to the nearest training picture, of samples over held-out pictures.

    `ratio`: of their medians; 1 is ideal. `farther`: how often a sample is farther than a held-out picture; 0.5 is
    ideal. `c_t`: how sure that is, in standard deviations, over `cells` cells. None where nothing can be divided by.
    """

    ratio: float | None
    farther: float
    c_t: float | None
    cells: int


class Seen:
    """Counts pictures by their pixels: `add` them as they come."""

    def __init__(self) -> None:
        self._counts: dict[bytes, int] = {}
        self._new: list[bool] = []

    def add(self, pictures: NDArray[np.uint8]) -> None:
        for picture in pictures:
            digest = hashlib.blake2b(np.ascontiguousarray(picture).data, digest_size=16).digest()
            self._new.append(digest not in self._counts)
            self._counts[digest] = self._counts.get(digest, 0) + 1

    @property
    def new(self) -> NDArray[np.bool_]:
        """Which of them were the first of their kind, bool [n]."""
        return np.array(self._new, np.bool_)

    @property
    def total(self) -> int:
        return len(self._new)

    @property
    def distinct(self) -> int:
        return len(self._counts)

    @property
    def most(self) -> int:
        return max(self._counts.values(), default=0)


def repetition(
    samples: NDArray[np.float32], real: NDArray[np.float32], other: NDArray[np.float32], seen: Seen
) -> Repetition:
    """Of samples, all of whose pixels were `seen`; `real` pictures give the bound, `other` ones stand beside.

    All float32 [n, features], as many of each, or the nearest would be nearer for their number alone.
    """
    bound = np.quantile(_to_others(real), _RARE)
    near, real_near = (mean(_to_others(some) <= bound) for some in (samples, other))
    return Repetition(seen.distinct, seen.total, seen.most, near, real_near)


def memorising(
    samples: NDArray[np.float64],
    held_out: NDArray[np.float64],
    sample_cells: NDArray[np.int64],
    held_out_cells: NDArray[np.int64],
) -> Memorising:
    """From distances to the nearest training picture, float64 [n] and [m], and the cell that each is in, int64.

    Of samples that are equal only one may be among them: the test counts each as a draw of its own.
    """
    scores, weights = [], []
    for cell in np.unique(held_out_cells):
        mine, theirs = samples[sample_cells == cell], held_out[held_out_cells == cell]
        if len(mine) >= _LEAST_IN_CELL:
            scores.append(_mann_whitney(mine, theirs)[1])
            weights.append(len(theirs))
    median = float(np.median(held_out))
    return Memorising(
        ratio=float(np.median(samples)) / median if median else None,
        farther=_mann_whitney(samples, held_out)[0],
        c_t=float(np.average(scores, weights=weights)) if scores else None,
        cells=len(scores),
    )


def _to_others(features: NDArray[np.float32]) -> NDArray[np.float64]:
    """The distance of each row to the nearest other one."""
    return nearest(features, features, 2).distances[:, 1]


def _mann_whitney(a: NDArray[np.float64], b: NDArray[np.float64]) -> tuple[float, float]:
    """How often a value of `a` is above one of `b`, ties for half, and the z-score of that."""
    n, m = len(a), len(b)
    _, places, counts = np.unique(np.concatenate([a, b]), return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[places]  # the mean rank of equal values
    above = ranks[:n].sum() - n * (n + 1) / 2
    total = n + m
    ties = (counts.astype(np.float64) ** 3 - counts).sum() / (total * (total - 1))
    deviation = np.sqrt(n * m / 12 * (total + 1 - ties))
    return float(above / (n * m)), float((above - n * m / 2) / deviation) if deviation > 0 else 0.0
