"""`ganrt bench NEW --against OLD`: two generators, or two versions of ganrt, timed side by side and compared."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import typer

from ..errors import ArgumentError
from ..latency.compare import LEAST, SIDE_BY_SIDE, Comparison, compare, judge
from ..latency.processes import join
from ..latency.report import comparison_lines, comparison_table
from ..latency.results import Asked, Report
from .bench_rows import COMMAND, Row, fill
from .terminal import plain, print_json, say, show, waiting

__all__ = ["bench_against", "show_comparison", "undecided"]


def bench_against(
    new: str,
    old: str,
    python: Path | None,
    asked: Sequence[Asked],
    sizes: Sequence[int],
    reports: tuple[Report, Report],
    limit: float | None,
    json: bool,
) -> None:
    """Times both into their `reports`, old and new, and prints what changed; exits with 1 on a regression.

    `python`: the one whose ganrt is the old version. Raises ArgumentError when there are too few processes to tell.
    """
    if reports[0].settings.processes < LEAST[SIDE_BY_SIDE]:
        raise ArgumentError(f"Side by side needs at least --processes {LEAST[SIDE_BY_SIDE]}.")
    command = COMMAND if python is None else (_found(python), *COMMAND[1:])
    rows = [
        (Row(reports[0], old, one, size, command), Row(reports[1], new, one, size)) for one in asked for size in sizes
    ]
    with waiting(f"timing {new} against {old}", reports[0].settings.processes * len(rows)) as bar:
        fill(rows, bar.describe, bar, undecided)
    if reports[1].interrupted:
        say("Interrupted; what was measured until then is compared as far as it goes.")
        if not (reports[0].rows and reports[1].rows):
            raise typer.Exit(130)
    show_comparison(compare(*reports, limit=limit, kind=SIDE_BY_SIDE), json)
    if reports[1].interrupted:
        raise typer.Exit(130)


def undecided(pair: tuple[Row, ...]) -> bool:
    """Could it not be told yet whether the new one is faster or slower?"""
    old, new = (join(row.found, len(row.found)) for row in pair)
    return bool(old.samples_ms and new.samples_ms) and judge(old, new, SIDE_BY_SIDE).verdict == "cannot tell"


def show_comparison(found: Comparison, json: bool) -> None:
    """Prints it; exits with 1 on a regression."""
    if json:
        print_json(found)
    else:
        show(comparison_table(found), "", *map(plain, comparison_lines(found)))
    if found.regressed:
        raise typer.Exit(1)


def _found(python: Path) -> str:
    if not python.is_file():
        raise ArgumentError(f"There is no Python at {plain(python)}; give the program itself, as in .venv/bin/python.")
    return str(python.absolute())  # not resolved: a virtual environment is a link
