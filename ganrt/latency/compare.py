"""Faster, slower, within noise, or not to be told: two benchmarks compared.

A process is one sample: its level is the median of its calls, and what two sets of levels differ by is bounded by rank
statistics over the processes (see `ranks`), which a few disturbed processes do not move. There are two kinds:

- "two results" were measured at different times, on a machine that has changed meanwhile. Each level is taken over that
  of the reference kernel, which was timed between the calls of the same process. The kernel follows the machine
  without bias but not exactly, so the interval is widened by a tenth of what the machine changed by, and by what other
  programs may have done: they delay calls on several cores more than the kernel.
- "side by side" are pairs of processes that took turns, a few calls each. Each pair gives one ratio, nothing has to be
  taken over anything, and a smaller change can be told. More pairs are timed while it cannot be, up to eight times
  as many.

A change is called one when the interval leaves out 1 and the ratio is beyond the floor; within noise, when the interval
leaves out twice the floor on either side. Everything else cannot be told. Lower quantiles than the median, which Chen
and Revels 2016 (arXiv:1608.04295) advise, were tried: they scattered more where a call waits for several cores.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec
import numpy as np

from ..errors import ArgumentError
from .processes import parts
from .ranks import Shift, pairs_needed, shift, shift_of_pairs
from .results import Report, Timing, in_words

__all__ = ["FLOOR", "LEAST", "SIDE_BY_SIDE", "TWO_RESULTS", "Change", "Comparison", "compare", "judge"]

TWO_RESULTS, SIDE_BY_SIDE = "two results", "side by side"
FLOOR = {TWO_RESULTS: 0.025, SIDE_BY_SIDE: 0.015}
CONFIDENCE = {TWO_RESULTS: 0.95, SIDE_BY_SIDE: 0.98}  # the latter is asked up to four times, until it can be told
_DOUBT = 0.1  # of what the machine changed by, on the logarithm
_CROWD, _COMPANY = 1.5, 0.05  # of the share of the cores that others took, beyond what a quiet machine does anyway
LEAST = {
    TWO_RESULTS: 5,
    SIDE_BY_SIDE: pairs_needed(CONFIDENCE[SIDE_BY_SIDE]),
}  # processes, for an interval of the confidence
_TEST = {
    TWO_RESULTS: "two results, each over the reference kernel timed between its calls; Mann-Whitney over processes",
    SIDE_BY_SIDE: "side by side, processes in pairs that took turns; Wilcoxon's signed ranks over pairs",
}


class Change(msgspec.Struct):
    """One row in both. `verdict`: "faster", "slower", "within noise", "cannot tell", "failed".

    `old_ms`, `new_ms`: medians of the calls, and of the processes; `ratio`: new over old, above 1 is
    slower, as measured. `machine`: the same of the reference kernel, so what of `ratio` is the machine's, None side by
    side. `equal`: the ratio on an equal machine, with its interval `low` .. `high`, of 95 % confidence, or 98 % side by
    side; the verdict's. `regressed`: slower by more than the limit, or failed now.
    """

    row: str
    verdict: str
    ratio: float | None = None
    machine: float | None = None
    equal: float | None = None
    low: float | None = None
    high: float | None = None
    old_ms: float | None = None
    new_ms: float | None = None
    regressed: bool = False
    note: str = ""


class Comparison(msgspec.Struct):
    """What --compare and --against print with --json. `kind`: which of the two; `test`: what the verdicts rest on."""

    changes: list[Change]
    warnings: list[str]
    limit: float
    kind: str
    test: str

    @property
    def regressed(self) -> bool:
        return any(change.regressed for change in self.changes)


class _Levels(NamedTuple):
    """Logarithms of milliseconds, one for each process: of the calls, and of the reference kernel."""

    calls: list[float]
    reference: list[float]


def compare(old: Report, new: Report, *, limit: float | None = None, kind: str = TWO_RESULTS) -> Comparison:
    """Every row that both have; a `limit` of None is the least that can be told.

    Raises ArgumentError when they have no row in common.
    """
    rows = [_by_row(old), _by_row(new)]
    common = [name for name in rows[0] if name in rows[1]]
    if not common:
        raise ArgumentError("The two results have no row in common: other batches, engines, precisions or threads.")
    limit = FLOOR[kind] if limit is None else limit
    changes = [_change(name, rows[0][name], rows[1][name], limit, kind) for name in common]
    warnings = list(_differences(old, new)) if kind == TWO_RESULTS else []
    for one, other, said in ((*rows, "old"), (*reversed(rows), "new")):
        lone = [name for name in one if name not in other]
        warnings += [f"Only in the {said} result: {', '.join(lone)}."] if lone else []
    return Comparison(changes, warnings, limit, kind, _TEST[kind])


def judge(old: Timing, new: Timing, kind: str = TWO_RESULTS) -> Change:
    """The verdict on one row; both must have samples."""
    before, after = _levels(old), _levels(new)
    change = Change(_name(old), "cannot tell", old_ms=_middle(before.calls), new_ms=_middle(after.calls))
    fewest = min(len(before.calls), len(after.calls))
    if fewest < LEAST[kind]:
        change.ratio = (change.new_ms or 0.0) / (change.old_ms or 1.0)
        number = "1 process is" if fewest == 1 else f"{fewest} processes are"
        change.note = f"{number} too few, {LEAST[kind]} are needed; measure it again with --processes 10"
        return change
    if kind == SIDE_BY_SIDE:
        found = _side_by_side(before, after, change)
    else:
        found = _two_results(before, after, change, max(_crowd(old), _crowd(new)))
    change.equal, change.low, change.high = (math.exp(value) for value in found)
    change.verdict = _verdict(found, math.log1p(FLOOR[kind]))
    if change.verdict == "cannot tell":
        change.note = _why(old, new, kind)
    return change


def _why(old: Timing, new: Timing, kind: str) -> str:
    """What keeps it from being told, and what helps."""
    if kind == SIDE_BY_SIDE:
        return "the machine is too unsteady; more --seconds and --processes tell more"
    crowd = [_crowd(row) for row in (old, new)]
    if max(crowd) > _COMPANY:
        return f"others took {crowd[0]:.0%} of the machine in the old result and {crowd[1]:.0%} in the new one"
    return "the machine is too unsteady; --against tells more, and so do more --seconds and --processes"


def _two_results(before: _Levels, after: _Levels, change: Change, crowd: float) -> Shift:
    raw, machine = shift(before.calls, after.calls), shift(before.reference, after.reference)
    change.ratio, change.machine = math.exp(raw.estimate), math.exp(machine.estimate)
    old, new = (np.subtract(one.calls, one.reference).tolist() for one in (before, after))
    found = shift(old, new, CONFIDENCE[TWO_RESULTS])
    doubt = _DOUBT * abs(machine.estimate) + _CROWD * max(0.0, crowd - _COMPANY)
    return Shift(found.estimate, found.low - doubt, found.high + doubt)


def _side_by_side(before: _Levels, after: _Levels, change: Change) -> Shift:
    pairs = [new - old for old, new in zip(before.calls, after.calls, strict=False)]
    found = shift_of_pairs(pairs, CONFIDENCE[SIDE_BY_SIDE])
    change.ratio = math.exp(found.estimate)
    return found


def _verdict(found: Shift, floor: float) -> str:
    if found.low > 0 and found.estimate > floor:
        return "slower"
    if found.high < 0 and found.estimate < -floor:
        return "faster"
    return "within noise" if -2 * floor < found.low and found.high < 2 * floor else "cannot tell"


def _levels(row: Timing) -> _Levels:
    found = list(parts(row))
    calls = [math.log(np.median(part.calls)) for part in found]
    return _Levels(calls, [math.log(np.median(part.reference)) for part in found])


def _middle(levels: Sequence[float]) -> float:
    return math.exp(float(np.median(levels)))


def _crowd(row: Timing) -> float:
    """The share of the machine that other programs and other guests of its host took; 0 where it does not tell."""
    noise = row.noise
    return (noise.others or 0.0) / noise.cores + (noise.steal or 0.0) if noise else 0.0


def _change(name: str, old: Timing, new: Timing, limit: float, kind: str) -> Change:
    if new.state == "failed":
        broke = old.state != "failed"
        return Change(name, "failed", regressed=broke, note=new.fault if broke else "failed before as well")
    if not old.samples_ms or not new.samples_ms:
        why = "the old one failed" if old.state == "failed" else "one of them has no samples"
        return Change(name, "cannot tell", note=why)
    change = judge(old, new, kind)
    change.regressed = change.verdict == "slower" and (change.equal or 0.0) > 1 + limit
    notes = [change.note] if change.note else []
    ran = [in_words(row.ran, versions=True) for row in (old, new)]
    notes += [f"ran {ran[0]}, now {ran[1]}"] if ran[0] != ran[1] else []
    notes += ["a part of what was asked for"] if "interrupted" in (old.state, new.state) else []
    change.note = "; ".join(notes)
    return change


def _by_row(report: Report) -> dict[str, Timing]:
    return {_name(row): row for row in report.rows}


def _name(row: Timing) -> str:
    asked = row.asked
    threads = "" if asked.threads is None else f", {asked.threads} thread{'s' if asked.threads > 1 else ''}"
    form = "" if asked.form == "auto" else f" {asked.form}"
    scenario = "" if row.scenario == "single_stream" else f"{row.scenario}, "
    return f"{scenario}batch {row.batch}, {asked.backend} {asked.precision}{form}{threads}"


def _differences(old: Report, new: Report) -> Iterable[str]:
    """What makes the comparison one of more than the build."""
    ours, theirs = old.environment, new.environment
    if (ours.processor, ours.memory_gib) != (theirs.processor, theirs.memory_gib):
        yield (f"Two machines: {_machine(old)}, and {_machine(new)}; a difference says nothing about the build alone.")
    elif ours.system != theirs.system:
        yield f"Two systems: {ours.system}, and {theirs.system}."
    if old.settings.bundle != new.settings.bundle:
        yield f"Two bundles: '{old.settings.name}' and '{new.settings.name}' have different contents."
    changed = _versions(old, new)
    if changed:
        yield f"Other versions: {', '.join(changed)}."
    for said, report in (("old", old), ("new", new)):
        noisy = {warning for row in report.rows if row.noise for warning in row.noise.warnings}
        if noisy:
            yield f"The machine was not quiet in the {said} run: {min(noisy)}"
        if report.interrupted:
            yield f"The {said} run was interrupted; its rows are a part."


def _machine(report: Report) -> str:
    here = report.environment.processor
    return f"{here.name} with {here.cores} cores and {report.environment.memory_gib:g} GiB"


def _versions(old: Report, new: Report) -> Sequence[str]:
    before = {"ganrt": old.ganrt, "Python": old.environment.python}
    after = {"ganrt": new.ganrt, "Python": new.environment.python}
    before |= {one.name: one.version or "none" for one in old.environment.packages}
    after |= {one.name: one.version or "none" for one in new.environment.packages}
    return [
        f"{name} {before.get(name, 'none')} -> {after.get(name, 'none')}"
        for name in dict.fromkeys([*before, *after])
        if before.get(name, "none") != after.get(name, "none")
    ]
