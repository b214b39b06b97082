"""A loaded generator is profiled: the same calls that are timed, looked into."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from ..backends.acceptance import References
from ..backends.base import GRAPH_OF, Graph, Options
from ..backends.profile import profile as trace
from ..errors import BackendError
from ..latents import Draws
from .bench import fresh_signals
from .energy import Meter
from .operations import Operations, Traced, operations
from .profile import Profile
from .stages import sampling_stages, signal_stages, stages
from .subject import Subject
from .work import work

__all__ = ["profile"]


def profile(subject: Subject, batch: int, *, seconds: float, seed: int) -> Profile:
    """Half of `seconds` for stages, half for operations. Raises ArgumentError where there is nothing to feed."""
    spec, references = subject.bundle.manifest.spec, References(subject.bundle)
    sessions = [(size, session) for _, size, session in subject.pieces]
    meter = Meter()
    if spec.signals:
        feeds = fresh_signals(references, batch, seed)
        names = [port.name for port in spec.graph_outputs()]
        with meter:
            staged = stages(lambda at: subject.run(feeds(at)), signal_stages(feeds, sessions[0][1], names), seconds / 2)
    else:
        with meter:
            staged = stages(
                lambda at: subject.sample(batch, seed=seed, start=at * batch),
                sampling_stages(spec, sessions, batch, seed),
                seconds / 2,
            )
    form, _, session = subject.pieces[0]
    one = _inputs(subject, references, 1, seed)
    done = work(subject.bundle, session.info.precision, form, one, references.empty_outputs(session, 1, raw=False))
    told, note = _operations(subject, references, batch, seconds / 2, seed)
    return Profile(
        batch, staged, told, done, done.weights * len(sessions), meter.energy, batch * 2 * (staged.calls + 1), note
    )


def _operations(
    subject: Subject, references: References, batch: int, seconds: float, seed: int
) -> tuple[Operations | None, str]:
    """The operations of every engine call that the call is made of."""
    calls = Counter((form, size, id(session)) for form, size, session in subject.pieces)
    opened = {id(session): session for _, _, session in subject.pieces}
    traces = list[Traced]()
    try:
        for (form, size, which), count in calls.items():
            session = opened[which]
            info = session.info
            graph = Graph.of(subject.bundle, GRAPH_OF[info.precision], form)
            inputs = _inputs(subject, references, size if not subject.bundle.manifest.spec.signals else batch, seed)
            outputs = references.empty_outputs(session, len(next(iter(inputs.values()))), raw=False)
            options = Options(info.threads, info.precision, streams=info.streams)
            found = trace(info.backend, graph, options, inputs, outputs, seconds / len(calls))
            traces.append(Traced(found, count, min(info.streams, size)))
    except BackendError as problem:
        return None, str(problem)
    return operations(" + ".join(dict.fromkeys(one.info.engine for one in opened.values())), traces), ""


def _inputs(subject: Subject, references: References, batch: int, seed: int) -> Mapping[str, NDArray[Any]]:
    spec = subject.bundle.manifest.spec
    return references.feeds(batch) if spec.signals else Draws(spec, seed, 0, batch).feeds(0, batch)
