"""`ganrt tune`: measure every way of computing a bundle on this machine, and keep the answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from .options import HOW, Backend, Form, Json, Precision, Source, Threads
from .terminal import plain, print_json, show, two_digits, waiting

if TYPE_CHECKING:
    from rich.table import Table

    from ..generator import Generator

__all__ = ["TuneReport", "command"]


class TuneReport(msgspec.Struct, frozen=True):
    """What --json prints. `costs`: way -> batch -> milliseconds a call; `refused`: way -> why it may not serve."""

    name: str
    best: str
    reason: str
    costs: dict[str, dict[int, float]]
    refused: dict[str, str]


def command(
    source: Source,
    seconds: Annotated[
        float,
        typer.Option(
            metavar="S",
            help="How long each way is measured at most; it ends earlier where it is clear which is the fastest.",
            rich_help_panel=HOW,
        ),
    ] = 2.0,
    backend: Backend = "auto",
    threads: Threads = None,
    precision: Precision = "auto",
    form: Form = "auto",
    json: Json = False,
) -> None:
    """Measure every engine, precision, form of the graph and number of threads here, and remember the fastest.

    Each must reproduce the bundle's reference samples first. Later loads with the same options use what was found; the
    first load of a bundle does the same in a few seconds, less thoroughly.

    \b
    Examples:
      ganrt tune faces.ganrt
      ganrt tune faces.ganrt --precision fp32 --seconds 10
      ganrt tune digits --backend openvino --json
    """
    from ..generator import Generator

    with waiting(f"tuning {source}") as bar:
        generator = Generator.tune(
            source,
            backend=backend,
            threads=threads,
            precision=precision,
            form=form,
            seconds=seconds,
            progress=bar.describe,
        )
    with generator:
        report = TuneReport(generator.name, generator.way, generator.reason, generator.costs, generator.refused)
        if json:
            print_json(report)
            return
        show(_table(generator), "")
        for name, why in report.refused.items():
            show(f"{name} may not serve: {plain(why)}")
        show(f"{plain(report.name)}: {report.best} for one sample at a time. Remembered for later loads.")


def _table(generator: Generator) -> Table:
    """Milliseconds a call: a row for each way, the fastest first, a mark at the least of each batch."""
    from rich.table import Table

    costs = generator.costs
    sizes = sorted({size for table in costs.values() for size in table})
    table = Table(title="milliseconds a call, by batch size; * the least", title_justify="left", box=None)
    table.add_column("")
    for size in sizes:
        table.add_column(str(size), justify="right")
    least = {size: min(table[size] for table in costs.values() if size in table) for size in sizes}
    for name, row in sorted(costs.items(), key=lambda item: item[1][1]):
        cells = [
            f"{two_digits(row[size])}{'*' if row[size] == least[size] else ' '}" if size in row else ""
            for size in sizes
        ]
        table.add_row(name, *cells)
    return table
