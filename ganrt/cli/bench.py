"""`ganrt bench`: how long samples take here, how sure that is, and whether it has changed."""

from __future__ import annotations

import re
import signal
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from ..errors import ArgumentError
from .options import HOW, Form, Json
from .terminal import plain, print_json, say, show, waiting

if TYPE_CHECKING:
    from ..bundle import Bundle
    from ..latency.results import Report

__all__ = ["command"]

_WHAT, _COMPARE = "What is timed", "Comparing"

_Source = Annotated[
    str | None,
    typer.Argument(
        metavar="NAME_OR_FILE",
        help="A generator that ships with ganrt ('digits'), or a .ganrt file, a bundle's folder, an .onnx file.",
        show_default=False,
    ),
]


def command(
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
        float, typer.Option(metavar="S", help="Of timed calls a row, at most.", rich_help_panel=_WHAT)
    ] = 5.0,
    percentile: Annotated[
        float, typer.Option(metavar="P", help="To be known within 2 % before it ends.", rich_help_panel=_WHAT)
    ] = 99.0,
    seed: Annotated[int, typer.Option(metavar="S", help="Of the latents.", rich_help_panel=_WHAT)] = 0,
    compare: Annotated[
        tuple[Path, Path] | None,
        typer.Option(metavar="OLD.json NEW.json", help="Faster, slower, or within noise.", rich_help_panel=_COMPARE),
    ] = None,
    limit: Annotated[
        str, typer.Option(metavar="SHARE", help="A slowdown beyond it exits with 1.", rich_help_panel=_COMPARE)
    ] = "5%",
    json: Json = False,
) -> None:
    """Time a generator: latency as bounds that hold at 99 % confidence, throughput, jitter, memory.

    Every call draws new latents; outputs must be new, and within the bundle's bound, or the row is FAILED. Percentiles
    are MLPerf's early-stopping estimates, and need 64 calls for p90, 662 for p99, 6,636 for p99.9. Exits with 1 when a
    row failed, or a comparison found a regression.

    \b
    Examples:
      ganrt bench digits
      ganrt bench faces.ganrt --batch 1,8,64 --backend all --precision all
      ganrt bench faces.ganrt --json > new.json
      ganrt bench --compare old.json new.json --limit 5%
    """
    if compare is not None:
        if source is not None:
            raise ArgumentError("Give either a generator to time, or two results to --compare.")
        _compare(*compare, _share(limit), json)
        return
    if source is None:
        raise ArgumentError("Name what to time, as in: ganrt bench digits; or compare: --compare old.json new.json")
    from ..bundle import Bundle
    from ..latency.bench import check_settings
    from .bench_rows import asked_for, fill

    sizes = _numbers("batch", batch)
    cores: list[int | None] = [None] if threads is None else [*_numbers("threads", threads)]
    for size in sizes:
        check_settings(size, seconds, percentile)
    bundle = Bundle.open(source)
    asked, skipped = asked_for(bundle, _words(backend), _words(precision), form, cores)
    report = _report(bundle, seconds, percentile, seed)
    report.skipped.update(skipped)
    with waiting(f"timing {source}") as bar:
        fill(report, source, asked, sizes, bar.describe)
    if report.interrupted:
        _no_more_interruptions()
    if json:
        show(msgspec.json.encode(report).decode())
    else:
        _print(report)
    if report.interrupted:
        say("Interrupted; what was measured until then is kept, and labelled.")
        raise typer.Exit(130)
    promised = {*bundle.manifest.graphs, *_words(precision)}  # "all" also tries BF16, which need not be good enough
    if any(row.state == "failed" and row.asked.precision in promised for row in report.rows):
        raise typer.Exit(1)


def _report(bundle: Bundle, seconds: float, percentile: float, seed: int) -> Report:
    from .. import __version__
    from ..environment import describe
    from ..latency.bench import WITHIN
    from ..latency.percentiles import CONFIDENCE
    from ..latency.results import Report, Settings

    settings = Settings(bundle.manifest.name, bundle.digest, seconds, percentile, seed, WITHIN, CONFIDENCE)
    return Report(__version__, datetime.now(UTC).isoformat(timespec="seconds"), describe(), settings, [])


def _print(report: Report) -> None:
    from ..latency.report import lines, table

    if report.rows:
        show(table(report), "")
    show(*map(plain, lines(report)))


def _compare(old: Path, new: Path, limit: float, json: bool) -> None:
    from ..latency.compare import compare
    from ..latency.report import comparison_lines, comparison_table
    from ..latency.results import read

    found = compare(read(old), read(new), limit=limit)
    if json:
        print_json(found)
    else:
        show(comparison_table(found), "", *map(plain, comparison_lines(found)))
    if found.regressed:
        raise typer.Exit(1)


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


def _share(text: str) -> float:
    """ "5%" and "0.05" alike."""
    found = re.fullmatch(r"\s*(\d{1,4}(?:\.\d{1,6})?)\s*(%?)\s*", text)
    share = float(found[1]) / (100 if found[2] else 1) if found else -1.0
    if not 0 <= share <= 10:
        raise ArgumentError(f"--limit is '{plain(text)}'; give a share such as 5% or 0.05.")
    return share
