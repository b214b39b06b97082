"""A batch in parts that are computed side by side, each on its own cores.

An operation on several cores ends with a wait for the slowest of them, and small ones hardly gain; parts of a batch
need not wait for each other before the end. A single sample has only one part, and is better off with all cores.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from itertools import pairwise
from typing import Any, NamedTuple, TypeAlias

from numpy.typing import NDArray

from ..errors import BackendError

__all__ = ["Part", "Streams", "split"]

Compute: TypeAlias = Callable[[Mapping[str, NDArray[Any]], Mapping[str, NDArray[Any]]], None]


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


class Streams:
    """Threads for the parts of a batch beside the caller's own, `count` together with it."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._others = ThreadPoolExecutor(count - 1, "ganrt-stream") if count > 1 else None

    def run(self, compute: Compute, inputs: Mapping[str, NDArray[Any]], outputs: Mapping[str, NDArray[Any]]) -> None:
        """`compute` for every part; returns when all are done. Raises what one of them raised."""
        if self._others is None:
            compute(inputs, outputs)
            return
        own, *rest = split(inputs, outputs, self._count)
        try:
            others = [self._others.submit(compute, *part) for part in rest]
        except RuntimeError as problem:  # its threads have ended
            raise BackendError("The generator is closed; load it again.") from problem
        try:
            compute(*own)
        finally:
            wait(others)  # they write into arrays of the caller
        for other in others:
            other.result()

    def close(self) -> None:
        if self._others is not None:
            self._others.shutdown(wait=False)
