"""`ganrt bench --scenario`: MLPerf's scenarios, and the rate of requests that a latency budget allows."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import msgspec
import typer

from ..errors import ArgumentError
from ..latency.loadgen import require
from ..latency.scenario_report import ScenarioReport, lines
from ..latency.scenarios import COMPLIANT_S, RULES, Scenario, rate
from ..latency.slo import Search, search
from .scenario_options import Engine, Wanted
from .scenario_process import Load, ScenarioProcess
from .terminal import plain, print_json, rows, say, show, waiting

__all__ = ["bench_scenario"]

_SECONDS, _SEARCH_SECONDS, _CAPACITY_SECONDS = 10.0, 5.0, 2.0
_STEPS_DOWN, _STEP = 3, 0.95  # when the rate that short runs found does not hold for ten minutes
_UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "": 1.0}


def bench_scenario(source: str, wanted: Wanted, engine: Engine, typed: set[str], json: bool) -> None:
    """Runs it and prints what came of it; exits with 1 when that is not valid, and with 130 after Ctrl-C.

    `typed`: names of the options that stood on the command line.
    """
    plan, load = _planned(wanted, typed), _loading(source, engine, typed)
    require()
    report = _report(source)
    with (
        _logs(wanted.logs) as logs,
        waiting("loading") as bar,
        ScenarioProcess(msgspec.structs.replace(load, logs=str(logs)), bar.describe) as process,
    ):
        report.ran = process.loaded
        if plan.searches:
            bar.end()  # each run has a line of its own
            _search(process, plan, report)
        else:
            scenario = plan.at(wanted.target_qps)
            bar.describe(f"{scenario.name}: {scenario.seconds:g} s")
            report.outcome = process.run(scenario)
    for outcome in [report.outcome, *(report.search.runs if report.search else [])]:
        if outcome is not None:
            report.interrupted |= outcome.state == "interrupted"
            outcome.logs = outcome.logs if wanted.logs else ""
    if json:
        print_json(report)
    else:
        show(rows(lines(report)))
    if report.interrupted:
        say("Interrupted; what was measured until then is kept, and labelled.")
        raise typer.Exit(130)
    if report.outcome is None or not report.outcome.valid:
        raise typer.Exit(1)


class _Plan(NamedTuple):
    """What the options ask for. `seconds`: of one run, or of each run of a search."""

    name: str
    seconds: float
    budget_ms: float
    searches: bool
    wanted: Wanted
    max_delay: float

    def at(self, qps: float | None, compliant: bool | None = None) -> Scenario:
        """One run, at a rate of requests where it has one. Raises ArgumentError for what cannot be."""
        wanted = self.wanted
        if compliant is None:
            compliant = wanted.compliant and not self.searches
        by_the_rules = compliant and (self.searches or wanted.duration is None)
        return Scenario(
            self.name,
            COMPLIANT_S if by_the_rules else self.seconds,
            qps,
            self.budget_ms,
            wanted.percentile,
            compliant,
            wanted.seed,
            wanted.max_batch,
            self.max_delay,
        )


def _planned(wanted: Wanted, typed: set[str]) -> _Plan:
    """The options, checked before anything is loaded."""
    at_rate = wanted.slo is not None or wanted.target_qps is not None
    if wanted.scenario is None and not at_rate:
        raise ArgumentError(f"--duration and the like go with a scenario; name one: --scenario {' | '.join(RULES)}.")
    name = wanted.scenario or "server"
    if name in RULES and name != "server":
        for option, given in (("slo", wanted.slo), ("target-qps", wanted.target_qps), ("max-batch", wanted.max_batch)):
            if given is not None:
                raise ArgumentError(f"--{option} is for --scenario server; {name} has nothing of the kind.")
        if "percentile" in typed:
            raise ArgumentError(f"--percentile is for --scenario server; MLPerf says itself what counts for {name}.")
    if name == "server" and not at_rate:
        raise ArgumentError(
            "The server scenario needs a rate, as in --target-qps 300, or a latency budget, as in --slo 20ms, to find "
            "the highest rate that keeps it."
        )
    if wanted.max_batch is not None and wanted.max_batch < 1:
        raise ArgumentError(f"--max-batch is {wanted.max_batch}; give a number of samples from 1.")
    budget = seconds("slo", wanted.slo) if wanted.slo is not None else 0.1
    if not budget > 0:
        raise ArgumentError(f"--slo is '{plain(wanted.slo)}'; a latency budget must be above 0, such as 20ms.")
    searches = name == "server" and wanted.target_qps is None
    length = seconds("duration", wanted.duration) if wanted.duration else _SEARCH_SECONDS if searches else _SECONDS
    plan = _Plan(name, length, budget * 1000, searches, wanted, seconds("max-delay", wanted.max_delay))
    plan.at(1.0 if searches else wanted.target_qps)
    return plan


def _loading(source: str, engine: Engine, typed: set[str]) -> Load:
    """What to load. Raises ArgumentError for options that mean nothing to a scenario."""
    for name in ("batch", "seconds", "whole", "profile", "html"):
        if name in typed:
            raise ArgumentError(
                f"--{name} is for timing single calls; a scenario has --duration, and a server --max-batch."
            )
    for name in ("backend", "precision", "threads"):
        value = getattr(engine, name) or ""
        if "," in value or value == "all":
            raise ArgumentError(f"--{name} is '{plain(value)}', but a scenario runs in one way; name one.")
    if engine.threads is not None and not re.fullmatch("[1-9][0-9]{0,3}", engine.threads):
        raise ArgumentError(f"--threads is '{plain(engine.threads)}'; give a whole number from 1.")
    threads = int(engine.threads) if engine.threads else None
    return Load(source, engine.backend, engine.precision, engine.form, threads, "")


def _search(process: ScenarioProcess, plan: _Plan, report: ScenarioReport) -> None:
    wanted = plan.wanted
    length = min(_CAPACITY_SECONDS, 2 * plan.seconds)
    say(f"What {report.name} makes when all is there at once, for {length:g} s:")
    capacity = process.run(Scenario("offline", length, seed=wanted.seed))
    if capacity.state != "ok" or not capacity.samples_a_second:
        report.outcome = capacity
        return
    report.search = found = Search(plan.budget_ms, wanted.percentile, capacity.samples_a_second)
    goal = f"p{wanted.percentile:g} within {plan.budget_ms:g} ms"
    say(f"{rate(found.capacity)} samples a second; now the highest rate of requests with {goal}:")
    search(found, lambda qps: process.run(plan.at(qps)), say)
    report.outcome = found.runs[-1] if found.runs[-1].state != "ok" else found.best
    if wanted.compliant and found.best_qps is not None and not found.interrupted:
        _confirm(process, plan, report, found.best_qps)


def _confirm(process: ScenarioProcess, plan: _Plan, report: ScenarioReport, qps: float) -> None:
    """The rate that short runs found, held for as long as the rules ask; a little less where it does not hold."""
    assert report.search is not None
    report.search.best_qps = None
    for _ in range(_STEPS_DOWN):
        say(f"{rate(qps)} requests a second for {COMPLIANT_S:.0f} s, as the rules ask")
        report.outcome = process.run(plan.at(qps, compliant=True))
        if report.outcome.valid:
            report.search.best_qps, report.search.best = qps, report.outcome
        if report.outcome.valid or report.outcome.state != "ok":
            return
        say(f"not valid: {report.outcome.reason}")
        qps *= _STEP


@contextmanager
def _logs(folder: Path | None) -> Iterator[Path]:
    """Where LoadGen may write: the user's folder, or one that goes when all is done."""
    if folder is not None:
        yield folder.absolute()
        return
    with tempfile.TemporaryDirectory(prefix="ganrt-loadgen-") as name:
        yield Path(name)


def _report(source: str) -> ScenarioReport:
    from .. import __version__
    from ..bundle import Bundle
    from ..environment import describe

    bundle = Bundle.open(source)
    created = datetime.now(UTC).isoformat(timespec="seconds")
    return ScenarioReport(__version__, created, describe(), bundle.manifest.name, bundle.digest, "")


def seconds(name: str, text: str) -> float:
    """A time such as 20ms, 0.5s, 10m, or a number of seconds.

    >>> seconds("slo", "20ms"), seconds("duration", "10m"), seconds("duration", "3")
    (0.02, 600.0, 3.0)
    """
    found = re.fullmatch(r"\s*(\d{1,9}(?:\.\d{0,9})?|\.\d{1,9})\s*(us|ms|s|m|)\s*", text)
    if not found:
        raise ArgumentError(f"--{name} is '{plain(text)}'; give a time such as 20ms, 2s or 10m.")
    return float(found[1]) * _UNITS[found[2]]
