"""A batch in parts that are computed side by side, each on its own cores.

An operation on several cores ends with a wait for the slowest of them, and small ones hardly gain; parts of a batch
need not wait for each other before the end. A single sample has only one part, and is better off with all cores.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any, NamedTuple

from numpy.typing import NDArray

__all__ = ["Part", "split"]


class Part(NamedTuple):
    """Views of consecutive samples, or the whole batch."""

    inputs: Mapping[str, NDArray[Any]]
    outputs: Mapping[str, NDArray[Any]]


def split(inputs: Mapping[str, NDArray[Any]], outputs: Mapping[str, NDArray[Any]], most: int) -> list[Part]:
    """At most `most` parts, as equal as can be, none empty; every array has the batch first."""
    count = 1 if most == 1 else min(most, *map(len, inputs.values()))
    if count <= 1:
        return [Part(inputs, outputs)]
    batch = len(next(iter(inputs.values())))
    ends = [batch * part // count for part in range(count + 1)]
    return [
        Part(*({name: array[start:end] for name, array in arrays.items()} for arrays in (inputs, outputs)))
        for start, end in pairwise(ends)
    ]
