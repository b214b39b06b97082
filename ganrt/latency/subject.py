"""A loaded generator, seen as something to time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec
from numpy.typing import NDArray

from ..backends.acceptance import Figures, References, hold
from ..backends.base import Session, SessionInfo
from ..bundle import Bundle
from .bench import Course, fresh_signals, time_row
from .results import Asked, EngineCall, Timing

__all__ = ["Subject", "benchmark", "engine_calls"]


class Subject(NamedTuple):
    """`sample(n, seed=, start=)` and `run(inputs, outputs=)` as users call them; `pieces`: the engine calls of one of
    them, each with its form of the graph, its samples, and the session that makes them."""

    bundle: Bundle
    sample: Callable[..., NDArray[Any]]
    run: Callable[..., dict[str, NDArray[Any]]]
    pieces: list[tuple[str, int, Session]]


def benchmark(subject: Subject, batch: int, *, course: Course, seed: int, asked: Asked | None) -> Timing:
    """One row: `batch` samples a call. Raises ArgumentError where there is nothing to feed it with."""
    references, spec = References(subject.bundle), subject.bundle.manifest.spec

    def judge() -> Figures | None:
        """The worst of every session, at every size that it was called at."""
        held = {(id(session), size): (session, size) for _, size, session in subject.pieces}
        figures = [hold(session, references, (size,)) for session, size in held.values()]
        return min((one for one in figures if one), key=lambda one: one.psnr_db, default=None)

    asked, ran = asked or Asked(), engine_calls(subject)
    if not spec.signals:
        return time_row(
            lambda at: subject.sample(batch, seed=seed, start=at * batch),
            int,
            batch=batch,
            asked=asked,
            ran=ran,
            judge=judge,
            course=course,
            distinct=bool(spec.latents),
        )
    output = spec.output_ports()[0].name
    return time_row(
        lambda feeds: subject.run(feeds, outputs=[output])[output],
        fresh_signals(references, batch, seed),
        batch=batch,
        asked=asked,
        ran=ran,
        judge=judge,
        course=course,
        distinct=False,  # a small change of the input may be none of the rounded output
    )


def engine_calls(subject: Subject) -> list[EngineCall]:
    """What a call is made of, equal ones counted."""
    calls = Counter(_call(form, size, session.info) for form, size, session in subject.pieces)
    return [msgspec.structs.replace(one, count=count) for one, count in calls.items()]


def _call(form: str, size: int, info: SessionInfo) -> EngineCall:
    """Fewer samples than streams leave the cores of the other streams alone."""
    streams = min(info.streams, size)
    return EngineCall(
        size,
        1,
        info.backend,
        info.engine,
        info.device,
        info.precision,
        form,
        info.threads * streams // info.streams,
        info.fell_back,
        streams,
    )
