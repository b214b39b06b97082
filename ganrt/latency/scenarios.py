"""MLPerf's four scenarios: how queries arrive, what is asked of a run, and what came of it.

single-stream   the next query comes when the last is answered        the 90th percentile of the latency
multi-stream    the same with eight samples a query                   the 99th percentile of a query's latency
server          single samples arrive at random (Poisson) at a rate   the rate, if the 99th percentile is in its budget
offline         all samples are there from the start                  samples a second

Percentiles, durations and seeds are those of the MLPerf inference rules
(https://github.com/mlcommons/inference_policies/blob/master/inference_rules.adoc, section 3), which LoadGen carries
itself. They ask for ten minutes; a shorter run is measured in the same way and labelled "not compliant".
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from ..errors import ArgumentError
from .percentiles import needed
from .results import EngineCall

__all__ = ["COMPLIANT_S", "REPORTED", "RULES", "Outcome", "Rule", "Scenario", "rate"]

COMPLIANT_S = 600.0
REPORTED = (50.0, 90.0, 95.0, 97.0, 99.0, 99.9)  # percentiles that LoadGen puts out
_LONGEST_S, _MOST_QPS = 86400.0, 1e6


class Rule(NamedTuple):
    """`mlperf`: LoadGen's name. `percentile`: of the latency that counts; None for the server, where it is chosen, and
    offline, where there is none. `samples`: of a query. `least`: queries (offline: samples) of a compliant run."""

    mlperf: str
    percentile: float | None
    samples: int
    least: int


RULES = {
    "single-stream": Rule("SingleStream", 90.0, 1, 64),
    "multi-stream": Rule("MultiStream", 99.0, 8, 662),
    "server": Rule("Server", None, 1, 100),
    "offline": Rule("Offline", None, 1, 24576),
}


class Scenario(msgspec.Struct, frozen=True):
    """One run. `target_qps`: requests a second that arrive, for the server alone. `budget_ms`: what `percentile` of its
    latencies may be. `seed`: the latents are samples of it. `max_batch`, `max_delay`: as for `serve_batches`.

    Raises ArgumentError for what cannot be run.
    """

    name: str
    seconds: float = 10.0
    target_qps: float | None = None
    budget_ms: float = 100.0
    percentile: float = 99.0
    compliant: bool = False
    seed: int = 0
    max_batch: int | None = None
    max_delay: float = 0.0

    def __post_init__(self) -> None:
        if self.name not in RULES:
            raise ArgumentError(f"There is no scenario '{self.name[:80]}'; there are: {', '.join(RULES)}.")
        if not 0 < self.seconds <= _LONGEST_S:
            raise ArgumentError(f"seconds is {self.seconds:g}; give a number above 0, at most {_LONGEST_S:,.0f}.")
        if self.compliant and self.seconds < COMPLIANT_S:
            raise ArgumentError(
                f"A compliant run takes at least {COMPLIANT_S:.0f} s, not {self.seconds:g}; leave the duration out."
            )
        if self.name != "server":
            if self.target_qps is not None:
                raise ArgumentError(f"Only the server scenario has a rate of requests; {self.name} finds its own.")
            return
        if self.target_qps is None or not 0 < self.target_qps <= _MOST_QPS:
            given = "no rate is given" if self.target_qps is None else f"the rate is {self.target_qps:g}"
            raise ArgumentError(f"{given.capitalize()}; the server scenario takes requests a second, above 0.")
        if not 0 < self.budget_ms <= _LONGEST_S * 1000:
            raise ArgumentError(f"The latency budget is {self.budget_ms:g} ms; it must be above 0.")
        if self.percentile not in REPORTED:
            known = ", ".join(f"{one:g}" for one in REPORTED)
            raise ArgumentError(f"The percentile is {self.percentile:g}; LoadGen reports {known}.")

    @property
    def rule(self) -> Rule:
        """What MLPerf says of it."""
        return RULES[self.name]

    @property
    def counted(self) -> float | None:
        """The percentile of the latency that counts."""
        return self.percentile if self.name == "server" else self.rule.percentile

    @property
    def least(self) -> int:
        """Queries (offline: samples) of a run, so that something can be said at 99 % confidence."""
        fewest = needed(self.counted) if self.counted else 1
        return max(fewest, self.rule.least) if self.compliant else fewest


class Outcome(msgspec.Struct):
    """What came of a run.

    `state`: "ok"; "failed", and then `fault` says why; "interrupted", and then the figures are of the part that was
    run, by this process's own clock. `valid`: LoadGen's verdict on this run; where it is False, `reason` says why.
    `compliant`: it also is as long as MLPerf asks. `latency_ms`: the percentile that counts, from the moment a query
    was due; `bound_ms`: an upper bound of it at 99 % confidence, which is MLPerf's figure for the two streams.
    `over_budget`: requests above the budget. `batch`: samples of an engine call, on average. `ran`: the engine calls of
    a batch; the server's largest. `checked`: how many outputs that were held to `Generator.sample`.
    """

    scenario: Scenario
    state: str
    valid: bool = False
    compliant: bool = False
    reason: str = ""
    fault: str = ""
    queries: int = 0
    samples: int = 0
    samples_a_second: float | None = None
    percentile: float | None = None
    latency_ms: float | None = None
    bound_ms: float | None = None
    percentiles_ms: dict[str, float] = {}
    mean_ms: float | None = None
    least_ms: float | None = None
    most_ms: float | None = None
    over_budget: int | None = None
    batch: float | None = None
    ran: list[EngineCall] = []
    checked: int = 0
    loadgen: str = ""
    logs: str = ""

    @property
    def verdict(self) -> str:
        """ "valid, not compliant (10 s of 600)" and the like."""
        if self.state != "ok":
            return self.state
        short = "" if self.compliant else f", not compliant ({self.scenario.seconds:g} s; MLPerf asks for 600)"
        return ("valid" if self.valid else "INVALID") + short


def rate(qps: float | None) -> str:
    """A rate for people.

    >>> rate(12345.6), rate(3.456)
    ('12,346', '3.46')
    """
    return "no" if qps is None else f"{qps:,.0f}" if qps >= 100 else f"{qps:.3g}"
