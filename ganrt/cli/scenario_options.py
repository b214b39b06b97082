"""The options of `ganrt bench --scenario`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, NamedTuple, TypeAlias

import typer

__all__ = [
    "Compliant",
    "Duration",
    "Engine",
    "Logs",
    "MaxBatch",
    "MaxDelay",
    "Named",
    "Slo",
    "TargetQps",
    "Wanted",
    "typed",
]

_PANEL = "MLPerf's scenarios (needs ganrt\\[bench])"

Named: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--scenario",
        metavar="NAME",
        help="How requests arrive: single-stream, multi-stream (8 at once), server (at random), offline (all at once).",
        rich_help_panel=_PANEL,
    ),
]
TargetQps: TypeAlias = Annotated[
    float | None,
    typer.Option(metavar="N", help="Server: requests a second that arrive.", rich_help_panel=_PANEL),
]
Slo: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="TIME",
        help="Server: the latency budget, e.g. 20ms. Without --target-qps it finds the highest rate that keeps it.",
        rich_help_panel=_PANEL,
    ),
]
Duration: TypeAlias = Annotated[
    str | None, typer.Option(metavar="TIME", help="Of a run, e.g. 30s; 10s if left out.", rich_help_panel=_PANEL)
]
Compliant: TypeAlias = Annotated[
    bool, typer.Option("--compliant", help="As MLPerf's rules have it: ten minutes.", rich_help_panel=_PANEL)
]
MaxBatch: TypeAlias = Annotated[
    int | None,
    typer.Option(metavar="N", help="Server: samples of a batch; by default what suits.", rich_help_panel=_PANEL),
]
MaxDelay: TypeAlias = Annotated[
    str, typer.Option(metavar="TIME", help="Server: how long a request waits for others.", rich_help_panel=_PANEL)
]
Logs: TypeAlias = Annotated[
    Path | None, typer.Option(metavar="DIR", help="Keep LoadGen's own files there.", rich_help_panel=_PANEL)
]


class Wanted(NamedTuple):
    """The options, as they were typed."""

    scenario: str | None
    target_qps: float | None
    slo: str | None
    duration: str | None
    compliant: bool
    max_batch: int | None
    max_delay: str
    logs: Path | None
    percentile: float
    seed: int

    @property
    def given(self) -> bool:
        """Whether any of them asks for a scenario."""
        options = (self.scenario, self.target_qps, self.slo, self.duration, self.max_batch, self.logs)
        return self.compliant or any(one is not None for one in options)


class Engine(NamedTuple):
    """What is to run it, as for `ganrt bench` without a scenario."""

    backend: str
    precision: str
    form: str
    threads: str | None


def typed(context: typer.Context) -> set[str]:
    """Names of the options that stood on the command line."""
    return {
        name for name in context.params if (found := context.get_parameter_source(name)) and found.name == "COMMANDLINE"
    }
