"""The rows of a benchmark: every engine, precision and number of threads that was asked for, at every batch size.

Each row is timed in several processes, and the rows take turns: first process of each, second process of each, ... So
what drifts during the benchmark hits all rows alike. A row of which enough is known sits out the rest.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack

from ..backends import NAMES, available, precisions
from ..backends.base import GRAPH_OF
from ..backends.choose import ways
from ..bundle import Bundle
from ..errors import BackendError, BackendUnavailable, FidelityError
from ..latency.child import Child, alternate
from ..latency.processes import LEAST, enough, join
from ..latency.results import Asked, Report, Timing
from .bench_child import Request

__all__ = ["COMMAND", "Row", "asked_for", "fill"]

_LOOKS = (1, 2, 4, 8)  # times the processes asked for, after which a comparison may be decided
COMMAND = (sys.executable, "-P", "-m", "ganrt.cli.bench_child")


class Row:
    """One row of a report while it is timed: what its processes have found so far."""

    def __init__(
        self, report: Report, source: str, asked: Asked, batch: int, command: Sequence[str] | None = None
    ) -> None:
        """`command`: starts a process that does what `bench_child` does; this Python's by default."""
        self.report, self.source, self.asked, self.batch = report, source, asked, batch
        self.command = command or COMMAND
        self.found: list[Timing] = []
        self.over = ""  # why no further process is started
        self.early = False  # none is, since enough is known

    def request(self, number: int, *, first: bool, paired: bool) -> Request:
        """For process `number`; `first`: the first of all that load it in this way; `paired`: side by side."""
        settings = self.report.settings
        sure = settings.processes if settings.whole else min(LEAST, settings.processes)
        return Request(
            self.source,
            self.asked,
            self.batch,
            settings.seconds / settings.processes,
            settings.percentile,
            settings.seed,
            first=first,
            judged=number == sure - 1,  # the last that comes for certain
            paired=paired,
        )

    def take(self, child: Child) -> None:
        """Keeps what the child found. What makes the engine useless ends the row, and so does knowing enough."""
        settings = self.report.settings
        try:
            self.found.append(child.result(Timing))
            self.over = self.found[-1].fault
            self.early = not settings.whole and len(self.found) < settings.processes and enough(self.found)
        except BackendUnavailable as problem:
            self.over = str(problem)
            self.report.skipped[f"{self.asked.backend} {self.asked.precision}"] = self.over
        except (BackendError, FidelityError) as problem:
            self.over = str(problem)
            self.found.append(Timing(self.batch, self.asked, "failed", fault=self.over))

    def __str__(self) -> str:
        threads = f"{self.asked.threads} threads" if self.asked.threads else ""
        return " ".join(filter(None, [self.asked.backend, self.asked.precision, threads, f"batch {self.batch}"]))


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
    rows: Sequence[tuple[Row, ...]],
    tell: Callable[[str], None] = lambda _: None,
    done: Callable[[int], None] = lambda _: None,
    undecided: Callable[[tuple[Row, ...]], bool] = lambda _: False,
) -> None:
    """Times rows into their reports, a process after the other; `done` counts them.

    Rows that stand together in a tuple are timed side by side: their processes are alive at once and take turns, a few
    calls each. `undecided`: whether they need as many processes again, and after that twice as many each time. Ctrl-C
    ends it, and the reports say `interrupted`. Raises BackendUnavailable when a report stays empty.
    """
    everyone = [row for group in rows for row in group]
    asked, going = max(row.report.settings.processes for row in everyone), list(rows)
    loaded = set[tuple[str, Asked]]()
    try:
        for number in range(asked * _LOOKS[-1]):
            if number in [asked * look for look in _LOOKS]:
                going = [group for group in going if not any(row.over for row in group) and undecided(group)]
            for group in going:
                if not any(row.over or row.early for row in group):
                    _time(group, number, loaded, tell)
                if number < asked:
                    done(len(group))
    except KeyboardInterrupt:
        for row in everyone:
            row.report.interrupted = True
    for row in everyone:
        if row.found:
            row.report.rows.append(join(row.found, max(asked, len(row.found)), early=row.early))
    for row in everyone:
        if not row.report.rows and not row.report.interrupted:
            raise BackendUnavailable(row.over)


def _time(group: Sequence[Row], number: int, loaded: set[tuple[str, Asked]], tell: Callable[[str], None]) -> None:
    """One process of each row; each has loaded and warmed up before the next is started."""
    children = list[Child]()
    with ExitStack() as started:
        try:
            for row in group:
                way = (row.source, row.asked)
                tell(str(row))
                request = row.request(number, first=way not in loaded, paired=len(group) > 1)
                child = Child(row.command, request, _named(tell, row))
                children.append(started.enter_context(child))
                loaded.add(way)
                child.asks()
            alternate(children)
        except KeyboardInterrupt:
            for row, child in zip(group, children, strict=False):
                if child.stop():
                    row.take(child)
            raise
        for row, child in zip(group, children, strict=True):
            row.take(child)


def _named(tell: Callable[[str], None], row: Row) -> Callable[[str], None]:
    return lambda doing: tell(f"{row}: {doing}")


def _kinds(bundle: Bundle, engine: str) -> tuple[str, ...]:
    """Every precision that the bundle has a graph for and the engine, or any engine here, computes in."""
    engines = (engine,) if engine != "auto" else tuple(name for name in NAMES if available(name))
    able = {kind for name in engines for kind in precisions(name)}
    return tuple(kind for kind, graph in GRAPH_OF.items() if kind in able and graph in bundle.manifest.graphs)
