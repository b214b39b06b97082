"""The highest rate of requests that keeps a latency within its budget: a bisection over runs of the server scenario.

A rate counts as kept when LoadGen calls the run valid: so many of the requests were within the budget that the
percentile is, at 99 % confidence. Close to the limit a run may fail by chance, so the answer leans to the lower side.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from .scenarios import Outcome, rate

__all__ = ["Search", "search"]

_FIRST, _LOWEST = 0.7, 0.05  # of what the machine can do; at the lowest, requests hardly meet each other
_WITHIN = 0.03  # the rates between which the answer lies, one over the other
_MOST_RUNS = 14


class Search(msgspec.Struct):
    """What was found, or is so far.

    `capacity`: samples a second when all are there at once. `best_qps`: the highest rate that kept the budget, None
    when none did; `best` is that run, or else the one that came closest. `runs`: all of them, in order.
    """

    budget_ms: float
    percentile: float
    capacity: float
    best_qps: float | None = None
    best: Outcome | None = None
    runs: list[Outcome] = []
    interrupted: bool = False

    def __str__(self) -> str:
        goal, early = f"p{self.percentile:g} within {self.budget_ms:g} ms", " so far" if self.interrupted else ""
        if self.best is None:
            return f"No run was finished that could tell which rate keeps {goal}."
        reached = f"p{self.percentile:g} was {self.best.latency_ms:.3g} ms"
        if self.best_qps is not None:
            return f"{goal} is kept up to {rate(self.best_qps)} requests a second{early}; there {reached}."
        at = f"{rate(self.best.scenario.target_qps)} requests a second"
        return f"{goal} cannot be kept here{early}; the best was at {at}, where {reached}."


def search(found: Search, run: Callable[[float], Outcome], tell: Callable[[str], None]) -> None:
    """Fills `found`. `run`: the server scenario at a rate of requests; `tell` hears a line after each.

    It ends when the answer is known within 3 %, with the first run that failed or was interrupted, and when requests
    that hardly meet each other miss the budget: that run is the best that can be.
    """
    low, high, qps = 0.0, found.capacity * (1 + 2 * _WITHIN), found.capacity * _FIRST
    lowest = found.capacity * _LOWEST
    while len(found.runs) < _MOST_RUNS:
        outcome = run(qps)
        found.runs.append(outcome)
        tell(_line(outcome))
        if outcome.state != "ok":
            found.interrupted = outcome.state == "interrupted"
            return
        if outcome.valid:
            low, found.best_qps, found.best = qps, qps, outcome
        else:
            high = qps
            if found.best_qps is None and (found.best is None or _latency(outcome) < _latency(found.best)):
                found.best = outcome
        if (low and high <= low * (1 + _WITHIN)) or high <= lowest:
            return
        hopeless = outcome.least_ms is not None and outcome.least_ms > found.budget_ms  # no request was within it
        qps = (low + high) / 2 if low else lowest if hopeless else max(high / 3, lowest)


def _latency(outcome: Outcome) -> float:
    return outcome.latency_ms if outcome.latency_ms is not None else float("inf")


def _line(outcome: Outcome) -> str:
    """ "412 requests a second: p99 14.2 ms, within 20 ms" """
    at = f"{rate(outcome.scenario.target_qps)} requests a second"
    if outcome.state != "ok":
        return f"{at}: {outcome.fault or outcome.state}"
    kept = "within" if outcome.valid else "not within"
    return f"{at}: p{outcome.percentile:g} {outcome.latency_ms:.3g} ms, {kept} {outcome.scenario.budget_ms:g} ms"
