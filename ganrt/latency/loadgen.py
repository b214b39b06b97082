"""MLPerf's load generator: the only file that meets it.

LoadGen decides when a query comes, and keeps the time; it calls `issue` from a thread of its own and is told of answers
by `Complete`. It cannot be stopped: it ends when its time is up and every query is answered, and a process that ends
before crashes. It writes four files into a folder; `read` takes the figures out of the detail log, JSON line by line.

Sources: https://github.com/mlcommons/inference/tree/master/loadgen (results.cc for what it logs).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol, TypeAlias

import msgspec

from ..errors import BackendError, MissingExtra
from .percentiles import needed
from .scenarios import REPORTED, Outcome, Scenario, rate

__all__ = ["LIBRARY", "Complete", "Log", "Query", "drive", "ended_early", "judge", "require"]

LIBRARY = 1024  # samples that queries are drawn from
_MARK = ":::MLLOG "
_INSTALL = "pip install 'ganrt[bench]'"


class Query(Protocol):
    """A sample that is asked for: `id` answers it, `index` says which of the library."""

    id: int
    index: int


Complete: TypeAlias = Callable[[Sequence[int]], None]


class Log(msgspec.Struct):
    """What LoadGen wrote: a value by key, and its errors."""

    values: dict[str, Any]
    errors: list[str]


def require() -> ModuleType:
    """LoadGen itself. Raises MissingExtra when it is not installed."""
    try:
        import mlperf_loadgen
    except ImportError as problem:
        raise MissingExtra(f"MLPerf's LoadGen cannot be loaded ({problem}). Install it: {_INSTALL}") from problem
    module: ModuleType = mlperf_loadgen
    return module


def drive(
    scenario: Scenario,
    issue: Callable[[Complete], Callable[[Sequence[Query]], None]],
    expected_s: float,
    most_waiting: int,
    folder: Path,
) -> Log:
    """Runs one scenario to its end, which nothing brings nearer.

    `issue`: given `Complete`, it returns what is called with the samples of each query, which must not raise; each
    sample is completed by its id, in any thread. `expected_s`: what a query takes, or offline a sample; LoadGen
    prepares its queries by that. `most_waiting`: requests on the way at which a server has lost. `folder` is where the
    logs go.
    """
    lg = require()

    def complete(ids: Sequence[int]) -> None:
        lg.QuerySamplesComplete([lg.QuerySampleResponse(one, 0, 0) for one in ids])

    logs = lg.LogSettings()
    output = lg.LogOutputSettings()
    output.outdir = str(folder)
    logs.log_output, logs.enable_trace = output, False
    system = lg.ConstructSUT(issue(complete), lambda: None)
    library = lg.ConstructQSL(LIBRARY, LIBRARY, lambda _: None, lambda _: None)
    try:
        lg.StartTestWithLogSettings(system, library, _settings(lg, scenario, expected_s, most_waiting), logs, "")
    finally:
        lg.DestroyQSL(library)
        lg.DestroySUT(system)
    return read(folder)


def _settings(lg: ModuleType, scenario: Scenario, expected_s: float, most_waiting: int) -> Any:
    settings = lg.TestSettings()
    settings.FromConfig("", "ganrt", scenario.rule.mlperf, 0)  # 0: the rules that LoadGen carries, and no file
    settings.scenario = getattr(lg.TestScenario, scenario.rule.mlperf)
    settings.mode = lg.TestMode.PerformanceOnly
    settings.min_duration_ms = round(scenario.seconds * 1000)
    settings.min_query_count = scenario.least
    settings.single_stream_expected_latency_ns = settings.multi_stream_expected_latency_ns = expected_s * 1e9
    settings.offline_expected_qps = 1 / expected_s
    if scenario.target_qps is not None:
        settings.server_target_qps = scenario.target_qps
        settings.server_target_latency_ns = round(scenario.budget_ms * 1e6)
        settings.server_target_latency_percentile = scenario.percentile / 100
        settings.server_max_async_queries = most_waiting
    return settings


def read(folder: Path) -> Log:
    """The detail log in `folder`. Raises BackendError when LoadGen left none."""
    log = Log({}, [])
    try:
        lines = (folder / "mlperf_log_detail.txt").read_text(errors="replace").splitlines()
    except OSError as problem:
        raise BackendError(f"LoadGen left no log in {folder}: {problem.strerror or problem}.") from problem
    for line in lines:
        try:
            entry = json.loads(line.removeprefix(_MARK))
            log.values[entry["key"]] = entry["value"]
            if entry["metadata"]["is_error"]:
                log.errors.append(str(entry["value"]))
        except (ValueError, KeyError, TypeError):  # a line that was cut, or holds text that is not escaped
            continue
    if "result_validity" not in log.values:
        raise BackendError(f"LoadGen's log in {folder} holds no result; its files say more.")
    return log


def ended_early(log: Log) -> bool:
    """Whether all queries that LoadGen had prepared were answered before the time was up."""
    return log.values.get("result_min_duration_met") is False


def judge(scenario: Scenario, log: Log) -> Outcome:
    """The run as LoadGen saw it."""
    values = log.values
    made = Outcome(scenario, "ok", valid=values["result_validity"] == "VALID", loadgen=str(values["loadgen_version"]))
    made.compliant = made.valid and scenario.compliant
    per_query = "_per_query" if scenario.name == "multi-stream" else ""
    for percent in REPORTED:
        made.percentiles_ms[f"{percent:g}"] = _ms(values[f"result_{percent:.2f}_percentile{per_query}_latency_ns"])
    kind = "_query" if per_query else ""
    made.mean_ms, made.least_ms, made.most_ms = (
        _ms(values[f"result_{which}{kind}_latency_ns"]) for which in ("mean", "min", "max")
    )
    made.queries, made.samples = values["result_query_count"], values["result_query_count"] * scenario.rule.samples
    match scenario.name:
        case "offline":
            made.samples = values["effective_min_sample_count"]
            made.samples_a_second = values["result_samples_per_second"]
            made.percentiles_ms, made.mean_ms, made.least_ms, made.most_ms = {}, None, None, None
        case "server":
            made.samples_a_second = values["result_completed_samples_per_sec"]
            made.over_budget = values["result_overlatency_query_count"]
        case "single-stream":
            made.samples_a_second = values["result_qps_with_loadgen_overhead"]
            made.bound_ms = _bound(values, "early_stopping_latency_ss")
        case _:
            made.samples_a_second = 1000 * scenario.rule.samples / made.mean_ms if made.mean_ms else None
            made.bound_ms = _bound(values, "early_stopping_latency_ms")
    if scenario.counted is not None:
        made.percentile, made.latency_ms = scenario.counted, made.percentiles_ms[f"{scenario.counted:g}"]
    made.reason = "" if made.valid else _reason(scenario, log, made)
    return made


def _reason(scenario: Scenario, log: Log, made: Outcome) -> str:
    """Why LoadGen calls the run invalid: the first cause, which explains the rest."""
    values, counted = log.values, scenario.counted or 0.0
    if any("Too many outstanding" in error for error in log.errors):
        return f"{rate(scenario.target_qps)} requests a second are more than it answers; the run was given up"
    if values.get("result_perf_constraints_met") is False:
        return f"p{counted:g} was {made.latency_ms:.3g} ms, and the budget is {scenario.budget_ms:g} ms"
    if values.get("early_stopping_met") is False and scenario.name == "server":
        return (
            f"{made.over_budget:,} of {made.queries:,} requests took longer than {scenario.budget_ms:g} ms: too many "
            f"to say of p{counted:g}, at 99 % confidence, that it is within the budget"
        )
    if values.get("early_stopping_met") is False:
        return f"{made.queries:,} queries are too few for p{counted:g}, which takes {needed(counted):,}"
    if ended_early(log):
        return f"it ended before {scenario.seconds:g} s, because it ran faster than its first calls"
    return str(values.get("result_invalid_reason", "")).strip() or "LoadGen gives no reason"


def _bound(values: dict[str, Any], key: str) -> float | None:
    return _ms(values[key]) if values.get("early_stopping_met") and values.get(key) else None


def _ms(ns: float) -> float:
    return round(ns / 1e6, 6)
