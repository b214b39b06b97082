"""`ganrt bench`: how long samples take here, how sure that is, and whether it has changed."""

from __future__ import annotations

import re
import signal
from contextlib import nullcontext, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from ..errors import ArgumentError
from .options import HOW, Form, Json
from .scenario_options import (
    Compliant,
    Duration,
    Engine,
    Logs,
    MaxBatch,
    MaxDelay,
    Named,
    Slo,
    TargetQps,
    Wanted,
    typed,
)
from .terminal import plain, say, show, waiting

if TYPE_CHECKING:
    from ..bundle import Bundle
    from ..latency.results import Report

__all__ = ["command", "new_report"]

_QUICK_S = 0.5
_WHAT, _SHOWN, _COMPARE = "What is timed", "How it is shown", "Comparing"

_Source = Annotated[
    str | None,
    typer.Argument(
        metavar="NAME_OR_FILE",
        help="A generator that ships with ganrt ('digits'), or a .ganrt file, a bundle's folder, an .onnx file.",
        show_default=False,
    ),
]


def command(
    context: typer.Context,
    source: _Source = None,
    batch: Annotated[
        str, typer.Option(metavar="N,N,...", help="Samples a call, each timed.", rich_help_panel=_WHAT)
    ] = "1",
    backend: Annotated[
        str, typer.Option(metavar="ENGINE,...", help="auto, engines, or all that are here.", rich_help_panel=HOW)
    ] = "auto",
    precision: Annotated[
        str, typer.Option(metavar="KIND,...", help="auto, fp32, fp16, int8, bf16, or all.", rich_help_panel=HOW)
    ] = "auto",
    threads: Annotated[
        str | None,
        typer.Option(metavar="N,N,...", help="Cores of the engine; all usable ones by default.", rich_help_panel=HOW),
    ] = None,
    form: Form = "auto",
    seconds: Annotated[
        float, typer.Option(metavar="S", help="Of timed calls a row at most, in all processes.", rich_help_panel=_WHAT)
    ] = 5.0,
    processes: Annotated[
        int, typer.Option(metavar="N", help="Among which each row is shared out, in turns.", rich_help_panel=_WHAT)
    ] = 10,
    whole: Annotated[
        bool, typer.Option("--whole", help="All of --seconds, even where less is enough.", rich_help_panel=_WHAT)
    ] = False,
    quick: Annotated[
        bool, typer.Option("--quick", help="One process, half a second, a line.", rich_help_panel=_WHAT)
    ] = False,
    percentile: Annotated[
        float, typer.Option(metavar="P", help="To be told with the interval it lies in.", rich_help_panel=_WHAT)
    ] = 99.0,
    seed: Annotated[int, typer.Option(metavar="S", help="Of the latents.", rich_help_panel=_WHAT)] = 0,
    profile: Annotated[
        bool, typer.Option("--profile", help="Also where the time goes: stages, operations.", rich_help_panel=_WHAT)
    ] = False,
    html: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="A page of it all, with the machine's roofline.", rich_help_panel=_SHOWN),
    ] = None,
    scenario: Named = None,
    target_qps: TargetQps = None,
    slo: Slo = None,
    duration: Duration = None,
    compliant: Compliant = False,
    max_batch: MaxBatch = None,
    max_delay: MaxDelay = "0ms",
    logs: Logs = None,
    against: Annotated[
        str | None,
        typer.Option(metavar="NAME_OR_FILE", help="The old one: both at once, in turns.", rich_help_panel=_COMPARE),
    ] = None,
    against_python: Annotated[
        Path | None,
        typer.Option(metavar="PYTHON", help="Whose ganrt is the old one.", rich_help_panel=_COMPARE),
    ] = None,
    compare: Annotated[
        tuple[Path, Path] | None,
        typer.Option(metavar="OLD.json NEW.json", help="Two results of --json.", rich_help_panel=_COMPARE),
    ] = None,
    limit: Annotated[
        str | None,
        typer.Option(metavar="SHARE", help="A slowdown beyond it exits with 1.", rich_help_panel=_COMPARE),
    ] = None,
    json: Json = False,
) -> None:
    """Time a generator: latency as bounds that hold at 99 % confidence, throughput, jitter, memory.

    Every call draws new latents; outputs must be new, and within the bundle's bound, or the row is FAILED. Percentiles
    are MLPerf's early-stopping estimates, and need 64 calls for p90, 662 for p99, 6,636 for p99.9. Exits with 1 when a
    row failed, or a comparison found a regression.

    With --scenario, MLPerf's load generator sends the requests, and a server that joins them into batches answers those
    that arrive at random; with --slo, the highest rate is found that keeps the latency. Exits with 1 unless the run is
    valid.

    A row ends before its --seconds once 6 or more of its processes agree on the median and on the percentile within
    2 %, and the percentile is known within 2 %; --whole takes all the time.

    Each row is timed in several processes, a few calls at a time beside a reference kernel. --compare tells faster,
    slower and within noise apart over processes, each over the kernel; --against times both side by side, tells
    much smaller changes, and goes on up to eight times as long while it cannot tell.

    \b
    Examples:
      ganrt bench digits
      ganrt bench faces.ganrt --batch 1,8,64 --backend all --precision all
      ganrt bench faces.ganrt --batch 1,4,16,64 --html report.html
      ganrt bench faces.ganrt --json > new.json
      ganrt bench faces.ganrt --scenario single-stream --duration 30s
      ganrt bench faces.ganrt --scenario server --target-qps 200 --slo 50ms
      ganrt bench faces.ganrt --slo 20ms --percentile 99
      ganrt bench faces.ganrt --scenario offline --compliant --logs loadgen/
      ganrt bench new.ganrt --against old.ganrt
      ganrt bench faces.ganrt --against-python ../last-release/.venv/bin/python
      ganrt bench --compare old.json new.json --limit 5%
    """
    if compare is not None:
        if source is not None:
            raise ArgumentError("Give either a generator to time, or two results to --compare.")
        _compare(*compare, _share(limit), json)
        return
    if source is None:
        raise ArgumentError("Name what to time, as in: ganrt bench digits; or compare: --compare old.json new.json")
    wanted = Wanted(scenario, target_qps, slo, duration, compliant, max_batch, max_delay, logs, percentile, seed)
    if wanted.given:
        from .bench_scenario import bench_scenario

        bench_scenario(source, wanted, Engine(backend, precision, form, threads), typed(context), json)
        return
    from ..bundle import Bundle
    from ..latency.bench import check_settings
    from ..latency.html import Details, page
    from ..latency.report import quick_lines
    from ..media.atomic import Replacement
    from .bench_page import commands, explain
    from .bench_rows import Row, asked_for, fill

    sizes = _numbers("batch", batch)
    cores: list[int | None] = [None] if threads is None else [*_numbers("threads", threads)]
    if quick:
        processes, seconds = 1, min(seconds, _QUICK_S)
    for size in sizes:
        check_settings(size, seconds, percentile, processes)
    bundle = Bundle.open(source)
    asked, skipped = asked_for(bundle, _words(backend), _words(precision), form, cores)
    if against is not None or against_python is not None:
        from .bench_against import bench_against

        old, half = Bundle.open(against or source), seconds / 2
        asked_for(old, _words(backend), _words(precision), form, cores)
        reports = (
            new_report(old, half, percentile, seed, processes),
            new_report(bundle, half, percentile, seed, processes),
        )
        bench_against(source, against or source, against_python, asked, sizes, reports, _share(limit), json)
        return
    report = new_report(bundle, seconds, percentile, seed, processes, whole=whole)
    report.skipped.update(skipped)
    rows = [(Row(report, source, one, size),) for one in asked for size in sizes]
    total = processes * len(rows)
    with waiting(f"timing {source}", total) as bar, nullcontext() if html is None else Replacement(html) as file:
        fill(rows, bar.describe, bar)
        exhibits = explain(report, source, bar.describe, roofs=html is not None) if profile or html else []
        if file is not None:
            file.write(page(report, Details(exhibits, commands(report, _typed(context)))).encode())
    if html is not None:
        say(f"{plain(html)}: all of it as a page")
    if report.interrupted:
        _no_more_interruptions()
    if json:
        show(msgspec.json.encode(report).decode())
    elif quick:
        show(*map(plain, quick_lines(report)))
    else:
        _print(report)
    if report.interrupted:
        say("Interrupted; what was measured until then is kept, and labelled.")
        raise typer.Exit(130)
    promised = {*bundle.manifest.graphs, *_words(precision)}  # "all" also tries BF16, which need not be good enough
    if any(row.state == "failed" and row.asked.precision in promised for row in report.rows):
        raise typer.Exit(1)


