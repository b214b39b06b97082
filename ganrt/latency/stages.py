"""The stages of a call: drawing the latents, making room for the result, the engine, and all that is around them.

The same call is made in one piece and stage by stage, in turn; the difference of the two is what is around.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import Any

import msgspec
from numpy.typing import NDArray

from ..backends.base import Session
from ..latents import Draws
from ..spec import Spec

__all__ = ["ALLOCATE", "AROUND", "DRAW", "ENGINE", "Stage", "Stages", "sampling_stages", "signal_stages", "stages"]

DRAW, ALLOCATE, ENGINE, AROUND = "draw", "allocate", "engine", "around"
_LEAST = 5  # calls of either kind


class Stage(msgspec.Struct, frozen=True):
    """`name`: "draw" (latents, labels and codes from the seed), "allocate" (the arrays of the result), "engine" (which
    writes into them, so nothing is copied after it; pixels are made in its graph), "around" (checks, plan, calls)."""

    name: str
    ms: float


class Stages(msgspec.Struct, frozen=True):
    """Medians of `calls` calls in milliseconds; `call_ms` of the same call in one piece, which the stages add up to."""

    calls: int
    call_ms: float
    stages: list[Stage]


def stages(whole: Callable[[int], object], parts: Callable[[int], Mapping[str, float]], seconds: float) -> Stages:
    """`whole(i)` makes call i, and `parts(i)` makes it stage by stage and tells the seconds of each."""
    took, split = list[float](), defaultdict[str, list[float]](list)
    started, at = time.perf_counter(), 0
    while at < 2 * _LEAST or time.perf_counter() - started < seconds:
        begun = time.perf_counter()
        whole(at)
        took.append(time.perf_counter() - begun)
        for name, one in parts(at + 1).items():
            split[name].append(one)
        at += 2
    medians = {name: median(ones[1:]) * 1000 for name, ones in split.items()}  # first calls are of another kind
    call_ms = max(median(took[1:]) * 1000, sum(medians.values()))
    medians[AROUND] = call_ms - sum(medians.values())
    return Stages(len(took) - 1, round(call_ms, 6), [Stage(name, round(ms, 6)) for name, ms in medians.items()])


def sampling_stages(
    spec: Spec, pieces: list[tuple[int, Session]], batch: int, seed: int
) -> Callable[[int], dict[str, float]]:
    """Call i of `Generator.sample(batch)`, stage by stage; `pieces`: each engine call's samples and session."""
    port = spec.output_ports()[0]

    def parts(at: int) -> dict[str, float]:
        laps = _Laps()
        draws = Draws(spec, seed, at * batch, batch)
        laps.end(DRAW)
        result: NDArray[Any] = pieces[0][1].empty((batch, *port.shape[1:]), port.dtype)  # type: ignore[arg-type]
        laps.end(ALLOCATE)
        done = 0
        for size, session in pieces:
            feeds = draws.feeds(done, size)
            laps.end(DRAW)
            session.run(feeds, {port.name: result[done : done + size]})
            laps.end(ENGINE)
            done += size
        return laps.seconds

    return parts


def signal_stages(
    feeds: Callable[[int], Mapping[str, NDArray[Any]]], session: Session, outputs: Sequence[str]
) -> Callable[[int], dict[str, float]]:
    """Call i of `Generator.run`, whose one stage is the engine, the copy out of its memory with it."""

    def parts(at: int) -> dict[str, float]:
        given = feeds(at)
        laps = _Laps()
        session.evaluate(given, outputs)
        laps.end(ENGINE)
        return laps.seconds

    return parts


class _Laps:
    """Seconds from lap to lap, by the name that each had."""

    def __init__(self) -> None:
        self.seconds = defaultdict[str, float](float)
        self._since = time.perf_counter()

    def end(self, name: str) -> None:
        now = time.perf_counter()
        self.seconds[name] += now - self._since
        self._since = now
