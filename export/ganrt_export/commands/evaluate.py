"""`ganrt evaluate`: how good are a generator's samples? Registered in the group ganrt.commands."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ganrt.cli.options import WHAT, WHERE, Backend, Json, Precision, Threads, Truncation
from ganrt.errors import ArgumentError, OutputError

if TYPE_CHECKING:
    from ..evaluation import Exhibit, Plan
    from ..evaluation.results import Evaluation

__all__ = ["command"]

_DATA, _FEATURES = "What to judge by", "What to measure in"


def command(
    source: Annotated[
        str | None,
        typer.Argument(
            metavar="NAME_OR_FILE",
            help="A generator of pictures: one that ships with ganrt ('digits'), a .ganrt file, a folder, an .onnx.",
            show_default=False,
        ),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            metavar="mnist|PATH",
            help="The real pictures: a folder of them (a folder for each class, or none), MNIST's files, an .npz. "
            "A part of its own that is called test or val is what was held out.",
            rich_help_panel=_DATA,
        ),
    ] = None,
    held_out: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH", help="Pictures that the generator has not learnt from, if elsewhere.", rich_help_panel=_DATA
        ),
    ] = None,
    against: Annotated[
        str,
        typer.Option(
            metavar="PART",
            help="held-out, or training as papers often do: compare like with like.",
            rich_help_panel=_DATA,
        ),
    ] = "held-out",
    real: Annotated[
        int, typer.Option(metavar="N", help="Real pictures of each part, at most.", rich_help_panel=_DATA)
    ] = 100_000,
    features: Annotated[
        str,
        typer.Option(
            metavar="NAME|FILE",
            help="digits: a classifier of digits. train: a classifier of your classes, trained here. inception: those "
            "of FID, where their weights are at hand (or FILE.pth). random: random weights. FILE.onnx: any network. "
            "FILE.safetensors: a classifier of ganrt's, from elsewhere. auto: digits for MNIST, else train.",
            rich_help_panel=_FEATURES,
        ),
    ] = "auto",
    feature_range: Annotated[
        str | None,
        typer.Option(
            metavar="LOW:HIGH",
            help="What pixels become for an .onnx that takes float32; write --feature-range=-1:1.",
            rich_help_panel=_FEATURES,
        ),
    ] = None,
    epochs: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Of --features train; 12 by default, more of few pictures.",
            rich_help_panel=_FEATURES,
        ),
    ] = None,
    n: Annotated[
        int | None,
        typer.Option(
            "-n", metavar="N", help="Samples; by default as many as held out, up to 10,000.", rich_help_panel=WHAT
        ),
    ] = None,
    seed: Annotated[
        int, typer.Option(metavar="N", help="The same seed gives the same samples.", rich_help_panel=WHAT)
    ] = 0,
    labels: Annotated[
        str,
        typer.Option(
            metavar="HOW",
            help="Classes to draw: data (as often as there), uniform (all alike); auto: data where the classes fit.",
            rich_help_panel=WHAT,
        ),
    ] = "auto",
    truncation: Truncation = None,
    html: Annotated[
        Path | None, typer.Option(metavar="FILE.html", help="All of it as one page.", rich_help_panel=WHERE)
    ] = None,
    png: Annotated[
        Path | None,
        typer.Option(metavar="FILE.png", help="Samples beside their nearest training pictures.", rich_help_panel=WHERE),
    ] = None,
    json: Json = False,
    compare: Annotated[
        tuple[Path, Path] | None,
        typer.Option(metavar="OLD.json NEW.json", help="Two results: better, worse, or within noise."),
    ] = None,
    backend: Backend = "auto",
    threads: Threads = None,
    precision: Precision = "auto",
) -> None:
    """Judge a generator by real pictures: quality, variety, missing kinds, copies.

    Fréchet and kernel distance, precision and recall, density and coverage, each with its standard error, beside the
    same of real pictures. The samples come from the bundle as it is, on the engine that serves it here. Scores depend
    on the features they are measured in, so these are always named.

    \b
    Examples:
      ganrt evaluate digits --data mnist --html digits.html
      ganrt evaluate faces.ganrt --data faces/ --features inception
      ganrt evaluate faces.ganrt --data faces.npz -n 2000 --json > new.json
      ganrt evaluate --compare old.json new.json
    """
    if compare is not None:
        if source is not None:
            raise ArgumentError("Give either a generator to judge, or two results to --compare.")
        _compare(*compare, json)
        return
    if source is None or data is None:
        raise ArgumentError("Say what to judge, and by what: ganrt evaluate faces.ganrt --data FOLDER")
    from ..evaluation import Plan

    _check_outputs(html, png)
    plan = Plan(
        features=features,
        samples=n,
        seed=seed,
        labels=labels,
        truncation=truncation,
        reference=against,  # type: ignore[arg-type]  # checked with the rest of the plan
        most_real=real,
        value_range=_range(feature_range),
        epochs=epochs,
    )
    engine = {"backend": backend, "threads": threads, "precision": precision}
    result, exhibits = _evaluate(source, data, held_out, plan, engine)
    if html is not None:
        from ..evaluation.page import write_page

        write_page(html, result, exhibits)
    if png is not None:
        from ..evaluation.figure import write_figure

        write_figure(png, exhibits)
    if json:
        from ganrt.cli.terminal import print_json

        print_json(result)
    else:
        _print(result, [path for path in (html, png) if path is not None])


def _evaluate(
    source: str, data: str, held_out: Path | None, plan: Plan, engine: dict[str, Any]
) -> tuple[Evaluation, list[Exhibit]]:
    """With what it does on the terminal, once it takes more than two seconds."""
    from ganrt import Generator, cache
    from ganrt.cli.terminal import waiting

    from ..evaluation import evaluate
    from ..training.datasets import fetch_mnist

    with waiting(f"opening {source}") as bar:
        generator = Generator.load(source, progress=bar.describe, **engine)
        with generator:
            bar.describe("fetching the data")
            path = fetch_mnist(cache.folder() / "data") if data == "mnist" else Path(data).expanduser()
            return evaluate(generator, path, held_out, plan, bar.describe)


def _compare(old: Path, new: Path, json: bool) -> None:
    from ganrt.cli.terminal import print_json, show

    from ..evaluation.compare import compare
    from ..evaluation.results import read
    from ..evaluation.table import changes_table

    before, after = read(old), read(new)
    changes = list(compare(before, after))
    if json:
        print_json([change._asdict() | {"score": change.score.field} for change in changes])
    else:
        show(changes_table(before, after, changes))


def _print(result: Evaluation, written: list[Path]) -> None:
    from ganrt.cli.terminal import plain, rows, show

    from ..evaluation.table import class_table, findings, table

    show(table(result), "")
    by_class = class_table(result)
    if by_class is not None:
        show(by_class, "")
    show(rows(findings(result)))
    for note in result.notes:
        show(plain(f"note: {note}"))
    for path in written:
        show(plain(f"{path} was written."))


def _range(text: str | None) -> tuple[float, float] | None:
    """(low, high) of "LOW:HIGH".

    >>> _range("-1:1")
    (-1.0, 1.0)
    """
    if text is None:
        return None
    low, colon, high = text.partition(":")
    try:
        found = (float(low), float(high))
    except ValueError:
        found = (0.0, 0.0)
    if not colon or not found[0] < found[1] < float("inf") or found[0] == float("-inf"):
        raise ArgumentError(f"'{text}' is not LOW:HIGH, such as -1:1 or 0:1.")
    return found


def _check_outputs(html: Path | None, png: Path | None) -> None:
    """What would fail after the work fails before it."""
    from ..evaluation.figure import suffixes

    for path, allowed in ((html, (".html", ".htm")), (png, suffixes())):
        if path is None:
            continue
        if path.suffix.lower() not in allowed:
            raise ArgumentError(f"{path} does not end in {' or '.join(allowed)}.")
        folder = path.absolute().parent
        if not folder.is_dir():
            raise OutputError(f"The folder {folder} does not exist; make it, or choose another place.")
        if not os.access(folder, os.W_OK) or path.is_dir():
            raise OutputError(f"{path} cannot be written; choose another place.")