def new_report(
    bundle: Bundle, seconds: float, percentile: float, seed: int, processes: int, *, whole: bool = True
) -> Report:
    """Without rows. `whole`: each takes all of `seconds`, even where less is enough."""
    from .. import __version__
    from ..environment import describe
    from ..latency.bench import WITHIN
    from ..latency.percentiles import CONFIDENCE
    from ..latency.results import Report, Settings

    name, digest = bundle.manifest.name, bundle.digest
    settings = Settings(name, digest, seconds, percentile, seed, WITHIN, CONFIDENCE, processes, whole)
    return Report(__version__, datetime.now(UTC).isoformat(timespec="seconds"), describe(), settings, [])


def _print(report: Report) -> None:
    from ..latency.report import lines, table
    from .bench_page import profile_lines

    if report.rows:
        show(table(report), "")
    show(*map(plain, profile_lines(report)), *map(plain, lines(report)))


def _typed(context: typer.Context) -> list[str]:
    """The command line again, without what is a default anyway."""
    words = ["bench"]
    for one in context.command.params:
        value = context.params.get(one.name or "")
        if value is None or value == one.default:
            continue
        if one.param_type_name == "argument":
            words.append(str(value))
        else:
            words += [one.opts[0]] if value is True else [one.opts[0], str(value)]
    return words


