"""What `ganrt bench --scenario --json` writes, and the same for people.

The JSON is these structs, field by field. It begins with `"schema": "ganrt.scenario", "version": 1`; latencies are
milliseconds, `seconds` and `max_delay` seconds.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from ..environment import Environment
from .results import in_words
from .scenarios import Outcome, rate
from .slo import Search

__all__ = ["SCHEMA", "VERSION", "ScenarioReport", "lines"]

SCHEMA, VERSION = "ganrt.scenario", 1


class ScenarioReport(msgspec.Struct):
    """A whole result. `bundle`: its digest; `ran`: what computes single samples, the `outcome` tells it of its batches;
    `outcome`: the run that counts, where there is one; `search`: with a latency budget and no rate, how the rate was
    found. `created`: UTC, ISO 8601."""

    ganrt: str
    created: str
    environment: Environment
    name: str
    bundle: str
    ran: str
    outcome: Outcome | None = None
    search: Search | None = None
    interrupted: bool = False
    schema: str = SCHEMA
    version: int = VERSION


def lines(report: ScenarioReport) -> Iterator[tuple[str, str]]:
    """What there is to say, each with a heading."""
    yield "generator", report.name
    yield "ran", _ran(report.outcome) or report.ran
    if report.search is not None:
        yield "found", str(report.search)
        yield "capacity", f"{rate(report.search.capacity)} samples a second when all are there at once"
        yield "runs", f"{len(report.search.runs)}"
    if report.outcome is not None:
        yield from _outcome(report.outcome)
    here = report.environment
    yield (
        "machine",
        f"{here.processor.cores} cores of {here.processor.name}, Python {here.python}, ganrt {report.ganrt}",
    )
    if report.interrupted:
        yield "interrupted", "this is a part of what was asked for, by the process's own clock"


def _ran(made: Outcome | None) -> str:
    """The engine calls of its batches; "" where it does not tell."""
    if made is None or not made.ran:
        return ""
    largest = " for the largest batch" if made.scenario.name == "server" else ""
    return f"{in_words(made.ran)}{largest}, {' and '.join(sorted({call.engine for call in made.ran}))}"


def _outcome(made: Outcome) -> Iterator[tuple[str, str]]:
    asked = made.scenario
    loadgen = f"MLPerf LoadGen {made.loadgen.split(' ')[0]}" if made.loadgen else "MLPerf LoadGen"
    yield "scenario", f"{asked.name}, {loadgen}, {asked.seconds:g} s"
    yield "result", made.verdict + (f": {made.reason or made.fault}" if made.reason or made.fault else "")
    reached = "" if made.samples_a_second is None else f", {rate(made.samples_a_second)} samples a second"
    wanted = "" if asked.target_qps is None else f" ({rate(asked.target_qps)} were asked for)"
    yield "answered", f"{made.queries:,} queries, {made.samples:,} samples{reached}{wanted}"
    if made.latency_ms is not None and made.percentile is not None:
        at_most = "" if made.bound_ms is None else f"; at 99 % confidence at most {made.bound_ms:.3g} ms"
        budget = f" of {asked.budget_ms:g} ms" if asked.name == "server" else ""
        over = "" if made.over_budget is None else f"; {made.over_budget:,} requests took longer"
        yield f"p{made.percentile:g}", f"{made.latency_ms:.3g} ms{budget}{at_most}{over}"
    if made.percentiles_ms:
        every = ", ".join(f"p{percent} {ms:.3g}" for percent, ms in made.percentiles_ms.items())
        yield "latency, ms", f"{every}, largest {made.most_ms:.3g}"
    if made.batch is not None and asked.name in ("server", "offline"):
        yield "batches", f"of {made.batch:.3g} samples" + (" on average" if asked.name == "server" else "")
    if made.checked:
        same = "not what" if made.state == "failed" else "what"
        yield "outputs", f"{made.checked} were compared, and are {same} sample() gives"
    if made.logs:
        yield "logs", made.logs
