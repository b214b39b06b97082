"""Does `ganrt bench` say the same twice, and does it see a slowdown of 5 %? Tried for real, twenty times each.

The bundled digits, side by side (`--against`), and then as results that are compared (`--compare old.json new.json`): a
build, the same build again, and the same build with 5 % planted into every call. The first two must be within noise of
each other, and the third slower than the first.

Targets: 19 of 20 for all four counts. A count comes with its exact 95 % interval (Clopper and Pearson 1934).
`GANRT_BENCH_TRIES`: how many, 20 by default.
"""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ganrt import Bundle
from ganrt.cli.bench import new_report
from ganrt.cli.bench_against import undecided
from ganrt.cli.bench_rows import COMMAND, Row, fill
from ganrt.latency.compare import SIDE_BY_SIDE, TWO_RESULTS, Change, compare
from ganrt.latency.processes import parts
from ganrt.latency.results import Asked, Report

from ..runner import report as keep

PLANTED = 0.05
SLOWER = (sys.executable, "-P", "-m", "benchmarks.repeatability.rivals.slower", str(PLANTED))
SECONDS, PROCESSES = {TWO_RESULTS: 5.0, SIDE_BY_SIDE: 2.5}, 10
COUNTS = {
    "two results, same build": "within noise",
    "two results, 5 % planted": "slower",
    "side by side, same build": "within noise",
    "side by side, 5 % planted": "slower",
}


Found = dict[str, list[dict[str, Any]]]


def main() -> None:
    """Ctrl-C ends it early and keeps the tries that are done."""
    found: Found = {name: [] for name in COUNTS}
    tries = range(int(os.environ.get("GANRT_BENCH_TRIES", "20")))
    try:
        for one_try in (beside, apart):
            for _ in tries:
                one_try(found)
    except KeyboardInterrupt:
        print("Ended early.")
    keep("repeatability", *summary(found))


def beside(found: Found) -> None:
    """Side by side: this build and itself, and what is planted."""
    for name, command in (("side by side, same build", COMMAND), ("side by side, 5 % planted", SLOWER)):
        started = time.perf_counter()
        pair = side_by_side(command)
        _add(found, name, _told(*pair, SIDE_BY_SIDE, time.perf_counter() - started))


def apart(found: Found) -> None:
    """Three results, one after the other: this build, the same again, and what is planted."""
    started = time.perf_counter()
    old, again, slower = (measured(command) for command in (COMMAND, COMMAND, SLOWER))
    took = (time.perf_counter() - started) / 3
    for name, new in (("two results, same build", again), ("two results, 5 % planted", slower)):
        _add(found, name, _told(old, new, TWO_RESULTS, took))


def _add(found: Found, name: str, one: dict[str, Any]) -> None:
    found[name].append(one)
    print(f"{len(found[name])}. {name}: {one['verdict']} {one['equal'] or 0:.3f}, {one['seconds']} s", flush=True)


def measured(command: Sequence[str]) -> Report:
    """What `ganrt bench digits --json` writes."""
    result = _report(TWO_RESULTS)
    fill([(Row(result, "digits", Asked(), 1, command),)])
    _whole(result)
    return result


def side_by_side(command: Sequence[str]) -> tuple[Report, Report]:
    """What `ganrt bench digits --against digits` measures: this build, and that of the command."""
    pair = _report(SIDE_BY_SIDE), _report(SIDE_BY_SIDE)
    fill([(Row(pair[0], "digits", Asked(), 1), Row(pair[1], "digits", Asked(), 1, command))], undecided=undecided)
    _whole(*pair)
    return pair


def _whole(*results: Report) -> None:
    """A part of a measurement, which Ctrl-C leaves, is no try."""
    if any(one.interrupted for one in results):
        raise KeyboardInterrupt


def _report(kind: str) -> Report:
    return new_report(Bundle.open("digits"), SECONDS[kind], 99.0, 0, PROCESSES)


def _told(old: Report, new: Report, kind: str, took: float) -> dict[str, Any]:
    change: Change = compare(old, new, kind=kind).changes[0]
    fields = ("verdict", "ratio", "machine", "equal", "low", "high", "old_ms", "new_ms", "note")
    noise = [one.rows[0].noise for one in (old, new)]
    return {
        **{field: getattr(change, field) for field in fields},
        "seconds": round(took, 1),
        "others": [round(one.others or 0.0, 3) if one else None for one in noise],
        "steal": [round(one.steal or 0.0, 4) if one else None for one in noise],
        "levels_ms": {name: _levels(one) for name, one in (("old", old), ("new", new))},
    }


def _levels(result: Report) -> dict[str, list[list[float]]]:
    """The 10th, 25th and 50th percentile of the calls, and of the reference kernel, process by process."""
    found = list(parts(result.rows[0]))
    calls, reference = [part.calls for part in found], [part.reference for part in found]
    return {"calls": _percentiles(calls), "reference": _percentiles(reference)}


def _percentiles(of: Sequence[Any]) -> list[list[float]]:
    return [[round(float(value), 4) for value in np.percentile(one, (10, 25, 50))] for one in of]


def summary(found: Mapping[str, Sequence[Mapping[str, Any]]]) -> tuple[list[str], dict[str, Any]]:
    """Lines and figures of all tries."""
    lines, figures = [], {}
    for name, wanted in COUNTS.items():
        if not (tries := found[name]):
            continue
        right = sum(one["verdict"] == wanted for one in tries)
        low, high = interval(right, len(tries))
        ratios = [one["equal"] for one in tries if one["equal"]]
        seconds = float(np.median([one["seconds"] for one in tries]))
        figures[name] = {"wanted": wanted, "right": right, "of": len(tries), "interval": [low, high]}
        lines.append(
            f"{name}: {wanted} in {right} of {len(tries)} (95 % interval {low:.0%} to {high:.0%}); "
            f"ratios {min(ratios):.3f} to {max(ratios):.3f}, {seconds:.0f} s a measurement"
        )
    return lines, {"planted": PLANTED, "processes": PROCESSES, "seconds": SECONDS, "counts": figures, "tries": found}


def interval(right: int, of: int) -> tuple[float, float]:
    """Clopper and Pearson's bounds of a chance that gave `right` of `of`."""

    def least(passes: Callable[[float], bool]) -> float:
        low, high = 0.0, 1.0
        for _ in range(50):
            middle = (low + high) / 2
            low, high = (low, middle) if passes(middle) else (middle, high)
        return high

    def more(chance: float, count: int) -> float:
        """P(binomial(of, chance) >= count)."""
        return sum(math.comb(of, k) * chance**k * (1 - chance) ** (of - k) for k in range(count, of + 1))

    low = 0.0 if right == 0 else least(lambda chance: more(chance, right) >= 0.025)
    high = 1.0 if right == of else least(lambda chance: more(chance, right + 1) >= 0.975)
    return low, high
