"""Faster, slower, or within noise: two reports compared.

The test is a bootstrap of the ratio of medians over blocks (Efron and Tibshirani 1993, chapter 13; blocks, because
neighbouring calls are alike): the blocks of either run are drawn anew 4,000 times, the ratio of the medians of their
medians gives a 99 % interval. The same is done with the machine's own change taken out, which the reference kernel
told in both runs. A change is called one only if both intervals leave out 1 on the same side, and the ratio, midway
between the two, is 2.5 % from it, because the same build, run again, can move by less for good. So a slower machine is
not blamed on the build, and a doubt is "within noise"; so is everything where other programs kept a tenth of a core
more busy in one run than in the other, for no figure takes that out.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from ..errors import ArgumentError
from .results import EngineCall, Report, Timing

__all__ = ["FLOOR", "Change", "Comparison", "compare", "judge"]

FLOOR = 0.025
_CROWDED = 0.1  # cores that others kept busy in one run and not in the other
_CONFIDENCE, _DRAWS, _LEAST_BLOCKS = 0.99, 4000, 6


class Change(msgspec.Struct):
    """One row in both reports. `verdict`: "faster", "slower", "within noise", "failed", "unknown".

    `ratio`: new over old median, above 1 is slower, with its 99 % interval `low` .. `high`; `machine`: the same of the
    reference kernel, so what of `ratio` is the machine's. `regressed`: slower by more than the limit, or failed now.
    """

    row: str
    verdict: str
    ratio: float | None = None
    low: float | None = None
    high: float | None = None
    machine: float | None = None
    old_ms: float | None = None
    new_ms: float | None = None
    regressed: bool = False
    note: str = ""


class Comparison(msgspec.Struct):
    """What --compare prints with --json. `test`: what the verdicts rest on."""

    changes: list[Change]
    warnings: list[str]
    limit: float
    test: str = (
        "bootstrap of the ratio of medians over blocks, 99 % interval, at least 2.5 %, with and without the machine"
    )

    @property
    def regressed(self) -> bool:
        return any(change.regressed for change in self.changes)


def compare(old: Report, new: Report, *, limit: float = 0.05) -> Comparison:
    """Every row that both have. Raises ArgumentError when they have none in common."""
    rows = [_by_row(old), _by_row(new)]
    common = [name for name in rows[0] if name in rows[1]]
    if not common:
        raise ArgumentError("The two results have no row in common: other batches, engines, precisions or threads.")
    changes = [_change(name, rows[0][name], rows[1][name], limit) for name in common]
    warnings = list(_differences(old, new))
    for one, other, said in ((*rows, "old"), (*reversed(rows), "new")):
        lone = [name for name in one if name not in other]
        warnings += [f"Only in the {said} result: {', '.join(lone)}."] if lone else []
    return Comparison(changes, warnings, limit)


def judge(old: Timing, new: Timing) -> Change:
    """The verdict on one row; both must have samples."""
    name, medians = _name(old), [_medians(row) for row in (old, new)]
    change = Change(name, "unknown", old_ms=float(np.median(medians[0])), new_ms=float(np.median(medians[1])))
    change.ratio = (change.new_ms or 0.0) / (change.old_ms or 1.0)
    fewest = min(map(len, medians))
    if fewest < _LEAST_BLOCKS:
        change.note = f"{fewest} blocks are too few for a verdict, {_LEAST_BLOCKS} are needed; run longer: --seconds"
        return change
    random = np.random.Generator(np.random.Philox(key=1))
    references = [_references(row, len(part)) for row, part in zip((old, new), medians, strict=True)]
    drawn, kernel = [], []
    for part, reference in zip(medians, references, strict=True):
        which = random.integers(0, len(part), (_DRAWS, len(part)))
        drawn.append(np.median(part[which], axis=1))
        kernel.append(None if reference is None else np.median(reference[which], axis=1))
    ratios = drawn[1] / drawn[0]
    change.low, change.high = _span(ratios)
    seen = [(change.ratio, change.low, change.high)]
    if kernel[0] is not None and kernel[1] is not None and references[0] is not None and references[1] is not None:
        change.machine = float(np.median(references[1]) / np.median(references[0]))
        seen.append((change.ratio / change.machine, *_span(ratios * kernel[0] / kernel[1])))
    crowded = [row.noise.others if row.noise else None for row in (old, new)]
    midway = float(np.exp(np.mean([np.log(ratio) for ratio, _, _ in seen])))
    if crowded[0] is not None and crowded[1] is not None and abs(crowded[0] - crowded[1]) > _CROWDED:
        change.verdict = "within noise"
        change.note = (
            f"other programs kept {crowded[0]:.2g} cores busy in the old run and {crowded[1]:.2g} in the new one"
        )
    elif midway > 1 + FLOOR and all(low > 1 for _, low, _ in seen):
        change.verdict = "slower"
    elif midway < 1 - FLOOR and all(high < 1 for _, _, high in seen):
        change.verdict = "faster"
    else:
        change.verdict = "within noise"
        if abs(change.ratio - 1) > FLOOR and not change.low <= 1 <= change.high:
            change.note = (
                f"the machine itself changed: its reference kernel takes {change.machine or 1:.2f} times as long"
            )
    return change


def _change(name: str, old: Timing, new: Timing, limit: float) -> Change:
    if new.state == "failed":
        broke = old.state != "failed"
        return Change(name, "failed", regressed=broke, note=new.fault if broke else "failed before as well")
    if not old.samples_ms or not new.samples_ms:
        why = "the old one failed" if old.state == "failed" else "one of them has no samples"
        return Change(name, "unknown", note=why)
    change = judge(old, new)
    change.regressed = change.verdict == "slower" and (change.ratio or 0.0) > 1 + limit
    notes = [change.note] if change.note else []
    ran = [" + ".join(map(_engine, row.ran)) for row in (old, new)]
    notes += [f"ran {ran[0]}, now {ran[1]}"] if ran[0] != ran[1] else []
    notes += ["a part of what was asked for"] if "interrupted" in (old.state, new.state) else []
    change.note = "; ".join(notes)
    return change


def _medians(row: Timing) -> NDArray[np.float64]:
    """The median of each block, in milliseconds."""
    parts = np.split(np.asarray(row.samples_ms), np.cumsum(row.blocks)[:-1].tolist())
    return np.array([np.median(part) for part in parts if len(part)])


def _references(row: Timing, blocks: int) -> NDArray[np.float64] | None:
    """The reference kernel beside each block: the mean of before and after."""
    seen = np.asarray(row.noise.reference_ms if row.noise else [])
    return (seen[:blocks] + seen[1 : blocks + 1]) / 2 if len(seen) > blocks else None


def _span(ratios: NDArray[np.float64]) -> tuple[float, float]:
    low, high = np.quantile(ratios, ((1 - _CONFIDENCE) / 2, (1 + _CONFIDENCE) / 2))
    return float(low), float(high)


def _by_row(report: Report) -> dict[str, Timing]:
    return {_name(row): row for row in report.rows}


def _name(row: Timing) -> str:
    asked = row.asked
    threads = "" if asked.threads is None else f", {asked.threads} thread{'s' if asked.threads > 1 else ''}"
    form = "" if asked.form == "auto" else f" {asked.form}"
    scenario = "" if row.scenario == "single_stream" else f"{row.scenario}, "
    return f"{scenario}batch {row.batch}, {asked.backend} {asked.precision}{form}{threads}"


def _engine(call: EngineCall) -> str:
    return f"{call.engine} {call.precision} {call.form} {call.threads} threads"


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
