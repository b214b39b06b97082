"""The rows of a benchmark: every engine, precision and number of threads that was asked for, at every batch size."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

import msgspec

from ..backends import NAMES, available, precisions
from ..backends.base import GRAPH_OF
from ..backends.choose import ways
from ..bundle import Bundle
from ..errors import BackendError, BackendUnavailable, FidelityError
from ..generator import Generator
from ..latency.memory import resident
from ..latency.results import Asked, Report, Timing

__all__ = ["asked_for", "fill"]


def asked_for(
    bundle: Bundle, backends: Sequence[str], kinds: Sequence[str], form: str, threads: Sequence[int | None]
) -> tuple[list[Asked], dict[str, str]]:
    """What to time, and what of "all" cannot be, with the reason.

    Raises what `Generator.load` would raise for an engine or a precision asked for by name, before anything is timed.
    """
    skipped: dict[str, str] = {}
    engines = list[str]()
    for name in backends:
        if name != "all":
            engines.append(name)
            continue
        for one in NAMES:
            here = available(one)
            if here:
                engines.append(one)
            else:
                skipped[one] = f"{here.reason}. Install it: {here.install}"
    if not engines:
        raise BackendUnavailable(f"No engine is installed. Install one: {available(NAMES[0]).install}")
    asked = dict.fromkeys(
        Asked(engine, kind, form, count)
        for count in threads
        for engine in dict.fromkeys(engines)
        for word in kinds
        for kind in (_kinds(bundle, engine) if word == "all" else (word,))
    )
    for each in asked:
        ways(bundle, backend=each.backend, precision=each.precision, form=each.form)
    return list(asked), skipped


def fill(
    report: Report, source: str, asked: Sequence[Asked], sizes: Sequence[int], tell: Callable[[str], None]
) -> None:
    """Times all of it into `report.rows`. Ctrl-C ends it, and `report.interrupted` says so.

    Raises BackendUnavailable when nothing could be timed.
    """
    unavailable: BackendUnavailable | None = None
    try:
        for one in asked:
            try:
                for row in _rows(report, source, one, sizes, tell):
                    report.rows.append(row)
                    if row.state == "interrupted":
                        report.interrupted = True
                        return
            except BackendUnavailable as problem:
                unavailable = problem
                report.skipped[f"{one.backend} {one.precision}"] = str(problem)
            except (BackendError, FidelityError) as problem:
                report.rows += [Timing(size, one, "failed", fault=str(problem)) for size in sizes]
    except KeyboardInterrupt:  # between two rows, or while loading
        report.interrupted = True
    if unavailable is not None and not report.rows:
        raise unavailable


def _rows(
    report: Report, source: str, asked: Asked, sizes: Sequence[int], tell: Callable[[str], None]
) -> Iterator[Timing]:
    """One engine's rows. It is loaded twice: what the first load finds out, the second one only remembers."""
    name = " ".join(filter(None, [asked.backend, asked.precision, f"{asked.threads} threads" if asked.threads else ""]))
    before, took = resident(), list[float]()

    def load() -> Generator:
        started = time.perf_counter()
        generator = Generator.load(
            source,
            backend=asked.backend,
            precision=asked.precision,
            form=asked.form,
            threads=asked.threads,
            progress=lambda doing: tell(f"{name}: {doing}"),
        )
        took.append(round((time.perf_counter() - started) * 1000, 3))
        return generator

    tell(f"{name}: loading")
    load().close()
    with load() as generator:
        for size in sizes:
            tell(f"{name}: timing batch {size}")
            settings = report.settings
            row = generator.benchmark(
                size, seconds=settings.seconds, percentile=settings.percentile, seed=settings.seed, asked=asked
            )
            row.first_load_ms, row.load_ms = took
            if row.memory is not None:
                row.memory = msgspec.structs.replace(row.memory, before_load=before)
            yield row


def _kinds(bundle: Bundle, engine: str) -> tuple[str, ...]:
    """Every precision that the bundle has a graph for and the engine, or any engine here, computes in."""
    engines = (engine,) if engine != "auto" else tuple(name for name in NAMES if available(name))
    able = {kind for name in engines for kind in precisions(name)}
    return tuple(kind for kind, graph in GRAPH_OF.items() if kind in able and graph in bundle.manifest.graphs)