def _compare(old: Path, new: Path, limit: float | None, json: bool) -> None:
    from ..latency.compare import compare
    from ..latency.results import read
    from .bench_against import show_comparison

    show_comparison(compare(read(old), read(new), limit=limit), json)


def _no_more_interruptions() -> None:
    """The results are about to be printed; a Ctrl-C that is sent again must not cut them off."""
    with suppress(ValueError):  # not in the main thread
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def _words(text: str) -> list[str]:
    """ "fp32, bf16" as two words, each once."""
    words = [word.strip() for word in text.split(",")]
    if not all(words):
        raise ArgumentError(f"'{plain(text)}' has a comma too many; write names with single commas between.")
    return list(dict.fromkeys(words))


def _numbers(name: str, text: str) -> list[int]:
    """ "1,8,64" as numbers, each once."""
    words = _words(text)
    wrong = next((word for word in words if not re.fullmatch(r"[1-9][0-9]{0,6}", word)), None)
    if wrong is not None:
        raise ArgumentError(f"--{name} has '{plain(wrong)}'; give whole numbers from 1, as in --{name} 1,2,8.")
    return list(dict.fromkeys(map(int, words)))


def _share(text: str | None) -> float | None:
    """ "5%" and "0.05" alike."""
    if text is None:
        return None
    found = re.fullmatch(r"\s*(\d{1,4}(?:\.\d{1,6})?)\s*(%?)\s*", text)
    share = float(found[1]) / (100 if found[2] else 1) if found else -1.0
    if not 0 <= share <= 10:
        raise ArgumentError(f"--limit is '{plain(text)}'; give a share such as 5% or 0.05.")
    return share
